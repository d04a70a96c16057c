"""How often OUT_low and OUT_high of pictures hold the truth, and the calibrations that are shipped.

python -m benchmarks.restoration.coverage                                    # natural-fast; needs $RESTOREKIT_DATA; a stopped run goes on
python -m benchmarks.restoration.coverage --prior natural --data eurosat64-test.zip
python -m benchmarks.restoration.coverage --crop 96 --half judge             # larger crops, which only judge
python -m benchmarks.restoration.coverage --table                            # of the rows there are; also writes the shipped calibration

By name, pictures at even positions calibrate and those at odd ones judge, here as in `restorekit calibrate`, which draws by
the same code. The shipped calibrations are those of crops of 64x64 of photos256-test; larger crops and other pictures only
judge them. Rows are kept in coverage_rows.csv.xz; a run unpacks it to runs/coverage_rows.csv, and `--table` packs that again.
"""

from __future__ import annotations

import argparse
import copy
import csv
import io
import lzma
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import restorekit
from benchmarks.support.common import DATA, RESULTS, publish
from restorekit.files.journal import Rows
from restorekit.inference.censored import Censored
from restorekit.priors.find import load_prior
from restorekit.scenes.process_memory import keep_freed_memory
from restorekit.tasks.calibration_rows import HALVES, KEYS, LEVEL, VALUES, Drawn, SplitPictures, missing, rows_of, run
from restorekit.tasks.calibration_table import HEADER, chosen, entries, file_text, judge, table
from restorekit.text.degradation import Degradation
from restorekit.text.names import solver_of
from restorekit.uncertainty.calibration import WHITE_LEFT_OUT, Calibration, Entry, beside
from restorekit.uncertainty.conformal import Scores

PHOTOS = "photos256-test.zip"
CALIBRATING = f"{PHOTOS} crop 64"
KEPT = RESULTS / "coverage_rows.csv.xz"
WORKING = Path("runs") / "coverage_rows.csv"
FILES = (  # types, curves, how clipped values are taken
    ("uint8", "linear", "censored"), ("uint8", "linear", "measured"), ("uint8", "srgb", WHITE_LEFT_OUT),
    ("uint16", "linear", "measured"), ("float32", "linear", "measured"),
)  # fmt: skip
TASKS = (
    "denoise@gaussian:0.05", "denoise@gaussian:0.01", "denoise@gaussian:0.1", "inpaint:mask=random:0.5@gaussian:0.02",
    "inpaint:mask=random:0.5@gaussian:0.01", "blur:kernel=gaussian:1.6@gaussian:0.02", "denoise@gaussian:0.02",
    "average:factor=2@gaussian:0.02", "average:factor=2@gaussian:0.01", "average:factor=4@gaussian:0.01", "grey@gaussian:0.02",
    "grey@gaussian:0.01", "resize:factor=2,filter=bicubic,like=auto@gaussian:0.002", "resize:factor=4,filter=bicubic,like=auto@gaussian:0.002",
)  # fmt: skip
OTHER = (
    "task", "noise", "file", "pictures", "samples", "judging", "coverage", "dark to bright", "smooth to rough",
    "elsewhere, near black or white", "width",
)  # fmt: skip
parser = argparse.ArgumentParser()
parser.add_argument("--prior", default="natural-fast")
parser.add_argument("--data", default=PHOTOS, help="a zip or folder in $RESTOREKIT_DATA")
parser.add_argument("--task", action="append", help="operator@noise; again for more; default: all")
parser.add_argument("--pictures", type=int, help="of each half")
parser.add_argument(
    "--half", choices=HALVES, help="only this one, as crops of another size than those that calibrate only judge"
)
parser.add_argument("--dtype", default="uint8")
parser.add_argument("--transfer", default="linear")
parser.add_argument("--clipped", default="censored")
parser.add_argument("--samples", type=int, default=8)
parser.add_argument("--crop", type=int, default=64)
parser.add_argument("--exposure", type=float, default=1.0, help="times as much light, which only judges")
parser.add_argument("--precision", default="auto")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--table", action="store_true", help="draw nothing")


def elsewhere(drawn: Drawn, tasks: list[Degradation], rows: Rows, own: list[Entry]) -> list[list[object]]:
    """Lines with OTHER: intervals calibrated on photographs, on the judging half of other pictures."""
    lines: list[list[object]] = []
    for task in tasks:
        entry = next((e for e in own if e.conditions == drawn.conditions(task, drawn.samples)), None)
        found = chosen(rows.rows, "judge", **rows.known(drawn.columns(task, drawn.samples)))
        for data in sorted({row["data"] for row in found} - {entry.data if entry else ""}):
            some = [row for row in found if row["data"] == data]
            if entry is None or np.isnan(entry.ratios[0]) or len(some) < 2:
                continue
            j = judge(some, entry.ratio(LEVEL))
            held = f"{j.coverage:.3f} ± {j.error:.3f}"
            parts = (
                " ".join("-" if np.isnan(v) else f"{v:.2f}" for v in values) for values in (j.bright, j.rough, j.limits)
            )
            file = file_text(drawn.dtype, drawn.transfer, drawn.clipped)
            lines.append([task.op, task.noise, file, data, drawn.samples, j.pictures, held, *parts, f"{j.width:.3f}"])
    return lines


def _rows(text: str) -> list[dict[str, str]]:
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    older = {"linear": "measured"}
    return [{"power": "1", "clipped": older.get(row["transfer"], WHITE_LEFT_OUT)} | row for row in rows]


def unpacked() -> Rows:
    """Return the rows that are kept and those drawn since, of which `WORKING` may be of an older checkout."""
    kept = _rows(lzma.decompress(KEPT.read_bytes()).decode())
    drawn = _rows(WORKING.read_text()) if WORKING.exists() else kept
    if drawn is kept or not {"power", "clipped"} <= set(WORKING.read_text().partition("\n")[0].split(",")):
        WORKING.parent.mkdir(exist_ok=True)
        with WORKING.open("w", newline="") as file:
            table = csv.DictWriter(file, [name for name in (*KEYS, *VALUES) if name in drawn[0]], lineterminator="\n")
            table.writeheader()
            table.writerows(drawn)
    rows = rows_of(WORKING)
    for row in kept:
        texts = [row.get(name, "") for name in rows.fields]
        if not rows.has(*texts[: len(rows.keys)]):
            rows.add(*texts)
    return rows


def packed(rows: Rows) -> bytes:
    """Return the table as it is kept, rows of one picture and task together, their scores as short as they can be."""
    text, fields = io.StringIO(newline=""), [name for name in rows.fields if name not in rows.lacking]
    table = csv.DictWriter(text, fields, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for row in sorted(rows.rows, key=lambda row: [row[k] for k in ("prior", "data", "task", "noise", "picture")]):
        table.writerow(row | {"scores": Scores.read(row["scores"]).text})
    return lzma.compress(text.getvalue().encode(), preset=9 | lzma.PRESET_EXTREME)


def reuse(drawn: Drawn, tasks: list[Degradation], held: SplitPictures, limit: int | None, rows: Rows) -> None:
    """Add the rows of pictures of which no value is clipped: it makes no difference how such values are taken."""
    older = replace(drawn, clipped="measured" if drawn.transfer == "linear" else WHITE_LEFT_OUT)
    known = {tuple(row[k] for k in rows.keys if k not in rows.lacking): row for row in rows.rows}
    for truth, task in missing(drawn, tasks, held, limit, rows):
        if isinstance(drawn.problem(task, truth).likelihood, Censored):
            continue
        for count in drawn.counts:
            named = dict(zip(rows.keys, older.key(task, held.name, truth, count)))
            row = known.get(tuple(str(named[k]) for k in rows.keys if k not in rows.lacking))
            if row is not None:
                rows.add(*(drawn.clipped if k == "clipped" else row[k] for k in rows.fields))


def main() -> None:
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    prior = load_prior(options.prior, precision=options.precision)
    drawn = Drawn(
        prior=prior,
        solver=solver_of("mmps"),
        samples=options.samples,
        dtype=options.dtype,
        transfer=options.transfer,
        clipped=options.clipped,
    )
    tasks = [Degradation.of(text) for text in options.task or TASKS]
    rows = unpacked()
    if not options.table:
        held = SplitPictures(DATA / options.data, options.crop, options.exposure)
        if drawn.clipped == "censored":
            reuse(drawn, tasks, held, options.pictures, rows)
        run(
            drawn,
            tasks,
            held,
            options.pictures,
            rows,
            lambda i, n: print(f"{i}/{n}", file=sys.stderr, flush=True),
            options.half,
        )
        return
    KEPT.write_bytes(packed(rows))
    tables = []
    for name in sorted({row["prior"].partition("@")[0] for row in rows.rows}):
        prior, own, plain, lines = load_prior(name), [], [], []
        for dtype, transfer, clipped in FILES:
            of = replace(drawn, prior=prior, dtype=dtype, transfer=transfer, clipped=clipped)
            for task in (Degradation.of(t) for t in TASKS):
                part = copy.copy(rows)  # a search of all rows for each number of samples takes minutes
                part.rows = [row for row in rows.rows if (row["task"], row["noise"]) == (task.op, task.noise)]
                by_power = [entries(replace(of, power=power), [task], CALIBRATING, part) for power in (None, 1.0)]
                found = [some for some in by_power if not np.isnan(some[0].ratios[0])]
                if found:  # rows that are older have no power
                    own += found[0]
                    lines += elsewhere(replace(of, power=found[0][0].spread.power), [task], part, found[0])
                if len(found) == 2 and found[0] != found[1]:
                    plain += found[1]
        tables.append((f"{name}: intervals of {LEVEL:.0%}, on the pictures that did not calibrate", HEADER, table(own)))
        if plain:
            tables.append((f"{name}: without a power of the spread", HEADER, table(plain)))
        if lines:
            tables.append((f"{name}: larger crops and pictures of another kind, by the same calibration", OTHER, lines))
        kept, path = [e for e in own if e.judged], beside(prior.path)
        if kept:  # beside what `coverage_cameras` measured
            cameras = [e for e in Calibration.read(path).entries if e.conditions.measured] if path.is_file() else []
            Calibration(name, prior.sha256, (*kept, *cameras), restorekit.__version__).write(path)
    what = (
        f"The middle 64x64 of pictures, or what the table says, measured as files of integers or floats, {options.samples} samples of mmps. "
        "Coverage: mean over pictures ± its standard error. Thirds are of all pixels: of brightness, and of the standard deviation "
        "in 5x5 pixels around. Width: mean, white is 1. Uncalibrated: mean ± t sqrt(1 + 1/K) std of the same samples. With n "
        "pictures that calibrate, what is aimed at is (n + 1)/n times the level, which guarantees the level; see docs/uncertainty.md. "
        "Rows were drawn on several machines, in bf16, and kept; the machine above made the table of them."
    )
    publish("coverage", "Coverage of OUT_low and OUT_high", tables, [what])


if __name__ == "__main__":
    main()
