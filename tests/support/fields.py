"""A made-up country seen by two sensors, files of it, and `fuse` on them: fields of one colour and one backscatter each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from restorekit.cli.main import run


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


WHOLE = fields(200, 210, 210)
PLACE = WHOLE.cut(32, 32, 120, 130)


def go(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        run([str(a) for a in arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert go(*arguments) == 1
    said = capsys.readouterr().err
    last = said.strip().splitlines()[-1]
    assert last.startswith("restorekit: ")
    assert "Traceback" not in said
    return last


def eight(rgb: np.ndarray) -> np.ndarray:
    return np.rint(255 * rgb).astype(np.uint8)


def rasters(d: Path, place: Fields = PLACE, radar: Fields | None = None, **profile: Any) -> tuple[Path, Path]:
    """An optical picture of 8 bits and a radar picture in dB, of one grid."""
    radar = place if radar is None else radar
    return (
        write_raster(d / "optical.tif", eight(place.rgb), **profile),
        write_raster(d / "sar.tif", decibels(radar.speckled()), **profile),
    )


def pictures(d: Path, place: Fields = PLACE, radar: Fields | None = None) -> tuple[Path, Path]:
    Image.fromarray(eight(place.rgb).transpose(1, 2, 0)).save(d / "optical.png")
    amplitude = np.sqrt((place if radar is None else radar).speckled())
    Image.fromarray(np.clip(120 * amplitude, 0, 255).astype(np.uint8)).save(d / "sar.png")
    return d / "optical.png", d / "sar.png"


def read(path: Path) -> np.ndarray:
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(path) as d:
        return d.read()
