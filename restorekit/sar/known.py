"""Looks and grain of products by name, where the scene is too small or too full to measure them.

Ground range products of Sentinel-1: the spectra that `swathProcParams` of an annotation describes (bandwidths, sampling and
Hamming windows of range and azimuth, 5 x 1 looks that overlap by a quarter), as autocorrelation of the intensity on the
pixels of the product; 4.4 looks are those of ESA's product definition (S1-RS-MDA-52-7440), where the overlap alone leaves
4.8 to 4.9. Correlation across the track depends on the angle of incidence: the figures are of 31, 38 and 45 degrees. Complex
products: bandwidths of 56.5, 48.3, 42.8 MHz at 64.35 MHz and 327, 313, 314 Hz at 486.5 Hz (the same document), a Hamming
window of 0.75, and of 0.70 in the azimuth of IW1. A product that was resampled, as to a map, has the correlation of that on top.

Products are left out whose numbers could not be had from a document or a file: EW and stripmap of Sentinel-1, ICEYE, Capella,
Umbra, NISAR GCOV. A SICD says them itself (`restorekit.products.sicd`).
"""

from __future__ import annotations

from dataclasses import dataclass

from restorekit.errors import BadInput
from restorekit.sar.looks import Grain


@dataclass(frozen=True)
class KnownProduct:
    """A kind of product: its looks, and the correlation of intensity with the next row and the next column."""

    looks: float
    grain: Grain
    source: str


_GRD = "spectra of the annotation of a product; looks: product definition of ESA"
_SLC = "bandwidths and window of the product definition of ESA"


KNOWN = {
    "sentinel-1-iw-grd": KnownProduct(4.4, (0.64, 0.62), f"{_GRD}; mean of the three swaths"),
    "sentinel-1-iw1-grd": KnownProduct(4.4, (0.65, 0.66), f"{_GRD}; at 31 degrees"),
    "sentinel-1-iw2-grd": KnownProduct(4.4, (0.63, 0.61), f"{_GRD}; at 38 degrees"),
    "sentinel-1-iw3-grd": KnownProduct(4.4, (0.63, 0.58), f"{_GRD}; at 45 degrees"),
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
