"""Pixels that a GeoTIFF says hold no data (GDAL_NODATA, tag 42113): neither measured, nor to be written over."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TAG = 42113


@dataclass(frozen=True, eq=False)
class Empty:
    """Pixels without data: where (H, W), what the file holds there (C, n), and the value that says so."""

    where: NDArray[np.bool_]
    held: NDArray[Any]
    value: float

    def put_back(self, raw: NDArray[Any]) -> NDArray[Any]:
        """raw (C, H, W) with what was held; others that came out at the value by rounding are one step beside it."""
        here = empty_at(raw, self.value)
        if here.any() and math.isfinite(self.value):
            value = np.asarray(self.value).astype(raw.dtype)
            top = np.iinfo(raw.dtype).max if raw.dtype.kind in "iu" else np.inf
            beside = value - 1 if value == top else value + 1 if raw.dtype.kind in "iu" else np.nextafter(value, top)
            raw = np.where(here & (raw == value), np.asarray(beside).astype(raw.dtype), raw)
        same = len(raw) == len(self.held) and raw.dtype == self.held.dtype
        if same or math.isfinite(self.value) or raw.dtype.kind == "f":
            raw[:, self.where] = self.held if same else np.asarray(self.value).astype(raw.dtype)
        return raw


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
        return np.any(raw == np.asarray(value).astype(raw.dtype), axis=0)
    return np.all(raw == value, axis=0)
