"""PIS-DM: a denoiser of pixel patches in which Mamba-2 mixes the tokens (Li, Hao, Zou, Xie, Acta Electronica
Sinica 53(9), 2025, DOI 10.12263/DZXB.20250308).

    patches -> local enhancement -> [t, class, start, tokens, end] -> blocks, each in its own scan order,
    the first half handing long skips to the second -> local enhancement -> patches

Where the paper is silent or cannot be followed: the default scan reaches all pairs of tokens, the paper's does not (see
`orders`); noise level and class are tokens, as in the paper, and also scale, shift and gate each block, for a causal scan
forgets a token hundreds of steps back (adaLN-single: Chen et al., "PixArt-alpha", ICLR 2024, section 2.3; its tokens in
front of the picture serve DiM too); the norm ahead of a block is a LayerNorm without weights. "Combined with the noisy
input" is read twice: as the skip of the EDM preconditioning, and as the embedded patches, scaled by the noise level,
that join the features in front of the last layer; without them the last norm, which takes the contrast out of a token,
would have to be undone. Skips and local enhancement start at zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.priors.networks.bounds import at_least
from restorekit.priors.networks.embedding import Embedded
from restorekit.priors.networks.mamba2 import Mamba2
from restorekit.priors.networks.scan_orders import SCANS, move, passage
from restorekit.priors.networks.token_windows import TokenWindows
from restorekit.priors.networks.unet import Block as Convolutions
from restorekit.priors.networks.unet import PixelNorm


@dataclass(frozen=True)
class PISDMConfig(TokenWindows):
    """Settings of a PIS-DM. Raises ValueError for what cannot be."""

    bands: tuple[int, ...] = (1, 3)  # numbers of bands the network takes; each has its own first and last layer
    patch: Literal[1, 2, 4, 8] = 4  # side of a token, pixels; the 2 of the paper has four times the tokens
    width: int = 256  # channels of a token
    depth: int = 15  # blocks; odd, so that each of the second half has its skip
    state: int = 16  # numbers that a head keeps per channel
    head: int = 64  # channels of a head
    expand: int = 1  # inner width of a block over `width`; 2 on a GPU
    scan: Literal["cross4", "zigzag8", "spiral-alt", "spiral-seed"] = "cross4"
    orders: int = 0  # how many of the scan's orders the blocks go through in turn; 0: all of them
    padding: bool = True  # the padding tokens of the paper: a learned one at each end of the sequence
    local: int = 1  # layers of local enhancement at each end
    detail: tuple[int, ...] = ()  # channels of convolutions around the tokens, finest first; the paper has none
    embed: int = 256  # width of the noise-level embedding
    classes: int = 0  # 0: none
    side: int = 64  # of the pictures it is trained on, pixels; larger ones are seen in windows

    def __post_init__(self) -> None:
        at_least(self, width=1, state=1, head=1, expand=1, local=0, embed=8, side=1)
        if self.depth < 1 or self.depth % 2 == 0:
            raise ValueError(f"depth={self.depth} must be odd; try {max(1, self.depth - 1)}")
        if self.scan not in SCANS:
            raise ValueError(f"scan={self.scan!r} is unknown; it is one of {', '.join(SCANS)}")
        if self.orders < 0:
            raise ValueError(f"orders={self.orders} must be 1 or more, or 0 for all orders of the scan")
        if self.detail and (self.step < 1 or self.patch & (self.patch - 1)):
            raise ValueError(f"detail={self.detail} has too many resolutions for patch={self.patch}, a power of 2")
        if self.expand * self.width % self.head:
            raise ValueError(f"head={self.head} must divide expand * width = {self.expand * self.width}")

    @property
    def multiple(self) -> int:
        return self.patch

    @property
    def step(self) -> int:
        """Return the side of a token in what the tokens are made of: the pixels, or the coarsest features around them."""
        return self.patch >> max(0, len(self.detail) - 1)

    @property
    def tile(self) -> int:
        """Return the side of a window, twice that of the training.

        From there on larger ones are less exact, smaller ones overlap more than they save. `benchmarks/cost/windows.py`
        prints both.
        """
        return 2 * self.side


class Local(nn.Module):
    """It returns x + pointwise(silu(depthwise 3x3(x))) over the grid of tokens: (B, h, w, D) -> (B, h, w, D)."""

    def __init__(self, width: int):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.pointwise = nn.Linear(width, width)
        nn.init.zeros_(self.pointwise.weight)
        nn.init.zeros_(self.pointwise.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pointwise(F.silu(self.depthwise(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1))


class Detail(nn.Module):
    """It convolves around the tokens, at full resolution and coarser ones; the features go past the blocks.

    `into` takes pictures (B, C, H, W) to features of every resolution, finest first, (B, widths[i], H / 2^i, W / 2^i);
    patches are made of the last. `out` takes what comes of the tokens, as large as the last, and the features to the
    output (B, C, H, W).
    """

    def __init__(self, bands: tuple[int, ...], widths: tuple[int, ...], embed: int):
        super().__init__()
        w = widths
        self.stem = nn.ModuleDict({str(c): nn.Conv2d(c, w[0], 3, padding=1) for c in bands})
        self.head = nn.ModuleDict({str(c): nn.Conv2d(w[0], c, 3, padding=1) for c in bands})
        self.first = nn.ModuleList(Convolutions(c, embed) for c in w)
        self.last = nn.ModuleList(Convolutions(c, embed) for c in w)
        self.fuse = nn.ModuleList(nn.Conv2d(2 * c, c, 1) for c in w)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in zip(w, w[1:]))
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in zip(w, w[1:]))
        self.norm = PixelNorm(w[0])
        for head in self.head.values():
            nn.init.zeros_(head.weight)  # type: ignore[arg-type]
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]

    def into(self, x: Tensor, emb: Tensor) -> list[Tensor]:
        """Return the features of pictures x (B, C, H, W), finest first; `emb` (B, E) is the embedding of the noise
        level."""
        features = [self.first[0](self.stem[str(x.shape[1])](x), emb)]
        for down, block in zip(self.down, self.first[1:]):
            features.append(block(down(features[-1]), emb))
        return features

    def out(self, tokens: Tensor, features: list[Tensor], emb: Tensor, bands: str) -> Tensor:
        """Return the output (B, C, H, W), by what came of the tokens and the features `around` them."""
        x = tokens
        for i in reversed(range(len(features))):
            x = self.last[i](self.fuse[i](torch.cat([x, features[i]], dim=1)), emb)
            x = self.up[i - 1](x) if i else x
        return self.head[bands](F.silu(self.norm(x)))


class Block(nn.Module):
    """It returns x + gate * mixer(norm(x) * (1 + scale) + shift) on tokens (B, L, D); before it, x + skip([x;
    earlier])."""

    def __init__(self, config: PISDMConfig, skip: bool):
        super().__init__()
        d = config.width
        self.skip = nn.Linear(2 * d, d) if skip else None
        self.table = nn.Parameter(torch.tensor([[0.0], [0.0], [1.0]]).repeat(1, d))  # added to shift, scale, gate
        self.mixer = Mamba2(d, config.state, config.head, config.expand)
        nn.init.normal_(self.mixer.out_proj.weight, std=0.02 / math.sqrt(config.depth))
        if self.skip is not None:
            nn.init.zeros_(self.skip.weight)
            nn.init.zeros_(self.skip.bias)

    def forward(self, x: Tensor, earlier: Tensor | None, modulation: Tensor) -> Tensor:
        if self.skip is not None and earlier is not None:
            x = x + self.skip(torch.cat([x, earlier], dim=-1))
        shift, scale, gate = (modulation + self.table).unsqueeze(2).unbind(1)
        return torch.addcmul(x, gate, self.mixer(torch.addcmul(shift, F.layer_norm(x, x.shape[-1:]), 1 + scale)))


class PISDM(Embedded):
    """The network F(x, c_noise, label) maps (B, C, H, W), (B,), (B,) to (B, C, H, W); C in `config.bands`, any H and
    W.

    label: class numbers (long), -1 for no class in particular; None for that throughout.
    """

    def __init__(self, config: PISDMConfig):
        super().__init__()
        self.config = config
        d, e = config.width, config.embed
        self.make_embedding(torch.exp(torch.linspace(0, math.log(64.0), 16)), e, config.classes)
        self.time_token = nn.Linear(e, d)
        self.class_token = nn.Linear(e, d) if config.classes else None
        # The padding tokens of the paper start at zero. There the derivative of a norm is 1 / sqrt(eps), 300 for every block.
        ends = torch.randn(2, d)  # drawn in any case: the layers below begin alike with and without
        self.ends = nn.Parameter(ends) if config.padding else None
        self.modulation = nn.Linear(e, 3 * d)
        inner = {"detail": config.detail[-1]} if config.detail else {str(c): c for c in config.bands}
        q = config.step  # side of a patch of what the tokens are made of
        self.detail = Detail(config.bands, config.detail, e) if config.detail else None
        self.stem = nn.ModuleDict({k: nn.Conv2d(c, d, q, stride=q) for k, c in inner.items()})
        self.head = nn.ModuleDict({k: nn.Linear(d, c * q * q) for k, c in inner.items()})
        self.local_in = nn.Sequential(*(Local(d) for _ in range(config.local)))
        self.local_out = nn.Sequential(*(Local(d) for _ in range(config.local)))
        self.blocks = nn.ModuleList(Block(config, i > config.depth // 2) for i in range(config.depth))
        self.norm = nn.LayerNorm(d)
        self.direct = nn.Linear(e, d)  # what of the noisy patches reaches the head past the blocks and their norm
        for layer in (self.modulation, self.direct, *(self.head.values() if self.detail is None else ())):
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        if self.classes is not None:
            nn.init.normal_(self.classes.weight, std=0.02)

    def forward(self, x: Tensor, c_noise: Tensor, label: Tensor | None = None) -> Tensor:
        return self.with_features(x, c_noise, label)[0]

    def with_features(self, x: Tensor, c_noise: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the output, and the features behind the last block (B, D, h, w), on the grid of tokens."""
        height, width = x.shape[-2:]
        bands, p = str(x.shape[1]), self.config.patch
        if height % p or width % p:
            x = F.pad(x, (0, -width % p, 0, -height % p), mode="replicate")
        emb, front = self._condition(c_noise.to(x.dtype), label)
        around = [x] if self.detail is None else self.detail.into(x, emb)
        inner = bands if self.detail is None else "detail"
        grid = self.local_in(self.stem[inner](around[-1]).permute(0, 2, 3, 1))
        features = self._mix(grid, self.modulation(emb).to(x.dtype).unflatten(1, (3, -1)), front)
        direct = (1 + self.direct(emb))[:, None, None] * grid
        tokens = self.head[inner](self.local_out(self.norm(features) + direct))
        out = F.pixel_shuffle(tokens.permute(0, 3, 1, 2), self.config.step)
        if self.detail is not None:
            out = self.detail.out(out, around, emb, bands)
        return out[..., :height, :width], features.permute(0, 3, 1, 2)

    def _condition(self, c_noise: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the embedding of noise level and class (B, E), and the tokens in front of the picture (B, 1 to 3, D)."""
        emb, kind = self.of_level(c_noise), self.of_class(label, len(c_noise))
        tokens = [self.time_token(emb)]
        if kind is not None and self.class_token is not None:
            tokens.append(self.class_token(kind))
            emb = emb + kind
        if self.ends is not None:
            tokens.append(self.ends[0].expand(len(emb), -1))
        return emb, torch.stack([t.to(c_noise.dtype) for t in tokens], dim=1)

    def _mix(self, grid: Tensor, modulation: Tensor, front: Tensor) -> Tensor:
        """Run the blocks, from and to raster order: (B, h, w, D) -> (B, h, w, D)."""
        batch, h, w, _ = grid.shape
        end = grid.new_zeros(batch, 0, grid.shape[-1]) if self.ends is None else self.ends[1].expand(batch, 1, -1)
        x = torch.cat([front, grid.flatten(1, 2).to(front.dtype), end.to(front.dtype)], dim=1)
        half, orders = self.config.depth // 2, self.config.orders or self.config.depth
        fixed = (h, w, front.shape[1], end.shape[1], str(x.device))
        skips: list[tuple[Tensor, int]] = []
        at: int | None = None
        for i, block in enumerate(self.blocks):
            x = move(x, passage(self.config.scan, (at, i % orders), *fixed))  # one gather from order to order
            at = i % orders
            earlier = None
            if i > half:
                kept, order = skips.pop()
                earlier = move(kept, passage(self.config.scan, (order, at), *fixed))
            x = block(x, earlier, modulation)
            if i < half:
                skips.append((x, at))
        x = move(x, passage(self.config.scan, (at, None), *fixed))
        return x[:, front.shape[1] :][:, : h * w].unflatten(1, (h, w))
