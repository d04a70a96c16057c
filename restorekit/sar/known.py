"""Looks and grain of products by name, where the scene is too small or too full to measure them.

Ground range products of Sentinel-1: the spectra that `swathProcParams` of an annotation describes (bandwidths, sampling and
Hamming windows of range and azimuth, 5 x 1 looks that overlap by a quarter), as autocorrelation of the intensity on the
pixels of the product; 4.4 looks are those of ESA's product definition (S1-RS-MDA-52-7440), where the overlap alone leaves
4.8 to 4.9. Correlation across the track depends on the angle of incidence: the figures are of 31, 38 and 45 degrees. Complex
products: bandwidths of 56.5, 48.3, 42.8 MHz at 64.35 MHz and 327, 313, 314 Hz at 486.5 Hz (the same document), a Hamming
window of 0.75, and of 0.70 in the azimuth of IW1. A product that was resampled, as to a map, has the correlation of that on top.

Extra wide mode and stripmap: resolution over spacing of the same document, 50 x 50 m at 25 m, 93 x 87 m at 40 m and 23 x 23 m at 10 m (range x
azimuth), as a response of that width to half its power under a Hamming window of 0.75 (`grain_of_resolution`). For the seven products above
the same figures (20 x 22 m at 10 m; 2.7, 3.1, 3.5 x 22 m at 2.33 x 14.1 m) give what spectra give, to within 0.04.

Products are left out whose numbers could not be had from a document or a file: Umbra's GEC and NISAR GCOV. A SICD says them
itself (`restorekit.products.sicd`), and so do tags of ICEYE and Capella (`restorekit.products.tagged_speckle`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from restorekit.errors import BadInput
from restorekit.sar.looks import Grain
from restorekit.sar.speckle import SpeckleSpectrum

HAMMING = 0.75  # coefficient of the window of Sentinel-1
FINE = 4001  # frequencies, and distances, at which a response is computed


@dataclass(frozen=True)
class KnownProduct:
    """A kind of product: its looks, and the correlation of intensity with the next row and the next column."""

    looks: float
    grain: Grain
    source: str


def grain_of_resolution(rows: float, columns: float, alpha: float = HAMMING) -> Grain:
    """Return the correlation of intensity with the next row and the next column of a product whose resolution, the width of
    its response at half of its power, is so many pixels. alpha: the coefficient of a Hamming window over its band, 1 for none.

    Pixels that are wider than the band needs are independent. Raises BadInput for resolutions that cannot be.

    >>> [round(rho, 2) for rho in grain_of_resolution(2.2, 2.0)]  # of Sentinel-1 IW GRD, 20 x 22 m at 10 m
    [0.65, 0.59]
    """
    if not (min(rows, columns) > 0 and max(rows, columns) < 8):
        raise BadInput(
            f"a resolution of {rows:g} x {columns:g} pixels cannot be; give metres of resolution over metres of spacing"
        )
    density = [resolution / _width(alpha) for resolution in (rows, columns)]
    down, across = (SpeckleSpectrum(d, d, alpha).lag_one[0] if d > 1 else 0.0 for d in density)
    return down, across


def _width(alpha: float) -> float:
    """Return the width at half power of the response to a Hamming window over a band of 1, in its inverse."""
    u, x = np.linspace(-0.5, 0.5, FINE), np.linspace(0, 1, FINE)
    window = alpha + (1 - alpha) * np.cos(2 * np.pi * u)
    response = np.array([(window * np.cos(2 * np.pi * u * v)).mean() for v in x[::10]]) / window.mean()
    return 2 * float(np.interp(-math.sqrt(0.5), -response, x[::10]))


_GRD = "spectra of the annotation of a product; looks: product definition of ESA"
_SLC = "bandwidths and window of the product definition of ESA"
_RESOLUTION = "resolution, spacing and looks of the product definition of ESA, Hamming window"


KNOWN = {
    "sentinel-1-iw-grd": KnownProduct(4.4, (0.64, 0.62), f"{_GRD}; mean of the three swaths"),
    "sentinel-1-iw1-grd": KnownProduct(4.4, (0.65, 0.66), f"{_GRD}; at 31 degrees"),
    "sentinel-1-iw2-grd": KnownProduct(4.4, (0.63, 0.61), f"{_GRD}; at 38 degrees"),
    "sentinel-1-iw3-grd": KnownProduct(4.4, (0.63, 0.58), f"{_GRD}; at 45 degrees"),
    "sentinel-1-ew-grdh": KnownProduct(2.7, (0.59, 0.59), f"{_RESOLUTION}; 50 x 50 m at 25 m"),
    "sentinel-1-ew-grdm": KnownProduct(10.7, (0.64, 0.68), f"{_RESOLUTION}; 93 x 87 m at 40 m"),
    "sentinel-1-sm-grdh": KnownProduct(29.7, (0.67, 0.67), f"{_RESOLUTION}; 23 x 23 m at 10 m"),
    "sentinel-1-iw1-slc": KnownProduct(1.0, (0.44, 0.18), "spectra of the annotation of a product"),
    "sentinel-1-iw2-slc": KnownProduct(1.0, (0.41, 0.29), _SLC),
    "sentinel-1-iw3-slc": KnownProduct(1.0, (0.41, 0.39), _SLC),
}


def known_product(name: str) -> KnownProduct:
    """Return a kind of product by name. Raises BadInput for another name, and for "help", with all that are known."""
    found = KNOWN.get(name.lower())
    if found is None:
        rows = "; ".join(f"{n} {p.grain[0]:g},{p.grain[1]:g} ({p.looks:g} looks)" for n, p in KNOWN.items())
        what = "names of products" if name.lower() == "help" else f"no product {name!r} is known"
        raise BadInput(
            f"{what}: {rows}; of others give RHO_ROW,RHO_COL, the correlation of intensity with the next row and the next column, as 0.65,0.6",
            argument="grain",
        )
    return found
