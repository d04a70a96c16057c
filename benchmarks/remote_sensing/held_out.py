"""Levels of despeckled scenes, from dark to bright, judged by speckle that was held out.

A scene is split into two halves of its looks (`restorekit.sar.splitting`), one is despeckled, and the other says what lies under each
tenth of the result. Beside it the same tenths by the half that was despeckled, which blames whatever follows its own speckle. First on
scenes whose truth is known, EuroSAT under drawn speckle, where the truth says whether the held-out half is right; then on the middle
256x256 of Sentinel-1 tiles and the single-look scene. Nothing is chosen on any of them.

python -m benchmarks.remote_sensing.held_out [--scenes 1]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.remote_sensing.despeckle import intensities
from benchmarks.remote_sensing.sentinel import middle, restored, tiles
from benchmarks.support.common import DATA, RESULTS, archive, grey, publish
from restorekit.despeckling.settings import Settings
from restorekit.files.journal import Rows
from restorekit.sar.level_bias import SIDES, level_bias
from restorekit.sar.looks import measure
from restorekit.sar.quality import Pair
from restorekit.sar.speckle import SWATHS, SpeckleSpectrum, draw, spectrum_of
from restorekit.sar.splitting import split

Array = NDArray[np.floating]
SPECKLE = ((2, None), (8, None), (2, "iw1"), (10, "iw2"))  # looks of the whole, and grain
METHODS = ("hqs", "lee")
SEED = 23  # of the tiles
ALLOWED = 0.15  # dB


class Whole(NamedTuple):
    """Intensities (H, W) of all looks, what is known of their speckle, and the truth where there is one."""

    y: Array
    looks: float
    spectrum: SpeckleSpectrum | None
    truth: Array | None


def drawn(scenes: int) -> Iterator[tuple[str, str, Whole]]:
    parts = [x for _, x in intensities(grey(archive("eurosat64-test.zip", 16 * scenes, seed=SEED)))]
    for k in range(scenes):
        truth = np.block([parts[16 * k + 4 * i : 16 * k + 4 * i + 4] for i in range(4)])
        for looks, grain in SPECKLE:
            spectrum = None if grain is None else SWATHS[grain]
            y = truth * draw(truth.shape, looks, spectrum, np.random.default_rng((SEED, k, looks)))
            yield "known truth", f"{looks} looks, {grain or 'white'}, {k + 1}", Whole(y, looks, spectrum, truth)


def measured() -> Iterator[tuple[str, str, Whole]]:
    found = {name: 10 ** (middle(x).astype(np.float64) / 10) for name, x in tiles().items()}
    found["single look"] = np.load(DATA / "sar" / "singlelook_amplitude.npy").astype(np.float64) ** 2
    for name, y in found.items():
        speckle = measure(y, np.isfinite(y) & (y > 0))
        yield "as they come", name, Whole(y, speckle.looks, spectrum_of(speckle.lag_one), None)


def judged(whole: Whole, method: str) -> Iterator[tuple[str, int, float, list[float], list[float]]]:
    """Yield by whom, the side of the cells, MoR, and biases and errors of the tenths."""
    there = np.isfinite(whole.y) & (whole.y > 0)
    one, other = split(np.where(there, whole.y, 1.0), whole.looks, whole.spectrum, np.random.default_rng(SEED))
    lag_one = (0.0, 0.0) if whole.spectrum is None else whole.spectrum.lag_one
    how = Settings(solver=method, looks=whole.looks / 2, domain="intensity", grain=lag_one)
    _, y, x, signal = restored(np.where(there, one, np.nan).astype(np.float32), how)
    judges = {"held out": other, "its own": y} | ({} if whole.truth is None else {"truth": whole.truth})
    for judge, level in judges.items():
        for side in SIDES:
            if (b := level_bias(level, x, signal, side)) is not None:
                yield judge, side, Pair(level, x, signal).mean_of_ratio, list(b.bias), list(b.error)


def run(rows: Rows, scenes: int) -> None:
    for source in (drawn(scenes), measured()):
        for kind, name, whole in source:
            for method in METHODS:
                if rows.has(kind, name, method, "held out", SIDES[0]):
                    continue
                for judge, side, mor, bias, error in [*judged(whole, method)][
                    ::-1
                ]:  # held out, pixels, comes last: then all is there
                    rows.add(kind, name, method, judge, side, whole.looks, mor, *bias, *error)
                print(kind, name, method, flush=True)


def line(r: dict[str, str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return tuple(np.array([float(r[f"{what}{n}"]) for n in range(1, 11)]) for what in ("bias", "error"))  # type: ignore[return-value]


def worst(r: dict[str, str]) -> tuple[float, int]:
    """(largest bias of a tenth, dB; tenths beyond what is allowed and two standard errors)."""
    bias, error = line(r)
    return float(bias[np.argmax(np.abs(bias))]), int((np.abs(bias) > np.fmax(ALLOWED, 2 * error)).sum())


def tabulated(rows: Rows, kind: str) -> list[list[object]]:
    """The largest bias and how many tenths are beyond, of pixels and of cells, worst first."""
    body: list[tuple[float, list[object]]] = []
    for key in dict.fromkeys((r["scene"], r["method"], r["judge"]) for r in rows.rows if r["kind"] == kind):
        mine = {
            int(r["side"]): r for r in rows.rows if r["kind"] == kind and (r["scene"], r["method"], r["judge"]) == key
        }
        found = {side: worst(mine[side]) if side in mine else (math.nan, 0) for side in SIDES}
        cells = [f"{b:+.2f} ({n})" if math.isfinite(b) else "-" for b, n in found.values()]
        biases, _ = line(mine[1])
        body.append(
            (
                -abs(found[1][0]),
                [*key, f"{float(mine[1]['mor']):.3f}", *cells, f"{biases[0]:+.2f}", f"{biases[-1]:+.2f}"],
            )
        )
    order = {"held out": 0, "truth": 1, "its own": 2}
    return [row for _, row in sorted(body, key=lambda b: (order[str(b[1][2])], str(b[1][1]), b[0]))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=1, help="with known truth")
    args = parser.parse_args()
    tenths = [f"{what}{n}" for what in ("bias", "error") for n in range(1, 11)]
    rows = Rows(RESULTS / "held_out_rows.csv", ("kind", "scene", "method", "judge", "side"), ("looks", "mor", *tenths))
    run(rows, args.scenes)
    head = (
        "scene",
        "method",
        "judged by",
        "MoR",
        *(f"cells of {s}" for s in SIDES),
        "darkest tenth",
        "brightest tenth",
    )
    publish("held_out", "Levels of despeckled scenes, by speckle that was held out", [
        ("Middle 256x256 of Sentinel-1 tiles, and a single-look scene of 350x350", head, tabulated(rows, "as they come")),
        ("EuroSAT under drawn speckle", head, tabulated(rows, "known truth")),
    ], [
        (f"Of one half of the looks restored: 10 lg(mean restored / mean of the judge) of tenths of the cells, sorted by the result, dB; the largest, and in brackets how many of ten "
         f"are beyond {ALLOWED} dB and two standard errors; darkest and brightest are of single pixels. MoR is the mean of judge / restored. Looks and grain of the tiles are measured, those of drawn speckle are stated. "
         "`its own` is the half that was restored: what follows its speckle looks compressed, though nothing is."),
        "Cells of 64 are too few in all of these.",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
