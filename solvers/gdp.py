"""GDP: Fei, Lyu, Pan, Zhang, Yang, Luo, Zhang, Dai, "Generative Diffusion Prior for Unified Image Restoration and
Enhancement", CVPR 2023, Algorithm 2: guidance at the clean estimate, parameters of the degradation estimated on the way.

y = A(f x + m) + noise, f the light factor and m the light mask: at each level they are fitted to y and the estimate x0, and x0
moved towards what they explain. No gradient of the network.
Deviations: x0 goes to the minimum of ||y - f A x||^2 / sigma_y^2 + lambda ||x - x0||^2 / sigma^2 and f to that of least squares,
where the paper takes gradient steps of lengths tuned to its tasks; the state forgets its noise, as with diffpir, which comes
nearer to exact posteriors than to carry it along; m is left out, as one picture does not tell it from f and x; so are the losses on
exposure and colour, which the prior replaces. paper=True: the steps of its low light (1 for f and m, 80000 times the mean square
for x0, kept per pixel at other sizes), f and m from 0, and 1000 levels uniform in the DDPM time.
f is one estimate per sample: its own uncertainty is not in the spread. It is found by the mean of the picture more than by its
contrast, so that a scene that is dark by itself is taken for one in too little light.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import vp_uniform
from restorekit.inference.solver import Solver, Step
from restorekit.operators.base import LinearOperator

PUBLISHED = 80000 / (3 * 400 * 600)  # guidance scale over the values of a picture


def light_factor(a: Tensor, y: Tensor, sigma: float) -> Tensor:
    """Return f (B, 1, 1, 1) of y = f a + sigma n by least squares, with a prior N(1, 1) of f that decides where a is
    nothing."""
    a, y = a.flatten(1), y.flatten(1)
    f = ((a * y).sum(1) + sigma**2) / (a.square().sum(1) + sigma**2)
    return f.clamp(min=1e-3).view(-1, 1, 1, 1)


@dataclass(frozen=True, eq=False)
class GDP(Solver):
    """It makes one network call per level. unknown: "gain" for a measurement in unknown light, y = f A x; "none" if A
    says all."""

    unknown: Literal["none", "gain"] = "none"
    lambda_: float = 1.4  # weight of the prior in the data step, as in flowdps
    paper: bool = False  # published steps on f, m and x0, and schedule

    reference = "gdp"
    when = (
        "Take it where the brightness of the measurement is not known (`gdp:unknown=gain`); with a known operator "
        "others are closer to the posterior."
    )
    tunable = {"lambda_": (0.5, 5.0)}
    needs = "a linear operator and Gaussian noise; its gain may be unknown"

    def __post_init__(self) -> None:
        if self.unknown not in ("none", "gain"):
            raise ValueError(f"unknown={self.unknown!r} must be none or gain")
        if not self.lambda_ > 0:
            raise ValueError(f"lambda_={self.lambda_:g} must be positive")

    def check(self, problem: Problem) -> None:
        problem.least_squares("gdp")

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        return vp_uniform(steps or 1000) if self.paper else super().schedule(problem, steps)

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        operator, y, sigma_y = problem.least_squares("gdp")
        if self.paper:
            yield from self._published(operator, y, denoise, sigmas, x, rng)
            return
        aty = operator.adjoint(y)
        for sigma, sigma_next in zip(sigmas, sigmas[1:]):
            x0 = denoise(x, sigma)
            if self.unknown == "gain":
                x0 = self._lit(operator, y, aty, x0, sigma_y, sigma)
            else:
                rho = self.lambda_ * (sigma_y / sigma) ** 2
                x0 = operator.normal_solve(torch.add(aty, x0, alpha=rho), rho, x0)
            x = x0 + sigma_next * rng.normal(x)
            yield Step(x, x0, sigma)

    def _lit(
        self, operator: LinearOperator, y: Tensor, aty: Tensor, x0: Tensor, sigma_y: float, sigma: float
    ) -> Tensor:
        """Take the data step for u = f x, picture by picture, as each has a factor of its own, and divide by it again."""
        f = light_factor(operator(x0), y, sigma_y)
        parts = []
        for at, v, u in zip(aty.split(1), f.flatten().tolist(), (f * x0).split(1)):
            rho = self.lambda_ * (sigma_y / (v * sigma)) ** 2
            parts.append(operator.normal_solve(torch.add(at, u, alpha=rho), rho, u))
        return torch.cat(parts) / f

    def _published(
        self, operator: LinearOperator, y: Tensor, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng
    ) -> Iterator[Step]:
        known, scale = self.unknown == "none", operator.spectral_norm(y)  # the paper's operators have the gain 1
        f, m = x.new_full((len(x), 1, 1, 1), 1.0 if known else 0.01), torch.zeros_like(x[:, :1])
        for sigma, sigma_next in zip(sigmas, sigmas[1:]):
            x0 = denoise(x, sigma)
            r = operator.adjoint(operator(f * x0 + m) - y) / scale**2
            per = 2 / y[0].numel()  # of the mean square
            up = sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2)
            x = torch.lerp(x0, x, (sigma_next / sigma) ** 2).add_(rng.normal(x), alpha=up)
            # On [-1, 1] the step is s d mse / d x0, of the state sqrt(alpha_bar) x; here both are half as large.
            x = x - PUBLISHED * x[0].numel() * per / 4 * math.sqrt(1 + 4 * sigma_next**2) * f * r
            if not known:
                f, m = f - per * (r * x0).sum((1, 2, 3), keepdim=True), m - per * r.sum(1, keepdim=True)
            yield Step(x, x0, sigma)
