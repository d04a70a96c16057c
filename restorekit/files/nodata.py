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
OF_VALUES = (42112, TAG)  # GDAL_METADATA: scales, offsets and statistics of the values


@dataclass(frozen=True, eq=False)
class Empty:
    """Pixels without data: where (H, W), what the file holds there (C, n), and the value that says so, if one does."""

    where: NDArray[np.bool_]
    held: NDArray[Any]
    value: float | None = None

    def put_back(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Write what was held back into raw (C, H, W), and move other pixels that rounded to the value one step off it.

        Where raw is of another type, the pixels become the value, if there is one that the type can hold.
        """
        if self.value is not None:
            raw = self._beside(raw, self.value)
        same = raw.dtype == self.held.dtype and len(self.held) in (1, len(raw))
        if same:
            raw[:, self.where] = self.held
        elif self.value is not None and (math.isfinite(self.value) or raw.dtype.kind == "f"):
            raw[:, self.where] = np.asarray(self.value).astype(raw.dtype)
        return raw

    def _beside(self, raw: NDArray[Any], marks: float) -> NDArray[Any]:
        here = empty_at(raw, marks)
        if not here.any() or not math.isfinite(marks):
            return raw
        value = np.asarray(marks).astype(raw.dtype)
        top = np.iinfo(raw.dtype).max if raw.dtype.kind in "iu" else np.inf
        beside = value - 1 if value == top else value + 1 if raw.dtype.kind in "iu" else np.nextafter(value, top)
        return np.where(here & (raw == value), np.asarray(beside).astype(raw.dtype), raw)

    def enlarged(self, rows: int, columns: int) -> Empty:
        """The same of a picture that is so many times as large: each pixel becomes rows x columns of them."""
        where = enlarged(self.where, rows, columns)
        whole = np.zeros((len(self.held), *self.where.shape), self.held.dtype)
        whole[:, self.where] = self.held
        return Empty(where, enlarged(whole, rows, columns)[:, where], self.value)


def enlarged(x: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """x (..., H, W) with each pixel as rows x columns of them."""
    return x.repeat(rows, -2).repeat(columns, -1)


def resized(
    old: tuple[int, ...], new: tuple[int, ...], alpha: NDArray[Any] | None, info: dict[str, Any], empty: Empty | None
) -> tuple[NDArray[Any] | None, dict[str, Any], Empty | None, list[str]]:
    """(alpha, info, empty) of a picture of `old` pixels (H, W) for a result of `new` ones, and how each is written.

    All that says where there is no data is enlarged by whole numbers; a place on the map does not fit any more.
    """
    if old == new:
        return alpha, info, empty, []
    (rows, more), (columns, over) = (divmod(n, o) for n, o in zip(new, old))
    fits, said, info = more == over == 0 < min(rows, columns), list[str](), dict(info)
    if alpha is not None:
        said.append("written with its alpha enlarged" if fits else "written without alpha")
        alpha = enlarged(alpha, rows, columns) if fits else None
    empty = empty.enlarged(rows, columns) if fits and empty is not None else None
    if (mask := info.pop("mask", None)) is not None:
        info |= {"mask": enlarged(mask, rows, columns)} if fits else {}
        said.append("written with its mask enlarged" if fits else "written without its mask")
    if tags := info.pop("tiff_tags", None):
        kept = [tag for tag in tags if tag[0] == TAG] if empty is not None else []
        info |= {"tiff_tags": kept} if kept else {}
        said += ["written without its map coordinates"] if len(kept) < len(tags) else []
    return alpha, info, empty, said


def place_of(info: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return those of the TIFF tags of a picture that say where it lies, without those of its values."""
    return [tag for tag in info.get("tiff_tags", ()) if tag[0] not in OF_VALUES]


def marked_nan(info: dict[str, Any]) -> dict[str, Any]:
    """The info of a file of floats that holds NaN where its mask says no data: with the tag that says so to all programs."""
    return info | {"tiff_tags": [*info.get("tiff_tags", ()), (TAG, 2, len("nan") + 1, "nan", True)]}


def filled(pixels: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """pixels (C, H, W) with the means of the others where they hold no data (H, W)."""
    told = pixels[:, ~where]
    return np.where(where, told.mean(1, where=np.isfinite(told))[:, None, None], pixels).astype(np.float32)


def hidden(mask: NDArray[np.bool_] | None, alpha: NDArray[Any] | None) -> NDArray[np.bool_] | None:
    """(H, W): what a mask (True: data) calls no data, or what is wholly transparent; None where nothing is.

    Transparency that is the same everywhere tells no pixels apart: some programs leave it at 0.
    """
    clear = None if alpha is None or not alpha.any() else alpha == 0
    parts = [p for p in (None if mask is None else ~mask, clear) if p is not None]
    where = np.logical_or.reduce(parts) if parts else None
    return where if where is not None and where.any() else None


def parts_of(where: NDArray[np.bool_], raw: NDArray[Any], value: float | None) -> Empty:
    """The pixels `where` of raw (C, H, W)."""
    return Empty(where, raw[:, where], value)


def nodata_of(tags: Iterable[tuple[Any, ...]]) -> float | None:
    """The value by the TIFF tags of a file; None where there is none, or none that is a number."""
    for code, _, _, text, *_ in tags:
        if code == TAG:
            try:
                return float((text.decode() if isinstance(text, bytes) else str(text)).strip("\0 "))
            except ValueError:
                return None
    return None


def empty_at(raw: NDArray[Any], value: float) -> NDArray[np.bool_]:
    """(H, W) of raw (C, H, W): where every band of integers is the value, or any of floats, which hardly are so by chance."""
    if math.isnan(value):
        return np.any(np.isnan(raw), axis=0) if raw.dtype.kind == "f" else np.zeros(raw.shape[1:], bool)
    if raw.dtype.kind == "f":
        with np.errstate(over="ignore"):  # no value of the file is one beyond its type
            held = np.asarray(value).astype(raw.dtype)
        return np.any(raw == held, axis=0) if np.isinf(held) <= math.isinf(value) else np.zeros(raw.shape[1:], bool)
    return np.all(raw == value, axis=0)
