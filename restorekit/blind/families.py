"""A kernel of which nothing is known is the likeliest of three families by the spectrum of the blurred picture
(`Whittle`).

Straight motion, defocus (a disc) and Gaussian blur. Motion and defocus have zeros, which the spectrum of no scene has;
a Gaussian is told from a smooth scene by nothing but what scenes are like. The shake of a hand is of none of these
families.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from restorekit.blind.spectrum import SIDE, Array, Whittle
from restorekit.blind.stretch import Stretch

SHARPEST = 0.9  # pixels, of a Gaussian below which photographs differ among themselves
FINALISTS = 16  # candidates whose spectra are fitted to the end


def motion(length: float, degrees: float) -> Array:
    """Return the kernel of a straight and even motion, of any length in pixels, counter-clockwise from the x axis."""
    half = math.ceil(length / 2) + 1
    a = math.radians(degrees)
    t = np.linspace(-0.5, 0.5, 40 * math.ceil(length) + 1) * length
    return _drawn(np.stack([-math.sin(a) * t, math.cos(a) * t]), half)


def disc(radius: float) -> Array:
    """Return a kernel that is even over a disc, its edge as covered."""
    half = math.ceil(radius) + 1
    fine = (np.arange(-8 * half, 8 * half + 1)) / 8
    points = np.stack(np.meshgrid(fine, fine, indexing="ij"))
    return _drawn(points[:, (points**2).sum(0) <= radius**2], half)


def gaussian(sigma: float) -> Array:
    """Return a Gaussian kernel of sum 1, out to four sigma."""
    half = math.ceil(4 * sigma)
    g = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    return np.outer(g, g) / g.sum() ** 2


def deviation(kernel: Array) -> float:
    """Return the standard deviation of the mass of a kernel, along each axis on the mean, in pixels."""
    i, j = np.indices(kernel.shape)
    away = (i - (kernel * i).sum()) ** 2 + (j - (kernel * j).sum()) ** 2
    return math.sqrt(float((kernel * away).sum()) / 2)


def _drawn(points: Array, half: int) -> Array:
    """Return the kernel of points (2, n) about the middle, each spread over the four pixels around it."""
    low = np.floor(points).astype(int)
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    for corner in np.ndindex(2, 2):
        at = low + np.array(corner)[:, None]
        np.add.at(kernel, tuple(np.clip(at + half, 0, 2 * half)), np.prod(1 - np.abs(points - at), 0))
    return kernel / kernel.sum()


@dataclass(frozen=True, eq=False)
class Estimate:
    """A kernel that was found where none was known."""

    kernel: Array  # (h, w) of sum 1
    text: str  # what it is
    gain: float  # of ln p over no blur at all


@dataclass(frozen=True)
class Families:
    """It finds the likeliest kernel for y; of sharp pictures the gain is small."""

    longest: float = 31.0  # pixels of motion; of a disc half, of a Gaussian a sixth
    turns: int = 24  # directions
    rough: int = SIDE  # side of the windows by which candidates are compared at first
    finalists: int = FINALISTS

    def __call__(self, y: Array, sigma_y: float) -> Estimate:
        """Return the likeliest kernel for y (C, H, W) on about [0, 1]."""
        picture = Whittle(np.asarray(y, np.float64), sigma_y)
        begin = picture.start()
        none, _ = picture.fit(np.ones((1, 1)), begin, 80)
        small = picture if self.rough == SIDE else Whittle(picture.y, sigma_y, self.rough)
        start = small.start()
        first = [(small.fit(kernel, start, 6)[0], text, kernel) for text, kernel in self.candidates(min(small.size))]
        best = sorted(first, key=lambda f: f[0])[: self.finalists]
        cost, text, kernel = min(((picture.fit(k, begin, 80)[0], text, k) for _, text, k in best), key=lambda f: f[0])
        finer = Stretch(error=0.1, gate=0.0, gate_round=0.0, margin=2)(y, kernel, sigma_y)
        size, form, turn = finer.theta
        long, wide, turned = math.exp(size + form / 2), math.exp(size - form / 2), math.degrees(turn)
        change = f", then {long:.3g} times as long, {wide:.3g} as wide, turned by {turned:.2g} degrees"
        gain = 0.0 if text.startswith("Gaussian") and deviation(finer.kernel) < SHARPEST else none - cost
        return Estimate(finer.kernel, text + (change if finer.theta.any() else ""), gain)

    def candidates(self, side: int) -> Iterator[tuple[str, Array]]:
        """Yield names for people, and kernels that are smaller than half of `side`."""
        longest = min(self.longest, side / 3)
        for length in np.arange(4.0, longest + 0.1, 1.5):
            for degrees in np.arange(self.turns) * 180 / self.turns:
                yield f"motion of {length:.3g} pixels at {degrees:.3g} degrees", motion(length, degrees)
        for radius in np.arange(1.5, longest / 2 + 0.1, 0.5):
            yield f"disc of radius {radius:.3g}", disc(radius)
        for sigma in np.geomspace(0.7, longest / 6, 16):
            yield f"Gaussian of deviation {sigma:.3g}", gaussian(sigma)
