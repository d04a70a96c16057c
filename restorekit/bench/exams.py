"""Problems whose posterior is known exactly: what a posterior sampler is examined on.

Gaussian priors (closed form), mixtures of Gaussians (closed form; many modes), and scalar log intensities and counts
(quadrature). All are in the unit of a picture on [0, 1], give or take, so that every solver's own schedule fits.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from restorekit.likelihood import Gamma, Gaussian, Likelihood, Poisson
from restorekit.operators import BlockAverage, CircularBlur, Identity, Inpaint, Matrix, SVDOperator
from restorekit.priors.analytic import Conditioned, GaussianMixture, GaussianPrior
from restorekit.types import Denoiser, Problem

SHAPE = (1, 1, 16)
F64 = torch.float64


@dataclass(frozen=True, eq=False)
class Exam(ABC):
    """Draws (x0, y), states the problem, and draws from its exact posterior."""

    name: str

    @property
    @abstractmethod
    def prior(self) -> Denoiser: ...
    @property
    @abstractmethod
    def prior_std(self) -> float:
        """Per pixel, for solvers that ask."""

    @abstractmethod
    def draw(self, count: int, seed: int) -> tuple[Tensor, Tensor]: ...
    @abstractmethod
    def problem(self, y: Tensor) -> Problem: ...
    @abstractmethod
    def exact(self, y: Tensor, count: int, seed: int) -> Tensor:
        """(B, count, C, H, W): draws from the posterior of each y (B, ...)."""

    @abstractmethod
    def moments(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Exact posterior mean (B, C, H, W) and total variance (B,)."""

    @abstractmethod
    def control(self, y: Tensor, repeats: int) -> Denoiser:
        """E[x0 | x, y] for `repeats` chains per y, in the order of `y.repeat_interleave(repeats, 0)`."""


@dataclass(frozen=True, eq=False)
class GaussianExam(Exam):
    operator: SVDOperator
    sigma_y: float = 0.05

    @cached_property
    def prior(self) -> GaussianPrior:  # type: ignore[override]
        return GaussianPrior.smooth(self.operator.image_shape, power=1.0)

    prior_std = 0.25  # type: ignore[assignment]

    def draw(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        g = torch.Generator().manual_seed(seed)
        x0 = self.prior.sample(count, g)
        return x0, Gaussian(self.sigma_y).sample(self.operator(x0), g)

    def problem(self, y: Tensor) -> Problem:
        return Problem(y, self.operator, Gaussian(self.sigma_y))

    @cached_property
    def covariance(self) -> Tensor:
        """(n, n); the same for every y."""
        return self.prior.posterior(self.operator, self.draw(1, 0)[1], self.sigma_y)[1]

    def moments(self, y: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.prior.posterior(self.operator, y, self.sigma_y)[0]
        return mean, self.covariance.trace().expand(len(y))

    def exact(self, y: Tensor, count: int, seed: int) -> Tensor:
        g, mean = torch.Generator().manual_seed(seed), self.moments(y)[0]
        values, vectors = torch.linalg.eigh(self.covariance)
        z = torch.randn(len(y), count, len(values), generator=g, dtype=F64)
        return mean[:, None] + (z * values.clamp(min=0).sqrt() @ vectors.T).view(len(y), count, *mean.shape[1:])

    def control(self, y: Tensor, repeats: int) -> Denoiser:
        one = Conditioned.of(self.prior, self.operator, y[:1], self.sigma_y)
        mean = self.moments(y)[0].repeat_interleave(repeats, 0)
        return lambda x, sigma: one(x - mean + one.mean, sigma) + mean - one.mean


@dataclass(frozen=True, eq=False)
class MixtureExam(Exam):
    """Cardoso et al., ICLR 2024 (MCG-Diff), section 5: 25 components on a grid, a random matrix of `dy` rows; unit 0.1."""

    dy: int
    seed: int = 0
    unit: float = 0.1
    dim: int = 8

    @cached_property
    def _made(self) -> tuple[GaussianMixture, Matrix, float]:
        g = torch.Generator().manual_seed(1000 * self.dy + self.seed)
        grid = torch.tensor([[8.0 * i, 8.0 * j] for i in range(-2, 3) for j in range(-2, 3)], dtype=F64)
        means = grid.repeat(1, self.dim // 2).view(25, 1, 1, self.dim) * self.unit
        weights = torch.rand(25, generator=g, dtype=F64)
        prior = GaussianMixture(weights / weights.sum(), means, torch.full_like(means, self.unit**2))
        u = torch.linalg.qr(torch.randn(self.dy, self.dy, generator=g, dtype=F64))[0]
        v = torch.linalg.qr(torch.randn(self.dim, self.dim, generator=g, dtype=F64))[0]
        s = torch.rand(self.dy, generator=g, dtype=F64)
        sigma_y = float(torch.rand(1, generator=g).clamp(min=0.05)) * self.unit * float(s.max())
        return prior, Matrix((1, 1, self.dim), u @ (s[:, None] * v[: self.dy])), sigma_y

    @property
    def prior(self) -> GaussianMixture:  # type: ignore[override]
        return self._made[0]

    @property
    def prior_std(self) -> float:
        return self.unit * math.sqrt(1 + 64 * 2)

    def draw(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        prior, operator, sigma_y = self._made
        g = torch.Generator().manual_seed(seed)
        x0 = prior.sample(count, g)
        return x0, Gaussian(sigma_y).sample(operator(x0), g)

    def problem(self, y: Tensor) -> Problem:
        return Problem(y, self._made[1], Gaussian(self._made[2]))

    def _posterior(self, y: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        prior, operator, sigma_y = self._made
        return [prior.posterior(operator, one[None], sigma_y) for one in y]

    def moments(self, y: Tensor) -> tuple[Tensor, Tensor]:
        means, variances = [], []
        for w, m, c in self._posterior(y):
            mean = torch.einsum("k,kchw->chw", w, m)
            spread = (m - mean).square().flatten(1).sum(1) + c.diagonal(dim1=1, dim2=2).sum(1)
            means.append(mean)
            variances.append((w * spread).sum())
        return torch.stack(means), torch.stack(variances)

    def exact(self, y: Tensor, count: int, seed: int) -> Tensor:
        g, out = torch.Generator().manual_seed(seed), []
        for w, m, c in self._posterior(y):
            k = torch.multinomial(w, count, replacement=True, generator=g)
            root = torch.linalg.cholesky(c + 1e-14 * torch.eye(self.dim, dtype=F64))
            z = torch.randn(count, self.dim, 1, generator=g, dtype=F64)
            out.append(m[k] + (root[k] @ z).view(count, *m.shape[1:]))
        return torch.stack(out)

    def control(self, y: Tensor, repeats: int) -> Denoiser:
        """For one measurement: sum_k R_k E_k[x0 | x, y], R_k the responsibilities of the posterior's components."""
        (w, m, c) = self._posterior(y[:1])[0]
        values, vectors = torch.linalg.eigh(c)

        def denoise(x: Tensor, sigma: float | Tensor, /) -> Tensor:
            s2 = float(torch.as_tensor(sigma).max()) ** 2
            z = torch.einsum("bkn,kne->bke", (x[:, None] - m).flatten(2), vectors)
            total = values.clamp(min=0) + s2
            log = w.log() - 0.5 * (z**2 / total + total.log()).sum(2)
            part = torch.einsum("bke,kne->bkn", values.clamp(min=0) / total * z, vectors) + m.flatten(1)
            return torch.einsum("bk,bkn->bn", log.softmax(1), part).view_as(x)

        return denoise


@dataclass(frozen=True, eq=False)
class ScalarExam(Exam):
    """Single pixels under a mixture prior and any noise law; the posterior on a grid of `points`."""

    law: Likelihood
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    weights: tuple[float, ...] = (0.5, 0.3, 0.2)
    points: int = 4000

    @cached_property
    def prior(self) -> GaussianMixture:  # type: ignore[override]
        w, m, s = (torch.tensor(t, dtype=F64) for t in (self.weights, self.means, self.deviations))
        return GaussianMixture(w, m.view(-1, 1, 1, 1), s.view(-1, 1, 1, 1) ** 2)

    @property
    def prior_std(self) -> float:
        w, m, s = (torch.tensor(t, dtype=F64) for t in (self.weights, self.means, self.deviations))
        return float(((w * (m**2 + s**2)).sum() - (w * m).sum() ** 2).sqrt())

    def draw(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        g = torch.Generator().manual_seed(seed)
        x0 = self.prior.sample(count, g)
        return x0, self.law.sample(x0, g)

    def problem(self, y: Tensor) -> Problem:
        return Problem(y, Identity((1, 1, 1)), self.law)

    @cached_property
    def grid(self) -> Tensor:
        reach = 6 * max(self.deviations)
        return torch.linspace(min(self.means) - reach, max(self.means) + reach, self.points, dtype=F64)

    def _mass(self, y: Tensor, log_extra: Tensor | float = 0.0) -> Tensor:
        """(B, points): the posterior on the grid, with a further log factor."""
        w, m, s = (torch.tensor(t, dtype=F64).view(-1, 1) for t in (self.weights, self.means, self.deviations))
        log_prior = (w.log() - s.log() - 0.5 * ((self.grid - m) / s) ** 2).logsumexp(0)
        nll = self.law.unit_nll(y.view(-1, 1).expand(-1, len(self.grid)), self.grid.expand(len(y), -1))
        return (log_prior - nll + log_extra).softmax(1)

    def moments(self, y: Tensor) -> tuple[Tensor, Tensor]:
        mass = self._mass(y)
        mean = mass @ self.grid
        return mean.view(-1, 1, 1, 1), mass @ self.grid**2 - mean**2

    def exact(self, y: Tensor, count: int, seed: int) -> Tensor:
        u = torch.rand(len(y), count, generator=torch.Generator().manual_seed(seed), dtype=F64)
        i = torch.searchsorted(self._mass(y).cumsum(1), u).clamp(max=len(self.grid) - 1)
        return self.grid[i].view(len(y), count, 1, 1, 1)

    def control(self, y: Tensor, repeats: int) -> Denoiser:
        mass = self._mass(y).log().repeat_interleave(repeats, 0)

        def denoise(x: Tensor, sigma: float | Tensor, /) -> Tensor:
            s = float(torch.as_tensor(sigma).max())
            log = mass - 0.5 * ((x.view(-1, 1) - self.grid) / s) ** 2
            return (log.softmax(1) @ self.grid).view_as(x)

        return denoise


def _half() -> Tensor:
    return (torch.arange(16) % 2 == 0).double().view(SHAPE)


def _bell() -> Tensor:
    k = torch.exp(-0.5 * (torch.arange(-3, 4, dtype=F64) / 1.2) ** 2)
    return (k / k.sum())[None]


LOG = (-0.6, 0.2, 0.9), (0.25, 0.2, 0.3)  # means, deviations
COUNT = (0.3, 0.5, 0.8), (0.06, 0.05, 0.08)

EXAMS: dict[str, Callable[[], Exam]] = {
    "gauss-denoise": lambda: GaussianExam("gauss-denoise", Identity(SHAPE)),
    "gauss-inpaint": lambda: GaussianExam("gauss-inpaint", Inpaint(SHAPE, _half())),
    "gauss-sr": lambda: GaussianExam("gauss-sr", BlockAverage(SHAPE, 4)),
    "gauss-blur": lambda: GaussianExam("gauss-blur", CircularBlur(SHAPE, _bell())),
    "gmm-1": lambda: MixtureExam("gmm-1", 1),
    "gmm-2": lambda: MixtureExam("gmm-2", 2),
    "gmm-4": lambda: MixtureExam("gmm-4", 4),
    "gamma-1": lambda: ScalarExam("gamma-1", Gamma(1, "log"), *LOG),
    "gamma-4": lambda: ScalarExam("gamma-4", Gamma(4, "log"), *LOG),
    "gamma-16": lambda: ScalarExam("gamma-16", Gamma(16, "log"), *LOG),
    "poisson-20": lambda: ScalarExam("poisson-20", Poisson(20), *COUNT),
}
