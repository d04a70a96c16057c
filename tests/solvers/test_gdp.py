"""GDP: its step by hand, and the light that it finds."""

from __future__ import annotations

import pytest
import torch

from restorekit import operators as ops
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import GDP
from restorekit.solvers.gdp import light_factor
from tests.support.oracle import ORACLES, SHAPE

F64 = torch.float64
EVEN = GaussianPrior(
    torch.full(SHAPE, 0.5, dtype=F64), torch.full(SHAPE, 0.15**2, dtype=F64), "pixel"
)  # scenes of one mean


def test_a_step_by_hand() -> None:
    """f by least squares, x0 where y = f x and the prior pull alike, and all noise fresh."""
    g = torch.Generator().manual_seed(0)
    x, y = (torch.rand(1, *SHAPE, dtype=F64, generator=g) for _ in range(2))
    sigma, sigma_next, sigma_y = 0.3, 0.2, 0.05
    x0 = EVEN(x, sigma)
    f = float((x0 * y).sum() + sigma_y**2) / float(x0.square().sum() + sigma_y**2)
    expected = (f * y / sigma_y**2 + 1.4 * x0 / sigma**2) / (f**2 / sigma_y**2 + 1.4 / sigma**2)
    problem = Problem(y, ops.Identity(SHAPE), Gaussian(sigma_y))
    step = next(iter(GDP("gain")(problem, EVEN, [sigma, sigma_next, 0.0], x, Rng([5]))))
    torch.testing.assert_close(step.x0, expected)
    torch.testing.assert_close(step.x, expected + sigma_next * Rng([5]).normal(x))


@pytest.mark.parametrize("factor", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("name", ["denoise", "inpaint", "average"])
def test_an_unknown_light_is_found_where_scenes_have_one_mean(name: str, factor: float) -> None:
    operator, g = ORACLES[name]().operator, torch.Generator().manual_seed(0)
    x0 = EVEN.sample(1, g)
    law = Gaussian(0.02 * factor)
    problem = Problem(law.sample(factor * operator(x0), g), operator, law)
    found = restore(problem, EVEN, GDP("gain"), samples=4).samples
    f = light_factor(operator(found), problem.y.expand(4, *problem.y.shape[1:]), 0.0).flatten()
    assert bool(((f / factor - 1).abs() < 0.06).all()), f / factor
    if factor != 1:
        blind = restore(problem, EVEN, GDP(), samples=4).samples
        errors = [float((x.mean(0) - x0[0]).square().mean().sqrt()) for x in (found, blind)]
        assert errors[0] < 0.6 * errors[1], errors


def test_each_sample_has_a_light_of_its_own() -> None:
    """A sample is a function of its seed, whatever else is in the batch."""
    operator, g = ORACLES["average"]().operator, torch.Generator().manual_seed(0)
    problem = Problem(0.4 * operator(EVEN.sample(1, g)), operator, Gaussian(0.02))
    runs = [restore(problem, EVEN, GDP("gain"), samples=3, batch=b).samples for b in (1, 3)]
    torch.testing.assert_close(*runs, rtol=0, atol=1e-9)


def test_the_published_steps() -> None:
    """From f = 0.01 and m = 0; the step on x0 is that of 80000 mean squares of 720000 values on [-1, 1]."""
    g = torch.Generator().manual_seed(0)
    x, y = (torch.rand(1, *SHAPE, dtype=F64, generator=g) for _ in range(2))
    sigma, sigma_next = 0.3, 0.2
    x0 = EVEN(x, sigma)
    ancestral = x0 + (sigma_next / sigma) ** 2 * (x - x0)
    up = sigma_next * (1 - (sigma_next / sigma) ** 2) ** 0.5 * Rng([5]).normal(x)
    problem = Problem(y, ops.Identity(SHAPE), Gaussian(0.05))
    step = next(iter(GDP(paper=True)(problem, EVEN, [sigma, sigma_next, 0.0], x, Rng([5]))))
    leaf = (2 * x0 - 1).requires_grad_(True)
    (((leaf + 1) / 2 - y).square().sum() * 80000 / 720000).backward()
    assert leaf.grad is not None
    # of a state sqrt(alpha_bar) (2 x - 1), alpha_bar = 1 / (1 + (2 sigma)^2)
    shift = leaf.grad * (1 + 4 * sigma_next**2) ** 0.5 / 2
    torch.testing.assert_close(step.x, ancestral + up - shift)
    assert len(GDP(paper=True).schedule(problem, None)) == 1001


def test_the_published_light_rises_to_that_of_the_scene() -> None:
    operator, g = ops.Identity(SHAPE), torch.Generator().manual_seed(0)
    law = Gaussian(0.02)
    x0 = EVEN.sample(1, g)
    y = law.sample(0.3 * x0, g)
    found = restore(Problem(y, operator, law), EVEN, GDP("gain", paper=True), steps=400).samples
    assert float((found - x0).abs().mean()) < 0.7 * float((y - x0).abs().mean())


def test_settings_without_a_meaning_are_refused() -> None:
    for make in (lambda: GDP("mask"), lambda: GDP(lambda_=0.0)):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="must be"):
            make()
