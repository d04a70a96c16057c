"""DSG: Yang, Ding, Cai, Yu, Wang, Shi, "Guidance with Spherical Gaussian Constraint for Conditional Diffusion", ICML 2024,
Algorithm 1: the noise of a step nearly has the length r = sqrt(n) sigma_t, n pixels, and guidance must leave it so,

    x_s = mu(x_t, x0) + r d / ||d||,    d = sigma_t z + guidance,

mu and sigma_t those of an ancestral step. Guidance turns a step, but cannot drive it off the shell where noise lies.
Deviation: the paper mixes the noise with the steepest descent by a rate, d = sigma_t z + rate (-r g / ||g|| - sigma_t z), which
does not ask how noisy y is (paper=True: that, rate = 0.2, on 100 levels uniform in the DDPM time, as for inpainting). Here
guidance is that of `dps`, the gradient of the log-likelihood with half of its Bayesian weight, limited by Polyak's step.
As that follows the largest gain, operators whose gains lie far apart are refused where there is little noise (gains.py).
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
from restorekit.solvers.parts.gains import refuse_uneven

PUBLISHED_RATE = 0.2


def length(x: Tensor) -> Tensor:
    """Return the norm of each picture, (B, 1, 1, 1), never 0."""
    return torch.linalg.vector_norm(x.flatten(1), dim=1).clamp(min=torch.finfo(x.dtype).tiny).view(-1, 1, 1, 1)


@dataclass(frozen=True, eq=False)
class DSG(Solver):
    """It makes one network call and one vector-Jacobian product per step, for any operator and likelihood with a
    gradient."""

    scale: float = 0.5  # of the guidance, 1 being the weight of Bayes
    paper: bool = False

    reference = "dsg"
    when = "Take it as dps, to compare with it: the same problems at the same cost, other steps."
    tunable = {"scale": (0.1, 2.0)}
    needs = "any operator and noise law with a gradient; where gains lie far apart, enough noise"
    amplifies = True
    gradient = True
    default_steps = 200

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"scale={self.scale:g} must be positive")

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        return vp_uniform(steps or 100) if self.paper else super().schedule(problem, steps)

    def check(self, problem: Problem) -> None:
        if not self.paper:
            refuse_uneven(problem, "dsg", 0.003)

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        for sigma, sigma_next in zip(sigmas, sigmas[1:]):
            with torch.enable_grad():
                leaf = x.detach().requires_grad_(True)
                x0 = denoise(leaf, sigma)
                nll = problem.nll(x0)
                (g,) = torch.autograd.grad(nll.sum(), leaf)
            x0, nll = x0.detach(), nll.detach().view(-1, 1, 1, 1)
            kept = (sigma_next / sigma) ** 2
            up = sigma_next * math.sqrt(1 - kept)
            radius, z = math.sqrt(x[0].numel()) * up, up * rng.normal(x)
            if self.paper:
                d = z + PUBLISHED_RATE * (-radius * g / length(g) - z)
            else:
                moved = sigma**2 - sigma_next**2  # how far a unit of the score moves the state in this step
                polyak = nll / (moved * g.square().sum((1, 2, 3), keepdim=True)).clamp(min=torch.finfo(x.dtype).tiny)
                d = z - moved * polyak.clamp(max=self.scale) * g
            x = torch.lerp(x0, x, kept) + radius * d / length(d)
            yield Step(x, x0, sigma)
