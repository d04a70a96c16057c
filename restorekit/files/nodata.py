"""Pixels that hold no data: neither measured, nor to be written over.

A GeoTIFF names a value (GDAL_NODATA, tag 42113) or has a mask, as a page of its own or in a file `.msk` beside it; what is
wholly transparent (alpha 0) holds none either.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TAG = 42113
# GDAL takes floats of 64 bits for the value too where they differ from it by less than 4 float32 epsilons of it; 0 is compared exactly.
NEAR = 4.8e-7
BESIDE = 1e-6  # a distance from the value, relative to it, at which GDAL takes a number for data


@dataclass(frozen=True, eq=False)
class Empty:
    """Pixels without data: where (H, W), what the file holds there (C, n), and the value that says so, if one does."""

    where: NDArray[np.bool_]
    held: NDArray[Any]
    value: float | None = None

    def put_back(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Write what was held back into raw (C, H, W), and move other pixels that rounded to the value off it.

        Where raw is of another type, the pixels become the value, if there is one that the type can hold.
        """
        if self.value is not None:
            raw = off_nodata(raw, self.value, empty_at(raw, self.value))
        same = raw.dtype == self.held.dtype and len(self.held) in (1, len(raw))
        if same:
            raw[:, self.where] = self.held
        elif self.value is not None and fits(self.value, raw.dtype):
            raw[:, self.where] = np.asarray(self.value).astype(raw.dtype)
        return raw


def marked_nan(info: dict[str, Any]) -> dict[str, Any]:
    """Return the `info` of a file of floats with the tag that says that NaN is no data."""
    return info | {"tiff_tags": [*info.get("tiff_tags", ()), (TAG, 2, len("nan") + 1, "nan", True)]}


def filled(pixels: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return pixels (C, H, W) whose values without data (H, W) are replaced by the mean of the others in their band."""
    told = pixels[:, ~where]
    return np.where(where, told.mean(1, where=np.isfinite(told))[:, None, None], pixels).astype(np.float32)


def hidden(mask: NDArray[np.bool_] | None, alpha: NDArray[Any] | None) -> NDArray[np.bool_] | None:
    """Return the pixels (H, W) that a mask (True: data) calls no data, or that are wholly transparent; None where there
    are none.

    Transparency that is the same everywhere tells no pixels apart: some programs leave it at 0.
    """
    clear = None if alpha is None or not alpha.any() else alpha == 0
    parts = [p for p in (None if mask is None else ~mask, clear) if p is not None]
    where = np.logical_or.reduce(parts) if parts else None
    return where if where is not None and where.any() else None


def parts_of(where: NDArray[np.bool_], raw: NDArray[Any], value: float | None) -> Empty:
    """Return the pixels `where` (H, W) of raw (C, H, W) as `Empty`, with what they hold."""
    return Empty(where, raw[:, where], value)


def nodata_of(tags: Iterable[tuple[Any, ...]]) -> float | None:
    """Return the value of no data that the TIFF tags of a file name; None where they name no number."""
    for code, _, _, text, *_ in tags:
        if code == TAG:
            try:
                return float((text.decode() if isinstance(text, bytes) else str(text)).strip("\0 "))
            except ValueError:
                return None
    return None


def empty_at(raw: NDArray[Any], value: float) -> NDArray[np.bool_]:
    """Return the pixels (H, W) of raw (C, H, W) that are no data: every band is the value, or any band of floats, which
    hardly is so by chance.
    """
    here = at_value(raw, value)
    return np.asarray(here.any(0) if raw.dtype.kind == "f" else here.all(0))


def at_value(x: NDArray[Any], value: float) -> NDArray[np.bool_]:
    """Return where x is the value of no data, as GDAL compares: floats very near to it are it too, and NaN is NaN."""
    if math.isnan(value):
        return np.isnan(x) if x.dtype.kind in "fc" else np.zeros(x.shape, bool)
    if x.dtype.kind != "f":
        return np.asarray(x == value)
    with np.errstate(over="ignore", invalid="ignore"):  # no value of the file is one beyond its type
        held = np.asarray(value).astype(x.dtype)
        if not np.isfinite(held):
            return (x == held) & math.isinf(value)
        near = np.abs(x - held) <= np.abs(held) * x.dtype.type(NEAR)
        return (
            near | (np.isinf(x + held) & np.isfinite(x)) if _at_the_end(held) else near
        )  # GDAL compares with a sum that overflows


def off_nodata(x: NDArray[Any], nodata: float | None, where: NDArray[np.bool_]) -> NDArray[Any]:
    """Return x, in which measured values (True in `where`) that equal the value of no data are moved to one beside it.

    An integer takes the next one. A float moves further than one step, as GDAL takes that for the value still.
    """
    if nodata is None or not math.isfinite(nodata) or x.dtype.kind not in "iuf":
        return x
    hit = where & at_value(x, nodata)
    return np.where(hit, beside(nodata, x.dtype), x) if hit.any() else x


def fits(value: float, dtype: np.dtype[Any]) -> bool:
    """Return True where a type can hold a value of no data."""
    if dtype.kind == "f":
        return not math.isfinite(value) or abs(value) <= float(np.finfo(dtype).max)
    limits = np.iinfo(dtype)
    return math.isfinite(value) and value == int(value) and limits.min <= value <= limits.max


def beside(value: float, dtype: np.dtype[Any]) -> Any:
    """Return the number of a type nearest to a value of no data that GDAL takes for data: the integer above it, or a
    float nearer to 0.
    """
    kind = dtype.type
    if dtype.kind in "iu":
        top = int(np.iinfo(dtype).max)
        return kind(int(value) + 1 if int(value) < top else int(value) - 1)
    if value == 0:
        return np.finfo(dtype).tiny
    held = kind(value)
    if _at_the_end(held):
        return kind(held * kind(2.0**-26))  # so small that a sum of the two is the value
    moved = kind(held - held * kind(BESIDE))
    return moved if moved != held else np.nextafter(held, kind(0))


def _at_the_end(held: Any) -> bool:
    """Return True where twice a value overflows its type, as with the lowest float32, which many programs take for no data."""
    return bool(abs(held) > np.finfo(held.dtype).max / 2)
