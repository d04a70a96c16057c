"""Samplers of the prior, and the conditional draws of the splitting solvers, against what is known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from restorekit import operators as ops
from restorekit.inference.likelihood import Gamma, Gaussian, Poisson
from restorekit.inference.problem import Problem
from restorekit.inference.schedule import log_uniform
from restorekit.priors.analytic import GaussianMixture, dense
from restorekit.priors.precond import VPTable
from restorekit.solvers.parts.conditional import by_langevin, by_perturbation, by_quantile
from restorekit.solvers.samplers import DDIM, DDPM, SAMPLERS, Heun, named
from tests.support.oracle import Stream

STD, COUNT = 0.25, 40_000


def white(x: Tensor, sigma: float | Tensor, /) -> Tensor:
    """E[x0 | x] for independent pixels of deviation STD around 0."""
    return x * STD**2 / (STD**2 + torch.as_tensor(sigma) ** 2)


def variance(name: str, levels: int) -> float:
    rng = Stream(0)
    x = 10 * rng.normal(torch.zeros(COUNT, 1, 1, 1, dtype=torch.float64))
    steps = list(named(name)(white, log_uniform(levels), x, rng))
    assert len(steps) == named(name).calls(levels)
    return float(steps[-1].x.var()) / STD**2


# Variance over the exact one on 25 log-uniform levels; 40,000 draws: standard error 0.007.
FOUND = {"ddpm": 0.757, "ddim": 0.865, "heun": 1.01, "dpm++": 1.014, "sde": 0.955, "sde1": 0.882, "sde2": 1.026}


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_variance_that_a_grid_keeps(name: str) -> None:
    assert variance(name, 25) == pytest.approx(FOUND[name], abs=0.025)


@pytest.mark.parametrize("name", SAMPLERS)
def test_more_levels_make_it_exact(name: str) -> None:
    assert variance(name, 300) == pytest.approx(1, abs=0.05)


def test_second_order_pays() -> None:
    ancestral = variance("ddpm", 50)  # 50 calls against 49
    assert ancestral == pytest.approx(0.862, abs=0.02)
    assert abs(variance("sde", 25) - 1) < 0.5 * abs(ancestral - 1)


@pytest.mark.parametrize("name", SAMPLERS)
def test_modes_get_their_weights(name: str) -> None:
    prior = GaussianMixture(
        torch.tensor([0.3, 0.7], dtype=torch.float64),
        torch.tensor([-1.0, 1.0], dtype=torch.float64).view(2, 1, 1, 1),
        torch.full((2, 1, 1, 1), 0.04, dtype=torch.float64),
    )
    rng = Stream(1)
    x = 10 * rng.normal(torch.zeros(8000, 1, 1, 1, dtype=torch.float64))
    last = list(named(name)(prior, log_uniform(60), x, rng))[-1].x
    assert float((last > 0).double().mean()) == pytest.approx(0.7, abs=0.05)  # 0.005 and the grid


def test_a_step_follows_the_line_through_the_last_two_estimates() -> None:
    """Where E[x0] is a line in ln u, u = 1 / sigma^2, whatever the state, d(u x) = E[x0] du is solved exactly, before it is corrected."""
    sigmas = [2.0, 1.0, 0.4, 0.1]

    class Still(Stream):
        def normal(self, like: Tensor) -> Tensor:
            return torch.zeros_like(like)

    def line(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        return torch.full_like(x, 0.3 - 0.2 * math.log(float(sigma) ** -2))

    def area(sigma: float) -> float:
        u = sigma**-2
        return 0.3 * u - 0.2 * (u * math.log(u) - u)

    x = torch.full((1, 1, 1, 1), 1.5, dtype=torch.float64)
    found = {name: [float(s.x) for s in named(name)(line, [*sigmas, 0.0], x, Still(0))] for name in ("sde1", "sde2")}
    exact = [(1.5 / 4 + area(s) - area(2.0)) * s**2 for s in sigmas[1:]]
    assert found["sde2"][1:3] == pytest.approx(exact[1:], abs=1e-12)
    assert abs(found["sde1"][2] - exact[2]) > 0.01


def test_on_50_levels_the_spread_is_kept() -> None:
    off = {name: abs(variance(name, 50) - 1) for name in ("sde1", "sde2")}
    assert off["sde2"] < 0.5 * off["sde1"]  # 0.002 and 0.027 by the recursion of a Gaussian, standard error 0.007


def test_churn_adds_noise_and_keeps_the_variance() -> None:
    rng = Stream(2)
    x = 10 * rng.normal(torch.zeros(COUNT, 1, 1, 1, dtype=torch.float64))
    last = list(Heun(churn=20.0)(white, log_uniform(50), x, rng))[-1].x
    assert float(last.var()) / STD**2 == pytest.approx(1, abs=0.05)


def test_an_unknown_sampler_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dpm\+\+"):
        named("euler")


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_eta_scales_the_fresh_noise(eta: float) -> None:
    x = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    x0, z = white(x, 1.0), Stream(0).normal(x)
    up = eta * 0.5 * math.sqrt(1 - 0.25)  # Song et al. 2021, eq 16, in these coordinates
    expected = x0 + math.sqrt(0.5**2 - up**2) * (x - x0) + up * z
    found = next(iter(DDPM(eta)(white, [1.0, 0.5, 0.0], x, Stream(0)))).x
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ddim_is_equation_29_of_seed_001_on_its_table(eta: float) -> None:
    table = VPTable.linear()
    times = [*range(999, 0, -111), 0]
    a = [float(v) for v in table.alpha_bar[times]] + [1.0]
    sigmas = [*table.sigma(torch.tensor(times).double()).tolist(), 0.0]
    z = Stream(1).normal(torch.zeros(3, 2, 4, 4, dtype=torch.float64))  # z_T, of the process that keeps the variance
    found = [step.x for step in DDIM(eta)(white, sigmas, z / math.sqrt(a[0]), Stream(0))]
    noise = Stream(0)
    for (now, then), x, sigma_next in zip(pairwise(a), found, sigmas[1:]):
        z0 = white(z / math.sqrt(now), math.sqrt(1 / now - 1))
        eps = (z - math.sqrt(now) * z0) / math.sqrt(1 - now)
        up = eta * math.sqrt((1 - then) / (1 - now)) * math.sqrt(1 - now / then)  # Song et al. 2021, eq 16
        z = math.sqrt(then) * z0 + math.sqrt(1 - then - up**2) * eps
        z = z + up * noise.normal(z) if eta > 0 and sigma_next > 0 else z
        torch.testing.assert_close(math.sqrt(then) * x, z)


# --- draws from p(y | z) N(z; x0, t^2) ---


def test_a_perturbed_solution_has_the_mean_and_covariance_of_the_conditional() -> None:
    operator = ops.BlockAverage((1, 2, 3), 2)
    y, x0, t, sigma = (
        torch.full((1, 1, 1, 2), 0.4).double(),
        torch.linspace(0, 1, 6).double().view(1, 1, 2, 3),
        0.3,
        0.1,
    )
    n = 20_000
    draw = by_perturbation(Problem(y.expand(n, -1, -1, -1), operator, Gaussian(sigma)), None)
    z = draw(x0.expand(n, -1, -1, -1), t, Stream(0)).flatten(1)
    a = dense(operator, x0[0])
    precision = a.T @ a / sigma**2 + torch.eye(6) / t**2
    mean = torch.linalg.solve(precision, a.T @ y.flatten() / sigma**2 + x0.flatten() / t**2)
    # Five standard errors of 20,000 draws of deviation at most 0.3, and of their products.
    assert float((z.mean(0) - mean).abs().max()) < 5 * 0.3 / math.sqrt(n)
    assert float((z.T.cov() - precision.inverse()).abs().max()) < 5 * 0.09 * 2 / math.sqrt(n)


@pytest.mark.parametrize(("law", "y"), [(Gamma(4.0, "log"), 0.6), (Gamma(1.0, "log"), -1.0), (Poisson(30.0), 0.5)])
@pytest.mark.parametrize(("kind", "t"), [("quantile", 0.2), ("quantile", 10.0), ("langevin", 0.2)])
def test_draws_under_other_laws_follow_the_density(law: Gamma | Poisson, y: float, kind: str, t: float) -> None:
    x0, n = 0.4, 20_000
    problem = Problem(torch.full((n, 1, 1, 1), y, dtype=torch.float64), ops.Identity((1, 1, 1)), law)
    draw = by_quantile(problem) if kind == "quantile" else by_langevin(problem, 300)
    z = draw(torch.full((n, 1, 1, 1), x0, dtype=torch.float64), t, Stream(0)).flatten()
    grid = torch.linspace(x0 - 8 * t, x0 + 8 * t, 40_001, dtype=torch.float64)
    log = -law.unit_nll(torch.full_like(grid, y), grid) - 0.5 * ((grid - x0) / t) ** 2
    mass = log.softmax(0)
    mean = float(mass @ grid)
    sd = float((mass @ (grid - mean) ** 2).sqrt())
    # 20,000 draws: 0.007 sd of the mean, 0.5 % of the deviation; Langevin steps of a tenth of the curvature add 3 %.
    assert float(z.mean()) == pytest.approx(mean, abs=0.04 * sd)
    assert float(z.std()) == pytest.approx(sd, rel=0.02 if kind == "quantile" else 0.06)


@pytest.mark.parametrize(("make", "words"), [(lambda: DDIM(eta=2), "eta=2"), (lambda: Heun(churn=-3), "churn=-3")])
def test_settings_of_samplers_that_cannot_be(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
