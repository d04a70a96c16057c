"""Gaussian pictures with any covariance, dense: no operator shares its basis, as none shares that of photographs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from restorekit.bench.posterior.exam import F64, LinearExam, gain
from restorekit.inference.denoiser import Denoiser
from restorekit.operators import BlockAverage, CircularBlur, Identity, Inpaint, LinearOperator, Matrix
from restorekit.priors.precond import per_item

SIDE = 8
SHAPE = (1, SIDE, SIDE)
N = SIDE * SIDE


class Normal(Protocol):
    """A Gaussian prior: `priors.analytic.GaussianPrior`, or `Dense`."""

    @property
    def mean(self) -> Tensor: ...
    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor: ...
    def sample(self, count: int, generator: torch.Generator) -> Tensor: ...
    def covariance(self) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Dense:
    """N(mean, C): mean (C, H, W), C any covariance (n, n). As a denoiser, E[x0 | x]."""

    mean: Tensor
    matrix: Tensor

    @cached_property
    def _eigen(self) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh((self.matrix + self.matrix.T) / 2)
        return values.clamp(min=0), vectors

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        values, vectors = (t.to(x) for t in self._eigen)
        mean = self.mean.to(x)
        c = (x - mean).flatten(1) @ vectors
        return mean + (values / (values + per_item(sigma, c) ** 2) * c @ vectors.T).view_as(x)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw `count` pictures (count, C, H, W)."""
        values, vectors = self._eigen
        z = torch.randn(count, len(values), generator=generator, dtype=F64)
        return self.mean + (z * values.sqrt() @ vectors.T).view(count, *self.mean.shape)

    def covariance(self) -> Tensor:
        return self.matrix


@dataclass(frozen=True, eq=False)
class GaussianExam(LinearExam):
    """A Gaussian prior: the posterior by dense algebra, in any basis."""

    prior: Normal  # type: ignore[assignment]

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        return self.prior.sample(count, generator)

    @cached_property
    def _known(self) -> tuple[Tensor, Tensor]:
        return gain(self.matrix, self.prior.covariance().to(F64), self.sigma_y)

    @property
    def posterior(self) -> Tensor:
        """Return (n, n): the covariance of the posterior, the same for every y."""
        return self._known[1]

    def mean(self, y: Tensor) -> Tensor:
        mean = self.prior.mean.flatten().to(F64)
        return mean + (y.flatten(1) - self.matrix @ mean) @ self._known[0].T

    def covariance(self, y: Tensor) -> Tensor:
        return self.posterior.expand(len(y), -1, -1)

    def cdf(self, y: Tensor, v: Tensor, t: Tensor) -> Tensor:
        deviations = (v * (self.posterior @ v)).sum(0).clamp(min=0).sqrt()
        return torch.special.ndtr((t - (self.mean(y) @ v)[:, None]) / deviations)

    def _around(self, mean: Tensor) -> Dense:
        return Dense(mean.view(self.operator.image_shape), self.posterior)

    def exact(self, y: Tensor, count: int, seed: int) -> Tensor:
        g, shape = torch.Generator().manual_seed(seed), self.operator.image_shape
        draws = self._around(torch.zeros(shape, dtype=F64)).sample(len(y) * count, g)
        return self.mean(y).view(-1, 1, *shape) + draws.view(len(y), count, *shape)

    def conditioned(self, y: Tensor) -> Denoiser:
        return self._around(self.mean(y)[0])


def stationary() -> Dense:
    """Return the covariance exp(-distance / 2.5 pixels), deviation 0.25 about 0.5: a photograph's, nearly; without the wrap of a Fourier basis."""
    at = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE)).double()
    return Dense(torch.full(SHAPE, 0.5, dtype=F64), 0.25**2 * torch.exp(-torch.cdist(at, at) / 2.5))


def mixed() -> Dense:
    """Return a covariance of eigenvalues 1 / k^2 in random directions: the ratio of the largest to the least deviation is 64."""
    g = torch.Generator().manual_seed(7)
    q = torch.linalg.qr(torch.randn(N, N, generator=g, dtype=F64))[0]
    values = torch.arange(1, N + 1, dtype=F64) ** -2.0
    c = q * values @ q.T
    return Dense(torch.full(SHAPE, 0.5, dtype=F64), c * (0.25**2 * N / c.trace()))


def half() -> Inpaint:
    """Measure half of the pixels, drawn at random."""
    return Inpaint(SHAPE, (torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)) > 0.5).double())


def bell() -> CircularBlur:
    """Return a Gaussian kernel of deviation 0.8 pixels: gains from 1 to 0.007."""
    k = torch.exp(-0.5 * (torch.arange(-2, 3, dtype=F64) / 0.8) ** 2)
    return CircularBlur(SHAPE, torch.outer(k, k) / k.sum() ** 2)


def random_rows() -> Matrix:
    """Return 24 random measurements of 64 pixels, each a sum of all of them with weights of variance 1 / 64."""
    g = torch.Generator().manual_seed(3)
    return Matrix(SHAPE, torch.randn(24, N, generator=g, dtype=F64) / N**0.5)


def quarter() -> BlockAverage:
    """Return the means of 4 x 4 pixels."""
    return BlockAverage(SHAPE, 4)


PRIORS: dict[str, Callable[[], Dense]] = {"stationary": stationary, "random": mixed}
OPERATORS: dict[str, Callable[[], LinearOperator]] = {
    "denoise": lambda: Identity(SHAPE), "inpaint": half, "average": quarter, "blur": bell, "dense": random_rows,
}  # fmt: skip
