"""MCG: Chung, Sim, Ryu, Ye, "Improving Diffusion Models for Inverse Problems using Manifold Constraints", NeurIPS 2022,
eqs 14 and 15: a gradient step towards the measurement, then a projection onto it.

Deviations: the gradient is of the norm, as in the published code, not of its square; the measurement is noised at the
level of the new state (the inpainting code takes the old one); the length of a step falls with that of the level, so that
the result does not depend on their number (paper=True: fixed, in the paper's coordinates). Like DDNM it meets y exactly, noise included.
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
from restorekit.inference.schedule import vp_uniform
from restorekit.inference.solver import Solver, Step
from restorekit.solvers.ddnm import refuse_amplified_noise
from restorekit.solvers.samplers import reverse


@dataclass(frozen=True, eq=False)
class MCG(Solver):
    """It makes one network call and one vector-Jacobian product per step."""

    scale: float = 1.0  # of the gradient step, in the unit of the picture
    paper: bool = False  # steps of fixed length on 1000 levels uniform in the DDPM time

    reference = "mcg"
    when = (
        "Take it to compare with its paper, on clean measurements: like ddnm it agrees with them exactly, noise "
        "included."
    )
    exact = True
    tunable = {"scale": (0.1, 10.0)}
    needs = "a linear operator whose pseudo-inverse is stable, (nearly) no noise"
    gradient = True
    least_steps = 8
    default_steps = 200

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"scale={self.scale:g} must be positive")

    def check(self, problem: Problem) -> None:
        refuse_amplified_noise(problem, "mcg")

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        return vp_uniform(steps or 1000) if self.paper else super().schedule(problem, steps)

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        operator, y, _ = problem.least_squares("mcg")
        for sigma, sigma_next in zip(sigmas, sigmas[1:]):
            with torch.enable_grad():
                leaf = x.detach().requires_grad_(True)
                x0 = denoise(leaf, sigma)
                # d ||A+ (y - A x0)|| = -<p, A+A dx0> with p = A+ r / ||A+ r||, and A+A p = p
                p = operator.pinv(y - operator(x0.detach()))
                p = p / p.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, 1, 1, 1)
                (gradient,) = torch.autograd.grad(x0, leaf, -p)
            x0 = x0.detach()
            # The paper's state is sqrt(alpha_bar) x on [-1, 1], alpha_bar = 1 / (1 + (2 sigma)^2).
            moved = 0.5 * math.sqrt((1 + 4 * sigma**2) * (1 + 4 * sigma_next**2))
            step = self.scale * (moved if self.paper else 1 - sigma_next / sigma)
            x = reverse(x, x0, sigma, sigma_next, rng) - step * gradient  # eq 14; A+A p = p
            noised = y + sigma_next * operator(rng.normal(x)) if sigma_next > 0 else y
            x = x - operator.pinv(operator(x) - noised)  # eq 15
            yield Step(x, x0, sigma)
