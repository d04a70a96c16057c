"""What the settings of `hqs` under speckle, and the weight of speckle with a grain, were chosen by: scenes made of training
pictures, one setting moved at a time around the defaults of `restorekit despeckle`.

python -m benchmarks.remote_sensing.despeckle_tuning [--limit 8]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.remote_sensing.despeckle import ARCHIVE_SEED, LOOKS, amplitude, draws, intensities, seen, speckled
from benchmarks.support.common import RESULTS, archive, centre, grey, publish, training_pictures
from restorekit.despeckling.methods import PosteriorMethod
from restorekit.despeckling.plan import Settings
from restorekit.files.journal import Rows
from restorekit.metrics.fidelity import coverage, psnr
from restorekit.sar.speckle import SWATHS

Array = NDArray[np.floating]
FIRST, LAMBDA, STEPS = 0.3, 0.07, 12  # the defaults
GRIDS: dict[str, tuple[float, ...]] = {
    "lambda": (0.02, 0.04, 0.07, 0.12, 0.23),
    "first": (0.15, 0.3, 0.5, 0.8),
    "steps": (6, 8, 12, 20),
}
TEMPERS = {"hqs": (0.0, 0.25, 0.5, 0.75, 1.0), "sar-dps": (0.5, 0.75, 1.0)}
GRAIN, SAMPLES = "iw2", 4  # of sar-dps


def scenes(limit: int) -> list[tuple[str, Array]]:
    tiles = archive("eurosat64-train.zip", limit, seed=ARCHIVE_SEED)
    pictures = [(n, centre(x, 128)) for n, x in training_pictures(max(2, limit // 2))]
    return intensities(grey([*tiles, *pictures]))


def moved(setting: str, value: float, looks: int) -> Settings:
    at = {"first": FIRST, "lambda": LAMBDA, "steps": STEPS} | {setting: value}
    text = f"hqs:first={at['first']:g},lambda={at['lambda']:g}"
    return Settings(
        solver=text, steps=int(at["steps"]), samples=1, looks=float(looks), decorrelate="none", domain="intensity"
    )


def independent(rows: Rows, pictures: list[tuple[str, Array]]) -> None:
    for looks in LOOKS:
        for name, x in pictures:
            y = speckled(x, looks, name)
            for setting, values in GRIDS.items():
                for value in values:
                    if not rows.has("hqs", "independent", looks, name, setting, f"{value:g}"):
                        out = draws(y, moved(setting, value, looks))[0]
                        rows.add(
                            "hqs",
                            "independent",
                            looks,
                            name,
                            setting,
                            f"{value:g}",
                            psnr(amplitude(out), amplitude(x)),
                            math.nan,
                        )
        print("independent", looks, flush=True)


def correlated(rows: Rows, pictures: list[tuple[str, Array]], solver: str, grains: Sequence[str]) -> None:
    samples = 1 if solver == "hqs" else SAMPLES
    for grain in grains:
        for looks in LOOKS:
            for name, x in pictures:
                y = speckled(x, looks, name, grain)
                block, method = seen(
                    y, Settings(solver=solver, samples=samples, looks=float(looks), domain="intensity")
                )
                assert isinstance(method, PosteriorMethod)
                for value in TEMPERS[solver]:
                    if not rows.has(solver, grain, looks, name, "temper", f"{value:g}"):
                        out = replace(method, temper=value)(block)
                        held = coverage(np.log(out)[:, None], np.log(x)[None]) if samples > 1 else math.nan
                        mean = amplitude(out.mean(0))
                        rows.add(solver, grain, looks, name, "temper", f"{value:g}", psnr(mean, amplitude(x)), held)
            print(solver, grain, looks, flush=True)


def lines(rows: Rows, solver: str, grain: str, settings: dict[str, tuple[float, ...]]) -> Iterator[list[object]]:
    for setting, values in settings.items():
        for value in values:
            key = {"solver": solver, "grain": grain, "setting": setting, "value": f"{value:g}"}
            mine = [r for r in rows.rows if key.items() <= r.items()]
            of = [[r for r in mine if r["looks"] == str(n)] for n in LOOKS]
            cells = [f"{np.mean([float(r['psnr']) for r in some]):.2f}" for some in of]
            if solver != "hqs":
                cells = [
                    f"{c} ({np.mean([float(r['coverage']) for r in some]):.2f})"
                    for c, some in zip(cells, of, strict=True)
                ]
            yield [setting, f"{value:g}", *cells]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=8, help="EuroSAT tiles; half as many natural pictures")
    args = parser.parse_args()
    pictures = scenes(args.limit)
    larger = [p for p in pictures if p[1].shape[0] > 64]
    keys = ("solver", "grain", "looks", "picture", "setting", "value")
    rows = Rows(RESULTS / "despeckle_tuning_rows.csv", keys, ("psnr", "coverage"))
    independent(rows, pictures)
    correlated(rows, larger, "hqs", tuple(SWATHS))
    correlated(rows, larger, "sar-dps", (GRAIN,))
    header = ("setting", "value", *(f"{n} look{'s' * (n > 1)}" for n in LOOKS))
    tables = [("hqs, independent speckle", header, list(lines(rows, "hqs", "independent", GRIDS)))]
    tables += [
        (f"{solver}, speckle with the grain of {g}", header, list(lines(rows, solver, g, {"temper": TEMPERS[solver]})))
        for solver, grains in (("hqs", tuple(SWATHS)), ("sar-dps", (GRAIN,)))
        for g in grains
    ]
    note = (
        f"Mean PSNR in dB of the amplitude on {len(pictures)} scenes made of training pictures (with a grain: the "
        f"{len(larger)} larger of them); one setting moved at a time around first {FIRST:g}, lambda {LAMBDA:g}, {STEPS} steps. "
        "temper: the likelihood to the power kappa^(-temper), kappa the sum of the correlations, as measured. These pictures "
        "are rough everywhere, and less than the default is best: that, 3/4, is what gives nearly "
        "the ratio the variance of speckle on real scenes (benchmarks/remote_sensing/sentinel.py). Of sar-dps the "
        f"mean of {SAMPLES} samples and, in brackets, the share of the pixels in their 90 % intervals."
    )
    publish("despeckle_tuning", "Settings of despeckling", tables, [note])


if __name__ == "__main__":
    main()
