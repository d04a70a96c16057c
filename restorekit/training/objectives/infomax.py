"""The scale-invariant loss between two stages (Li et al. 2025, section 4.4): mutual information of their last features.

    I(a, b) = E_joint[-softplus(-T(a, b))] - E_marginals[softplus(T(a, b))]          eq 12, Hjelm et al., "Deep InfoMax"
    L_sir = -I(F_L, F_H),     L = L_denoise + kappa L_sir, kappa = 0.4               eqs 13 and 17 (which prints L_dir)

Where the paper says nothing: F_L is the mean over the grid of the low stage's features, F_H the high stage's on a grid of
8 x 8; T is a small network on both; a pair from the marginals is a picture's F_L with its neighbour's F_H in the batch,
or in the share of the batch that the same process has: pictures of other processes are not compared.
L_sir is 2 ln 2 where T = 0, far above a denoising loss of some hundredths, so kappa rises in the course of a run.
T is not kept.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KAPPA = 0.4
START = 2 * math.log(2)  # L_sir of a critic that knows nothing


class Critic(nn.Module):
    """T: features (B, D_L, h, w) of the low stage and (B, D_H, h', w') of the high one -> scores (B, grid, grid)."""

    def __init__(self, low: int, high: int, width: int = 128, grid: int = 8):
        super().__init__()
        self.grid = grid
        self.low, self.high = nn.Linear(low, width), nn.Linear(high, width)
        self.score = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))
        last = self.score[-1]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        a = self.low(low.float().mean((-2, -1)))[:, None, None]
        b = self.high(F.adaptive_avg_pool2d(high.float(), self.grid).permute(0, 2, 3, 1))
        return self.score(torch.cat([a.expand(*b.shape[:3], -1), b], dim=-1)).squeeze(-1)


def scale_loss(critic: nn.Module, low: Tensor, high: Tensor) -> Tensor:
    """Return L_sir >= 0 for a batch of two pictures or more; gradients reach critic, low and high."""
    if len(low) < 2:
        raise ValueError("the scale-invariant loss compares pictures with each other; use a batch of 2 or more")
    joint, apart = critic(low, high), critic(low, high.roll(1, 0))
    return F.softplus(-joint).mean() + F.softplus(apart).mean()


def kappa_at(step: int, ramp: int, kappa: float = KAPPA) -> float:
    """Return the weight of L_sir: from 0 to `kappa` over the first `ramp` steps, linearly."""
    return kappa * min(1.0, step / max(1, ramp))
