"""PnP-DM with replica exchange: the split Gibbs chains of pnpdm.py at all levels rho at once, and swaps between them.

Exchange: Geyer, "Markov chain Monte Carlo maximum likelihood", 1991. With z integrated out, the chain at level k draws x from
p(x) L_k(x), L_k(x) = N(y; A x, rho_k^2 A A' + sigma_y^2 I). Neighbours swap a and b with probability
min(1, L_k(b) L_l(a) / (L_k(a) L_l(b))): the prior cancels, no score enters, and only what is measured has to agree.

Why: one falling rho freezes the weights of the modes where its moves no longer reach from one to the next, long before
the measurement has its say. Here the chain at the last level is fed by those that still mix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import log_uniform
from restorekit.inference.solver import Solver, Step
from restorekit.solvers.parts.conditional import conditional
from restorekit.solvers.samplers import SDE
from restorekit.solvers.smc import uniform


@dataclass(frozen=True, eq=False)
class Exchange(Solver):
    """It makes levels x `sweeps` x (2 `inner` - 1) network calls: a reference for small problems, exact as the last
    rho -> 0 and `inner` grows.

    More measured values need more levels, as the square root of their number.
    """

    sweeps: int = 200
    widest: float = 2.0  # the first rho; moves of this size must reach from mode to mode
    inner: int = 6  # levels of the reverse process

    reference = "pnpdm"
    when = (
        "Take it as a reference on small problems whose posterior has several modes: it finds their weights, with "
        "thousands of calls."
    )
    needs = "operator with an SVD, Gaussian noise; a small picture"
    default_steps = 6
    least_steps = 2

    def __post_init__(self) -> None:
        if self.inner < 2 or self.sweeps < 1 or not self.widest > 0:
            raise ValueError(f"inner={self.inner} must be >= 2, sweeps={self.sweeps} >= 1, widest={self.widest} > 0")

    def check(self, problem: Problem) -> None:
        problem.spectral("exchange")

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        last = problem.last_level(0.4, most=0.5 * self.widest)  # as in pnpdm.py
        return log_uniform(steps or self.default_steps, self.widest, last)

    def calls(self, sigmas: Sequence[float]) -> int:
        return (len(sigmas) - 1) * self.sweeps * SDE().calls(self.inner)

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        operator, sigma_y = problem.spectral("exchange")
        target, s = operator.ut(problem.least_squares("")[1]), operator.singulars.to(x)
        draw, levels = conditional(problem), sigmas[:-1]

        def log_l(x: Tensor, rho: float) -> Tensor:
            variance = (rho * s) ** 2 + sigma_y**2
            r = (target - operator.ut(operator(x)))[:, : len(s)]
            return -0.5 * (r**2 / variance).sum(1)  # the determinants cancel in a swap

        xs = [x] * len(levels)
        for sweep in range(self.sweeps):
            for k in range(sweep % 2, len(levels) - 1, 2):
                a, b, wide, tight = xs[k], xs[k + 1], levels[k], levels[k + 1]
                gain = log_l(b, wide) + log_l(a, tight) - log_l(a, wide) - log_l(b, tight)
                swap = (uniform(rng, gain[:, None])[:, 0].log() < gain).view(-1, *[1] * (x.ndim - 1))
                xs[k], xs[k + 1] = torch.where(swap, b, a), torch.where(swap, a, b)
            for k, rho in enumerate(levels):
                if sweep == 0 and k:  # from where the level above has got to: its own moves are too small for that
                    xs[k] = xs[k - 1]
                below = log_uniform(self.inner, rho, min(0.15 * rho, 2 * levels[-1]))
                for step in SDE()(denoise, below, draw(xs[k], rho, rng), rng):
                    xs[k] = step.x
                    yield Step(step.x, step.x0, step.sigma)
