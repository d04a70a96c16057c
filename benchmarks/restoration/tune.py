"""The settings behind the package's defaults (`restorekit/tasks/defaults.py`): `restorekit tune` on TRAINING pictures.

One answer is judged by PSNR, samples by the ranked probability score of four. Every restoration is a row in
results/tune_rows.csv as soon as it exists; a killed run goes on where it stopped.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import torch

from benchmarks.support.common import RESULTS, centre, kernels, load_labelled, publish, training_pictures
from restorekit.bench.search import SIGN, CandidateScores, Score, Trial, Tuning, clear_gain, rows_of, with_ranges
from restorekit.inference.problem import Problem
from restorekit.operators import blur
from restorekit.text.degradation import Degradation
from restorekit.text.names import noise_of


@dataclass(frozen=True)
class Search:
    """A family of settings for a task: `solver` over what it calls tunable, at each number of steps."""

    task: str
    solver: str
    steps: tuple[int, ...]
    score: Score


TASKS = {  # operator and noise
    "denoise": ("denoise", "gaussian:0.1"),
    "blur": ("levin", "gaussian:0.01"),  # the motion kernels of Levin et al. in turn
    "average": ("average:factor=4", "gaussian:0.01"),
    "inpaint": ("inpaint:mask=random:0.2", "gaussian:0.01"),
    "box": ("inpaint:mask=box:0.25", "gaussian:0.01"),
    "grey": ("grey", "gaussian:0.01"),
}
ANSWERS = {  # what the command does by default, and whether another weight or number of steps is better
    "denoise": ("hqs", (1, 8)),
    "blur": ("hqs:first=0.5", (8, 16)),
    "average": ("hqs:first=0.5", (16, 8)),
    "inpaint": ("hqs:first=0.3", (30, 16)),
    "box": ("hqs:first=0.3", (30, 16)),
    "grey": ("hqs:first=1", (8, 16)),
}
DRAWS = (("diffpir", (20,)), ("ddrm", (20,)), ("pigdm", (13,)), ("mmps:iterations=3", (13, 8)), ("dps", (50,)))
NO_SVD = ("diffpir", "pigdm", "mmps:iterations=3", "dps")  # what takes a lopsided kernel


def searches(task: str) -> list[Search]:
    own = [Search(task, solver, steps, "crps") for solver, steps in DRAWS if task != "blur" or solver in NO_SVD]
    return [Search(task, *ANSWERS[task], "psnr"), Search(task, "hqs", ANSWERS[task][1], "psnr"), *own]


def trials(task: str, count: int, side: int) -> list[Trial]:
    op, noise = TASKS[task]
    made = []
    for i, (name, x) in enumerate(training_pictures(count)):
        truth = centre(x, side, 4)
        shape: tuple[int, int, int] = truth.shape  # type: ignore[assignment]
        if op == "levin":
            own, law = blur(shape, torch.from_numpy(kernels()[i % 8][1]), "reflect"), noise_of(noise)
            y = law.sample(own(torch.from_numpy(truth)[None]), torch.Generator().manual_seed(i))
            made.append(Trial(name, truth, Problem(y, own, law)))
        else:
            made.append(Trial(name, truth, Degradation(op, noise).measure(truth, name, 0)))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", default="natural-fast", help="shipped name or checkpoint")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--only", nargs="*", help="solvers; default: all")
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--budget", type=int, default=16, help="restorations per solver and task")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    label, prior = load_labelled(args.prior)
    tables = []
    for task in args.tasks:
        print(task, flush=True)
        measured = trials(task, args.pictures, args.crop)
        body: dict[Score, list[tuple[float, tuple[object, ...]]]] = {"psnr": [], "crps": []}
        for search in searches(task):
            if args.only and search.solver.partition(":")[0] not in args.only:
                continue
            samples = 4 if search.score == "crps" else 1
            plain = Tuning(search.solver, search.steps, {}, args.budget, samples, search.score)
            tuning = with_ranges(plain, [])
            rows = rows_of(RESULTS / "tune_rows.csv")
            key = f"{task} {' '.join(TASKS[task])} {label} crop {args.crop}"
            found = tuning(measured, prior, rows, key, lambda line: print(line, flush=True))
            body[search.score] += [_line(f, f is found[0] and clear_gain(found, tuning)) for f in _last(found)]
        for score, lines in body.items():
            ordered = [line for _, line in sorted(lines, key=lambda v: -SIGN[score] * v[0])]
            if ordered:
                caption = f"{task}, {'one answer' if score == 'psnr' else 'samples'}"
                tables.append(
                    (caption, ("settings", "steps", "calls", score, "clearly better than its start"), ordered)
                )
    notes = [
        f"Prior {label}; {args.pictures} training pictures, crops of {args.crop} pixels; {args.budget} restorations per solver.",
        "Successive halving (`restorekit tune`): listed is what was run on all pictures.",
        "PSNR in dB of one answer; crps: ranked probability score of four samples, in hundredths of white, lower is better.",
    ]
    publish("tune", "Solver settings, tuned on training pictures", tables, notes)


def _last(found: list[CandidateScores]) -> list[CandidateScores]:
    return [f for f in found if len(f.scores) == len(found[0].scores)]


def _line(f: CandidateScores, clear: bool) -> tuple[float, tuple[object, ...]]:
    shown = f.mean() if f.mean() > 1 else 100 * f.mean()
    return f.mean(), (f.settings, f.steps, f.nfe, shown, "yes" if clear else "")


if __name__ == "__main__":
    main()
