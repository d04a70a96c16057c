"""Coverage and width of calibrated intervals where the posterior is known: pictures drawn from a Gaussian prior.

python -m benchmarks.restoration.coverage_exact             # five minutes
python -m benchmarks.restoration.coverage_exact --task grey@gaussian:0.02     # its rows alone; the others stay as they were kept

Half of the pictures calibrate, the others judge, as in coverage.py; widths are divided by those of the exact posterior, to
which nothing but few samples and few pictures are added if the sampler is right.
"""

from __future__ import annotations

import argparse
import csv

import numpy as np
import torch

from benchmarks.support.common import RESULTS, publish
from restorekit.inference.driver import restore
from restorekit.operators.base import LinearOperator
from restorekit.priors.analytic import GaussianPrior
from restorekit.tasks.calibration_rows import LEVEL
from restorekit.tasks.calibration_table import judge
from restorekit.text.degradation import Degradation
from restorekit.text.names import solver_of
from restorekit.uncertainty.calibration import Conditions, Entry
from restorekit.uncertainty.conformal import Scores
from restorekit.uncertainty.interval import LOCAL, ratios, student

TASKS = (
    "denoise@gaussian:0.01", "denoise@gaussian:0.05", "denoise@gaussian:0.1", "inpaint:mask=random:0.5@gaussian:0.02",
    "blur:kernel=gaussian:1.6@gaussian:0.02", "average:factor=2@gaussian:0.02", "grey@gaussian:0.02",
)  # fmt: skip
COUNTS = (8, 4, 2)
MORE = {"grey": (16,)}  # one unknown of a whole picture, which neighbours do not tell
HEADER = (
    "task",
    "noise",
    "samples",
    "calibrating",
    "factor",
    "judging",
    "coverage",
    "width / exact",
    "of few samples alone",
)
SHAPE = (3, 16, 16)
NORMAL = 1.6448536269514722  # half the width of an interval of 90 %, in deviations
parser = argparse.ArgumentParser()
parser.add_argument("--task", action="append", help="operator@noise; again for more; default: all")
parser.add_argument("--pictures", type=int, default=54, help="of each half")


def lines(task: Degradation, known: GaussianPrior, truths: torch.Tensor, counts: tuple[int, ...]) -> list[list[object]]:
    """Lines with HEADER, one for each number of samples."""
    scores: dict[int, list[dict[str, str]]] = {k: [] for k in counts}
    exact = 0.0
    for i, x in enumerate(truths.float().numpy()):
        problem = task.measure(x, f"{i}", 0)
        samples = restore(problem, known, solver_of("mmps"), samples=max(counts), seed=i).samples.numpy()
        if i == 0:  # of a Gaussian posterior the covariance does not depend on y
            assert isinstance(problem.operator, LinearOperator)
            double = GaussianPrior(known.mean.double(), known.variances.double())
            _, c = double.posterior(problem.operator, problem.y.double(), float(task.law.sigma))  # type: ignore[attr-defined]
            exact = float(2 * NORMAL * c.diagonal().clamp(min=0).sqrt().mean())
        for k in counts:
            found = Scores.of(ratios(x, samples[:k], LOCAL))
            spread = float(LOCAL(samples[:k]).mean())
            scores[k].append({"samples": str(k), "spread": str(spread), "plain": "nan", "scores": found.text})
    made = []
    for k, rows in scores.items():
        conditions = Conditions(task=task.op, noise=task.noise, dtype="float32", samples=k)
        entry = Entry.of(conditions, LOCAL, "drawn", [Scores.read(r["scores"]) for r in rows[::2]])
        j = judge(rows[1::2], entry.ratio(LEVEL))
        few = student(LEVEL, k) * (1 + 1 / k) ** 0.5 / NORMAL
        made.append([task.op, task.noise, k, entry.pictures, f"{entry.factor(LEVEL):.3f}", j.pictures,
                     f"{j.coverage:.3f} ± {j.error:.3f}", f"{j.width / exact:.2f}", f"{few:.2f}"])  # fmt: skip
    return made


def kept(without: list[Degradation]) -> list[list[object]]:
    """Lines with HEADER of other tasks, as they were measured before."""
    path, again = RESULTS / "coverage_exact.csv", {(task.op, task.noise) for task in without}
    with path.open(encoding="utf-8", newline="") as f:
        rows = [row for row in csv.DictReader(f) if (row["task"], row["noise"]) not in again]
    return [[row[name] for name in HEADER] for row in rows]


def main() -> None:
    options = parser.parse_args()
    torch.set_num_threads(1)
    prior = GaussianPrior.smooth(SHAPE, std=0.2)
    truths = prior.sample(2 * options.pictures, torch.Generator().manual_seed(0))
    known = GaussianPrior(prior.mean.float(), prior.variances.float())
    tasks = [Degradation.of(text) for text in options.task or TASKS]
    found = [line for task in tasks for line in lines(task, known, truths, MORE.get(task.op, ()) + COUNTS)]
    found += kept(tasks)
    found.sort(key=lambda line: -float(np.asarray(line[7], float)))
    what = (
        f"Pictures {'x'.join(map(str, SHAPE))} drawn from a smooth Gaussian prior of deviation 0.2, measured as files of floats, mmps as it "
        f"is. Width: mean over pixels, over that of the exact intervals of {LEVEL:.0%}; the last column is what Student's t adds for so few "
        "samples, a pixel by itself. Worst row first."
    )
    publish("coverage_exact", "Width of calibrated intervals beside the exact posterior", [("", HEADER, found)], [what])


if __name__ == "__main__":
    main()
