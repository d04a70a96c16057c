"""The candidates of bakeoff.py: networks F(x, c_noise) as `UNet` is one, with bounded windows and no statistics of pictures.

All share one frame, a U-Net (of one level: a plain stack) behind a space-to-depth of `patch`; they differ in the block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.priors.networks.unet import Block, PixelNorm, UNet, UNetConfig


@dataclass(frozen=True)
class Net:
    """Settings of a candidate. `blocks` are those per level on the way down, and again on the way up; last: the bottom."""

    block: str = "residual"  # a key of BLOCKS
    widths: tuple[int, ...] = (32, 64, 128, 192)
    blocks: tuple[int, ...] = (2, 2, 2, 4)
    patch: int = 1
    film: bool = False  # noise level by scales and shifts at the head of each stage; else as further bands of the input
    bias: bool = True
    norm: bool = True  # of the blocks that have one: a LayerNorm of each pixel
    bands: int = 3

    @property
    def multiple(self) -> int:
        return self.patch * 2 ** (len(self.widths) - 1)


class Residual(nn.Module):
    """x + conv(relu(conv(x))), as DRUNet has it (Zhang et al. 2021)."""

    def __init__(self, width: int, bias: bool, norm: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        nn.init.kaiming_normal_(self.conv1.weight, nonlinearity="relu")
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x), inplace=True))


class Plain(nn.Module):
    """relu(conv(x)), as DnCNN and FFDNet have it (Zhang et al. 2018), without their batch statistics."""

    def __init__(self, width: int, bias: bool, norm: bool):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x), inplace=True)


class Gated(nn.Module):
    """The block of NAFNet (Chen et al. 2022) without its channel attention, which sees the whole picture."""

    def __init__(self, width: int, bias: bool, norm: bool, grow: int = 2):
        super().__init__()
        inner = grow * width
        self.norm1, self.norm2 = (PixelNorm(width) if norm else nn.Identity() for _ in range(2))
        self.in1, self.in2 = nn.Conv2d(width, inner, 1, bias=bias), nn.Conv2d(width, inner, 1, bias=bias)
        self.depth = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=bias)
        self.out1, self.out2 = nn.Conv2d(inner // 2, width, 1, bias=bias), nn.Conv2d(inner // 2, width, 1, bias=bias)
        for out in (self.out1, self.out2):
            nn.init.zeros_(out.weight)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.depth(self.in1(self.norm1(x))).chunk(2, 1)
        x = x + self.out1(a * b)
        a, b = self.in2(self.norm2(x)).chunk(2, 1)
        return x + self.out2(a * b)


class Levelled(Gated):
    """A gated block with a scale and a shift by the noise level behind its first norm, as today's block has them."""

    def __init__(self, width: int, bias: bool, norm: bool, embed: int = 64):
        super().__init__(width, bias, norm)
        self.film = nn.Linear(embed, 2 * width)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:  # type: ignore[override]
        scale, shift = self.film(emb)[:, :, None, None].chunk(2, dim=1)
        a, b = self.depth(self.in1(torch.addcmul(shift, self.norm1(x), 1 + scale))).chunk(2, 1)
        x = x + self.out1(a * b)
        a, b = self.in2(self.norm2(x)).chunk(2, 1)
        return x + self.out2(a * b)


class Short(nn.Module):
    """The first half of a gated block."""

    def __init__(self, width: int, bias: bool, norm: bool):
        super().__init__()
        self.norm = PixelNorm(width) if norm else nn.Identity()
        self.wide = nn.Conv2d(width, 2 * width, 1, bias=bias)
        self.depth = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width, bias=bias)
        self.out = nn.Conv2d(width, width, 1, bias=bias)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.depth(self.wide(self.norm(x))).chunk(2, 1)
        return x + self.out(a * b)


class Large(nn.Module):
    """The block of ConvNeXt (Liu et al. 2022): a depthwise convolution of 7x7, then two pointwise ones."""

    def __init__(self, width: int, bias: bool, norm: bool, grow: int = 3):
        super().__init__()
        self.depth = nn.Conv2d(width, width, 7, padding=3, groups=width, bias=bias)
        self.norm = PixelNorm(width) if norm else nn.Identity()
        self.wide, self.out = nn.Conv2d(width, grow * width, 1, bias=bias), nn.Conv2d(grow * width, width, 1, bias=bias)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.out(F.gelu(self.wide(self.norm(self.depth(x)))))


class Single(nn.Module):
    """x + conv(relu(conv(scale * norm(x) + shift))): today's block with half of its norms, and a cheaper activation."""

    def __init__(self, width: int, bias: bool, norm: bool, embed: int = 64):
        super().__init__()
        self.norm, self.film = PixelNorm(width) if norm else nn.Identity(), nn.Linear(embed, 2 * width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        nn.init.kaiming_normal_(self.conv1.weight, nonlinearity="relu")
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        scale, shift = self.film(emb)[:, :, None, None].chunk(2, dim=1)
        h = torch.addcmul(shift, self.norm(x), 1 + scale)
        return x + self.conv2(F.relu(self.conv1(h), inplace=True))


BLOCKS: dict[str, type[nn.Module]] = {
    "single": Single,
    "residual": Residual,
    "plain": Plain,
    "gated": Gated,
    "levelled": Levelled,
    "short": Short,
    "large": Large,
}


class Stage(nn.Module):
    """Blocks, behind a scale and a shift of the channels by the noise level where `embed` is given."""

    def __init__(self, net: Net, width: int, count: int, embed: int):
        super().__init__()
        self.each = net.block in ("single", "levelled")  # the noise level goes into each block
        self.film = nn.Linear(embed, 2 * width) if embed and not self.each else None
        self.blocks = nn.Sequential(*(BLOCKS[net.block](width, net.bias, net.norm) for _ in range(count)))

    def forward(self, x: Tensor, emb: Tensor | None) -> Tensor:
        if self.film is not None:
            scale, shift = self.film(emb)[:, :, None, None].chunk(2, dim=1)
            x = torch.addcmul(shift, x, 1 + scale)
        if not self.each:
            return self.blocks(x)
        for block in self.blocks:
            x = block(x, emb)
        return x


class Candidate(nn.Module):
    """F(x, c_noise): (B, C, H, W), (B,) -> (B, C, H, W); H and W multiples of `net.multiple`. Skips are added."""

    def __init__(self, net: Net):
        super().__init__()
        self.net = net
        w, bias, bands = net.widths, net.bias, net.bands * net.patch**2
        embed = 64 if net.film else 0
        self.register_buffer("freqs", torch.exp(torch.linspace(0, math.log(64.0), 16)), persistent=False)
        self.embed = (
            nn.Sequential(nn.Linear(32, embed), nn.SiLU(), nn.Linear(embed, embed), nn.SiLU()) if embed else None
        )
        self.stem = nn.Conv2d(bands + (0 if embed else 2), w[0], 3, padding=1, bias=bias)
        self.head = nn.Conv2d(w[0], bands, 3, padding=1, bias=bias)
        self.enc = nn.ModuleList(Stage(net, c, n, embed) for c, n in zip(w, net.blocks))
        self.dec = nn.ModuleList(Stage(net, c, n, embed) for c, n in zip(w[:-1], net.blocks))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2, bias=bias) for a, b in zip(w, w[1:]))
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2, bias=bias) for a, b in zip(w, w[1:]))
        nn.init.zeros_(self.head.weight)

    def _conditions(self, x: Tensor, c_noise: Tensor) -> tuple[Tensor, Tensor | None]:
        """The input of the stem, and the embedding of the noise level where there is one."""
        if self.embed is not None:
            angle = c_noise[:, None] * self.freqs  # type: ignore[operator]
            return x, self.embed(torch.cat([angle.cos(), angle.sin()], dim=1))
        # shares of noise and of data in the input, whose squares sum to 1 for data of spread 0.25
        sigma = (4 * c_noise).exp()
        share = sigma / (sigma**2 + 0.0625).sqrt()
        maps = torch.stack([share, (1 - share**2).clamp(min=0).sqrt()], 1)[:, :, None, None].to(x.dtype)
        return torch.cat([x, maps.expand(-1, -1, *x.shape[2:])], 1), None

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        h, emb = self._conditions(F.pixel_unshuffle(x, self.net.patch), c_noise)
        h = self.stem(h)
        skips = []
        for level, stage in enumerate(self.enc):
            h = stage(self.down[level - 1](h) if level else h, emb)
            skips.append(h)
        for level in reversed(range(len(self.dec))):
            h = self.dec[level](self.up[level](h) + skips[level], emb)
        return F.pixel_shuffle(self.head(h), self.net.patch)


def today(**settings: object) -> nn.Module:
    return UNet(UNetConfig(bands=(3,), **settings))  # type: ignore[arg-type]


__all__ = ["Block", "Candidate", "Net", "today"]
