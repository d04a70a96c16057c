"""Evidence of a change by speckle alone is measured here: sums over squares, and thresholds from simulated fields."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.sar.looks import Array, Grain
from restorekit.sar.speckle import draw, spectrum_of

SIMULATED = 448  # side of a simulated field, pixels
FIELDS = 4
TAIL = 240  # largest values of the simulated fields, whose evidence falls off exponentially
APART = 3  # pixels between the largest values of the evidence
STEPS = 1 << 20  # of q: sums over windows are of whole numbers, exact however a scene is cut into blocks
COUNTED = 25  # pixels from which on larger squares have no larger share of the false alarms
ALIKE = 9  # side from which on squares have one threshold: their means are normal


Shape = tuple[int, int]  # rows and columns of a rectangle, pixels, odd


class Sums:
    """Sums of x (h, w), 0 to 1, over rectangles; beyond the border there is nothing."""

    def __init__(self, x: Array):
        total = np.cumsum(np.cumsum(np.rint(x * STEPS).astype(np.int64), 0), 1)
        self.total = np.pad(total, ((1, 0), (1, 0)))

    def over(self, shape: Shape) -> Array:
        """Return the sums (h, w) over rectangles of `shape` around each pixel."""
        (top, bottom), (left, right) = (_ends(n - 1, side) for n, side in zip(self.total.shape, shape, strict=True))
        rows = self.total[bottom] - self.total[top]
        return (rows[:, right] - rows[:, left]) / STEPS

    @staticmethod
    def inside(size: tuple[int, ...], shape: Shape) -> Array:
        """Return how many pixels of the rectangle of `shape` around each lie inside of (h, w)."""
        (top, bottom), (left, right) = (_ends(n, side) for n, side in zip(size, shape, strict=True))
        return np.multiply.outer(bottom - top, right - left).astype(np.float64)


def _ends(n: int, side: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    at = np.arange(n)
    return np.maximum(at - side // 2, 0), np.minimum(at + side // 2 + 1, n)


def divergence(q: Array, law: Array | float) -> Array:
    """Return the Kullback-Leibler divergence of two choices of probability q from those of `law`."""
    q = np.clip(q, 1e-9, 1 - 1e-9)
    law = np.clip(law, 1e-9, 1 - 1e-9)
    return q * np.log(q / law) + (1 - q) * np.log((1 - q) / (1 - law))


@lru_cache(maxsize=32)
def thresholds_of(
    shapes: tuple[Shape, ...], independent: tuple[float, ...], looks: float, rest: float, grain: Grain, rate: float
) -> tuple[float, ...]:
    """Return for each shape the evidence that simulated speckle reaches so seldom that its rectangles cover its share of `rate`."""
    rng, spectrum, size = np.random.default_rng(0), spectrum_of(grain), (SIMULATED, SIMULATED)
    law, fields = looks / (looks + rest), []
    for _ in range(FIELDS):
        one, others = (draw(size, n if n < 9 else n + 0.1, spectrum, rng) for n in (looks, rest))
        fields.append(Sums(looks * one / (looks * one + rest * others)))
    pixels = [min(rows * columns, COUNTED) ** 2 for rows, columns in shapes]  # of small ones a false one is far off
    found = []
    for shape, n, counted in zip(shapes, independent, pixels, strict=True):
        if min(shape) > ALIKE and found:
            found.append(found[-1])
            continue
        inner, every, count = tuple(slice(side // 2, SIMULATED - side // 2) for side in shape), [], 0
        for sums in fields:
            e = n * (looks + rest + 1) * divergence(sums.over(shape)[inner] / math.prod(shape), law)
            every.append(e[e >= scipy.ndimage.maximum_filter(e, tuple(max(APART, side) for side in shape))])
            count += e.size
        tops = np.sort(np.concatenate(every))[::-1]
        tops = tops[: min(TAIL, len(tops) // 2)]
        wanted = rate * counted / sum(pixels) / math.prod(shape)  # such rectangles per pixel
        if wanted * count < len(tops):
            slope = max(float((tops - tops[-1]).mean()), 1.0)  # that of a normal mean, or more
            found.append(float(tops[-1]) + slope * math.log(len(tops) / (wanted * count)))
        else:
            found.append(float(tops[-1]))
    return tuple(found)
