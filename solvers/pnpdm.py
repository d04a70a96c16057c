"""PnP-DM: Wu, Sun, Chen, Zhang, Yue, Bouman, "Principled Probabilistic Imaging using Diffusion Models as Plug-and-Play
Priors", NeurIPS 2024, Algorithm 1: split Gibbs sampling.

Draws z given y and x, then x given z by the reverse process started at z, both at a distance rho that falls from level
to level. Exact as rho -> 0. Deviations: z is drawn exactly where that is possible (conditional.py); rho falls to 0.4
sigma_y, as the published 0.3 on [-1, 1] is far too large to be calibrated (paper=True).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import log_uniform
from restorekit.inference.solver import Solver, Step
from restorekit.solvers.parts.conditional import conditional
from restorekit.solvers.samplers import SDE

FALLING = 35  # of the 100 rounds of the paper; 5 * 0.9^34 is below 0.15


@dataclass(frozen=True, eq=False)
class PnPDM(Solver):
    """It makes 2 `inner` - 1 network calls per level and takes no gradient of the network. `hold` goes on at the last
    level, to mix."""

    inner: int = 6  # levels of the reverse process
    hold: int = 0  # further rounds at the last level
    langevin: int = 100  # steps where z has no exact draw
    paper: bool = False  # rho from 5 to 0.15 (10 to 0.3 on [-1, 1]), 0.9 times the last one at a time; 100 rounds

    reference = "pnpdm"
    when = (
        "Take it for operators that are not linear where gradients of the network are too dear; it needs none, but "
        "many calls."
    )
    tunable = {"inner": (2, 12)}
    least_steps = 16
    default_steps = 40

    def __post_init__(self) -> None:
        if self.inner < 2 or self.langevin < 1 or self.hold < 0:
            raise ValueError(f"inner={self.inner} must be >= 2, langevin={self.langevin} >= 1, hold={self.hold} >= 0")
        if self.paper and self.hold == 0:
            object.__setattr__(self, "hold", 100 - FALLING)

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        if self.paper and steps is None:
            return [*(5 * 0.9**k for k in range(FALLING - 1)), 0.15, 0.0]
        if self.paper:
            return log_uniform(steps or self.default_steps, 5.0, 0.15)
        most = 10.0 if isinstance(problem.likelihood, Gaussian) else 0.02
        return log_uniform(steps or self.default_steps, 10.0, problem.last_level(0.4, most))

    def calls(self, sigmas: Sequence[float]) -> int:
        return (len(sigmas) - 1 + self.hold) * SDE().calls(self.inner)

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        draw = conditional(problem, self.langevin)
        for rho in [*sigmas[:-1], *[sigmas[-2]] * self.hold]:
            below = log_uniform(self.inner, rho, 0.1 * sigmas[-2])
            for step in SDE()(denoise, below, draw(x, rho, rng), rng):
                x = step.x
                yield step
