"""The objective of fusion by selection: its proximal steps, its minimum against a linear programme, its properties."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.optimize import linprog
from torch import Tensor

from restorekit.fusion.selection import Selection, Sources, divergence, gradient, weighted_median_prox

WEIGHTS = [
    Selection(),
    Selection(a=0.7, b=0.7, c=0.3, d=0.3),
    Selection(a=0.3, b=0.6, c=2.0, d=1.0),
]


def pictures(h: int, w: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """A smooth one, an edge and noise, in float64: none a function of the others."""
    g = torch.Generator().manual_seed(seed)
    x0, o, r = (torch.rand(h, w, generator=g, dtype=torch.float64) for _ in range(3))
    x0 = torch.nn.functional.avg_pool2d(x0[None, None], 3, 1, 1)[0, 0]
    o[:, w // 3 :] = 0.5 * o[:, w // 3 :] + 0.5
    return x0, o, r


def exact(x0: Tensor, o: Tensor, r: Tensor, s: Selection) -> tuple[float, Tensor]:
    """The least value of the objective, and a minimum, by HiGHS: min c't, -t <= M f - d <= t."""
    h, w = x0.shape
    index = np.arange(h * w).reshape(h, w)
    differences = []
    for a, b in ((index[:-1], index[1:]), (index[:, :-1], index[:, 1:])):
        rows = np.arange(a.size)
        ends = np.r_[a.ravel(), b.ravel()]
        signs = np.r_[-np.ones(a.size), np.ones(a.size)]
        differences.append(sp.csr_matrix((signs, (np.r_[rows, rows], ends)), shape=(a.size, h * w)))
    g, one = sp.vstack(differences), sp.eye(h * w)
    terms = [(one, x0, 1.0), (one, o, s.a), (one, r, s.b), (g, o, s.c), (g, r, s.d)]
    matrix = sp.vstack([m for m, _, _ in terms])
    data = np.concatenate([m @ d.numpy().ravel() for m, d, _ in terms])
    cost = np.concatenate([np.full(m.shape[0], weight) for m, _, weight in terms])
    t = sp.eye(len(cost))
    found = linprog(
        np.r_[np.zeros(h * w), cost],
        A_ub=sp.vstack([sp.hstack([matrix, -t]), sp.hstack([-matrix, -t])]).tocsr(),
        b_ub=np.r_[data, -data],
        bounds=[(None, None)] * (h * w) + [(0, None)] * len(cost),
        method="highs",
    )
    return float(found.fun), torch.from_numpy(found.x[: h * w].reshape(h, w))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_median_is_the_proximal_step(count: int) -> None:
    g = torch.Generator().manual_seed(count)
    data = torch.rand(count, 40, generator=g, dtype=torch.float64).round(decimals=1)  # with ties
    weights = torch.rand(count, 40, generator=g, dtype=torch.float64).round(decimals=1)  # and zeros
    s = 2 * torch.rand(40, generator=g, dtype=torch.float64) - 0.5
    z = weighted_median_prox(s, list(data), list(weights), 0.3)
    grid = torch.linspace(-1.5, 2.5, 40001, dtype=torch.float64)[:, None]

    def cost(v: Tensor) -> Tensor:
        return sum((w * (v - d).abs() for w, d in zip(weights, data)), (v - s) ** 2 / 0.6)

    # On a grid of 1e-4 the slope, 4 / 0.3 at most here, leaves 2e-3 of the cost at the very most.
    assert (cost(z[None])[0] <= cost(grid).min(0).values + 1e-12).all()
    torch.testing.assert_close(z, grid[cost(grid).argmin(0), 0], atol=1e-4, rtol=0)


def test_numbers_and_tensors_are_the_same_weights() -> None:
    s, *data = torch.rand(4, 5, 6, dtype=torch.float64)
    weights = (1.0, 0.37, 0.1)
    full = [torch.full_like(s, w) for w in weights]
    torch.testing.assert_close(weighted_median_prox(s, data, weights, 0.2), weighted_median_prox(s, data, full, 0.2))


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 1), (5, 7)])
def test_divergence_is_minus_the_adjoint_of_the_gradient(size: tuple[int, int]) -> None:
    f, g = torch.rand(3, *size, dtype=torch.float64), torch.rand(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close((gradient(f) * g).sum(), -(f * divergence(g)).sum())


def test_the_objective_is_the_formula_written_out() -> None:
    (f, *_), (x0, o, r) = pictures(4, 3, 1), pictures(4, 3)
    s, expected = WEIGHTS[2], 0.0
    for i in range(4):
        for j in range(3):
            expected += abs(f[i, j] - x0[i, j]) + s.a * abs(f[i, j] - o[i, j]) + s.b * abs(f[i, j] - r[i, j])
            for k, m in ((i + 1, j), (i, j + 1)):
                if k < 4 and m < 3:
                    df, do, dr = (x[k, m] - x[i, j] for x in (f, o, r))
                    expected += s.c * abs(df - do) + s.d * abs(df - dr)
    assert float(s.objective(f, x0, Sources(o, r))) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("selection", WEIGHTS, ids=["default", "equal", "gradients"])
def test_admm_comes_within_half_a_percent_of_the_linear_programme(selection: Selection) -> None:
    x0, o, r = pictures(32, 32)
    best, f = exact(x0, o, r, selection)
    assert float(selection.objective(f, x0, Sources(o, r))) == pytest.approx(best, rel=1e-6)  # one objective, two ways
    found, _ = selection(x0, Sources(o, r))
    value = float(selection.objective(found, x0, Sources(o, r)))
    assert best * (1 - 1e-9) <= value <= best * 1.005
    tight, _ = replace(selection, iterations=1000)(x0, Sources(o, r))
    assert float(selection.objective(tight, x0, Sources(o, r))) <= best * 1.0005


def test_without_gradients_it_selects() -> None:
    x0, o, r = pictures(6, 9)
    one, sources = replace(Selection(), c=0.0, d=0.0, iterations=300), Sources(o, r)
    median, _ = replace(one, a=0.7, b=0.7)(x0, sources)
    torch.testing.assert_close(median, torch.stack([x0, o, r]).median(0).values)
    prior, _ = replace(one, a=0.5, b=0.3)(x0, sources)  # 1 > a + b
    torch.testing.assert_close(prior, x0)
    optical, _ = replace(one, a=1.8, b=0.7)(x0, sources)  # a > 1 + b
    torch.testing.assert_close(optical, o)


def test_a_warm_start_is_worth_iterations() -> None:
    x0, o, r = pictures(24, 20)
    moved, sources = x0 + 0.02 * o, Sources(o, r)
    _, state = Selection(iterations=200)(x0, sources)
    best = float(Selection().objective(Selection(iterations=1000)(moved, sources)[0], moved, sources))
    short = Selection(iterations=8)
    cold, warm = short(moved, sources)[0], short(moved, sources, state)[0]
    left = [float(short.objective(f, moved, sources)) - best for f in (cold, warm)]
    assert left[1] < 0.3 * left[0]


def test_pixels_without_weight_do_not_count_whatever_they_hold() -> None:
    x0, o, r = pictures(12, 10)
    hole_o, hole_r = torch.ones(12, 10), torch.ones(12, 10)
    hole_o[2:5, 3:7], hole_r[8:, :4] = 0, 0
    results = []
    for value in (float("nan"), 0.0, 9.0):
        one, other = o.clone(), r.clone()
        one[hole_o == 0], other[hole_r == 0] = value, value
        sources = Sources(one, other, hole_o, hole_r)
        f, _ = Selection()(x0, sources)
        results.append((f, Selection().objective(f, x0, sources)))
    for f, value in results[1:]:
        torch.testing.assert_close(f, results[0][0], rtol=0, atol=0)
        torch.testing.assert_close(value, results[0][1], rtol=0, atol=0)
    nothing = torch.zeros(12, 10)
    alone, _ = Selection(iterations=300)(x0, Sources(o, r, nothing, nothing))
    torch.testing.assert_close(alone, x0)


def test_a_weight_of_one_is_no_weight_and_half_is_half() -> None:
    x0, o, r = pictures(7, 8)
    ones = torch.ones(7, 8)
    plain, _ = Selection()(x0, Sources(o, r))
    torch.testing.assert_close(Selection()(x0, Sources(o, r, ones, ones))[0], plain)
    less, _ = replace(Selection(), b=Selection.b / 2, d=Selection.d / 2)(x0, Sources(o, r))
    torch.testing.assert_close(Selection()(x0, Sources(o, r, None, ones / 2))[0], less)
    assert not torch.allclose(less, plain)


def test_a_batch_is_its_pictures_one_by_one() -> None:
    (x0, o, r), (x1, p, q) = pictures(9, 11), pictures(9, 11, 5)
    both, _ = Selection()(torch.stack([x0, x1]), Sources(torch.stack([o, p]), torch.stack([r, q])))
    torch.testing.assert_close(both[1], Selection()(x1, Sources(p, q))[0])


@pytest.mark.parametrize("wrong", [{"a": -0.1}, {"d": float("nan")}, {"rho": 0.0}, {"iterations": 0}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="weights must be 0 or more"):
        Selection(**wrong)  # type: ignore[arg-type]
