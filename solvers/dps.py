"""DPS: Chung, Kim, Mccann, Klasky, Ye, "Diffusion Posterior Sampling for General Noisy Inverse Problems", ICLR 2023.

paper=True is Algorithm 1 with the code's step: scale * grad ||y - A x0|| after an ancestral step (the paper's
zeta = scale / 2). Its length ignores the noise level and the size of the picture, so it suits 1000 steps of the `vp`
schedule, Gaussian noise and pictures of 256x256; for n values scale = sqrt(n / 196608) has the same effect.
The default adds the gradient of the log-likelihood at x0, for any likelihood, with half of its Bayesian weight: x0 is an
estimate, whose own spread the paper leaves out, and half comes nearest to exact posteriors. It is stiff where the noise
is low, so its length is limited to Polyak's nll / |grad nll|^2, beyond which it would overshoot a perfect fit, and more
steps are taken there.
Deviations: the norm is per picture, not per batch; x0 is not clipped; the half; that limit.
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

STIFF = 0.008  # noise below which the limit binds so often that more steps are needed, up to four times as many


@dataclass(frozen=True, eq=False)
class DPS(Solver):
    """It makes one network call and one vector-Jacobian product per step, for any operator and likelihood with a
    gradient.

    Several samples are refused behind linear operators whose gains lie far apart where the noise is low (gains.py):
    they follow the small gains too little and spread too far there.
    """

    scale: float | None = None  # None: 0.5, 1 being the weight of Bayes; paper: 1, of grad ||y - A x0||
    paper: bool = False  # the published step, and 1000 levels uniform in the DDPM time, for which it was made

    reference = "dps"
    when = (
        "Take it for operators that are not linear and for priors of latents; for linear operators mmps is closer to "
        "the posterior in fewer passes."
    )
    tunable = {"scale": (0.1, 2.0)}
    amplifies = True
    gradient = True
    least_steps = 13
    default_steps = 200

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        if self.paper:
            return vp_uniform(steps or 1000)
        more = min(4.0, max(1.0, STIFF / problem.picture_noise()))
        return super().schedule(problem, steps or round(self.default_steps * more))

    def __post_init__(self) -> None:
        if self.scale is not None and not self.scale > 0:
            raise ValueError(f"scale={self.scale:g} must be positive")

    def check(self, problem: Problem) -> None:
        if self.paper and not isinstance(problem.likelihood, Gaussian):
            law = problem.likelihood.title
            raise Unsupported(f"dps with paper=true needs Gaussian noise, got {law}; use `solver=dps` without it")

    def check_draws(self, problem: Problem) -> None:
        if not self.paper:
            refuse_uneven(problem, "dps", 0.0008, "leave out `samples` or take")

    def _gradient(self, problem: Problem, denoise: Denoiser, x: Tensor, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return x0, per picture ||y - A x0|| (paper) or -log p(y | x0) (score) as (B, 1, 1, 1), and its gradient by
        x."""
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            x0 = denoise(leaf, sigma)
            if not self.paper:
                loss = problem.nll(x0)
            else:
                residual = problem.y - problem.operator(x0)
                residual = residual if problem.mask is None else residual * problem.mask
                loss = torch.linalg.vector_norm(residual.flatten(1), dim=1)
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        return x0.detach(), loss.detach().view(-1, 1, 1, 1), gradient

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        scale = self.scale or (1.0 if self.paper else 0.5)
        for sigma, sigma_next in zip(sigmas, sigmas[1:]):
            x0, loss, g = self._gradient(problem, denoise, x, sigma)
            if not self.paper:
                moved = sigma**2 - sigma_next**2  # how far a unit of guidance moves the state in this step
                polyak = loss / (moved * g.square().sum((1, 2, 3), keepdim=True)).clamp(min=1e-30)
                x0 = x0 - sigma**2 * polyak.clamp(max=scale) * g
            up = sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2)
            x = x0 + (sigma_next / sigma) ** 2 * (x - x0) + up * rng.normal(x)  # ancestral step
            if self.paper:
                # The paper's state is sqrt(alpha_bar) x on [-1, 1], alpha_bar = 1 / (1 + (2 sigma)^2).
                x = x - 0.5 * scale * math.sqrt((1 + 4 * sigma**2) * (1 + 4 * sigma_next**2)) * g
            yield Step(x, x0, sigma)
