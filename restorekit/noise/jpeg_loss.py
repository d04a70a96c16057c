"""This module tells what a JPEG lost by rounding its coefficients, as the coefficients themselves show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from restorekit.files.curves import Curve
from restorekit.files.jpeg_file import StoredJPEG

Array = NDArray[np.floating]
# Mean square over red, green and blue of a unit of luma, of blue difference and of red difference (JFIF).
_IN_COLOURS = (1.0, (0.344136**2 + 1.772**2) / 3, (1.402**2 + 0.714136**2) / 3)
SEEN = 0.01  # share of the coefficients of one frequency, at least and at most but for it, that tells their scale
FEW = 4  # frequencies, of fewer no slope is told
STEEP = 2.0  # exponent by which the scale of a blurred picture falls with frequency: sharp ones have 1.2
_RADIUS = np.hypot(np.arange(8)[:, None], np.arange(8))


def scales(kept: Array, steps: Array) -> Array:
    """Return the scale b (8, 8) of Laplacian coefficients, of which the share `kept` (8, 8) was not rounded to 0 by `steps` (8, 8).

    Coefficients are Laplacian (Lam and Goodman, IEEE Trans. Image Processing 2000): |c| > step / 2 has the probability
    exp(-step / (2 b)), which gives b where enough of them are left. Elsewhere it is what a power of frequency, fitted to those,
    says, and not more than what would have left one.
    """
    b = steps / 2 / np.log(1 / np.clip(kept, 1e-6, 1 - 1e-6))
    log, told = np.log(np.maximum(_RADIUS, 1)), (kept >= SEEN) & (kept <= 1 - SEEN) & (_RADIUS > 0)
    slope = np.polyfit(log[told], np.log(b[told]), 1)[0] if told.sum() >= FEW else -STEEP
    anchors = told if told.any() else _RADIUS == 1
    line = np.exp(np.mean(np.log(b[anchors]) - min(slope, -1.0) * log[anchors]) + min(slope, -1.0) * log)
    return np.where(told | (kept > 1 - SEEN), b, np.minimum(b, line))


def zeroed(b: Array, step: Array) -> Array:
    """Return the mean square of Laplacian coefficients of scale b below step / 2 in size, step^2 / 12 at most."""
    t = step / 2
    outside = np.exp(-t / b)
    within = (2 * b**2 - outside * (t**2 + 2 * t * b + 2 * b**2)) / np.maximum(1 - outside, 1e-9)
    return np.clip(within, 0, step**2 / 12)


def jpeg_loss(stored: StoredJPEG, curve: Curve) -> float:
    """Return the root mean square, in light by `curve`, of what a JPEG lost by its rounding, white = 1.

    A coefficient that is not 0 lost step^2 / 12, one that is 0 what `zeroed` says: in flat or blurred pictures most are, and lost next to nothing.
    The loss of each block is divided by the slope of the curve at its mean. Detail of chroma that was averaged away is not counted.
    """
    losses = []
    for levels, steps in zip(stored.levels, stored.steps):
        kept = np.abs(levels) >= 0.5
        count = max(1, kept.shape[0] * kept.shape[1])
        shares = (kept.sum((0, 1)) + 0.5) / (count + 1)
        nothing = zeroed(scales(shares, steps), steps)
        losses.append(np.where(kept, steps**2 / 12, nothing).mean((2, 3)))  # orthonormal: mean over pixels
    luma = (stored.levels[0][..., 0, 0] * stored.steps[0][0, 0] / 8 + 128) / 255
    slope = curve.slope(curve.decode(np.clip(luma, 0, 1)[None]))[0]
    first = float(np.mean(losses[0] / slope**2))
    mean = float(np.mean(losses[0]))
    # Chroma lies on another grid: its loss is in proportion.
    more = sum(w * float(np.mean(v)) for w, v in zip(_IN_COLOURS[1:], losses[1:]))
    return float(np.sqrt(first * (1 + more / max(mean, 1e-12)))) / 255
