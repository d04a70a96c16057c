"""DAPS: Zhang, Chu, Berner, Meng, Anandkumar, Song, "Improving Diffusion Inverse Problem Solving with Decoupled Noise
Annealing", CVPR 2025, Algorithm 1.

At each level the flow is followed down to a clean x0, z is drawn given y and x0, and noise of the next level is added.
Deviations: z is drawn exactly where that is possible (conditional.py), else by Langevin steps whose length follows the
curvature; the measurement counts with its own sigma_y, where the published code takes 0.01 whatever the noise (tau).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.schedule import karras, log_uniform
from restorekit.solvers.conditional import conditional
from restorekit.solvers.unconditional import DDIM
from restorekit.types import Denoiser, Problem, Rng, Solver, Step


@dataclass(frozen=True, eq=False)
class DAPS(Solver):
    """`inner` network calls per level and no gradient of the network; over-dispersed where nothing is measured."""

    inner: int = 5  # Euler steps of the flow
    langevin: int = 100  # steps where z has no exact draw
    tau: float | None = None  # noise level assumed in y; None: sigma_y
    paper: bool = False  # tau = 0.005, the published 0.01 on [-1, 1]

    reference = "daps"
    default_steps = 50

    def __post_init__(self) -> None:
        if min(self.inner, self.langevin) < 1 or (self.tau is not None and self.tau <= 0):
            raise ValueError(f"inner={self.inner}, langevin={self.langevin} and tau={self.tau} must be positive")

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        return karras(steps or self.default_steps)

    def calls(self, sigmas: Sequence[float]) -> int:
        return (len(sigmas) - 1) * self.inner

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        draw = conditional(problem, self.langevin, 0.005 if self.paper else self.tau)
        for sigma, following in zip(sigmas, sigmas[1:]):
            below = log_uniform(self.inner, sigma, sigma if self.inner == 1 else 0.5 * sigmas[-2])
            flow = DDIM()(denoise, below, x, rng)
            for _ in range(self.inner - 1):
                yield next(flow)
            end = next(flow)
            z = draw(end.x, sigma, rng)
            x = z if following == 0 else z + following * rng.normal(z)
            yield Step(x, z, end.sigma)
