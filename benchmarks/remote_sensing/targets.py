"""Point targets in despeckled scenes: what is left of them with and without the test that keeps them, and its false alarms.

Three tables. Targets of 1 to 4 pixels, 15 to 35 dB over a flat sea and over EuroSAT tiles: measured over restored level.
Complex data: the same, spread by the window of the sensor. False alarms per pixel on scenes without targets: the tail of the
law of speckle beyond the limit of each pixel, the truth being known, so that rates far below one in the number of pixels are
measured. Pictures hold bright points of their own; rates are given with and without pixels that are 3 dB above all that is
around them in the truth. Last, what is kept of real Sentinel-1 tiles.

python -m benchmarks.remote_sensing.targets [--solver hqs --solver sar-dps --solver lee]
"""

from __future__ import annotations

import argparse
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special
from skimage import data

from benchmarks.remote_sensing.despeckle import intensities
from benchmarks.remote_sensing.sentinel import tiles
from benchmarks.support.common import DATA, RESULTS, archive, classic, grey, publish
from restorekit.despeckling.plan import Settings, plan
from restorekit.files.journal import Rows
from restorekit.sar.speckle import SWATHS, draw
from restorekit.sar.targets import Detector, Targets

Array = NDArray[np.floating]
SEA = 0.1
SIDE = 160
STEP = 30  # between targets, pixels
DECIBELS = (15, 20, 25, 30, 35)
SHAPES = {"1": [(0, 0)], "2": [(0, 0), (0, 1)], "3": [(0, 0), (1, 0), (2, 0)], "L": [(0, 0), (1, 0), (1, 1)],
          "2x2": [(0, 0), (0, 1), (1, 0), (1, 1)]}  # fmt: skip
LOOKS = (1, 4)
GRAINS = (None, "iw1", "iw3")
DRAWN = ((1, None), (4, None))  # looks and grain of what is restored by draws too, which cost much
SOLVERS = ("hqs", "sar-dps", "lee")
At = tuple[NDArray[np.intp], NDArray[np.intp]]


def places() -> Iterator[tuple[str, int, At]]:
    for i, (shape, pixels) in enumerate(SHAPES.items()):
        for j, decibels in enumerate(DECIBELS):
            rows, columns = np.array([(18 + STEP * i + a, 18 + STEP * j + b) for a, b in pixels]).T
            yield shape, decibels, (rows, columns)


def speckle(looks: int, grain: str | None, rng: np.random.Generator, side: int = SIDE) -> Array:
    return draw((side, side), looks, None if grain is None else SWATHS[grain], rng)


def ground(name: str) -> Array:
    """A flat sea, or tiles of fields beside each other."""
    if name == "sea":
        return np.full((SIDE, SIDE), SEA)
    fields = [x for _, x in intensities(grey(archive("eurosat64-test.zip", 9, seed=5)))]
    return np.block([fields[3 * i : 3 * i + 3] for i in range(3)])[:SIDE, :SIDE]


def detected(looks: int, grain: str | None, on: str) -> tuple[Array, list[tuple[str, int, At]]]:
    """Measured intensities; a target is so far above the mean of the truth around it."""
    rng = np.random.default_rng(zlib.crc32(f"{looks} {grain} {on}".encode()))
    truth = ground(on)
    y, found = truth * speckle(looks, grain, rng), list(places())
    level = ndimage.uniform_filter(truth, 15)
    for _, decibels, at in found:
        y[at] = level[at] * 10 ** (decibels / 10)
    return y, found


def single_look(grain: str) -> tuple[NDArray[np.complexfloating], list[tuple[str, int, At]]]:
    """Complex data of a sea; every pixel of a target is a point of the given level, seen through the window of the sensor, and
    adds to the clutter by chance."""
    rng = np.random.default_rng(zlib.crc32(f"complex {grain}".encode()))
    spectrum, found = SWATHS[grain], list(places())
    z = np.sqrt(SEA) * spectrum.field(SIDE, SIDE, rng)
    point = np.fft.ifft2(np.outer(spectrum.window(SIDE, spectrum.azimuth), spectrum.window(SIDE, spectrum.range)))
    point /= point[0, 0]
    for _, decibels, (rows, columns) in found:
        for i, j in zip(rows, columns, strict=True):
            phase = np.exp(2j * np.pi * rng.uniform())
            z += np.sqrt(SEA * 10 ** (decibels / 10)) * phase * np.roll(point, (i, j), (0, 1))
    return z, found


def restored(y: NDArray[np.generic], settings: Settings) -> tuple[Array, Array | None, int]:
    """(restored, deviations or None, pixels that were kept)."""
    counted: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npy", Path(folder) / "out.npy"
        np.save(source, y)
        plan(source, target, settings).run(say=counted.append)
        std = target.with_name("out_std.npy")
        deviation = np.load(std).astype(np.float64) if std.exists() else None
        count = sum(int(line.split(": ")[1].split()[0]) for line in counted)
        return np.load(target).astype(np.float64), deviation, count


def levels(rows: Rows, solvers: Sequence[str]) -> None:
    grounds = [("sea", looks, grain) for looks in LOOKS for grain in GRAINS] + [
        ("fields", looks, None) for looks in LOOKS
    ]
    cases = [(*g, solver, "auto") for solver in solvers for g in grounds if solver != "sar-dps" or g[1:] in DRAWN]
    cases += [("sea, complex", 1, grain, "hqs", "whiten") for grain in ("iw1", "iw3")]
    for on, looks, grain, solver, remedy in cases:
        if rows.has(on, looks, grain or "white", solver, remedy, "2x2", DECIBELS[-1]):
            continue
        complex_data = "complex" in on
        y, found = single_look(grain or "iw1") if complex_data else detected(looks, grain, on)
        intensity = np.abs(y) ** 2 if complex_data else y
        settings = Settings(
            solver=solver, looks=float(looks), domain="complex" if complex_data else "intensity", decorrelate=remedy,
            samples=2 if solver == "sar-dps" else None,
        )  # fmt: skip
        before, _, _ = restored(y, replace(settings, targets=None, samples=1 if solver == "sar-dps" else None))
        after, deviation, _ = restored(y, settings)
        for shape, decibels, at in found:
            measured = intensity[at].mean()
            rows.add(
                on, looks, grain or "white", solver, remedy, shape, decibels,
                10 * np.log10(measured / SEA) if on != "fields" else float(decibels),
                *(10 * np.log10(x[at].mean() / measured) for x in (before, after)),
                float("nan") if deviation is None else float((deviation[at] / intensity[at]).mean()),
            )  # fmt: skip
        print(on, looks, grain, solver, flush=True)


def limits(detector: Detector, x: Array) -> Array:
    """What each pixel must pass, over the threshold."""
    h = detector.halo
    padded = np.pad(x.astype(np.float32), h, mode="symmetric")
    return detector.surroundings(padded, np.ones(padded.shape, np.bool_))[1][h:-h, h:-h].astype(np.float64)


def pictures() -> dict[str, list[Array]]:
    def squared(x: Array) -> Array:
        return ((x + 1.0) / 256) ** 2

    photographs = (data.camera(), *(p()[:, :, 1] for p in (data.chelsea, data.coffee, data.astronaut)))
    return {
        "flat": [np.ones((300, 300))] * 3,
        "EuroSAT test tiles, 64x64": [x for _, x in intensities(grey(archive("eurosat64-test.zip", 80)))],
        "Kodak crops, 300x300": [x[:300, :300] for _, x in intensities(grey(classic("kodak", 4)))],
        "scikit-image, 300x300": [squared(p[:300, :300].astype(np.float64)) for p in photographs],
    }


def alarms(rows: Rows) -> None:
    for kind, scenes in pictures().items():
        for looks in LOOKS:
            for grain in (None, *SWATHS):
                if rows.has(kind, looks, grain or "white"):
                    continue
                spectrum = None if grain is None else SWATHS[grain]
                detector = Targets().fitted(looks, (0.0, 0.0) if spectrum is None else spectrum.lag_one)
                plainly = replace(detector, settings=replace(detector.settings, texture=0.0))
                rng = np.random.default_rng(zlib.crc32(f"{kind} {looks} {grain}".encode()))
                total = pixels = without = plain_pixels = 0.0
                kept = clusters = 0
                for x in scenes:
                    y = x * draw(x.shape, looks, spectrum, rng)
                    alarm = special.gammaincc(looks, looks * detector.threshold * limits(detector, y) / x)
                    plain = x < 2 * limits(plainly, x)
                    total, pixels = total + alarm.sum(), pixels + x.size
                    without, plain_pixels = without + alarm[plain].sum(), plain_pixels + plain.sum()
                    found = detector(y, np.ones(y.shape, np.bool_))
                    kept, clusters = kept + int(found.sum()), clusters + int(places_of(found).max())
                rows.add(
                    kind, looks, grain or "white", total / pixels, without / plain_pixels, kept, clusters, int(pixels)
                )
                print(kind, looks, grain, flush=True)


def places_of(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Numbers from 1 of connected pixels."""
    labels = np.empty(mask.shape, np.int32)
    ndimage.label(mask, np.ones((3, 3)), output=labels)
    return labels


def real() -> list[list[object]]:
    """Tiles of Sentinel-1 as they are, first bands, by a fast filter."""
    found: list[list[object]] = []
    for name, x in tiles().items():
        y = np.where(np.isfinite(x), 10 ** (x / 10), np.nan)
        out, _, kept = restored(y, Settings(solver="boxcar:size=3", domain="intensity"))
        mask = np.isfinite(y) & (np.abs(out / y - 1) < 1e-6) if kept else np.zeros(y.shape, np.bool_)
        labels = places_of(mask)
        level = ndimage.median_filter(np.nan_to_num(y, nan=float(np.nanmedian(y))), 25)
        over = [10 * np.log10(float((y / level)[labels == n + 1].max())) for n in range(labels.max())]
        found.append([name, kept, labels.max(), ", ".join(f"{v:.1f}" for v in sorted(over, reverse=True)[:8]) or "-"])
    return found


def least() -> list[list[object]]:
    """Over a flat sea: how far above its mean a pixel must be to be kept, and what the test costs."""
    body: list[list[object]] = []
    for looks in LOOKS:
        for grain in (None, *SWATHS):
            spectrum = None if grain is None else SWATHS[grain]
            detector = Targets().fitted(looks, (0.0, 0.0) if spectrum is None else spectrum.lag_one)
            y = draw((500, 500), looks, spectrum, np.random.default_rng(1))
            over = 10 * np.log10(detector.threshold * limits(detector, y))
            began = time.process_time()
            detector(y, np.ones(y.shape, np.bool_))
            seconds = (time.process_time() - began) / y.size * 1e6
            body.append([looks, grain or "white", *(float(np.quantile(over, q)) for q in (0.5, 0.9, 0.99)), seconds])
    return body


def summary(rows: list[dict[str, str]]) -> list[list[object]]:
    body: list[list[object]] = []
    for key in dict.fromkeys((r["scene"], r["looks"], r["grain"], r["solver"], r["remedy"]) for r in rows):
        mine = [r for r in rows if (r["scene"], r["looks"], r["grain"], r["solver"], r["remedy"]) == key]
        off, on = (np.array([float(r[k]) for r in mine]) for k in ("off", "on"))
        bars = np.array([float(r["deviation"]) for r in mine])
        body.append(
            [*key, f"{off.mean():.2f}", f"{off.min():.2f}", f"{on.mean():.2f}", f"{on.min():.2f}",
             f"{int((np.abs(on) <= 1).sum())} of {len(mine)}", "-" if np.isnan(bars).all() else float(bars.mean())]
        )  # fmt: skip
    return body


def by_level(rows: list[dict[str, str]]) -> list[list[object]]:
    return [
        [shape, *(f"{np.mean([float(r['off']) for r in some]):.1f} / {np.mean([float(r['on']) for r in some]):.2f}"
                  for d in DECIBELS
                  for some in [[r for r in rows if r["shape"] == shape and r["decibels"] == str(d)]])]
        for shape in SHAPES
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--solver", action="append", help=f"default: {', '.join(SOLVERS)}")
    args = parser.parse_args()
    keys = ("scene", "looks", "grain", "solver", "remedy", "shape", "decibels")
    levelled = Rows(RESULTS / "targets_rows.csv", keys, ("measured", "off", "on", "deviation"))
    levels(levelled, args.solver or SOLVERS)
    falsely = Rows(
        RESULTS / "targets_alarms_rows.csv",
        ("kind", "looks", "grain"), ("rate", "without", "kept", "clusters", "pixels"),
    )  # fmt: skip
    alarms(falsely)
    settings = Targets()
    tables: list[tuple[str, Sequence[str], Sequence[Sequence[object]]]] = [
        ("25 targets a scene: restored over measured level, dB",
         ("scene", "looks", "grain", "solver", "decorrelate", "mean, off", "worst, off", "mean", "worst", "within 1 dB", "std / level"),
         summary(levelled.rows)),
        ("By size and level over all of these: restored over measured, dB, off / on",
         ("pixels", *(f"{d} dB" for d in DECIBELS)), by_level(levelled.rows)),
        ("Level over the mean of a flat sea from which on a pixel is kept, dB, and CPU seconds per megapixel",
         ("looks", "grain", "half of all pixels", "90 %", "99 %", "seconds"), least()),
        ("False alarms without targets",
         ("scenes", "looks", "grain", "rate, 1e-6", "without bright points, 1e-6", "pixels kept", "clusters", "pixels tested"),
         [[r["kind"], r["looks"], r["grain"], f"{1e6 * float(r['rate']):.2f}", f"{1e6 * float(r['without']):.2f}",
           r["kept"], r["clusters"], r["pixels"]] for r in falsely.rows]),
    ]  # fmt: skip
    if (DATA / "sar").is_dir():
        header = ("", "pixels kept", "clusters", "brightest of each over the median around, dB")
        tables.append(("Sentinel-1 tiles of 512x512, VV", header, real()))
    publish("targets", "Point targets in despeckled scenes", tables, [
        (f"The stated rate is {settings.false_alarms:g} false alarms per pixel of a textured scene, a tenth of that of a flat one. "
        "`off` is `--targets off`. A target is a set of pixels of one measured level, so many dB over the mean around it; in complex "
        "data a set of points that the window of the sensor spreads, and that add to the clutter by chance. std / level: of `sar-dps` "
        "with two samples; it should be 1 / sqrt(looks)."),
    ])  # fmt: skip


if __name__ == "__main__":
    main()
