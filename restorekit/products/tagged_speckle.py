"""Looks and grain of products of ICEYE and Capella follow from the resolution, spacing and bands that their tags state.

ICEYE (product guide): complex images have no window over their band, detected ones state resolution and spacing by the names
of STAC's extension for radar. Its HDF5 says bandwidths and sampling rates. Capella (product format specification): rows of
a complex image lie along the track; windows differ by product, and a Hamming window is taken as `restorekit.sar.known` does.
A detected image lies north up, so that its rows are neither: it has one grain for both, and none where the two differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from restorekit.errors import BadInput
from restorekit.sar.known import HAMMING, grain_of_resolution
from restorekit.sar.looks import CLOSEST, Grain
from restorekit.sar.speckle import SpeckleSpectrum

ALIKE = 0.15  # by which the correlation of rows and columns may differ where it is not known which is which
UNWEIGHTED = ("", "none", "uniform", "rectangular")
CAPELLA = ("azimuth_resolution", "pixel_spacing_row"), ("range_resolution", "pixel_spacing_column")
CAPELLA_GROUND = CAPELLA[0], ("ground_range_resolution", "pixel_spacing_column")
STAC = ("sar:resolution_azimuth", "sar:pixel_spacing_azimuth"), ("sar:resolution_range", "sar:pixel_spacing_range")
ICEYE = ("range_sampling_rate", "chirp_bandwidth", "azimuth_time_interval", "total_processed_bandwidth_azimuth")


def number(value: Any) -> float | None:
    """Return a finite number above 0, None for all else."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if 0 < found < math.inf else None


def stated_looks(said: Mapping[str, Any]) -> float | None:
    """Return the looks of a detected image that its tags state: the equivalent number, else those along and across the track
    together. None where they do not."""
    found = number(said.get("sar:looks_equivalent_number"))
    if found is not None:
        return found
    for names in (("range_looks", "azimuth_looks"), ("sar:looks_range", "sar:looks_azimuth")):
        along, across = (number(said.get(name)) for name in names)
        if along is not None and across is not None:
            return along * across
    return None


def stated_grain(said: Mapping[str, Any], complex_rows: bool) -> Grain | None:
    """Return the correlation of intensity with the next row and column, by the resolution and the spacing of the tags.

    complex_rows: the image is complex and its rows lie along the track. None where tags do not state them, where they cannot
    be, or where rows and columns are neither and the two differ.
    """
    for names, alpha in ((CAPELLA if complex_rows else CAPELLA_GROUND, HAMMING), (STAC, 1.0)):
        pairs = [[number(said.get(name)) for name in pair] for pair in names]
        if any(value is None for pair in pairs for value in pair):
            continue
        try:
            along, across = grain_of_resolution(*(r / s for r, s in pairs if r and s), alpha=alpha)
        except BadInput:
            return None
        if complex_rows and names is not STAC:
            return _bounded(along, across)
        return _bounded(*[(along + across) / 2] * 2) if abs(along - across) <= ALIKE else None
    return None


def iceye_grain(said: Mapping[str, Any], height: int, width: int) -> Grain | None:
    """Return the grain of a complex image in ICEYE's HDF5 by its bands, None where it does not state them or has windows
    over them. The axis of `number_of_azimuth_samples` lies along the track."""
    sampling, bandwidth, interval, doppler = (number(said.get(name)) for name in ICEYE)
    windows = (str(said.get(f"window_function_{axis}", "")).lower() for axis in ("range", "azimuth"))
    if not (sampling and bandwidth and interval and doppler) or any(name not in UNWEIGHTED for name in windows):
        return None
    sides = [number(said.get(f"number_of_{axis}_samples")) for axis in ("azimuth", "range")]
    across, along = sampling / bandwidth, 1 / (interval * doppler)
    if min(across, along) < 1 or sides not in ([height, width], [width, height]):
        return None
    rows, columns = SpeckleSpectrum(across, along, 1.0).lag_one
    return _bounded(rows, columns) if sides == [height, width] else _bounded(columns, rows)


def _bounded(down: float, across: float) -> Grain:
    return round(min(down, CLOSEST), 3), round(min(across, CLOSEST), 3)
