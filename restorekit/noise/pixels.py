"""Values of a picture tell of its noise where they are neither clipped, filled nor part of a constant area."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

Array = np.ndarray


@dataclass(frozen=True)
class Telling:
    """It finds the values of (C, H, W) in [0, 1] that tell of the noise; pixels are judged, never coefficients of
    them.

    Three kinds do not. Clipped: the least or the largest value of a band where it is 0 or 1, or where values pile up at
    it as on a sensor that stops below white, also where JPEG has smeared that pile over a few codes; such values are
    cut, and so is the noise of the values around them. Filled: one value that is far more frequent than those beside
    it. Constant: areas without any change.
    """

    least: int = 8  # values, of a pile
    pile: float = 2.0  # times as many as at the levels beside it, on average, is a pile at an end
    smear: float = 4 / 255  # width of a pile that was smeared
    smeared: float = 0.05  # of a band, at least, in such a pile
    spike: float = 10.0  # the same for a value inside the range, which is a fill then
    share: float = 0.005  # of a band, at least, of a fill
    side: int = 5  # pixels, of a square whose values are all equal: constant
    reach: tuple[int, ...] = (
        9,
        5,
        3,
        1,
    )  # pixels, sides of the square around a clipped value that tells nothing either
    enough: float = 0.1  # of the picture that shall be left by a reach; else the next smaller one is taken

    def __call__(self, pixels: Array, valid: Array | None = None) -> Array:
        """Return where values tell, bool (C, H, W). valid (1 or C, H, W): values that were measured at all, all where
        left out."""
        valid = (
            np.isfinite(pixels) if valid is None else np.isfinite(pixels) & (np.broadcast_to(valid, pixels.shape) > 0.5)
        )
        clipped, dull = np.zeros_like(valid), ~valid
        for band, (x, ok) in enumerate(zip(pixels, valid)):
            if not ok.any():
                continue
            levels, counts = np.unique(x[ok], return_counts=True)
            for end in (0, -1):
                if self._cut(levels, counts, end):
                    clipped[band] |= ok & (x == levels[end])
            clipped[band] |= ok & self._smeared(x, np.sort(x[ok]))
            dull[band] |= np.isin(x, self._fills(levels, counts)) | self._constant(x)
        if not clipped.any():
            return ~dull
        telling = ~dull & ~clipped
        for side in self.reach:
            near = np.asarray(scipy.ndimage.maximum_filter(clipped, (1, side, side)), bool)
            telling = ~dull & ~near
            if telling.mean() >= self.enough:
                break
        return telling

    def _cut(self, levels: Array, counts: Array, end: int) -> bool:
        """Return True where values were cut off at this end."""
        beside = counts[1:5] if end == 0 else counts[-5:-1]
        if not beside.size or levels[end] == (0.0, 1.0)[end]:
            return True
        return bool(counts[end] >= self.least and counts[end] > self.pile * beside.mean())

    def _smeared(self, x: Array, ordered: Array) -> Array:
        """Return a bool (H, W): in a pile of some width at an end, of values with a few stray ones beyond."""
        found = np.zeros(x.shape, bool)
        stray = len(ordered) // 100
        if ordered[-1] - ordered[0] < 8 * self.smear:  # a picture of so few codes is no pile
            return found
        for end, sign in ((ordered[stray], 1), (ordered[-1 - stray], -1)):
            edges = sorted((end, end + sign * self.smear, end + 2 * sign * self.smear))
            first, middle, last = np.searchsorted(ordered, edges, "left" if sign > 0 else "right")
            held, beside = (middle - first, last - middle)[::sign]
            held += stray
            if held > self.smeared * len(ordered) and held > 3 * beside:
                found |= x < edges[1] if sign > 0 else x > edges[1]
        return found

    def _fills(self, levels: Array, counts: Array) -> Array:
        """Return the values, among `levels`, that fill areas."""
        frequent = np.flatnonzero(counts >= max(self.least, self.share * counts.sum()))
        found = []
        for i in frequent:
            beside = np.concatenate([counts[max(0, i - 4) : i], counts[i + 1 : i + 5]])
            if not beside.size or counts[i] > self.spike * beside.mean():
                found.append(levels[i])
        return np.array(found, levels.dtype)

    def _constant(self, x: Array) -> Array:
        """Return a bool (H, W): inside a square without any change."""
        side = (min(self.side, *x.shape) - 1) // 2 * 2 + 1
        flat = np.asarray(scipy.ndimage.maximum_filter(x, side)) == np.asarray(scipy.ndimage.minimum_filter(x, side))
        return np.asarray(scipy.ndimage.maximum_filter(flat, side))
