"""`restorekit despeckle` on scenes as they come: Sentinel-1 tiles and a single-look scene, judged by their own statistics, and
what a whole Sentinel-1 scene costs.

Needs $RESTOREKIT_DATA/sar. The first band of every tile that has data, whole, by filters and `hqs`; the middle 256x256 of two
tiles, and the single-look scene, with `--slow` by `sar-dps` and `paper` too.

python -m benchmarks.remote_sensing.sentinel [--slow] [--samples 4] [--pictures FOLDER]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.support.common import DATA, RESULTS, publish
from restorekit.despeckling.cost import Cost, cost
from restorekit.despeckling.plan import DespecklePlan, Settings, plan
from restorekit.files.journal import Rows
from restorekit.files.picture import write_picture
from restorekit.sar.assessment import Wanted, assess
from restorekit.sar.level_bias import level_bias

Array = NDArray[np.floating]
FAST = ("boxcar", "lee", "refined-lee", "gamma-map", "hqs")
SLOW = ("sar-dps", "paper")  # of crops and the single-look scene, where they are asked for
CROPS = ("Ghana_53713", "India_900498")
FIGURES = ("enl_flat", "moi", "mor", "vor", "dh", "r")
HALF = ("half_vor", "bright_moi")  # of the homogeneous half; of the brightest tenth of cells
CELL = 16  # pixels, side of the cells whose homogeneous half counts
SCENE = (16700, 25000)  # rows, columns of a Sentinel-1 GRD scene, interferometric wide mode
PROCESSES = 2
MOR = (0.98, 1.02)
PRICED = (*FAST, "diffpir", "sar-dps", "paper", "mmps", "dps")
TIMES = 4  # that a block is timed; the least counts: in the first the network sets itself up for the size
HEADER = (
    "looks",
    "ENL before",
    "ENL after",
    "gain",
    "MoI",
    "MoR",
    "VoR",
    "1 / looks",
    "dh",
    "r",
    "VoR, flat half",
    "MoI, brightest",
)


def tiles() -> dict[str, Array]:
    """First bands in dB, those without a pixel of data left out."""
    import rasterio

    found = {}
    for path in sorted((DATA / "sar" / "sentinel1").glob("*.tif")):
        with rasterio.open(path) as d:
            x = d.read(1)
        if np.isfinite(x).any():
            found[path.stem.removesuffix("_S1Hand")] = x
    return found


def middle(x: Array, side: int = 256) -> Array:
    top, left = ((n - side) // 2 for n in x.shape)
    return x[top : top + side, left : left + side]


def settings(method: str, samples: int, domain: str) -> Settings:
    return Settings(solver=method, samples=samples if method == "sar-dps" else 1, domain=domain)


def restored(x: Array, how: Settings) -> tuple[DespecklePlan, Array, Array, NDArray[np.bool_]]:
    """(plan, measured, restored, where there is a signal), intensities, by way of files as the command goes."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npy", Path(folder) / "out.npy"
        np.save(source, x)
        made = plan(source, target, how)
        made.run()
        band, _ = made.bands[1]
        with made.scene.opened() as reader:
            _, y, _, signal = band.read(reader, made.scene.whole)
        return made, y, np.where(signal, band.back(np.load(target).astype(np.float64)), 0.0), signal


def treat(rows: Rows, kind: str, pictures: dict[str, Array], how: Sequence[Settings], folder: Path | None) -> None:
    for name, x in pictures.items():
        panels = []
        for s in how:
            if rows.has(kind, name, s.solver, s.samples) and folder is None:
                continue
            made, y, out, signal = restored(x, s)
            facts = made.bands[1][1]
            before, after = (
                {f.key: f.value for f in assess(y, z, signal, Wanted(facts.looks)).figures} for z in (y, out)
            )
            panels = panels or [y]
            panels.append(out)
            if not rows.has(kind, name, s.solver, s.samples):
                rows.add(
                    kind, name, s.solver, s.samples, facts.looks, facts.kappa, before["enl_flat"], *(after[k] for k in FIGURES),
                    *half(y, out, signal),
                )  # fmt: skip
        if folder is not None:
            show(folder / f"{name} {x.shape[0]}.png", panels)
        print(kind, name, flush=True)


def half(y: Array, x: Array, signal: NDArray[np.bool_]) -> tuple[float, float]:
    """VoR of the half of the cells of 16x16 that vary least, and MoI of the brightest tenth of cells of 64x64. The upper half of a cell
    says how much it varies, and the lower one counts, as speckle that varies little by chance would be chosen else."""
    h, w = (n // CELL for n in y.shape)

    def cells_of(a: NDArray[Any]) -> NDArray[Any]:
        return a[: h * CELL, : w * CELL].reshape(h, CELL, w, CELL).swapaxes(1, 2).reshape(h * w, CELL, CELL)

    measured, found, there = cells_of(y), cells_of(x), cells_of(signal).all((1, 2))
    chooses, counts = slice(None, CELL // 2), slice(CELL // 2, None)
    upper = measured[:, chooses]
    spread = np.where(there, upper.std((1, 2)) / np.maximum(upper.mean((1, 2)), 1e-30), np.inf)
    kept = np.argsort(spread, kind="stable")[: int(there.sum()) // 2]
    bright = level_bias(y, x, signal, 64)
    vor = float((measured[kept][:, counts] / found[kept][:, counts]).var())
    return vor, float("nan") if bright is None else 10 ** (bright.bias[-1] / 10)


def show(path: Path, panels: Sequence[Array]) -> None:
    """Amplitudes beside each other: measured, then the methods in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    white = np.quantile(np.sqrt(panels[0]), 0.99)
    write_picture(path, (np.sqrt(np.concatenate(panels, 1)) / white).clip(0, 1)[None].astype(np.float32))


def line(r: dict[str, str]) -> list[float]:
    looks, before, after = (float(r[k]) for k in ("looks", "before", "enl_flat"))
    return [looks, before, after, after / before, *(float(r[k]) for k in ("moi", "mor", "vor")), 1 / looks,
            float(r["dh"]), float(r["r"]), float(r["half_vor"]), float(r["bright_moi"])]  # fmt: skip


def cells(values: Sequence[float] | Array) -> list[object]:
    """Ratios to three decimals, by which they are judged."""
    return [
        f"{v:.3f}" if name.startswith("Mo") or "VoR," in name else float(v)
        for name, v in zip(HEADER, values, strict=True)
    ]


def label(r: dict[str, str]) -> str:
    return r["method"] if r["samples"] == "1" else f"{r['method']}, {r['samples']} samples"


def means(rows: list[dict[str, str]]) -> list[list[object]]:
    """By method."""
    body: list[list[object]] = []
    for method in dict.fromkeys(label(r) for r in rows):
        lines = np.array([line(r) for r in rows if label(r) == method])
        kept = ((lines[:, 5] >= MOR[0]) & (lines[:, 5] <= MOR[1])).sum()
        body.append([method, *cells(lines.mean(0)), f"{kept} of {len(lines)}"])
    return body


def each(rows: list[dict[str, str]]) -> list[list[object]]:
    sides = {"tiles": 512, "crops": 256}
    return [[r["picture"], sides[r["kind"]], label(r), float(r["kappa"]), *cells(line(r))] for r in rows]


def prices(x: Array, samples: int) -> dict[str, tuple[Settings, Cost, int]]:
    """Method -> (settings, cost of one whole block with its margin, blocks of a scene), of one sample and of several."""
    found = {}
    rows = Rows(RESULTS / "sentinel_cost_rows.csv", ("method",), ("seconds", "calls", "pixels"))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.npy"
        np.save(source, x)
        for method in PRICED:
            s = Settings(solver=method, samples=1, domain="db")
            job, grid = plan(source, source.with_name("out.npy"), s).job, s.grid(*SCENE)
            job = replace(job, grid=grid, threads=1)
            if not rows.has(method):
                timed = min((cost(job) for _ in range(TIMES)), key=lambda c: c.seconds)
                rows.add(method, timed.seconds, timed.calls, timed.pixels)
            (kept,) = (r for r in rows.rows if r["method"] == method)
            one = Cost(float(kept["seconds"]), int(kept["calls"]), int(kept["pixels"]))
            found[method] = s, one, len(grid)
            if method == "sar-dps":
                many = replace(one, seconds=samples * one.seconds, calls=samples * one.calls)
                found[f"{method}, {samples} samples"] = replace(s, samples=samples), many, len(grid)
            print(method, one, flush=True)
    return found


def priced(found: dict[str, tuple[Settings, Cost, int]]) -> tuple[list[list[object]], list[list[object]]]:
    blocks: list[list[object]] = []
    scene: list[list[object]] = []
    for method, (s, one, count) in found.items():
        million, grid = 1e6 / one.pixels, s.grid(*SCENE)
        side = grid.side + 2 * (grid.fade + grid.halo)
        blocks.append([method, grid.side, side, one.calls or "-", one.seconds, one.seconds * million,
                       f"{one.calls * million:.0f}" if one.calls else "-"])  # fmt: skip
        hours = one.seconds * count / 3600
        calls = one.calls * count
        scene.append([method, count, hours, hours / PROCESSES, f"{calls:,}" if calls else "-",
                      calls / 3600 if calls else "-"])  # fmt: skip
    return blocks, scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=4, help="of sar-dps")
    parser.add_argument("--slow", action="store_true", help="sar-dps and paper too, on crops and the single-look scene")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="do all again, and write pictures there")
    args = parser.parse_args()
    if not (DATA / "sar").is_dir():
        raise SystemExit("no scenes; set RESTOREKIT_DATA to the folder that holds sar/")
    found = tiles()
    one = np.load(DATA / "sar" / "singlelook_amplitude.npy")
    methods = (*FAST, *(SLOW if args.slow else ()))
    crops = {name: middle(found[name]) for name in CROPS}
    keys = ("kind", "picture", "method", "samples")
    rows = Rows(RESULTS / "sentinel_rows.csv", keys, ("looks", "kappa", "before", *FIGURES, *HALF))
    jobs = {"tiles": (found, FAST, "db"), "crops": (crops, methods, "db"),
            "single look": ({"single look": one}, methods, "amplitude")}  # fmt: skip
    for kind, (pictures, named, domain) in jobs.items():
        treat(rows, kind, pictures, [settings(m, args.samples, domain) for m in named], args.pictures)

    def of(kind: str) -> list[dict[str, str]]:
        return [r for r in rows.rows if r["kind"] == kind and r["samples"] in ("1", str(args.samples))]

    blocks, scene = priced(prices(found[CROPS[0]], args.samples))
    wanted = f"MoR in {MOR[0]}..{MOR[1]}"
    h, w = SCENE
    tables: list[tuple[str, Sequence[str], Sequence[Sequence[object]]]] = [
        (f"{len(found)} Sentinel-1 tiles of 512x512, mean", ("", *HEADER, wanted), means(of("tiles"))),
        ("Middle 256x256 of two of them, mean", ("", *HEADER, wanted), means(of("crops"))),
        ("A single-look scene of 350x350", ("", *HEADER), [[label(r), *cells(line(r))] for r in of("single look")]),
        ("Cost, one process of one thread",
         ("", "block", "seen", "calls", "seconds", "seconds per megapixel", "calls per megapixel"), blocks),
        (f"One band of a scene of {w:,} x {h:,} pixels",
         ("", "blocks", "hours, 1 process", f"hours, {PROCESSES} processes", "network calls", "calls per second for 1 hour"), scene),
        ("Every tile", ("", "side", "", "kappa", *HEADER), each(of("tiles") + of("crops"))),
    ]  # fmt: skip
    publish("sentinel", "Despeckling of radar scenes as they come", tables, notes(args.samples, of("tiles")))


def notes(samples: int, rows: list[dict[str, str]]) -> list[str]:
    kappa = [float(r["kappa"]) for r in rows]
    return [
        f"First band (VV) of tiles that hold data, in dB, as `restorekit despeckle` treats them: looks measured, default settings, correlated speckle as --decorrelate auto has it (sum of correlations kappa {min(kappa):.1f} to {max(kappa):.1f}); `sar-dps`, where it is asked for, with the mean of {samples} samples in linear power, `paper` with one. There is no truth: ENL is that of the flattest windows of the measured tile, MoI mean restored / mean measured, MoR and VoR mean and variance of measured / restored (wanted: 1 and 1 / looks), dh and r structure in the ratio, in % and between pixels so far apart that they share no grain, and its looks and mean in flat windows (wanted: 0). VoR, flat half: of the half of the cells of 16x16 pixels that vary least (one half of a cell chooses, the other counts), as whole tiles hold structure that no filter may keep; MoI, brightest: of the brightest tenth of cells of 64x64. A result follows some of its own speckle, which makes its MoR and VoR lower: see `held_out.md`.",
        "ENL alone says nothing of what is lost beside flat windows, and a small dh is had by changing little: read them with VoR, which is below 1 / looks where speckle is left.",
        f"Cost, timed on 2026-11-22 and kept: seconds of one whole block by `restorekit.despeckling.cost.cost`, one call timed and multiplied, the least of {TIMES} times; a block is computed with a margin on each side (seen), which is thrown away; reading and writing are left out. The machine is shared with other work, so seconds are right within about a third. Calls are of one picture of the size seen; `sar-dps`, `paper`, `mmps` and `dps` need products with the derivative of the network too, which are in the seconds and not in the number of calls.",
        f"Scene: one of its two bands, all blocks full of data. {PROCESSES} processes: half the time of one, which assumes that they do not slow each other down. No GPU was measured: the last column is the rate at which calls of a block, one at a time and with the products where the solver needs them, would have to be done for one hour per band.",
    ]


if __name__ == "__main__":
    main()
