"""The data step of splitting methods finds the picture near x0 that the measurement likes best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.inference.censored import Censored
from restorekit.inference.derived_laws import Joint
from restorekit.inference.likelihood import Gaussian, Likelihood
from restorekit.inference.problem import CLEAN, Problem
from restorekit.inference.rng import Rng
from restorekit.inference.sited import Sited
from restorekit.operators.base import near
from restorekit.operators.coded import Coded
from restorekit.operators.combine import Weighted
from restorekit.operators.diagonal import Identity, Inpaint

FURTHEST = 5.0  # deviations of the noise that one step of scoring goes up; beyond, x0 is wrong, and y no outlier
# Deviation of x0 above which a step about it leaves what the curve is straight over: pixels of pictures are known as well without it.
WIDEST = 0.2


def data_step(
    problem: Problem, solver: str, rng: Rng | None = None, closed: bool = False
) -> Callable[[Tensor, float], Tensor]:
    """Return a function (x0, t) -> argmin_x -log p(y | x) + ||x - x0||^2 / (2 t^2), pictures (B, C, H, W).

    Iterations start at x0, which is right where y says nothing. Exact for Gaussian noise, and for unbiased laws with a
    proximal step; of a sensor that stops, one step of expectation maximisation where pixels are seen one by one; otherwise one step of Fisher scoring towards it. The latter for speckle in the logarithm too, whose
    proximal step is closed: with a weak prior its minimum is the speckle itself, 0.58 too low on average at one look,
    where the score is right on average (tests/inference/test_units.py). closed: take that proximal step all the same.
    rng: adds noise as large as that of the measurement to the response; for draws. Raises `Unsupported` in the name of
    `solver`, as `check_data_step`.
    """
    law = problem.likelihood
    if isinstance(problem.operator, Coded) and gaussian(law):
        return _relinearised(*folded(problem, solver))
    if gaussian(law):
        operator, y, sigma_y = problem.least_squares(solver, CLEAN)
        aty = operator.adjoint(y)

        def solve(x0: Tensor, t: float) -> Tensor:
            rho = (sigma_y / t) ** 2
            return operator.normal_solve(torch.add(aty, x0, alpha=rho), rho, x0, tolerance=near(x0))

        return solve
    if isinstance(law, Sited):
        problem = replace(problem, likelihood=problem.held(law, CLEAN))
    if isinstance(law, Censored):
        if rng is None and isinstance(uncoded(problem).operator, Identity | Inpaint):
            return _expected(problem)
    elif _separable(problem, closed):
        return _proximal(problem)
    return _scoring(problem, solver, rng)


def _relinearised(operator: Coded, y: Tensor, sigma_y: float) -> Callable[[Tensor, float], Tensor]:
    """Return the data step of coded pictures, linear about x0: one step of Gauss-Newton, from no further than `WIDEST`."""

    def solve(x0: Tensor, t: float) -> Tensor:
        t = min(t, WIDEST)
        rho, tangent = (sigma_y / t) ** 2, operator.linearised(x0, t)
        right = tangent.adjoint(y - operator(x0) + tangent(x0))
        return tangent.normal_solve(torch.add(right, x0, alpha=rho), rho, x0, tolerance=near(x0))

    return solve


def folded(problem: Problem, solver: str, least: float = CLEAN) -> tuple[Coded, Tensor, float]:
    """Return (A of coded pictures, y, sigma_y) of a Gaussian problem of those; unequal noise and masks are in A and y, as
    with `least_squares`."""
    coded = problem.operator
    operator, y, sigma_y = uncoded(problem).least_squares(solver, least)
    assert isinstance(coded, Coded)
    return replace(coded, inner=operator), y, sigma_y


def uncoded(problem: Problem) -> Problem:
    """Return the problem of light that one of coded pictures stands for; any other itself."""
    operator = problem.operator
    return replace(problem, operator=operator.inner) if isinstance(operator, Coded) else problem


def _proximal(problem: Problem) -> Callable[[Tensor, float], Tensor]:
    def solve(x0: Tensor, t: float) -> Tensor:
        found = problem.likelihood.prox(problem.y, x0, 1 / t**2)
        return found if problem.mask is None else torch.where(problem.mask > 0, found, x0)

    return solve


def _expected(problem: Problem) -> Callable[[Tensor, float], Tensor]:
    """A value at a stop of pixels seen one by one becomes what is expected beyond it: a first estimate, which lies at the
    stop, is moved no further than it can be off, where the proximal step asks only what is likeliest."""
    law, operator = problem.likelihood, problem.operator
    assert isinstance(law, Censored)

    def solve(x0: Tensor, t: float) -> Tensor:
        y = law.expected(problem.y, operator(x0))
        return data_step(replace(problem, y=y, likelihood=law.law), "")(x0, t)

    return solve


def working_residual(problem: Problem, m: Tensor, spread: float | Tensor = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Return the working response of Fisher scoring (IRLS) at the measurement m: (score / information, 1 /
    information, m as clamped).

    Near m the law looks Gaussian, of mean m + residual and that variance. Each is like y; the residual is 0 where y is
    masked. spread: the variance of m, which counts for values that stopped (`Sited.site`).
    """
    law = problem.likelihood
    if isinstance(law, Sited):
        step, variance = law.site(problem.y, m, torch.as_tensor(spread).to(m).expand_as(m))
        return step if problem.mask is None else problem.mask * step, variance, m
    m = law.within(problem.y, m)
    variance = 1 / law.information(m)
    step = -law.gradient(problem.y, m) * variance
    if not law.unbiased:  # then it grows as a power of y or exponentially
        step = step.clamp(max=FURTHEST * variance**0.5)
    return step if problem.mask is None else problem.mask * step, variance, m


def _scoring(problem: Problem, solver: str, rng: Rng | None) -> Callable[[Tensor, float], Tensor]:
    operator, linear = problem.operator, uncoded(problem).linear(solver)
    valid = 1.0 if problem.mask is None else problem.mask
    stops = isinstance(problem.likelihood, Sited)
    gain = problem.gain if stops else 0.0  # as if x0 were off alike in all that a value sees

    def solve(x0: Tensor, t: float) -> Tensor:
        mean = operator(x0)
        if isinstance(operator, Coded):
            t = min(t, WIDEST)
            tangent = replace(operator, inner=linear).linearised(x0, t)
            off = tangent(torch.full_like(x0, t)) if stops else 0.0
        else:
            tangent, off = None, gain * t
        step, variance, m = working_residual(problem, mean, off**2)
        noise = 0.0 if rng is None else variance**0.5 * rng.normal(m)
        weight = valid * variance**-0.5
        weighted = Weighted.of(linear, weight)
        response = weight * (m + step + noise)
        if tangent is not None:
            weighted = replace(tangent, inner=weighted)
            response = response - weight * mean + weighted(x0)
        right = weighted.adjoint(response)
        # The weights may lie far apart, which the preconditioner does not know.
        return weighted.normal_solve(right + x0 / t**2, 1 / t**2, x0, tolerance=(1 if stops else 0.1) * near(x0))

    return solve


def gaussian(law: Likelihood) -> bool:
    """Return True where the law is Gaussian, or joins Gaussian ones alone."""
    return isinstance(law, Gaussian) or (isinstance(law, Joint) and all(gaussian(part) for part in law.parts))


def _separable(problem: Problem, closed: bool = False) -> bool:
    """Return True where the data step is the law's own proximal step."""
    if not isinstance(problem.operator, Identity) or not (
        closed or (problem.mask is None and problem.likelihood.unbiased)
    ):
        return False
    try:
        problem.likelihood.prox(problem.y[:1], problem.y[:1], 1.0)
    except Unsupported:
        return False
    return True


def check_data_step(problem: Problem, solver: str) -> None:
    """Raise `Unsupported` in the name of `solver` where the problem has no data step: not linear, or of unknown noise."""
    problem = uncoded(problem)
    if gaussian(problem.likelihood):
        problem.least_squares(solver)
    elif not _separable(problem):
        problem.linear(solver)
        problem.likelihood.information(problem.y[:1])
