"""Guided sampling: a measurement turns the denoiser of a prior into a conditional one, E[x0 | x, y], which any sampler follows.

Given x = x0 + sigma n alone, x0 has the mean D(x, sigma) and, by Tweedie's formula, the covariance V = sigma^2 J, J the Jacobian
of the denoiser D (Efron, "Tweedie's formula and selection bias", JASA 2011; second order: Meng et al., NeurIPS 2021). Guided methods
differ in what they make of these two and p(y | x0); products with V cost a vector-Jacobian product each.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.solver import Solver, Step
from restorekit.solvers.samplers import Sampler


class Tweedie:
    """It knows mean and covariance of x0 given x (B, C, H, W) at noise level sigma, by one call of the denoiser.

    `x0` is the mean, without its graph. The graph stays as long as this object does.
    """

    def __init__(self, denoise: Denoiser, x: Tensor, sigma: float | Tensor):
        self._sigma = sigma
        with torch.enable_grad():
            self._leaf = x.detach().requires_grad_(True)
            self._mean = denoise(self._leaf, sigma)
        self.x0 = self._mean.detach()

    def transposed(self, v: Tensor, last: bool = False) -> Tensor:
        """Return J'v (B, C, H, W), one vector-Jacobian product; with `last` the graph is freed, so that no other can
        follow."""
        return torch.autograd.grad(self._mean, self._leaf, v, retain_graph=not last)[0]

    def covariance(self, v: Tensor, last: bool = False) -> Tensor:
        """Return V v = sigma^2 J'v (B, C, H, W), J being symmetric where the denoiser is exact."""
        return self._sigma**2 * self.transposed(v, last)


def white_variance(prior_std: float, sigma: float | Tensor) -> float | Tensor:
    """Return the variance of a pixel given x, like sigma, for a prior of independent pixels of deviation `prior_std`."""
    return prior_std**2 * sigma**2 / (prior_std**2 + sigma**2)


@dataclass(frozen=True, eq=False)
class Guided(Solver):
    """A solver that is a conditional denoiser and a sampler of the prior that follows it."""

    @abstractmethod
    def process(self) -> Sampler:
        """Return the sampler that follows the conditional denoiser."""

    @abstractmethod
    def conditional(self, problem: Problem, denoise: Denoiser, /) -> Denoiser:
        """Return E[x0 | x, y] for a batch x of as many pictures as `problem.y` has measurements, and sigma a number.

        It may begin an iteration where the call before ended, so that it belongs to one run down the noise levels.
        """

    def calls(self, sigmas: Sequence[float]) -> int:
        return self.process().calls(len(sigmas) - 1)

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        yield from self.process()(self.conditional(problem, denoise), sigmas, x, rng)
