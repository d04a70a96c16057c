"""These priors have an exact denoiser and an exact posterior: every solver is tested against them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from restorekit.operators.base import LinearOperator
from restorekit.operators.transforms import dct2, idct2, pack, unpack
from restorekit.priors.precond import per_item


def to_basis(x: Tensor, basis: str) -> Tensor:
    """Return the orthonormal coefficients (..., H, W) of pictures (..., H, W)."""
    if basis == "pixel":
        return x
    return dct2(x) if basis == "dct" else pack(torch.fft.rfft2(x, norm="ortho"), x.shape[-1])


def from_basis(c: Tensor, basis: str) -> Tensor:
    """Return the pictures (..., H, W) of orthonormal coefficients: the inverse of `to_basis`."""
    if basis == "pixel":
        return c
    return idct2(c) if basis == "dct" else torch.fft.irfft2(unpack(c), s=c.shape[-2:], norm="ortho")


@dataclass(frozen=True, eq=False)
class GaussianPrior:
    """A Gaussian prior x0 ~ N(mean, C), whose C is diagonal in a pixel, cosine or Fourier basis.

    mean (C, H, W); variances (C, H, W), the eigenvalues of C, for "fft" in the layout of `operators.transforms.pack`.
    """

    mean: Tensor
    variances: Tensor
    basis: Literal["pixel", "dct", "fft"] = "dct"

    @staticmethod
    def smooth(shape: tuple[int, int, int], std: float = 0.25, power: float = 2.0, mean: float = 0.5) -> GaussianPrior:
        """Return a prior like pictures: variances fall as 1 / (1 + frequency^2)^power in the cosine basis, pixel
        deviation `std`; float64."""
        k, j = (torch.arange(n, dtype=torch.float64) for n in shape[1:])
        v = (1 + k[:, None] ** 2 + j**2) ** -power
        v = (v * (std**2 / v.mean())).expand(shape).contiguous()
        return GaussianPrior(torch.full(shape, mean, dtype=torch.float64), v)

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        shrink = self.variances.to(x) / (self.variances.to(x) + per_item(sigma, x) ** 2)
        mean = self.mean.to(x)
        return mean + from_basis(shrink * to_basis(x - mean, self.basis), self.basis)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw `count` pictures (count, C, H, W)."""
        z = torch.randn((count, *self.mean.shape), generator=generator, dtype=self.mean.dtype)
        return self.mean + from_basis(self.variances.sqrt() * z, self.basis)

    def covariance(self) -> Tensor:
        """Return C as a dense matrix (n, n); for small pictures."""
        n = self.mean.numel()
        eye = torch.eye(n, dtype=self.mean.dtype).view(n, *self.mean.shape)
        return from_basis(self.variances * to_basis(eye, self.basis), self.basis).flatten(1)

    def posterior(self, operator: LinearOperator, y: Tensor, sigma_y: float) -> tuple[Tensor, Tensor]:
        """Return the exact mean (B, C, H, W) and covariance (n, n) of x0 given y = A x0 + sigma_y n."""
        a, c = dense(operator, self.mean), self.covariance()
        gain = torch.linalg.solve(a @ c @ a.T + sigma_y**2 * torch.eye(len(a), dtype=a.dtype), a @ c).T
        residual = (y - operator(self.mean[None])).flatten(1)
        return self.mean + (residual @ gain.T).view(-1, *self.mean.shape), c - gain @ a @ c


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """A mixture of Gaussians x0 ~ sum_k w_k N(mean_k, C_k).

    weights (K,), sum 1; means and variances (K, C, H, W), variances in one basis as for `GaussianPrior`.
    """

    weights: Tensor  # (K,), sum 1
    means: Tensor
    variances: Tensor
    basis: Literal["pixel", "dct", "fft"] = "pixel"

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        s2 = per_item(sigma, x)[:, None] ** 2
        means, variances = self.means.to(x), self.variances.to(x)
        c = to_basis(x[:, None] - means, self.basis)  # (B, K, C, H, W)
        total = variances + s2
        log = self.weights.to(x).log() - 0.5 * (c**2 / total + total.log()).flatten(2).sum(2)
        responsibility = log.softmax(1).view(*log.shape, 1, 1, 1)
        return (responsibility * (means + from_basis(variances / total * c, self.basis))).sum(1)

    def component(self, k: int) -> GaussianPrior:
        """Return component k alone."""
        return GaussianPrior(self.means[k], self.variances[k], self.basis)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw `count` pictures (count, C, H, W)."""
        k = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        z = torch.randn((count, *self.means.shape[1:]), generator=generator, dtype=self.means.dtype)
        return self.means[k] + from_basis(self.variances[k].sqrt() * z, self.basis)

    def posterior(self, operator: LinearOperator, y: Tensor, sigma_y: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return the exact weights (K,), means (K, C, H, W) and covariances (K, n, n) given one measurement y (1,
        ...)."""
        logs, means, covariances = [], [], []
        a = dense(operator, self.means[0])
        for k, weight in enumerate(self.weights):
            part = self.component(k)
            s = a @ part.covariance() @ a.T + sigma_y**2 * torch.eye(len(a), dtype=a.dtype)
            r = (y - operator(part.mean[None])).flatten()
            logs.append(math.log(weight) - 0.5 * (r @ torch.linalg.solve(s, r) + torch.logdet(s)))
            mean, covariance = part.posterior(operator, y, sigma_y)
            means.append(mean[0])
            covariances.append(covariance)
        return torch.stack(logs).softmax(0), torch.stack(means), torch.stack(covariances)


def dense(operator: LinearOperator, like: Tensor) -> Tensor:
    """Return the matrix (m, n) of a linear operator; `like` (C, H, W) gives dtype. For small pictures."""
    n = like.numel()
    return operator(torch.eye(n, dtype=like.dtype).view(n, *like.shape)).flatten(1).T
