"""A blur may be simulated in the values of a file, instead of in the light that they stand for; this module tells."""

from __future__ import annotations

import numpy as np
import torch

from restorekit.blind.response import favours_values
from restorekit.operators.coded import LightCurve
from restorekit.tasks.observation import Observation
from restorekit.tasks.sharp_pictures import sharp_pictures_say_values

SEEN_SIDE = 256  # pixels, of the part of a picture that says whether its light was blurred or its values
SHARP_SIDE = 128  # of its middle, where pictures with edges have to say so too: they take longer
LEAST_SIDE = 64  # pixels, of a picture that says so much
LEAST_TOLD = 0.25  # share of the values of that part that must not be at a limit
REACH = 3  # kernels that a part is wide, at least
# By how much a smooth picture must explain the values better than the light, that one with edges is asked. Of flat pictures it is
# wrong in favour of light, of line art and texture under long kernels in favour of values.
SUSPECTED = -0.02
BY_THE_FIT = "the blur, which fits these values better than their light"


def simulated(read: Observation, kernel: np.ndarray, curve: LightCurve) -> bool:
    """Return True where the kernel (h, w) surely explains the values of the file better than their light by `curve`: with
    a smooth picture, and with one that has edges."""
    values, (black, white) = read.as_read.pixels, read.clipped
    told = ~(black | white)
    if read.empty is not None:
        told = told & ~read.empty
    size, reach = values.shape[1:], REACH * max(kernel.shape)
    whole, middle = (_middle(size, side) for side in (SEEN_SIDE, max(SHARP_SIDE, reach)))
    if min(size) < LEAST_SIDE or any(REACH * k > n for k, n in zip(kernel.shape, values[whole].shape[1:])):
        return False
    return all(_told_so(values, told, part, kernel, curve, part is middle) for part in (whole, middle))


def _told_so(
    values: np.ndarray, told: np.ndarray, part: tuple[slice, ...], kernel: np.ndarray, curve: LightCurve, sharp: bool
) -> bool:
    if told[part].mean() < LEAST_TOLD:
        return False
    y, where = (torch.from_numpy(np.ascontiguousarray(x[part]))[None] for x in (values, told))
    if sharp:
        return sharp_pictures_say_values(y, torch.from_numpy(kernel), curve, where)
    return favours_values(y, torch.from_numpy(kernel), curve, where) > SUSPECTED


def _middle(size: tuple[int, ...], side: int) -> tuple[slice, ...]:
    """Return the middle of a picture (C, H, W) of this size (H, W), at most `side` pixels a side."""
    return (slice(None), *(slice(max(0, n - side) // 2, max(0, n - side) // 2 + side) for n in size))
