"""Speckle of single-look complex data is made white, so that neighbours are independent again.

The window over its spectrum is undone, and the empty part of the spectrum cut away (Lapini, Bianchi, Argenti, Alparone,
TGRS 2014). The grid becomes coarser by the oversampling; what is restored on it is brought back by interpolation of the
logarithm.

Undoing the window raises the sidelobes of point targets: whoever calls takes them out first (`restorekit.sar.targets`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.sar.looks import Array, Mask

Complex = NDArray[np.complexfloating]
EMPTY = 0.1  # share of the largest power below which a frequency is empty: a Hamming window of 0.75 ends at 0.25
BINS = 128


@dataclass(frozen=True, eq=False)
class Axis:
    """The spectrum along one axis, as it was measured."""

    power: NDArray[np.float64]  # (BINS,) by frequency from -1/2, the middle of the band brought to 0, mean 1
    centre: float  # of the band, cycles per pixel
    share: float  # of the spectrum that is not empty

    def size(self, n: int) -> int:
        """Return how many pixels of the coarse grid cover n of the fine one."""
        return max(1, round(n * self.share))

    def gains(self, n: int) -> NDArray[np.float64]:
        """Return 1 / amplitude (size(n),) at the frequencies of the coarse grid, from the lowest."""
        m = self.size(n)
        f = (np.arange(m) - m // 2) / n
        at = (f + 0.5) * BINS
        power = np.interp(at, np.arange(BINS + 1), np.append(self.power, self.power[0]))
        return 1 / np.sqrt(np.maximum(power, EMPTY * self.power.max()))


def axis_of(lines: Complex) -> Axis:
    """Return the spectrum of lines (N, n) of complex pixels; the median over the lines, so that bright targets do not
    count."""
    n = lines.shape[1]
    periodograms = np.abs(np.fft.fft(lines, axis=1)) ** 2
    energy = periodograms.mean(1, keepdims=True)
    power = np.median(periodograms[energy[:, 0] > 0] / energy[energy[:, 0] > 0], axis=0)
    centre = float(np.angle((power * np.exp(2j * np.pi * np.arange(n) / n)).sum()) / (2 * np.pi))
    # A few bins wide: what is left of chance must not be divided by.
    smooth = scipy.ndimage.gaussian_filter1d(np.fft.fftshift(np.roll(power, -round(centre * n))), n / BINS, mode="wrap")
    held = np.interp((np.arange(BINS)) * n / BINS, np.arange(n), smooth)
    used = float((smooth > EMPTY * smooth.max()).mean())
    return Axis(held / held.mean(), centre, 1.0 if used > 0.95 else used)


@dataclass(frozen=True, eq=False)
class Whitening:
    """It whitens a band of complex data along rows (along the track) and columns."""

    down: Axis
    across: Axis

    def __call__(self, z: Complex) -> Array:
        """Return intensities (h', w') of white speckle with the mean of |z|^2, z (h, w)."""
        return np.abs(self.white(z)) ** 2

    def white(self, z: Complex) -> Complex:
        """Return complex pixels (h', w') of white speckle, whose real and imaginary parts know nothing of each other."""
        h, w = z.shape
        shift = np.exp(-2j * np.pi * (self.down.centre * np.arange(h)[:, None] + self.across.centre * np.arange(w)))
        spectrum = np.fft.fftshift(np.fft.fft2(z * shift))
        m, n = self.down.size(h), self.across.size(w)
        top, left = h // 2 - m // 2, w // 2 - n // 2
        inner = spectrum[top : top + m, left : left + n] * self.down.gains(h)[:, None] * self.across.gains(w)
        return np.fft.ifft2(np.fft.ifftshift(inner)) * np.sqrt(m * n / (h * w))

    def coarse(self, mask: Mask) -> Mask:
        """Return a mask on the coarse grid, true where all that is near is."""
        m, n = self.down.size(mask.shape[0]), self.across.size(mask.shape[1])
        near = np.asarray(scipy.ndimage.binary_erosion(mask, np.ones((3, 3)), border_value=1), np.bool_)
        return near[np.ix_(_nearest(m, mask.shape[0]), _nearest(n, mask.shape[1]))]

    @staticmethod
    def fine(u: Array, height: int, width: int) -> Array:
        """Return x (h', w') on the fine grid (height, width) by cubic splines, pixels 0 lying upon each other."""
        at = np.meshgrid(np.arange(height) * u.shape[0] / height, np.arange(width) * u.shape[1] / width, indexing="ij")
        return scipy.ndimage.map_coordinates(u, at, order=3, mode="nearest")


def _nearest(m: int, n: int) -> NDArray[np.intp]:
    return np.minimum(np.rint(np.arange(m) * n / m).astype(np.intp), n - 1)


def whitening_of(parts: list[Complex]) -> Whitening:
    """Return the whitening that windows of a scene show, of one size, whose pixels are all there."""
    stack = np.stack(parts)
    return Whitening(
        axis_of(stack.swapaxes(1, 2).reshape(-1, stack.shape[1])), axis_of(stack.reshape(-1, stack.shape[2]))
    )
