"""SAR-DPS: Wang, Han, Zhang, TGRS 2025; seed 002, eqs 22 to 24, in the logarithm of intensity.

Eq 23 adds J'R' to the score of the prior: J is the Jacobian of x0 by x, R' the derivative of the log-likelihood at x0, for
gamma speckle L (y - x) / x^2 (eq 24), which is L (y e^-u - 1) by u = ln x: concave, of information L everywhere, and at home
wherever x0 is. Neither says how far to go. Here, with b = R' over the information I and the covariance V = sigma^2 J of x0
(Tweedie), as far as prior and likelihood balance along that direction; that is MMPS with one of its iterations, for any law:

    x0_y = x0 + alpha V A'b,    alpha = b'b / (b'A V A'b + b'b / I)

paper=True: x0 + V A'R', the full weight of eq 24, whose linear form needs a prior that keeps intensities above 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.operators.diagonal import Identity
from restorekit.schedule import log_uniform
from restorekit.solvers.data_step import working_residual
from restorekit.solvers.unconditional import named
from restorekit.types import Denoiser, Problem, Rng, Solver, Step


@dataclass(frozen=True, eq=False)
class SARDPS(Solver):
    """One vector-Jacobian product per network call."""

    first: float | None = None  # noise level to start from; None: 5 deviations of the noise to denoise, otherwise 10
    sampler: str = "sde"
    paper: bool = False

    reference = "sardps"
    tunable = {"first": (0.3, 10.0)}
    needs = "a linear operator; any noise law that says how noisy it is"
    gradient = True
    default_steps = 13

    def __post_init__(self) -> None:
        if self.first is not None and not self.first > 0:
            raise ValueError(f"first={self.first:g} must be positive")
        named(self.sampler)

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        first = 5 * problem.noise_level() if isinstance(problem.operator, Identity) else 10.0
        first = self.first or first
        return log_uniform(steps or self.default_steps, first, min(0.02, 0.5 * first))

    def calls(self, sigmas: Sequence[float]) -> int:
        return named(self.sampler).calls(len(sigmas) - 1)

    def check(self, problem: Problem) -> None:
        problem.linear("sar-dps")
        problem.likelihood.information(problem.y[:1])

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        operator = problem.linear("sar-dps")

        def conditional(x: Tensor, sigma: float | Tensor, /) -> Tensor:
            with torch.enable_grad():
                leaf = x.detach().requires_grad_(True)
                x0 = denoise(leaf, sigma)
            b, variance, _ = working_residual(problem, operator(x0.detach()))
            v = sigma**2 * torch.autograd.grad(x0, leaf, operator.adjoint(b / variance if self.paper else b))[0]
            across = (b * operator(v)).flatten(1).sum(1).clamp(min=0) + (b * b * variance).flatten(1).sum(1)
            alpha = b.square().flatten(1).sum(1) / across.clamp(min=1e-30)
            return x0.detach() + (1.0 if self.paper else alpha.view(-1, 1, 1, 1)) * v

        yield from named(self.sampler)(conditional, sigmas, x, rng)
