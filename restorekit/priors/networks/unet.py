"""A convolutional U-Net without attention and without batch or group statistics.

Every output pixel depends on a bounded window of the input (`receptive_radius`) and on nothing else, so a
picture cut into overlapping tiles gives the same numbers as the whole picture. Normalisation is a LayerNorm
over the channels of one pixel, or there is none (`block`); GroupNorm would make the result depend on the tile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.errors import BadInput
from restorekit.priors.networks.bounds import at_least
from restorekit.priors.networks.embedding import Embedded


@dataclass(frozen=True)
class UNetConfig:
    """Settings of a U-Net. Raises BadInput or ValueError for what cannot be."""

    bands: tuple[int, ...] = (1, 3)  # numbers of bands the network takes; each has its own first and last layer
    widths: tuple[int, ...] = (32, 64, 128, 192)  # channels at each resolution, finest first
    blocks: int | tuple[int, ...] = 1  # residual blocks per resolution, on the way down and on the way up; or for each
    middle: int = 1  # further blocks at the coarsest resolution
    patch: Literal[1, 2, 4] = 1  # space-to-depth factor in front of the network: 2 or 4 trades detail for speed
    embed: int = 128  # width of the noise-level embedding
    # "normed" (`Block`): two convolutions of 3x3, skips are concatenated. "gated" (`GatedBlock`): depthwise and pointwise
    # convolutions and products of their outputs, skips are added; see benchmarks/results/bakeoff.md.
    block: Literal["normed", "gated"] = "normed"

    def __post_init__(self) -> None:
        at_least(self, widths=1, blocks=1, middle=0, embed=8)
        if self.block not in STAGES:
            raise BadInput(f"block={self.block!r} is unknown; it is one of {', '.join(STAGES)}")
        if isinstance(self.blocks, tuple) and len(self.blocks) != len(self.widths):
            raise BadInput(
                f"blocks={list(self.blocks)} must be one number, or one for each of widths={list(self.widths)}"
            )

    @property
    def depths(self) -> tuple[int, ...]:
        """Return the residual blocks at each resolution on the way down, finest first."""
        return self.blocks if isinstance(self.blocks, tuple) else (self.blocks,) * len(self.widths)

    @property
    def multiple(self) -> int:
        """Return the number of which height and width must be multiples (the `Padded` wrapper sees to it)."""
        return self.patch * 2 ** (len(self.widths) - 1)

    @property
    def receptive_radius(self) -> int:
        """Return the pixels beyond which the input cannot influence an output pixel; a multiple of `multiple`."""
        top = len(self.widths) - 1
        radius = 2.0  # first and last 3x3 convolution, at the finest resolution
        convs = 1 if self.block == "gated" else 2  # of 3x3 in a block
        for level, blocks in enumerate(self.depths):
            count = blocks * (1 if level == top else 2) + (self.middle if level == top else 0)
            radius += convs * count * 2**level
        radius += sum(2 ** (level + 1) for level in range(top))  # grid alignment of the 2x2 down/up convolutions
        reach = radius * self.patch + self.patch - 1  # to the far side of a patch
        return self.multiple * math.ceil(reach / self.multiple)

    @property
    def tile(self) -> int:
        """Return the side of a window where a picture is larger; with this halo any gives the same numbers."""
        return 512

    @property
    def halo(self) -> int:
        """Return the pixels thrown away around a window, which make windows exact."""
        return self.receptive_radius

    @property
    def blend(self) -> int:
        """Return the pixels over which neighbouring windows fade into each other."""
        return 2 * self.multiple


class PixelNorm(nn.LayerNorm):
    """It normalises the channels of each pixel of a (B, C, H, W) tensor."""

    def forward(self, input: Tensor) -> Tensor:
        x = F.layer_norm(input.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class Block(nn.Module):
    """It returns x + conv(silu(norm(conv(silu(scale * norm(x) + shift))))), scale and shift from the noise level."""

    def __init__(self, width: int, embed: int):
        super().__init__()
        self.norm1, self.norm2 = PixelNorm(width), PixelNorm(width)
        self.conv1, self.conv2 = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(embed, 2 * width)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        scale, shift = self.film(emb)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(F.silu(torch.addcmul(shift, self.norm1(x), 1 + scale)))
        return x + self.conv2(F.silu(self.norm2(h)))


class Stage(nn.ModuleList):
    """It runs blocks one after the other, all told the noise level."""

    def __init__(self, width: int, n: int, embed: int):
        super().__init__(Block(width, embed) for _ in range(n))

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        for block in self:
            x = block(x, emb)
        return x


class GatedBlock(nn.Module):
    """The block of NAFNet (Chen et al. 2022) without its channel attention, which sees the whole picture.

    x + out(a b) with (a, b) the halves of a depthwise convolution, then the same without one.
    """

    def __init__(self, width: int):
        super().__init__()
        wide = 2 * width
        self.norm1, self.norm2 = PixelNorm(width), PixelNorm(width)
        self.in1, self.in2 = nn.Conv2d(width, wide, 1), nn.Conv2d(width, wide, 1)
        self.depth = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.out1, self.out2 = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        for out in (self.out1, self.out2):
            nn.init.zeros_(out.weight)
            nn.init.zeros_(out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.depth(self.in1(self.norm1(x))).chunk(2, dim=1)
        x = x + self.out1(a * b)
        a, b = self.in2(self.norm2(x)).chunk(2, dim=1)
        return x + self.out2(a * b)


class GatedStage(nn.Module):
    """It runs gated blocks behind a scale and a shift of each channel, from the noise level."""

    def __init__(self, width: int, n: int, embed: int):
        super().__init__()
        self.film = nn.Linear(embed, 2 * width) if n else None
        self.blocks = nn.Sequential(*(GatedBlock(width) for _ in range(n)))

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        if self.film is None:
            return x
        scale, shift = self.film(emb)[:, :, None, None].chunk(2, dim=1)
        return self.blocks(torch.addcmul(shift, x, 1 + scale))


STAGES: dict[str, type[Stage | GatedStage]] = {"normed": Stage, "gated": GatedStage}


class UNet(Embedded):
    """The network F(x, c_noise) maps (B, C, H, W), (B,) to (B, C, H, W); C in `config.bands`, H and W multiples of
    `config.multiple`."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        w, e, p2 = config.widths, config.embed, config.patch**2
        stage, depths, gated = STAGES[config.block], config.depths, config.block == "gated"
        self.make_embedding(torch.exp(torch.linspace(0, math.log(64.0), 16)), e)
        self.stem = nn.ModuleDict({str(c): nn.Conv2d(c * p2, w[0], 3, padding=1) for c in config.bands})
        self.head = nn.ModuleDict({str(c): nn.Conv2d(w[0], c * p2, 3, padding=1) for c in config.bands})
        self.enc = nn.ModuleList(stage(c, n, e) for c, n in zip(w, depths))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in zip(w, w[1:]))
        self.mid = stage(w[-1], config.middle, e)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in zip(w, w[1:]))
        self.fuse = nn.ModuleList() if gated else nn.ModuleList(nn.Conv2d(2 * a, a, 1) for a in w[:-1])
        self.dec = nn.ModuleList(stage(c, n, e) for c, n in zip(w[:-1], depths))
        self.norm = None if gated else PixelNorm(w[0])
        for head in self.head.values():
            nn.init.zeros_(head.weight)  # type: ignore[arg-type]
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]

    def encode(self, x: Tensor, c_noise: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the features after each stage on the way down, finest first, and the embedding (B, E) of the noise
        level."""
        emb = self.of_level(c_noise.to(x.dtype))
        features = [self.enc[0](self.stem[str(x.shape[1])](F.pixel_unshuffle(x, self.config.patch)), emb)]
        for down, stage in zip(self.down, self.enc[1:]):
            features.append(stage(down(features[-1]), emb))
        return features, emb

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        features, emb = self.encode(x, c_noise)
        h = self.mid(features[-1], emb)
        for level in reversed(range(len(features) - 1)):
            h, skip = self.up[level](h), features[level]
            h = self.fuse[level](torch.cat([h, skip], dim=1)) if self.fuse else h + skip
            h = self.dec[level](h, emb)
        h = h if self.norm is None else F.silu(self.norm(h))
        return F.pixel_shuffle(self.head[str(x.shape[1])](h), self.config.patch)
