"""Fusion by selection: the picture of least absolute distances to an estimate, an optical and a radar picture, in values and
in gradients (Zhang, Wang, Han 2023; seed 002, eqs 25 and 26).

    min_f |f - x0| + a |f - o| + b |f - r| + c |grad f - grad o| + d |grad f - grad r|        (anisotropic)

It selects and never blends: without the gradients f is the weighted median of the three, x0 where 1 > a + b, o where
a > 1 + b. Solved by ADMM, whose two proximal steps are medians (Li, Osher, "A new median formula", 2009) and whose linear
step is a cosine transform.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from restorekit.operators.transforms import dct2, idct2


def weighted_median_prox(s: Tensor, data: Sequence[Tensor], weights: Sequence[float | Tensor], step: float) -> Tensor:
    """argmin_z sum_i w_i |z - d_i| + (z - s)^2 / (2 step), per value: the median of d_1 .. d_n and s + step W_0 .. W_n, d
    rising and W_k = sum of all w - 2 (w_1 + .. + w_k)."""
    d = torch.stack([x.expand_as(s) for x in data])
    w = torch.stack([torch.as_tensor(x, dtype=s.dtype, device=s.device).expand_as(s) for x in weights])
    d, order = d.sort(0)
    below = torch.cat([torch.zeros_like(s)[None], w.gather(0, order).cumsum(0)])
    return torch.cat([d, s + step * (below[-1] - 2 * below)]).median(0).values


def gradient(f: Tensor) -> Tensor:
    """(2, ..., H, W): forward differences down and to the right, 0 at the last row and column."""
    down, right = torch.zeros_like(f), torch.zeros_like(f)
    down[..., :-1, :] = f[..., 1:, :] - f[..., :-1, :]
    right[..., :-1] = f[..., 1:] - f[..., :-1]
    return torch.stack([down, right])


def divergence(g: Tensor) -> Tensor:
    """Minus the adjoint of `gradient`."""
    down, right = g[0].clone(), g[1].clone()
    down[..., -1, :] = 0
    right[..., -1] = 0
    down[..., 1:, :] -= g[0][..., :-1, :]
    right[..., 1:] -= g[1][..., :-1]
    return down + right


class Iterate(NamedTuple):
    """Of ADMM: the copies u of f and v of its gradient, and the scaled multipliers of both."""

    u: Tensor
    v: Tensor
    p: Tensor
    q: Tensor


@dataclass(frozen=True)
class Selection:
    """Settings of the objective; the call solves it. Pictures are (..., H, W) in [0, 1]."""

    a: float = 0.45  # weight of the optical picture
    b: float = 0.4  # of the radar picture
    c: float = 0.9  # of the optical gradients
    d: float = 0.6  # of the radar gradients
    rho: float = 10.0
    iterations: int = 100

    def __post_init__(self) -> None:
        if min(self.a, self.b, self.c, self.d) < 0 or self.rho <= 0 or self.iterations < 1:
            raise ValueError("weights must be 0 or more, rho above 0, iterations at least 1")

    def objective(self, f: Tensor, x0: Tensor, o: Tensor, r: Tensor) -> Tensor:
        """Of each picture: (...,)."""
        values = (f - x0).abs() + self.a * (f - o).abs() + self.b * (f - r).abs()
        g = gradient(f)
        slopes = (self.c * (g - gradient(o)).abs() + self.d * (g - gradient(r)).abs()).sum(0)
        return (values + slopes).sum((-2, -1))

    def __call__(self, x0: Tensor, o: Tensor, r: Tensor, start: Iterate | None = None) -> tuple[Tensor, Iterate]:
        """The fused picture, and where a next call with another x0 may go on from."""
        step, (go, gr) = 1 / self.rho, (gradient(o), gradient(r))
        u, v, p, q = start or Iterate(x0, gradient(x0), torch.zeros_like(x0), torch.zeros_like(go))
        eigenvalues = _laplacian(x0)
        for _ in range(self.iterations):
            f = idct2(dct2((u - p) - divergence(v - q)) / (1 + eigenvalues))
            slope = gradient(f)
            u = weighted_median_prox(f + p, (x0, o, r), (1.0, self.a, self.b), step)
            v = weighted_median_prox(slope + q, (go, gr), (self.c, self.d), step)
            p, q = p + f - u, q + slope - v
        return u, Iterate(u, v, p, q)


def _laplacian(like: Tensor) -> Tensor:
    """(H, W): eigenvalues of minus div grad in the cosine basis."""
    mus = [
        2 - 2 * torch.cos(torch.pi * torch.arange(n, dtype=like.dtype, device=like.device) / n) for n in like.shape[-2:]
    ]
    return mus[0][:, None] + mus[1]
