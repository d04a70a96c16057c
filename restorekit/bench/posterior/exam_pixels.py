"""Pixels that are independent of each other, under any noise law: the posterior of each on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from restorekit.bench.posterior.exam import F64, Exam
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.likelihood import Gamma, Likelihood, Poisson
from restorekit.inference.problem import Problem
from restorekit.inference.units import Units
from restorekit.operators import Identity
from restorekit.priors.precond import per_item

SIDE = 4


@dataclass(frozen=True, eq=False)
class PixelPrior:
    """Each pixel ~ sum_k w_k N(m_k, s_k^2), independent of the others. As a denoiser, E[x0 | x]; of pictures of any shape."""

    means: tuple[float, ...]
    deviations: tuple[float, ...]
    weights: tuple[float, ...] = (1.0,)
    units: Units | None = None  # None: pictures on [0, 1]

    @cached_property
    def _parts(self) -> tuple[Tensor, Tensor, Tensor]:
        w, m, s = (torch.tensor(t, dtype=F64) for t in (self.weights, self.means, self.deviations))
        return w, m, s**2

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        w, m, v = (t.to(x) for t in self._parts)
        off, total = x[..., None] - m, v + per_item(sigma, x)[..., None] ** 2
        share = (w.log() - 0.5 * (off**2 / total + total.log())).softmax(-1)
        return (share * (m + v / total * off)).sum(-1)

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw pixels of a shape."""
        w, m, v = self._parts
        n = int(torch.tensor(shape).prod())
        k = torch.multinomial(w, n, replacement=True, generator=generator)
        return (m[k] + v[k].sqrt() * torch.randn(n, generator=generator, dtype=F64)).view(shape)

    def log_density(self, x: Tensor) -> Tensor:
        """Return the log density of pixels, like x, up to a constant."""
        w, m, v = self._parts
        return (w.log() - 0.5 * ((x[..., None] - m) ** 2 / v + v.log())).logsumexp(-1)


@dataclass(frozen=True, eq=False)
class PixelExam(Exam):
    """y of the law `law` for each pixel of pictures of `side` x `side`."""

    prior: PixelPrior  # type: ignore[assignment]
    law: Likelihood
    side: int = SIDE
    points: int = 4000

    separate: ClassVar[bool] = True

    @property
    def shape(self) -> tuple[int, int, int]:
        return 1, self.side, self.side

    def draw(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        g = torch.Generator().manual_seed(seed)
        x0 = self.prior.sample((count, *self.shape), g)
        return x0, self.law.sample(x0, g)

    def problem(self, y: Tensor) -> Problem:
        return Problem(y, Identity(self.shape), self.law)

    @cached_property
    def grid(self) -> Tensor:
        """Return (points,): nodes over all of the prior."""
        reach = 6 * max(self.prior.deviations)
        return torch.linspace(min(self.prior.means) - reach, max(self.prior.means) + reach, self.points, dtype=F64)

    def mass(self, y: Tensor) -> Tensor:
        """Return (..., points): the posterior of pixels y (...) on the grid."""
        nodes = self.grid.expand(*y.shape, -1)
        nll = self.law.unit_nll(y[..., None].expand_as(nodes), nodes)
        return (self.prior.log_density(self.grid) - nll).softmax(-1)

    def _edges(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the middles between nodes (points + 1,), and the probability below each (..., points + 1)."""
        h = self.grid[1] - self.grid[0]
        at = torch.cat([self.grid - h / 2, self.grid[-1:] + h / 2])
        total = self.mass(y).cumsum(-1)
        return at, torch.cat([torch.zeros_like(total[..., :1]), total / total[..., -1:]], -1)

    def mean(self, y: Tensor) -> Tensor:
        return self.mass(y.flatten(1)) @ self.grid

    def covariance(self, y: Tensor) -> Tensor:
        mass = self.mass(y.flatten(1))
        return torch.diag_embed(mass @ self.grid**2 - (mass @ self.grid) ** 2)

    def cdf(self, y: Tensor, v: Tensor, t: Tensor) -> Tensor:
        """Return the exact probability along pixels only: v is a selection of columns of the identity."""
        at, below = self._edges(y.flatten(1)[:, v.argmax(0)])
        h = at[1] - at[0]
        i = ((t - at[0]) / h).clamp(0, len(at) - 1 - 1e-9)
        low = below.mT.gather(1, i.long())
        return torch.lerp(low, below.mT.gather(1, i.long() + 1), i - i.floor())

    def exact(self, y: Tensor, count: int, seed: int) -> Tensor:
        u = torch.rand(*y.flatten(1).shape, count, generator=torch.Generator().manual_seed(seed), dtype=F64)
        at, below = self._edges(y.flatten(1))
        i = torch.searchsorted(below.contiguous(), u).clamp(1, len(at) - 1)
        low, high = below.gather(2, i - 1), below.gather(2, i)
        found = at[i - 1] + (at[1] - at[0]) * (u - low) / (high - low).clamp(min=1e-300)
        return found.mT.reshape(len(y), count, *self.shape)

    def conditioned(self, y: Tensor) -> Denoiser:
        """Return E[x0 | x, y] by quadrature: over the posterior where the level is wide beside it, about x where it is narrow."""
        y, mean, sd = y[:1].flatten(), self.mean(y[:1])[0], self.covariance(y[:1])[0].diagonal().sqrt()

        def log_density(at: Tensor) -> Tensor:
            """Return the log density of pixels (..., n, nodes)."""
            return self.prior.log_density(at) - self.law.unit_nll(y[:, None].expand_as(at), at)

        wide = mean[:, None] + sd[:, None] * torch.linspace(-7, 7, 64, dtype=F64)
        log = log_density(wide)
        z, w = (torch.as_tensor(t) for t in np.polynomial.hermite_e.hermegauss(16))

        def denoise(x: Tensor, sigma: float | Tensor, /) -> Tensor:
            s = float(torch.as_tensor(sigma).max())
            at = x.flatten(1)[..., None]
            if s > 0.4 * float(sd.min()):
                return ((log - 0.5 * ((at - wide) / s) ** 2).softmax(2) * wide).sum(2).view_as(x)
            near = at + s * z
            return ((w.log() + log_density(near)).softmax(2) * near).sum(2).view_as(x)

        return denoise


def speckle(looks: float, prior: str = "wide") -> PixelExam:
    """Return speckle in the logarithm. "wide": the logarithms of a real scene, mean -2 and deviation 1.3; "narrow": of deviation 0.25."""
    deviation = {"wide": 1.3, "narrow": 0.25}[prior]
    return PixelExam(PixelPrior((-2.0,), (deviation,), units=Units(-2.0, deviation)), Gamma(looks, "log"))


def counts(peak: float = 20) -> PixelExam:
    """Return photon counts, `peak` of them at white, of grey levels about 0.3, 0.5 and 0.8."""
    return PixelExam(PixelPrior((0.3, 0.5, 0.8), (0.06, 0.05, 0.08), (0.5, 0.3, 0.2)), Poisson(peak))
