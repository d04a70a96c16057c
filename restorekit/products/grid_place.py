"""A grid of a container lies where its coordinates say (CF conventions 1.10, chapters 4 and 5.6)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from restorekit.files.bands import import_rasterio
from restorekit.products.containers import StoredArray, read

AXES = (
    ("y", "x"),
    ("yCoordinates", "xCoordinates"),
    ("Y", "X"),
    ("lat", "lon"),
    ("latitude", "longitude"),
    ("northing", "easting"),
)
MAPPINGS = ("projection", "spatial_ref", "crs", "grid_mapping")
UNEVEN = 1e-2  # of a step, by which the distances of coordinates may differ


def coordinates(entry: StoredArray, every: Mapping[str, StoredArray]) -> tuple[StoredArray, StoredArray] | None:
    """Return the coordinates of rows and columns: those that the dimensions of an array name, or of usual names, in its
    group or one around it."""
    height, width = entry.shape[-2:]
    named = [tuple(entry.dimensions[-2:])] if len(entry.dimensions) >= 2 else []
    for group in _around(entry):
        for y, x in (*named, *AXES):
            rows, columns = every.get(_in(group, y)), every.get(_in(group, x))
            if rows is None or columns is None or (rows.shape, columns.shape) != ((height,), (width,)):
                continue
            if rows.numbers and columns.numbers and not (rows.complex or columns.complex):
                return rows, columns
    return None


def place(path: Path, entry: StoredArray, every: Mapping[str, StoredArray]) -> tuple[Any, Any]:
    """Return (coordinate system, affine transform) of an array; None for what is not said, or where steps are uneven."""
    found = coordinates(entry, every)
    if found is None or min(entry.shape[-2:]) < 2:
        return None, None
    y, x = (np.asarray(read(path, c.name, (slice(None),)), np.float64) for c in found)
    steps = [float(v[-1] - v[0]) / (len(v) - 1) for v in (y, x)]
    for v, step in zip((y, x), steps):
        if not step or not float(np.abs(np.diff(v) - step).max()) <= UNEVEN * abs(step):  # NaN neither
            return None, None
    transform = import_rasterio().Affine(steps[1], 0.0, x[0] - steps[1] / 2, 0.0, steps[0], y[0] - steps[0] / 2)
    return _crs(path, entry, every, found[0].own), transform


def _crs(path: Path, entry: StoredArray, every: Mapping[str, StoredArray], rows: str) -> Any:
    kind: Any = import_rasterio().crs.CRS
    wanted = entry.text("grid_mapping").split(":")[0]
    for group in _around(entry):
        for name in filter(None, (wanted, *MAPPINGS)):
            mapping = every.get(_in(group, name))
            if mapping is None:
                continue
            texts = [mapping.text("crs_wkt"), mapping.text("spatial_ref"), mapping.text("epsg_code")]
            if mapping.shape == () and mapping.dtype.kind in "iu":
                texts.append(str(int(read(path, mapping.name, ()))))
            for text in filter(None, texts):
                if (found := _understood(text)) is not None:
                    return found
    code = entry.text("proj:epsg", "proj:code")
    if code and (found := _understood(code)) is not None:
        return found
    return kind.from_epsg(4326) if rows in ("lat", "latitude") else None


def _understood(text: str) -> Any:
    """Return the coordinate system that a number of EPSG or a text names, None where PROJ knows none."""
    try:
        return import_rasterio().crs.CRS.from_user_input(int(text) if text.isdecimal() else text)
    except Exception:  # noqa: BLE001 (of PROJ, by several names)
        return None


def _around(entry: StoredArray) -> list[str]:
    """Return the group of an array, and those around it up to the root."""
    parts = entry.group.split("/") if entry.group else []
    return ["/".join(parts[:n]) for n in range(len(parts), -1, -1)]


def _in(group: str, name: str) -> str:
    return f"{group}/{name}" if group else name
