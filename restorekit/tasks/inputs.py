"""A task is given a path, an array, a tensor or a `Picture`, each with one meaning.

| input | meaning |
|---|---|
| path | a file, as viewers show it, with its metadata |
| `Picture` | as `restorekit.read` gives it |
| array (H, W) or (H, W, C) | values of a file without metadata: integers of 0 to the largest of their type, floats on [0, 1] |
| tensor (C, H, W) or (1, C, H, W) | the same, bands first; the functions take (B, C, H, W) as B inputs |
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.files.masks import read_mask
from restorekit.files.picture import Picture, as_float32, check_span, read_picture
from restorekit.files.place import Placement, placed
from restorekit.files.raw import RAW
from restorekit.files.reading import PLAINLY, Reading
from restorekit.files.stored import read_values
from restorekit.files.tiff import page_count
from restorekit.tasks import ranges
from restorekit.tasks.identity import identity_of

Source: TypeAlias = "str | os.PathLike[str] | np.ndarray | Tensor | Picture"
Span: TypeAlias = "tuple[float, float]"
_FULL = {"bool": (0.0, 1.0), "uint8": (0.0, 255.0), "uint16": (0.0, 65535.0)}


@dataclass(frozen=True, eq=False)
class Input:
    """A picture with where it came from: `path` is None for arrays, tensors and pictures."""

    picture: Picture
    path: Path | None = None
    raw: np.ndarray | None = None  # (C, H, W) as given, of arrays and tensors
    reading: Reading = PLAINLY

    @property
    def label(self) -> str:
        """Return the path, or "the picture", for messages."""
        return "the picture" if self.path is None else str(self.path)

    @property
    def name(self) -> str:
        """Return the name of the file without its folder, or "the picture"."""
        return "the picture" if self.path is None else self.path.name

    @property
    def coded_as(self) -> Path:
        """Return a path whose suffix says how colours are likely to be coded: a `Picture` is one of a file, an array of none."""
        return self.path or Path("array.npy" if self.raw is not None else "picture.tif")

    def values(self) -> np.ndarray | None:
        """Return (C, H, W) in the type of the input, as no float can hold every value of a wide type; None of a `Picture`."""
        return self.raw if self.path is None else read_values(self.path, self.reading)[0]

    def record(self) -> dict[str, Any]:
        """Return what identifies the input in a record: path and SHA-256, or shape, type and SHA-256 of the values."""
        values = self.picture.pixels if self.raw is None else self.raw
        return identity_of(self.path, values) | self.reading.record()


def take(source: Source, span: Span | None = None, *, holes: bool = False, reading: Reading = PLAINLY) -> Input:
    """Read `source`; `span` are the values of black and white, `holes` and `reading`, of a path, as in `read_picture`.

    Raises `BadInput` where it is none of these, and where an array or a tensor has other axes than the table above says, or values that no picture has.
    """
    if isinstance(source, Picture):
        return Input(source if span is None or span == source.span else ranges.ranged(source, span))
    if not isinstance(source, str | os.PathLike | np.ndarray | Tensor):
        raise BadInput(
            f"a {type(source).__name__} is no picture; give a path, an array (H, W) or (H, W, C), a tensor (C, H, W), or a `Picture`"
        )
    if not isinstance(source, np.ndarray | Tensor):
        path = Path(source)
        return Input(read_picture(path, span, holes=holes, reading=reading), path, reading=reading)
    raw, layout = bands_first(source)
    return Input(_as_picture(raw, layout, span, holes), raw=raw)


def reading_beside(source: Source, reading: Reading) -> Reading:
    """Return how to read a picture that goes with one read by `reading`: in the same layout, and at the same page if it
    has several.
    """
    page = reading.page
    if page is not None and (not isinstance(source, str | os.PathLike) or page_count(Path(source)) == 1):
        page = None
    return Reading(reading.layout, page)


def bands_first(source: np.ndarray | Tensor) -> tuple[np.ndarray, str]:
    """Return an array or a tensor as (C, H, W), and the layout, "HW", "HWC" or "CHW", that a file of it has.

    Raises `BadInput` for other axes than the table above says, and for a batch of more than one.
    """
    if isinstance(source, Tensor):
        x = source.detach().cpu()
        x = x if x.dtype.itemsize != 2 or not x.is_floating_point() else x.float()  # NumPy has no bfloat16
        if x.ndim == 4 and len(x) != 1:
            raise BadInput(f"a batch of {len(x)} pictures was given where one is expected; give them one by one")
        if x.ndim not in (3, 4):
            raise BadInput(
                f"a tensor is (C, H, W) or (1, C, H, W), this one is {tuple(x.shape)}; add the bands: x[None]"
            )
        return np.ascontiguousarray((x[0] if x.ndim == 4 else x).numpy()), "CHW"
    if np.ma.is_masked(source):
        raise BadInput(
            "a masked array was given, and arrays have no pixels without data; give the path of its file, or for `inpaint` its "
            "`data` and the mask"
        )
    if source.ndim not in (2, 3):
        raise BadInput(f"an array is (H, W) or (H, W, C), this one is {source.shape}; give one picture")
    return np.ascontiguousarray(
        source[None] if source.ndim == 2 else np.moveaxis(source, -1, 0)
    ), "HW" if source.ndim == 2 else "HWC"


def _as_picture(raw: np.ndarray, layout: str, span: Span | None, holes: bool) -> Picture:
    if raw.dtype.kind not in "biuf" or not raw.size:
        raise BadInput(f"{raw.dtype} of shape {raw.shape} is no picture; give real numbers and at least one pixel")
    raw = raw.astype(raw.dtype.newbyteorder("="), copy=False)
    if raw.dtype.kind == "f" and not holes and (bad := int((~np.isfinite(raw)).any(0).sum())):
        raise BadInput(
            f"{bad} of {raw[0].size} pixels are NaN or infinite; fill them, or use `inpaint` with a mask that is 0 there"
        )
    if span is None:
        span = _FULL.get(raw.dtype.name)
    if span is None:
        low, high = (f(raw, initial=0, where=np.isfinite(raw)) for f in (np.min, np.max))
        if low < -0.25 or high > 1.25:
            raise BadInput(
                f"{raw.dtype} from {low:.6g} to {high:.6g}; give the values of black and white, `range={low:.6g},{high:.6g}`",
                argument="range",
            )
        span = (0.0, 1.0)
    low, high = check_span(span)
    pixels = raw if span == (0.0, 1.0) else (raw.astype(np.float64) - low) / (high - low)
    pixels = as_float32(pixels, "the picture", (low, high)).copy()
    return Picture(pixels, raw.dtype.name, (low, high), info={"layout": layout})


def take_mask(mask: Source, size: tuple[int, int]) -> np.ndarray:
    """Return (1 or C, H, W) float32, 1 (white) = measured, as `read_mask` reads a file; bool, integers or floats on [0, 1]."""
    if not isinstance(mask, np.ndarray | Tensor | Picture):
        return read_mask(mask, size)
    if isinstance(mask, Picture):
        raw = mask.pixels if mask.dtype.startswith("float") else mask.pixels >= 0.5
    else:
        raw = bands_first(mask[None] if isinstance(mask, Tensor) and mask.ndim == 2 else mask)[0]
    if raw.shape[1:] != size:
        a, b = ("x".join(map(str, s)) for s in (raw.shape[1:], size))
        raise BadInput(f"the mask is {a}, the picture {b} (height x width); resize it", argument="mask")
    top = 1.0 if raw.dtype.kind in "bf" or raw.max() <= 1 else float(np.iinfo(raw.dtype.name).max)
    if not (raw.min() >= 0 and raw.max() <= top):
        raise BadInput(f"a {raw.dtype} mask from {raw.min():g} to {raw.max():g}; use 0 and 1", argument="mask")
    values = (raw if raw.dtype.kind == "f" else raw >= top / 2).astype(np.float32)
    if not values.any():
        raise BadInput(
            "the mask is 0 everywhere, so nothing is measured; 1 (white) marks measured pixels", argument="mask"
        )
    return np.ascontiguousarray(values[:1] if (values == values[:1]).all() else values)


def cropped(picture: Picture, box: tuple[int, int, int, int]) -> Picture:
    """Return the part TOP, LEFT, HEIGHT, WIDTH of a picture, where it lies on the map. Raises `BadInput` for one outside."""
    top, left, height, width = box
    rows, columns = picture.pixels.shape[1:]
    if min(top, left) < 0 or min(height, width) < 1 or top + height > rows or left + width > columns:
        said = ",".join(map(str, box))
        raise BadInput(f"`preview={said}` lies outside the picture of {rows}x{columns} pixels", argument="preview")
    part = np.s_[..., top : top + height, left : left + width]
    info = dict(picture.info)
    info |= {"mask": info["mask"][part]} if "mask" in info else {}
    info |= {RAW: info[RAW].part(top, left)} if RAW in info else {}
    if tags := info.get("tiff_tags"):
        grid = Placement.part(top, left).stored(info.get("orientation", 1), (rows, columns), (height, width))
        info["tiff_tags"] = placed(tags, grid)
    empty = picture.empty
    if empty is not None:
        held = np.zeros((len(empty.held), *empty.where.shape), empty.held.dtype)
        held[:, empty.where] = empty.held
        where = empty.where[part]
        empty = replace(empty, where=where, held=held[part][:, where]) if where.any() else None
    alpha = None if picture.alpha is None else picture.alpha[part]
    return replace(picture, pixels=np.ascontiguousarray(picture.pixels[part]), alpha=alpha, info=info, empty=empty)
