"""Picture and kernel are drawn in turn, for small problems: the reference for what is said of a kernel that is off.

    x | h, y  and  h | x, y  are both Gaussian under  y = (K + h) x + sigma_y n,  x ~ N(m, C),  h_i ~ N(0, (error k_i)^2), sum h = 0

so that drawing one after the other (Geman and Geman, PAMI 1984) gives draws of both from their posterior, to any
precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.blind.taps import Array


class Draws(NamedTuple):
    """Draws of pictures and of changes of the kernel, that belong together."""

    x: Array  # (n, pixels)
    h: Array  # (n, taps)


@dataclass(frozen=True, eq=False)
class Gibbs:
    """It draws a picture (H, W), of which (H - h + 1, W - w + 1) pixels were measured through a kernel (h, w).
    Matrices are dense."""

    size: tuple[int, int]
    kernel: Array
    sigma_y: float
    mean: Array  # (pixels,)
    covariance: Array  # (pixels, pixels)
    error: float

    @cached_property
    def taps(self) -> NDArray[np.int64]:
        """Return the places (n, 2) of the taps above 0."""
        return np.argwhere(self.kernel > 0).astype(np.int64)

    @cached_property
    def shifts(self) -> Array:
        """Return what each tap alone would measure, (taps, measured, pixels)."""
        (height, width), (h, w) = self.size, self.kernel.shape
        pixel = np.arange(height * width).reshape(height, width)
        out = np.zeros((len(self.taps), (height - h + 1) * (width - w + 1), pixel.size))
        for matrix, (i, j) in zip(out, self.taps):
            seen = pixel[h - 1 - i : height - i, w - 1 - j : width - j].ravel()
            matrix[np.arange(len(seen)), seen] = 1
        return out

    @cached_property
    def _precision(self) -> Array:
        return scipy.linalg.inv(self.covariance)

    @cached_property
    def _zero_sum(self) -> Array:
        """Return a basis (taps, taps - 1) of the h of sum 0."""
        return scipy.linalg.null_space(np.ones((1, len(self.taps))))

    def picture(self, y: Array, kernel: Array, rng: np.random.Generator) -> Array:
        """Draw x | h, y for the taps `kernel`."""
        a = np.tensordot(kernel, self.shifts, 1)
        precision = self._precision + a.T @ a / self.sigma_y**2
        right = self._precision @ self.mean + a.T @ y / self.sigma_y**2
        return _drawn(precision, right, rng)

    def change(self, y: Array, x: Array, rng: np.random.Generator) -> Array:
        """Draw h | x, y."""
        k = self.kernel[tuple(self.taps.T)]
        columns = (self.shifts @ x).T @ self._zero_sum
        residual = y - (self.shifts @ x).T @ k
        prior = (self._zero_sum.T / (self.error * k) ** 2) @ self._zero_sum
        precision = columns.T @ columns / self.sigma_y**2 + prior
        return self._zero_sum @ _drawn(precision, columns.T @ residual / self.sigma_y**2, rng)

    def __call__(self, y: Array, count: int, rng: np.random.Generator, skip: int = 0) -> Draws:
        """Return `count` draws given y (measured,), after `skip` that are thrown away."""
        k, h = self.kernel[tuple(self.taps.T)], np.zeros(len(self.taps))
        xs, hs = [], []
        for i in range(skip + count):
            x = self.picture(y, k + h, rng)
            h = self.change(y, x, rng)
            if i >= skip:
                xs.append(x)
                hs.append(h)
        return Draws(np.array(xs), np.array(hs))


def _drawn(precision: Array, right: Array, rng: np.random.Generator) -> Array:
    """Draw from N(precision^-1 right, precision^-1)."""
    factor = scipy.linalg.cholesky(precision)
    mean = scipy.linalg.cho_solve((factor, False), right)
    return mean + scipy.linalg.solve_triangular(factor, rng.standard_normal(len(right)))
