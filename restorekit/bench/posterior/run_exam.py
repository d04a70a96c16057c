"""A solver in an exam, as users run it: through `restore`, told the problem and the denoiser and nothing else."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from restorekit.bench.posterior.exam import Exam
from restorekit.bench.posterior.figures import Figures, judge
from restorekit.errors import Unsupported
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.driver import restore
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import log_uniform
from restorekit.inference.solver import Solver
from restorekit.inference.units import Units
from restorekit.solvers import SMC, Exchange
from restorekit.solvers.samplers import SDE

CONTROL_LEVELS = 400


class Stream(Rng):
    """One stream for a whole batch: much faster than one per sample, where samples need not be told apart."""

    def __init__(self, seed: int, *more: int):
        super().__init__([int(np.random.SeedSequence([seed, *more]).generate_state(1)[0]) if more else seed])

    def normal(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generators[0], dtype=like.dtype)


class Passes:
    """A denoiser that counts pictures on their way forward through it, and backward, and keeps the least level asked."""

    def __init__(self, denoise: Denoiser):
        self.denoise, self.forward, self.backward, self.least = denoise, 0, 0, math.inf

    @property
    def units(self) -> Units | None:
        return getattr(self.denoise, "units", None)

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        self.forward += len(x)
        self.least = min(self.least, float(torch.as_tensor(sigma).min()))
        x0 = self.denoise(x, sigma)
        if x0.requires_grad:
            x0.register_hook(self._product)
            x0 = x0.view_as(x0)  # a gradient taken with respect to the answer itself is no pass
        return x0

    def _product(self, gradient: Tensor) -> None:
        self.backward += len(gradient)


@dataclass(frozen=True)
class Size:
    """Measurements, and samples of each; samples + 1 is a multiple of 20."""

    draws: int
    samples: int


FULL, FEW, FEWEST = Size(6, 519), Size(6, 99), Size(3, 39)


def size_of(quick: bool, solver: Solver | None) -> Size:
    """Return the size of an exam: the quick form takes less of solvers with a population, or a long chain, per sample."""
    return FULL if not quick else FEWEST if isinstance(solver, (SMC, Exchange)) else FEW


@dataclass(frozen=True, eq=False)
class ExamSamples:
    """x (B, S, C, H, W), with passes per sample and CPU seconds per sample."""

    x: Tensor
    forward: float = 0.0
    backward: float = 0.0
    seconds: float = 0.0
    levels: int = 0


def drawn(exam: Exam, solver: Solver, y: Tensor, samples: int, seed: int, steps: int | None = None) -> ExamSamples:
    """Draw `samples` (an optimiser gives one) of each measurement. Raises `Unsupported` where the solver does not fit."""
    samples = samples if solver.is_sampler else 1
    prior, draws, began = Passes(exam.prior), [], time.process_time()
    levels = 0
    for i in range(len(y)):
        restoration = restore(
            exam.problem(y[i : i + 1]), prior, solver, steps=steps, samples=samples, seed=seed,
            rng=lambda seed, first, count, i=i: Stream(seed, i, first),
        )  # fmt: skip
        draws.append(restoration.samples.detach())
        levels = len(restoration.settings["sigmas"]) - 1
    n = len(y) * samples
    return ExamSamples(
        torch.stack(draws), prior.forward / n, prior.backward / n, (time.process_time() - began) / n, levels
    )


def exact_score(exam: Exam, y: Tensor, samples: int, seed: int, levels: int = CONTROL_LEVELS) -> ExamSamples:
    """Draw the control: the reverse process by the exact conditional denoiser, on levels that follow the posterior alone.

    From 20 times its largest deviation to a twentieth of its least, whatever a solver chooses: what is left of the distance
    to exact draws is the price of noise levels and of numbers of samples. Raises `Unsupported` where E[x0 | x, y] is not known.
    """
    draws, began = [], time.process_time()
    for i in range(len(y)):
        denoise = exam.conditioned(y[i : i + 1])
        if denoise is None:
            raise Unsupported("the exam does not say E[x0 | x, y]")
        mean = exam.mean(y[i : i + 1]).view(1, *exam.problem(y[:1]).operator.image_shape)
        values = torch.linalg.eigvalsh(exam.covariance(y[i : i + 1])[0]).clamp(min=0)
        most = math.sqrt(float(values.max()))
        least = max(math.sqrt(float(values.min())), 1e-3 * most)
        grid, rng = log_uniform(levels, 20 * most, 0.05 * least), Stream(seed, i)
        x = mean.expand(samples, *mean.shape[1:])
        x = x + grid[0] * rng.normal(x)
        for step in SDE()(denoise, grid, x, rng):
            x = step.x
        draws.append(x)
    seconds = (time.process_time() - began) / (len(y) * samples)
    return ExamSamples(torch.stack(draws), SDE().calls(levels), 0.0, seconds, levels)


def measure(
    exam: Exam, solver: Solver, steps: int | None = None, size: Size = FEW, seed: int = 0
) -> tuple[Figures, ExamSamples]:
    """Measure one solver in one exam. Raises `Unsupported` where it does not apply."""
    y = exam.draw(size.draws, seed)[1]
    samples = drawn(exam, solver, y, size.samples, seed, steps)
    return judge(exam, y, samples.x, seed), samples
