"""A raster that is written: a tiled BigTIFF beside the target, filled by windows, at the end one copy as a cloud-optimised
GeoTIFF, renamed into place. What is interrupted leaves the target as it was.
"""

from __future__ import annotations

import copy
import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.files.atomic import replacing
from restorekit.files.bands import Raster, Window, import_rasterio
from restorekit.files.dtype import rounded
from restorekit.files.quiet import unplaced

BLOCK = 512  # side of the tiles of a file whose source has none, pixels
CACHE = 128  # of GDAL, MB: by default a twentieth of the memory of the machine
NO_NAMESPACE = "RESTOREKIT_NO_NAMESPACE"  # of the tags of a band that have none, until the file is finished
PROVENANCE = "RESTOREKIT_PROVENANCE"


@dataclass(frozen=True, eq=False)
class Writer:
    """Pixels of a band by windows, in the type of the file."""

    dataset: Any

    def write(self, window: Window, band: int, pixels: NDArray[Any]) -> None:
        self.dataset.write(pixels, band, window=window.of_rasterio)

    def write_mask(self, window: Window, valid: NDArray[np.bool_]) -> None:
        """Write the mask of the whole file."""
        self.dataset.write_mask(valid, window=window.of_rasterio)


@contextmanager
def writing(path: Path, like: Raster, *, dtype: str, nodata: float | None) -> Iterator[Writer]:
    """Yield a writer of a tiled BigTIFF at `path` of the size, place and metadata of `like`; what is not written is no data."""
    rasterio = import_rasterio()
    side = like.tile or BLOCK
    profile = profile_of(like, dtype, nodata) | {
        "tiled": True, "blockxsize": side, "blockysize": side, "BIGTIFF": "YES", "interleave": "band", "SPARSE_OK": True,
    }  # fmt: skip
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_CACHEMAX=CACHE):
        with unplaced():
            d = rasterio.open(path, "w", **profile)
        with d:
            describe_as(d, like, NO_NAMESPACE)
            yield Writer(d)


def profile_of(like: Raster, dtype: str, nodata: float | None) -> dict[str, Any]:
    """Return the profile, as rasterio takes it, of a GeoTIFF of the size and place of `like`."""
    place = {"crs": like.crs} | ({} if like.transform is None else {"transform": like.transform})
    if like.gcps:
        off = _moves_gcps() if like.tags.get("", {}).get("AREA_OR_POINT") == "Point" else (0.0, 0.0)
        place = {"gcps": [_off(point, *off) for point in like.gcps], "crs": like.gcps_crs}
    size = {"height": like.height, "width": like.width, "count": like.count}
    return {"driver": "GTiff", **size, "dtype": dtype, "nodata": nodata, **place}


@lru_cache
def _moves_gcps() -> tuple[float, float]:
    """Return (rows, columns) by which GDAL moves ground control points where it writes a file of points (a pixel in 3.10, findings/)."""
    rasterio = import_rasterio()
    with rasterio.MemoryFile() as file:
        corners = [rasterio.control.GroundControlPoint(row, column, column, row) for row in (0, 1) for column in (0, 1)]
        told = {"driver": "GTiff", "height": 1, "width": 1, "count": 1, "dtype": "uint8"}
        with file.open(**told, gcps=corners, crs="EPSG:4326") as d:
            d.update_tags(AREA_OR_POINT="Point")
        with file.open() as d:
            first = d.gcps[0][0]
    return first.row, first.col


def _off(point: Any, rows: float, columns: float) -> Any:
    moved = copy.copy(point)
    moved.row, moved.col = point.row - rows, point.col - columns
    return moved


def describe_as(d: Any, like: Raster, unnamed: str | None = None) -> None:
    """Give an open dataset the metadata of `like`; tags of a band that have no namespace get `unnamed`."""
    if like.rpcs is not None:
        d.rpcs = like.rpcs
    if like.colorinterp:
        d.colorinterp = like.colorinterp
    d.scales, d.offsets = like.scales, like.offsets
    d.units = tuple(u or "" for u in like.units)
    for i, text in enumerate(like.descriptions, 1):
        if text:
            d.set_band_description(i, text)
    for name, tags in like.tags.items():
        d.update_tags(ns=name or None, **{k: v for k, v in tags.items() if k != "AREA_OR_POINT" or name})
    if (kind := like.tags.get("", {}).get("AREA_OR_POINT")) is not None:
        d.update_tags(AREA_OR_POINT=kind)
    for i, namespaces in enumerate(like.band_tags, 1):
        for name, tags in namespaces.items():
            d.update_tags(i, ns=name or unnamed, **tags)


def add_tags(path: Path, tags: Mapping[str, str]) -> None:
    """Add tags to a working copy; a finished file must not be edited, which would undo its layout."""
    with unplaced(), import_rasterio().open(path, "r+", driver="GTiff") as d:
        d.update_tags(**tags)


def finish(work: Path, target: Path, *, side: int = BLOCK, predictor: bool = True, power: bool = True) -> None:
    """Write the working copy as a cloud-optimised GeoTIFF at `target`, in tiles of `side` pixels.

    predictor: smaller, but not read by all older software. power: whether a mean of values is what a coarser pixel would
    have measured, which of logarithms it is not: their overviews take the nearest pixel.
    """
    rasterio = import_rasterio()
    from rasterio.shutil import copy as copied

    with replacing(target) as temporary:
        with rasterio.Env(GDAL_CACHEMAX=CACHE):
            copied(
                work, temporary, driver="COG", COPY_SRC_MDD="YES", COMPRESS="DEFLATE", BLOCKSIZE=side, BIGTIFF="IF_SAFER",
                PREDICTOR="YES" if predictor else "NO", OVERVIEW_RESAMPLING="AVERAGE" if power else "NEAREST",
                NUM_THREADS=1, SPARSE_OK="YES",
            )  # fmt: skip
        with unplaced(), rasterio.open(work, driver="GTiff") as d:
            marked = any(NO_NAMESPACE in d.tag_namespaces(i) for i in d.indexes)
        if marked:
            _without_namespace(temporary)
    work.unlink(missing_ok=True)


def _without_namespace(path: Path) -> None:
    """Take the namespace away that kept tags of bands: the copy above loses either those with one or those without (GDAL
    3.10). In the XML of the file's header, where spaces of the same length leave every offset as it is."""
    mark = f' domain="{NO_NAMESPACE}"'.encode()
    with open(path, "r+b") as handle, mmap.mmap(handle.fileno(), 0) as held:
        at = held.find(mark)
        while at >= 0:
            held[at : at + len(mark)] = b" " * len(mark)
            at = held.find(mark, at)


def as_type(x: NDArray[np.floating], dtype: str) -> NDArray[Any]:
    """Return the values in the type of a file: integers are rounded and held within their range."""
    kind = np.dtype(dtype)
    return rounded(np.asarray(x, np.float64), kind) if kind.kind in "iu" else x.astype(kind)
