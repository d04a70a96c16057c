"""A result is checked without a truth by what it leaves unexplained: with the right operator and noise that is noise.

In deviations of the noise, z = (y - A x) / sigma. Its neighbours are independent, and its root mean square is 1 at every
brightness, less where x follows the noise. Neighbours that share something are structure that x lost, a kernel that is off, or
noise that is not white; a misfit that grows with brightness, or in the dark, is noise of another law, or a curve that is not that
of the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.inference.censored import Censored
from restorekit.inference.coloured import whitened
from restorekit.inference.problem import Problem
from restorekit.operators.diagonal import Inpaint

LEAST = 256  # values that count, of which nothing is said below


@dataclass(frozen=True, eq=False)
class Unexplained:
    """The residual of a picture: `deviations` (C, H, W), NaN where nothing was measured, or a value says only on which side
    its mean is.

    right, below: correlation with the neighbour there, 0 of white noise. misfits: root mean square of the darkest, the middle
    and the brightest third of the values, by A x.
    """

    deviations: Tensor
    right: float
    below: float
    misfits: tuple[float, float, float]

    def record(self) -> dict[str, Any]:
        """Return the figures, as JSON takes them; None for what too few values say."""
        dark, middle, bright = (None if math.isnan(v) else round(v, 3) for v in self.misfits)
        right, below = (None if math.isnan(v) else round(v, 3) for v in (self.right, self.below))
        return {"right": right, "below": below, "misfit_dark": dark, "misfit_middle": middle, "misfit_bright": bright}


def residual_of(problem: Problem, x: Tensor) -> Unexplained | None:
    """Return what a picture x (1, C, H, W) leaves of the first measurement; None where that is no picture, or its noise law does
    not say how noisy it is."""
    try:
        problem = whitened(problem)
        y, mean, law = problem.y[:1], problem.operator(x), problem.likelihood
        if y.ndim != 4 or min(y.shape[2:]) < 2 or not law.unbiased:
            return None
        z = ((y - mean) * law.information(mean).sqrt()).double()
    except Unsupported:
        return None
    told = torch.ones_like(z, dtype=torch.bool) if problem.mask is None else (problem.mask[:1] > 0).expand_as(z)
    if isinstance(problem.operator, Inpaint):
        told = told & (problem.operator.mask.to(z.device) > 0)
    if isinstance(law, Censored):
        told = told & ~law.stopped[:1]
    if int(told.sum()) < LEAST:
        return None
    values, at = z[told], mean.double()[told]
    first, second = at.quantile(1 / 3), at.quantile(2 / 3)
    parts = (at <= first, (at > first) & (at <= second), at > second)
    dark, middle, bright = (float(values[part].square().mean().sqrt()) for part in parts)
    centred = torch.where(told, z - values.mean(), 0.0)
    right, below = (_shared(centred, told, axis) for axis in (-1, -2))
    return Unexplained(torch.where(told, z, math.nan)[0].float(), right, below, (dark, middle, bright))


def _shared(z: Tensor, told: Tensor, axis: int) -> float:
    """Return the correlation of z with what is beside it along an axis, where both count; NaN where few do."""
    n = z.shape[axis] - 1
    both = told.narrow(axis, 0, n) & told.narrow(axis, 1, n)
    one, other = z.narrow(axis, 0, n)[both], z.narrow(axis, 1, n)[both]
    size = (one.square().sum() * other.square().sum()).sqrt()
    return float((one * other).sum() / size) if len(one) >= LEAST and float(size) > 0 else math.nan
