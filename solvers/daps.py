"""DAPS: Zhang, Chu, Berner, Meng, Anandkumar, Song, "Improving Diffusion Inverse Problem Solving with Decoupled Noise
Annealing", CVPR 2025, Algorithm 1.

At each level a clean x0 is drawn from the prior given the state, changed into a draw given y, and noised to the next level.
Deviations: the paper draws z from p(y | z) N(z; x0, sigma^2 I), which counts the spread of x0 twice, as x0 is a draw already:
with an exact draw of z little is left of a picture, and the published code only stops its Langevin steps before they mix. Here z is x0 corrected by Matheron's rule (`updated` of conditional.py). x0 comes from ancestral steps and not from the
flow, which has no fresh noise. The measurement counts with its own sigma_y, where the published code takes 0.01 whatever
the noise (tau). paper=True: the flow, z as in the paper, and that tau.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import karras, log_uniform
from restorekit.inference.solver import Solver, Step
from restorekit.solvers.parts.conditional import conditional, updated
from restorekit.solvers.samplers import DDIM, DDPM

PUBLISHED_TAU = 0.005  # 0.01 on [-1, 1]
PUBLISHED_LAST = 0.005  # where its flow ends, as small


@dataclass(frozen=True, eq=False)
class DAPS(Solver):
    """It makes `inner` network calls per level and takes no gradient of the network."""

    inner: int = 5  # steps from the level to a clean picture
    langevin: int = 100  # steps of z where the operator is not linear
    tau: float | None = None  # noise level assumed in y; None: sigma_y
    paper: bool = False  # as published: tau = 0.005 (0.01 on [-1, 1]), 200 levels

    reference = "daps"
    when = (
        "Take it for several draws of operators that are not linear, without a gradient of the network; they lie a "
        "little too close together, and for linear operators mmps is better."
    )
    tunable = {"inner": (2, 10)}
    amplifies = True
    least_steps = 25
    default_steps = 50

    def __post_init__(self) -> None:
        if min(self.inner, self.langevin) < 1 or not (self.tau is None or self.tau > 0):
            raise ValueError(f"inner={self.inner}, langevin={self.langevin} and tau={self.tau} must be positive")
        if self.paper:
            if self.tau not in (None, PUBLISHED_TAU):
                raise ValueError("paper=true fixes tau; leave it out")
            object.__setattr__(self, "tau", PUBLISHED_TAU)

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        if self.paper:
            return karras(steps or 200, 50.0, 0.05)  # 100 to 0.1 on [-1, 1]
        return super().schedule(problem, steps)

    def calls(self, sigmas: Sequence[float]) -> int:
        return (len(sigmas) - 1) * self.inner

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        tau = self.tau
        assumed = problem if tau is None else replace(problem, likelihood=Gaussian(tau))
        draw = conditional(problem, self.langevin, tau) if self.paper else updated(assumed, self.langevin)
        inner = DDIM() if self.paper else DDPM()
        for sigma, sigma_next in zip(sigmas, sigmas[1:]):
            if self.inner == 1:
                below = [sigma, 0.0]
            elif self.paper:
                below = karras(self.inner, sigma, min(PUBLISHED_LAST, 0.5 * sigma))
            else:
                below = log_uniform(self.inner, sigma, 0.5 * sigmas[-2])
            steps = inner(denoise, below, x, rng)
            for _ in range(self.inner - 1):
                yield next(steps)
            end = next(steps)
            z = draw(end.x, sigma, rng)
            x = z if sigma_next == 0 else z + sigma_next * rng.normal(z)
            yield Step(x, z, end.sigma)
