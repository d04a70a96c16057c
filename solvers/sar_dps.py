"""SAR-DPS: Wang, Han, Zhang, TGRS 2025, in the logarithm of intensity; equations as in Wang, Wu, Li, Yang, "Review of diffusion
models for inverse problems in image processing", J. National University of Defense Technology 47(4), 2025.

Eq 23 adds J'R' to the score of the prior: J is the Jacobian of x0 by x, R' the derivative of the log-likelihood at x0, for
gamma speckle L (y - x) / x^2 (eq 24), which is L (y e^-u - 1) by u = ln x: concave, of information L everywhere, and at home
wherever x0 is. Neither says how far to go. Here, with b = R' over the information I and the covariance V = sigma^2 J of x0
(Tweedie), as far as prior and likelihood balance along that direction; that is MMPS with one of its iterations, for any law:

    x0_y = x0 + alpha V A'd,    alpha = d'b / (d'A V A'd + d'd / I)

with d = b, or under Gaussian noise d = (r_t^2 A A' + sigma_y^2 I)^-1 b, r_t as in PiGDM: through a blur whose gains lie far
apart b alone is no direction to go. To denoise, through a mask and for means of blocks they are the same.

paper=True: x0 + V A'R', the full weight of eq 24, whose linear form needs a prior that keeps intensities above 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.inference.censored import Censored
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import CLEAN, Problem
from restorekit.inference.schedule import log_uniform
from restorekit.operators.base import LinearOperator, near
from restorekit.operators.diagonal import Identity
from restorekit.solvers.parts.data_step import gaussian, working_residual
from restorekit.solvers.parts.guided import Guided, Tweedie
from restorekit.solvers.quadrature import row_norms
from restorekit.solvers.samplers import Sampler, named

SPREAD = 0.25  # of pictures on [0, 1], and of what `units.py` makes of others


def spread(sigma: float) -> float:
    """Return about the deviation of x0 given x_t, for pixels of deviation 0.25: that of PiGDM."""
    return SPREAD * sigma / (SPREAD**2 + sigma**2) ** 0.5


def balanced(operator: LinearOperator, b: Tensor, rho: float) -> Tensor:
    """Return rho (A A' + rho I)^-1 b, like b (B, ...): b itself, up to its length, where A A' is a multiple of the
    identity."""
    return b - operator(operator.normal_solve(operator.adjoint(b), rho, tolerance=near(b)))


@dataclass(frozen=True, eq=False)
class SARDPS(Guided):
    """It takes one vector-Jacobian product per network call."""

    first: float | None = None  # noise level to start from; None: 5 deviations of the noise to denoise, otherwise 10
    sampler: str = "sde"
    paper: bool = False

    reference = "sardps"
    when = "Take it for speckle in the logarithm where ep is too slow; it is biased where intensities lie far apart."
    tunable = {"first": (0.3, 10.0)}
    least_noise = CLEAN
    needs = "a linear operator; any noise law that says how noisy it is"
    gradient = True
    least_steps = 5
    default_steps = 13

    def __post_init__(self) -> None:
        if self.first is not None and not self.first > 0:
            raise ValueError(f"first={self.first:g} must be positive")
        if self.paper:
            object.__setattr__(self, "least_noise", 0.0)
        named(self.sampler)

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        told = isinstance(problem.operator, Identity) and not isinstance(problem.likelihood, Censored)
        first = 5 * problem.picture_noise() if told else 10.0
        first = self.first or first
        last = problem.last_level(0.4, most=0.02)
        return log_uniform(steps or self.default_steps, first, min(last, 0.5 * first))

    def process(self) -> Sampler:
        return named(self.sampler)

    def check(self, problem: Problem) -> None:
        problem.linear("sar-dps")
        problem.likelihood.information(problem.y[:1])

    @torch.no_grad()
    def conditional(self, problem: Problem, denoise: Denoiser, /) -> Denoiser:
        operator, part, sigma_y = problem.linear("sar-dps"), problem, None
        if gaussian(problem.likelihood) and not self.paper:  # unequal noise and masks folded into the operator
            operator, y, sigma_y = problem.least_squares("sar-dps", self.least_noise)
            part = Problem(y, operator, Gaussian(sigma_y))
        law = problem.likelihood
        seen = float(row_norms(operator, part.y, 4).square().mean()) if isinstance(law, Censored) else 0.0

        def conditional(x: Tensor, sigma: float | Tensor, /) -> Tensor:
            tweedie = Tweedie(denoise, x, sigma)
            b, variance, _ = working_residual(part, operator(tweedie.x0), seen * spread(float(sigma)) ** 2)
            d = b if sigma_y is None else balanced(operator, b, (sigma_y / spread(float(sigma))) ** 2)
            v = tweedie.covariance(operator.adjoint(d / variance if self.paper else d), last=True)
            across = (d * operator(v)).flatten(1).sum(1).clamp(min=0) + (d * d * variance).flatten(1).sum(1)
            alpha = (d * b).flatten(1).sum(1) / across.clamp(min=torch.finfo(b.dtype).tiny)
            return tweedie.x0 + (1.0 if self.paper else alpha.view(-1, 1, 1, 1)) * v

        return conditional
