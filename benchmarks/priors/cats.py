"""Cats restored by a prior of latents, with solvers that take it, beside a prior of pictures.

PSNR of test pictures of the latent prior's own kind; the codec alone, on the clean picture, is its ceiling where much was
measured. `natural` by the default of the command.

python -m benchmarks.priors.cats [--prior fftd-cats] [--limit 3]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.support.common import RESULTS, Pictures, archive, load_labelled, publish
from restorekit.files.journal import Rows
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.metrics.fidelity import psnr, ssim
from restorekit.operators import BlockAverage, Identity, Inpaint, LinearOperator
from restorekit.priors.find import Prior
from restorekit.priors.prior import LatentPrior
from restorekit.tasks.defaults import TASKS
from restorekit.text.names import solver_of

SHAPE = (3, 64, 64)
SOLVERS = (("dps", 100), ("daps", 10), ("vds", 200))  # of latents, with steps


@dataclass(frozen=True, eq=False)
class Case:
    """What is measured of a picture, and the name of the task in `TASKS`."""

    name: str
    task: str
    operator: LinearOperator
    sigma: float


def cases() -> list[Case]:
    box = torch.ones(SHAPE)
    box[:, 22:42, 22:42] = 0
    return [
        Case("noise 0.1", "denoise", Identity(SHAPE), 0.1),
        Case("noise 0.3", "denoise", Identity(SHAPE), 0.3),
        Case("four times smaller, noise 0.02", "average", BlockAverage(SHAPE, 4), 0.02),
        Case("a box of 20x20 missing, noise 0.02", "inpaint", Inpaint(SHAPE, box), 0.02),
    ]


def measure(rows: Rows, case: Case, pictures: Pictures, priors: dict[str, Prior]) -> None:
    for i, (name, x) in enumerate(pictures):
        law, clean = Gaussian(case.sigma), torch.from_numpy(x)[None]
        problem = Problem(law.sample(case.operator(clean), torch.Generator().manual_seed(i)), case.operator, law)
        for who, prior in priors.items():
            for text, steps in settings(case, prior):
                if not rows.has(case.name, name, text, steps, who):
                    began = time.perf_counter()
                    out = restore(problem, prior, solver_of(text), steps=steps, seed=0).samples
                    add(rows, (case.name, name, text, steps, who), out, x, time.perf_counter() - began)
            if isinstance(prior, LatentPrior) and not rows.has(case.name, name, "its codec alone", 0, who):
                with torch.no_grad():
                    out = prior.decode(prior.encode(clean))
                add(rows, (case.name, name, "its codec alone", 0, who), out, x, 0.0)
    print(case.name, flush=True)


def settings(case: Case, prior: Prior) -> Iterator[tuple[str, int]]:
    if isinstance(prior, LatentPrior):
        yield from SOLVERS
    else:
        yield TASKS[case.task].solver, TASKS[case.task].steps


def add(rows: Rows, key: tuple[str, str, str, int, str], out: Tensor, truth: np.ndarray, seconds: float) -> None:
    found = out[0].clamp(0, 1).numpy()
    rows.add(*key, psnr(found, truth), ssim(found, truth), seconds)


def table(rows: Rows, case: Case, priors: dict[str, Prior], names: set[str]) -> list[list[object]]:
    """Of these pictures and priors, at the settings of today: the rows may hold others too."""
    now = {(who, *key) for who, prior in priors.items() for key in (*settings(case, prior), ("its codec alone", 0))}
    rows_of = [r for r in rows.rows if r["case"] == case.name and r["picture"] in names]
    mine = [r for r in rows_of if (r["prior"], r["method"], int(r["steps"])) in now]
    body: list[list[object]] = []
    for key in dict.fromkeys((r["prior"], r["method"], r["steps"]) for r in mine):
        own = [r for r in mine if (r["prior"], r["method"], r["steps"]) == key]
        mean = {k: np.mean([float(r[k]) for r in own]) for k in ("psnr", "ssim", "seconds")}
        steps = key[2] if int(key[2]) else "-"
        body.append([key[0], key[1], steps, f"{mean['psnr']:.2f}", f"{mean['ssim']:.3f}", f"{mean['seconds']:.1f}"])
    return body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", default="fftd-cats", help="shipped name or file, of latents")
    parser.add_argument("--limit", type=int, default=3, help="test pictures")
    args = parser.parse_args()
    torch.set_num_threads(1)
    priors = dict(load_labelled(name) for name in (args.prior, "natural"))
    pictures = archive("cats64-test.zip", args.limit, seed=3)
    rows = Rows(RESULTS / "cats_rows.csv", ("case", "picture", "method", "steps", "prior"), ("psnr", "ssim", "seconds"))
    names = {name for name, _ in pictures}
    for case in cases():
        measure(rows, case, pictures, priors)
    header = ("prior", "solver", "steps", "PSNR", "SSIM", "seconds")
    notes = [
        f"Means over {len(pictures)} test pictures of 64x64; samplers by one sample. PSNR in dB. Seconds: of a machine with other work."
    ]
    publish(
        "cats", "Cats by a prior of latents", [(c.name, header, table(rows, c, priors, names)) for c in cases()], notes
    )


if __name__ == "__main__":
    main()
