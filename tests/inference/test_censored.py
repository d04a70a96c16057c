"""A sensor that stops at black and white: its law, and posteriors of single pixels by quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor

from restorekit import operators as ops
from restorekit.inference.censored import Censored, hazard
from restorekit.inference.derived_laws import Moved
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian, Likelihood, Poisson
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng, streams
from restorekit.inference.solver import Solver
from restorekit.inference.units import Units, problem_in
from restorekit.solvers import DAPS, DPS, DSG, EP, HQS, MMPS, MPGD, SARDPS, PnPDM
from restorekit.solvers.parts.data_step import data_step
from restorekit.solvers.parts.guided import Guided

F64 = torch.float64
Y = torch.tensor([0.0, -0.2, 0.4, 1.0, 1.3, 0.9], dtype=F64)
MEAN = torch.tensor([0.1, -0.3, 0.5, 0.95, 1.2, 1.4], dtype=F64)
SIGMA = torch.tensor([0.1, 0.2, 0.05, 0.1, 0.3, 0.2], dtype=F64)
LAW = Censored.of(Y, SIGMA)


def test_it_finds_what_stopped() -> None:
    assert LAW.low.tolist() == [True, True, False, False, False, False]
    assert LAW.high.tolist() == [False, False, False, True, True, False]
    per_band = Censored.of(torch.full((1, 2, 1, 1), 0.8), 0.1, white=torch.tensor([0.8, 1.0]).view(2, 1, 1))
    assert per_band.high.flatten().tolist() == [True, False]


def test_what_stopped_has_the_probability_of_the_tail() -> None:
    normal = scipy.stats.norm
    z = (MEAN / SIGMA).numpy()
    low = -normal.logcdf(-z[:2])
    high = -normal.logsf((1 - MEAN[3:5].numpy()) / SIGMA[3:5].numpy())
    found = LAW.unit_nll(Y, MEAN).numpy()
    np.testing.assert_allclose(found[[0, 1, 3, 4]], [*low, *high], rtol=1e-12)
    torch.testing.assert_close(LAW.unit_nll(Y, MEAN)[[2, 5]], Gaussian(SIGMA).unit_nll(Y, MEAN)[[2, 5]])


def test_the_score_and_the_information_are_derivatives() -> None:
    h = 1e-5
    minus, at, plus = (LAW.unit_nll(Y, MEAN + d) for d in (-h, 0, h))
    torch.testing.assert_close(LAW.gradient(Y, MEAN), (plus - minus) / (2 * h), rtol=1e-6, atol=1e-8)
    slopes = [LAW.gradient(Y, MEAN + d) for d in (-h, h)]
    torch.testing.assert_close(LAW.information(MEAN), (slopes[1] - slopes[0]) / (2 * h), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(Likelihood.gradient(LAW, Y, MEAN), LAW.gradient(Y, MEAN))  # as autograd sees it
    assert float((at - LAW.unit_nll(Y, MEAN)).abs().max()) == 0


@pytest.mark.parametrize("mean", [0.3, 0.95, 1.1])
def test_its_information_is_fisher_s_on_average(mean: float) -> None:
    """E[-d2 log p] = E[score^2] over all that the sensor can give, by quadrature over y and the two tails."""
    s, normal = 0.2, scipy.stats.norm
    ends = [normal.cdf((0 - mean) / s), normal.sf((1 - mean) / s)]

    def of(y: float) -> tuple[float, float]:
        law, m = Censored.of(torch.tensor([y], dtype=F64), s), torch.tensor([mean], dtype=F64)
        return float(law.information(m)), float(law.gradient(torch.tensor([y], dtype=F64), m)) ** 2

    averages = []
    for i in (0, 1):
        inside = scipy.integrate.quad(lambda y, i=i: normal.pdf(y, mean, s) * of(y)[i], 1e-12, 1 - 1e-12)[0]
        averages.append(inside + ends[0] * of(0.0)[i] + ends[1] * of(1.0)[i])
    assert averages[0] == pytest.approx(averages[1], rel=1e-6)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 3e-5), (F64, 1e-9)])
def test_the_hazard_is_stable_to_forty_deviations_and_beyond(dtype: torch.dtype, close: float) -> None:
    z = torch.cat([torch.linspace(-40, 5, 181, dtype=F64), torch.tensor([-1e3, -11.9, -12.1, -49.9, -50.1], dtype=F64)])
    exact = np.exp(scipy.stats.norm.logpdf(z.numpy()) - scipy.stats.norm.logcdf(z.numpy()))
    r, more = hazard(z.to(dtype))
    assert r.dtype == dtype
    np.testing.assert_allclose(r.double().numpy(), exact, rtol=close)
    # r' = -r (r + z), so r + z = -d log r / dz: by differences of the logarithm, right to 1e-6 or so down to -40
    h = 1e-3
    logs = [scipy.stats.norm.logpdf(z.numpy() + d) - scipy.stats.norm.logcdf(z.numpy() + d) for d in (-h, h)]
    np.testing.assert_allclose(more.double().numpy(), -(logs[1] - logs[0]) / (2 * h), rtol=2e-3)
    assert bool((torch.diff(hazard(torch.linspace(-60, 8, 2000, dtype=dtype))[1]) > -1e-6).all())  # it rises


@pytest.mark.parametrize("z", [-40.0, -12.0, 0.0, 12.0, 40.0])
def test_everything_is_finite_in_single_precision(z: float) -> None:
    y = torch.tensor([[0.0, 1.0]])
    law, mean = Censored.of(y, 0.01), torch.tensor([[-0.01 * z, 1 + 0.01 * z]])
    values = [law.unit_nll(y, mean), law.gradient(y, mean), law.information(mean), law.prox(y, mean, 3.0)]
    values += [law.expected(y, mean), *law.site(y, mean, torch.full_like(mean, 0.01))]
    assert all(v.dtype == torch.float32 and bool(torch.isfinite(v).all()) for v in values)
    assert bool((law.information(mean) > 0).all())
    score = {-40.0: 40.025, -12.0: 12.082, 0.0: 0.79788, 12.0: 0.0, 40.0: 0.0}[z]  # phi / Phi
    np.testing.assert_allclose(-law.gradient(y, mean).numpy() * 0.01, [[-score, score]], rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("weight", [1e-6, 0.3, 10.0, 1e5])
def test_the_prox_is_where_both_slopes_cancel(weight: float) -> None:
    v = torch.tensor([-3.0, 3.0, 0.5, -3.0, 3.0, 1.0], dtype=F64)
    x = LAW.prox(Y, v, weight)
    slope = LAW.gradient(Y, x) + weight * (x - v)
    assert float((slope / (LAW.information(x) + weight)).abs().max()) < 1e-9
    assert torch.equal(LAW.prox(Y, v, weight)[[2, 5]], Gaussian(SIGMA).prox(Y, v, weight)[[2, 5]])


@pytest.mark.parametrize("m", [0.6, 1.0, 1.7])
@pytest.mark.parametrize("r", [0.02, 0.5])
def test_a_site_gives_mean_and_deviation_of_the_pixel(m: float, r: float) -> None:
    """Of N(m, r^2) before, and a value at white."""
    y, s = torch.ones(1, dtype=F64), 0.1
    b, variance = Censored.of(y, s).site(y, torch.tensor([m], dtype=F64), torch.tensor([r**2], dtype=F64))
    mean, deviation = posterior(m, r, s)
    gain = r**2 / (r**2 + float(variance))
    assert m + gain * float(b) == pytest.approx(mean, abs=1e-5 * r)
    assert r * math.sqrt(1 - gain) == pytest.approx(deviation, rel=1e-5)


def test_without_spread_a_site_is_the_step_of_scoring() -> None:
    b, variance = LAW.site(Y, MEAN, torch.zeros_like(MEAN))
    torch.testing.assert_close(variance, 1 / LAW.information(MEAN))
    torch.testing.assert_close(b, -LAW.gradient(Y, MEAN) / LAW.information(MEAN))


def test_what_is_expected_is_the_mean_of_the_tail() -> None:
    found = LAW.expected(Y, MEAN)
    for i, (a, b) in {0: (-math.inf, 0.0), 1: (-math.inf, 0.0), 3: (1.0, math.inf), 4: (1.0, math.inf)}.items():
        m, s = float(MEAN[i]), float(SIGMA[i])
        assert float(found[i]) == pytest.approx(scipy.stats.truncnorm((a - m) / s, (b - m) / s, m, s).mean(), rel=1e-9)
    assert torch.equal(found[[2, 5]], Y[[2, 5]])


def test_samples_are_held() -> None:
    mean = torch.full((1, 40_000), 0.95, dtype=F64)
    y = LAW.with_sigma(0.1).sample(mean[..., :6].repeat(1, 1), torch.Generator().manual_seed(0))
    assert y.shape == (1, 6)
    free = Censored.of(torch.zeros(1, 1, dtype=F64), 0.1).sample(mean, torch.Generator().manual_seed(1))
    assert (float(free.min()) >= 0, float(free.max())) == (True, 1.0)
    share = scipy.stats.norm.sf(0.5)  # five standard errors
    assert abs(float((free == 1).double().mean()) - share) < 5 * math.sqrt(share / 40_000)


def test_what_stopped_is_not_perturbed() -> None:
    moved = LAW.perturbed(Y, torch.ones_like(Y))
    torch.testing.assert_close(moved, torch.where(LAW.stopped, Y, Y + SIGMA))


def test_it_moves_and_goes_elsewhere() -> None:
    moved = LAW.to(torch.float32)
    assert (moved.low.dtype, moved.sigma.dtype) == (torch.bool, torch.float32)  # type: ignore[union-attr]
    units = Moved(LAW, 2.0, 0.5)
    y = (Y - 0.5) / 2
    torch.testing.assert_close(units.unit_nll(y, (MEAN - 0.5) / 2), LAW.unit_nll(Y, MEAN))
    torch.testing.assert_close(units.prox(y, (MEAN - 0.5) / 2, 4.0), (LAW.prox(Y, MEAN, 1.0) - 0.5) / 2)


def test_in_other_units_of_the_prior_it_is_the_same_law() -> None:
    shape = (1, 4, 4)
    y = torch.linspace(-0.2, 1.2, 16, dtype=F64).view(1, *shape)
    problem = Problem(y, ops.BlockAverage(shape, 1), Censored.of(y, 0.1))
    units = Units(-2.0, 1.25)
    moved, x = problem_in(units, problem), torch.rand(1, *shape, dtype=F64)
    assert isinstance(moved.likelihood, Censored)
    torch.testing.assert_close(moved.nll(units.of(x)), problem.nll(x))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Censored(Poisson(3.0), LAW.low, LAW.high), "only Gaussian noise is censored, got Poisson"),  # type: ignore[arg-type]
        (
            lambda: Censored(Gaussian(0.1), LAW.low.double(), LAW.high),
            "low says where y stopped; give a tensor of bool",
        ),
        (lambda: Censored(Gaussian(0.1), LAW.low, LAW.low), "never at both"),
        (lambda: Censored.of(Y, 0.1, 1.0, 0.0), "black must lie below white"),
        (lambda: Censored.of(Y, 0.1, math.nan, 1.0), "black must lie below white"),
        (lambda: Censored.of(Y, -0.1), "sigma > 0"),
        (
            lambda: Problem(Y[None], ops.Identity((1, 2, 3)), Censored.of(Y.repeat(2), 0.1)),
            "low of shape .* does not fit y",
        ),
    ],
)
def test_impossible_laws_are_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def posterior(m: float, r: float, s: float) -> tuple[float, float]:
    """Mean and deviation of a pixel N(m, r^2) whose measurement of noise s is at white, by a sum over a fine grid."""
    grid = np.linspace(m - 8 * r, max(1.0, m) + 8 * r, 400_001)
    p = scipy.stats.norm.pdf(grid, m, r) * scipy.stats.norm.cdf((grid - 1) / s)
    p /= p.sum()
    mean = float((p * grid).sum())
    return mean, math.sqrt(float((p * (grid - mean) ** 2).sum()))


@dataclass(frozen=True)
class Pixels:
    """A prior of independent pixels N(mean, sd^2)."""

    mean: float = 0.9
    sd: float = 0.15

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        return self.mean + self.sd**2 / (self.sd**2 + sigma**2) * (x - self.mean)


@pytest.mark.parametrize(
    ("solver", "noise", "off", "spread"),  # how far the mean may be off, in exact deviations; the deviation, over the exact one
    [(MMPS(), 0.02, 0.08, (0.95, 1.05)), (MMPS(), 0.1, 0.08, (0.95, 1.05)),
     (EP(), 0.02, 0.08, (0.9, 1.05)), (EP(), 0.1, 0.08, (0.9, 1.05)),
     (DPS(), 0.02, 0.45, (0.9, 1.25)), (DPS(), 0.1, 0.3, (0.9, 1.2)), (DSG(), 0.1, 0.3, (0.9, 1.2)),
     (DAPS(), 0.02, 0.4, (0.6, 1.1)), (DAPS(), 0.1, 0.25, (0.7, 1.1)), (MPGD(), 0.1, 0.15, (0.6, 1.1)),
     (PnPDM(inner=3), 0.1, 0.35, (0.7, 1.1)), (SARDPS(), 0.1, 0.15, (0.9, 1.2))],
    ids=lambda v: type(v).__name__ if hasattr(v, "needs") else str(v),
)  # fmt: skip
def test_draws_of_pixels_at_white_are_those_of_the_posterior(
    solver: Solver, noise: float, off: float, spread: tuple[float, float]
) -> None:
    """4,096 pixels, or 576: standard errors of 0.016 or 0.04 deviations of the mean, 1.3 or 3.5 % of the deviation, inside
    the limits."""
    side = 64 if isinstance(solver, Guided) else 24
    prior, y = Pixels(), torch.ones(1, 1, side, side, dtype=F64)
    found = restore(Problem(y, ops.Identity((1, side, side)), Censored.of(y, noise)), prior, solver).samples
    mean, deviation = posterior(prior.mean, prior.sd, noise)
    assert abs(float(found.mean()) - mean) < off * deviation
    assert spread[0] < float(found.std()) / deviation < spread[1]


class Mirrored(Rng):
    """Numbers of the other sign."""

    @classmethod
    def streams(cls, seed: int, first: int, count: int) -> Rng:
        made = cls([0] * count)
        made.generators = streams(seed, first, count).generators
        return made

    def normal(self, like: Tensor) -> Tensor:
        return -super().normal(like)


def test_black_is_the_mirror_image_of_white() -> None:
    white = torch.tensor([[1.0, 0.7, 1.0, 0.2]], dtype=F64).view(1, 1, 2, 2)
    for solver in (MMPS(), HQS(), DPS()):
        up, down = (
            restore(
                Problem(y, ops.BlockAverage((1, 2, 2), 1), Censored.of(y, 0.1)), prior, solver, steps=10, rng=rng
            ).samples
            for y, prior, rng in ((white, Pixels(), None), (1 - white, Pixels(0.1), Mirrored.streams))
        )
        torch.testing.assert_close(up, 1 - down, rtol=0, atol=1e-6)


def test_the_data_step_pulls_up_to_white_and_leaves_alone_what_is_beyond() -> None:
    shape = (1, 8, 8)
    blur = ops.ReflectBlur(shape, torch.full((3, 3), 1 / 9, dtype=F64))
    y = torch.ones(1, *shape, dtype=F64)
    step = data_step(Problem(y, blur, Censored.of(y, 0.01)), "test")
    low, high = (torch.full((1, *shape), v, dtype=F64) for v in (0.5, 3.0))
    assert float(step(low, 1.0).min()) > 0.98
    torch.testing.assert_close(step(high, 0.2), high, rtol=0, atol=1e-6)


def test_values_at_a_stop_do_not_matter_beyond_it() -> None:
    shape, g = (1, 8, 8), torch.Generator().manual_seed(0)
    y = 0.9 + 0.2 * torch.rand(1, *shape, dtype=F64, generator=g)
    results = []
    for beyond in (0.0, 5.0):
        law = Censored.of(y, 0.05)
        problem = Problem(torch.where(law.high, y + beyond, y), ops.Identity(shape), law)
        results.append(restore(problem, Pixels(), MMPS(), steps=10, begin=torch.ones(1, *shape, dtype=F64)).samples)
    torch.testing.assert_close(*results)


def test_noise_below_the_least_counts_as_that() -> None:
    y = torch.ones(1, 1, 8, 8, dtype=F64)
    problem = Problem(y, ops.Identity((1, 8, 8)), Censored.of(y, 1e-7))
    same = replace(problem, likelihood=Censored.of(y, 1e-3))
    assert problem.raised(1e-3) == pytest.approx(1e-3)
    for solver in (MMPS(), HQS()):
        one, other = (restore(p, Pixels(), solver, sigmas=[0.5, 0.1, 0.01, 0.0]).samples for p in (problem, same))
        torch.testing.assert_close(one, other)
