"""SITCOM: Alkhouri et al., "SITCOM: Step-wise Triple-Consistent Diffusion Sampling for Inverse Problems", ICML 2025,
Algorithm 1. At each level the INPUT v of the network is fitted, from the state x_t on, by Adam:

    v = argmin_v -log p(y | D(v)) + lambda ||v - x_t||^2 / (2 sigma^2)      until y is met as closely as its noise allows
    x_s = D(v) + s n                                                        n fresh

so that the estimate is an output of the network (backward consistency), explains y (measurement consistency), and the state
is that estimate noised as the forward process does it (forward consistency). It returns one optimum: nothing in it knows
how far the posterior spreads.
Deviation: both terms have their Bayesian weights, whatever the noise law; in the paper that of the second has a unit.
paper=True: without the second, on 20 levels uniform in the DDPM time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import vp_uniform
from restorekit.inference.solver import Solver, Step
from restorekit.operators.diagonal import Inpaint


def values(problem: Problem) -> float:
    """Return the number of values of y that measure a picture, without those that a mask hides."""
    mask = torch.ones_like(problem.y[:1]) if problem.mask is None else problem.mask[:1].expand_as(problem.y[:1])
    if isinstance(problem.operator, Inpaint):
        mask = mask * (problem.operator.mask > 0)
    return float(mask.sum())


@dataclass(frozen=True, eq=False)
class SITCOM(Solver):
    """An optimiser that gives one answer. It makes up to `inner` + 1 network calls per level, each with a
    vector-Jacobian product."""

    inner: int = 20  # steps of Adam per level
    lr: float = 0.02  # of Adam, in the unit of the network's input, (unit^2 + sigma^2)^(1/2)
    lambda_: float = 1.0  # weight of ||v - x_t||^2, 1 being that of the noise of x_t
    unit: float = 0.5  # 1 of a picture on [-1, 1], for which networks that take v / (1 + (2 sigma)^2)^(1/2) are made
    stop: float = 1.0  # misfit at which a level ends, in deviations of the noise; 0: never
    paper: bool = False

    reference = "sitcom"
    when = "Take it for one answer of an operator that is not linear; for linear ones hqs and vds are cheaper."
    is_sampler = False
    gradient = True
    default_steps = 20

    def __post_init__(self) -> None:
        if self.inner < 1 or not min(self.lr, self.unit) > 0 or min(self.lambda_, self.stop) < 0:
            raise ValueError(
                f"inner={self.inner} must be at least 1, lr={self.lr:g} and unit={self.unit:g} positive, lambda={self.lambda_:g} and "
                f"stop={self.stop:g} must not be negative"
            )
        if self.paper:
            object.__setattr__(self, "lambda_", 0.0)

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        return vp_uniform(steps or 20) if self.paper else super().schedule(problem, steps)

    def calls(self, sigmas: Sequence[float]) -> int:
        return (len(sigmas) - 1) * (self.inner + 1)

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        enough = 0.5 * self.stop**2 * values(problem)
        for sigma, sigma_next in zip(sigmas, sigmas[1:]):
            v = x.clone().requires_grad_(True)
            adam = torch.optim.Adam([v], lr=self.lr * (self.unit**2 + sigma**2) ** 0.5, eps=1e-20)
            for k in range(self.inner + 1):
                with torch.enable_grad():
                    x0 = denoise(v, sigma)
                    nll = problem.nll(x0)
                    (g,) = torch.autograd.grad(nll.sum(), v)
                x0, met = x0.detach(), (nll.detach() <= enough).view(-1, 1, 1, 1)
                if k == self.inner or bool(met.all()):
                    x = x0 + sigma_next * rng.normal(x) if sigma_next > 0 else x0
                    yield Step(x, x0, sigma)
                    break
                yield Step(x0, x0, sigma)
                before = v.detach().clone()
                v.grad = g + self.lambda_ / sigma**2 * (before - x)
                adam.step()
                v.copy_(torch.where(met, before, v))
