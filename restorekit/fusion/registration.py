"""Directions of edges tell whether two pictures of different sensors lie on each other.

What is bright in one may be dark in the other, but an edge is an edge: at each pixel z = (gx + i gy)^2 / |g|, which
keeps the direction of the gradient g and not its sign, held at 1. The shift is where the correlation of both fields is
largest, their spectra divided by the root of their smooth power, so that long edges do not outweigh all else. Its
significance is the height of that peak in standard deviations of the correlation further away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Match:
    """It says where the second picture shows what the first one shows: `down`, `right` pixels further, `scale` times
    as large."""

    down: int
    right: int
    significance: float  # standard deviations
    scale: float = 1.0

    @property
    def distance(self) -> float:
        """Return the length of the shift, pixels."""
        return math.hypot(self.down, self.right)

    def __str__(self) -> str:
        rows = f"{abs(self.down)} px {'down' if self.down >= 0 else 'up'}"
        columns = f"{abs(self.right)} px {'right' if self.right >= 0 else 'left'}"
        larger = "" if self.scale == 1 else f", {self.scale:.2f} times as large"
        return f"{rows} and {columns}{larger}"


@dataclass(frozen=True)
class Registration:
    """Settings of the measurement; the call makes it. Pictures (H, W) are of one size, `a` and `b` where they are
    valid."""

    sigma: float = 1.5  # of the derivatives of Gaussians, pixels
    reach: int = 96  # shifts searched, pixels, at most a third of the shorter side
    least: float = 6.0  # significance below which a peak may be chance
    tolerance: float = 4.0  # pixels that a shift may have: what orthorectification leaves, and this measurement errs
    scales: tuple[float, ...] = (0.7, 0.76, 0.83, 0.87, 0.91, 0.95, 1.05, 1.1, 1.15, 1.2, 1.25, 1.31, 1.37)

    def __call__(self, optical: Array, radar: Array, valid: tuple[Mask, Mask]) -> Match:
        """Return the best match without a change of scale; where that is not significant, of all scales if that is."""
        b = self._directions(radar, valid[1])
        found = self._match(self._directions(optical, valid[0]), b)
        if found.significance >= self.least:
            return found
        others = (self._match(self._directions(*_enlarged(optical, valid[0], s)), b, s) for s in self.scales)
        best = max(others, key=lambda m: m.significance)
        return best if best.significance >= 1.2 * self.least else found  # the best of many is higher by chance

    def aligned(self, match: Match) -> bool | None:
        """Return whether the pictures lie on each other; None where they do not say."""
        if match.significance < self.least:
            return None
        return match.scale == 1 and match.distance <= self.tolerance

    def _directions(self, x: Array, valid: Mask) -> NDArray[np.complexfloating]:
        """Return z (H, W), its strength held by s / (s + twice the median s); 0 where the derivative meets what is not
        valid."""
        reach = math.ceil(3 * self.sigma)
        inner = np.asarray(scipy.ndimage.binary_erosion(valid, iterations=reach), bool)
        if not inner.any():
            return np.zeros(x.shape, np.complex64)
        x = np.where(valid, x, np.median(x[valid])).astype(np.float32)
        right, down = (scipy.ndimage.gaussian_filter(x, self.sigma, order) for order in ((0, 1), (1, 0)))  # type: ignore[arg-type]
        g = right + 1j * down
        strength: Array = np.abs(g)
        # Flat parts have directions too, those of rounding: the floor keeps them out where they are most of the picture.
        middle = max(float(np.median(strength[inner])), 0.01 * float(strength[inner].max()), 1e-12)
        z = np.square(g / np.maximum(strength, 1e-12)) * (strength / (strength + 2 * middle))
        return np.where(inner, z, 0).astype(np.complex64)

    def _match(self, a: NDArray[np.complexfloating], b: NDArray[np.complexfloating], scale: float = 1.0) -> Match:
        reach = min(self.reach, min(a.shape) // 3)
        if reach < 8:
            return Match(0, 0, 0.0, scale)
        size = [int(scipy.fft.next_fast_len(n + reach)) for n in a.shape]  # type: ignore[arg-type]
        one, other = np.fft.fft2(a, size), np.fft.fft2(b, size)
        power = [scipy.ndimage.gaussian_filter(np.square(np.abs(s)), 3, mode="wrap") for s in (one, other)]
        product = np.conj(one) * other / (np.sqrt(np.sqrt(power[0] * power[1])) + 1e-12)
        c = np.roll(np.fft.ifft2(product).real, (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1]
        down, right = (int(i) - reach for i in np.unravel_index(int(c.argmax()), c.shape))
        at = np.arange(-reach, reach + 1)
        far = c[np.hypot(at[:, None] - down, at - right) > min(12, reach)]
        spread = float(far.std())
        return Match(down, right, float(c.max() - far.mean()) / spread if spread > 0 else 0.0, scale)


def _enlarged(x: Array, valid: Mask, scale: float) -> tuple[Array, Mask]:
    """Return a picture of the same size, seen `scale` times as large about the middle."""
    offset: Any = [(n - 1) / 2 * (1 - 1 / scale) for n in x.shape]
    filled = np.where(valid, x, np.median(x[valid]) if valid.any() else 0.0)
    there = scipy.ndimage.affine_transform(valid.astype(np.float32), [1 / scale] * 2, offset, order=1, cval=0.0) > 0.999
    return scipy.ndimage.affine_transform(filled, [1 / scale] * 2, offset, order=1, mode="nearest"), there
