"""A kernel that was given as right is doubted where the spectrum of the blurred picture says so."""

from __future__ import annotations

import numpy as np
import scipy

from restorekit.blind.correction import Kernel
from restorekit.blind.spectrum import Array, Whittle
from restorekit.blind.stretch import Frame, Stretch
from restorekit.blind.turned import turned
from restorekit.tasks.kernel_shown import kernel_text

# Pixels, deviation of what a lens and a demosaicing add to the blur that is known: a line that is wider by that is right all the same.
SOFT = 0.7
SOME = 128  # pixels a side that show whether there is more than a gradient
DEGREE = 4  # of the polynomial that a gradient is, in light too
PLAIN = 2.0  # deviations of the noise, that a picture without texture stays within
HALF = 64  # pixels a side of a half whose spectrum says something


def is_plain(y: Array, sigma_y: float) -> bool:
    """Return True where a picture y (C, H, W) shows nothing but a gradient and noise `sigma_y`: whatever its blur was, it has left
    no trace."""
    y = y[:, :: max(1, y.shape[1] // SOME), :: max(1, y.shape[2] // SOME)]
    i, j = (np.linspace(-1, 1, n) for n in y.shape[1:])
    smooth = np.stack([np.outer(i**a, j**b).ravel() for a in range(DEGREE + 1) for b in range(DEGREE + 1 - a)], 1)
    bands = y.reshape(len(y), -1).T
    left = bands - smooth @ np.linalg.lstsq(smooth, bands, rcond=None)[0]
    return float(np.sqrt(np.mean(left**2))) < PLAIN * sigma_y


def doubt_of(y: Array, kernel: Array, sigma_y: float) -> str | None:
    """Return what seems to be wrong with a kernel (h, w), and the way out, by the picture y (C, H, W) of noise `sigma_y`; None
    where nothing does."""
    if (way := turned(y, kernel, sigma_y)) is not None:
        return f"it seems to lie {way[0]}); save it that way, or see whether the picture was turned"
    found = Stretch.doubting(kernel)(y, kernel, sigma_y)
    if not found.theta.any():
        return None
    if not all(_likelier(half, kernel, found.kernel, sigma_y) for half in _halves(y)):
        return None
    frame = Frame(kernel)
    if not frame.round or frame.edged:
        soft = scipy.ndimage.gaussian_filter(np.pad(kernel, 3), SOFT, mode="constant")
        if not Stretch.doubting(soft)(y, soft / soft.sum(), sigma_y).theta.any():
            return None
    return f"{kernel_text(Kernel(kernel, found).record())}); try `kernel_error=auto`"


def _halves(y: Array) -> list[Array]:
    """Return the upper, lower, left and right half of a picture (C, H, W); of a small one none, as halves tell too little."""
    h, w = (n // 2 for n in y.shape[1:])
    if min(h, w) < HALF:
        return []
    return [np.ascontiguousarray(half) for half in (y[:, :h], y[:, h:], y[:, :, :w], y[:, :, w:])]


def _likelier(y: Array, kernel: Array, changed: Array, sigma_y: float) -> bool:
    """Return True where a part of a picture likes the changed kernel better as well: a wrong one is wrong everywhere, and a mast or
    a shore, which no spectrum of a whole picture knows, lies in one part."""
    part = Whittle(y, sigma_y)
    pad = (changed.shape[0] - kernel.shape[0]) // 2
    return part.fit(changed, part.start(), 80)[0] < part.fit(np.pad(kernel, pad), part.start(), 80)[0]
