"""The problems of `peers.py`: Gaussian ones with exact posteriors, and photographs; figures of draws from either side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers.peer_sides import Draws, Side
from restorekit.bench.posterior.exam_gaussian import GaussianExam
from restorekit.bench.posterior.figures import ExactPosterior, distances, judge
from restorekit.bench.posterior.run_exam import Stream
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.likelihood import Gaussian
from restorekit.metrics.fidelity import coverage, psnr, spread_skill, ssim
from restorekit.operators import BlockAverage, CircularBlur, Identity, Inpaint, SVDOperator
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers.samplers import SAMPLERS
from restorekit.text.kernels import kernel

STRIP = (1, 1, 16)
STD, SIGMA_Y = 0.15, 0.03  # of the exact problems: pixels stay on [0, 1], 3.3 deviations, where deepinv clips x0
EXACT = ("settings", "nfe", "vjps", "seconds", "w2", "floor", "control", "error", "trace", "coverage")
PICTURES = ("settings", "nfe", "vjps", "seconds", "crps", "psnr", "ssim", "spread_skill", "coverage")


@dataclass(frozen=True, eq=False)
class Narrow(GaussianExam):
    """A strip of 16 pixels of a narrow prior, and noise narrower by as much."""

    name: str
    operator: SVDOperator

    @property
    def directions(self) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Pixels, measured or not: the table has one figure for all."""
        return torch.eye(16, dtype=torch.float64), torch.zeros(16, 0, dtype=torch.float64)

    @staticmethod
    def of(name: str) -> Narrow:
        mask = (torch.arange(16) % 2 == 0).double().view(STRIP)
        bell = torch.exp(-0.5 * (torch.arange(-3, 4, dtype=torch.float64) / 1.2) ** 2)
        known: dict[str, SVDOperator] = {
            "gauss-denoise": Identity(STRIP), "gauss-inpaint": Inpaint(STRIP, mask), "gauss-sr": BlockAverage(STRIP, 4),
            "gauss-blur": CircularBlur(STRIP, (bell / bell.sum())[None]),
        }  # fmt: skip
        return Narrow(known[name], SIGMA_Y, GaussianPrior.smooth(STRIP, std=STD, power=1.0), name)


# --- problems with exact posteriors ---


def sampled(exam: Narrow, side: Side, calls: int, draws: int, samples: int, seed: int) -> tuple[Draws, Tensor]:
    """Both sides in single precision, as on pictures; the figures in double."""
    y = exam.draw(draws, seed)[1]
    operator = exam.operator.to(torch.float32)
    found = side(operator, exam.sigma_y, y.float(), exam.prior, calls, samples, seed + 1)
    return replace(found, x=found.x.double()), y


def exact_row(exam: Narrow, side: Side, calls: int, draws: int, samples: int) -> tuple[Any, ...]:
    found, y = sampled(exam, side, calls, draws, samples, seed=0)
    figures = judge(exam, y, found.x)
    control = distances(ExactPosterior.of(exam, y), on_levels(exam, found, y, samples).flatten(2), 0)[0]
    return (
        found.settings, found.nfe, found.vjps, found.seconds, figures.w2.value, figures.floor.value, control.value,
        figures.error_measured.value, figures.spread_measured.value**2, figures.coverage_measured.value,
    )  # fmt: skip


def on_levels(exam: Narrow, found: Draws, y: Tensor, samples: int) -> Tensor:
    """What the exact conditional denoiser gives on the levels of this side."""
    known = []
    for i in range(len(y)):
        denoise, rng = exam.conditioned(y[i : i + 1]), Stream(1, i)
        mean = exam.mean(y[i : i + 1]).view(1, *STRIP).expand(samples, *STRIP)
        x = mean + found.levels[0] * rng.normal(mean)
        for step in SAMPLERS[found.process]()(denoise, found.levels, x, rng):
            x = step.x
        known.append(x)
    return torch.stack(known)


def tuned_on_exam(exam: Narrow, sides: Sequence[Side], calls: int, draws: int, samples: int) -> Side:
    """The side with the least W2 on measurements that the table does not use."""

    def score(side: Side) -> float:
        found, y = sampled(exam, side, calls, draws, samples, seed=1000)
        return (
            distances(ExactPosterior.of(exam, y), found.x.flatten(2), 1000)[0].value
            if bool(found.x.isfinite().all())
            else math.inf
        )

    return sides[0] if len(sides) == 1 else min(sides, key=score)


# --- photographs ---


def tasks(side: int) -> dict[str, tuple[SVDOperator, float]]:
    """Name -> operator, sigma_y. Blur is circular, for which both have a closed form."""
    shape = (3, side, side)
    mask = (torch.rand(1, side, side, generator=torch.Generator().manual_seed(1)) >= 0.8).float()
    return {
        "denoise, sigma_y 0.1": (Identity(shape), 0.1),
        "inpaint, 80 % missing, sigma_y 0.03": (Inpaint(shape, mask), 0.03),
        "four times smaller, sigma_y 0.03": (BlockAverage(shape, 4), 0.03),
        "gaussian blur 1.6, sigma_y 0.03": (CircularBlur(shape, kernel("gaussian:1.6")), 0.03),
    }


def measured(operator: SVDOperator, sigma_y: float, truth: Tensor, seed: int) -> Tensor:
    y = Gaussian(sigma_y).sample(operator(truth), torch.Generator().manual_seed(seed))
    return operator(y) if isinstance(operator, Inpaint) else y  # nothing is measured in a hole, not even noise


def crps(x: Tensor, truth: Tensor) -> float:
    """Continuous ranked probability score of samples (B, N, ...), fair for any N; least, on average, for exact draws."""
    n = x.shape[1]
    apart = (x[:, :, None] - x[:, None]).abs().mean() * n / max(1, n - 1)
    value = float((x - truth[:, None]).abs().mean() - 0.5 * apart)
    return value if math.isfinite(value) else math.inf


def tuned_on_pictures(
    sides: Sequence[Side], name: str, truth: Tensor, denoise: Denoiser, calls: int, samples: int
) -> Side:
    operator, sigma_y = tasks(truth.shape[-1])[name]
    y = measured(operator, sigma_y, truth, 1000)
    return min(sides, key=lambda side: crps(side(operator, sigma_y, y, denoise, calls, samples, 1000).x, truth))


def picture_row(side: Side, name: str, truth: Tensor, denoise: Denoiser, calls: int, samples: int) -> tuple[Any, ...]:
    operator, sigma_y = tasks(truth.shape[-1])[name]
    y = measured(operator, sigma_y, truth, 0)
    side(operator, sigma_y, y[:1], denoise, 4, 1, 0)  # warms up plans and caches
    found = side(operator, sigma_y, y, denoise, calls, samples, 0)
    pairs = [(x.float().numpy(), t.numpy()) for x, t in zip(found.x, truth)]
    mean = [
        float(np.mean([f(s.clip(0, 1), t) for x, t in pairs for s in x])) for f in (psnr, ssim)
    ] + [float(np.mean([f(x, t) for x, t in pairs])) for f in (spread_skill, coverage)]  # fmt: skip
    return found.settings, found.nfe, found.vjps, found.seconds, crps(found.x.float(), truth), *mean
