"""Looks and grain of the speckle of a Sentinel-1 image follow from how it was focused.

Each look is a Hamming window over its band, and the image samples it more densely than the band needs: the correlation of
neighbours is that of `restorekit.sar.speckle.SpeckleSpectrum`. Neighbouring looks share a part of their bands; the number
of independent looks that fluctuate as much as N that share is N^2 / (N + 2 sum_m (N - m) |rho_m|^2), with rho_m the
correlation of complex looks m apart, for the covariance of their intensities is |rho_m|^2.
"""

from __future__ import annotations

import math

import numpy as np

from restorekit.products.sentinel1_annotation import Annotation, LookProcessing, SwathProcessing
from restorekit.sar.speckle import SpeckleSpectrum

LIGHT = 299_792_458.0  # m/s
FINE = 20001  # frequencies of a band at which spectra are integrated
# Equivalent number of looks that the Product Definition S1-RS-MDA-52-7440 publishes for the mode, in range and azimuth: less
# than the overlap of looks explains, as looks do not weigh the same.
PUBLISHED = {("IW", 5, 1): 4.4}


def correlation(processing: LookProcessing, rate: float) -> float | None:
    """Return the correlation of the intensity of neighbours that are sampled at `rate`, Hz; None where the window is not
    known."""
    if processing.window not in ("Hamming", "None"):
        return None
    alpha = processing.coefficient if processing.window == "Hamming" else 1.0
    if not 0.5 <= alpha <= 1:
        return None
    return SpeckleSpectrum(1.0, max(rate / processing.bandwidth, 1.0), alpha).lag_one[0]


def swath_grain(image: Annotation, swath: SwathProcessing) -> tuple[float, float] | None:
    """Return the correlation of intensity with the next row and the next column in the middle of a swath."""
    rate = image.rate
    if image.ground:  # samples lie evenly on the ground, and closer in slant range by the sine of the incidence
        angle = math.radians(image.incidence_at(swath.first, swath.last))
        rate = LIGHT / (2 * image.spacing * math.sin(angle))
    down, across = correlation(swath.along, 1 / image.interval), correlation(swath.across, rate)
    return None if down is None or across is None else (down, across)


def image_grain(image: Annotation) -> tuple[float, float] | None:
    """Return the correlation of intensity with the next row and column, the mean of the swaths of an image by their
    width; None where it is not known."""
    found = [(swath_grain(image, s), s.last - s.first + 1) for s in image.swaths]
    if not found or any(grain is None for grain, _ in found):
        return None
    down, across = np.average([grain for grain, _ in found if grain], axis=0, weights=[width for _, width in found])
    return float(down), float(across)


def independent_looks(processing: LookProcessing) -> float:
    """Return the number of independent looks that have the variance of those that were added on one axis."""
    n, share = processing.looks, 1 - processing.overlap / processing.bandwidth
    if n == 1:
        return 1.0
    alpha = processing.coefficient if processing.window == "Hamming" else 1.0
    u = np.linspace(-0.5, 0.5, FINE)

    def window(v: np.ndarray) -> np.ndarray:
        return np.where(np.abs(v) <= 0.5, alpha + (1 - alpha) * np.cos(2 * math.pi * v), 0.0)

    power = (window(u) ** 2).sum()
    rho = [(window(u) * window(u - m * share)).sum() / power for m in range(1, n)]
    return n**2 / (n + 2 * sum((n - m) * r**2 for m, r in enumerate(rho, 1)))


def image_looks(image: Annotation) -> tuple[float, float] | None:
    """Return (looks, looks of the overlap alone) of an image, the first being the published number where there is one;
    None where the annotation says nothing."""
    if not image.swaths:
        return None
    weights = [s.last - s.first + 1 for s in image.swaths]
    each = [independent_looks(s.across) * independent_looks(s.along) for s in image.swaths]
    overlap = float(np.average(each, weights=weights))
    added = image.swaths[0].across.looks, image.swaths[0].along.looks
    return PUBLISHED.get((image.mode, *added), overlap), overlap
