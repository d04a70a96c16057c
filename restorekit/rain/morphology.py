"""A plain derainer of morphology and nothing else serves where there is no other, and for comparison. It is weak."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray
from skimage.draw import line as pixels_of
from skimage.feature import structure_tensor

Array = NDArray[np.floating]


def footprint(length: int, angle: float) -> NDArray[np.bool_]:
    """Return the pixels of a line through the middle, `angle` degrees clockwise from upright."""
    half = length / 2 - 0.5
    a = math.radians(angle)
    v, u = round(half * math.cos(a)), round(half * math.sin(a))
    out = np.zeros((2 * abs(v) + 1, 2 * abs(u) + 1), bool)
    out[pixels_of(abs(v) - v, abs(u) + u, abs(v) + v, abs(u) - u)] = True
    return out


def direction(grey: Array, sigma: int = 1) -> float:
    """Return the direction, in degrees clockwise from upright, within 45 of it, of what is thin and bright in `grey`
    (H, W).

    Of the gradients of the white top-hat, so that wide things do not count; rain that falls flatter is not looked for.
    """
    thin = grey - scipy.ndimage.grey_opening(grey, (1, 9))
    vv, uv, uu = structure_tensor(thin, sigma=sigma, mode="reflect")
    tensor = np.array([[vv.sum(), uv.sum()], [uv.sum(), uu.sum()]])
    v, u = np.linalg.eigh(tensor)[1][:, 0]  # along streaks there is the least change
    angle = math.degrees(math.atan2(-u, v)) if v > 0 else math.degrees(math.atan2(u, -v))
    return float(np.clip(angle, -45, 45))


@dataclass(frozen=True)
class Directional:
    """It takes out what is brighter than its surroundings across the direction of the streaks (white top-hat) and long
    in it (opening).

    Both are openings by lines. All bands lose the same r, as rain is grey. Lengths were chosen on made-up rain.
    """

    length: int = 9  # pixels that a streak has at least
    width: int = 7  # pixels that it is thinner than
    angle: float | None = None  # degrees clockwise from upright; None: `direction`

    def __post_init__(self) -> None:
        if not (self.length >= 2 and self.width >= 2):
            raise ValueError("length and width must be at least 2 pixels")

    def rain(self, y: Array) -> Array:
        """Return the rain r (H, W) of a rainy picture (C, H, W)."""
        grey = y.min(0).astype(np.float64)  # rain is in every band, colours of the scene are not
        angle = direction(grey) if self.angle is None else self.angle
        across = footprint(self.width, angle + 90)
        thin = grey - scipy.ndimage.grey_opening(grey, footprint=across, mode="reflect")
        r = scipy.ndimage.grey_opening(thin, footprint=footprint(self.length, angle), mode="reflect")
        return np.clip(r, 0, None)  # mirrored edges can push an opening above what it opens

    def __call__(self, y: Array) -> Array:
        """Return the picture B (C, H, W) without rain."""
        return np.maximum(y - self.rain(y).astype(y.dtype), np.minimum(y, 0))
