"""Gaussian noise that neighbours share, and the equal problem whose noise is white."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.inference.likelihood import Gaussian, Likelihood
from restorekit.inference.problem import Problem
from restorekit.operators.base import Lattice, LinearOperator, Operator
from restorekit.operators.blur import CircularBlur, transfer
from restorekit.operators.combine import ComposeNonlinear
from restorekit.operators.diagonal import Identity, Inpaint

LEAST = 0.01  # of the variance: below, a spectrum is the rounding of a file and no grain


@dataclass(frozen=True, eq=False)
class Coloured(Likelihood):
    """Stationary Gaussian noise: y = mean + n, n of one autocovariance everywhere, independent between bands.

    covariance: (2 k + 1, 2 l + 1), its middle the variance, in the unit of y squared, the value at (k + i, l + j) the
    covariance of pixels i rows and j columns apart. y is (B, C, H, W), on a torus: wrong by the width of the covariance
    at the borders alone. The spectrum is kept above `LEAST` of the variance. A run of any solver sees the equal problem
    with white noise, `whitened`; take it for grain of scans, resampled and demosaiced pictures, not for JPEG, whose
    rounding is no stationary noise. Raises ValueError for a covariance that is none.
    """

    covariance: Tensor

    def __post_init__(self) -> None:
        c = self.covariance
        if not isinstance(c, Tensor) or c.ndim != 2 or not all(n % 2 for n in c.shape):
            raise ValueError(
                "covariance of coloured noise must be a tensor (h, w) of odd sides, its middle the variance"
            )
        if not bool(torch.isfinite(c).all()) or not self.sigma > 0 or float(c.abs().max()) > self.sigma**2 * (1 + 1e-6):
            raise ValueError("covariance of coloured noise must be finite, and largest in its middle, the variance")
        if not torch.allclose(c, c.flip(0, 1), atol=1e-6 * self.sigma**2):
            raise ValueError("covariance of coloured noise must be the same at opposite places, (i, j) and (-i, -j)")

    @staticmethod
    def grain(sigma: float, width: float) -> Coloured:
        """Return white noise blurred by a Gaussian of deviation `width` pixels, its own deviation `sigma` afterwards."""
        if not (sigma > 0 and 0 < width <= 16):
            raise ValueError(f"grain needs SIGMA > 0 and a WIDTH of 0 to 16 pixels, got {sigma:g} and {width:g}")
        at = torch.arange(-round(6 * width) - 1, round(6 * width) + 2, dtype=torch.float64)
        line = (-at.square() / (4 * width**2)).exp()
        return Coloured((sigma**2 * torch.outer(line, line)).float())

    @property
    def title(self) -> str:
        return f"coloured noise of deviation {self.sigma:.4g}"

    @property
    def sigma(self) -> float:
        """Return the standard deviation of a value."""
        k, l = (n // 2 for n in self.covariance.shape)
        return max(float(self.covariance[k, l]), 0.0) ** 0.5

    def spectrum(self, height: int, width: int) -> Tensor:
        """Return the variance at each frequency, (height, width // 2 + 1), whose mean is that of a value."""
        return transfer(self.covariance, height, width).real.clamp(min=LEAST * self.sigma**2)

    def _whitened(self, x: Tensor) -> Tensor:
        height, width = self._sides(x)
        scale = self.spectrum(height, width).to(x) ** -0.5
        return torch.fft.irfft2(scale * torch.fft.rfft2(x), s=(height, width))

    def _sides(self, x: Tensor) -> tuple[int, int]:
        if x.ndim != 4:
            raise Unsupported("coloured noise is of pictures (B, C, H, W); give `noise=gaussian:0.02`")
        return x.shape[-2], x.shape[-1]

    def unit_nll(self, y: Tensor, mean: Tensor) -> Tensor:
        """Return half the square of each value of the whitened misfit; the sum over a picture is its -log p."""
        return 0.5 * self._whitened(y - mean).square()

    def sample(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        height, width = self._sides(mean)
        white = torch.randn(mean.shape, generator=generator, dtype=mean.dtype).to(mean.device)
        root = self.spectrum(height, width).to(mean) ** 0.5
        return mean + torch.fft.irfft2(root * torch.fft.rfft2(white), s=(height, width))

    def information(self, mean: Tensor) -> Tensor:
        """Return 1 / variance of each value by itself, like mean."""
        return torch.full_like(mean, self.sigma**-2)

    def filter(self, shape: tuple[int, int, int]) -> WhiteningBlur:
        """Return the blur W that makes noise of pictures (C, H, W) white, of deviation 1: W' W is the inverse covariance."""
        root = self.spectrum(*shape[1:]).double() ** -0.5
        kernel = torch.fft.fftshift(torch.fft.irfft2(root, s=shape[1:]))
        return WhiteningBlur(shape, kernel.to(self.covariance.dtype))


@dataclass(frozen=True, eq=False)
class WhiteningBlur(CircularBlur):
    """A filter W without zeros, on a torus; kernel (h, w) as that of a blur."""

    def estimate(self, y: Tensor) -> Tensor:
        """Return W^-1 y: the measurement as it was, noise included."""
        return self._ifft(self._fft(y) / self.otf)


@dataclass(frozen=True, eq=False)
class Whitened(LinearOperator):
    """Measure by another operator, and whiten its noise: y = W A x."""

    outer: WhiteningBlur
    inner: LinearOperator

    @property
    def lattice(self) -> Lattice:
        return self.inner.lattice

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.outer(self.inner(x))

    def adjoint(self, y: Tensor, /) -> Tensor:
        return self.inner.adjoint(self.outer.adjoint(y))

    def estimate(self, y: Tensor) -> Tensor:
        return self.inner.estimate(self.outer.estimate(y))

    def inside(self, x: Tensor) -> Tensor:
        return self.inner.inside(x)


def whitened(problem: Problem) -> Problem:
    """Return the equal problem y' = W y, A' = W A with white noise of deviation 1 where that of `problem` is coloured,
    the problem itself otherwise.

    Denoising becomes a blur with an SVD. Raises `Unsupported` for masked values, which a filter would mix with others.
    """
    law = problem.likelihood
    if not isinstance(law, Coloured):
        return problem
    if problem.mask is not None or isinstance(problem.operator, Inpaint):
        raise Unsupported(
            "coloured noise of a measurement with missing values is not known; give `noise=gaussian:0.02`"
        )
    law._sides(problem.y)
    _, c, h, w = problem.y.shape
    white = law.filter((c, h, w)).to(problem.y.device, problem.y.dtype)
    return replace(problem, y=white(problem.y), operator=_after(white, problem.operator), likelihood=Gaussian(1.0))


def _after(white: WhiteningBlur, operator: Operator) -> Operator:
    if isinstance(operator, Identity):
        return white
    if isinstance(operator, LinearOperator):
        return Whitened(operator.image_shape, white, operator)
    return ComposeNonlinear(operator.image_shape, white, operator)
