"""How far a solver's samples are from the exact posterior: the figures of one row of the calibration table."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from statistics import fmean

import torch
from scipy.stats import kstest
from torch import Tensor

from restorekit.bench.exams import EXAMS, Exam, GaussianExam, MixtureExam
from restorekit.driver import Counted
from restorekit.solvers.unconditional import SAMPLERS
from restorekit.types import Rng, Solver


class Stream(Rng):
    """One stream for a whole batch: much faster than one per item, where items need not be told apart."""

    def __init__(self, seed: int):
        super().__init__([seed])

    def normal(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generators[0], dtype=like.dtype)


@dataclass(frozen=True)
class Size:
    """Problems, measurements of each, samples of each; samples + 1 is a multiple of 20, for exact 90 % intervals."""

    problems: int
    draws: int
    samples: int


def size_of(name: str, quick: bool, slow: bool = False) -> Size:
    """`slow`: for solvers that take a population per sample."""
    if name.startswith("gmm"):
        return Size(4, 1, 299) if quick else Size(8, 1, 999)
    size = Size(1, 40, 59) if quick else Size(1, 100, 199)
    return replace(size, draws=size.draws // 8) if slow else size


def made(name: str, problems: int) -> list[Exam]:
    if name not in EXAMS:
        raise ValueError(f"unknown problem {name!r}; known: {', '.join(EXAMS)}")
    first = EXAMS[name]()
    return [replace(first, seed=i) for i in range(problems)] if isinstance(first, MixtureExam) else [first]


@dataclass(frozen=True)
class Figures:
    """Distances are in units of the posterior's standard deviation; `floor` is what exact draws of this number give."""

    nfe: int
    vjps: int
    seconds: float  # per sample
    w2: float
    floor: float
    control: float  # the exact conditional denoiser on the same levels
    error: float  # of the mean, Monte-Carlo part taken off
    trace: float  # total variance / exact
    coverage: float  # of the 90 % intervals of each pixel, by exact draws
    sbc: float  # p-value: ranks of the truth among the samples, uniform if calibrated


def run(
    exam: Exam, solver: Solver, levels: Sequence[float], y: Tensor, samples: int, seed: int
) -> tuple[Tensor, Counted, float]:
    """(B, samples, C, H, W), the calls, the seconds per sample."""
    problem = exam.problem(y.repeat_interleave(samples, 0))
    solver.check(problem)
    counted, rng, began = Counted(exam.prior), Stream(seed), time.process_time()
    x = solver.start(problem, levels[0], rng)
    for step in solver(problem, counted, levels, x, rng):
        x = step.x
    return x.view(len(y), samples, *x.shape[1:]), counted, (time.process_time() - began) / len(x)


def run_control(exam: Exam, name: str, levels: Sequence[float], y: Tensor, samples: int, seed: int) -> Tensor:
    rng, mean = Stream(seed), exam.moments(y)[0].repeat_interleave(samples, 0)
    x = mean + levels[0] * rng.normal(mean)
    for step in SAMPLERS[name]()(exam.control(y, samples), levels, x, rng):
        x = step.x
    return x.view(len(y), samples, *mean.shape[1:])


def distance(exam: Exam, found: Tensor, y: Tensor, seed: int) -> float:
    """W2 / posterior sd: of fitted Gaussians where the posterior is one, else sliced over 64 directions."""
    mean, variance = exam.moments(y)
    if isinstance(exam, GaussianExam):  # the covariance is the same for every y, so deviations are pooled
        m = found.mean(1)
        deviations = (found - m[:, None]).flatten(0, 1).flatten(1)
        c1 = deviations.T @ deviations / (len(y) * (found.shape[1] - 1))
        c2 = exam.covariance
        root = _root(c2)
        bures = float((c1 + c2).trace() - 2 * _root(root @ c1 @ root).trace())
        off = float(
            (m - mean).square().flatten(1).sum(1).mean() - c1.trace() / found.shape[1]
        )  # without Monte-Carlo noise
        return math.sqrt(max(0.0, off) / float(c2.trace()) + max(0.0, bures) / float(c2.trace()))
    g = torch.Generator().manual_seed(seed)
    n = mean[0].numel()
    directions = torch.randn(n, 64, generator=g, dtype=found.dtype)
    directions = directions / directions.norm(dim=0)
    exact = exam.exact(y, found.shape[1], seed + 1)
    a, b = ((t.flatten(2) @ directions).sort(dim=1).values for t in (found, exact))
    return float(((a - b).square().mean((1, 2)) / (variance / n)).mean().sqrt())


def _root(c: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh((c + c.T) / 2)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def covered(exam: Exam, found: Tensor, y: Tensor, seed: int) -> float:
    """Share of exact draws inside the 90 % intervals, pixel by pixel; order statistics, so exact draws give 0.9."""
    k = (found.shape[1] + 1) // 20
    ordered = found.sort(dim=1).values
    exact = exam.exact(y, 200, seed + 2)
    inside = (exact >= ordered[:, k - 1 : k]) & (exact <= ordered[:, -k : found.shape[1] - k + 1])
    return float(inside.double().mean())


def ranks(x0: Tensor, found: Tensor, seed: int) -> list[float]:
    """Of the truth among its samples along one random direction per measurement, in (0, 1), ties broken at random."""
    g = torch.Generator().manual_seed(seed + 3)
    d = torch.randn(x0.shape, generator=g, dtype=x0.dtype)
    below = ((found * d[:, None]).flatten(2).sum(2) < (x0 * d).flatten(1).sum(1, keepdim=True)).double().sum(1)
    u = torch.rand(len(x0), generator=g, dtype=x0.dtype)
    return ((below + u) / (found.shape[1] + 1)).tolist()


def measure(name: str, solver: Solver, steps: int | None, size: Size, seed: int = 0) -> Figures:
    """One solver on one kind of problem. Raises `Unsupported` where it does not apply."""
    rows: list[Figures] = []
    place: list[float] = []
    for i, exam in enumerate(made(name, size.problems)):
        x0, y = exam.draw(size.draws, seed + i)
        mine = replace(solver, prior_std=exam.prior_std) if hasattr(solver, "prior_std") else solver
        levels = mine.schedule(exam.problem(y), steps)
        found, counted, seconds = run(exam, mine, levels, y, size.samples, seed + i + 1)
        mean, variance = exam.moments(y)
        own = found.var(1).flatten(1).sum(1)
        off = (found.mean(1) - mean).square().flatten(1).sum(1) - own / size.samples
        process = getattr(mine, "sampler", "ddpm")
        control = run_control(exam, process, levels, y, size.samples, seed + i + 1)
        exact = exam.exact(y, size.samples, seed + i + 4)
        place += ranks(x0, found, seed + i)
        w2, floor, best = (distance(exam, t, y, seed + i) for t in (found, exact, control))
        error = math.sqrt(max(0.0, float((off / variance).mean())))
        trace, coverage = float((own / variance).mean()), covered(exam, found, y, seed + i)
        rows.append(Figures(counted.calls, counted.vjps, seconds, w2, floor, best, error, trace, coverage, 0.0))
    mean_of = {f.name: fmean(getattr(r, f.name) for r in rows) for f in fields(Figures)}
    mean_of |= {"nfe": rows[0].nfe, "vjps": rows[0].vjps, "sbc": float(kstest(place, "uniform").pvalue)}
    return Figures(**mean_of)  # type: ignore[arg-type]


__all__ = ["Figures", "Size", "measure", "size_of"]
