"""Rounded values: the law of a bin, and the posteriors of single values by quadrature."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian, Likelihood
from restorekit.inference.problem import Problem
from restorekit.inference.quantised import LEAST, Quantised, held
from restorekit.operators import Identity
from restorekit.solvers import MMPS
from restorekit.solvers.parts.data_step import data_step

F64 = torch.float64
STEP = torch.tensor([0.05, 0.4, 1.0, 3.0, 0.002], dtype=F64)
CENTRE = torch.tensor([0.1, -0.4, 0.0, 6.0, 0.3], dtype=F64)
MEAN = torch.tensor([0.12, -0.9, 0.3, 4.4, 0.1], dtype=F64)
LAW = Quantised(Gaussian(0.1), STEP, CENTRE)


def reference(a: float, b: float) -> list[float]:
    """log mass, mean and variance of a standard normal variable in [a, b], with as many digits as that takes."""
    with mpmath.workdps(40 + int(0.5 * max(abs(a), abs(b)) ** 2 / 2.3)):
        low, high = mpmath.mpf(a), mpmath.mpf(b)
        sign = 1 if low + high <= 0 else -1
        low, high = (low, high) if sign == 1 else (-high, -low)
        mass = (mpmath.erfc(-high / mpmath.sqrt(2)) - mpmath.erfc(-low / mpmath.sqrt(2))) / 2
        at_a, at_b = mpmath.npdf(low) / mass, mpmath.npdf(high) / mass
        mean = at_a - at_b
        return [float(mpmath.log(mass)), float(sign * mean), float(1 + low * at_a - high * at_b - mean**2)]


@pytest.mark.parametrize("middle", [0.0, 0.3, -2.5, 8.0, -30.0])
def test_the_moments_are_right_in_narrow_and_wide_bins_and_far_from_them(middle: float) -> None:
    for width in (1e-4, 9e-3, 0.011, 0.5, 3.0, 40.0):
        ends = middle - width / 2, middle + width / 2
        found = held(*(torch.tensor([v], dtype=F64) for v in ends))
        log_mass, mean, variance = reference(*ends)
        assert float(found.log_mass) == pytest.approx(log_mass, rel=2e-5, abs=2e-5)
        assert float(found.mean) == pytest.approx(mean, rel=2e-5, abs=1e-5 * width)
        assert float(found.variance) == pytest.approx(variance, rel=2e-4)


def test_very_far_from_a_bin_nothing_overflows_and_the_score_is_that_of_its_nearer_end() -> None:
    for dtype in (torch.float32, F64):
        law = Quantised(Gaussian(1e-3), torch.tensor([0.5], dtype=dtype), torch.tensor([0.0], dtype=dtype))
        mean = torch.tensor([-300.0, -3.0, 3.0, 300.0], dtype=dtype)
        assert bool(torch.isfinite(law.unit_nll(mean, mean)).all())
        torch.testing.assert_close(law.gradient(mean, mean), (mean - 0.25 * mean.sign()) * 1e6, rtol=1e-4, atol=0)
        torch.testing.assert_close(law.information(mean), torch.full_like(mean, 1e6), rtol=1e-3, atol=0)


def test_score_and_information_are_derivatives() -> None:
    h = 1e-5
    minus, at, plus = (LAW.unit_nll(CENTRE, MEAN + d) for d in (-h, 0, h))
    # Below a hundredth of sigma a bin's moments are those of an exponential density, to 1e-5.
    torch.testing.assert_close(LAW.gradient(CENTRE, MEAN), (plus - minus) / (2 * h), rtol=2e-5, atol=2e-5)
    slopes = [LAW.gradient(CENTRE, MEAN + d) for d in (-h, h)]
    torch.testing.assert_close(LAW.information(MEAN), (slopes[1] - slopes[0]) / (2 * h), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(Likelihood.gradient(LAW, CENTRE, MEAN), LAW.gradient(CENTRE, MEAN))
    assert bool((at >= 0).all())
    assert float(LAW.unit_nll(CENTRE, CENTRE).abs().max()) < 1e-9


def test_probabilities_of_all_bins_sum_to_one() -> None:
    k = torch.arange(-40, 41, dtype=F64) * 0.3
    mean = torch.tensor(0.17, dtype=F64)
    law = Quantised(Gaussian(0.2), torch.tensor(0.3, dtype=F64), k)
    best = Quantised(Gaussian(0.2), torch.tensor(0.3, dtype=F64), mean)
    mass = held((-0.15 - torch.zeros(1, dtype=F64)) / 0.2, (0.15 + torch.zeros(1, dtype=F64)) / 0.2).log_mass.exp()
    assert float((mass * (-law.unit_nll(k, mean.expand_as(k))).exp()).sum()) == pytest.approx(1, rel=1e-9)
    assert float(best.unit_nll(mean, mean)) == pytest.approx(0, abs=1e-12)


def test_draws_fall_into_bins_as_often_as_the_law_says() -> None:
    n, sigma, step = 40_000, 0.2, torch.tensor(0.5)
    law = Quantised(Gaussian(sigma), step, torch.tensor(0.0))
    drawn = law.sample(torch.full((n,), 0.1), torch.Generator().manual_seed(0))
    assert float((drawn / step - (drawn / step).round()).abs().max()) < 1e-6
    for bin_ in (0, 1):
        mass = float(held(*((step * (bin_ + d) - 0.1) / sigma for d in (-0.5, 0.5))).log_mass.exp())
        assert float((drawn == bin_ * step).float().mean()) == pytest.approx(
            mass, abs=4 * (mass * (1 - mass) / n) ** 0.5
        )


@pytest.mark.parametrize("spread", [1e-4, 0.02, 1.0, 30.0])
def test_a_site_moves_what_is_known_before_as_the_bin_does(spread: float) -> None:
    """The posterior of N(mean, spread) given the bin has, by quadrature, the mean and variance that the site leads to."""
    b, s = LAW.site(CENTRE, MEAN, torch.full_like(MEAN, spread))
    for i in range(4):
        mean, r = float(MEAN[i]), spread**0.5
        low, high = float(CENTRE[i] - STEP[i] / 2), float(CENTRE[i] + STEP[i] / 2)

        def log_density(
            x: np.ndarray, mean: float = mean, r: float = r, low: float = low, high: float = high
        ) -> np.ndarray:
            at = held(*((v - torch.from_numpy(x)) / 0.1 for v in (low, high)))
            return at.log_mass.numpy() - 0.5 * ((x - mean) / r) ** 2

        grid = np.linspace(mean - 9 * r, mean + 9 * r, 4001)
        top = grid[log_density(grid).argmax()]
        grid = np.linspace(top - 7 * min(r, 1.5), top + 7 * min(r, 1.5), 4001)
        log = log_density(grid)
        p = np.exp(log - log.max())
        mass = scipy.integrate.simpson(p, x=grid)
        first = scipy.integrate.simpson(p * grid, x=grid) / mass
        second = scipy.integrate.simpson(p * (grid - first) ** 2, x=grid) / mass
        share = spread / (spread + float(s[i]))
        assert mean + share * float(b[i]) == pytest.approx(first, abs=2e-3 * r)
        if second < 0.999 * spread:  # else the bin says nothing that could be measured
            assert spread * (1 - share) == pytest.approx(second, rel=5e-3)


def test_the_data_step_ends_in_the_bin_and_leaves_what_lies_in_it() -> None:
    step, centre = (torch.tensor(v, dtype=F64).view(1, 1, 1, 3) for v in ([0.2, 0.2, 0.2], [0.0, 0.2, 0.4]))
    problem = Problem(centre, Identity((1, 1, 3)), Quantised(Gaussian(0.002), step, centre))
    x0 = torch.tensor([0.03, 0.5, 0.45], dtype=F64).view(1, 1, 1, 3)
    solve, x = data_step(problem, "hqs"), x0
    for _ in range(6):
        x = solve(x, 0.01)
    assert float(x[..., 0]) == pytest.approx(0.03, abs=1e-3)
    assert float(x[..., 2]) == pytest.approx(0.45, abs=1e-3)
    assert 0.28 < float(x[..., 1]) < 0.305


class Pixels:
    """A prior of independent pixels N(0.4, 0.15^2)."""

    def __call__(self, x: torch.Tensor, sigma: float | torch.Tensor, /) -> torch.Tensor:
        return 0.4 + 0.15**2 / (0.15**2 + sigma**2) * (x - 0.4)


@pytest.mark.parametrize(("width", "off", "spread"), [(0.5, 0.15, (0.9, 1.1)), (0.05, 0.1, (0.9, 1.1))])
def test_draws_of_rounded_pixels_are_those_of_the_posterior(
    width: float, off: float, spread: tuple[float, float]
) -> None:
    """4,096 pixels in one bin: standard errors of 0.016 deviations of the mean and 1.1 % of the deviation."""
    centre, sigma = 0.6, 0.01
    grid = np.linspace(-0.5, 1.5, 20_001)
    p = scipy.stats.norm.pdf(grid, 0.4, 0.15)
    p *= np.diff(scipy.stats.norm.cdf([[centre - width / 2], [centre + width / 2]], grid, sigma), axis=0)[0]
    mean = float((p * grid).sum() / p.sum())
    deviation = float((p * (grid - mean) ** 2).sum() / p.sum()) ** 0.5
    y = torch.full((1, 1, 64, 64), centre, dtype=F64)
    law = Quantised(Gaussian(sigma), torch.tensor(width, dtype=F64), torch.tensor(centre, dtype=F64))
    found = restore(Problem(y, Identity((1, 64, 64)), law), Pixels(), MMPS()).samples
    assert abs(float(found.mean()) - mean) < off * deviation
    assert spread[0] < float(found.std()) / deviation < spread[1]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Quantised(Gaussian(0.1), torch.zeros(2), torch.zeros(2))
    with pytest.raises(ValueError, match="only Gaussian"):
        Quantised(LAW, STEP, CENTRE)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="does not fit"):
        Problem(torch.zeros(1, 1, 2, 2), Identity((1, 2, 2)), Quantised(Gaussian(0.1), torch.ones(3), torch.zeros(3)))
    assert float(LAW.information(CENTRE)[3]) == pytest.approx(100 * LEAST)
