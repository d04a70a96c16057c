"""Rain is made up, for tests and training: streaks of light on top of a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.floating]
REACH = 3.0  # deviations of a streak's profile that are drawn


def line(length: float, width: float, angle: float) -> Array:
    """Return (n, n) with a streak in its middle, 1 along its axis: `length` and `width` pixels, `angle` degrees
    clockwise from upright."""
    half = math.ceil(length / 2 + REACH * width)
    v, u = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    a = math.radians(angle)
    along, across = v * math.cos(a) - u * math.sin(a), u * math.cos(a) + v * math.sin(a)
    beyond = np.maximum(np.abs(along) - length / 2, 0)
    return np.exp(-0.5 * (across**2 + beyond**2) / (width / 2) ** 2)


@dataclass(frozen=True)
class Streaks:
    """It draws a layer of rain r (H, W) >= 0, white = 1, for a picture x: y = min(x + r, 1), all bands alike.

    Drops lie in `depth` sheets one behind the other: the k-th is k times as far, so its streaks are k times as short,
    thin and faint, and k times as many.
    """

    angle: float = 10.0  # degrees clockwise from upright
    spread: float = 3.0  # degrees, deviation of the angle from streak to streak
    length: float = 25.0  # pixels, of the nearest streaks
    width: float = 1.5  # pixels, of the nearest
    density: float = 0.04  # share of the pixels that the nearest sheet covers, where streaks do not overlap
    depth: int = 3
    strength: float = 0.5  # of the nearest streaks, half of them between 0.75 and 1.25 times this

    def __post_init__(self) -> None:
        if not (self.length > 0 and self.width > 0 and 0 <= self.density <= 1 and self.depth >= 1):
            raise ValueError("length and width must be above 0, density in 0..1, depth at least 1")
        if not (self.strength >= 0 and self.spread >= 0 and math.isfinite(self.angle)):
            raise ValueError("strength and spread must be 0 or more, angle a number of degrees")

    def __call__(self, shape: tuple[int, int], rng: np.random.Generator) -> Array:
        """Return r of `shape`, the same for the same state of rng."""
        return np.sum([self._sheet(shape, k, rng) for k in range(1, self.depth + 1)], axis=0)

    def _sheet(self, shape: tuple[int, int], far: int, rng: np.random.Generator) -> Array:
        length, width = self.length / far, self.width / far
        margin = math.ceil(self.length)  # streaks come in over the edges
        h, w = (n + 2 * margin for n in shape)
        count = rng.poisson(self.density * h * w / (self.length * self.width) * far)
        angles = self.angle + self.spread * np.linspace(-1.5, 1.5, 7 if self.spread else 1)
        chances = np.exp(-0.5 * np.linspace(-1.5, 1.5, len(angles)) ** 2)
        which = rng.choice(len(angles), count, p=chances / chances.sum())
        at = rng.integers(0, (h, w), (count, 2))
        bright = self.strength / far * rng.uniform(0.5, 1.5, count)
        r = np.zeros((h, w))
        for i, angle in enumerate(angles):
            points = np.zeros((h, w))
            np.add.at(points, tuple(at[which == i].T), bright[which == i])
            r += scipy.signal.fftconvolve(points, line(length, max(width, 0.5), angle), mode="same")
        inside = r[margin : margin + shape[0], margin : margin + shape[1]]
        return np.maximum(inside, 0)


def fallen(x: Array, r: Array) -> Array:
    """Return the picture x (C, H, W) with rain r (H, W)."""
    return np.minimum(x + r.astype(x.dtype), 1)
