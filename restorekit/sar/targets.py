"""Point targets are measured intensities that cannot be speckle of their surroundings (constant false-alarm rate,
CFAR).

A pixel is a target where y > t m exp(k s). m is the level of its surroundings: the largest, over a ring around the
pixel, of medians of small cells and of bars in four directions (greatest-of CFAR: Hansen, Sawyers, IEEE TAES 1980; with
order statistics in place of means: Rohling, IEEE TAES 1983). The largest, so that the bright side of an edge, and what
lies along a line, counts; medians, so that other targets do not. s is the standard deviation of the texture, of the
logarithm of cells, beyond that of speckle, in a square around the pixel. t is such that a flat scene with these looks
and this grain passes at a tenth of the stated rate: the mean of the gamma law's tail over values of m exp(k s) of
simulated speckle. The rest is left to texture finer than a cell, which no test tells from speckle: on photographs and
optical tiles under speckle the rate is about the stated one (benchmarks/remote_sensing/targets.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.sar.looks import Array, Mask
from restorekit.sar.speckle import draw, spectrum_of

Small = NDArray[np.float32]
Slices = tuple[slice, ...]
SIMULATED = 224  # side of the simulated field, pixels
STEPS = 512  # of a logarithm: sums over windows are of whole numbers, exact however a scene is cut into blocks
WIDEST = 24  # half the side of the squares in which the clutter around a target is measured, pixels
EIGHT = np.ones((3, 3), np.bool_)  # a pixel and its neighbours


@dataclass(frozen=True)
class Targets:
    """Settings of the test for point targets."""

    false_alarms: float = 1e-5  # per pixel of a textured scene
    flat: float = 0.1  # share of these in a scene without texture
    guard: int = (
        2  # pixels on each side of the tested one that are not its surroundings; more where speckle has a grain
    )
    ring: int = 5  # width of the surroundings, pixels; twice that for a coarse grain
    texture: float = 2.0  # k, standard deviations by which texture may be brighter than its surroundings
    roughest: float = 0.6  # s counts up to this, so that targets in towns are seen
    square: int = 15  # half the side, pixels, in which texture is measured
    beside: float = (
        3e-3  # false alarms per pixel beside a target, where the point spread function may have put some of it
    )
    spread: int = 3  # pixels up to which a target may reach beyond those that pass the test

    def __post_init__(self) -> None:
        if not 0 < self.false_alarms <= self.beside < 0.5 or not 0 < self.flat <= 1:
            raise ValueError(f"false_alarms={self.false_alarms:g} must be above 0 and at most beside={self.beside:g}")
        if min(self.guard, self.ring, self.square) < 1 or min(self.texture, self.roughest, self.spread) < 0:
            raise ValueError("guard, ring and square must be 1 or more, texture, roughest and spread 0 or more")

    def fitted(self, looks: float, grain: tuple[float, float] = (0.0, 0.0)) -> Detector:
        """Return the test for speckle of `looks` looks whose intensity has the correlation `grain` with the next row
        and column."""
        # What m is like in a flat scene changes slowly: simulated for a few looks and grains alone.
        near = 2 ** (round(8 * math.log2(looks)) / 8)
        rows, columns = (round(20 * min(max(float(rho), 0.0), 0.9)) / 20 for rho in grain)
        detector, m = _flat(self, near, (rows, columns))
        return replace(
            detector,
            threshold=_threshold(m, looks, self.flat * self.false_alarms),
            beside=_threshold(m, looks, self.beside),
        )


@dataclass(frozen=True)
class Detector:
    """The test with its thresholds, whose call takes intensities y (h, w) and where they count, and gives a mask (h,
    w) of targets.

    Intensities are in any one unit for the whole scene. The mask depends on pixels up to `halo` away, and beyond the
    border on their mirror image.
    """

    settings: Targets
    guard: int
    step: int  # pixels between those of a cell, 2 where a grain makes neighbours too much alike
    floor: float = math.inf  # variance of the logarithm of cells that speckle explains
    threshold: float = math.inf  # t
    beside: float = math.inf  # t for pixels beside a target

    @property
    def outer(self) -> int:
        """Return half the side of the surroundings, pixels."""
        return self.guard + self.settings.ring * self.step

    @property
    def reach(self) -> int:
        """Return how many pixels away the `surroundings` of a pixel depend on."""
        return max(self.outer + 3 * self.step, self.settings.square + self.step)

    @property
    def halo(self) -> int:
        """Return how many pixels away the mask of a pixel depends on."""
        return max(2 * (self.reach + self.settings.spread), WIDEST)

    def __call__(self, y: Array, valid: Mask) -> Mask:
        inner = (slice(self.halo, -self.halo),) * 2
        there = np.pad(valid, self.halo, mode="symmetric")
        x = np.pad(np.where(valid, y, 0).astype(np.float32), self.halo, mode="symmetric")
        level, limit = self.surroundings(x, there)
        targets = self._passed(x, there, limit)
        if not targets.any():
            return np.zeros(valid.shape, np.bool_)
        # Again without those that were found, so that they do not hide each other, nor what they spill beside them.
        cleared = np.where(targets, level, x)
        for part, around in self._near(targets):
            limit[part] = self.surroundings(cleared[around], there[around])[1][inside(part, around)]
        return (targets | self._passed(x, there, limit))[inner]

    def _passed(self, x: Small, there: Mask, limit: Small) -> Mask:
        """Return the targets, and what of them lies beside."""
        found, weak = there & (x > self.threshold * limit), there & (x > self.beside * limit)
        for _ in range(self.settings.spread):
            found |= weak & np.asarray(scipy.ndimage.binary_dilation(found, EIGHT), np.bool_)
        return found

    def _near(self, found: Mask) -> Iterator[tuple[Slices, Slices]]:
        """Return rectangles that hold all pixels whose surroundings hold one of `found`, and each with what it depends
        on."""
        near = scipy.ndimage.maximum_filter(found.astype(np.uint8), 2 * self.reach + 1, mode="constant")
        labels = np.empty(near.shape, np.int32)
        scipy.ndimage.label(near, output=labels)
        for rows, columns in scipy.ndimage.find_objects(labels):
            part = rows, columns
            yield part, tuple(slice(max(0, s.start - self.reach), s.stop + self.reach) for s in part)

    def cells(self, x: Small, there: Mask) -> tuple[Small, Mask]:
        """Return the medians of 3 by 3 pixels around each, and where all of them count."""
        at = (-self.step, 0, self.step)
        return _median(x, there, [(i, j) for i in at for j in at])

    def surroundings(self, x: Small, there: Mask) -> tuple[Small, Small]:
        """Return (typical level, m exp(k s)), each (h, w); the second is infinite where too little is known around a
        pixel."""
        cell, known = self.cells(x, there)
        largest, s = cell, self.step
        for down, right in ((0, s), (s, 0), (s, s), (s, -s)):
            bar, _ = _median(x, there, [(k * down, k * right) for k in range(-3, 4)])
            largest = np.maximum(largest, bar)
        m = _ring(largest, self.guard, self.outer)
        known &= cell > 0
        typical, variance = _moments(np.log(np.where(known, cell, 1)), known, self.settings.square)
        rough = np.sqrt(np.clip(variance - self.floor, 0, self.settings.roughest**2))
        share = _count(known, self.outer) / (2 * self.outer + 1) ** 2
        limit = np.where((m > 0) & (share > 0.25), m * np.exp(self.settings.texture * rough), np.inf)
        return np.exp(typical).astype(np.float32), limit.astype(np.float32)


def inside(part: Slices, around: Slices) -> Slices:
    """Return the slices of a part, counted from the corner of what is around it."""
    return tuple(slice(s.start - a.start, s.stop - a.start) for s, a in zip(part, around, strict=True))


def clutter(y: Array, held: Mask, otherwise: float) -> Array:
    """Return the mean (h, w) of y around each pixel, over the smallest square of which at least a quarter is `held`."""
    mean = np.full(y.shape, otherwise)
    for half in (WIDEST, 12, 6, 3):
        line = np.ones(
            2 * half + 1
        )  # not running sums, which would carry rounding, and with it the cut of blocks, along
        total, count = (
            scipy.ndimage.correlate1d(scipy.ndimage.correlate1d(a, line, 0, mode="constant"), line, 1, mode="constant")
            for a in (np.where(held, y, 0.0), held.astype(np.float64))
        )
        enough = count > 0.25 * len(line) ** 2
        mean[enough] = total[enough] / count[enough]
    return mean


@lru_cache(maxsize=64)
def _flat(settings: Targets, looks: float, grain: tuple[float, float]) -> tuple[Detector, Array]:
    """Return a test without thresholds, and quantiles of m exp(k s) in simulated speckle of a flat scene."""
    reach = max(_reach(rho) for rho in grain)
    detector = Detector(settings, settings.guard + reach, 2 if reach > 1 else 1)
    spectrum = spectrum_of(grain)
    side = SIMULATED + 2 * detector.halo
    x = draw((side, side), looks, spectrum, np.random.default_rng(0)).astype(np.float32)
    there, inner = np.ones(x.shape, np.bool_), (slice(detector.halo, -detector.halo),) * 2
    cell, known = detector.cells(x, there)
    _, variance = _moments(np.log(cell), known, settings.square)
    detector = replace(detector, floor=float(variance[inner].mean() + variance[inner].std()))
    _, limit = detector.surroundings(x, there)
    return detector, np.quantile(limit[inner].astype(np.float64), (np.arange(1000) + 0.5) / 1000)


def _threshold(m: Array, looks: float, rate: float) -> float:
    """Return t such that y > t m at that rate, y of a gamma law with mean 1 and independent of m (N,)."""
    low, high = 1e-3, 1e5
    for _ in range(60):
        t = math.sqrt(low * high)
        low, high = (t, high) if float(scipy.special.gammaincc(looks, looks * t * m).mean()) > rate else (low, t)
    return high


def _reach(rho: float) -> int:
    """Return how many pixels beside one have speckle correlated with its own by more than 0.1, where neighbours are by
    rho."""
    return 0 if rho <= 0.1 else math.ceil(math.sqrt(math.log(0.1) / math.log(rho))) - 1


def _median(x: Small, there: Mask, taps: Sequence[tuple[int, int]]) -> tuple[Small, Mask]:
    """Return the median (h, w) of an odd number of pixels at (down, right) from each, 0 where one of them does not
    count, and where all do."""
    known = np.ones(x.shape, np.bool_) if there.all() else np.logical_and.reduce([_at(there, *tap) for tap in taps])
    rest = [_at(x, *tap) for tap in taps]
    candidates, rest = rest[: len(rest) // 2 + 2], rest[len(rest) // 2 + 2 :]
    while len(candidates) > 2:  # neither the least nor the largest of more than half of them is the median
        candidates = list(candidates)
        for k in range(len(candidates) - 1):
            candidates[k], candidates[k + 1] = (
                np.minimum(candidates[k], candidates[k + 1]),
                np.maximum(candidates[k], candidates[k + 1]),
            )
        for k in range(len(candidates) - 2, 0, -1):
            candidates[k - 1], candidates[k] = (
                np.minimum(candidates[k - 1], candidates[k]),
                np.maximum(candidates[k - 1], candidates[k]),
            )
        candidates = candidates[1:-1] + rest[:1]
        rest = rest[1:]
    return np.where(known, candidates[0], 0), known


def _at(x: NDArray[np.generic], down: int, right: int) -> NDArray[np.generic]:
    """Return x at (i + down, j + right); what comes in from the other side lies in the margin that is thrown away."""
    return np.roll(x, (-down, -right), (0, 1))


def _ring(x: Small, guard: int, outer: int) -> Small:
    """Return the largest value at a distance of guard + 1 to outer pixels, along rows or columns, whichever is more."""
    width, middle = outer - guard, (outer + guard + 1) // 2
    long, short = 2 * outer + 1, 2 * guard + 1
    beside = scipy.ndimage.maximum_filter(x, (long, width), mode="constant")
    above = scipy.ndimage.maximum_filter(x, (width, short), mode="constant")
    # An even filter reaches one pixel further back than ahead.
    back, ahead = -middle, middle if width % 2 else outer - width // 2 + 1
    back = back if width % 2 else -(guard + width // 2)
    return np.maximum.reduce([_at(beside, 0, back), _at(beside, 0, ahead), _at(above, back, 0), _at(above, ahead, 0)])


def _sums(x: NDArray[np.int64], half: int) -> NDArray[np.int64]:
    """Return sums over squares of 2 half + 1 pixels, mirrored at the border."""
    n = 2 * half + 1
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (half + 1, half)
        total = np.cumsum(np.pad(x, pad, mode="symmetric"), axis)
        x = np.take(total, range(n, total.shape[axis]), axis) - np.take(total, range(total.shape[axis] - n), axis)
    return x


def _count(known: Mask, half: int) -> NDArray[np.int64]:
    if known.all():
        return np.full(known.shape, (2 * half + 1) ** 2)
    return _sums(known.astype(np.int64), half)


def _moments(u: Array, known: Mask, half: int) -> tuple[Array, Array]:
    """Return mean and variance over squares, of what is known; 0 where nothing is."""
    q = np.where(known, np.rint(u * STEPS), 0).astype(np.int64)
    count = np.maximum(_count(known, half), 1)
    mean = _sums(q, half) / count
    return mean / STEPS, (_sums(q * q, half) / count - mean**2) / STEPS**2
