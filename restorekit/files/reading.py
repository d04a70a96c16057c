"""This module states how a file is read where the file does not say it itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput

LAYOUTS = ("HWC", "CHW")
COLUMNS = 16  # entries of an axis from which on it may be rows or columns of a picture
MOST_VALUES = 2**31  # of a picture that is held in memory: 8 GB of float32
MOST_PACKED = 2000  # times its file, that a picture above `FREE` bytes may be: constant pictures are, up to here
FREE = 2**26


@dataclass(frozen=True)
class Reading:
    """It states how a file is read where the file does not say it itself; the defaults guess nothing.

    layout: "HWC" or "CHW", the axes of an NPY file of three; None is (H, W, C), and refuses what has more bands than
    rows. page: of a TIFF of several pictures, from 1; None refuses such a file. network: whether an address
    (https://..., /vsicurl/...) may be opened. raw: whether a camera's raw file is read, as the mosaic that it is. product:
    what is taken of a product, words between commas, as "VV,gamma0". parts: of complex numbers that two bands hold,
    "real,imaginary" or "amplitude,phase", and pairs: the numbers of those bands, one after the other.
    """

    layout: str | None = None
    page: int | None = None
    network: bool = False
    raw: bool = False
    product: str | None = None
    parts: str | None = None
    pairs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.layout not in (None, *LAYOUTS):
            raise BadInput(f"`layout={self.layout}` is unknown; it is {' or '.join(LAYOUTS)}", argument="layout")
        if self.page is not None and self.page < 1:
            raise BadInput(f"page {self.page}: pages are counted from 1", argument="pages")

    def record(self) -> dict[str, object]:
        """Return what was stated, for the record of a result."""
        return {k: v for k, v in asdict(self).items() if v != getattr(PLAINLY, k)}


PLAINLY = Reading()


def npy_layout(path: object, shape: tuple[int, ...], layout: str | None) -> str:
    """Return "HW", "HWC" or "CHW" of an array in an NPY file, as stated: (H, W, C), unless `layout` says otherwise.

    BadInput for other numbers of axes, and where nothing is stated and (H, W, C) would have more bands than rows, and so
    many (`COLUMNS`) that they may be columns.
    """
    if len(shape) == 2:
        return "HW"
    if len(shape) != 3:
        raise BadInput(f"{path}: an array of shape {shape} is no picture; save (H, W), (H, W, C) or (C, H, W)")
    if layout is None and shape[0] < shape[2] >= COLUMNS:
        raise BadInput(
            f"{path} holds {shape}, which as (H, W, C) would be {shape[2]} bands of {shape[0]}x{shape[1]} pixels; give "
            "`layout=CHW` where the first axis counts the bands, or `layout=HWC`; or save np.moveaxis(x, 0, -1)",
            argument="layout",
        )
    return layout or "HWC"


def mapped(path: Path) -> NDArray[Any]:
    """Return the array of an NPY file, mapped and not read. Raises what `numpy.load` does."""
    with np.errstate(over="ignore"):  # of a shape that no file holds, which it refuses then
        return np.load(path, mmap_mode="r", allow_pickle=False)


def check_packed(path: object, size: int, stored: int) -> None:
    """Raise BadInput for a file of `stored` bytes that promises `size` bytes of pixels, where no picture is packed so far."""
    if size > FREE and size > MOST_PACKED * stored:
        raise BadInput(
            f"{path}: its header promises {size / 1e6:.0f} MB of pixels, and the file has {stored / 1e6:.2f} MB; it is damaged, "
            "or empty for the most part: get a fresh copy, or cut out a part (gdal_translate -srcwin)"
        )


def check_size(path: object, height: int, width: int, bands: int) -> None:
    """Raise BadInput for a picture that is too large to be held in memory, before any of it is decoded."""
    if height * width * bands > MOST_VALUES:
        raise BadInput(
            f"{path}: {height}x{width} pixels of {bands} band(s) are more than can be held at once; cut out a part, as with "
            "gdal_translate -srcwin LEFT TOP WIDTH HEIGHT"
        )
