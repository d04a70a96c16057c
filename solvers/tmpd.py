"""TMPD: Boys, Girolami, Pidstrigach, Reich, Mosca, Akyildiz, "Tweedie Moment Projected Diffusions for Inverse Problems",
TMLR 2024: p(y | x_t) is taken as N(A x0, A V A' + sigma_y^2 I), V = sigma^2 J the covariance of x0 by Tweedie's formula.

A V A' is replaced by a diagonal, the sums of its rows, which cost one vector-Jacobian product: exact where it is diagonal,
and where all correlations are positive an upper bound, so that no step overshoots.
Deviations: the diagonal is taken in the singular basis of A, where it has one, as behind a blur A V A' is far from diagonal in
pixels (operators without an SVD are refused there at low noise, gains.py). Row sums of other priors are no bound, and may be
negative: their absolute values count, and along the direction d found so the system with A V A' itself is solved, as in one
step of MMPS: alpha = d'b / (d'A V A'd + sigma_y^2 d'd), b = y - A x0. paper=True: pixels, row sums from 0 up, alpha = 1, and ancestral
steps on the 1000 levels of the DDPM time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import Problem
from restorekit.inference.schedule import vp_uniform
from restorekit.operators.base import SVDOperator
from restorekit.solvers.parts.gains import refuse_uneven
from restorekit.solvers.parts.guided import Guided, Tweedie
from restorekit.solvers.samplers import Sampler, named


@dataclass(frozen=True, eq=False)
class TMPD(Guided):
    """It takes two vector-Jacobian products per network call. Use it where `mmps` with its six is too slow."""

    sampler: str = "sde"
    paper: bool = False

    reference = "tmpd"
    when = "Take it where mmps is too slow: fewer gradients for each call, and farther from the posterior."
    needs = "a linear operator, where its gains lie far apart one with an SVD; Gaussian noise"
    gradient = True
    default_steps = 25

    def __post_init__(self) -> None:
        self.process()

    def process(self) -> Sampler:
        return named("ddpm" if self.paper else self.sampler)

    @property
    def products(self) -> int:
        return 2

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        return vp_uniform(steps or 1000) if self.paper else super().schedule(problem, steps)

    def check(self, problem: Problem) -> None:
        operator, _, _ = problem.least_squares("tmpd")
        if not (self.paper or isinstance(operator, SVDOperator)):
            refuse_uneven(problem, "tmpd", 0.007)

    @torch.no_grad()
    def conditional(self, problem: Problem, denoise: Denoiser, /) -> Denoiser:
        operator, y, sigma_y = problem.least_squares("tmpd")
        ut, u = (lambda y: y), (lambda c: c)
        if isinstance(operator, SVDOperator) and not self.paper:
            ut, u = operator.ut, operator.u
        total = operator.adjoint(u(torch.ones_like(ut(y))))

        def conditional(x: Tensor, sigma: float | Tensor, /) -> Tensor:
            tweedie = Tweedie(denoise, x, sigma)
            rows = ut(operator(tweedie.covariance(total)))
            b = y - operator(tweedie.x0)
            d = u(ut(b) / ((rows.clamp(min=0) if self.paper else rows.abs()) + sigma_y**2))
            v = tweedie.covariance(operator.adjoint(d), last=True)
            if self.paper:
                return tweedie.x0 + v
            across = (d * operator(v)).flatten(1).sum(1).clamp(min=0) + sigma_y**2 * d.square().flatten(1).sum(1)
            alpha = (d * b).flatten(1).sum(1) / across.clamp(min=torch.finfo(x.dtype).tiny)
            return tweedie.x0 + alpha.view(-1, 1, 1, 1) * v

        return conditional
