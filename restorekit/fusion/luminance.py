"""The luminance of a picture is taken out, and another one put in its place with the colours kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]
BT601 = np.array([0.299, 0.587, 0.114])


def luminance(bands: Array) -> Array:
    """Return the luminance (H, W) of (C, H, W): Y of ITU-R BT.601 of three bands, the mean of any other number."""
    weights = BT601 if len(bands) == 3 else np.full(len(bands), 1 / len(bands))
    return np.tensordot(weights, bands, 1)


FEW_STEPS = 4  # levels of integers, below which the ratio of bands is mostly rounding


def brightened(bands: Array, fused: Array, low: float, high: float, whole: bool = False) -> tuple[Array, Mask]:
    """Return `bands` (C, H, W) with the luminance `fused` (H, W), their ratios kept: all bands are multiplied by the same.

    Where a band would leave low .. high the luminance gives way, and the colour does not; the second result is where it gave way,
    (H, W). What has no ratio, a black pixel, one with values below 0, and of `whole` numbers one of less than four levels, moves
    by `recoloured`. Below 0 there is no colour.
    """
    old, most = luminance(bands), bands.max(0)
    coloured = (bands.min(0) >= 0) & (old > 0) & (most >= (FEW_STEPS if whole else 0))
    ratio = coloured & (fused >= 0)
    wanted = np.divide(fused, old, out=np.ones_like(old), where=ratio)
    room = np.divide(high, most, out=np.full_like(old, np.inf), where=ratio & (most > 0))
    factor = np.minimum(wanted, np.maximum(room, 1.0))
    added, _ = recoloured(np.where(coloured, 0.0, bands), fused, low, high)
    out = np.where(ratio, factor * bands, added)
    return out, ~np.isclose(luminance(out), fused, rtol=1e-6, atol=1e-9)


def recoloured(bands: Array, fused: Array, low: float, high: float) -> tuple[Array, int]:
    """Return `bands` (C, H, W) with the luminance `fused` (H, W), Cb and Cr kept: all bands move by the same.

    Where a band would leave low .. high, the colour is drawn towards grey as far as needed, so that the luminance
    stays; the second result is the number of such pixels. fused is held within low .. high first.
    """
    f = np.clip(fused, low, high)
    colour = bands - luminance(bands)
    most, least = colour.max(0), colour.min(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        above = np.where(most > 0, (high - f) / most, np.inf)
        below = np.where(least < 0, (f - low) / -least, np.inf)
    share = np.minimum(np.minimum(above, below), 1.0)
    return f + share * colour, int((share < 1 - 1e-6).sum())


def limits(dtype: str, bands: Array, linear: bool = False) -> tuple[float, float]:
    """Return the values that a result may take: those of the type, and none below 0 where `bands` have none, unless it is to be
    linear in what is added."""
    kind = np.dtype(dtype)
    low, high = (np.iinfo(kind).min, np.iinfo(kind).max) if kind.kind in "iu" else (-np.inf, np.inf)
    return (0.0 if bands.min() >= 0 and not linear else float(low)), float(high)
