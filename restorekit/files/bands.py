"""A raster as it was found: pixels by windows, and everything else that a file says about them.

Scales and offsets are kept and not applied: what is restored is written back in the numbers of the file.
"""

from __future__ import annotations

import copy
import hashlib
import importlib
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files import drivers as formats
from restorekit.files.atomic import one_line
from restorekit.files.datasets import dataset_named
from restorekit.files.formats import converter
from restorekit.files.nodata import at_value
from restorekit.files.quiet import gdal_unheard, quiet, unheard, unplaced
from restorekit.files.reading import PLAINLY, Reading
from restorekit.files.session import opened as report_opened
from restorekit.files.session import opened_result
from restorekit.files.tiff import tiff_orientation

PICTURES = (
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "float32",
    "float64",
    "complex64",
    "complex128",
    "complex_int16",
)
# Said by the file itself, or in another way; OVERVIEWS names a file of overviews, of the pixels as they were.
unheard("rasterio")
MOST_BANDS = 4096
SHOWN = 8  # datasets of a file that a message names
SKIPPED_TAGS = ("IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "COLOR_PROFILE", "RPC", "OVERVIEWS")


def import_rasterio() -> Any:
    """Return rasterio, or raise BadInput that says how to get it."""
    try:
        import rasterio
    except ImportError:
        raise BadInput('georeferenced files need rasterio; pip install "restorekit[geo]"') from None
    return rasterio


@contextmanager
def dataset_of(path: Path, reading: Reading = PLAINLY) -> Iterator[Any]:
    """Yield an open dataset of rasterio, of a file that holds its own pixels: the one place where rasters are opened for reading.

    BadInput for what is no such file; what it makes of other files and of addresses is in `restorekit.files.drivers` and
    `restorekit.files.datasets`.
    """
    rasterio = import_rasterio()
    named = dataset_named(path, reading)
    if not (named.packed or named.web):
        _check_alone(path, named.file)
    drivers = formats.WHOLE if named.packed or named.web else formats.DRIVERS
    # The only address that may be fetched is the one that was named, or one that is none.
    shut = formats.SHUT | ({"CPL_VSIL_CURL_ALLOWED_FILENAME": named.gdal, **formats.ALONE} if named.web else {})
    with gdal_unheard(), rasterio.Env(**shut):
        try:
            with quiet(), unplaced():
                dataset = _as_stored(rasterio, named.gdal, list(drivers))
        except Exception as error:  # noqa: BLE001 (of GDAL, by several names)
            there = named.file if named.kind == "" else None
            said = unreadable(path, error) if there or named.web else _no_dataset(path, named.file, error)
            raise BadInput((there and formats.refusal(there)) or said) from None
        with dataset:
            opened_result(named.file)
            report_opened(*dataset.files)  # masks, overviews and the like beside it
            yield dataset


def _as_stored(rasterio: Any, name: str, drivers: list[str]) -> Any:
    """Return an open dataset whose rows come in the order of the file where nothing says which is the northernmost.

    Of netCDF whose coordinates it does not know GDAL takes the first row for the southernmost, and turns it.
    """
    dataset = rasterio.io.DatasetReader(name, driver=drivers)  # `rasterio.open` takes one driver alone
    if dataset.driver != "netCDF" or not dataset.count or not dataset.transform.is_identity:
        return dataset
    dataset.close()
    with rasterio.Env(GDAL_NETCDF_BOTTOMUP="NO"):
        return rasterio.io.DatasetReader(name, driver=drivers)


def unreadable(path: Path, error: BaseException) -> str:
    """Return what to say where GDAL fails."""
    return f"{path}: no raster that can be read ({one_line(error)}); get a fresh copy"


def _no_dataset(path: Path, file: Path, error: BaseException) -> str:
    return f"{path}: GDAL reads no such dataset ({one_line(error)}); {formats.typed(file)} alone lists those that are there"


def _check_alone(path: Path, file: Path) -> None:
    """Raise BadInput for a file that names others, and for a camera's raw file, which GDAL takes for a grey picture."""
    if importlib.import_module("restorekit.files.raw").is_raw(file):
        raise BadInput(f"{path}: a camera raw file, which is no raster; {converter('camera raw', file)}")
    if formats.elsewhere(file):
        raise BadInput(f"{path} is HDF5 with datasets in other files, which are not read; {formats.way_out(path)}")
    if beside := formats.strange_sidecar(file):
        raise BadInput(
            f"{beside} is no TIFF, as a mask or overviews of {path.name} have to be; move it away, or, "
            f"{formats.way_out(path)}"
        )


def tiff_pixels(path: Path, data: bytes | None = None, directory: int = 0) -> NDArray[Any]:
    """Return (C, H, W) of a TIFF at `path`, or of its bytes; of the directory (page, mask or overview) of that number, from 0."""
    if data is None:
        with dataset_of(Path(f"GTIFF_DIR:{directory + 1}:{path}") if directory else path) as dataset, quiet():
            return dataset.read()
    rasterio = import_rasterio()
    with (
        gdal_unheard(),
        rasterio.Env(**formats.SHUT),
        rasterio.MemoryFile(data) as file,
        unplaced(),
        file.open(driver="GTiff") as dataset,
    ):
        return dataset.read()


def values_digest(dataset: Any) -> str:
    """Return the SHA-256 of the values, type and size of all bands, read by blocks, for what has no file to be hashed."""
    digest = hashlib.sha256(f"{dataset.count} {dataset.shape} {dataset.dtypes}".encode())
    for band in dataset.indexes:
        for _, window in dataset.block_windows(band):
            digest.update(np.ascontiguousarray(dataset.read(band, window=window)).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Window:
    """Rows top .. top + height and columns left .. left + width of a raster."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def padded(self, halo: int, height: int, width: int) -> Window:
        """Return the window with `halo` more on each side, as far as the raster goes."""
        top, left = max(0, self.top - halo), max(0, self.left - halo)
        bottom, right = min(height, self.top + self.height + halo), min(width, self.left + self.width + halo)
        return Window(top, left, bottom - top, right - left)

    def within(self, height: int, width: int) -> bool:
        """Return True where all of it lies in a raster of this size."""
        bottom, right = self.top + self.height, self.left + self.width
        return (
            min(self.top, self.left) >= 0 and min(self.height, self.width) > 0 and bottom <= height and right <= width
        )

    def common(self, other: Window) -> Window | None:
        """Return the pixels of both, None where there are none."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom = min(self.top + self.height, other.top + other.height)
        right = min(self.left + self.width, other.left + other.width)
        return Window(top, left, bottom - top, right - left) if bottom > top and right > left else None

    @property
    def of_rasterio(self) -> Any:
        """Return the window as rasterio takes it."""
        from rasterio.windows import Window as W

        return W(self.left, self.top, self.width, self.height)  # type: ignore[call-arg]

    def inside(self, outer: Window) -> tuple[slice, slice]:
        """Return the slices of this window in the pixels of `outer`."""
        return Window(self.top - outer.top, self.left - outer.left, self.height, self.width).slices


@dataclass(frozen=True, eq=False)
class Raster:
    """It holds what a file says, pixels aside."""

    path: Path
    count: int
    height: int
    width: int
    dtype: str
    nodata: float | None
    crs: Any
    transform: Any  # None where the file has none
    gcps: tuple[Any, ...]
    gcps_crs: Any
    rpcs: Any
    descriptions: tuple[str | None, ...]
    units: tuple[str | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    colorinterp: tuple[Any, ...]
    tags: dict[str, dict[str, str]]  # by namespace, "" the default one
    band_tags: tuple[dict[str, dict[str, str]], ...]
    block: tuple[int, int]
    masked: bool  # by a mask of its own, or by transparency, beside nodata
    alpha: tuple[int, ...]  # bands that hold transparency, from 1
    reading: Reading = PLAINLY  # as it was opened

    def part(self, window: Window) -> Raster:
        """Return the metadata of a window: size, transform, GCPs and RPCs shifted to it."""
        if (window.height, window.width) == (self.height, self.width):
            return self
        moved = None
        if self.transform is not None:
            moved = import_rasterio().windows.transform(window.of_rasterio, self.transform)
        gcps = tuple(_moved(point, window) for point in self.gcps)
        return replace(
            self, height=window.height, width=window.width, transform=moved, gcps=gcps, rpcs=_rpcs(self.rpcs, window)
        )

    @property
    def tile(self) -> int | None:
        """Return the side of the square tiles of the file, pixels; None where it has strips, or tiles of another form."""
        height, width = self.block
        return height if height == width and height % 16 == 0 else None

    @property
    def referenced(self) -> bool:
        return bool(self.crs or self.gcps or self.rpcs)


def _moved(point: Any, window: Window) -> Any:
    moved = copy.copy(point)
    moved.row, moved.col = point.row - window.top, point.col - window.left
    return moved


def _rpcs(rpcs: Any, window: Window) -> Any:
    if rpcs is None:
        return None
    moved = copy.copy(rpcs)
    moved.line_off, moved.samp_off = rpcs.line_off - window.top, rpcs.samp_off - window.left
    return moved


def describe(path: Path, reading: Reading = PLAINLY) -> Raster:
    """Return the metadata of a raster. Raises BadInput for what is no raster, holds several, or cannot be restored: a palette, 1 bit, text."""
    if path.is_file() and (n := tiff_orientation(path)) != 1:
        raise BadInput(
            f"{path}: its orientation {n} (tag 274) turns it for viewers, and GDAL ignores that; write it upright, without "
            "the tag, first"
        )
    with dataset_of(path, reading) as d:
        try:
            return replace(_described(path, d), reading=reading)
        except BadInput:
            raise
        except Exception as error:  # noqa: BLE001 (what GDAL and rasterio make of a damaged file)
            raise BadInput(unreadable(path, error)) from None


class SeveralDatasets(BadInput):
    """A container holds several datasets, of which GDAL takes none by itself."""


def _check_single(path: Path, d: Any) -> None:
    """Raise BadInput for a container without a raster of its own, and for a TIFF of several pages, of which GDAL takes the first."""
    inside = d.subdatasets
    if d.count and (d.driver not in ("GTiff", "SNAP_TIFF") or len(inside) < 2):
        return
    if not inside:
        raise BadInput(f"{path} holds nothing that GDAL takes for a picture; write its pixels to a GeoTIFF or NPY")
    if not path.is_file():
        raise BadInput(f"{path} holds {len(inside)} datasets; unpack it, and give one of them")
    names = [name.replace(os.path.abspath(path), formats.typed(path)) for name in inside]
    names = [name.partition(":")[0].upper() + name[name.index(":") :] for name in names]
    some = ", ".join(map(shlex.quote, names[:SHOWN])) + (f" ... {shlex.quote(names[-1])}" if len(names) > SHOWN else "")
    what = "pages" if d.count else "datasets"
    raise SeveralDatasets(f"{path} holds {len(inside)} {what}; give one of them in its place: {some}")


def _described(path: Path, d: Any) -> Raster:
    from rasterio.enums import ColorInterp

    _check_single(path, d)
    if d.count > MOST_BANDS:
        raise BadInput(f"{path} has {d.count} bands, more than the {MOST_BANDS} that are read; is it damaged?")
    if len(set(d.dtypes)) > 1:
        raise BadInput(
            f"{path} has bands of different types ({', '.join(d.dtypes)}); write one of them to a file of its own"
        )
    if d.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1":
        raise BadInput(f"{path} holds one bit per pixel, a mask and no measurement")
    if ColorInterp.palette in d.colorinterp:
        raise BadInput(f"{path} holds numbers of a palette and no measurement; give the file it was made from")
    if d.dtypes[0] not in PICTURES:
        raise BadInput(f"{path} holds {d.dtypes[0]}; known: {', '.join(PICTURES)}")
    return facts_of(path, d)


def facts_of(path: Path, d: Any) -> Raster:
    """Return the metadata of an open dataset of any kind, read from `path`."""
    from rasterio.enums import ColorInterp, MaskFlags

    gcps, gcps_crs = d.gcps
    identity = d.transform.is_identity
    own_mask = any(MaskFlags.per_dataset in f or MaskFlags.alpha in f for f in d.mask_flag_enums)
    return Raster(
        path, d.count, d.height, d.width, d.dtypes[0], d.nodata, d.crs, None if identity else d.transform,
        tuple(gcps), gcps_crs, d.rpcs, d.descriptions, d.units, d.scales, d.offsets, d.colorinterp,
        _tags(d, None), tuple(_tags(d, i) for i in d.indexes), d.block_shapes[0], own_mask,
        tuple(i for i, c in zip(d.indexes, d.colorinterp) if c == ColorInterp.alpha),
    )  # fmt: skip


def _tags(d: Any, band: int | None) -> dict[str, dict[str, str]]:
    names = ["", *d.tag_namespaces(band or 0)]
    found = {n: d.tags(band or 0, ns=n or None) for n in names if n not in SKIPPED_TAGS}
    # Statistics are of pixels that are going to change.
    kept = {n: {k: v for k, v in t.items() if not k.startswith("STATISTICS_")} for n, t in found.items()}
    return {n: t for n, t in kept.items() if t}


@dataclass(frozen=True, eq=False)
class Reader:
    """An open raster. `read` gives pixels as they are and where they are valid."""

    raster: Raster
    dataset: Any

    def read(self, window: Window, band: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return (h, w) of a band (from 1), and valid: not nodata, not NaN or infinite, not masked. Raises BadInput where it is damaged."""
        at = window.of_rasterio
        try:
            x = self.dataset.read(band, window=at)
            valid = np.isfinite(x)
            if self.raster.nodata is not None and np.isfinite(self.raster.nodata):
                valid &= ~at_value(x, self.raster.nodata)
            if self.raster.masked:
                valid &= self.dataset.read_masks(band, window=at) > 0
        except Exception as error:  # noqa: BLE001 (of GDAL, by several names)
            raise BadInput(
                f"{self.raster.path}: damaged at rows {window.top} and below ({one_line(error)}); copy it again"
            ) from None
        return x, valid

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """Return (h, w) of a mask of the file's own."""
        return self.dataset.read_masks(1, window=window.of_rasterio) > 0


@contextmanager
def opened(raster: Raster) -> Iterator[Reader]:
    """Yield a raster, open to be read."""
    with dataset_of(raster.path, raster.reading) as dataset:
        yield Reader(raster, dataset)
