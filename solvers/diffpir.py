"""DiffPIR and plug-and-play HQS.

Zhu et al., "Denoising Diffusion Models for Plug-and-Play Image Restoration", CVPRW 2023, Algorithm 1;
Zhang et al., "Plug-and-Play Image Restoration with Deep Denoiser Prior", TPAMI 2021, eqs 6 and 7.
The published code mixes units: its lambda = 1 is 1/4 here, where all sigmas are in the unit of the picture (paper=True: that,
its zeta for blur, and its quadratic grid of DDPM times).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import CLEAN, Problem
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import log_uniform, vp_quadratic
from restorekit.inference.sensor_noise import anscombe
from restorekit.inference.solver import Solver, Step
from restorekit.operators.diagonal import Identity
from restorekit.solvers.parts.data_step import check_data_step, data_step

PUBLISHED = (0.25, 0.1, 100.0)  # lambda (its 1 in mixed units), zeta for blur, the first of its levels


@dataclass(frozen=True, eq=False)
class DiffPIR(Solver):
    """It denoises, solves the data step in closed form (or by CG) and puts noise back. No gradient of the network is
    taken."""

    lambda_: float = 1.0  # weight of the prior in the data step
    zeta: float = 1.0  # share of fresh noise; 0.3 is closer to exact posteriors, but only with an exact denoiser
    first: float = 1.0  # noise level to start from; 10 forgets the first estimate altogether
    paper: bool = False  # lambda = 1/4, zeta = 0.1, 100 levels, quadratic in the DDPM time

    reference = "diffpir"
    when = (
        "Take it for quick draws of any linear problem, with noise, counts or speckle as it is, when pictures matter "
        "more than error bars: its draws lie too close together."
    )
    least_steps = 20
    tunable = {"lambda_": (0.2, 5.0), "zeta": (0.0, 1.0), "first": (0.2, 10.0)}
    least_noise = CLEAN
    needs = "a linear operator; Gaussian noise, counts or speckle"
    relinearises = True

    def __post_init__(self) -> None:
        if not (self.lambda_ > 0 and 0 < self.first <= 1e4 and 0 <= self.zeta <= 1):
            raise ValueError(
                f"lambda_={self.lambda_} and first={self.first} must be positive (first at most 10000), zeta={self.zeta} in 0..1"
            )
        if self.paper:
            if (self.lambda_, self.zeta, self.first) not in ((1.0, 1.0, 1.0), PUBLISHED):
                raise ValueError("paper=true fixes lambda, zeta and first; leave them out")
            for name, value in zip(("lambda_", "zeta", "first"), PUBLISHED):
                object.__setattr__(self, name, value)

    def check(self, problem: Problem) -> None:
        check_data_step(problem, "diffpir")

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        if self.paper:
            return vp_quadratic(steps or 100)
        return log_uniform(steps or self.default_steps, self.first, min(problem.last_level(), 0.5 * self.first))

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        solve = data_step(problem, "diffpir")
        for sigma, sigma_next in zip(sigmas, sigmas[1:]):
            x0 = denoise(x, sigma)
            xh = solve(x0, sigma / math.sqrt(self.lambda_))
            keep = sigma_next / sigma * math.sqrt(1 - self.zeta)  # of the noise (x - xh) / sigma that xh implies
            x = torch.lerp(xh, x, keep).add_(rng.normal(x), alpha=sigma_next * math.sqrt(self.zeta))
            yield Step(x, xh, sigma)


@dataclass(frozen=True, eq=False)
class HQS(Solver):
    """It splits half-quadratically: data step and denoiser take turns, no noise is put back. An optimiser: one answer,
    no spread.

    A single step of denoising counts, with read noise or without, is one call on values whose noise is even
    (`Anscombe`), which their own proximal steps do not reach.
    """

    lambda_: float = 0.23  # weight of the prior in the data step (Zhang et al. 2021, section 4.2)
    first: float = 49 / 255  # noise level to start from; larger for larger holes
    closed: bool = False  # the law's own proximal step where it is closed, though biased: of speckle in the logarithm

    reference = "dpir"
    when = "Take it for one answer: the fewest calls of all, and what the commands do by default; it has no error bars."
    tunable = {"lambda_": (0.05, 2.0), "first": (0.1, 2.0)}
    is_sampler = False
    default_steps = 8
    least_steps = 3
    least_noise = CLEAN
    needs = DiffPIR.needs
    relinearises = True

    def __post_init__(self) -> None:
        if not (self.lambda_ > 0 and 0 < self.first <= 1e4):
            raise ValueError(f"lambda_={self.lambda_} and first={self.first} must be positive, first at most 10000")

    def check(self, problem: Problem) -> None:
        check_data_step(problem, "hqs")

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        """Return log-uniform levels from `first` down to the noise in the picture (0.001 at least); a single step is
        at that noise.

        The noise counts per pixel: behind a mean over 16 pixels each of them has it, though together they are known
        four times worse.
        """
        white = problem.operator(problem.y.new_ones((1, *problem.operator.image_shape))).abs().mean()
        each = problem.noise_level() / max(float(white), torch.finfo(white.dtype).tiny)
        last = max(CLEAN, min(problem.picture_noise(), each))
        first = self.first if self.first > last else 4 * last
        return [last, 0.0] if steps == 1 else log_uniform(steps or self.default_steps, first, last)

    def doubts(self, problem: Problem, sigmas: Sequence[float]) -> str | None:
        """Return None for denoising, where one call at the noise is exact; otherwise as `Solver.doubts`."""
        return None if isinstance(problem.operator, Identity) else super().doubts(problem, sigmas)

    def start(self, problem: Problem, sigma: float, rng: Rng, begin: Tensor | None = None) -> Tensor:
        return problem.estimate() if begin is None else begin

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        even = anscombe(problem.likelihood) if len(sigmas) == 2 and isinstance(problem.operator, Identity) else None
        if even is not None:
            x = even.inverse(denoise(even(problem.y), even.level))
            yield Step(x, x, sigmas[0])
            return
        solve = data_step(problem, "hqs", closed=self.closed)
        for sigma in sigmas[:-1]:
            xh = solve(x, sigma / math.sqrt(self.lambda_))  # eq 6
            x = denoise(xh, sigma)  # eq 7
            yield Step(x, x, sigma)
