"""What the settings of `hqs` under speckle, and the weight of correlated speckle, were chosen by: scenes made of training
pictures, one setting moved at a time around the defaults of `restorekit despeckle`.

python benchmarks/despeckle_tuning.py [--limit 8]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from common import RESULTS, archive, centre, grey, publish, training_pictures
from despeckle import ARCHIVE_SEED, LOOKS, amplitude, draws, intensities, seen, speckled
from numpy.typing import NDArray

from restorekit.bench.rows import Rows
from restorekit.metrics import psnr
from restorekit.sar.speckle import SWATHS
from restorekit.scenes.despeckle import Settings
from restorekit.scenes.methods import Diffusion

Array = NDArray[np.floating]
FIRST, LAMBDA, STEPS, TEMPER = 0.3, 0.07, 12, 0.5  # the defaults
GRIDS: dict[str, tuple[float, ...]] = {
    "lambda": (0.02, 0.04, 0.07, 0.12, 0.23),
    "first": (0.15, 0.3, 0.5, 0.8),
    "steps": (6, 8, 12, 20),
}
TEMPERS = (0.0, 0.25, 0.5, 0.75, 1.0)


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
                    if not rows.has("independent", looks, name, setting, value):
                        out = draws(y, moved(setting, value, looks))[0]
                        rows.add("independent", looks, name, setting, value, psnr(amplitude(out), amplitude(x)))
        print("independent", looks, flush=True)


def tempered(y: Array, looks: int) -> Iterator[tuple[float, Array]]:
    """(temper, intensities)"""
    block, method = seen(y, Settings(solver="hqs", samples=1, looks=float(looks), domain="intensity"))
    assert isinstance(method, Diffusion)
    for value in TEMPERS:
        yield value, replace(method, temper=value)(block)[0]


def correlated(rows: Rows, pictures: list[tuple[str, Array]]) -> None:
    for grain in SWATHS:
        for looks in LOOKS:
            for name, x in pictures:
                if not all(rows.has(grain, looks, name, "temper", v) for v in TEMPERS):
                    for value, out in tempered(speckled(x, looks, name, grain), looks):
                        rows.add(grain, looks, name, "temper", value, psnr(amplitude(out), amplitude(x)))
            print(grain, looks, flush=True)


def lines(rows: Rows, grain: str, settings: dict[str, tuple[float, ...]]) -> Iterator[list[object]]:
    for setting, values in settings.items():
        for value in values:
            mine = [
                r for r in rows.rows if (r["grain"], r["setting"], r["value"]) == (grain, setting, str(value))
            ]  # fmt: skip
            by_looks = [np.mean([float(r["psnr"]) for r in mine if r["looks"] == str(n)]) for n in LOOKS]
            yield [setting, f"{value:g}", *(f"{p:.2f}" for p in by_looks)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=8, help="EuroSAT tiles; half as many natural pictures")
    args = parser.parse_args()
    pictures = scenes(args.limit)
    keys = ("grain", "looks", "picture", "setting", "value")
    rows = Rows(RESULTS / "despeckle_tuning_rows.csv", keys, ("psnr",))
    independent(rows, pictures)
    correlated(rows, [p for p in pictures if p[1].shape[0] > 64])
    header = ("setting", "value", *(f"{n} look{'s' * (n > 1)}" for n in LOOKS))
    tables = [("Independent speckle", header, list(lines(rows, "independent", GRIDS)))]
    tables += [(f"Speckle with the grain of {g}", header, list(lines(rows, g, {"temper": TEMPERS}))) for g in SWATHS]
    note = (
        f"Mean PSNR in dB of the amplitude on {len(pictures)} scenes made of training pictures (with a grain: the larger "
        f"of them); one setting moved at a time around first {FIRST:g}, lambda {LAMBDA:g}, {STEPS} steps, and, with a "
        f"grain, temper {TEMPER:g}: the likelihood to the power kappa^(-temper), kappa the sum of the correlations, as measured."
    )
    publish("despeckle_tuning", "Settings of hqs under speckle", tables, [note])


if __name__ == "__main__":
    main()
