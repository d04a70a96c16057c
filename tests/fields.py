"""A made-up country seen by two sensors, and files of it: fields of one colour and one backscatter each, and speckle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@dataclass(frozen=True)
class Fields:
    """rgb (3, H, W) in 0..1 and intensity (H, W), without noise."""

    rgb: np.ndarray
    intensity: np.ndarray

    def speckled(self, looks: float = 4, seed: int = 1) -> np.ndarray:
        return self.intensity * np.random.default_rng(seed).gamma(looks, 1 / looks, self.intensity.shape)

    def cut(self, top: int, left: int, height: int, width: int) -> Fields:
        at = np.s_[..., top : top + height, left : left + width]
        return Fields(self.rgb[at], self.intensity[at])


def fields(h: int = 128, w: int = 144, count: int = 90, seed: int = 0) -> Fields:
    """The nearest of `count` points says which field a pixel is of; colours and backscatter are independent."""
    rng = np.random.default_rng(seed)
    points = rng.random((count, 2)) * (h, w)
    i, j = np.mgrid[:h, :w]
    nearest = np.argmin((i[..., None] - points[:, 0]) ** 2 + (j[..., None] - points[:, 1]) ** 2, axis=-1)
    return Fields(rng.uniform(0.15, 0.85, (3, count))[:, nearest], np.exp(rng.uniform(-3, 0, count))[nearest])


def write_raster(path: Path, values: np.ndarray, **profile: Any) -> Path:
    """values (C, H, W) as GeoTIFF, in UTM 33 N with pixels of 10 m where nothing else is said."""
    rasterio = pytest.importorskip("rasterio")
    settings = {
        "driver": "GTiff", "count": len(values), "height": values.shape[1], "width": values.shape[2],
        "dtype": values.dtype.name, "crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500000, 0, -10, 5200000),
    }  # fmt: skip
    with rasterio.open(path, "w", **(settings | profile)) as d:
        d.write(values)
    return path


def decibels(intensity: np.ndarray) -> np.ndarray:
    """(1, H, W) float32."""
    return (10 * np.log10(intensity))[None].astype(np.float32)
