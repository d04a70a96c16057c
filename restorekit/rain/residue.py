"""The mask K of Wang, Wu, Li, Yang 2025, eq 27, shows where a derainer may have left rain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]


def rain_layer(y: Array, b: Array) -> Array:
    """Return R (H, W) of a rainy picture y and what a derainer made of it, b (C, H, W): max over bands of the positive
    part of y - b."""
    return np.clip(y - b, 0, None).max(0)


def grown(k: Mask, pixels: int) -> Mask:
    """Return k (H, W) and all within `pixels` of it, corners too."""
    return np.asarray(scipy.ndimage.maximum_filter(k, 2 * pixels + 1), bool) if pixels else k


class ResidueMask(NamedTuple):
    """The mask with the threshold that it was made with."""

    k: Mask  # (H, W), True: repair
    threshold: float  # T; infinity where nothing is repaired


@dataclass(frozen=True)
class Residue:
    """It finds K = 1[R >= T], grown by `dilate` pixels.

    T is the quantile that leaves `share` of the pixels, but `floor` at least, and so much higher that K, once grown, is
    no more than `cap` of the picture. Beyond `floor` the errors of a good derainer hardly grow any more with R, below
    they are small (benchmarks/restoration/derain.py).
    """

    share: float = 0.5
    floor: float = 0.1  # white = 1
    cap: float = 0.5
    dilate: int = 1  # pixels

    def __post_init__(self) -> None:
        for name in ("share", "cap"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name):g}: must lie above 0, and at 1 at most")
        if not self.floor > 0:
            raise ValueError(f"floor={self.floor:g}: must be above 0")
        if self.dilate < 0:
            raise ValueError(f"dilate={self.dilate}: must be at least 0")

    def __call__(self, r: Array, valid: Mask | None = None) -> ResidueMask:
        """Return the mask of R (H, W) and its threshold.

        No pixel is set where no rain reaches `floor`, or where so many are the strongest that they are above `cap`.

        valid (H, W): pixels of the picture; the others count for nothing and are not in K. Default: all of them.
        """
        valid = np.ones(r.shape, bool) if valid is None else valid

        def at(level: float) -> Mask:
            return grown(valid & (r >= level), self.dilate) & valid

        lowest = max(float(np.quantile(r[valid], 1 - self.share)), self.floor)
        levels = np.unique(r[valid & (r >= lowest)])
        low, high = 0, len(levels)  # the first level that keeps to the cap: K falls as T rises
        while low < high:
            middle = (low + high) // 2
            if at(levels[middle])[valid].mean() <= self.cap:
                high = middle
            else:
                low = middle + 1
        if low == len(levels):
            return ResidueMask(np.zeros(r.shape, bool), float("inf"))
        return ResidueMask(at(levels[low]), float(levels[low]))


PAPER_RESIDUE = Residue(share=0.05, cap=0.15)
WEAK_RESIDUE = Residue(floor=0.02)  # of a derainer that leaves much
