"""Several dates restored together, on stacks whose truth is known: `restorekit despeckle --joint` beside one date by itself.

Eight dates of fields with edges: equivalent looks of flat parts, error at the edges. A hundred changes of 5x5 pixels and
3 dB in one of eight dates: bias, how many are found, how often error bars hold. What breaks it: levels that drift everywhere, a date
half a pixel beside the others, dates that share their speckle, a grain that is not known. False alarms of the test for changes, under speckle of another simulator too, and lines. Last, time and memory of
512x512 pixels of eight dates. The rate of false alarms and the sizes of squares were chosen on flat speckle of other seeds.

python -m benchmarks.remote_sensing.dates [--fast]
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.support.common import RESULTS, publish
from restorekit.files.journal import Rows
from restorekit.notes import Notes
from restorekit.sar.changes import Changes
from restorekit.sar.known import KNOWN
from restorekit.sar.speckle import draw, spectrum_of
from restorekit.tasks.dates import DespecklingDates
from restorekit.tasks.despeckle import Despeckling

Array = NDArray[np.floating]
DATES = 8
SIDE = 192
SENTINEL = KNOWN["sentinel-1-iw-grd"]
KINDS: dict[str, tuple[float, tuple[float, float]]] = {
    "1 look": (1.0, (0.0, 0.0)), "2 looks": (2.0, (0.0, 0.0)), "4 looks": (4.0, (0.0, 0.0)),
    "Sentinel-1 GRD, 4.4 looks": (SENTINEL.looks, SENTINEL.grain),
}  # fmt: skip
RATIO = [
    ("lee", "1 look"),
    ("lee", "4 looks"),
    ("hqs", "1 look"),
    ("lee", "Sentinel-1 GRD, 4.4 looks"),
]  # which `ratio` is tried on
SPREAD = 0.7  # deviation of the point-spread function of other speckle, pixels
OTHER = "4 looks, Gaussian grain by scipy"
LOOKS_OF_LINES = 4.0
FIELDS = 16  # of speckle in which false alarms are counted
EDGE = 3  # pixels on each side of an edge


def rng_of(*key: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def speckled(x: Array, kind: str, *key: object, count: int = DATES) -> Array:
    """(count, H, W) of x (H, W) or (count, H, W)."""
    looks, grain = KINDS[kind]
    rng, shape = rng_of(kind, *key), (SIDE, SIDE)
    return np.stack([draw(shape, looks, spectrum_of(grain), rng) for _ in range(count)]) * x


def otherwise(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Speckle of 4 looks that is drawn by nothing of the package: squared magnitudes of complex numbers under a Gaussian
    point-spread function (`scipy.ndimage`), which gives intensities the correlation exp(-1 / (2 sigma^2)) with the next pixel."""
    looks = []
    for _ in range(4):
        z = [ndimage.gaussian_filter(rng.standard_normal(shape), SPREAD, mode="wrap") for _ in range(2)]
        looks.append((z[0] ** 2 + z[1] ** 2) / (2 * np.mean(z[0] ** 2)))
    return np.mean(looks, axis=0)


def fields() -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """Levels of fields, where they are flat, and where their edges are."""
    x = np.full((SIDE, SIDE), 0.1)
    x[:, SIDE // 2 :] = 0.4
    x[SIDE // 3 : SIDE // 2, 20:-20] = 1.0
    i, j = np.indices(x.shape)
    x[(i - 145) ** 2 + (j - 60) ** 2 < 30**2] = 0.02
    level = np.rint(10 * np.log10(x)).astype(int)
    edge = ndimage.maximum_filter(level, 2 * EDGE + 1) != ndimage.minimum_filter(level, 2 * EDGE + 1)
    near = ndimage.maximum_filter(level, 17) != ndimage.minimum_filter(level, 17)
    inner = np.zeros(x.shape, np.bool_)
    inner[8:-8, 8:-8] = True
    return x, inner & ~near, inner & edge


def enl(found: Array, truth: Array, flat: NDArray[np.bool_]) -> float:
    """Equivalent looks of flat parts: of each level, weighted by pixels in the variance."""
    ratio = found / truth
    variance = [
        ratio[flat & (truth == level)].var() / ratio[flat & (truth == level)].mean() ** 2 for level in np.unique(truth)
    ]
    share = [float((flat & (truth == level)).sum()) for level in np.unique(truth)]
    kept = [(v, n) for v, n in zip(variance, share, strict=True) if n > 400]
    return 1 / (sum(v * n for v, n in kept) / sum(n for _, n in kept))


def settings(kind: str, **more: Any) -> dict[str, Any]:
    looks, grain = KINDS[kind]
    return {"looks": looks, "grain": grain, "domain": "intensity", "executor": "serial", **more}


def together(dates: Array, kind: str, shift: float = 0.3, **more: Any) -> list[Any]:
    """Results of all dates."""
    task = DespecklingDates(**settings(kind, **more))
    if shift != 0.3:
        import restorekit.tasks.dates as module

        kept = module.Together
        module.Together = lambda **given: replace(kept(**given), shift=shift)  # type: ignore[assignment,misc]
        try:
            return task.dates(list(dates), notes=Notes())
        finally:
            module.Together = kept  # type: ignore[misc]
    return task.dates(list(dates), notes=Notes())


def one(date: Array, kind: str, **more: Any) -> Array:
    return Despeckling(**settings(kind, **more))(date, notes=Notes()).mean[0].numpy()


def edges(rows: Rows) -> None:
    x, flat, edge = fields()
    for kind in ("4 looks", "1 look", "Sentinel-1 GRD, 4.4 looks"):
        dates = speckled(x, kind, "fields")
        for solver in ("hqs", "lee"):
            ways: dict[str, Any] = {
                "one date": lambda s=solver, k=kind, y=dates: [one(y[0], k, solver=s)],
                "joint": lambda s=solver, k=kind, y=dates: [r.mean[0].numpy() for r in together(y, k, solver=s)],
                "joint, ratio": lambda s=solver, k=kind, y=dates: [
                    r.mean[0].numpy() for r in together(y, k, solver=s, joint_by="ratio")
                ],
            }
            for way, made in ways.items():
                if rows.has(kind, solver, way) or (way == "joint, ratio" and (solver, kind) not in RATIO):
                    continue
                began = time.process_time()
                found = made()
                seconds = time.process_time() - began
                looks = float(np.median([enl(y, x, flat) for y in found]))
                off = [np.sqrt(np.mean((10 * np.log10(y / x))[edge] ** 2)) for y in found]
                rows.add(kind, solver, way, looks, float(np.mean(off)), seconds)
            print(kind, solver, flush=True)


def corners() -> list[tuple[int, int]]:
    return [(9 + 18 * a, 9 + 18 * b) for a in range(10) for b in range(10)]


def changed(decibels: float) -> tuple[Array, NDArray[np.bool_]]:
    """Truth of all dates, and where the fifth one changed."""
    x = np.full((DATES, SIDE, SIDE), 0.1)
    at = np.zeros((SIDE, SIDE), np.bool_)
    for i, j in corners():
        at[i - 2 : i + 3, j - 2 : j + 3] = True
    x[4, at] *= 10 ** (decibels / 10)
    return x, at


def changes(rows: Rows) -> None:
    for kind in KINDS:
        for decibels in (3.0, -3.0) if kind == "4 looks" else (3.0,):
            x, at = changed(decibels)
            dates = speckled(x, kind, "changes", decibels)
            for rate in (3e-3,):
                if rows.has(kind, f"{decibels:g}", rate):
                    continue
                plain = {"solver": "hqs", "targets": None, "structure": None}
                found = together(dates, kind, mask=True, changes=Changes(false_alarms=rate), **plain)
                y, single = found[4].mean[0].numpy(), one(dates[4], kind, **plain)
                level = [
                    10 * np.log10(y[i - 2 : i + 3, j - 2 : j + 3].mean() / x[4, i - 2 : i + 3, j - 2 : j + 3].mean())
                    for i, j in corners()
                ]
                marked = found[4].mask[0].numpy() == 3
                off, alone = (float(np.sqrt(np.mean((10 * np.log10(z / x[4]))[at] ** 2))) for z in (y, single))
                other = found[0].mean[0].numpy()
                flat = float(other[8:-8, 8:-8].mean() ** 2 / other[8:-8, 8:-8].var())
                rows.add(
                    kind, f"{decibels:g}", rate, float(np.mean(level)), float(np.std(level) / 10), float(marked[at].mean()), off, alone, flat,
                )  # fmt: skip
                print(kind, decibels, rate, flush=True)


def drift(seed: int, decibels: float) -> Array:
    rng = rng_of("drift", seed)
    x = ndimage.gaussian_filter(rng.standard_normal((DATES, SIDE, SIDE)), (0, 12, 12))
    return 10 ** (decibels * x / x.std() / 10)


def shared(rho: float, key: str) -> Array:
    """Speckle of one look of dates whose intensities have the correlation rho."""
    rng = rng_of("shared", key)
    common, own = (rng.standard_normal((*s, 2)) @ np.array([1, 1j]) for s in ((1, SIDE, SIDE), (DATES, SIDE, SIDE)))
    return np.abs(np.sqrt(rho**0.5) * common + np.sqrt(1 - rho**0.5) * own) ** 2 / 2


def breaking(rows: Rows) -> None:
    x, flat, _ = fields()
    still = np.broadcast_to(x, (DATES, SIDE, SIDE))
    moved = still.copy()
    moved[3] = np.exp(ndimage.shift(np.log(x), (0.5, 0.5), order=1, mode="nearest"))
    wave = drift(0, 1.5)
    cases: dict[str, tuple[str, Array, Array, dict[str, Any]]] = {
        "nothing": ("4 looks", still, speckled(still, "4 looks", "nothing"), {}),
        "levels drift by 1.5 dB everywhere": ("4 looks", still * wave, speckled(still * wave, "4 looks", "drift"), {}),
        "one date half a pixel off, told not to mind": ("4 looks", moved, speckled(moved, "4 looks", "moved"), {"shift": 2.0}),
        "dates share half of their speckle": ("1 look", still, shared(0.5, "a") * still, {}),
        "grain of Sentinel-1 taken for none": (
            "Sentinel-1 GRD, 4.4 looks", still, speckled(still, "Sentinel-1 GRD, 4.4 looks", "grain"), {"grain": (0.0, 0.0)},
        ),
        "looks taken for twice as many": ("4 looks", still, speckled(still, "4 looks", "looks"), {"looks": 8.0}),
    }  # fmt: skip
    for name, (kind, truth, dates, more) in cases.items():
        if rows.has(name):
            continue
        joint = together(dates, kind, solver="hqs", mask=True, **more)
        kept = {k: v for k, v in more.items() if k != "shift"}
        t = 3  # the date that moved
        single = one(dates[t], kind, solver="hqs", **kept)
        found = joint[t].mean[0].numpy()
        off = [float(np.sqrt(np.mean((10 * np.log10(y / truth[t]))[8:-8, 8:-8] ** 2))) for y in (single, found)]
        alarms = float(np.mean([(r.mask[0].numpy() == 3).mean() for r in joint]))
        steady = [enl(y / (truth[t] / x), x, flat) for y in (single, found)]
        rows.add(name, *off, *steady, alarms)
        print(name, flush=True)


def alarms(rows: Rows) -> None:
    correlation = math.exp(-1 / (2 * SPREAD**2))
    for kind, (looks, grain) in {**KINDS, OTHER: (4.0, (correlation, correlation))}.items():
        for count in (2, DATES):
            for rate in (3e-3,) if looks < 4 or kind == OTHER else (1e-2, 3e-3):
                if rows.has(kind, count, rate):
                    continue
                test, shares = Changes(false_alarms=rate).fitted([looks] * count, grain), []
                texture = np.exp(rng_of("texture").normal(0, 1, (SIDE, SIDE)))
                for k in range(FIELDS):
                    if kind == OTHER:
                        rng = rng_of(kind, "alarms", k)
                        y = np.stack([otherwise(texture.shape, rng) for _ in range(count)]) * texture
                    else:
                        y = speckled(texture, kind, "alarms", k, count=count)
                    shares.append(float(test(y, np.ones(y.shape, np.bool_)).mask.mean()))
                rows.add(kind, count, rate, float(np.mean(shares)), float(np.std(shares, ddof=1) / math.sqrt(FIELDS)))
        print("alarms", kind, flush=True)


LINES = {  # (rows down for each column to the right, width)
    "along a row, 2 pixels": (0.0, 2), "along a row, 1 pixel": (0.0, 1), "at 45 degrees, 2 pixels": (1.0, 2),
    "at 20 degrees, 2 pixels": (math.tan(math.radians(20)), 2),
}  # fmt: skip


def lines(rows: Rows) -> None:
    """Lines that are there on one of eight dates, under texture that stays, by the test alone."""
    i, j = np.indices((SIDE, SIDE))
    test = Changes().fitted([LOOKS_OF_LINES] * DATES)
    for name, (slope, width) in LINES.items():
        away = (i - 12.5 - slope * (j - 20)) / math.hypot(1, slope) if slope else i - 60.5 + 0.5 * (width % 2)
        on = (np.abs(away) < width / 2) & (j > 20) & (j < 170)
        far = ndimage.minimum_filter(~on, 9)
        for decibels in (3.0, 5.0):
            if rows.has(name, f"{decibels:g}"):
                continue
            found, level, beside = [], [], []
            for k in range(4):
                rng = rng_of("lines", name, decibels, k)
                texture = np.exp(rng.normal(0, 1, (SIDE, SIDE)))
                y = rng.gamma(LOOKS_OF_LINES, 1 / LOOKS_OF_LINES, (DATES, SIDE, SIDE)) * texture
                y[3][on] *= 10 ** (decibels / 10)
                result = test(y, np.ones(y.shape, np.bool_))
                found.append(float(result.mask[3][on].mean()))
                level.append(float(10 * np.log10(result.factor[3][on]).mean()) - decibels)
                beside.append(float(result.mask[3][far].mean()))
            rows.add(name, f"{decibels:g}", *(float(np.mean(x)) for x in (found, level, beside)))
        print("line", name, flush=True)


def times(rows: Rows, solvers: tuple[str, ...]) -> None:
    import rasterio

    for solver in solvers:
        for way in ("one date", "joint"):
            if rows.has(solver, way):
                continue
            rng, paths = rng_of("time"), list[str]()
            with tempfile.TemporaryDirectory() as folder:
                x = np.exp(3 * ndimage.gaussian_filter(rng.normal(0, 1, (512, 512)), 1.5))
                for k in range(DATES if way == "joint" else 1):
                    paths.append(f"{folder}/d{k}.tif")
                    with rasterio.open(
                        paths[-1], "w", driver="GTiff", height=512, width=512, count=1, dtype="float32"
                    ) as d:
                        d.write((x * rng.gamma(4, 0.25, x.shape)).astype(np.float32), 1)
                line = [
                    sys.executable, "-m", "restorekit", "despeckle", *paths, *(["--joint"] if way == "joint" else []), "--out", f"{folder}/out",
                    "--solver", solver, "--looks", "4", "--grain", "0,0", "--executor", "serial",
                ]  # fmt: skip
                began = time.perf_counter()
                with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                    _, status, used = os.wait4(process.pid, 0)
                    process.returncode = os.waitstatus_to_exitcode(status)
                if process.returncode:
                    raise SystemExit(f"{' '.join(line)}: {process.returncode}")
                rows.add(solver, way, used.ru_utime + used.ru_stime, time.perf_counter() - began, used.ru_maxrss / 1024)
            print("time", solver, way, flush=True)


def number(text: str, form: str = ".2f") -> str:
    return format(float(text), form)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true", help="without the changes")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    of_edges = Rows(RESULTS / "dates_edges_rows.csv", ("speckle", "solver", "way"), ("enl", "edge", "seconds"))
    of_changes = Rows(
        RESULTS / "dates_changes_rows.csv", ("speckle", "change", "rate"),
        ("bias", "error", "found", "off", "alone", "enl"),
    )  # fmt: skip
    of_breaks = Rows(RESULTS / "dates_breaks_rows.csv", ("case",), ("one", "joint", "enl_one", "enl_joint", "alarms"))
    of_alarms = Rows(RESULTS / "dates_alarms_rows.csv", ("speckle", "dates", "rate"), ("share", "error"))
    of_times = Rows(RESULTS / "dates_times_rows.csv", ("solver", "way"), ("cpu", "wall", "megabytes"))
    of_lines = Rows(RESULTS / "dates_lines_rows.csv", ("line", "change"), ("found", "bias", "false"))
    every = of_edges, of_changes, of_breaks, of_alarms, of_times, of_lines
    edges(of_edges)
    if not args.fast:
        changes(of_changes)
    times(of_times, ("lee", "hqs"))
    breaking(of_breaks)
    alarms(of_alarms)
    lines(of_lines)
    tables(*every)


def tables(of_edges: Rows, of_changes: Rows, of_breaks: Rows, of_alarms: Rows, of_times: Rows, of_lines: Rows) -> None:
    alone = {(r["speckle"], r["solver"]): float(r["enl"]) for r in of_edges.rows if r["way"] == "one date"}
    gain = sorted(
        ([r["speckle"], r["solver"], r["way"], number(r["enl"], ".0f"), f"{float(r['enl']) / alone[r['speckle'], r['solver']]:.1f}",
          number(r["edge"]), number(r["seconds"], ".1f")] for r in of_edges.rows),
        key=lambda row: (row[2], float(row[4])),
    )  # fmt: skip
    kept = sorted(of_changes.rows, key=lambda r: -abs(float(r["bias"])))
    publish(
        "dates", "Several dates restored together",
        [
            (f"{DATES} dates of fields with edges, worst gain first", ("speckle", "solver", "", "ENL", "times one date", "error at edges, dB", "CPU s"), gain),
            ("100 changes of 5x5 pixels in one of eight dates, worst bias first",
             ("speckle", "change, dB", "rate", "bias, dB", "pixels found", "off, dB", "off alone, dB", "ENL of another date"),
             [[r["speckle"], number(r["change"], "+.0f"), r["rate"], f"{float(r['bias']):+.2f} ± {float(r['error']):.2f}", number(r["found"]),
               number(r["off"]), number(r["alone"]), number(r["enl"], ".0f")] for r in kept]),
            ("What breaks it: `hqs`, the fourth date, worst first", ("", "error of one date, dB", "joint, dB", "ENL of one date", "joint ENL", "called changed"),
             [[r["case"], number(r["one"]), number(r["joint"]), number(r["enl_one"], ".0f"), number(r["enl_joint"], ".0f"), number(r["alarms"], ".4f")]
              for r in sorted(of_breaks.rows, key=lambda r: float(r["one"]) / float(r["joint"]))]),
            ("Pixels that are falsely called changed, under texture that stays", ("speckle", "dates", "stated", "measured"),
             [[r["speckle"], r["dates"], r["rate"], f"{float(r['share']):.4f} ± {float(r['error']):.4f}"]
              for r in sorted(of_alarms.rows, key=lambda r: -float(r["share"]) / float(r["rate"]))]),
            ("Lines that are there on one of eight dates, 4 looks, by the test alone, least found first",
             ("line", "change, dB", "pixels found", "bias, dB", "falsely called changed, 5 pixels away or more"),
             [[r["line"], "+" + r["change"], number(r["found"]), number(r["bias"], "+.2f"), number(r["false"], ".4f")]
              for r in sorted(of_lines.rows, key=lambda r: float(r["found"]))]),
            ("512x512 pixels, the command, one thread", ("solver", "", "CPU s", "wall s", "MB at most"),
             [[r["solver"], f"{DATES} dates, joint" if r["way"] == "joint" else r["way"], number(r["cpu"], ".0f"), number(r["wall"], ".0f"), number(r["megabytes"], ".0f")] for r in of_times.rows]),
        ],
        [
            (f"Scenes of {SIDE}x{SIDE} pixels whose truth is known. ENL: mean squared over variance of the ratio to the truth in flat parts, the median over dates. Error at edges: root mean "
            f"square of dB within {EDGE} pixels of one. The changes: `hqs` without targets and structure; bias of the level of 25 pixels, ± the standard error over 100; "
            "found: share of their pixels that the mask has; off: root mean square of dB over them, together and of that date by itself. A field of 25 pixels of one look is known to 0.9 dB. "
            "Wall seconds while other work ran."),
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
