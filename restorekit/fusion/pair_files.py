"""Bands come from a file, raster or picture, and a result takes the place of what it was made from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.atomic import check_target, named_beside
from restorekit.files.bands import Raster, Window, dataset_of, describe, opened
from restorekit.files.datasets import is_dataset
from restorekit.files.dtype import rounded
from restorekit.files.formats import PLAIN, RASTERS
from restorekit.files.geotiff import BLOCK, PROVENANCE, add_tags, as_type, finish, writing
from restorekit.files.nodata import off_nodata
from restorekit.files.picture import Picture, check_writable, read_picture, write_picture
from restorekit.files.reading import PLAINLY, Reading
from restorekit.files.scene import Scene
from restorekit.files.temporary import name_beside
from restorekit.notes import Notes
from restorekit.products.opening import scene_of


@dataclass(frozen=True, eq=False)
class Bands:
    """Bands hold values (C, H, W) in the numbers and the type of the file, valid (C, H, W), and the file they are of; domain: of
    `restorekit.sar.domain`, where a product says it."""

    path: Path
    values: NDArray[Any]
    valid: NDArray[np.bool_]
    dtype: str
    raster: Raster | None = None
    picture: Picture | None = None
    domain: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width)."""
        return self.values.shape[1], self.values.shape[2]

    def select(self, bands: Sequence[int] | None) -> Bands:
        """Return some bands, counted from 1; None for all. Raises BadInput for one that is not there."""
        if bands is None:
            return self
        chosen = [n - 1 for n in _numbers(self.path, len(self.values), bands)]
        return replace(self, values=self.values[chosen], valid=self.valid[chosen])


def is_plain(path: Path) -> bool:
    """Return whether a path names a picture or an NPY file; all else is a raster."""
    return path.suffix.lower() in PLAIN and not is_dataset(path)


def page_named(path: Path, page: int | None) -> Path:
    """Return the name by which GDAL opens a page of a TIFF of several, from 1; the path itself without one.

    Raises BadInput for a page that is not there.
    """
    if page is None:
        return path
    inside: list[str] = []
    if not is_plain(path):
        with dataset_of(path) as d:
            inside = list(d.subdatasets)
    if not 1 <= page <= max(1, len(inside)):
        raise BadInput(f"`pages={page}`: there is no page {page}, {path} has {max(1, len(inside))}", argument="pages")
    return Path(inside[page - 1]) if inside else path


def product_of(path: str | os.PathLike[str], reading: Reading, notes: Notes) -> Scene | None:
    """Return the scene of a product that has a reader of its own, None of other files; `notes` are told what it is.

    Raises BadInput where words of a product are given of a file that is none.
    """
    if reading.page is not None or is_plain(Path(path)):
        if reading.product is not None:
            raise BadInput(
                "`product` is of a product of a radar satellite, HDF5 or Zarr; leave it out", argument="product"
            )
        return None
    scene = scene_of(Path(path), reading)
    if scene.product is None:
        return None
    for sentence in scene.product.said:
        notes(sentence)
    return scene


def whole(raster: Raster) -> Window:
    """Return all of a raster."""
    return Window(0, 0, raster.height, raster.width)


def read(
    source: Path | Bands | Scene,
    bands: Sequence[int] | None = None,
    raster: Raster | None = None,
    window: Window | None = None,
    reading: Reading = PLAINLY,
) -> Bands:
    """Return bands of a file, of a product, or of some that are in memory; `bands` count from 1, None for all. reading: of a picture or an NPY.

    Raises BadInput for what cannot be read, and for a band that is not there.
    """
    if isinstance(source, Bands):
        return source.select(bands)
    if isinstance(source, Scene):
        return _read_scene(source, bands, window)
    path = source
    if is_plain(path):
        return _read_picture(path, bands, reading)
    raster = raster or describe(path)
    numbers = _numbers(path, raster.count, bands)
    with opened(raster) as reader:
        pixels = [reader.read(window or whole(raster), n) for n in numbers]
    values, valid = (np.stack(part) for part in zip(*pixels))
    return Bands(path, values, valid, raster.dtype, raster)


def _read_scene(scene: Scene, bands: Sequence[int] | None, window: Window | None) -> Bands:
    """Return bands of a product, as its own reader gives them."""
    numbers = _numbers(scene.path, scene.count, bands)
    with scene.opened() as source:
        pixels = [source.read(window or scene.whole, n) for n in numbers]
    values, valid = (np.stack(part) for part in zip(*pixels))
    domain = "" if scene.product is None else scene.product.bands[numbers[0] - 1].domain
    return Bands(scene.path, values, valid, scene.dtype, scene.raster, domain=domain)


def _read_picture(path: Path, bands: Sequence[int] | None, reading: Reading) -> Bands:
    span = None if path.suffix.lower() != ".npy" else (0.0, 1.0)
    picture = read_picture(path, holes=True, span=span, reading=reading)
    return of_picture(picture, path).select(bands)


def of_picture(picture: Picture, path: Path) -> Bands:
    """Return the values of a picture in the type of its file; `path` names it in messages."""
    low, high = picture.span
    kind = np.dtype(picture.dtype)
    with np.errstate(invalid="ignore"):  # of signalling NaN, which are no less NaN
        values = picture.pixels.astype(np.float64) * (high - low) + low
        values = rounded(values, kind) if kind.kind in "iu" else values.astype(kind)
    valid = np.isfinite(values)
    if picture.alpha is not None:
        valid &= picture.alpha > 0
    if picture.empty is not None:
        values[:, picture.empty.where] = picture.empty.held
        valid &= ~picture.empty.where
    return Bands(path, values, valid, picture.dtype, picture=picture)


def of_values(values: NDArray[Any], name: str) -> Bands:
    """Return values (C, H, W) as bands without a file; NaN and infinity are not valid. `name` stands in messages."""
    return Bands(Path(name), values, np.isfinite(values), values.dtype.name)


def _numbers(path: Path, count: int, bands: Sequence[int] | None) -> list[int]:
    numbers = list(range(1, count + 1)) if bands is None else list(bands)
    wrong = [n for n in numbers if not 1 <= n <= count]
    if wrong:
        raise BadInput(f"{path} has {count} band(s), numbered from 1; there is no band {wrong[0]}")
    return numbers


def check_bands_writable(target: Path, like: Bands) -> None:
    """Raise BadInput for all that `write` would refuse."""
    suffix = target.suffix.lower()
    if like.raster is not None and like.raster.referenced and suffix not in RASTERS:
        raise BadInput(f"{target}: {like.path.name} lies on a map, which {suffix or 'this'} cannot hold; write .tif")
    if like.raster is None or suffix not in RASTERS:
        check_writable(target, len(like.values), False)
        if like.values.dtype.kind == "f" and (bad := int((~np.isfinite(like.values)).any(0).sum())):
            raise BadInput(
                f"{like.path}: {bad} pixels hold NaN or infinity, which only a GeoTIFF can keep; fill them first"
            )
    check_target(target)


def stored(values: NDArray[np.floating], like: Bands) -> NDArray[Any]:
    """Return values (C, H, W) of all bands in the type of `like`.

    Pixels that are not valid in `like` keep what they held, and valid ones do not become nodata by rounding.
    """
    nodata = None if like.raster is None else like.raster.nodata
    return np.stack([_stored(x, old, v, like.dtype, nodata) for x, old, v in zip(values, like.values, like.valid)])


def write(target: Path, pixels: NDArray[Any], like: Bands, provenance: str) -> list[str]:
    """Write `stored` values with all metadata of `like`; returns warnings."""
    raster = like.raster
    if raster is None or target.suffix.lower() not in RASTERS:
        return _write_picture(target, pixels, like)
    masked = None
    if raster.masked and not raster.alpha:
        with opened(raster) as source:
            masked = source.mask(whole(raster))
    _write_raster(target, pixels, raster, provenance, masked)
    return []


def aside(target: Path, what: str) -> Path:
    """Return the path of a raster of its own kind beside OUT: OUT_what.tif, or .npy beside an NPY file."""
    return named_beside(target, f"{target.stem}_{what}{'.npy' if target.suffix.lower() == '.npy' else '.tif'}")


def difference(pixels: NDArray[Any], like: Bands) -> NDArray[Any]:
    """Return pixels (C, H, W) less those of `like` in a type that holds it: the next signed integers, or the type of floats."""
    wider = {"uint8": "int16", "int8": "int16", "uint16": "int32", "int16": "int32"}
    kind = np.dtype(wider.get(like.dtype, like.dtype if np.dtype(like.dtype).kind == "f" else "float64"))
    wide = np.float64 if kind.kind == "f" else np.int64
    with np.errstate(invalid="ignore"):  # of NaN, which are no data
        return (pixels.astype(wide) - like.values.astype(wide)).astype(kind)


def write_difference(target: Path, added: NDArray[Any], like: Bands, provenance: str) -> None:
    """Write what was added (C, H, W) on the grid of `like`; pixels that are not valid there hold no data, 0 where the file cannot
    say so."""
    raster, kind = like.raster, added.dtype
    if raster is None:
        values = np.where(like.valid, added, 0).astype(np.float64)
        write_picture(target, values, Picture(values, kind.name, (0.0, 1.0)))
        return
    nodata = float("nan") if kind.kind == "f" else float(np.iinfo(kind).min)
    values = np.where(like.valid, added, kind.type(nodata))
    names = tuple(f"{text or f'band {n}'}, added" for n, text in enumerate(raster.descriptions, 1))
    of_it = replace(
        raster, dtype=kind.name, nodata=nodata, descriptions=names, offsets=(0.0,) * raster.count, colorinterp=(), masked=False, alpha=(),
    )  # fmt: skip
    _write_raster(target, values, of_it, provenance)


def write_mask(target: Path, mask: NDArray[np.bool_], like: Bands, name: str, provenance: str) -> None:
    """Write a mask (H, W) as bytes of 0 and 1 on the grid of `like`."""
    values, raster = mask[None].astype(np.uint8), like.raster
    if raster is None:
        write_picture(target, values / 255.0, Picture(values, "uint8", (0.0, 255.0)))
        return
    of_it = replace(
        raster, count=1, dtype="uint8", nodata=None, descriptions=(name,), units=(None,), scales=(1.0,), offsets=(0.0,), colorinterp=(),
        band_tags=({},), masked=False, alpha=(),
    )  # fmt: skip
    _write_raster(target, values, of_it, provenance)


def _write_raster(
    target: Path, pixels: NDArray[Any], raster: Raster, provenance: str, mask: NDArray[np.bool_] | None = None
) -> None:
    work = name_beside(target.with_suffix(".tif"), "tmp")
    try:
        with writing(work, raster, dtype=raster.dtype, nodata=raster.nodata) as writer:
            for band, x in enumerate(pixels, 1):
                writer.write(whole(raster), band, x)
            if mask is not None:
                writer.write_mask(whole(raster), mask)
        add_tags(work, {PROVENANCE: provenance})
        finish(work, target, side=raster.tile or BLOCK)
    finally:
        work.unlink(missing_ok=True)


def _stored(
    x: NDArray[np.floating], old: NDArray[Any], valid: NDArray[np.bool_], dtype: str, nodata: float | None
) -> NDArray[Any]:
    new = as_type(np.where(valid, x, 0), dtype)
    return np.where(valid, off_nodata(new, nodata, valid & (old != new)), old)


def _write_picture(target: Path, pixels: NDArray[Any], like: Bands) -> list[str]:
    full = {"uint8": 255.0, "uint16": 65535.0}.get(like.dtype, 1.0)
    unit = (pixels.astype(np.float64) / full).astype(np.float32 if full > 1 else np.float64)
    picture = like.picture or Picture(unit, like.dtype)
    return write_picture(target, unit, replace(picture, pixels=unit, span=(0.0, full)))
