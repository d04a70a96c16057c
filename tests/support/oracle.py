"""Linear Gaussian problems whose posterior is known exactly, and what a sampler makes of them.

The prior has variances that fall with frequency; everything is float64. `measure` runs a solver on several draws of
(picture, measurement) at once and compares it with the posterior; `Exact` is the control: it knows the posterior and
pays only for the grid of noise levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from restorekit import operators as ops
from restorekit.bench.posterior.exam_gaussian import GaussianExam
from restorekit.bench.posterior.run_exam import Stream
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.solver import Solver, Step
from restorekit.priors.analytic import GaussianPrior
from tests.support.cases import gaussian

SHAPE = (1, 12, 12)
SIGMA_Y = 0.05


@dataclass(frozen=True, eq=False)
class Exact(Solver):
    """The control: ancestral steps with the exact conditional denoiser."""

    known: Denoiser

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        for sigma, sigma_next in zip(sigmas, sigmas[1:]):
            x0 = self.known(x, sigma)
            up = sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2)
            x = x0 + (sigma_next / sigma) ** 2 * (x - x0) + up * rng.normal(x)
            yield Step(x, x0, sigma)


@dataclass(frozen=True, eq=False)
class Oracle(GaussianExam):
    """One operator with an SVD under a prior whose variances fall with frequency."""

    operator: ops.SVDOperator
    sigma_y: float = SIGMA_Y
    prior: GaussianPrior = GaussianPrior.smooth(SHAPE)  # type: ignore[assignment]  # noqa: RUF009 (a constant)

    @property
    def sd(self) -> float:
        """The root mean square over the pixels of the posterior standard deviation."""
        return float(self.posterior.diagonal().mean().sqrt())

    @cached_property
    def seen(self) -> Tensor:
        """(n,), bool: the coefficients V'x that the measurement says something about (gain above a tenth of the best)."""
        s = self.operator._fit(self.operator.singulars[None].double(), len(self.posterior))[0]
        return s > 0.1 * s.max()

    @cached_property
    def spreads(self) -> Tensor:
        """(n,): the exact posterior variances of V'x."""
        rows = self.operator.vt(self.posterior.view(-1, *SHAPE))
        return self.operator.vt(rows.T.reshape(-1, *SHAPE)).diagonal()


ORACLES: dict[str, Callable[[], Oracle]] = {
    "denoise": lambda: Oracle(ops.Identity(SHAPE)),
    "inpaint": lambda: Oracle(ops.Inpaint(SHAPE, _half())),
    "average": lambda: Oracle(ops.BlockAverage(SHAPE, 3)),
    "blur": lambda: Oracle(ops.CircularBlur(SHAPE, gaussian(7, 1.2))),
}


def _half() -> Tensor:
    return (torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)) > 0.5).double()


@dataclass(frozen=True)
class Measured:
    """Against the exact posterior: what a table row shows."""

    error: float  # of the sample mean, rms, in posterior rms sd; the Monte-Carlo part is taken off
    seen: float  # spread / exact spread on the range of A'
    blind: float  # the same on the null space; nan where there is none
    coverage: float  # of 90 % intervals by the true picture

    def __str__(self) -> str:
        return f"{self.error:8.3f} {self.seen:7.3f} {self.blind:7.3f} {self.coverage:7.3f}"


def measure(
    oracle: Oracle, solver: Solver | None, sigmas: Sequence[float], draws: int = 12, samples: int = 24, seed: int = 0
) -> Measured:
    """Run `solver` (None: the control) `samples` times on each of `draws` measurements."""
    x0, y = oracle.draw(draws, seed)
    expected, rng = oracle.mean(y).view(-1, *SHAPE), Stream(seed + 1)
    if solver is None:  # the posterior covariance is the same for every y, so one control serves all, shifted
        zero = oracle.problem(oracle.operator(expected[:1]).expand(draws * samples, *y.shape[1:]))
        known = Exact(oracle.conditioned(y[:1]))
        result = _last(known, zero, oracle.prior, sigmas, rng).unflatten(0, (draws, samples))
        result = result - expected[0] + expected[:, None]
    else:
        problem = oracle.problem(y.repeat_interleave(samples, 0))
        result = _last(solver, problem, oracle.prior, sigmas, rng).unflatten(0, (draws, samples))
    mean, sd = result.mean(1), result.std(1)
    noise = float(sd.square().mean()) / samples
    error = math.sqrt(max(0.0, float((mean - expected).square().mean()) - noise)) / oracle.sd
    deviations = oracle.operator.vt((result - mean[:, None]).flatten(0, 1))
    ratio = deviations.square().mean(0) * samples / (samples - 1), oracle.spreads
    seen, blind = (math.sqrt(float(ratio[0][part].sum() / ratio[1][part].sum())) if bool(part.any()) else math.nan
                   for part in (oracle.seen, ~oracle.seen))  # fmt: skip
    inside = (x0 - mean).abs() <= 1.645 * sd  # everything is Gaussian
    return Measured(error, seen, blind, float(inside.double().mean()))


def _last(solver: Solver, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], rng: Rng) -> Tensor:
    x = solver.start(problem, sigmas[0], rng)
    for step in solver(problem, denoise, sigmas, x, rng):
        x = step.x
    return x


__all__ = ["ORACLES", "SHAPE", "SIGMA_Y", "Exact", "Measured", "Oracle", "Stream", "measure"]
