"""FlowDPS: Kim, Kim, Ye, "FlowDPS: Flow-Driven Posterior Sampling for Inverse Problems", ICCV 2025.

A flow x_t = (1 - t) x0 + t n of velocity v is split into its ends, E[x0 | x_t] = x_t - t v and E[n | x_t] = x_t + (1 - t) v (the
flow version of Tweedie's formula): the measurement corrects the first, fresh noise is mixed into the second, and both make the
next state. Here the state is x = x_t / (1 - t) at the level sigma = t / (1 - t), where the ends are D(x) and (x - D(x)) / sigma, so that
any denoiser will do, a flow or not.
Deviations: x0 goes to the minimum of ||y - A x||^2 / sigma_y^2 + lambda ||x - x0||^2 / sigma^2, where the published code takes
three gradient steps of a length made for one codec; lambda = 1.4, as x0 is an estimate whose own spread that leaves out: less
of it leaves less of the spread, more of it follows the data less (what 1.4 leaves is in benchmarks/results/posterior.md); all of
the correction counts, where the paper keeps the share t of it, so that hardly anything of the data is left at low noise.
paper=True: lambda = 1, that share, and 28 levels uniform in t, shifted by 4 towards the noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.solver import Solver, Step

SHIFT = 4.0  # published: t becomes 4 t / (1 + 3 t)


def flow_time(sigma: float, span: float) -> float:
    """Return the t of x_t = (1 - t) x0 + t n at the level sigma of a picture on [0, 1]; `span` is the range of the
    flow's own numbers."""
    return span * sigma / (1 + span * sigma)


@dataclass(frozen=True, eq=False)
class FlowDPS(Solver):
    """It makes one network call per level and takes no gradient of the network."""

    lambda_: float = 1.4  # weight of the prior in the data step
    span: float = 2.0  # of the flow's own numbers over those of the picture: 2 for [-1, 1]
    paper: bool = False  # the published weights and levels

    reference = "flowdps"
    when = (
        "Take it to compare with its paper, or with a prior that was trained as a flow; its draws lie too close "
        "together for error bars."
    )
    tunable = {"lambda_": (0.5, 5.0)}
    needs = "a linear operator and Gaussian noise"

    def __post_init__(self) -> None:
        if not (self.lambda_ > 0 and self.span > 0):
            raise ValueError(f"lambda_={self.lambda_:g} and span={self.span:g} must be positive")
        if self.paper:
            if self.lambda_ not in (1.0, 1.4):
                raise ValueError("paper=true fixes lambda, which must be left out")
            object.__setattr__(self, "lambda_", 1.0)

    def check(self, problem: Problem) -> None:
        problem.least_squares("flowdps")

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        if not self.paper:
            return super().schedule(problem, steps)
        n = steps or 28
        # sigma = t / (1 - t) is infinite at t = 1: the first of the paper's levels is the least step of its table below that.
        times = [min(0.999, 1 - i / n) for i in range(n)]
        return [SHIFT * t / ((1 - t) * self.span) for t in times] + [0.0]

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        operator, y, sigma_y = problem.least_squares("flowdps")
        aty = operator.adjoint(y)
        for sigma, sigma_next in zip(sigmas, sigmas[1:]):
            x0 = denoise(x, sigma)
            noise = (x - x0) / sigma
            rho = self.lambda_ * (sigma_y / sigma) ** 2
            x0_y = operator.normal_solve(torch.add(aty, x0, alpha=rho), rho, x0)
            if self.paper:
                x0_y = torch.lerp(x0, x0_y, flow_time(sigma, self.span))
            kept = flow_time(sigma_next, self.span)
            noise = math.sqrt(kept) * noise + math.sqrt(1 - kept) * rng.normal(x)
            x = torch.add(x0_y, noise, alpha=sigma_next)
            yield Step(x, x0_y, sigma)
