"""Impulses are salt and pepper, hot and dead pixels, and values at random, which say nothing of the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy

from restorekit.noise.random_impulses import RandomImpulses

Array = np.ndarray
CUT_OFF = 0.06  # `Impulses.tail` that leaves out noise which is cut off at an end


@dataclass(frozen=True)
class Impulses:
    """It finds single values of (C, H, W) in [0, 1] that stand out of their surroundings and are at an end of the
    range.

    A value is an impulse where it differs from the median of its 3x3 by more than `deviations`, both of the other
    values around it and of the picture's noise, and is within `near` of the least or the largest value of its band.
    Where that holds for a share `most` of the values that are exactly that end, the others are impulses too, but in
    clipped areas; for a share `some`, those that differ by a third of the deviations. Impulses of any value are `of_any_value`.
    """

    deviations: float = 6.0
    near: float = 0.02  # of an end, white = 1
    side: int = 5  # pixels, of the square whose median absolute deviation is that of the surroundings
    contrast: float = 0.1  # differs by at least this, white = 1
    most: float = 0.4
    some: float = 0.1
    dense: float = 0.01  # share below which pairs are counted
    clustered: float = 0.2  # correlation of neighbours among values at random, at most
    tail: float = 1.0  # share of the values around impulses of an end on the way to it, of which more are noise cut off
    of_any_value: Callable[[Array, Array], Array] = field(default_factory=RandomImpulses)
    more: float = 2.0  # times as many as at the ends, from which on those of any value count
    least: float = 0.0005  # of the picture; fewer are highlights and gaps that a clean picture has too

    def __call__(self, pixels: Array, valid: Array | None = None) -> Array:
        """Return where impulses are, bool (C, H, W); nowhere where there are too few. valid (1 or C, H, W): values
        that were measured at all."""
        valid = np.ones(pixels.shape, bool) if valid is None else np.broadcast_to(valid, pixels.shape) > 0.5
        found = self._at_ends(pixels, valid)
        anywhere = self.of_any_value(pixels, valid)
        return found | anywhere if anywhere.mean() > self.more * found.mean() else found

    def _at_ends(self, pixels: Array, valid: Array) -> Array:
        """Return those at the ends of the range."""
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
        scattered = np.zeros_like(impulses)
        for x, ok, out in zip(pixels, valid, scattered):
            out |= self._scattered(x, ok)
        if impulses.mean() < self.least and scattered.mean() < self.least:
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
        found = impulses | scattered
        for x, ok, out in zip(pixels, valid, found):
            if self.tail < 1 and out.any():
                out &= ~self._cut_off(x, ok, out)
        return found if found.mean() >= self.least else np.zeros_like(found)

    def _cut_off(self, x: Array, ok: Array, found: Array) -> Array:
        """Return those of `found` (H, W) at an end where noise was cut off: many values around them lie between it and the picture.

        Noise that is strong in dark parts, as that of light coded by sRGB, is cut off at black here and there. Its tail is there
        too, which an impulse has not: values more than half the way from the mean around to the end. Dark texture has such values as
        well, so that `tail` is for what was blurred.
        """
        gone = np.zeros_like(found)
        ends = (float(x[ok].min()), float(x[ok].max()))
        free = ok & ~found & (x > ends[0]) & (x < ends[1])
        share = scipy.ndimage.uniform_filter(free.astype(np.float64), self.side)
        around = scipy.ndimage.uniform_filter(np.where(free, x, 0.0), self.side) / np.maximum(share, 1e-9)
        for end in ends:
            at = found & (np.abs(x - end) <= self.near)
            if not at.any():
                continue
            tail = free & (np.abs(x - end) < np.abs(around - end) / 2)
            beside = scipy.ndimage.uniform_filter(tail.astype(np.float64), self.side)[at].sum()
            if beside > self.tail * max(float(share[at].sum()), 1e-9):
                gone |= at
        return gone

    def _scattered(self, x: Array, ok: Array) -> Array:
        """Return a bool (H, W): values that are exactly the least or the largest, and lie at random where the values around
        them are others, whatever their share: an edge, a letter or a highlight has them side by side.

        The values around are those of the square that are at neither end (as in the decision-based median of Srinivasan
        and Ebenezer, IEEE SPL 14, 2007).
        """
        found = np.zeros(x.shape, bool)
        if not ok.any():
            return found
        ends = (x[ok].min(), x[ok].max())
        between = ok & (x != ends[0]) & (x != ends[1])
        around, known = np.zeros(x.shape), np.zeros(x.shape, bool)
        for side in (3, self.side, 2 * self.side + 1):
            share = scipy.ndimage.uniform_filter(between.astype(np.float64), side, mode="constant")
            total = scipy.ndimage.uniform_filter(np.where(between, x, 0).astype(np.float64), side, mode="constant")
            enough = ~known & (share > 1.5 / side**2)
            around[enough] = total[enough] / share[enough]
            known |= enough
        if not between.any():
            return found
        off = np.abs(x - around)
        spread = 1.4826 * float(np.median(off[between]))
        for end in ends:
            same = ok & known & (x == end)
            least = max(self.contrast, self.deviations * spread)
            clear = same & (off > least)
            if clear.mean() >= self.least and self._at_random(clear):
                mostly = clear.sum() > 0.5 * same.sum()  # else as many are clipped, some near an edge
                found |= same & (off > (least / 2 if mostly else least))
        return found

    def _at_random(self, where: Array) -> bool:
        """Return True where neighbours are in `where` independently of each other: their correlation is small, and of few
        values hardly two lie side by side."""
        share = float(where.mean())
        pairs = max(float((where[:, 1:] & where[:, :-1]).mean()), float((where[1:] & where[:-1]).mean()))
        expected = share**2 * where.size
        few = share < self.dense and pairs * where.size > 1.5 * expected + 4 * expected**0.5 + 2
        return not few and pairs - share**2 <= self.clustered * share * (1 - share)

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
