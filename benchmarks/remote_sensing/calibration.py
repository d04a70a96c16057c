"""Calibration and thermal noise of Sentinel-1 products beside an independent implementation, xarray-sentinel.

Needs `pip install xarray-sentinel`. Small products of each kind are made by `tests.support.safe_products`; products that are
named are compared too, on a grid of lines and samples. The one of the last run comes with the tests in the source archive of
xarray-sentinel 0.9.6: annotations of a real acquisition, and pixels that are 0, 1 or 2.

python -m benchmarks.remote_sensing.calibration [NAME.SAFE ...]
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.support.common import progress, publish
from restorekit.files.bands import Window
from restorekit.products.sentinel1 import Sentinel1
from restorekit.products.sentinel1_annotation import annotation_of
from restorekit.products.sentinel1_files import ImageFiles, Safe, safe_of
from restorekit.products.sentinel1_joining import JoinedImage
from restorekit.products.sentinel1_tables import QUANTITIES, noise_table
from tests.support.safe_products import (
    CALIBRATED,
    IW1_SLC,
    SafeBlock,
    SafeBurst,
    SafeImage,
    SafeVector,
    write_safe,
)

Array = NDArray[np.float64]
HEIGHT, WIDTH, LINES = 900, 1200, 300  # of made products; lines of a burst
EVERY = 97  # lines and samples of the grid, of products that are named: a prime, so that it meets no vector's spacing
HEADER = (
    "product",
    "image",
    "sigma0",
    "beta0",
    "gamma0",
    "dn",
    "noise",
    "noise, other blocks",
    "noise beyond the last vector",
)


def made(kind: str, order: int) -> SafeImage:
    """A product with tables as they are in interferometric wide mode: A falls across, noise rises at the sides."""
    rng = np.random.default_rng(0)
    pixels = np.arange(0, WIDTH + 39, 40).clip(max=WIDTH - 1)
    share = pixels / WIDTH
    levels = {name: k * (333 - 26 * share) for name, k in zip(CALIBRATED, (1.0, 0.71, 0.83, 0.71))}
    lines = range(-200, HEIGHT + 400, 211)
    calibration = [
        SafeVector(k, pixels.tolist(), {n: (v + 1e-3 * k).tolist() for n, v in levels.items()}) for k in lines
    ]
    power = 300 + 900 * (share - 0.5) ** 2
    noise = [
        SafeVector(k, pixels.tolist(), {"noise": (power + 0.05 * k).tolist()})
        for k in range(-LINES, HEIGHT - 100, LINES)
    ]
    along = np.arange(0, HEIGHT, 10)
    scallop = 1 + 0.17 * ((along % LINES) / LINES * 2 - 1) ** 2
    third = WIDTH // 3
    image = SafeImage(
        np.rint(np.sqrt(2e4 * rng.gamma(4.4, 1 / 4.4, (HEIGHT, WIDTH)))), calibration=calibration[::order],
        noise=noise, merged=[(f"IW{k + 1}", k * third, k * third + third - 1) for k in range(3)],
    )  # fmt: skip
    if kind == "GRD":
        image.blocks = [
            SafeBlock((0, HEIGHT - 1, k * third, k * third + third - 1), along.tolist(), ((1 + 0.1 * k) * scallop).tolist(), f"IW{k + 1}")
            for k in range(3)
        ]  # fmt: skip
    elif kind == "SLC":
        image.pixels = np.rint(90 * (rng.standard_normal((HEIGHT, WIDTH)) + 1j * rng.standard_normal((HEIGHT, WIDTH))))
        valid = [10 <= k < LINES - 10 for k in range(LINES)]
        ends = ([5 if v else -1 for v in valid], [WIDTH - 9 if v else -1 for v in valid])
        image.bursts = [SafeBurst(k, *ends) for k in (0, 268, 535)]
        image.blocks = [SafeBlock((0, HEIGHT - 1, 0, WIDTH - 1), along.tolist(), scallop.tolist())]
        image.swath, image.processing, image.interval = "IW1", [IW1_SLC], 2.055556299999998e-03
    else:
        image.old_noise = True
    return image


def decibels(ours: Array, theirs: Array) -> float:
    """The worst difference where both are numbers above 0; NaN where none are."""
    at = np.isfinite(theirs) & (theirs > 0) & (ours > 0)
    return float(np.abs(10 * np.log10(ours[at] / theirs[at])).max()) if at.any() else float("nan")


def power(product: Sentinel1, rows: NDArray[np.int64]) -> Array:
    """Our power of some rows (n, width) of the first band, 0 where it is not valid."""
    read = []
    with product.opened() as reader:
        for row in rows:
            x, valid = reader.read(Window(int(row), 0, 1, product.width), 1)
            x = x.astype(np.complex128 if product.dtype == "complex64" else np.float64)
            read.append(np.where(valid, np.abs(x) ** 2 if product.dtype == "complex64" else x, 0))
    return np.concatenate(read)


def noise_of_peer(root: Path, group: str, lines: Array, samples: Array) -> Array | None:
    """Noise (n, m) as xarray-sentinel has it, the table across the track times the one along it that it keeps; None where it reads none."""
    xr = importlib.import_module("xarray")
    try:
        across, along = (
            xr.open_dataset(root, engine="sentinel-1", group=f"{group}/noise_{axis}") for axis in ("range", "azimuth")
        )
    except IndexError:  # of the layout before IPF 2.90
        return None
    noise = across.noiseRangeLut.interp(line=lines, pixel=samples)
    if "noiseAzimuthLut" in along:
        noise = noise * along.noiseAzimuthLut.interp(line=lines, kwargs={"fill_value": "extrapolate"})
    return noise.transpose("line", "pixel").values


def noises(safe: Safe, files: ImageFiles, lines: Array, samples: Array, group: str) -> tuple[float, float, float]:
    """The worst difference in the first block, in the others, and the share of lines behind the last vector that the peer has."""
    table = noise_table(safe.read(files.names["noise"])) if "noise" in files.names else None
    theirs = noise_of_peer(safe.root, group, lines, samples) if table is not None else None
    if table is None or theirs is None:
        return float("nan"), float("nan"), float("nan")
    ours, first = table.at(lines, samples), np.ones((len(lines), len(samples)), np.bool_)
    if table.blocks:
        top, bottom, left, right = table.blocks[0].rectangle
        first = ((lines >= top) & (lines <= bottom))[:, None] & ((samples >= left) & (samples <= right))
    behind = lines > table.across.lines[-1]
    share = float(np.isfinite(theirs[behind]).mean()) if behind.any() else float("nan")
    return decibels(ours[first], theirs[first]), decibels(ours[~first], theirs[~first]), share


def compared(root: Path, name: str, every: int) -> Iterator[list[object]]:
    xr, peer = (importlib.import_module(name) for name in ("xarray", "xarray_sentinel"))
    safe = safe_of(root)
    for files in safe.images:
        if not {"annotation", "measurement", "calibration"} <= set(files.names):
            continue
        group = f"{files.swath}/{files.polarisation}"
        joined = JoinedImage(annotation_of(safe.read(files.names["annotation"])))
        rows = np.concatenate([np.arange(p.first, p.last, every) for p in joined.pieces])
        lines = np.concatenate([np.arange(p.line, p.line + p.last - p.first, every) for p in joined.pieces])
        image = xr.open_dataset(root, engine="sentinel-1", group=group).measurement
        if "line" not in image.dims:
            image = image.swap_dims({image.dims[0]: "line", image.dims[1]: "pixel"})
        table = xr.open_dataset(root, engine="sentinel-1", group=f"{group}/calibration")
        worst = []
        for quantity, tag in QUANTITIES.items():
            theirs = peer.calibrate_intensity(image.isel(line=lines), table[tag]).values
            product = Sentinel1(root, files.polarisation, quantity, files.swath, noise=False)
            worst.append(decibels(power(product, rows), theirs))
        if np.isnan(worst).all():
            progress(f"{name} {group}: no pixel holds anything")
            continue
        samples = np.arange(0, joined.annotation.samples, every, dtype=float)
        found = [name, group, *worst, *noises(safe, files, lines.astype(float), samples, group)]
        progress(" ".join(map(str, found)))
        yield found


def worst_first(row: list[object]) -> float:
    return -max(v for v in row[2:7] if isinstance(v, float) and not np.isnan(v))


def shown(value: object) -> object:
    return (
        "-" if isinstance(value, float) and np.isnan(value) else f"{value:.1e}" if isinstance(value, float) else value
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("products", nargs="*", type=Path, help="folders NAME.SAFE")
    given: list[Path] = parser.parse_args().products
    warnings.simplefilter("ignore")
    rows: list[list[object]] = []
    kinds = {
        "GRD, three noise blocks": ("GRD", 1, "003.40"), "the same, vectors in reverse": ("GRD", -1, "003.40"),
        "GRD of IPF 2.60": ("old", 1, "002.60"), "SLC, three bursts": ("SLC", 1, "003.40"),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, (kind, order, version)) in enumerate(kinds.items()):
            root = write_safe(Path(folder) / str(number), [made(kind, order)], version)
            rows += compared(root, f"made: {name}", 1)
    for root in given:
        rows += compared(root, root.name[:32], EVERY)
    notes = (
        f"xarray-sentinel {importlib.metadata.version('xarray-sentinel')}. Columns of quantities: power over A^2, of every pixel "
        f"of made products, and of every {EVERY}th line of others. Noise: in the first block of the table along the track, which "
        "is all that xarray-sentinel keeps; what that costs in the other blocks is in the column beside it. The last column is the "
        "share of pixels behind the last vector across the track for which it has a number; here the last vector holds. -: there is "
        "nothing to compare, or xarray-sentinel does not read it (noise before IPF 2.90)."
    )
    table = [[shown(v) for v in row] for row in sorted(rows, key=worst_first)]
    publish(
        "calibration",
        "Calibration and noise of Sentinel-1 beside xarray-sentinel",
        [("Largest difference, dB, worst product first", HEADER, table)],
        [notes],
    )


if __name__ == "__main__":
    main()
