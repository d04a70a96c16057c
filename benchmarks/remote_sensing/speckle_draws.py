"""Draws for speckle in the logarithm: against exact posteriors of single pixels, and their intervals on known scenes.

Exact posteriors: those of `restorekit bench posterior --full --problem speckle-LOOKS`, 96 measurements of 519 samples, whose
prior a solver knows exactly. Scenes: EuroSAT tiles under simulated speckle with a shipped prior, 8 samples of each; only tiles
with an odd position in the sorted archive, as those with an even one may calibrate.

python -m benchmarks.remote_sensing.speckle_draws [--prior sar] [--limit 12] [--side 32]
"""

from __future__ import annotations

import argparse
import time
from itertools import product

import numpy as np
import torch

from benchmarks.remote_sensing.speckle import amplitude, speckled
from benchmarks.support.common import RESULTS, Pictures, archive, centre, grey, load_labelled, publish
from restorekit.bench.posterior.exam_pixels import speckle
from restorekit.bench.posterior.run_exam import FULL, measure
from restorekit.files.journal import Rows
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gamma
from restorekit.inference.problem import Problem
from restorekit.metrics.fidelity import coverage, psnr
from restorekit.operators import Identity
from restorekit.priors.find import Prior
from restorekit.text.names import solver_of

OLD = "sar-dps"  # the default of --samples before
SOLVERS = (("ep", 30), (OLD, 13), ("quadrature:sampler=sde1", 50))  # levels
LOOKS = (1, 3, 4, 16)  # of exact posteriors
SEEN = (1, 4, 16)  # of tiles
PRIORS = {"wide": 1.3, "narrow": 0.25}  # deviation of the logarithm
SAMPLES = 8
TILES = 12
ALLOWED = 0.05  # of bias, in posterior deviations, and of the spread off 1


def exams(rows: Rows) -> None:
    for prior in PRIORS:
        for looks in LOOKS:
            for text, steps in SOLVERS:
                if rows.has(looks, prior, text, steps):
                    continue
                found, draws = measure(speckle(looks, prior), solver_of(text), steps, FULL)
                rows.add(
                    looks, prior, text, steps, *found.bias, *found.spread_measured, found.coverage_measured.value,
                    found.w2.value, found.floor.value, draws.forward, draws.backward,
                )  # fmt: skip
                print(looks, prior, text, flush=True)


def tiles(limit: int, side: int) -> Pictures:
    odd = grey(archive("eurosat64-test.zip"))[1::2]
    # With a lower limit some of the same tiles.
    at = np.linspace(0, len(odd) - 1, TILES).round().astype(int)[:: TILES // limit]
    return [(odd[i][0], centre(odd[i][1], side)) for i in at]


def scenes(rows: Rows, pictures: Pictures, side: int, label: str, prior: Prior) -> None:
    """Figures of the logarithm, but for the PSNR."""
    for (text, steps), looks in product(SOLVERS, SEEN):
        for name, x in pictures:
            if rows.has(looks, name, side, text, steps, label):
                continue
            u, y = speckled(x, looks, name)
            problem = Problem(y, Identity((1, *x.shape[1:])), Gamma(looks, domain="log"))
            began = time.process_time()
            found = restore(
                problem, prior, solver_of(text), steps=steps, samples=SAMPLES, seed=0, batch=SAMPLES
            ).samples
            seconds = (time.process_time() - began) / SAMPLES
            off = found.mean(0) - u[0]
            mean = np.mean([amplitude(one) for one in found], axis=0)
            rows.add(
                looks, name, side, text, steps, label, coverage(found.numpy(), u[0].numpy()), float(off.mean()),
                float(off.square().mean().sqrt()), float(found.std(0).mean()), psnr(mean, amplitude(u)), seconds,
            )  # fmt: skip
        print(text, looks, "looks", flush=True)


def exam_table(rows: Rows) -> list[list[str]]:
    """Worst first: by the larger of bias and of what the spread is off 1."""
    mine = [r for r in rows.rows if (r["method"], int(r["steps"])) in SOLVERS]
    mine.sort(key=lambda r: -max(abs(float(r["bias"])), abs(float(r["spread"]) - 1)))
    return [
        [
            r["method"], r["steps"], r["looks"], f"{PRIORS[r['prior']]:g}", f"{float(r['bias']):+.3f} ± {float(r['bias_error']):.3f}",
            f"{float(r['spread']):.3f} ± {float(r['spread_error']):.3f}", f"{float(r['coverage']):.3f}",
            f"{float(r['w2']) / float(r['floor']):.1f}", f"{float(r['forward']) + float(r['backward']):.0f}",
        ]
        for r in mine
    ]  # fmt: skip


def scene_table(rows: Rows, names: set[str], side: int, label: str) -> list[list[str]]:
    """Worst first: by how far the coverage is off 0.9."""

    def of(text: str, steps: int, looks: int, what: str) -> np.ndarray:
        key = (str(looks), str(side), text, str(steps), label)
        mine = [r for r in rows.rows if (r["looks"], r["side"], r["method"], r["steps"], r["prior"]) == key]
        return np.array([float(r[what]) for r in mine if r["picture"] in names])

    def error(values: np.ndarray) -> float:
        return float(values.std(ddof=1) / len(values) ** 0.5)

    body = []
    for text, steps in SOLVERS:
        for looks in SEEN:
            held, bias, rmse, spread, quality, seconds = (
                of(text, steps, looks, k) for k in ("coverage", "bias", "rmse", "deviation", "psnr", "seconds")
            )
            old = of(OLD, dict(SOLVERS)[OLD], looks, "seconds")
            body.append((abs(held.mean() - 0.9), [
                text, str(steps), str(looks), f"{held.mean():.3f} ± {error(held):.3f}", f"{held.min():.2f}",
                f"{bias.mean():+.3f} ± {error(bias):.3f}", f"{np.sqrt((rmse**2).mean()):.3f}", f"{spread.mean():.3f}",
                f"{quality.mean():.2f}", f"{seconds.mean():.2f}", f"{seconds.mean() / old.mean():.1f}",
            ]))  # fmt: skip
    return [row for _, row in sorted(body, key=lambda pair: -pair[0])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", default="sar", help="shipped name or checkpoint, trained on log-intensities")
    parser.add_argument("--limit", type=int, default=TILES, choices=(1, 2, 3, 4, 6, TILES), help="EuroSAT tiles")
    parser.add_argument("--side", type=int, default=32, help="of their middle, pixels")
    args = parser.parse_args()
    torch.set_num_threads(1)
    label, prior = load_labelled(args.prior, "fp32")
    pictures = tiles(args.limit, args.side)
    exact = Rows(
        RESULTS / "speckle_draws_exam_rows.csv", ("looks", "prior", "method", "steps"),
        ("bias", "bias_error", "spread", "spread_error", "coverage", "w2", "floor", "forward", "backward"),
    )  # fmt: skip
    known = Rows(
        RESULTS / "speckle_draws_rows.csv", ("looks", "picture", "side", "method", "steps", "prior"),
        ("coverage", "bias", "rmse", "deviation", "psnr", "seconds"),
    )  # fmt: skip
    scenes(known, pictures, args.side, label, prior)
    exams(exact)
    passed = [r for r in exact.rows if r["method"] == SOLVERS[0][0] and int(r["steps"]) == SOLVERS[0][1]]
    within = sum(max(abs(float(r["bias"])), abs(float(r["spread"]) - 1)) <= ALLOWED for r in passed)
    publish(
        "speckle_draws", "Draws for speckle in the logarithm",
        [
            ("Exact posteriors of single pixels, worst first",
             ("", "levels", "looks", "prior", "bias", "spread", "in 90 %", "W2 / exact draws", "passes"), exam_table(exact)),
            (f"EuroSAT tiles, middle {args.side}x{args.side}, worst first",
             ("", "levels", "looks", "in 90 %", "least", "bias", "RMSE", "deviation", "PSNR", "CPU s", "times sar-dps"),
             scene_table(known, {n for n, _ in pictures}, args.side, label)),
        ],
        [
            f"Of exact posteriors {FULL.draws * 16} measurements, {FULL.samples} samples of each. Prior: deviation of the logarithm. Bias of the mean in posterior deviations; spread: standard deviation over the exact one, both ± their standard errors; passes: pictures forwards and backwards through the denoiser per sample. `ep` is within {ALLOWED:g} of no bias and of spread 1 in {within} of {len(passed)} cells.",
            f"Of tiles {len(pictures)}, with {label}, {SAMPLES} samples of each, ± the standard error over tiles. In 90 %: share of the pixels inside such intervals (Student's, of {SAMPLES} samples), least: of the worst tile; bias, RMSE and deviation of the mean, in the logarithm; PSNR of the mean amplitude in dB; CPU s: seconds of one thread per sample, while other work ran.",
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
