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


class Sums:
    """Sums of x (h, w), 0 to 1, over squares; beyond the border there is nothing."""

    def __init__(self, x: Array):
        total = np.cumsum(np.cumsum(np.rint(x * STEPS).astype(np.int64), 0), 1)
        self.total = np.pad(total, ((1, 0), (1, 0)))

    def over(self, side: int) -> Array:
        """Return the sums (h, w) over squares of `side` pixels around each."""
        (top, bottom), (left, right) = (_ends(n - 1, side) for n in self.total.shape)
        rows = self.total[bottom] - self.total[top]
        return (rows[:, right] - rows[:, left]) / STEPS

    @staticmethod
    def inside(shape: tuple[int, ...], side: int) -> Array:
        """Return how many pixels of the square around each lie inside of (h, w)."""
        (top, bottom), (left, right) = (_ends(n, side) for n in shape)
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
    sides: tuple[int, ...], independent: tuple[float, ...], looks: float, rest: float, grain: Grain, rate: float
) -> tuple[float, ...]:
    """Return for each size the evidence that simulated speckle reaches so seldom that its squares cover its share of `rate`."""
    rng, spectrum, shape = np.random.default_rng(0), spectrum_of(grain), (SIMULATED, SIMULATED)
    law, fields = looks / (looks + rest), []
    for _ in range(FIELDS):
        one, others = (draw(shape, n if n < 9 else n + 0.1, spectrum, rng) for n in (looks, rest))
        fields.append(Sums(looks * one / (looks * one + rest * others)))
    pixels = [min(side * side, COUNTED) ** 2 for side in sides]  # of small squares a false one is far off
    found = []
    for side, n, counted in zip(sides, independent, pixels, strict=True):
        if side > ALIKE and found:
            found.append(found[-1])
            continue
        inner, every, size = (slice(side // 2, SIMULATED - side // 2),) * 2, [], 0
        for sums in fields:
            e = n * (looks + rest + 1) * divergence(sums.over(side)[inner] / side**2, law)
            every.append(e[e >= scipy.ndimage.maximum_filter(e, max(APART, side))])
            size += e.size
        tops = np.sort(np.concatenate(every))[::-1]
        tops = tops[: min(TAIL, len(tops) // 2)]
        wanted = rate * counted / sum(pixels) / side**2  # such squares per pixel
        if wanted * size < len(tops):
            slope = max(float((tops - tops[-1]).mean()), 1.0)  # that of a normal mean, or more
            found.append(float(tops[-1]) + slope * math.log(len(tops) / (wanted * size)))
        else:
            found.append(float(tops[-1]))
    return tuple(found)
