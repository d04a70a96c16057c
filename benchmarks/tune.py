"""Which solver settings restore best, per task, on a few TRAINING pictures; the package's defaults come from here.

`--grid` names a family of settings below, or give solvers by hand: `--solver "diffpir:steps=20,zeta=0.1"`.
"""

from __future__ import annotations

import argparse
import time
from itertools import product

import numpy as np
import torch
from common import RESULTS, centre, load_labelled, publish, training_pictures
from tasks import TASKS, Case, cases, run_solver, solver_of

from restorekit.bench.rows import Rows
from restorekit.metrics import psnr, ssim
from restorekit.types import Denoiser


def hqs() -> list[str]:
    grid = product((0.1, 0.23, 0.5, 1.0), (0.2, 1.0), (8, 24))
    return [f"hqs:steps={n},lambda_={lam},first={first}" for lam, first, n in grid]


def hqs_holes() -> list[str]:
    grid = product((0.23, 1.0), (0.5, 2.0, 10.0), (12, 30))
    return [f"hqs:steps={n},lambda_={lam},first={first}" for lam, first, n in grid]


def diffpir() -> list[str]:
    grid = product((0.25, 1.0, 4.0), (0.0, 0.3, 1.0), (1.0, 10.0), (20,))
    return [f"diffpir:steps={n},lambda_={lam},zeta={zeta},first={first}" for lam, zeta, first, n in grid]


def spectral() -> list[str]:
    samplers = [
        f"{name}:steps={n},eta={eta}" for name in ("ddrm", "ddnm+") for n in (20, 50) for eta in (0.0, 0.5, 0.85, None)
    ]
    return [*samplers, "ddnm+:steps=10,eta=0.85,travel=5x3", "ddnm:steps=50"]


def dps() -> list[str]:
    return [f"dps:steps={n}" for n in (50, 200)] + [f"dps:steps=100,step=paper,scale={s}" for s in (0.5, 1.0)]


GRIDS = {"hqs": hqs, "hqs-holes": hqs_holes, "diffpir": diffpir, "spectral": spectral, "dps": dps}


def measure(rows: Rows, label: str, prior: Denoiser, trials: list[tuple[str, Case]], text: str) -> None:
    task = trials[0][1].task
    if rows.has(label, task, text):
        return
    scores, began, nfe = [], time.perf_counter(), 0
    for _, case in trials:
        result = run_solver(case, prior, solver_of(text))
        if result is None:
            return
        x, nfe = result.mean.numpy().clip(0, 1), result.nfe
        scores.append((psnr(x, case.truth), ssim(x, case.truth)))
    seconds = (time.perf_counter() - began) / len(trials)
    rows.add(label, task, text, len(trials), *map(float, np.mean(scores, 0)), nfe, seconds)
    print(f"{task:12} {text:50} {np.mean(scores, 0)[0]:.2f} dB, {nfe} calls, {seconds:.1f} s", flush=True)


def report(rows: Rows, label: str, note: str) -> None:
    tables = []
    for task in TASKS:
        mine = [r for r in rows.rows if r["task"] == task and r["prior"] == label]
        order = sorted(mine, key=lambda r: -float(r["psnr"]))
        body = [(r["settings"], float(r["psnr"]), float(r["ssim"]), int(r["nfe"])) for r in order]
        if body:
            tables.append((task, ("settings", "PSNR", "SSIM", "calls"), body))
    notes = [
        f"Prior {label}. First crops of natural128-train.zip at 128x128; PSNR of the result clipped to [0, 1]."
    ] + [note] * bool(note)
    publish("tune", "Solver settings, tuned on training pictures", tables, notes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", required=True, help="shipped name or checkpoint")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), help="of: " + ", ".join(TASKS))
    parser.add_argument("--grid", nargs="*", default=[], choices=list(GRIDS))
    parser.add_argument(
        "--solver", action="append", default=[], help="name:key=value,...; keys first, last, steps, samples"
    )
    parser.add_argument("--pictures", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--note", default="", help="a line for the report")
    parser.add_argument("--report-only", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    label, prior = load_labelled(args.prior)
    rows = Rows(
        RESULTS / "tune_rows.csv", ("prior", "task", "settings"), ("pictures", "psnr", "ssim", "nfe", "seconds")
    )
    if not args.report_only:
        pictures = [(name, centre(x, 128)) for name, x in training_pictures(args.pictures)]
        texts = [text for grid in args.grid for text in GRIDS[grid]()] + args.solver
        for task in args.tasks:
            trials = cases(task, pictures)
            for text in texts:
                measure(rows, label, prior, trials, text)
        rows.reload()
    report(rows, label, args.note)


if __name__ == "__main__":
    main()
