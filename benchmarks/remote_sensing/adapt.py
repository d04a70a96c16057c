"""A prior that is taught by speckled scenes, beside one that is taught by the same scenes without speckle.

Scenes of a kind that `sar` has not seen, parcels with straight edges and levels of one neper of spread, and of one that it
has, EuroSAT tiles: single-look complex data judged by their real and imaginary parts, four looks by a split of the speckle,
and pairs of dates of one look. Two scenes teach, another one is restored by `hqs`. The prior that is taught by the truth has
as many steps as all rounds together, and is no less a run of the same trainer.

python -m benchmarks.remote_sensing.adapt [--kinds parcels] [--cases slc]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from benchmarks.remote_sensing.despeckle import amplitude, intensities
from benchmarks.support.common import RESULTS, archive, grey, progress, publish
from restorekit.adaptation.predictive import QUICK, restored
from restorekit.adaptation.rounds import Rounds
from restorekit.files.journal import Rows
from restorekit.metrics.fidelity import psnr
from restorekit.notes import Notes
from restorekit.priors.find import find
from restorekit.priors.formats.checkpoint import read_spec
from restorekit.tasks.adapt import adapt
from restorekit.training.loop import train

Array = NDArray[np.floating]
SIDE, TILE, FINE = 512, 64, 2
ROUNDS, TILES, STEPS, RATE = 4, 80, 150, 5e-4
CASES = {"slc": 1, "detected": 4, "pairs": 1}
KINDS = ("parcels", "fields")
TEACH, JUDGE = (0, 1), 2


def parcels(rng: np.random.Generator) -> Array:
    """Return intensities (SIDE, SIDE) of cells around random points, some long, of log-normal levels."""
    points = rng.uniform(-0.1, 1.1, (SIDE * SIDE // 1000, 2)) * SIDE
    levels = rng.normal(0, 1, len(points))
    at = (np.arange(SIDE * FINE) + 0.5) / FINE
    grid = np.stack(np.meshgrid(at, at, indexing="ij"), -1).reshape(-1, 2)
    skew = np.eye(2) + 0.4 * rng.normal(size=(2, 2))
    _, nearest = KDTree(points @ skew).query(grid @ skew)
    return np.exp(levels[nearest]).reshape(SIDE, FINE, SIDE, FINE).mean((1, 3))


def fields(number: int) -> Array:
    """Return intensities (SIDE, SIDE) of EuroSAT tiles beside each other."""
    per = SIDE // 64
    tiles = [x for _, x in intensities(grey(archive("eurosat64-test.zip", 3 * per * per, seed=5)))]
    mine = tiles[number * per * per : (number + 1) * per * per]
    return np.block([mine[per * i : per * (i + 1)] for i in range(per)])


def truth_of(kind: str, number: int) -> Array:
    return parcels(np.random.default_rng(number)) if kind == "parcels" else fields(number)


def measured(truth: Array, case: str, seed: int) -> list[Array]:
    """Return what is measured of a scene: one array, of pairs two."""
    rng = np.random.default_rng(100 + seed)
    if case == "slc":
        parts = rng.normal(size=(2, *truth.shape)) * np.sqrt(truth / 2)
        return [(parts[0] + 1j * parts[1]).astype(np.complex64)]
    count = 2 if case == "pairs" else 1
    return [(truth * rng.gamma(CASES[case], 1 / CASES[case], truth.shape)).astype(np.float32) for _ in range(count)]


def taught_by_truth(truths: Sequence[Array], folder: Path, steps: int) -> Path:
    """Return `sar` after `steps` on the scenes without speckle, cut into the same tiles."""
    (folder / "tiles").mkdir(parents=True)
    prior = find("sar")
    mean = read_spec(prior).mean
    for k, truth in enumerate(truths):
        u = np.log(truth / np.median(truth)) + mean
        for i in range(0, SIDE, TILE):
            for j in range(0, SIDE, TILE):
                np.save(folder / "tiles" / f"{k}_{i:03d}_{j:03d}.npy", u[i : i + TILE, j : j + TILE].astype(np.float32))
    run = Rounds(prior, folder, [], [], steps=steps, rate=RATE, side=TILE)
    return train(run.config(prior, 1), folder / "tiles", folder / "run", quiet=True)


def judged(prior: Path, truth: Array, y: Array, looks: float) -> tuple[float, float]:
    """Return PSNR of the amplitude, and the rms error of the level, dB, of what `hqs` restores."""
    y = np.abs(y.astype(np.complex128)) ** 2 if np.iscomplexobj(y) else y.astype(np.float64)
    median = float(np.median(y))
    x = restored(QUICK, prior, y / median, looks)[0] * median
    return psnr(amplitude(x), amplitude(truth)), float(np.sqrt(np.mean((10 * np.log10(x / truth)) ** 2)))


def run(rows: Rows, kinds: Sequence[str], cases: Sequence[str]) -> None:
    for kind in kinds:
        truths = [truth_of(kind, k) for k in (*TEACH, JUDGE)]
        for case in cases:
            if rows.has(kind, case, "taught by the truth"):
                continue
            looks, began = float(CASES[case]), time.process_time()
            with tempfile.TemporaryDirectory() as scratch:
                folder, paths = Path(scratch), []
                for k in TEACH:
                    for date, y in enumerate(measured(truths[k], case, k)):
                        paths.append(folder / f"{k}_{date}.npy")
                        np.save(paths[-1], y)
                notes = Notes(heard=progress)
                made = adapt(
                    paths, folder / "run", looks=looks, grain=(0.0, 0.0), pairs=case == "pairs", rounds=ROUNDS, tiles=TILES,
                    steps=STEPS, rate=RATE, side=TILE, judge=28, notes=notes,
                )  # fmt: skip
                seconds = time.process_time() - began
                clean = taught_by_truth([truths[k] for k in TEACH], folder / "clean", ROUNDS * STEPS)
                y = measured(truths[JUDGE], case, JUDGE)[0]
                kept = sum(o.kept for o in made.rounds)
                score = made.rounds[0].score, made.rounds[0].score - sum(o.fell for o in made.rounds if o.kept)
                for name, prior in (("sar", find("sar")), ("adapted", made.path), ("taught by the truth", clean)):
                    figures = judged(prior, truths[JUDGE], y, looks)
                    rows.add(kind, case, name, *figures, kept, len(made.rounds), *score, seconds)
                    progress(f"{kind} {case} {name}: {figures[0]:.2f} dB, {figures[1]:.3f} dB of level")
                shutil.rmtree(folder)
                folder.mkdir()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    args = parser.parse_args()
    rows = Rows(
        RESULTS / "adapt_rows.csv", ("scene", "case", "prior"),
        ("psnr", "level", "kept", "rounds", "before", "after", "seconds"),
    )  # fmt: skip
    run(rows, args.kinds, args.cases)
    body: list[list[object]] = []
    for kind, case in dict.fromkeys((r["scene"], r["case"]) for r in rows.rows):
        mine = {r["prior"]: r for r in rows.rows if (r["scene"], r["case"]) == (kind, case)}
        one = mine["adapted"]
        body.append([
            kind, case, f"{CASES[case]}", *(f"{float(mine[p]['psnr']):.2f}" for p in ("sar", "adapted", "taught by the truth")),
            *(f"{float(mine[p]['level']):.3f}" for p in ("sar", "adapted", "taught by the truth")),
            f"{one['kept']} of {one['rounds']}", f"{float(one['before']):.4f} -> {float(one['after']):.4f}", f"{float(one['seconds']) / 60:.0f}",
        ])  # fmt: skip
    publish("adapt", "A prior taught by speckled scenes", [
        ("`hqs` on a scene that taught nothing", (
            "scene", "case", "looks", "sar, dB", "adapted, dB", "taught by the truth, dB", "level: sar", "adapted", "by the truth",
            "rounds taken", "score", "CPU minutes",
        ), body),
    ], [
        (f"One scene of {SIDE}x{SIDE} pixels a row; two others teach. PSNR of the amplitude; level: rms error of 10 log10 of the "
        f"intensity. {ROUNDS} rounds at most, {TILES} tiles and {STEPS} steps each, rate {RATE:g}; the prior taught by the truth has "
        f"{ROUNDS * STEPS} steps. Score: see `restorekit.adaptation.predictive`."),
    ])  # fmt: skip


if __name__ == "__main__":
    main()
