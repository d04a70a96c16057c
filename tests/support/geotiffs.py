"""GeoTIFFs with a hole and all that can be said of them, made by rasterio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio  # noqa: TID253
from rasterio.enums import ColorInterp as C  # noqa: TID253
from rasterio.rpc import RPC  # noqa: TID253
from rasterio.transform import Affine  # noqa: TID253

SHAPE = (36, 48)
HOLE = np.zeros(SHAPE, bool)
HOLE[9:18, 14:30] = True
PLACE: dict[str, Any] = {"crs": "EPSG:32632", "transform": Affine(9.5, 2.9, 5e5, 2.9, -9.5, 6e6)}
TILES: dict[str, Any] = {"tiled": True, "blockxsize": 16, "blockysize": 16}
COEFFICIENTS: dict[str, Any] = {
    "height_off": 100.0, "height_scale": 500.0, "lat_off": 45.5, "lat_scale": 0.1, "long_off": 9.1, "long_scale": 0.12,
    "line_off": 17.25, "line_scale": 18.0, "samp_off": 23.75, "samp_scale": 24.0, "err_bias": 3.5, "err_rand": 0.7,
    "line_num_coeff": [0.01, 0.0, -1.0, *[0.001] * 17], "line_den_coeff": [1.0, *[1e-4] * 19],
    "samp_num_coeff": [0.02, 1.0, *[5e-4] * 18], "samp_den_coeff": [1.0, *[2e-4] * 19],
}  # fmt: skip
RPCS = RPC(**COEFFICIENTS)


def values(dtype: str, bands: int) -> np.ndarray:
    i, j = np.indices(SHAPE)
    rng = np.random.default_rng(0)
    x = np.stack(
        [0.5 + 0.3 * np.sin(i / 5 + b) * np.cos(j / 7) + 0.02 * rng.standard_normal(SHAPE) for b in range(bands)]
    )
    white = {"uint8": 255, "uint16": 65535, "int16": 10000}.get(dtype, 1)
    x = x.clip(0.05, 0.95) * white
    return (x if white == 1 else np.rint(x)).astype(dtype)


def rich(d: Any) -> None:
    d.descriptions = tuple(f"Höhe {i}" for i in d.indexes)
    d.scales, d.offsets = tuple(0.5 + i for i in d.indexes), tuple(-1.0 * i for i in d.indexes)
    d.units = tuple("m" for _ in d.indexes)
    d.update_tags(TIFFTAG_IMAGEDESCRIPTION="a scene", TIFFTAG_SOFTWARE="proc 1", TIFFTAG_DATETIME="2020:01:02 03:04:05")
    d.update_tags(mine='1 < 2 & "x"')
    d.update_tags(ns="ACQ", orbit="7")
    for i in d.indexes:
        d.update_tags(i, wavelength=f"{i}00", STATISTICS_MEAN="3", STATISTICS_MAXIMUM="4")


def with_rpcs(d: Any) -> None:
    d.rpcs = RPCS


def roles(*names: C) -> Callable[[Any], None]:
    def told(d: Any) -> None:
        d.colorinterp = names

    return told


def geotiff(
    path: Path, dtype: str = "float32", bands: int = 1, *, mask: str | None = None, fill: float | None = None,
    alpha: int | None = None, setup: Callable[[Any], object] = lambda d: None, **told: Any,
) -> Path:  # fmt: skip
    """With a hole: of a value, by a mask ("in" the file or "beside" it), or transparent."""
    raw = values(dtype, bands)
    if mask:
        raw[:, HOLE] = np.random.default_rng(9).integers(0, 200, (bands, int(HOLE.sum())))
    if fill is not None:
        raw[:, HOLE] = fill
    if alpha is not None:
        raw[alpha] = np.where(HOLE, 0, np.iinfo(dtype).max)
    size = {"driver": "GTiff", "count": bands, "height": SHAPE[0], "width": SHAPE[1], "dtype": dtype}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=mask == "in"), rasterio.open(path, "w", **size, **(PLACE | told)) as d:
        setup(d)
        d.write(raw)
        if mask:
            d.write_mask(~HOLE)
    return path


def valid(path: Path) -> np.ndarray:
    with rasterio.open(path) as d:
        return d.dataset_mask() > 0
