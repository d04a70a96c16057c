"""The system that moment matching solves, where the covariance that a network gives is none."""

from __future__ import annotations

import torch

from restorekit.operators.base import dot
from restorekit.solvers.mmps import _System

N = 24


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def system(v: torch.Tensor, variance: float = 0.01) -> _System:
    return _System(lambda u: u @ v.T, lambda w: w, variance, lambda r: r)


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
    unequal = _System(lambda u: u @ v.T, lambda w: w, variance, lambda r: r)
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
