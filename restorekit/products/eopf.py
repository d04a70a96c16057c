"""Sentinel-1 in the Zarr of EOPF has its calibration as tables beside the measurements, in the same product.

EOPF Sentinel-1 level-1 product structure: `PRODUCT_VV/measurements/grd` holds digital numbers, `PRODUCT_VV/quality/calibration` the
tables `sigma_nought`, `beta_nought`, `gamma` and `dn` at some lines and pixels of the image. Power is |DN|^2 / A^2, with A interpolated
bilinearly, as `restorekit.products.sentinel1_tables` does for a SAFE.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.products.containers import StoredArray, read
from restorekit.products.sentinel1_tables import VectorTable

MEASURED = "measurements"  # group of EOPF, beside conditions and quality
TABLES = {"sigma0": "sigma_nought", "beta0": "beta_nought", "gamma0": "gamma", "dn": ""}
# Names of the lines and pixels at which a table has its values, or of times and ranges that the image has too.
AXES = (("line", "pixel"), ("azimuth_time", "ground_range"), ("azimuth_time", "slant_range_time"))


def table_of(path: Path, entry: StoredArray, every: Mapping[str, StoredArray], quantity: str) -> VectorTable | None:
    """Return A of a quantity, of `TABLES`, on the lines and pixels of an array of measurements; None for digital numbers and where no
    table lies beside it. Raises BadInput for a table whose places are not said or which is not above 0."""
    place, _, group = entry.group.rpartition("/")
    name = f"{place}/quality/calibration/{TABLES[quantity]}".lstrip("/")
    if group != MEASURED or not TABLES[quantity] or name not in every:
        return None
    values = np.asarray(read(path, name, (slice(None), slice(None))), np.float64)
    if not np.isfinite(values).all() or values.min() <= 0:
        raise BadInput(f"{path}: {name} holds values that are not above 0; get the product again, or give `product=dn`")
    found = (_axes(path, name, entry, every, pair) for pair in AXES)
    lines, pixels = next((f for f in found if f is not None), (None, None))
    if lines is None or pixels is None or lines.shape != values.shape[:1] or pixels.shape != values.shape:
        raise BadInput(
            f"{path}: the lines and pixels of {name} are not said; get the product again, or give `product=dn`"
        )
    order = np.argsort(lines, kind="stable")
    across = [np.argsort(pixels[k], kind="stable") for k in order]
    return VectorTable(
        lines[order],
        tuple(pixels[k][a] for k, a in zip(order, across)),
        tuple(values[k][a] for k, a in zip(order, across)),
    )


def _axes(
    path: Path, name: str, entry: StoredArray, every: Mapping[str, StoredArray], pair: tuple[str, str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return lines (n,) and pixels (n, m) of a table, by coordinates of its own group; None where they are not there."""
    group, count = name.rpartition("/")[0], every[name].shape
    rows, columns = (every.get(f"{group}/{axis}") for axis in pair)
    if rows is None or columns is None or rows.shape != count[:1] or columns.shape not in (count, count[1:]):
        return None
    lines, pixels = (_numbers(path, e) for e in (rows, columns))
    if pair != AXES[0]:  # in units in which the image has its own coordinates
        own = [every.get(f"{entry.group}/{axis}") for axis in pair]
        if any(e is None or e.shape != (n,) for e, n in zip(own, entry.shape[-2:])):
            return None
        lines, pixels = (_places(x, _numbers(path, e)) for x, e in zip((lines, pixels), own) if e is not None)
    return lines, np.broadcast_to(pixels, count)


def _numbers(path: Path, entry: StoredArray) -> NDArray[np.float64]:
    return np.asarray(read(path, entry.name, (slice(None),) * len(entry.shape))).astype(np.float64)


def _places(x: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where values lie on an axis that rises or falls, in pixels; beyond its ends they go on at its mean step."""
    step = (own[-1] - own[0]) / max(len(own) - 1, 1) or 1.0
    inside = np.interp(x * np.sign(step), own * np.sign(step), np.arange(len(own)))
    beyond = np.minimum((x - own[0]) / step, 0) + np.maximum((x - own[-1]) / step, 0)
    return inside + beyond
