"""What a start from the low stage of a cascade is worth: the same solver and number of levels from the top, from the
relay after the low stage (`--coarse`), and from the top with as much work as that.

Work is in calls of the full size: a call of the low stage counts 1 / factor^2.

python -m benchmarks.restoration.coarse [--limit 6] [--prior mamba-cascade]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.support.common import RESULTS, Pictures, load_labelled, picture_set, publish
from restorekit.files.journal import Rows
from restorekit.inference.driver import restore
from restorekit.inference.problem import Problem
from restorekit.inference.restoration import Restoration
from restorekit.metrics.fidelity import psnr, ssim
from restorekit.priors.find import Prior
from restorekit.tasks.coarse import restore_from_coarse
from restorekit.text.degradation import Degradation
from restorekit.text.names import solver_of

TASKS = (
    "average:factor=4@gaussian:0.01",
    "inpaint:mask=random:0.2:0@gaussian:0.01",
    "blur:kernel=motion:9:30@gaussian:0.02",
)
SOLVERS = (("dps", 60), ("diffpir:first=10", 40))


WAYS = ("whole", "coarse", "whole, as much work")


def solved(problem: Problem, prior: Prior, text: str, steps: int) -> Iterator[tuple[str, float, Restoration, float]]:
    """Way, work, result and seconds of each."""
    cascade, made = prior.cascade, solver_of(text)
    assert cascade is not None
    found = restore_from_coarse(problem, cascade, made, steps=steps, low_steps=steps, seed=0)
    work = found.nfe + found.settings["low_nfe"] / cascade.factor**2
    yield "coarse", work, found, found.seconds
    for way, count in (("whole", steps), ("whole, as much work", round(work))):
        found = restore(problem, prior, made, steps=count, seed=0)
        yield way, found.nfe, found, found.seconds


def measure(rows: Rows, prior: Prior, label: str, pictures: Pictures) -> None:
    for name, x in pictures:
        for task in TASKS:
            problem = Degradation.of(task).measure(x, name, 0)
            for text, steps in SOLVERS:
                if rows.has(label, task, text, WAYS[-1], name):
                    continue
                for way, work, found, seconds in solved(problem, prior, text, steps):
                    out = found.samples[0].clamp(0, 1).numpy()
                    if not rows.has(label, task, text, way, name):
                        rows.add(label, task, text, way, name, work, psnr(out, x), ssim(out, x), seconds)
        print(name, flush=True)


def table(rows: Rows, label: str, task: str) -> list[list[object]]:
    body: list[list[object]] = []
    for text, steps in SOLVERS:
        for way in WAYS:
            mine = [r for r in rows.rows if (r["prior"], r["task"], r["solver"], r["way"]) == (label, task, text, way)]
            work, p, s = ([float(r[k]) for r in mine] for k in ("work", "psnr", "ssim"))
            body.append([text, way, steps if way != "whole, as much work" else "", f"{np.mean(work):.0f}",
                         f"{np.mean(p):.2f}", f"{np.mean(s):.3f}"])  # fmt: skip
    return body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", default="mamba-cascade")
    parser.add_argument("--limit", type=int, default=6, help="test pictures of 128x128")
    args = parser.parse_args()
    torch.set_num_threads(1)
    label, prior = load_labelled(args.prior)
    if prior.cascade is None:
        raise SystemExit(f"{args.prior} is no cascade; take mamba-cascade")
    keys = ("prior", "task", "solver", "way", "picture")
    rows = Rows(RESULTS / "coarse_rows.csv", keys, ("work", "psnr", "ssim", "seconds"))
    measure(rows, prior, label, picture_set("test128", args.limit))
    header = ("solver", "start", "levels", "work", "PSNR", "SSIM")
    notes = [
        f"{label}, relay {prior.cascade.relay:.3g}; means over {args.limit} pictures of natural128-test.zip, one sample each.",
        "Work: network calls of the full size, those of the low stage as 1 / factor^2.",
    ]
    publish(
        "coarse",
        "Restoration from the low stage of a cascade",
        [(t, header, table(rows, label, t)) for t in TASKS],
        notes,
    )


if __name__ == "__main__":
    main()
