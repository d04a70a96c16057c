"""A book of codes that stands for the latent of a codec: van den Oord et al., "Neural Discrete Representation Learning",
NeurIPS 2017, eqs 1 to 3.

The book learns by running means (their appendix A.1): a code moves to the mean of what takes it. That is where the term
|sg(z) - code|^2 of eq 3 has its minimum, and needs no rate. By gradients, at the rate of the rest, the codes stay far
behind an encoder that has just begun. A code that hardly anything takes is moved to where the data are.
"""

from __future__ import annotations

import math

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

AT_ONCE = 2**24  # distances in memory at a time
FORGETS = 0.98  # what is left of a running mean after a step
DEAD = 0.05  # of its fair share of the positions: below this a code counts as unused


def exact(z: Tensor) -> torch.dtype:
    """Return x in float32, or what is finer."""
    return torch.promote_types(z.dtype, torch.float32)


def positions(z: Tensor) -> Tensor:
    """Return z (B, c, h, w) as (B h w, c)."""
    return z.movedim(1, -1).reshape(-1, z.shape[1])


class Codebook(nn.Module):
    """A book holds `size` codes of `channels` numbers each. `beta` weighs how far the encoder is pulled to the codes
    it takes."""

    codes: Tensor  # (size, channels)
    share: Tensor  # (size,): of the positions of the last batches, those that took a code; all 0 before the first

    def __init__(self, size: int, channels: int, beta: float = 0.25):
        super().__init__()
        self.size, self.beta = size, beta
        self.register_buffer("codes", torch.randn(size, channels))
        self.register_buffer("share", torch.zeros(size))

    @torch.no_grad()
    def nearest(self, z: Tensor) -> Tensor:
        """Return the numbers (B, h, w) of the codes nearest to a latent (B, c, h, w)."""
        with torch.autocast(z.device.type, enabled=False):  # bf16 does not tell neighbouring codes apart
            codes = self.codes.to(exact(z))
            half = codes.square().sum(1) / 2  # |z - e|^2 / 2 is this - z e and something that is the same for all codes
            parts = positions(z).to(codes).split(max(1, AT_ONCE // self.size))
            index = torch.cat([torch.addmm(half, part, codes.T, alpha=-1).argmin(1) for part in parts])
        return index.view(z.shape[0], *z.shape[2:])

    def look_up(self, index: Tensor) -> Tensor:
        """Return the codes (B, c, h, w) of numbers (B, h, w)."""
        return F.embedding(index, self.codes).movedim(-1, 1)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the codes of a latent z (B, c, h, w), in that shape, their numbers (B, h, w), and beta |sg(code) -
        z|^2 per number.

        The value is that of the codes, the gradient that of z (straight through).
        """
        z = z.to(exact(z))
        index = self.nearest(z)
        codes = self.look_up(index).to(z)
        return codes + (z - z.detach()), index, self.beta * (codes - z).square().mean()

    @torch.no_grad()
    def begin(self, z: Tensor, seed: int) -> None:
        """Put the codes where the latent z (B, c, h, w) of the first batch is; nothing in a book that has learnt."""
        if not bool(self.share.any()):
            self._move(torch.ones_like(self.share, dtype=torch.bool), z, seed)

    @torch.no_grad()
    def learn(self, z: Tensor, index: Tensor) -> None:
        """Move each code towards the mean of the positions of z (B, c, h, w) that took it, over all processes."""
        rows = F.pad(positions(z).to(self.codes), (0, 1), value=1.0)  # the last column counts
        sums = rows.new_zeros(self.size, rows.shape[1]).index_add_(0, index.flatten(), rows)
        if dist.is_initialized():
            dist.all_reduce(sums)
        sums = sums / sums[:, -1].sum()
        share = torch.lerp(sums[:, -1], self.share, FORGETS)
        total = torch.lerp(sums[:, :-1], self.share[:, None] * self.codes, FORGETS)
        # A code that was never taken has 0 / 0 sooner or later: it stays.
        self.codes.copy_(torch.where(share[:, None] > 1e-12, total / share[:, None], self.codes))
        self.share.copy_(share)

    @torch.no_grad()
    def revive(self, z: Tensor, seed: int) -> int:
        """Move codes that are hardly used to positions of z (B, c, h, w), drawn with `seed`; return how many.

        All processes draw the same positions from the latents of all.
        """
        dead = self.share < DEAD / self.size
        if bool(dead.any()):
            self._move(dead, z, seed)
        return int(dead.sum())

    def _move(self, which: Tensor, z: Tensor, seed: int) -> None:
        pool, count = _gathered(positions(z).to(self.codes)), int(which.sum())
        rng = torch.Generator().manual_seed(seed)
        rounds = math.ceil(count / len(pool))
        drawn = torch.cat([torch.randperm(len(pool), generator=rng) for _ in range(rounds)])[:count]
        self.codes[which] = pool[drawn.to(pool.device)]
        self.share[which] = 1 / self.size


def _gathered(rows: Tensor) -> Tensor:
    """Return (N, c) of all processes, in their order."""
    if not dist.is_initialized():
        return rows
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def perplexity(counts: Tensor) -> float:
    """Return the perplexity of codes taken `counts` (size,) times: exp of the entropy, from 1 (always the same) to
    size (all alike)."""
    p = counts.double() / counts.double().sum()
    return float(torch.special.entr(p).sum().exp())
