"""The system that moment matching solves, where the covariance that a network gives is none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from restorekit import operators as ops
from restorekit.bench.posterior.run_exam import Stream
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.operators.base import dot
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers.mmps import MMPS, System
from tests.support.cases import gaussian

N = 24


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def system(v: torch.Tensor, variance: float = 0.01) -> System:
    return System(lambda u: u @ v.T, lambda w: w, variance, lambda r: r)


def test_a_covariance_is_inverted() -> None:
    root, r = random(N, 5, seed=0), random(3, N, seed=1)
    v = root @ root.T
    moved, u = system(v).solve(r, None, 8, 0.0)
    exact = torch.linalg.solve(v + 0.01 * torch.eye(N, dtype=torch.float64), r.T).T
    torch.testing.assert_close(u, exact, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(moved, exact @ v, rtol=1e-6, atol=1e-8)


def test_the_solution_of_the_level_before_saves_steps() -> None:
    root, r = random(N, N, seed=0), random(1, N, seed=1)
    v = root @ root.T
    u = torch.linalg.solve(v + 0.01 * torch.eye(N, dtype=torch.float64), r.T).T

    def left(first: torch.Tensor | None) -> float:
        moved, found = system(v).solve(r, first, 2, 0.0)
        assert moved is not None
        return float((r - moved - 0.01 * found).norm())

    assert left(u + 0.01 * random(1, N, seed=2)) < 0.2 * left(None)


def test_what_is_no_covariance_moves_no_further_than_the_measurement_asks_for() -> None:
    for seed in range(20):
        v, r = 1000 * random(N, N, seed=seed), random(4, N, seed=100 + seed)  # neither symmetric nor positive
        moved, _ = system(v).solve(r, random(4, N, seed=200 + seed), 3, 0.01)
        assert moved is not None
        assert bool((dot(moved, moved) <= dot(r, r) * (1 + 1e-9)).all())


def test_what_is_exact_is_not_cut_where_values_are_not_equally_noisy() -> None:
    v = torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=torch.float64)
    variance, r = torch.tensor([[0.05, 5.0]], dtype=torch.float64), torch.tensor([[-0.857, 1.10]], dtype=torch.float64)
    unequal = System(lambda u: u @ v.T, lambda w: w, variance, lambda r: r)
    moved, _ = unequal.solve(r, None, 4, 0.0)
    exact = torch.linalg.solve(v + torch.diag(variance[0]), r.T).T @ v
    torch.testing.assert_close(moved, exact)


def test_one_iteration_follows_the_residual_of_its_own_level() -> None:
    root, r = random(N, N, seed=0), random(1, N, seed=1)
    v = root @ root.T
    plain, other = (system(v).solve(r, first, 1, 0.0)[0] for first in (None, random(1, N, seed=2)))
    assert plain is not None
    torch.testing.assert_close(plain, other)


def test_nothing_to_solve() -> None:
    moved, u = system(torch.eye(N, dtype=torch.float64)).solve(torch.zeros(1, N, dtype=torch.float64), None, 3, 0.01)
    assert moved is None
    assert not bool(u.any())


@pytest.mark.parametrize("masked", [False, True])
def test_the_spread_holds_where_noise_is_unequal_which_the_preconditioner_does_not_know(masked: bool) -> None:
    """Inpainting with noise from 0.01 to 0.1, by the operator and by a mask: what three iterations leave is that of many."""
    shape, count, g = (1, 8, 8), 300, torch.Generator().manual_seed(3)
    prior = GaussianPrior.smooth(shape)
    sigma = 0.01 * 10 ** torch.rand(shape, generator=g, dtype=torch.float64)
    mask = (torch.rand(shape, generator=g) > 0.5).double()
    kept = mask.flatten() > 0
    operator = ops.Identity(shape) if masked else ops.Inpaint(shape, mask)
    y = operator(prior.sample(1, g)) + sigma * torch.randn((1, *shape), generator=g, dtype=torch.float64)
    c, noise = prior.covariance(), torch.diag(sigma.flatten() ** 2)[kept][:, kept]
    exact = c - c[:, kept] @ torch.linalg.solve(c[kept][:, kept] + noise, c[kept])

    def spreads(iterations: int) -> list[float]:
        solver = MMPS(iterations=iterations)
        one = Problem(y, operator, Gaussian(sigma[None]), mask[None] if masked else None)
        many, rng = replace(one, y=one.y.expand(count, *shape)), Stream(5)
        sigmas = solver.schedule(one, None)
        *_, last = solver(many, prior, sigmas, solver.start(many, sigmas[0], rng), rng)
        variances = last.x.flatten(1).var(0), exact.diagonal()
        return [float((variances[0][p].sum() / variances[1][p].sum()).sqrt()) for p in (kept, ~kept)]

    few = spreads(3)
    assert all(0.95 < spread < 1.05 for spread in few), few
    assert few == pytest.approx(spreads(12), abs=0.01)


def test_what_has_converged_waits_for_the_rest_of_the_batch() -> None:
    """Its further directions are rounding, which an inexact preconditioner turns around, and must not be divided by."""
    shape, g = (1, 12, 12), torch.Generator().manual_seed(3)
    prior, operator = GaussianPrior.smooth(shape), ops.ReflectBlur(shape, gaussian(7, 1.2))
    sigma = 0.01 * 10 ** torch.rand(shape, generator=g, dtype=torch.float64)
    y = operator(prior.sample(1, g)) + sigma * torch.randn((1, *shape), generator=g, dtype=torch.float64)
    problem, solver = Problem(y.expand(20, *shape), operator, Gaussian(sigma[None])), MMPS(iterations=12)
    x = solver.start(problem, 10.0, Stream(5))
    step = next(iter(solver(problem, prior, [10.0, 5.0, 0.0], x, Stream(6))))
    assert bool(torch.isfinite(step.x0).all())
    more = MMPS(iterations=40)(problem, prior, [10.0, 5.0, 0.0], x, Stream(6))
    torch.testing.assert_close(step.x0, next(iter(more)).x0, rtol=0, atol=0.02)
