"""MMPS: Rozet, Andry, Lanusse, Louppe, "Learning Diffusion Priors from Observations by Expectation Maximization",
NeurIPS 2024, section 4.2: moment matching posterior sampling.

p(y | x_t) is taken as N(A x0, A V A' + sigma_y^2 I) with V = Cov[x0 | x_t] = sigma^2 J (Tweedie), J the Jacobian of the
denoiser: V is applied by vector-Jacobian products, the inverse by conjugate gradients. Exact for Gaussian priors.
For other noise laws y - A x0 and sigma_y^2 are those of one step of Fisher scoring at x0 (data_step.py).
Deviation: a network's J is not quite symmetric; where its curvature is negative the iteration stops (base.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.likelihood import Gaussian
from restorekit.operators.base import conjugate_gradients
from restorekit.solvers.data_step import gaussian, working_residual
from restorekit.solvers.unconditional import named
from restorekit.types import CLEAN, Denoiser, Problem, Rng, Solver, Step


@dataclass(frozen=True, eq=False)
class MMPS(Solver):
    """`iterations` + 1 vector-Jacobian products per network call."""

    iterations: int = 5  # of the conjugate gradients
    sampler: str = "sde"

    reference = "mmps"
    needs = "a linear operator; any noise law that says how noisy it is"
    gradient = True
    least_steps = 6
    default_steps = 25

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ValueError(f"iterations={self.iterations} must be at least 1")
        named(self.sampler)

    @property
    def products(self) -> int:
        return self.iterations + 1

    def calls(self, sigmas: Sequence[float]) -> int:
        return named(self.sampler).calls(len(sigmas) - 1)

    def check(self, problem: Problem) -> None:
        if gaussian(problem.likelihood):
            problem.least_squares("mmps")
        else:
            problem.linear("mmps")
            problem.likelihood.information(problem.y[:1])

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        operator, part = problem.linear("mmps"), problem
        if gaussian(problem.likelihood):  # unequal noise and masks folded into the operator
            operator, y, sigma_y = problem.least_squares("mmps", CLEAN)
            part = Problem(y, operator, Gaussian(sigma_y))
        valid = 1.0 if part.mask is None else part.mask

        def conditional(x: Tensor, sigma: float | Tensor, /) -> Tensor:
            with torch.enable_grad():
                leaf = x.detach().requires_grad_(True)
                x0 = denoise(leaf, sigma)

            def covariance(v: Tensor) -> Tensor:
                return sigma**2 * torch.autograd.grad(x0, leaf, v, retain_graph=True)[0]

            residual, variance, _ = working_residual(part, operator(x0.detach()))

            def normal(u: Tensor) -> Tensor:
                return valid * operator(covariance(operator.adjoint(u))) + variance * u

            u = conjugate_gradients(normal, residual, iterations=self.iterations, orthogonal=True)
            return x0.detach() + covariance(operator.adjoint(u))

        yield from named(self.sampler)(conditional, sigmas, x, rng)
