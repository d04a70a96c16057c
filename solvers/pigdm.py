"""PiGDM: Song, Vahdat, Mardani, Kautz, "Pseudoinverse-Guided Diffusion Models for Inverse Problems", ICLR 2023, eq 7.

p(y | x_t) is taken as N(A x0, r_t^2 A A' + sigma_y^2 I). Its score, times sigma^2, turns the denoiser into a conditional
one, which any sampler of the prior can follow. Deviations: the paper weights that score by a constant of its schedule,
so that the result depends on the number of steps, and takes r_t for pictures of variance 1 on [-1, 1] (paper=True).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import CLEAN, Problem
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import vp_uniform
from restorekit.inference.solver import Step
from restorekit.operators.base import near
from restorekit.solvers.parts.gains import coherence
from restorekit.solvers.parts.guided import Guided, Tweedie
from restorekit.solvers.samplers import Sampler, named, reverse

# At noise below this, and behind means of 4x4 pixels and more, samples of correlated priors spread more than 1.3 times as widely as
# the exact posterior; behind means of 2x2 they do not (tests/solvers/test_noise_levels.py).
SUMMED, SMOOTH = 8.0, 0.1


@dataclass(frozen=True, eq=False)
class PiGDM(Guided):
    """It takes one vector-Jacobian product per network call, and refuses several samples behind means of many pixels
    at low noise."""

    prior_std: float = 0.25  # s per pixel, in the unit of the picture: r_t^2 = s^2 sigma^2 / (s^2 + sigma^2)
    sampler: str = "sde"
    paper: bool = False  # the published weight and steps, with prior_std = 1/2, and 100 levels of the DDPM time

    reference = "pigdm"
    when = (
        "Take it for draws of masks, blurs and noise at half the passes of mmps; sums of many pixels at low noise it "
        "refuses."
    )
    tunable = {"prior_std": (0.05, 0.5)}
    least_noise = CLEAN
    needs = "a linear operator and Gaussian noise"
    gradient = True
    least_steps = 8
    default_steps = 25

    def __post_init__(self) -> None:
        if self.prior_std <= 0:
            raise ValueError(f"prior_std={self.prior_std} must be positive")
        self.process()

    def process(self) -> Sampler:
        return named("ddpm" if self.paper else self.sampler)

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        return vp_uniform(steps or 100) if self.paper else super().schedule(problem, steps)

    def check(self, problem: Problem) -> None:
        problem.least_squares("pigdm")

    def check_draws(self, problem: Problem) -> None:
        operator, y, _ = problem.least_squares("pigdm")
        if problem.picture_noise() < SMOOTH and (pixels := coherence(operator, y)) > SUMMED:
            raise Unsupported(
                f"pigdm takes pixels for independent: its samples of what is known by sums of {pixels:.0f} lie too far apart "
                f"at noise below {SMOOTH:g} in the picture; leave out `samples` or take `solver=mmps`"
            )

    def _scores(self, problem: Problem, denoise: Denoiser) -> Callable[[Tensor, float], tuple[Tensor, Tensor, float]]:
        """Return a function (x, sigma) -> E[x0 | x], the score of p(y | x) and r^2."""
        operator, y, sigma_y = problem.least_squares("pigdm", self.least_noise)
        s2 = 0.25 if self.paper else self.prior_std**2

        def score(x: Tensor, sigma: float) -> tuple[Tensor, Tensor, float]:
            r2 = s2 * sigma**2 / (s2 + sigma**2)
            tweedie = Tweedie(denoise, x, sigma)
            # A' (r^2 A A' + sigma_y^2 I)^-1 = (A'A + rho I)^-1 A' / r^2, rho = sigma_y^2 / r^2
            residual = y - operator(tweedie.x0)
            v = operator.adjoint(residual)
            rho = sigma_y**2 / r2
            u = operator.normal_solve(v, rho, tolerance=near(x))
            g = tweedie.transposed(u / r2, last=True)
            if not self.paper:
                left = residual - operator(
                    u
                )  # |left|^2 + rho |u|^2 = residual'(residual - A u), without its cancellation
                energy = (left.square().flatten(1).sum(1) + rho * u.square().flatten(1).sum(1)) / sigma_y**2
                limit = energy / (sigma**2 * g.square().flatten(1).sum(1)).clamp(min=1e-30)
                g = g * limit.clamp(max=1).view(-1, 1, 1, 1)
            return tweedie.x0, g, r2

        return score

    @torch.no_grad()
    def conditional(self, problem: Problem, denoise: Denoiser, /) -> Denoiser:
        score = self._scores(problem, denoise)

        def conditional(x: Tensor, sigma: float | Tensor, /) -> Tensor:
            x0, g, _ = score(x, float(sigma))
            return x0 + sigma**2 * g

        return conditional

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        if not self.paper:
            yield from super().__call__(problem, denoise, sigmas, x, rng)
            return
        score = self._scores(problem, denoise)
        for sigma, sigma_next in zip(sigmas, sigmas[1:]):
            x0, g, r2 = score(x, sigma)
            x = reverse(x, x0, sigma, sigma_next, rng) + r2 * math.sqrt(1 + 4 * sigma_next**2) * g
            yield Step(x, x0, sigma)
