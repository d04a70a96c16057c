"""SMC: Wu, Trippe, Naesseth, Blei, Cunningham, "Practical and Asymptotically Exact Conditional Sampling in Diffusion
Models", NeurIPS 2023, Algorithm 1 (twisted diffusion sampler); twist and proposal are those of PiGDM (pigdm.py).

Exact as the number of particles grows (and the levels get dense): the reference for small problems, at `particles` times
the cost of the others. Every sample comes from a population of its own, so samples are independent.
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
from restorekit.inference.solver import Solver, Step


def systematic(weights: Tensor, u: Tensor) -> Tensor:
    """Return indices (B, N) of a systematic resampling of weights (B, N), sum 1, with one uniform number u (B, 1) per
    row."""
    n = weights.shape[1]
    points = (torch.arange(n, dtype=weights.dtype, device=weights.device) + u) / n
    return torch.searchsorted(weights.cumsum(1).contiguous(), points).clamp(max=n - 1)


def uniform(rng: Rng, like: Tensor) -> Tensor:
    """Return numbers in (0, 1), shaped like `like`, from the streams of the items."""
    return (0.5 * (1 + torch.erf(rng.normal(like) / math.sqrt(2)))).clamp(1e-12, 1 - 1e-7)


@dataclass(frozen=True, eq=False)
class SMC(Solver):
    """It makes one network call and one vector-Jacobian product per level, for all particles of a sample at once."""

    particles: int = 64
    prior_std: float = 0.25  # as in PiGDM: r_t^2 = s^2 sigma^2 / (s^2 + sigma^2)

    reference = "smc"
    when = (
        "Take it as a reference on small linear problems: it is exact as the number of particles grows, and costs as "
        "many times more."
    )
    least_noise = CLEAN
    needs = "a linear operator and Gaussian noise; a small picture"
    amplifies = True
    gradient = True
    default_steps = 100
    least_steps = 10

    def __post_init__(self) -> None:
        if self.particles < 2 or self.prior_std <= 0:
            raise ValueError(f"particles={self.particles} must be at least 2, prior_std={self.prior_std} positive")

    def check(self, problem: Problem) -> None:
        problem.least_squares("smc")

    def start(self, problem: Problem, sigma: float, rng: Rng, begin: Tensor | None = None) -> Tensor:
        return problem.operator.estimate(problem.y) if begin is None else begin

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        operator, y, sigma_y = problem.least_squares("smc", self.least_noise)
        shape, n = x.shape, self.particles
        y, items = y.repeat_interleave(n, 0), torch.arange(len(x), device=x.device)[:, None]

        def noise() -> Tensor:
            return rng.normal(x.new_empty(shape[0], n, *shape[1:])).flatten(0, 1)

        def twisted(x: Tensor, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
            """x0, its shift towards y, and log p(y | x) up to a constant of the level, (B, N)."""
            r2 = (self.prior_std * sigma) ** 2 / (self.prior_std**2 + sigma**2)
            with torch.enable_grad():
                leaf = x.detach().requires_grad_(True)
                x0 = denoise(leaf, sigma)
            residual = y - operator(x0.detach())
            v = operator.adjoint(residual)
            w = operator.normal_solve(v, sigma_y**2 / r2)
            shift = sigma**2 / r2 * torch.autograd.grad(x0, leaf, w)[0]
            energy = residual.square().flatten(1).sum(1) - (v * w).flatten(1).sum(1)
            return x0.detach(), shift, (-0.5 / sigma_y**2 * energy).view(-1, n)

        x = x.repeat_interleave(n, 0) + sigmas[0] * noise()
        log_w = x.new_zeros(shape[0], n)
        for sigma, sigma_next in zip(sigmas, sigmas[1:]):
            x0, shift, twist = twisted(x, sigma)
            log_w = log_w + twist
            weights = log_w.softmax(1)
            u = uniform(rng, log_w[:, :1])
            poor = 1 / weights.square().sum(1, keepdim=True) < n / 2
            chosen = torch.where(poor, systematic(weights, u), torch.arange(n, device=x.device))
            flat = (items * n + chosen).flatten()
            x, x0, shift = x[flat], x0[flat], shift[flat]
            log_w = torch.where(poor, 0.0, log_w) - twist.gather(1, chosen)
            kept = (sigma_next / sigma) ** 2
            if sigma_next > 0:
                up, z = sigma_next * math.sqrt(1 - kept), noise()
                delta = (1 - kept) * shift
                x = torch.lerp(x0, x, kept) + delta + up * z
                log_w = log_w - (delta.square() / (2 * up**2) + delta * z / up).flatten(1).sum(1).view(-1, n)
            else:
                x = x0
                log_w = log_w - (0.5 / sigma_y**2) * (y - operator(x0)).square().flatten(1).sum(1).view(-1, n)
            gumbel = uniform(rng, log_w).log().neg().log().neg() if sigma_next == 0 else 0.0  # the last: a draw
            one = (log_w + gumbel).argmax(1, keepdim=True)
            flat = (items * n + one).flatten()
            yield Step(x[flat], x0[flat], sigma)
