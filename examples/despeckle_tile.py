"""A radar tile without its speckle, by a filter and by a diffusion prior: lee.tif, hqs.tif, and both beside it in a picture.

python examples/despeckle_tile.py [FILE] [--part TOP,LEFT,HEIGHT,WIDTH] [--steps 8]

Of FILE (GeoTIFF; the first band) that part is taken, and its map coordinates with it. Without FILE: a Sentinel-1 tile where
$RESTOREKIT_DATA has one, else fields that are made up, under four looks of speckle with the grain of Sentinel-1.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from restorekit.despeckling.plan import Settings, plan
from restorekit.files.bands import Window, import_rasterio
from restorekit.files.picture import write_picture
from restorekit.sar.assessment import Wanted, assess
from restorekit.sar.filters import FILTERS
from restorekit.sar.speckle import SWATHS, draw

TILE = Path(os.environ.get("RESTOREKIT_DATA", "../shared/data")) / "sar" / "sentinel1" / "Ghana_53713_S1Hand.tif"
SOLVERS = {"lee": "lee", "hqs": "hqs"}


def made_up(path: Path, side: int = 256, count: int = 12) -> Path:
    """Fields in dB, each the pixels next to one of `count` points."""
    rng = np.random.default_rng(0)
    points = side * rng.random((count, 2))
    at = np.moveaxis(np.mgrid[:side, :side], 0, -1)[..., None, :]
    field = np.square(at - points).sum(-1).argmin(-1)
    intensity = 10 ** rng.uniform(-2, -0.5, count)[field] * draw((side, side), 4, SWATHS["iw2"], rng)
    at_10_m = import_rasterio().Affine(10, 0, 5e5, 0, -10, 6e6)
    write(path, 10 * np.log10(intensity), "EPSG:32631", at_10_m)
    return path


def write(path: Path, x: np.ndarray, crs: object, transform: object, nodata: float | None = None) -> None:
    h, w = x.shape
    with import_rasterio().open(path, "w", driver="GTiff", count=1, height=h, width=w, dtype="float32", crs=crs, transform=transform, nodata=nodata) as d:  # fmt: skip
        d.write(x.astype(np.float32), 1)


def cut(source: Path, target: Path, part: str) -> Path:
    window = Window(*map(int, part.split(","))).of_rasterio
    with import_rasterio().open(source) as d:
        write(target, d.read(1, window=window), d.crs, d.window_transform(window), d.nodata)
    return target


def despeckled(source: Path, name: str, steps: int):  # type: ignore[no-untyped-def]
    """(what was measured of the speckle, intensities measured and restored, where there is a signal), (H, W) each."""
    of_prior: dict[str, Any] = {} if SOLVERS[name] in FILTERS else {"steps": steps}
    made = plan(source, Path(f"{name}.tif"), Settings(solver=SOLVERS[name], **of_prior))
    made.run()
    band, facts = made.bands[1]
    with made.scene.opened() as reader, import_rasterio().open(f"{name}.tif") as d:
        _, y, _, signal = band.read(reader, made.scene.whole)
        return facts, y, np.where(signal, band.back(d.read(1).astype(np.float64)), 0), signal


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--part", default="48,48,160,160", metavar="TOP,LEFT,HEIGHT,WIDTH", help="pixels")
    parser.add_argument("--steps", type=int, default=8, help="network calls of hqs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole = arguments.file or (TILE if TILE.exists() else made_up(Path(folder) / "whole.tif"))
        source = cut(whole, Path(folder) / "part.tif", arguments.part)
        found = {name: despeckled(source, name, arguments.steps) for name in SOLVERS}

    facts, y, _, signal = found["lee"]
    print(facts.measured)
    print(f"{'':8}    ENL    MoR    VoR")
    pictures = {"measured": y} | {name: x for name, (_, _, x, _) in found.items()}
    for name, x in pictures.items():
        f = {f.key: f.value for f in assess(y, x, signal, Wanted(facts.looks)).figures}
        print(f"{name:8} {f['enl_flat']:6.1f}  {f['mor']:.3f}  {f['vor']:.3f}")
    print(f"{'wanted':8}   more  1.000  {1 / facts.looks:.3f}")
    print("lee.tif, hqs.tif: in the unit and with the map coordinates of the tile")

    white = np.quantile(np.sqrt(y), 0.99)
    write_picture(
        "despeckle_tile.png",
        (np.sqrt(np.concatenate(list(pictures.values()), 1)) / white).clip(0, 1)[None].astype(np.float32),
    )
    print("despeckle_tile.png: measured, lee, hqs; amplitudes")
