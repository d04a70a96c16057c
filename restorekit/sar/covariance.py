"""The covariance of two polarisations stays positive semidefinite where one average with weights of at least 0 is taken of all of it.

C = [[C11, C12], [conj C12, C22]] of L looks follows a complex Wishart law, whose mean is the covariance of the scene. The intensities
C11 and C22 are restored as such. For the coherence each measured matrix is divided by the restored intensities of its pixel, D^-1/2 C
D^-1/2, which leaves it positive semidefinite, and averaged over pixels whose restored intensities are alike in both polarisations, so
that no edge is crossed (as the weights of intensity-driven adaptive neighbourhoods: Vasile, Trouve, Lee, Buzuloiu, IEEE TGRS 44,
2006). The coherence of that average is at most 1, and C12 is that times the root of both restored intensities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restorekit.sar.looks import Array, Mask

Complex = NDArray[np.complexfloating]
ROUNDED = 1e-3  # by which |C12|^2 may be above C11 C22, of matrices of one look whose numbers were rounded
BELOW = 1 - 2.0**-20  # by which a coherence of 1 is less, so that rounding to float32 leaves the matrix positive


@dataclass(frozen=True)
class OffDiagonal:
    """Settings of the average. radius: half the side of the square that it is taken over, pixels; alike: deviation of the
    logarithms of restored intensities at which the weight has fallen to exp(-1/2)."""

    radius: int = 7
    alike: float = 0.25

    def __call__(self, c11: Array, c22: Array, c12: Complex, x11: Array, x22: Array, valid: Mask) -> Complex:
        """Return the restored C12, (h, w) complex, of measured C11, C22 and C12 and restored intensities x11, x22, each (h, w); `valid`
        pixels count, and x11 and x22 are above 0 there. A measured matrix that is not positive semidefinite counts with the largest
        C12 that is."""
        x11, x22 = (np.where(valid, x, 1.0) for x in (x11, x22))
        c11, c22 = (np.where(valid, np.maximum(c, 0), 0.0) for c in (c11, c22))
        size = np.abs(np.where(valid, c12, 0))
        bounded = np.minimum(size, np.sqrt(c11 * c22)) / np.where(size > 0, size, 1.0)
        n12 = np.where(valid, c12, 0) * bounded / np.sqrt(x11 * x22)
        n11, n22 = c11 / x11, c22 / x22
        logs = np.log(x11), np.log(x22)
        sums = [np.zeros(x11.shape, n12.dtype if k == 2 else np.float64) for k in range(3)]
        for down in range(-self.radius, self.radius + 1):
            for right in range(-self.radius, self.radius + 1):
                here, there = _overlap(x11.shape, down, right)
                off = sum((log[here] - log[there]) ** 2 for log in logs)
                weight = valid[there] * np.exp(off / (-2 * self.alike**2))
                for total, n in zip(sums, (n11, n22, n12), strict=True):
                    total[here] += weight * n[there]
        span = np.sqrt(np.abs(sums[0] * sums[1]))
        coherence = np.where(span > 0, sums[2] / np.where(span > 0, span, 1.0), 0)
        coherence = coherence * (BELOW / np.maximum(np.abs(coherence), 1.0))
        return np.where(valid, coherence * np.sqrt(x11 * x22), 0)


def semidefinite(c11: Array, c22: Array, real: Array, imaginary: Array) -> Mask:
    """Return where matrices of C11, C22 and the parts of C12, each (h, w), are positive semidefinite but for rounding: no power is
    below 0, and |C12|^2 is at most C11 C22."""
    bound = np.maximum(c11, 0) * np.maximum(c22, 0)
    return (c11 >= 0) & (c22 >= 0) & (real**2 + imaginary**2 <= (1 + ROUNDED) * bound)


def _overlap(shape: tuple[int, ...], down: int, right: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where pixels lie whose neighbour at (down, right) is in the picture, and where these lie."""
    pairs = [(slice(max(0, -s), n - max(0, s)), slice(max(0, s), n - max(0, -s))) for n, s in zip(shape, (down, right))]
    (rows, rows_there), (columns, columns_there) = pairs
    return (rows, columns), (rows_there, columns_there)
