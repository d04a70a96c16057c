"""Fusion by selection finds the picture of least absolute distances to an estimate, an optical and a radar picture.

In values and in gradients (Zhang, Wang, Han 2023; Wang, Wu, Li, Yang 2025, eqs 25 and 26):

    min_f |f - x0| + a |f - o| + b |f - r| + c |grad f - grad o| + d |grad f - grad r|        (anisotropic)

It selects and never blends: without the gradients f is the weighted median of the three, x0 where 1 > a + b, o where a
> 1 + b. Solved by ADMM, whose two proximal steps are medians (Li, Osher, "A new median formula", 2009) and whose linear
step is a cosine transform.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from restorekit.operators.transforms import dct2, idct2


def weighted_median_prox(s: Tensor, data: Sequence[Tensor], weights: Sequence[float | Tensor], step: float) -> Tensor:
    """Return argmin_z sum_i w_i |z - d_i| + (z - s)^2 / (2 step), per value.

    It is the median of d_1 .. d_n and s + step W_0 .. W_n, d rising and W_k = sum of all w - 2 (w_1 + .. + w_k). W
    falls where d rises, so that this median is the least of s + step W_0 and max(d_k, s + step W_k).
    """
    d, w = _sorted(list(data), [torch.as_tensor(x, dtype=s.dtype, device=s.device) for x in weights])
    at = s + step * reduce(torch.add, w)
    least = at
    for x, weight in zip(d, w):
        at = at - 2 * step * weight
        least = torch.minimum(least, torch.maximum(x, at))
    return least


def _sorted(d: list[Tensor], w: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Sort per value, rising in d, each with its weight: a network of exchanges of neighbours."""
    for last in range(len(d) - 1, 0, -1):
        for i in range(last):
            falls = d[i] > d[i + 1]
            d[i], d[i + 1] = torch.minimum(d[i], d[i + 1]), torch.maximum(d[i], d[i + 1])
            w[i], w[i + 1] = torch.where(falls, w[i + 1], w[i]), torch.where(falls, w[i], w[i + 1])
    return d, w


def gradient(f: Tensor) -> Tensor:
    """Return forward differences down and to the right, (2, ..., H, W), 0 at the last row and column."""
    down, right = torch.zeros_like(f), torch.zeros_like(f)
    down[..., :-1, :] = f[..., 1:, :] - f[..., :-1, :]
    right[..., :-1] = f[..., 1:] - f[..., :-1]
    return torch.stack([down, right])


def divergence(g: Tensor) -> Tensor:
    """Return minus the adjoint of `gradient`, (..., H, W)."""
    down, right = g[0].clone(), g[1].clone()
    down[..., -1, :] = 0
    right[..., -1] = 0
    down[..., 1:, :] -= g[0][..., :-1, :]
    right[..., 1:] -= g[1][..., :-1]
    return down + right


class Iterate(NamedTuple):
    """An iterate of ADMM holds the copies u of f and v of its gradient, and the scaled multipliers of both."""

    u: Tensor
    v: Tensor
    p: Tensor
    q: Tensor


class Sources(NamedTuple):
    """The optical and the radar picture (..., H, W) in [0, 1], and what share of its weight each of their pixels has.

    0 where there is none, whatever value stands there; None for 1 everywhere.
    """

    o: Tensor
    r: Tensor
    weight_o: Tensor | None = None
    weight_r: Tensor | None = None


class Terms(NamedTuple):
    """It holds the data and weights of both proximal steps."""

    values: tuple[Tensor, Tensor]
    value_weights: tuple[float | Tensor, float | Tensor]
    slopes: tuple[Tensor, Tensor]
    slope_weights: tuple[float | Tensor, float | Tensor]


@dataclass(frozen=True)
class Selection:
    """Settings of the objective; the call solves it. Pictures are (..., H, W) in [0, 1]."""

    a: float = 0.6  # weight of the optical picture
    b: float = 0.55  # of the radar picture
    c: float = 1.5  # of the optical gradients
    d: float = 1.0  # of the radar gradients
    rho: float = 10.0
    iterations: int = 100

    def __post_init__(self) -> None:
        finite = all(0 <= w < math.inf for w in (self.a, self.b, self.c, self.d))
        if not finite or not 0 < self.rho < math.inf or self.iterations < 1:
            raise ValueError("weights must be 0 or more, rho above 0, iterations at least 1")

    def terms(self, sources: Sources) -> Terms:
        """Return data and weights. Values that do not count are 0, and a gradient counts as the lesser of its two
        pixels."""
        terms = []
        for x, weight, value, slope in (
            (sources.o, sources.weight_o, self.a, self.c),
            (sources.r, sources.weight_r, self.b, self.d),
        ):
            if weight is None:
                terms.append((x, value, gradient(x), slope))
                continue
            weight = weight.to(x)
            x = torch.where(weight > 0, x, 0.0)
            terms.append((x, value * weight, gradient(x), slope * _between(weight)))
        return Terms(*zip(*terms))

    def objective(self, f: Tensor, x0: Tensor, sources: Sources) -> Tensor:
        """Return the objective of each picture: (...,)."""
        t = self.terms(sources)
        values = sum((w * (f - x).abs() for x, w in zip(t.values, t.value_weights)), (f - x0).abs())
        g = gradient(f)
        slopes = sum((w * (g - x).abs() for x, w in zip(t.slopes, t.slope_weights)), torch.zeros_like(g))
        return (values + slopes.sum(0)).sum((-2, -1))

    def __call__(
        self,
        x0: Tensor,
        sources: Sources,
        start: Iterate | None = None,
        shown: Callable[[int, int], None] | None = None,
    ) -> tuple[Tensor, Iterate]:
        """Return the fused picture, and where a next call with another x0 may go on from. shown: (iterations done, in
        all)."""
        step, t = 1 / self.rho, self.terms(sources)
        u, v, p, q = start or Iterate(x0, gradient(x0), torch.zeros_like(x0), torch.zeros_like(t.slopes[0]))
        eigenvalues = _laplacian(x0)
        for i in range(self.iterations):
            f = idct2(dct2((u - p) - divergence(v - q)) / (1 + eigenvalues))
            slope = gradient(f)
            u = weighted_median_prox(f + p, (x0, *t.values), (1.0, *t.value_weights), step)
            v = weighted_median_prox(slope + q, t.slopes, t.slope_weights, step)
            p, q = p + f - u, q + slope - v
            if shown is not None:
                shown(i + 1, self.iterations)
        return u, Iterate(u, v, p, q)


def _between(weight: Tensor) -> Tensor:
    """Return weights (2, ..., H, W) of the differences of `gradient`."""
    down, right = weight.clone(), weight.clone()
    down[..., :-1, :] = torch.minimum(weight[..., 1:, :], weight[..., :-1, :])
    right[..., :-1] = torch.minimum(weight[..., 1:], weight[..., :-1])
    return torch.stack([down, right])


def _laplacian(like: Tensor) -> Tensor:
    """Return the eigenvalues (H, W) of minus div grad in the cosine basis."""
    mus = [
        2 - 2 * torch.cos(torch.pi * torch.arange(n, dtype=like.dtype, device=like.device) / n) for n in like.shape[-2:]
    ]
    return mus[0][:, None] + mus[1]
