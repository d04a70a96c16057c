"""A test says where a radar picture shows structure that speckle does not explain, scale by scale.

The measured intensity is split into details, differences of two Gaussians: of the logarithms of their means for what is brighter,
as a point is no more than a trace in a mean of logarithms, of the means of logarithms for what is darker, where it is the other way
about. Of flat speckle with the same looks and the same correlation both are simulated, and what chance passes at a stated rate is
the level from which on a detail counts. It is the measurement that is tested, not what a despeckler made of it: that is smooth, and its blots are no noise to a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.sar.looks import Grain
from restorekit.sar.speckle import draw, spectrum_of

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]
SIMULATED = 512  # side of the simulated field, pixels
FLOOR = 0.001  # share of the pixels that count as no darker than each other
SHARED = 0.002  # of the pixels, from which on the least value is a limit
NARROW = 2  # scales, from the finest: what is bright at these counts for no background of what is dark at them
MARGIN = 96  # pixels of its border that do not count: the field ends there


def smoothed(x: Array, valid: Mask, sigma: float) -> Array:
    """Return the mean (H, W) of the valid pixels under a Gaussian of `sigma` pixels; x itself where there is none."""
    if valid.all():
        return scipy.ndimage.gaussian_filter(x, sigma)
    there = scipy.ndimage.gaussian_filter(valid.astype(np.float64), sigma)
    total = scipy.ndimage.gaussian_filter(np.where(valid, x, 0.0), sigma)
    return np.divide(total, there, out=np.array(x, np.float64), where=there > 1e-6)


def details(x: Array, valid: Mask, sigmas: tuple[float, ...], whole: bool = False) -> list[Array]:
    """Return the differences (H, W) of Gaussians of neighbouring `sigmas`, fine to coarse. whole: the first holds all that is
    finer, so that all of them and the coarsest Gaussian add up to x where that is valid."""
    levels = [smoothed(x, valid, s) for s in sigmas]
    if whole:
        levels[0] = np.where(valid, x, levels[0])
    return [fine - coarse for fine, coarse in zip(levels, levels[1:])]


def _brighter(intensity: Array, valid: Mask, sigmas: tuple[float, ...]) -> list[Array]:
    """Return for each scale the details (H, W) by which to tell what is brighter."""
    powers = [np.log(np.maximum(smoothed(intensity, valid, s), 1e-30)) for s in sigmas]
    return [fine - coarse for fine, coarse in zip(powers, powers[1:])]


def _darker(intensity: Array, valid: Mask, sigmas: tuple[float, ...], bright: Mask | None = None) -> list[Array]:
    """Return for each scale the details (H, W) by which to tell what is darker than what is around and not `bright`."""
    y = np.log(np.maximum(intensity, 1e-30))
    if bright is None or not bright.any():
        return details(y, valid, sigmas)
    # Beside a bright line all is darker than a mean that holds the line; that is no dark place.
    plain = details(np.where(bright, 0.0, y), valid & ~bright, sigmas[: NARROW + 1])
    return [np.where(bright, 0.0, x) for x in plain] + details(y, valid, sigmas[NARROW:])


def with_signal(intensity: Array, valid: Mask) -> Mask:
    """Return where the intensity (H, W) is a measurement: above 0, and above a least value that many pixels share, a limit of
    the numbers of the file. All that is above 0 where nothing else would be left."""
    there = valid & (intensity > 0)
    if not there.any():
        return there
    least = there & (intensity > intensity[there].min())
    return there if there.sum() - least.sum() <= SHARED * there.sum() or not least.any() else least


@dataclass(frozen=True)
class BeyondSpeckle:
    """Settings of the test; the call makes it. Take it to decide where a radar picture may be shown."""

    false_alarms: float = 1e-3  # share of the pixels of flat speckle, per scale, whose weight is not 0
    sigmas: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # pixels
    sure: float = 1.25  # times the level of chance, from which on the weight is 1

    def __post_init__(self) -> None:
        rising = all(0 < a < b for a, b in zip(self.sigmas, self.sigmas[1:]))
        if not 0 < self.false_alarms < 0.5 or len(self.sigmas) < 2 or not rising or not self.sure > 1:
            raise ValueError("false_alarms in 0..0.5, two or more rising sigmas above 0, sure above 1")

    def __call__(self, intensity: Array, valid: Mask, looks: float, grain: Grain = (0.0, 0.0)) -> list[Array]:
        """Return weights (H, W) from 0, chance explains it, to 1 for each scale, fine to coarse; 0 where not valid.

        intensity: as measured, with its speckle, of `looks` looks; grain: its correlation with the next row and column.
        """
        there = with_signal(intensity, valid)
        if not there.any():
            return [np.zeros(intensity.shape) for _ in self.sigmas[1:]]
        # Below the noise of the sensor logarithms spread without an end, and say nothing.
        floor = float(np.quantile(intensity[there], FLOOR))
        y = np.where(there, np.maximum(intensity, floor), floor)
        # The levels change slowly: simulated for a few looks and grains alone.
        near = 2 ** (round(4 * np.log2(looks)) / 4)
        rows, columns = (round(20 * min(max(float(rho), 0.0), 0.9)) / 20 for rho in grain)
        weights = []
        levels = _levels(self, near, (rows, columns))
        brighter = [x / high for x, (_, high) in zip(_brighter(y, there, self.sigmas), levels)]
        bright = np.asarray(np.max(brighter[:NARROW], axis=0) > 1)
        darker = [x / low for x, (low, _) in zip(_darker(y, there, self.sigmas, bright), levels)]
        for ratio in map(np.maximum, brighter, darker):
            weights.append(np.where(valid, np.clip((ratio - 1) / (self.sure - 1), 0, 1), 0.0))
        return weights


@lru_cache(maxsize=16)
def _levels(settings: BeyondSpeckle, looks: float, grain: Grain) -> list[tuple[float, float]]:
    """Return (lowest, highest) difference of each scale that flat speckle passes at half of the rate each."""
    # A Gaussian as wide as the coarsest knows few independent places in the field: the normal law says the tail there.
    side = SIMULATED + 2 * MARGIN
    y = draw((side, side), looks, spectrum_of(grain), np.random.default_rng(0))
    everywhere, half = np.ones(y.shape, np.bool_), settings.false_alarms / 2
    inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    found = []
    for brighter, darker in zip(*(f(y, everywhere, settings.sigmas) for f in (_brighter, _darker))):
        sure = float(scipy.stats.norm.isf(half))
        high = max(float(np.quantile(brighter[inner], 1 - half)), sure * float(brighter[inner].std()))
        found.append((min(float(np.quantile(darker[inner], half)), -sure * float(darker[inner].std())), high))
    return found
