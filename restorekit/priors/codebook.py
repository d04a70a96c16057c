"""A book of codes that stands for the latent of a codec: van den Oord et al., "Neural Discrete Representation Learning",
NeurIPS 2017, eqs 1 to 3, with the use of each code counted and codes that nothing takes moved to where the data are.
"""

from __future__ import annotations

import math

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

AT_ONCE = 2**24  # distances in memory at a time
FORGETS = 0.98  # per step, in the mean of what codes are used for
DEAD = 0.05  # of its fair share: below this a code is taken to be unused


def exact(z: Tensor) -> torch.dtype:
    """float32, or what is finer."""
    return torch.promote_types(z.dtype, torch.float32)


def gathered(z: Tensor) -> Tensor:
    """Rows (N, c) of all processes, in their order; z itself where there is one process."""
    if not dist.is_initialized():
        return z
    parts = [torch.empty_like(z) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, z.contiguous())
    return torch.cat(parts)


class Codebook(nn.Module):
    """`size` codes of `channels` numbers each. `beta` weighs how far the encoder is pulled to the codes it takes."""

    def __init__(self, size: int, channels: int, beta: float = 0.25):
        super().__init__()
        self.size, self.beta = size, beta
        self.codes = nn.Parameter(torch.randn(size, channels))
        # Of the positions of the last batches, which share took a code. 0: of no code is anything known yet.
        self.register_buffer("share", torch.zeros(size))
        self.share: Tensor

    @torch.no_grad()
    def nearest(self, z: Tensor) -> Tensor:
        """Numbers (B, h, w) of the codes nearest to a latent (B, c, h, w)."""
        with torch.autocast(z.device.type, enabled=False):  # bf16 does not tell neighbouring codes apart
            codes = self.codes.to(exact(z))
            flat = z.to(codes).movedim(1, -1).reshape(-1, z.shape[1])
            half = codes.square().sum(1) / 2  # |z - e|^2 / 2 = |z|^2 / 2 + this, of which the first is the same for all
            parts = flat.split(max(1, AT_ONCE // self.size))
            index = torch.cat([torch.addmm(half, part, codes.T, alpha=-1).argmin(1) for part in parts])
        return index.view(z.shape[0], *z.shape[2:])

    def look_up(self, index: Tensor) -> Tensor:
        """(B, h, w) -> (B, c, h, w)."""
        return F.embedding(index, self.codes).movedim(-1, 1)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latent (B, c, h, w) -> its codes in that shape, their numbers (B, h, w), and the loss of eq 3 per number:
        |codes - sg(z)|^2 + beta |sg(codes) - z|^2, sg: without gradient.

        The value is that of the codes, the gradient that of z (straight through).
        """
        z = z.to(exact(z))
        index = self.nearest(z)
        codes = self.look_up(index).to(z)
        loss = (codes - z.detach()).square().mean() + self.beta * (codes.detach() - z).square().mean()
        return codes.detach() + (z - z.detach()), index, loss

    @torch.no_grad()
    def observe(self, index: Tensor) -> None:
        """Count what codes were taken, over all processes."""
        counts = torch.bincount(index.flatten(), minlength=self.size).to(self.share)
        if dist.is_initialized():
            dist.all_reduce(counts)
        self.share.lerp_(counts / counts.sum(), 1 - FORGETS)

    @torch.no_grad()
    def revive(self, z: Tensor, seed: int) -> int:
        """Move codes that are hardly used to positions of the latent z (B, c, h, w), drawn with `seed`; how many.

        Before anything was counted these are all: the book begins with what the encoder gives. All processes draw the
        same positions from the latents of all.
        """
        dead = (self.share < DEAD / self.size).nonzero().flatten()
        if len(dead):
            pool = gathered(z.to(self.codes).movedim(1, -1).reshape(-1, z.shape[1]))
            rng = torch.Generator().manual_seed(seed)
            rounds = math.ceil(len(dead) / len(pool))
            drawn = torch.cat([torch.randperm(len(pool), generator=rng) for _ in range(rounds)])[: len(dead)]
            self.codes[dead] = pool[drawn.to(pool.device)]
            self.share[dead] = 1 / self.size
        return len(dead)


def perplexity(counts: Tensor) -> float:
    """Of codes taken `counts` (size,) times: exp of the entropy, from 1 (always the same) to size (all alike)."""
    p = counts.double() / counts.double().sum()
    return float(torch.special.entr(p).sum().exp())
