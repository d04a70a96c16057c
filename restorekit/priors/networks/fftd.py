"""FFTD: a transformer over latents whose blocks and resolutions meet in adaptive fusions (Liu, Chen, Gao, "Image
generation based on diffusion model in latent space", Computer Systems & Applications, 2026, section 3.2, eqs 16 to 25).

    latent pixels as tokens -> B1 -> down -> B2 -> down -> B3 -> up -> B4, fused with B2 -> up -> B5, fused with B1 -> latent

What is printed cannot all be meant, or leaves something open:
    eq 18  both pools are a mean, over the axis of the tokens; the second is taken as the maximum, as its name says.
    eq 20  takes 2D numbers, but eq 19 gives 4D, and no nonlinearity stands between its layers: here one network
           2D -> D / 16 -> D sees each pool, and the two answers are added (Woo et al., "CBAM", ECCV 2018, eq 2).
    eq 21  reshapes to the root of the number of tokens; here to height and width.
    eq 22  three convolutions in a row; here with SiLU between them.
    eq 25  the start of s is not given: 0.1. A block adds its fusion through a gate that is 0 at first.
    B3     has no stated resolution: a quarter where the latents of the training have 16 pixels a side or more, else half.
    t, y   how they enter is not said: scale, shift and gate of every layer (adaLN-zero: Peebles and Xie, "Scalable
           diffusion models with transformers", ICCV 2023), made by one layer for all blocks and a table for each.
    place  of a token is not said: turns of queries and keys, by row and by column (Su et al., "RoFormer", 2021), which
           know distances only and so take any size.
Read so, the network has 146.75 D^2 weights without the conditioning, 110 D^2 with `concat` and 96 D^2 with `add`: 15.0, 11.3
and 9.8 million at D = 320, where table 9 of the paper prints 14.98, 11.49 and 9.54.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.priors.networks.embedding import Embedded
from restorekit.priors.networks.token_windows import TokenWindows

Fuse = Literal["adaptive", "add", "concat"]


@dataclass(frozen=True)
class FFTDConfig(TokenWindows):
    """Settings of an FFTD. Raises ValueError for what cannot be."""

    channels: int = 4  # of the latents
    width: int = 320  # D, channels of a token
    heads: int = 5  # of the attention; width / heads must be a multiple of 4
    fuse: Fuse = "adaptive"  # or what the paper compares it with: the sum, or a layer on both
    embed: int = 256  # width of the embedding of time and class
    classes: int = 0  # 0: none
    side: int = 16  # of the latents it is trained on; larger ones are seen in windows

    def __post_init__(self) -> None:
        if min(self.channels, self.width, self.heads, self.embed, self.side) < 1 or self.classes < 0:
            raise ValueError("channels, width, heads, embed and side of an FFTD must be positive")
        if self.width % (4 * self.heads):
            near = max(1, round(self.width / (4 * self.heads))) * 4 * self.heads
            raise ValueError(f"width={self.width} must be a multiple of 4 * heads = {4 * self.heads}; try {near}")
        if self.fuse not in get_args(Fuse):
            raise ValueError(f"fuse={self.fuse!r} is unknown; it is one of {', '.join(get_args(Fuse))}")

    @property
    def bands(self) -> tuple[int, ...]:
        """Return the numbers of channels that the network takes."""
        return (self.channels,)

    @property
    def quarter(self) -> bool:
        """Return True where B3 is at a quarter of the resolution, False where it is at half."""
        return self.side >= 16

    @property
    def multiple(self) -> int:
        return 4 if self.quarter else 2

    @property
    def tile(self) -> int:
        """Return the side of a window, latent pixels: attention is used to as many tokens as there were in training."""
        return max(1, self.side // self.multiple) * self.multiple


class Fusion(nn.Module):
    """The adaptive fusion, eqs 18 to 25, makes one grid of tokens of two (B, h, w, D)."""

    def __init__(self, width: int):
        super().__init__()
        d, squeezed, q = width, max(1, width // 16), max(1, width // 4)
        self.channel = nn.Sequential(nn.Linear(2 * d, squeezed), nn.SiLU(), nn.Linear(squeezed, d))
        self.spatial = nn.Sequential(
            nn.Conv2d(2 * d, q, 3, padding=1), nn.SiLU(), nn.Conv2d(q, q, 3, padding=1), nn.SiLU(),
            nn.Conv2d(q, 1, 3, padding=1),
        )  # fmt: skip
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.direct = nn.Linear(2 * d, d)
        self.scale = nn.Parameter(torch.tensor([0.1]))

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        both = torch.cat([x1, x2], dim=-1)
        pools = self.channel(torch.stack([both.mean((1, 2)), both.amax((1, 2))])).sum(0)
        of_channel = pools.sigmoid()[:, None, None]
        of_place = self.spatial(both.permute(0, 3, 1, 2)).sigmoid().permute(0, 2, 3, 1)
        return of_channel * self.norm1(x1) + of_place * self.norm2(x2) + self.scale * self.direct(both)


class Concat(nn.Module):
    """It fuses two grids of tokens (B, h, w, D) by a layer on both."""

    def __init__(self, width: int):
        super().__init__()
        self.direct = nn.Linear(2 * width, width)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return self.direct(torch.cat([x1, x2], dim=-1))


class Add(nn.Module):
    """It fuses two grids of tokens (B, h, w, D) by their sum."""

    def __init__(self, width: int):
        super().__init__()

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return x1 + x2


FUSIONS: dict[str, type[Fusion | Concat | Add]] = {"adaptive": Fusion, "concat": Concat, "add": Add}


def turned(x: Tensor) -> Tensor:
    """Return queries or keys (B, h, w, heads, d), turned by their place.

    Channels i and i + d / 2 are the two parts of a number whose phase runs with the row for the first d / 4 of them,
    with the column for the rest. The product of two of them then depends on their distance alone. Wavelengths rise from
    2 pi to about 600 pixels.
    """
    h, w, _, d = x.shape[1:]
    real = torch.promote_types(x.dtype, torch.float32)
    speed = 100.0 ** -(torch.arange(d // 4, device=x.device, dtype=real) / (d // 4))
    rows, columns = (torch.arange(n, device=x.device, dtype=real)[:, None] * speed for n in (h, w))
    angle = torch.cat([rows[:, None].expand(h, w, -1), columns.expand(h, w, -1)], dim=-1)[:, :, None]
    cos, sin = angle.cos(), angle.sin()
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return the attention of Vaswani et al., NeurIPS 2017, eq 1, on (B, heads, L, d)."""
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and torch.is_grad_enabled():
        # The backward pass of the fused kernel takes 2 to 9 times as long there as these two products do.
        return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v)


class Attention(nn.Module):
    """It lets every token of a grid (B, h, w, D) attend to every other."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        qk, v = self.qkv(x).unflatten(-1, (3 * self.heads, -1)).split([2 * self.heads, self.heads], dim=3)
        q, k = turned(qk).split(self.heads, dim=3)
        mixed = attention(*(z.flatten(1, 2).transpose(1, 2) for z in (q, k, v)))
        return self.out(mixed.transpose(1, 2).flatten(2).unflatten(1, x.shape[1:3]))


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return the layer norm of x (..., D), scaled by 1 + scale and shifted."""
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:]), 1 + scale)


class Block(nn.Module):
    """It returns x + gate * fusion(x1, x2), x1 what attention says of x, and x2 what the layers after it say of x +
    x1.

    With the sum for a fusion and a gate of 1 that is the usual block of a transformer.
    """

    def __init__(self, config: FFTDConfig):
        super().__init__()
        d = config.width
        self.table = nn.Parameter(torch.zeros(5, d))  # added to shift and scale of both norms, and the gate
        self.attention = Attention(d, config.heads)
        self.feed = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
        self.fusion = FUSIONS[config.fuse](d)

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        shift1, scale1, shift2, scale2, gate = (modulation + self.table)[:, :, None, None].unbind(1)
        x1 = self.attention(modulated(x, shift1, scale1))
        x2 = self.feed(modulated(x + x1, shift2, scale2))
        return torch.addcmul(x, gate, self.fusion(x1, x2).to(x.dtype))


class Conv(nn.Conv2d):
    """It convolves a grid of tokens (B, h, w, D) by 3x3."""

    def __init__(self, width: int, stride: int = 1):
        super().__init__(width, width, 3, stride, 1)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Up(Conv):
    """It repeats each token four times, then convolves (eq 17)."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.repeat_interleave(2, 1).repeat_interleave(2, 2))


class FFTD(Embedded):
    """The network F(z, t, label) predicts the noise in z: (B, c, h, w), (B,), (B,) -> (B, c, h, w); c =
    `config.channels`, any h and w.

    t: step of a table of 1000, fractions allowed. label: class numbers (long), -1 for no class in particular; None for
    that throughout.
    """

    def __init__(self, config: FFTDConfig):
        super().__init__()
        self.config = config
        d, e = config.width, config.embed
        self.make_embedding(torch.exp(-math.log(1e4) * torch.arange(32) / 32), e, config.classes)
        self.modulation = nn.Linear(e, 5 * d)
        self.stem = nn.Conv2d(config.channels, d, 1)
        self.blocks = nn.ModuleList(Block(config) for _ in range(5))
        count = 2 if config.quarter else 1
        self.down = nn.ModuleList(Conv(d, 2) for _ in range(count))
        self.up = nn.ModuleList(Up(d) for _ in range(count))
        self.fusions = nn.ModuleList(FUSIONS[config.fuse](d) for _ in range(2))  # B2 with B4, B1 with B5
        self.last = nn.Linear(e, 2 * d)
        self.head = nn.Linear(d, config.channels)
        for layer in (self.modulation, self.last, self.head):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        if self.classes is not None:
            nn.init.normal_(self.classes.weight, std=0.02)

    def forward(self, z: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        height, width = z.shape[-2:]
        down, right = -height % self.config.multiple, -width % self.config.multiple
        z = F.pad(z, (0, right, 0, down), mode="replicate") if down or right else z
        emb = self._condition(t, label)
        modulation = self.modulation(emb).to(z.dtype).unflatten(1, (5, -1))
        x = self._mix(self.stem(z).permute(0, 2, 3, 1).to(z.dtype), modulation)
        shift, scale = self.last(emb).to(x.dtype)[:, None, None].chunk(2, -1)
        return self.head(modulated(x, shift, scale)).permute(0, 3, 1, 2)[..., :height, :width]

    def _condition(self, t: Tensor, label: Tensor | None) -> Tensor:
        """Return the embedding of time and class (B, E)."""
        emb, kind = self.of_level(t), self.of_class(label, len(t))
        return emb if kind is None else emb + kind

    def _mix(self, x: Tensor, modulation: Tensor) -> Tensor:
        """Run the five blocks and the fusions between them: (B, h, w, D) -> (B, h, w, D)."""
        one, two, three, four, five = self.blocks
        b1 = one(x, modulation)
        b2 = two(self.down[0](b1), modulation)
        if self.config.quarter:
            b4 = four(self.up[1](three(self.down[1](b2), modulation)), modulation)
        else:
            b4 = four(three(b2, modulation), modulation)
        b5 = five(self.up[0](self.fusions[0](b2, b4)), modulation)
        return self.fusions[1](b1, b5)
