"""The data step of splitting methods: the picture near x0 that the measurement likes best."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.likelihood import Gaussian, Joint, Likelihood
from restorekit.operators.base import LinearOperator
from restorekit.operators.combine import Weighted
from restorekit.operators.diagonal import Identity
from restorekit.types import Problem, Rng

FLOOR = 1e-3  # sigma_y below this is treated as this
FURTHEST = 5.0  # deviations of the noise that one step of scoring goes up; beyond, x0 is wrong, and y no outlier


def data_step(problem: Problem, solver: str, rng: Rng | None = None) -> Callable[[Tensor, float], Tensor]:
    """(x0, t) -> argmin_x -log p(y | x) + ||x - x0||^2 / (2 t^2), iterations starting at x0, right where y says nothing.

    Exact for Gaussian noise, and for unbiased laws with a proximal step; otherwise one step of Fisher scoring towards it.
    The latter for speckle in the logarithm too, whose proximal step is closed: with a weak prior its minimum is the speckle
    itself, 0.58 too low on average at one look, where the score is right on average (tests/test_units.py).
    rng: adds noise as large as that of the measurement to what scoring takes it for; for draws.
    """
    if _gaussian(problem.likelihood):
        operator, y, sigma_y = problem.least_squares(solver)
        aty, sigma_y = operator.adjoint(y), max(sigma_y, FLOOR)

        def solve(x0: Tensor, t: float) -> Tensor:
            rho = (sigma_y / t) ** 2
            return operator.normal_solve(torch.add(aty, x0, alpha=rho), rho, x0, tolerance=1e-4)

        return solve
    return _proximal(problem) if _separable(problem) else _scoring(problem, problem.linear(solver), rng)


def _proximal(problem: Problem) -> Callable[[Tensor, float], Tensor]:
    return lambda x0, t: problem.likelihood.prox(problem.y, x0, 1 / t**2)


def _scoring(problem: Problem, operator: LinearOperator, rng: Rng | None) -> Callable[[Tensor, float], Tensor]:
    """With m = A x0 the law looks Gaussian: of mean m - gradient / information, and of that information."""
    law, valid = problem.likelihood, 1.0 if problem.mask is None else problem.mask

    def solve(x0: Tensor, t: float) -> Tensor:
        m = operator(x0)
        m = torch.maximum(m, 0.1 * problem.y) if law.positive else m  # x0 of an early step is no intensity
        information = law.information(m)
        step = -law.gradient(problem.y, m) / information
        if not law.unbiased:  # then it grows as a power of y or exponentially
            step = step.clamp(max=FURTHEST * information**-0.5)
        noise = 0.0 if rng is None else information**-0.5 * rng.normal(m)
        working = m + step + noise
        weighted = Weighted.of(operator, valid * information.sqrt())
        right = weighted.adjoint(valid * information.sqrt() * working)
        return weighted.normal_solve(right + x0 / t**2, 1 / t**2, x0, tolerance=1e-4)

    return solve


def _gaussian(law: Likelihood) -> bool:
    return isinstance(law, Gaussian) or (isinstance(law, Joint) and all(_gaussian(part) for part in law.parts))


def _separable(problem: Problem) -> bool:
    """Whether the data step is the law's own proximal step."""
    if not isinstance(problem.operator, Identity) or problem.mask is not None or not problem.likelihood.unbiased:
        return False
    try:
        problem.likelihood.prox(problem.y[:1], problem.y[:1], 1.0)
    except Unsupported:
        return False
    return True


def check_data_step(problem: Problem, solver: str) -> None:
    if _gaussian(problem.likelihood):
        problem.least_squares(solver)
    elif not _separable(problem):
        problem.linear(solver)
        problem.likelihood.information(problem.y[:1])
