"""Filters of the textbooks take out multiplicative speckle, on intensities (H, W); invalid pixels neither count nor
are changed.

The mean of a window keeps radiometry; all of these are the mean, moved back towards the pixel where the window varies
more than speckle of `looks` looks does. C_u^2 = 1 / looks is that of speckle, C_i^2 that of the window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.sar.looks import Array, Mask

LEAST = 1e-30


@dataclass(frozen=True)
class Filter:
    """A filter maps y (H, W) and valid (H, W) to the restored (H, W), y itself where nothing is valid."""

    looks: float = 1.0
    size: int = 7  # side of the window, pixels

    def __post_init__(self) -> None:
        if not 0 < self.looks < math.inf or self.size < 3 or self.size % 2 == 0:
            raise ValueError(f"looks={self.looks:g} must be above 0, size={self.size} odd and 3 or more")

    @property
    def halo(self) -> int:
        """Return the number of pixels around a block that its result depends on."""
        return self.size // 2

    def __call__(self, y: Array, valid: Mask) -> Array:
        v = valid.astype(np.float64)
        x = np.where(valid, y, 0.0).astype(np.float64)
        return np.where(valid, self.filtered(x, v), y)

    def filtered(self, x: Array, v: Array) -> Array:
        """Return the restored (H, W), where x is 0 where v is."""
        raise NotImplementedError

    def moments(self, x: Array, v: Array, kernel: Array | None = None) -> tuple[Array, Array]:
        """Return the mean and C_i^2 of the valid pixels of each window, or of those of `kernel`."""

        def total(a: Array) -> Array:
            if kernel is None:  # not running sums, which would carry rounding, and with it the cut of blocks, along
                line = np.ones(self.size)
                return scipy.ndimage.correlate1d(
                    scipy.ndimage.correlate1d(a, line, 0, mode="constant"), line, 1, mode="constant"
                )
            return scipy.ndimage.correlate(a, kernel, mode="constant")

        count = np.maximum(total(v), 1e-9)
        mean = total(x) / count
        variance = np.maximum(total(x * x) / count - mean**2, 0.0)
        return mean, variance / np.maximum(mean**2, LEAST)


@dataclass(frozen=True)
class Boxcar(Filter):
    """It returns the mean of the window."""

    def filtered(self, x: Array, v: Array) -> Array:
        return self.moments(x, v)[0]


@dataclass(frozen=True)
class Lee(Filter):
    """It returns mean + (C_i^2 - C_u^2) / (C_i^2 + C_u^4) (y - mean) (Lee, IEEE TPAMI 1980, for multiplicative noise).

    Much software takes (C_i^2 - C_u^2) / C_i^2, which leaves more speckle where looks are few.
    """

    def filtered(self, x: Array, v: Array) -> Array:
        return _towards(x, *self.moments(x, v), self.looks)


def _towards(x: Array, mean: Array, c2: Array, looks: float) -> Array:
    u2 = 1 / looks
    return mean + np.maximum(c2 - u2, 0) / (c2 + u2**2) * (x - mean)


@dataclass(frozen=True)
class RefinedLee(Filter):
    """It filters by the half of the window on this side of the strongest edge (Lee, Computer Graphics and Image
    Processing 1981).

    The edge is the largest difference between opposite means of 3x3 pixels, in four directions; of its two sides the
    one counts whose mean is nearer to that of the middle.
    """

    @cached_property
    def _halves(self) -> list[NDArray[np.float64]]:
        """Return the halves of the window, middle included, to the right, lower right, lower, lower left, and
        opposite."""
        r = self.size // 2
        i, j = np.mgrid[-r : r + 1, -r : r + 1]
        right = [j >= 0, i + j >= 0, i >= 0, i - j >= 0]
        return [side.astype(np.float64) for side in (*right, *(s[::-1, ::-1] for s in right))]

    def filtered(self, x: Array, v: Array) -> Array:
        ones = np.ones((3, 3))
        middle, _ = self.moments(x, v, ones)
        step = max(2, self.size // 3)
        towards = [(0, step), (step, step), (step, 0), (step, -step)]
        ahead = [_moved(middle, i, j) for i, j in towards]
        behind = [_moved(middle, -i, -j) for i, j in towards]
        steepest = np.argmax(np.stack([np.abs(a - b) for a, b in zip(ahead, behind)]), axis=0)
        a, b = (np.take_along_axis(np.stack(s), steepest[None], 0)[0] for s in (ahead, behind))
        side = np.where(np.abs(a - middle) <= np.abs(b - middle), steepest, steepest + 4)
        moments = [self.moments(x, v, half) for half in self._halves]
        mean, c2 = (np.take_along_axis(np.stack(m), side[None], 0)[0] for m in zip(*moments))
        return _towards(x, mean, c2, self.looks)

    @property
    def halo(self) -> int:
        return max(self.size // 2, max(2, self.size // 3) + 1)


def _moved(x: Array, down: int, right: int) -> Array:
    """Return x at (i + down, j + right), the nearest of the border where that is outside."""
    rows = np.clip(np.arange(x.shape[0]) + down, 0, x.shape[0] - 1)
    columns = np.clip(np.arange(x.shape[1]) + right, 0, x.shape[1] - 1)
    return x[rows[:, None], columns]


@dataclass(frozen=True)
class Frost(Filter):
    """It weights pixels by exp(-damping C_i^2 / C_u^2 distance) (Frost, Stiles, Shanmugan, Holtzman, IEEE TPAMI 1982).

    The paper tunes damping C_i^2 to a sensor, and software takes 2 C_i^2: the default here at four looks. Over C_u^2 a
    flat scene is smoothed alike whatever the looks; 2 C_i^2 of one look would leave nearly all speckle.
    """

    damping: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.damping < math.inf:
            raise ValueError(f"damping={self.damping:g} must be 0 or more")

    def filtered(self, x: Array, v: Array) -> Array:
        _, c2 = self.moments(x, v)
        r, (h, w) = self.size // 2, x.shape
        total, weights = np.zeros_like(x), np.zeros_like(x)
        padded, there = np.pad(x, r), np.pad(v, r)
        for i in range(self.size):
            for j in range(self.size):
                weight = np.exp(-self.damping * self.looks * c2 * math.hypot(i - r, j - r))
                weight *= there[i : i + h, j : j + w]
                total += weight * padded[i : i + h, j : j + w]
                weights += weight
        return total / np.maximum(weights, LEAST)


@dataclass(frozen=True)
class GammaMAP(Filter):
    """It returns the mode of a gamma scene under gamma speckle (Lopes, Nezry, Touzi, Laur, IGARSS 1990).

    Where C_i <= C_u it is the mean, where C_i >= C_max the pixel as it is; C_max^2 = 1 + 2 / looks (Lopes, Touzi,
    Nezry, TGRS 1990). Much software takes 2 / looks, which leaves many more pixels as they are: of camera at four looks
    16 % and not 4 %. The mode lies below the mean of what is not flat.
    """

    highest: float | None = None  # C_max^2; None: 1 + 2 / looks

    def filtered(self, x: Array, v: Array) -> Array:
        mean, c2 = self.moments(x, v)
        u2 = 1 / self.looks
        highest = 1 + 2 * u2 if self.highest is None else self.highest
        alpha = (1 + u2) / np.maximum(c2 - u2, 1e-12)
        b = alpha - self.looks - 1
        mode = (b * mean + np.sqrt((b * mean) ** 2 + 4 * alpha * self.looks * x * mean)) / (2 * alpha)
        return np.where(c2 <= u2, mean, np.where(c2 >= highest, x, mode))


FILTERS = {"boxcar": Boxcar, "lee": Lee, "refined-lee": RefinedLee, "frost": Frost, "gamma-map": GammaMAP}


def by_name(name: str, looks: float, size: int = 7) -> Filter:
    """Return a filter by its name and settings. Raises BadInput for a name that is unknown, and for settings that
    cannot be."""
    if name not in FILTERS:
        raise BadInput(f"unknown filter {name!r}; known: {', '.join(FILTERS)}")
    try:
        return FILTERS[name](looks, size)
    except ValueError as error:
        raise BadInput(f"{name}: {error}") from None
