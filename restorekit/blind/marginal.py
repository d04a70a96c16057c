"""A kernel of any form is the likeliest with the picture integrated out, by draws of the picture.

    y = k * x + sigma_y n,   (D x)_i ~ N(0, gamma_i),   p(gamma_i) ~ 1 / gamma_i

D takes differences to the next pixel of row and column. In turn: x given k and gamma is Gaussian, and drawn by solving
for disturbed right sides (Papandreou and Yuille, NIPS 2010); gamma_i is the mean of (D x)_i^2 over that posterior
(Tipping, JMLR 1, 2001; Wipf and Zhang, JMLR 15, 2014, why this finds kernels); k minimises the mean of
|D y - k * D x|^2 over it, k >= 0. The spread of x has its part in both, as without it no blur at all is the best
(Levin et al., CVPR 2011, who take the diagonal of the covariance, where the draws have all of it). Noise is counted
larger at first: large edges say the form, small ones what is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from restorekit.operators.base import conjugate_gradients
from restorekit.operators.transforms import fast_length

RIDGE = 1e-2  # precision of each pixel about the middle of the range, which keeps solves regular
LEAST_SPREAD = 1e-7  # of gamma


def slopes(x: Tensor) -> Tensor:
    """Return the differences of x (H, W) to the next pixel, (2, H, W), 0 at the last."""
    right = torch.nn.functional.pad(torch.diff(x, dim=-1), (0, 1))
    return torch.stack([right, torch.nn.functional.pad(torch.diff(x, dim=-2), (0, 0, 0, 1))])


def slopes_adjoint(v: Tensor) -> Tensor:
    """Return the adjoint of `slopes`, (H, W)."""
    right, down = v[0, :, :-1], v[1, :-1]
    pad = torch.nn.functional.pad
    return -(torch.diff(pad(right, (1, 1)), dim=1) + torch.diff(pad(down, (0, 0, 1, 1)), dim=0))


@dataclass(frozen=True, eq=False)
class Frames:
    """Transforms between pictures x (.., H + h - 1, W + w - 1), kernels (h, w) and measurements (.., H, W), all of the kernel
    on x."""

    measured: tuple[int, int]
    kernel: tuple[int, int]

    @cached_property
    def picture(self) -> tuple[int, int]:
        """Return the size of x."""
        return self.measured[0] + self.kernel[0] - 1, self.measured[1] + self.kernel[1] - 1

    @cached_property
    def grid(self) -> tuple[int, int]:
        """Return a size that holds x, of which FFTs are fast."""
        return fast_length(self.picture[0]), fast_length(self.picture[1])

    @cached_property
    def rough(self) -> Tensor:
        """Return the spectrum of D'D."""
        rows, columns = torch.fft.fftfreq(self.grid[0])[:, None], torch.fft.rfftfreq(self.grid[1])
        return 4 * (torch.sin(math.pi * rows) ** 2 + torch.sin(math.pi * columns) ** 2)

    def spectrum(self, x: Tensor) -> Tensor:
        """Return the transform of pictures or kernels."""
        return torch.fft.rfft2(x, s=self.grid)

    def of_measured(self, y: Tensor) -> Tensor:
        """Return the transform of a measurement, where it lies in x * k."""
        return torch.fft.rfft2(torch.nn.functional.pad(y, (self.kernel[1] - 1, 0, self.kernel[0] - 1, 0)), s=self.grid)

    def back(self, spectrum: Tensor) -> Tensor:
        """Return the picture of a transform."""
        return torch.fft.irfft2(spectrum, s=self.grid)[..., : self.picture[0], : self.picture[1]]

    def blurred(self, product: Tensor) -> Tensor:
        """Return the measurement whose transform, before it is cut, is the product of those of kernel and picture."""
        return self.back(product)[..., self.kernel[0] - 1 :, self.kernel[1] - 1 :]

    def inner(self, x: Tensor) -> Tensor:
        """Return x with 0 where not all that it blurs to was measured."""
        (h, w), (height, width) = self.kernel, self.measured
        out = torch.zeros_like(x)
        out[..., h - 1 : height, w - 1 : width] = x[..., h - 1 : height, w - 1 : width]
        return out

    def grown(self, y: Tensor) -> Tensor:
        """Return a measurement (H, W), its edges repeated to the size of x."""
        h, w = self.kernel
        after, across = h - 1 - h // 2, w - 1 - w // 2
        return torch.nn.functional.pad(y[None, None], (across, w // 2, after, h // 2), mode="replicate")[0, 0]


@dataclass(frozen=True, eq=False)
class ScaledPicture:
    """A measurement y (H, W) at one scale, `seen` (H, W) 1 where it counts and 0 where it does not, and its noise."""

    y: Tensor
    seen: Tensor
    sigma_y: float

    @cached_property
    def _slopes_seen(self) -> Tensor:
        """Return 1 where both pixels of both slopes count, (H, W)."""
        seen = torch.zeros_like(self.seen)
        seen[:-1, :-1] = self.seen[:-1, :-1] * self.seen[1:, :-1] * self.seen[:-1, 1:]
        return seen

    def kernel(
        self, kernel: Tensor, levels: list[float], rng: torch.Generator, solves: int = 25, smooth: int = 2
    ) -> Tensor:
        """Return the kernel (h, w) of sum 1 after a turn at each of `levels`, the factors by which noise counts larger.

        kernel: the first. solves: steps of conjugate gradients for x and for its draw. smooth: pixels around one whose
        spread is taken to be alike, as one draw tells little of a single one.
        """
        h, w = kernel.shape
        frames = Frames((self.y.shape[0], self.y.shape[1]), (h, w))
        x, y_slopes = frames.grown(self.y), slopes(self.y)
        gamma = (4 * slopes(x).square().mean() + LEAST_SPREAD).expand(2, *x.shape)
        for level in levels:
            variance, otf, weight = self.sigma_y**2 * level**2, frames.spectrum(kernel), 1 / gamma
            x, draw = self._picture(frames, otf, variance, weight, x, rng, solves)
            known, right = self._normal(frames, otf, x, draw, y_slopes)
            kernel = nonnegative(known, right, kernel.flatten().double()).reshape(h, w).float()
            kernel = kernel / kernel.sum().clamp(min=1e-12)
            left = torch.nn.functional.avg_pool2d(
                torch.nn.functional.pad((slopes(draw).square() / gamma)[None], (smooth,) * 4, mode="replicate"),
                2 * smooth + 1, stride=1,
            )[0].clamp(max=1)  # fmt: skip
            gamma = (slopes(x).square() + gamma * left).mean(0, keepdim=True).clamp(min=LEAST_SPREAD).expand_as(gamma)
        return kernel

    def _picture(
        self, frames: Frames, otf: Tensor, variance: float, weight: Tensor, x: Tensor, rng: torch.Generator, solves: int
    ) -> tuple[Tensor, Tensor]:
        """Return the mean of x and a draw of what it is off by; x is where it begins."""

        def precision(v: Tensor) -> Tensor:
            v = v[0]
            seen = self.seen * frames.blurred(otf * frames.spectrum(v)) / variance
            return (
                frames.back(otf.conj() * frames.of_measured(seen)) + slopes_adjoint(weight * slopes(v)) + RIDGE * v
            )[None]

        inverse = 1 / (otf.abs().square() / variance + weight.median() * frames.rough + RIDGE)

        def solved(right: Tensor, begin: Tensor) -> Tensor:
            return conjugate_gradients(
                precision, right[None], begin[None], lambda r: frames.back(frames.spectrum(r) * inverse), solves, 1e-4
            )[0]

        def measured(v: Tensor) -> Tensor:
            return frames.back(otf.conj() * frames.of_measured(self.seen * v))

        noise, spread = torch.randn(self.y.shape, generator=rng), torch.randn(weight.shape, generator=rng)
        mean = solved(measured(self.y) / variance + RIDGE / 2, x)
        off = solved(
            measured(noise) / math.sqrt(variance) + slopes_adjoint(weight.sqrt() * spread), torch.zeros_like(x)
        )
        return mean, off

    def _normal(self, frames: Frames, otf: Tensor, x: Tensor, draw: Tensor, y_slopes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the normal equations (n, n), (n,) of the kernel, the mean over x + draw and x - draw.

        The part of x near its edges keeps the kernel before, so that the matrix is Toeplitz; what does not count is
        what the kernel before says.
        """
        h, w = frames.kernel
        d = torch.cat([slopes(x + draw), slopes(x - draw)])
        inside = frames.spectrum(frames.inner(d))
        model = frames.blurred(otf * frames.spectrum(d))
        near = self._slopes_seen * y_slopes.repeat(2, 1, 1) + (1 - self._slopes_seen) * model
        near = near - (model - frames.blurred(otf * inside))
        right = torch.fft.irfft2((inside.conj() * frames.of_measured(near)).sum(0), s=frames.grid)[:h, :w]
        lags = torch.fft.irfft2(inside.abs().square().sum(0), s=frames.grid)
        i = (torch.arange(h)[:, None] - torch.arange(h)) % frames.grid[0]
        j = (torch.arange(w)[:, None] - torch.arange(w)) % frames.grid[1]
        known = lags[i[:, None, :, None], j[None, :, None, :]].reshape(h * w, h * w)
        return known.double(), right.flatten().double()


def nonnegative(known: Tensor, right: Tensor, first: Tensor, turns: int = 150) -> Tensor:
    """Return argmin_k k' G k / 2 - b' k over k >= 0 of G (n, n) and b (n,), from `first`, by the alternating direction method of
    multipliers (Boyd et al., Foundations and Trends in Machine Learning 3, 2011)."""
    rho = 0.05 * float(known.diagonal().mean()) + 1e-12
    factor = torch.linalg.cholesky(known + rho * torch.eye(len(right), dtype=known.dtype))
    inverse, z, u = torch.cholesky_inverse(factor), first, torch.zeros_like(first)
    for _ in range(turns):
        k = inverse @ (right + rho * (z - u))
        z = (k + u).clamp(min=0)
        u = u + k - z
    return z
