"""Impulses are salt and pepper, hot and dead pixels, whose values say nothing of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

Array = np.ndarray


@dataclass(frozen=True)
class Impulses:
    """It finds single values of (C, H, W) in [0, 1] that stand out of their surroundings and are at an end of the
    range.

    A value is an impulse where it differs from the median of its 3x3 by more than `deviations`, both of the other
    values around it and of the picture's noise, and is within `near` of the least or the largest value of its band.
    Where that holds for a share `most` of the values that are exactly that end, the others are impulses too, but in
    clipped areas; for a share `some`, those that differ by a third of the deviations.
    """

    deviations: float = 6.0
    near: float = 0.02  # of an end, white = 1
    side: int = 5  # pixels, of the square whose median absolute deviation is that of the surroundings
    contrast: float = 0.1  # differs by at least this, white = 1
    most: float = 0.4
    some: float = 0.1
    least: float = 0.0005  # of the picture; fewer are highlights and gaps that a clean picture has too

    def __call__(self, pixels: Array, valid: Array | None = None) -> Array:
        """Return where impulses are, bool (C, H, W); nowhere where there are too few. valid (1 or C, H, W): values
        that were measured at all."""
        valid = np.ones(pixels.shape, bool) if valid is None else np.broadcast_to(valid, pixels.shape) > 0.5
        impulses = np.zeros(pixels.shape, bool)
        if min(pixels.shape[1:]) < self.side:
            return impulses
        for x, ok, out in zip(pixels, valid, impulses):
            if not ok.any():
                continue
            middle = scipy.ndimage.median_filter(x, 3)
            rest = np.abs(x - middle)
            limit = self.deviations * max(1.4826 * float(np.median(rest[ok])), self.contrast / self.deviations)
            low, high = float(x[ok].min()), float(x[ok].max())
            out[:] = ok & (rest > limit) & ((x <= low + self.near) | (x >= high - self.near))
            spread = self._spread(x, out)
            # A stroke of a letter has pixels of its own value beside it.
            out[out] = (rest[out] > self.deviations * spread) & ~self._touching(x, rest, out)
        if impulses.mean() < self.least:
            return np.zeros_like(impulses)
        for x, ok, out in zip(pixels, valid, impulses):
            for end in (x[ok].min(), x[ok].max()) if ok.any() else ():
                same = ok & (x == end)
                seen = float(out[same].mean())
                if seen >= self.most:
                    out |= same & (scipy.ndimage.uniform_filter(same.astype(np.float32), 3) < 0.5)
                elif seen >= self.some:
                    rest = np.abs(x - scipy.ndimage.median_filter(x, 3))
                    more = same & ~out & (rest > self.contrast / 2)
                    more[more] = rest[more] > self.deviations / 3 * self._spread(x, more)
                    out |= more
        return impulses

    def _touching(self, x: Array, rest: Array, where: Array) -> Array:
        """Return True where one of the eight neighbours of `where` is nearer to its value than half of what it stands
        out."""
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, 1, mode="edge"), (3, 3))
        alike = np.abs(windows[where] - x[where][:, None, None]) < rest[where][:, None, None] / 2
        return alike.sum((1, 2)) > 1

    def _spread(self, x: Array, where: Array) -> Array:
        """Return the standard deviation of the surroundings of each of `where`, from the median absolute deviation."""
        half = self.side // 2
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, half, mode="reflect"), (self.side, self.side))
        around = windows[where].reshape(-1, self.side**2)
        return 1.4826 * np.median(np.abs(around - np.median(around, 1, keepdims=True)), 1)
