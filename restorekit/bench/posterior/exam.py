"""An exam is a problem whose posterior can be drawn from exactly, so that a solver's samples can be judged.

An exam of one's own is a dataclass on `Exam` with `prior`, `draw`, `problem` and `exact`; its moments and probabilities
are then taken from 4000 exact draws, whose own error (0.016 deviations of a mean, 0.011 of a spread, 0.005 of a
coverage) is in no standard error. `restorekit bench posterior --problem mine.py:MyExam` runs it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.operators import LinearOperator
from restorekit.priors.analytic import dense

F64 = torch.float64
REFERENCE = 4000  # exact draws that stand for a posterior without closed form


class Exam(ABC):
    """Draws pairs (x0, y), states the problem, and draws from its exact posterior; on the CPU, best in float64.

    Pictures are (B, C, H, W) in the numbers of the prior; n = C H W. Where `prior` has `units` (`restorekit.inference.units`),
    `restore` gives solvers the problem in them.
    """

    prior: Denoiser  # E[x0 | x], all that a solver is told of the prior
    separate: ClassVar[bool] = False  # pixels are independent of each other: each counts as a measurement of its own

    @abstractmethod
    def draw(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        """Return (x0, y), `count` pictures of the prior and their measurements (count, ...)."""

    @abstractmethod
    def problem(self, y: Tensor) -> Problem:
        """Return the problem of measurements y (B, ...), as a user states it."""

    @abstractmethod
    def exact(self, y: Tensor, count: int, seed: int) -> Tensor:
        """Return (B, count, C, H, W): draws from the posterior of each y (B, ...)."""

    def mean(self, y: Tensor) -> Tensor:
        """Return (B, n): the exact posterior mean."""
        return self._reference(y).mean(1)

    def covariance(self, y: Tensor) -> Tensor:
        """Return (B, n, n): the exact posterior covariance."""
        off = self._reference(y)
        off = off - off.mean(1, keepdim=True)
        return off.mT @ off / (REFERENCE - 1)

    def cdf(self, y: Tensor, v: Tensor, t: Tensor) -> Tensor:
        """Return (B, q, k): exact posterior probability that v'x is below t (B, q, k); v (n, k) are unit directions."""
        along = (self._reference(y) @ v).mT.contiguous().sort(2).values
        return torch.searchsorted(along, t.mT.contiguous()).mT.to(F64) / REFERENCE

    def _reference(self, y: Tensor) -> Tensor:
        """Return exact draws (B, REFERENCE, n)."""
        return self.exact(y, REFERENCE, 1).flatten(2).to(F64)

    def conditioned(self, y: Tensor) -> Denoiser | None:
        """Return E[x0 | x, y] of one measurement y (1, ...), for any number of chains x; None where it is not known."""
        return None

    @cached_property
    def directions(self) -> tuple[Tensor, Tensor]:
        """Return (n, k) measured and (n, n - k) not: right singular vectors of A above and below a tenth of the largest gain.

        All pixels count as measured where the operator is not linear.
        """
        x0, y = self.draw(1, 0)
        operator = self.problem(y).operator
        if not isinstance(operator, LinearOperator):
            n = x0[0].numel()
            return torch.eye(n, dtype=F64), torch.zeros(n, 0, dtype=F64)
        _, s, vh = torch.linalg.svd(dense(operator, x0[0]).to(F64), full_matrices=True)
        k = int((s > 0.1 * s.max()).sum())
        return vh[:k].T, vh[k:].T


@dataclass(frozen=True, eq=False)
class LinearExam(Exam):
    """y = A x0 + sigma_y n; the prior can be drawn from."""

    operator: LinearOperator
    sigma_y: float

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return (count, C, H, W), pictures of the prior."""

    def draw(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        g = torch.Generator().manual_seed(seed)
        x0 = self.sample(count, g)
        return x0, Gaussian(self.sigma_y).sample(self.operator(x0), g)

    def problem(self, y: Tensor) -> Problem:
        return Problem(y, self.operator, Gaussian(self.sigma_y))

    @cached_property
    def matrix(self) -> Tensor:
        """Return (m, n), A."""
        return dense(self.operator, torch.zeros(self.operator.image_shape, dtype=F64))


def gain(a: Tensor, c: Tensor, sigma_y: float) -> tuple[Tensor, Tensor]:
    """Return (..., n, m) and (..., n, n): how a Gaussian of covariance c (..., n, n) follows y = A x + sigma_y n, and what is left.

    The covariance in the form of Joseph, which rounding cannot make negative.
    """
    k = torch.linalg.solve(a @ c @ a.T + sigma_y**2 * torch.eye(len(a), dtype=a.dtype), a @ c).mT
    keep = torch.eye(a.shape[1], dtype=a.dtype) - k @ a
    return k, keep @ c @ keep.mT + sigma_y**2 * k @ k.mT
