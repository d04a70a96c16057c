"""Overviews are smaller copies of a picture in its TIFF; a result gets such of its own values where its input had some."""

from __future__ import annotations

import importlib.util
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from restorekit.files.quiet import unplaced
from restorekit.files.session import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 64  # pages of a file of overviews, masks among them, each half the size of the one before


def factors_of(page: Any, reduced: list[Any], path: Path | None) -> tuple[int, ...]:
    """Return how many times smaller each overview of a page is, rising.

    reduced: pages of the file that are overviews. path: of the file, beside which GDAL may keep others, as `.ovr`; None to
    look for none.
    """
    size = page.imagelength, page.imagewidth
    found = set(_factors(size, reduced))
    if path is not None:
        beside = path.with_name(path.name + ".ovr")
        opened(beside)
        if not found and beside.is_file():
            found = set(_beside(size, beside))
    return tuple(sorted(found))


def _beside(size: tuple[int, int], path: Path) -> list[int]:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            return list(_factors(size, [page for page in islice(tif.pages, MOST) if not _is_mask(page)]))
    except Exception:  # noqa: BLE001 (whatever tifffile makes of a damaged file: the picture itself is whole)
        return []


def _is_mask(page: Any) -> bool:
    return bool(int(page.tags.valueof("NewSubfileType", 0)) & 4)


def _factors(size: tuple[int, int], pages: list[Any]) -> Iterator[int]:
    for page in pages:
        factor = round(size[1] / page.imagewidth)
        if factor > 1 and (-(-size[0] // factor), -(-size[1] // factor)) == (page.imagelength, page.imagewidth):
            yield factor


def add_overviews(handle: BinaryIO, factors: tuple[int, ...]) -> None:
    """Add overviews, means of pixels with data, to a whole TIFF that is open and has a name. Raises OSError."""
    if not importlib.util.find_spec("rasterio"):  # which the notes say
        return
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.errors import RasterioError, RasterioIOError

    handle.flush()
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), unplaced():
        try:
            dataset = rasterio.open(handle.name, "r+", driver="GTiff")
        except RasterioIOError:  # of a type that is unknown to this GDAL, which shows no overviews of it either
            return
        try:
            with dataset:
                dataset.build_overviews([f for f in factors if f < max(dataset.shape)], Resampling.average)
        except RasterioError as error:
            raise OSError(f"its overviews: {error}") from error
