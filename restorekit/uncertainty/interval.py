"""Intervals of a stated level are made of a few posterior samples.

For K samples and a truth that are drawn from one Gaussian, (x - mean) / (std sqrt(1 + 1/K)) follows Student's t with K
- 1 degrees of freedom, so that mean +- t sqrt(1 + 1/K) std holds its level exactly, however small K is; mean +- 1.645
std of eight samples holds 0.83 instead of 0.90.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
LEVELS = (0.5, 0.99)  # the least and the greatest level that is offered
FLOOR = 1e-5  # standard deviations below count as this, of a picture on [0, 1]: a hundredth of the rounding to 8 bits
POWERS = (0.5, 2.0)  # of a spread
USUAL = 0.05  # spread of a picture on [0, 1] that no power changes


@dataclass(frozen=True)
class Spread:
    """It takes a standard deviation per pixel from few samples: the root of a mean of two variances.

    `own` is the weight of the variance of the pixel itself, 1 - `own` that of its mean over `window` x `window` pixels
    of the same band. Variances of eight samples are off by half their value, and neighbours are alike: where some
    pixels were measured and others were not, those of the same kind.

    `power` above 1 makes a large spread larger and a small one smaller, as s (s / 0.05)^(power - 1), white 1: samples
    that lost detail everywhere differ too little where there is detail, and too much where there is none.
    """

    window: int = 5
    own: float = 0.5
    power: float = 1.0

    def __post_init__(self) -> None:
        if self.window < 1 or self.window % 2 == 0 or not 0 <= self.own <= 1:
            raise ValueError(f"window={self.window} must be odd, own={self.own:g} between 0 and 1")
        if not POWERS[0] <= self.power <= POWERS[1]:
            raise ValueError(f"power={self.power:g} of the spread must lie between {POWERS[0]:g} and {POWERS[1]:g}")

    def __call__(self, samples: Array, measured: Mask | None = None) -> Array:
        """Return the spread (C, H, W) of samples (K, C, H, W), two at least, in their unit. measured: broadcastable to
        a sample."""
        if samples.ndim != 4 or len(samples) < 2:
            raise ValueError(f"samples of shape {samples.shape} have no spread; give at least two, (K, C, H, W)")
        variance = samples.astype(np.float64).var(0, ddof=1)
        around = self._mean(variance)
        if measured is not None:
            kinds = np.broadcast_to(measured, variance.shape)
            for kind in (kinds, ~kinds):
                share = np.maximum(self._mean(kind.astype(np.float64)), 1e-9)
                around = np.where(kind, self._mean(variance * kind) / share, around)
        spread = np.sqrt(np.maximum(self.own * variance + (1 - self.own) * around, FLOOR**2))
        return spread if self.power == 1 else spread * (spread / USUAL) ** (self.power - 1)

    def _mean(self, x: Array) -> Array:
        size: Any = (0, self.window, self.window)
        return np.asarray(scipy.ndimage.uniform_filter(x, size))


LOCAL = Spread()
PIXEL = Spread(window=1, own=1.0)  # every pixel by itself, for which Student's t is exact


def student(level: float, samples: int) -> float:
    """Return half the width of a central interval, in standard deviations of the difference between truth and mean."""
    return float(scipy.special.stdtrit(samples - 1, (1 + level) / 2))


def ratios(truth: Array, samples: Array, spread: Spread, measured: Mask | None = None) -> Array:
    """Return |truth - mean| / (spread sqrt(1 + 1/K)) per pixel (C, H, W): the conformal score, at which an interval
    just holds."""
    off = np.abs(truth - samples.astype(np.float64).mean(0))
    return off / (spread(samples, measured) * np.sqrt(1 + 1 / len(samples)))


@dataclass(frozen=True)
class Interval:
    """Central intervals of samples are mean +- factor t sqrt(1 + 1/K) spread, t of Student with K - 1 degrees of
    freedom.

    With the factor 1 and the spread of every pixel by itself they are exact for Gaussian posteriors that were sampled
    exactly. A factor from `Calibration` makes them hold for pictures. `bounds`: the least and the greatest value there
    is, to which they are cut; they hold as before, as no truth lies beyond.
    """

    level: float = 0.9
    factor: float = 1.0
    spread: Spread = PIXEL
    bounds: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        least, most = LEVELS
        if not least <= self.level <= most:
            raise ValueError(f"level={self.level:g} must lie between {least:g} and {most:g}")
        if not self.factor > 0:
            raise ValueError(f"factor={self.factor:g} must be above 0")

    def __call__(self, samples: Array, measured: Mask | None = None) -> tuple[Array, Array]:
        """Return (low, high), each (C, H, W), of samples (K, C, H, W), two at least, in their unit; measured: see
        Spread."""
        deviation = np.sqrt(1 + 1 / len(samples)) * self.spread(samples, measured)
        half = self.factor * student(self.level, len(samples)) * deviation
        mean = samples.astype(np.float64).mean(0)
        low, high = mean - half, mean + half
        return (low, high) if self.bounds is None else (np.clip(low, *self.bounds), np.clip(high, *self.bounds))
