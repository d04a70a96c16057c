"""Priors of many modes, and one on a ring: posteriors that are mixtures of Gaussians, in closed form."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from restorekit.bench.posterior.exam import F64, LinearExam, gain
from restorekit.inference.denoiser import Denoiser
from restorekit.operators import Matrix
from restorekit.priors.analytic import GaussianMixture
from restorekit.priors.precond import per_item

MEAN, SPREAD = 0.5, 0.25  # of pictures on [0, 1], for which solvers are made


@dataclass(frozen=True, eq=False)
class MixtureExam(LinearExam):
    """x0 ~ sum_k w_k N(m_k, C_k), exactly or as a sum in place of an integral."""

    @property
    @abstractmethod
    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights (K,), means (K, n), covariances (K, n, n)."""

    @cached_property
    def _known(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (K, n, m) gains, (K, n, n) covariances given y, (K, n) their deviations along eigenvectors (K, n, n)."""
        gains, left = gain(self.matrix, self.components[2], self.sigma_y)
        values, vectors = torch.linalg.eigh((left + left.mT) / 2)
        return gains, left, values.clamp(min=0).sqrt(), vectors

    def posterior(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the weights (B, K), means (B, K, n) and covariances (K, n, n) given measurements y (B, ...)."""
        w, m, c = self.components
        a = self.matrix
        r = y.flatten(1)[:, None] - m @ a.T  # (B, K, m)
        s = a @ c @ a.T + self.sigma_y**2 * torch.eye(len(a), dtype=F64)
        log = w.log() - 0.5 * ((r * torch.linalg.solve(s, r[..., None])[..., 0]).sum(2) + torch.logdet(s))
        return log.softmax(1), m + torch.einsum("knm,bkm->bkn", self._known[0], r), self._known[1]

    def mean(self, y: Tensor) -> Tensor:
        w, m, _ = self.posterior(y)
        return torch.einsum("bk,bkn->bn", w, m)

    def covariance(self, y: Tensor) -> Tensor:
        w, m, c = self.posterior(y)
        off = m - self.mean(y)[:, None]
        return torch.einsum("bk,bkn,bke->bne", w, off, off) + torch.einsum("bk,kne->bne", w, c)

    def cdf(self, y: Tensor, v: Tensor, t: Tensor) -> Tensor:
        w, m, c = self.posterior(y)
        deviations = torch.einsum("nd,kne,ed->kd", v, c, v).clamp(min=0).sqrt()
        found = [
            torch.einsum("k,kqd->qd", w_, torch.special.ndtr((t_ - (m_ @ v)[:, None]) / deviations[:, None]))
            for w_, m_, t_ in zip(w, m, t)
        ]
        return torch.stack(found)

    def exact(self, y: Tensor, count: int, seed: int) -> Tensor:
        g, (w, m, _), (_, _, deviations, vectors) = torch.Generator().manual_seed(seed), self.posterior(y), self._known
        k = torch.multinomial(w, count, replacement=True, generator=g)  # (B, count)
        z = torch.randn(*k.shape, m.shape[2], generator=g, dtype=F64)
        off = (vectors[k] @ (deviations[k] * z)[..., None])[..., 0]
        found = m.gather(1, k[..., None].expand_as(off)) + off
        return found.view(*k.shape, *self.operator.image_shape)

    def conditioned(self, y: Tensor) -> Denoiser:
        """Return sum_k R_k E_k[x0 | x, y], R_k the responsibilities of the posterior's components."""
        w, m = (t[0] for t in self.posterior(y[:1])[:2])
        kept = w > 1e-16 * w.max()
        w, m, deviations, vectors = (t[kept] for t in (w, m, *self._known[2:]))

        def denoise(x: Tensor, sigma: float | Tensor, /) -> Tensor:
            z = torch.einsum("bkn,kne->bke", x.flatten(1)[:, None] - m, vectors)
            total = deviations**2 + per_item(sigma, z) ** 2
            log = w.log() - 0.5 * (z**2 / total + total.log()).sum(2)
            part = torch.einsum("bke,kne->bkn", deviations**2 / total * z, vectors) + m
            return torch.einsum("bk,bkn->bn", log.softmax(1), part).view_as(x)

        return denoise


@dataclass(frozen=True, eq=False)
class Mixture(MixtureExam):
    """Cardoso et al., ICLR 2024 (MCG-Diff), section 5: 25 components 8 deviations apart on a grid, random weights.

    Moved to the mean 0.5 and the deviation 0.25 of pictures on [0, 1]; the largest gain of the random operator is 1.
    """

    prior: GaussianMixture  # type: ignore[assignment]

    @staticmethod
    def of(dim: int, rows: int, sigma_y: float, seed: int = 0) -> Mixture:
        """Return a mixture in `dim` (even) dimensions, `rows` of which are measured."""
        g = torch.Generator().manual_seed(1000 * rows + seed)
        unit = SPREAD / math.sqrt(1 + 64 * 2)
        grid = torch.tensor([[8.0 * i, 8.0 * j] for i in range(-2, 3) for j in range(-2, 3)], dtype=F64)
        means = MEAN + unit * grid.repeat(1, dim // 2).view(25, 1, 1, dim)
        weights = torch.rand(25, generator=g, dtype=F64)
        u = torch.linalg.qr(torch.randn(rows, rows, generator=g, dtype=F64))[0]
        v = torch.linalg.qr(torch.randn(dim, dim, generator=g, dtype=F64))[0]
        s = torch.rand(rows, generator=g, dtype=F64).clamp(min=0.2)
        operator = Matrix((1, 1, dim), u @ ((s / s.max())[:, None] * v[:rows]))
        prior = GaussianMixture(weights / weights.sum(), means, torch.full_like(means, unit**2))
        return Mixture(operator, sigma_y, prior)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        return self.prior.sample(count, generator)

    @property
    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.prior.weights, self.prior.means.flatten(1), torch.diag_embed(self.prior.variances.flatten(1))


@dataclass(frozen=True, eq=False)
class RingPrior:
    """A circle about (0.5, 0.5) with Gaussian noise of deviation `width`. As a denoiser, E[x0 | x] in closed form."""

    radius: float = math.sqrt(2) * SPREAD
    width: float = 0.03

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        """Return the mean direction of a von Mises density, I1 / I0, then what the noise of the ring itself leaves."""
        s2 = per_item(sigma, x) ** 2 + self.width**2
        off = x - MEAN
        length = off.square().flatten(1).sum(1).clamp(min=1e-30).sqrt().view(-1, 1, 1, 1)
        k = self.radius * length / s2
        point = self.radius * torch.special.i1e(k) / torch.special.i0e(k) * off / length
        return MEAN + point + self.width**2 / s2 * (off - point)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw `count` points (count, 1, 1, 2)."""
        angle = 2 * math.pi * torch.rand(count, generator=generator, dtype=F64)
        z = torch.randn(count, 2, generator=generator, dtype=F64)
        points = MEAN + self.radius * torch.stack([angle.cos(), angle.sin()], 1) + self.width * z
        return points.view(count, 1, 1, 2)


@dataclass(frozen=True, eq=False)
class Ring(MixtureExam):
    """Points near a circle, one coordinate measured: two arcs. The posterior is a sum over `angles` points of the circle,
    which stand closer than the width of the ring."""

    prior: RingPrior  # type: ignore[assignment]
    angles: int = 360

    @staticmethod
    def of(sigma_y: float) -> Ring:
        """Return the ring, measured along one direction."""
        direction = torch.tensor([[math.cos(0.4), math.sin(0.4)]], dtype=F64)
        return Ring(Matrix((1, 1, 2), direction), sigma_y, RingPrior())

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        return self.prior.sample(count, generator)

    @cached_property
    def components(self) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        angle = 2 * math.pi * torch.arange(self.angles, dtype=F64) / self.angles
        means = MEAN + self.prior.radius * torch.stack([angle.cos(), angle.sin()], 1)
        covariance = (self.prior.width**2 * torch.eye(2, dtype=F64)).expand(self.angles, 2, 2)
        return torch.full((self.angles,), 1 / self.angles, dtype=F64), means, covariance
