"""FlowDPS and PnP-Flow: one step worked out by hand in the time of a flow, where they end, and the grids of their papers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from restorekit import operators as ops
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian, Poisson
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.solver import Solver
from restorekit.priors.analytic import GaussianPrior
from restorekit.priors.precond import Adapted, Flow
from restorekit.solvers import GDP, EnKG, FlowDPS, PnPFlow
from tests.support.oracle import ORACLES, SHAPE, Stream

F64 = torch.float64
PRIOR = GaussianPrior(torch.full(SHAPE, 0.4, dtype=F64), torch.linspace(0.01, 0.3, 144, dtype=F64).view(SHAPE), "pixel")


def velocity(z_t: Tensor, t: Tensor) -> Tensor:
    """E[n - z0 | z_t] of z_t = (1 - t) z0 + t n, the pictures of PRIOR on [-1, 1]."""
    t = t.view(-1, 1, 1, 1)
    mean, c = 2 * PRIOR.mean - 1, 4 * PRIOR.variances
    off = (z_t - (1 - t) * mean) / ((1 - t) ** 2 * c + t**2)
    return t * off - (mean + (1 - t) * c * off)


def drawn(like: Tensor) -> Tensor:
    """What a solver draws first with Rng([5])."""
    return Rng([5]).normal(like)


def measured(gain: float = 1.0) -> Problem:
    y = gain * torch.rand(1, 144, dtype=F64, generator=torch.Generator().manual_seed(1))
    return Problem(y, ops.Matrix(SHAPE, gain * torch.eye(144, dtype=F64)), Gaussian(0.1 * gain))


def at(t: float) -> float:
    """The level of a picture on [0, 1] at the time t of a flow on [-1, 1]."""
    return t / (1 - t) / 2


def test_a_step_of_flowdps_in_the_time_of_the_flow() -> None:
    t, s, weight = 0.7, 0.4, 3.0
    z_t = torch.randn(1, *SHAPE, dtype=F64, generator=torch.Generator().manual_seed(0))
    v = velocity(z_t, torch.tensor([t], dtype=F64))
    z0, n = z_t - t * v, z_t + (1 - t) * v
    torch.testing.assert_close((1 - t) * z0 + t * n, z_t)  # Tweedie: the two ends lie on the line
    problem, level = measured(), 2 * at(t)  # of the noise in z_t / (1 - t)
    y = 2 * problem.y.view_as(z0) - 1
    z0 = (y / 0.2**2 + weight * z0 / level**2) / (1 / 0.2**2 + weight / level**2)
    expected = (1 - s) * z0 + s * (math.sqrt(s) * n + math.sqrt(1 - s) * drawn(z0))
    x, denoise = (z_t / (1 - t) + 1) / 2, Adapted(velocity, "velocity", Flow())
    step = next(iter(FlowDPS(lambda_=weight)(problem, denoise, [at(t), at(s), 0.0], x, Rng([5]))))
    torch.testing.assert_close((2 * step.x - 1) * (1 - s), expected)


def test_the_published_share_of_the_correction_is_the_time() -> None:
    problem, x, t = measured(), torch.rand(1, *SHAPE, dtype=F64, generator=torch.Generator().manual_seed(0)), 0.3
    x0, whole, published = (
        next(iter(solver(problem, PRIOR, [at(t), at(0.1), 0.0], x, Rng([5])))).x0
        for solver in (FlowDPS(lambda_=1e12), FlowDPS(lambda_=1.0), FlowDPS(paper=True))
    )
    torch.testing.assert_close(published - x0, t * (whole - x0), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("gain", [1.0, 50.0])
def test_a_step_of_pnpflow_in_its_own_time(gain: float) -> None:
    """Its t is 1 at the picture: x_t = t x1 + (1 - t) n, D_t(x) = x + (1 - t) v with the velocity x1 - n."""
    t, problem = 0.6, measured(gain)
    x = torch.rand(1, *SHAPE, dtype=F64, generator=torch.Generator().manual_seed(0))
    z = x - 0.8 * (1 - t) ** 0.5 * (x - problem.y.view_as(x) / gain)  # A'(A x - y) over the gain squared
    z_t = t * (2 * z - 1) + (1 - t) * drawn(z)
    x1 = z_t - (1 - t) * velocity(z_t, torch.tensor([1 - t], dtype=F64))
    step = next(iter(PnPFlow(lr=0.8, alpha=0.5)(problem, PRIOR, [at(1 - t), 0.0], x, Rng([5]))))
    torch.testing.assert_close(step.x, (x1 + 1) / 2, rtol=0, atol=1e-6)  # the gain is found by iteration


def test_draws_are_averaged() -> None:
    problem, x = measured(), torch.rand(1, *SHAPE, dtype=F64, generator=torch.Generator().manual_seed(0))
    steps = list(PnPFlow(draws=3)(problem, PRIOR, [0.5, 0.0], x, Rng([5])))
    torch.testing.assert_close(steps[2].x, torch.stack([step.x0 for step in steps]).mean(0))


@pytest.mark.parametrize("name", ["denoise", "inpaint", "average", "blur"])
@pytest.mark.parametrize("sigma_y", [0.02, 0.05])
def test_pnpflow_ends_near_the_posterior_mean(name: str, sigma_y: float) -> None:
    """In posterior deviations; a draw of the posterior would be 1 off, the middle of the prior far more."""
    operator = ORACLES[name]().operator
    prior, g = GaussianPrior.smooth(SHAPE), torch.Generator().manual_seed(0)
    y = Gaussian(sigma_y).sample(operator(prior.sample(1, g)), g)
    mean, covariance = prior.posterior(operator, y, sigma_y)
    found = restore(Problem(y, operator, Gaussian(sigma_y)), prior, PnPFlow()).samples
    off = float(((found - mean).flatten().square() / covariance.diagonal()).mean().sqrt())
    assert off < 0.95, off


@pytest.mark.parametrize("peak", [20.0, 200.0])
@pytest.mark.parametrize("name", ["denoise", "average"])
def test_steps_stay_stable_where_the_law_bends_more_than_the_typical_noise_says(name: str, peak: float) -> None:
    """Counts: noise falls with the brightness, from 0.15 to 0.9 here. Without Polyak's limit steps go up to 2.5 times too far."""
    prior, g = GaussianPrior.smooth(SHAPE, std=0.12), torch.Generator().manual_seed(0)
    law, operator = Poisson(peak), ORACLES[name]().operator
    x0 = prior.sample(1, g).clamp(min=1e-3)
    problem = Problem(law.sample(operator(x0), g), operator, law)
    found = restore(problem, prior, PnPFlow()).samples
    assert float((found - x0).square().mean().sqrt()) < 0.5 * float((prior.mean - x0).square().mean().sqrt())
    assert problem.misfit(found) < 1.4


PUBLISHED: dict[str, tuple[Solver, int, dict[int, float]]] = {
    # 28 steps uniform in t, each t then 4 t / (1 + 3 t): the second is 4 (27/28) / (1 + 3 * 27/28), the last one 4/31.
    "flowdps": (FlowDPS(paper=True), 28, {1: 108 / 109, 14: 4 / 5, 27: 4 / 31}),
    # t = n / 101 of the picture, so that 1 - t is the time of the noise
    "pnpflow": (PnPFlow(paper=True), 100, {0: 100 / 101, 49: 51 / 101, 99: 1 / 101}),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_grids_of_the_papers(name: str) -> None:
    solver, count, times = PUBLISHED[name]
    levels = solver.schedule(measured(), None)
    assert (len(levels), levels[-1]) == (count + 1, 0)
    assert solver.calls(levels) == count * (5 if name == "pnpflow" else 1)
    for i, t in times.items():
        assert levels[i] == pytest.approx(at(t))


def test_what_a_paper_fixes_is_refused_beside_it() -> None:
    for make in (lambda: FlowDPS(lambda_=3.0, paper=True), lambda: PnPFlow(alpha=0.9, paper=True)):
        with pytest.raises(ValueError, match="must be left out"):
            make()
    for make in (lambda: FlowDPS(lambda_=0.0), lambda: PnPFlow(lr=2.0), lambda: PnPFlow(draws=0)):
        with pytest.raises(ValueError, match="must"):
            make()


def test_one_answer_from_one_seed() -> None:
    oracle = ORACLES["inpaint"]()
    y = oracle.draw(1, 0)[1]
    runs = [list(PnPFlow()(oracle.problem(y), oracle.prior, [0.3, 0.0], y, Stream(7)))[-1].x for _ in range(2)]
    assert torch.equal(*runs)
    assert not PnPFlow.is_sampler


@pytest.mark.parametrize("operator", ["denoise", "dense"])
@pytest.mark.parametrize("solver", [FlowDPS(), PnPFlow(), GDP(), GDP("gain"), EnKG(16, inner=3)], ids=repr)
def test_the_unit_of_the_measurement_does_not_matter(solver: Solver, operator: str) -> None:
    """A, y and sigma_y times k, at the levels of the solver's own."""
    g = torch.Generator().manual_seed(0)
    matrix = torch.eye(144, dtype=F64) if operator == "denoise" else torch.randn(40, 144, dtype=F64, generator=g) / 12
    prior = GaussianPrior.smooth(SHAPE)
    y = Gaussian(0.02).sample(prior.sample(1, g).flatten(1) @ matrix.T, g)
    begin = prior.mean[None]
    one, small, large = (
        restore(
            Problem(k * y, ops.Matrix(SHAPE, k * matrix), Gaussian(0.02 * k)), prior, solver, steps=20, begin=begin
        ).samples
        for k in (1.0, 1e-3, 1e3)
    )
    torch.testing.assert_close(small, one, rtol=0, atol=1e-4)
    torch.testing.assert_close(large, one, rtol=0, atol=1e-4)
