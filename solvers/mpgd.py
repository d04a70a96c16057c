"""MPGD: He et al., "Manifold Preserving Guided Diffusion", ICLR 2024, Algorithm 1, without a projection: a gradient step of the
loss at x0 itself, so that nothing goes backwards through the network.

    x0_y = x0 - h grad_{x0} -log p(y | x0),    h = 1 / (1 / r_t^2 + |grad|^2 / (2 nll))

r_t is the deviation of x0 given x_t as in PiGDM, the other term the curvature of the loss along its gradient, so that the
step ends where both balance. Through gains that lie far apart one step is too short for the small ones: refused (gains.py),
several samples sooner than one answer.
Deviations: the paper leaves h to be tuned, and keeps the network's noise (x - x0) / sigma, so that each level adds the whole
step and the result depends on their number; here it is (x - x0_y) / sigma, and most of the noise is fresh, as otherwise
what y does not see spreads too far. paper=True: h of the published code for super-resolution at its 100 levels of the DDPM
time, of the gradient of ||y - A x0||, the network's noise, and DDIM with eta = 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import vp_uniform
from restorekit.inference.solver import Solver, Step
from restorekit.solvers.parts.gains import refuse_uneven
from restorekit.solvers.parts.spectral import check_eta
from restorekit.solvers.samplers import reverse

PUBLISHED = 4.0  # the published scale at 100 levels, on [-1, 1]


@dataclass(frozen=True, eq=False)
class MPGD(Solver):
    """It makes one network call per step and takes no gradient of the network; for any operator that `dps` takes, at
    half its time."""

    eta: float = 0.9  # share of fresh noise
    prior_std: float = 0.25  # per pixel, in the unit of the picture: r_t^2 = s^2 sigma^2 / (s^2 + sigma^2)
    paper: bool = False

    reference = "mpgd"
    when = (
        "Take it for what dps takes, in less time, without gradients of the network; its draws lie too close together."
    )
    tunable = {"eta": (0.5, 1.0), "prior_std": (0.05, 0.5)}
    needs = "any operator and noise law with a gradient; where gains lie far apart, enough noise"

    def __post_init__(self) -> None:
        check_eta(self.eta)
        if not self.prior_std > 0:
            raise ValueError(f"prior_std={self.prior_std:g} must be positive")

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        return vp_uniform(steps or 100) if self.paper else super().schedule(problem, steps)

    def check(self, problem: Problem) -> None:
        if not self.paper:
            refuse_uneven(problem, "mpgd", 0.007)
        elif not isinstance(problem.likelihood, Gaussian):
            law = problem.likelihood.title
            raise Unsupported(f"mpgd with paper=true needs Gaussian noise, got {law}; use `solver=dps`")

    def check_draws(self, problem: Problem) -> None:
        if not self.paper:  # what a step misses keeps too much of its spread before the mean is far off
            refuse_uneven(problem, "mpgd", 0.013, "leave out `samples` or take")

    def _step(self, problem: Problem, x0: Tensor, sigma: float) -> Tensor:
        with torch.enable_grad():
            leaf = x0.detach().requires_grad_(True)
            nll = problem.nll(leaf)
            (g,) = torch.autograd.grad(nll.sum(), leaf)
        squares, twice = g.square().flatten(1).sum(1), 2 * nll.detach()
        tiny = torch.finfo(g.dtype).tiny
        if self.paper:  # g / sqrt(2 nll) is the gradient of ||y - A x0|| / sigma_y
            h = 0.5 * PUBLISHED * math.sqrt(1 + 4 * sigma**2) * problem.noise_level() / twice.clamp(min=tiny).sqrt()
        else:
            h = 1 / (1 / self.prior_std**2 + 1 / sigma**2 + squares / twice.clamp(min=tiny))
        return x0 - h.view(-1, 1, 1, 1) * g

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        for sigma, sigma_next in zip(sigmas, sigmas[1:]):
            x0 = denoise(x, sigma)
            x0_y = self._step(problem, x0, sigma)
            if self.paper:
                x = reverse(x, x0, sigma, sigma_next, rng, 0.5) + x0_y - x0
            else:
                x = torch.lerp(x0_y, x, sigma_next / sigma * math.sqrt(1 - self.eta**2))
                x = x.add_(rng.normal(x), alpha=self.eta * sigma_next)
            yield Step(x, x0_y, sigma)
