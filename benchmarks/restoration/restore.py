"""Restoration of measurements: every applicable solver against scikit-image, on the classic test pictures.

Each result is a row in results/restore_rows.csv as soon as it exists; a killed run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from benchmarks.support.classical import bm3d, classical, methods, tuned
from benchmarks.support.common import RESULTS, centre, load_labelled, picture_set, publish
from benchmarks.support.tasks import TASKS, Case, cases, run_solver, solver_of
from restorekit.files.journal import Rows
from restorekit.inference.denoiser import Denoiser
from restorekit.metrics.fidelity import psnr, ssim
from restorekit.solvers import SOLVERS
from restorekit.tasks.defaults import TASKS as CHOICES

SETS = ("kodak", "set5", "urban")


OPERATION = {"denoise": "denoise", "deblur": "blur", "upscale4": "average", "inpaint80": "inpaint", "box": "inpaint", "colorize": "grey"}  # fmt: skip


def defaults(task: str) -> tuple[str, str]:
    """What the command does with a task: for one answer, and for a sample."""
    chosen = CHOICES[OPERATION[task.partition("-")[0]]]
    pairs = ((chosen.solver, chosen.steps), (chosen.sampler, chosen.sampler_steps))
    one, sample = (f"{text}{',' if ':' in text else ':'}steps={steps}" for text, steps in pairs)
    return one, sample


def pictures(sets: list[str], limit: int | None, crop: int | None) -> list[tuple[str, np.ndarray]]:
    """`limit` counts per set; sides are cut to multiples of 8, as the x4 task needs."""
    return [(f"{s}/{n}", centre(x, crop, 8)) for s in sets for n, x in picture_set(s, limit)]


def measure(
    rows: Rows, trial: str, case: Case, size: str, solvers: list[str], prior: Denoiser, label: str, with_bm3d: bool
) -> None:
    def add(method: str, who: str, x: np.ndarray, nfe: int, seconds: float) -> None:
        x = x.clip(0, 1)
        rows.add(case.task, trial, size, method, who, psnr(x, case.truth), ssim(x, case.truth), nfe, seconds)

    compared = [*methods(case.task), *(["bm3d"] if with_bm3d and case.task.startswith("denoise") else [])]
    for method in compared:
        if not rows.has(case.task, trial, size, method, "-"):
            if method != "bm3d":
                tuned(case.task, method)  # before the clock starts
            began = time.perf_counter()
            x = bm3d(case.y, case.sigma) if method == "bm3d" else classical(case, method)
            add(method, "-", x, 0, time.perf_counter() - began)
    for text in solvers:
        if not rows.has(case.task, trial, size, text, label):
            result = run_solver(case, prior, solver_of(text))
            if result is not None:
                add(text, label, result.mean.numpy(), result.nfe, result.seconds)


def report(rows: Rows, prior_name: str) -> None:
    tables = []
    unique = {tuple(r[k] for k in rows.keys): r for r in rows.rows}  # two processes may have met
    for task in TASKS:
        mine = [r for r in unique.values() if r["task"] == task]
        one, sample = defaults(task)
        roles = {one: "one answer", sample: "one sample"}
        best = [r for r in mine if r["method"] == one and r["prior"].partition("@")[0] == prior_name]
        reference = {(r["picture"], r["size"]): float(r["psnr"]) for r in best}
        groups = sorted({(r["size"], r["method"], r["prior"]) for r in mine})
        body: list[tuple[object, ...]] = []
        for size, method, prior in groups:
            part = [r for r in mine if (r["size"], r["method"], r["prior"]) == (size, method, prior)]
            mean = {k: float(np.mean([float(r[k]) for r in part])) for k in ("psnr", "ssim", "seconds")}
            keys = [(r["picture"], r["size"]) for r in part]
            gaps = [float(r["psnr"]) - reference[k] for r, k in zip(part, keys) if k in reference]
            gap = float(np.mean(gaps)) if gaps else float("nan")
            line = (method, roles.get(method, ""), prior, size, mean["psnr"], mean["ssim"], gap)
            body.append((*line, int(part[0]["nfe"]), mean["seconds"], len(part)))
        if body:
            body.sort(key=lambda line: (str(line[3]), -float(line[6])))  # type: ignore[arg-type]
            header = ("method", "default for", "prior", "crop", "PSNR", "SSIM", "dB to the default", "calls", "seconds",
                      "measurements")  # fmt: skip
            tables.append((f"{task}, sigma_y {TASKS[task]}", header, body))
    notes = [
        "Means over the measurements; results clipped to [0, 1]; one sample unless `samples` is given.",
        "dB to the default: mean difference of PSNR to the default for one answer with that prior, on the same measurements.",
        "Classical methods: settings tuned on training pictures, see results/classical.json.",
        "Wiener and Richardson-Lucy get the true kernel and a mirrored margin.",
        "Seconds: with the machine's other load at that time.",
    ]
    publish("restore", "Restoration", tables, notes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", required=True, help="shipped name or checkpoint")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), help="of: " + ", ".join(TASKS))
    parser.add_argument(
        "--solvers", nargs="*", default=list(SOLVERS), help="names: with the package's default settings"
    )
    parser.add_argument(
        "--set", action="append", default=[], dest="extra", help='for example "diffpir:steps=20,zeta=1.0"'
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--limit", type=int, help="pictures per set")
    parser.add_argument("--crop", type=int, help="centre crops of at most this side")
    parser.add_argument("--kernels", type=int, default=1, help="motion kernels per picture, going through all eight")
    parser.add_argument("--every", type=int, default=1, help="only each n-th measurement, for slow solvers")
    parser.add_argument("--bm3d", action="store_true", help="BM3D too for denoising (slow)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-defaults", action="store_true", help="leave out what the command line does by default")
    parser.add_argument("--report-only", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keys = ("task", "picture", "size", "method", "prior")
    rows = Rows(RESULTS / "restore_rows.csv", keys, ("psnr", "ssim", "nfe", "seconds"))
    if not args.report_only:
        label, prior = load_labelled(args.prior)
        chosen = pictures(args.sets, args.limit, args.crop)
        for task in args.tasks:
            for trial, case in cases(task, chosen, args.kernels)[:: args.every]:
                texts = [*([] if args.no_defaults else defaults(task)), *args.solvers, *args.extra]
                measure(rows, trial, case, str(args.crop or "full"), texts, prior, label, args.bm3d)
            rows.reload()
            print(f"{task}: done", flush=True)
    report(rows, args.prior)


if __name__ == "__main__":
    main()
