"""Counts with read noise: the law, and the transform that makes its noise even."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from restorekit import Problem
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian, Poisson
from restorekit.inference.sensor_noise import Anscombe, PoissonGaussian, anscombe
from restorekit.operators import Identity
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import HQS
from restorekit.text.names import noise_of
from restorekit.text.spelling import noise_text

LAWS = [PoissonGaussian(0.02, 0.01), PoissonGaussian(0.001, 0.03), PoissonGaussian(0.2, 0.0)]
MEANS = torch.tensor([0.0, 0.01, 0.3, 1.0, 2.0], dtype=torch.float64)
every = pytest.mark.parametrize("law", LAWS, ids=lambda law: f"{law.gain},{law.read}")


@every
@pytest.mark.parametrize("mean", [0.0, 0.05, 0.7])
def test_samples_have_the_variance_of_theory(law: PoissonGaussian, mean: float) -> None:
    y = law.sample(torch.full((1, 60_000), mean, dtype=torch.float64), torch.Generator().manual_seed(0))
    variance = law.gain * mean + law.read**2
    assert abs(float(y.mean()) - mean) <= 5 * math.sqrt(variance / 60_000)
    if variance > 0:
        kurtosis = float(((y - y.mean()) ** 4).mean() / y.var() ** 2)
        assert abs(float(y.var()) / variance - 1) < 5 * math.sqrt((kurtosis - 1) / 60_000)


@every
def test_information_is_the_mean_curvature_and_the_variance_of_the_score(law: PoissonGaussian) -> None:
    mean, h = 0.5, 1e-4
    y = law.sample(torch.full((1, 200_000), mean, dtype=torch.float64), torch.Generator().manual_seed(1))
    at = torch.full_like(y, mean)
    told = float(law.information(at[:, :1]))
    curvature = (law.gradient(y, at + h) - law.gradient(y, at - h)) / (2 * h)
    assert float(curvature.mean()) == pytest.approx(told, rel=0.02)
    score = law.gradient(y, at)
    assert float(score.var()) == pytest.approx(told, rel=0.02)
    assert abs(float(score.mean())) < 5 * math.sqrt(told / 200_000)


@every
def test_a_perfect_fit_is_zero_and_nothing_is_less(law: PoissonGaussian) -> None:
    assert float(law.unit_nll(MEANS, MEANS).abs().max()) < 1e-12
    y, mean = torch.meshgrid(torch.linspace(-0.1, 2, 40), torch.linspace(-0.1, 2, 40), indexing="ij")
    nll = law.unit_nll(y, mean)
    assert bool(torch.isfinite(nll).all())
    assert float(nll.min()) >= 0


@every
def test_the_gradient_is_the_derivative_also_below_black_and_near_a_perfect_fit(law: PoissonGaussian) -> None:
    y = torch.tensor([0.0, 0.3, 0.3, 0.3, 1.0], dtype=torch.float64)
    mean, h = torch.tensor([0.2, -0.4, 0.3001, 0.31, 0.5], dtype=torch.float64), 1e-6
    slope = (law.unit_nll(y, mean + h) - law.unit_nll(y, mean - h)) / (2 * h)
    torch.testing.assert_close(law.gradient(y, mean), slope, rtol=1e-4, atol=1e-4)


@every
def test_the_proximal_step_is_the_minimum(law: PoissonGaussian) -> None:
    for y, v, weight in ((0.3, 0.5, 10.0), (0.05, 0.4, 1000.0), (0.8, 0.1, 200.0)):
        found = float(law.prox(torch.tensor([y], dtype=torch.float64), torch.tensor([v], dtype=torch.float64), weight))

        def cost(x: float, y: float = y, v: float = v, weight: float = weight) -> float:
            one = torch.tensor([x], dtype=torch.float64)
            return float(law.unit_nll(torch.tensor([y], dtype=torch.float64), one)) + weight / 2 * (x - v) ** 2

        steps = np.linspace(-0.01, 0.01, 201) + found
        assert found == pytest.approx(steps[int(np.argmin([cost(float(x)) for x in steps]))], abs=1e-5)


def test_without_read_noise_it_is_poisson_and_with_little_gain_gaussian() -> None:
    y, mean = torch.linspace(0.05, 1.5, 30, dtype=torch.float64), torch.full((30,), 0.6, dtype=torch.float64)
    torch.testing.assert_close(PoissonGaussian(0.05, 0).unit_nll(y, mean), Poisson(20).unit_nll(y, mean))
    y = 0.6 + torch.linspace(-0.1, 0.1, 30, dtype=torch.float64)
    few = PoissonGaussian(1e-7, 0.05)
    torch.testing.assert_close(few.unit_nll(y, mean), Gaussian(0.05).unit_nll(y, mean), rtol=1e-3, atol=1e-6)


def test_single_precision_keeps_the_score() -> None:
    law, y, mean = PoissonGaussian(1e-5, 0.02), torch.tensor([0.5, 0.52, 0.6]), torch.tensor([0.501, 0.5, 0.5])
    torch.testing.assert_close(
        law.gradient(y, mean).double(), law.gradient(y.double(), mean.double()), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize("settings", [(0.0, 0.01), (-1.0, 0.01), (0.01, -0.1), (math.nan, 0.1), (0.01, math.inf)])
def test_what_is_no_sensor_is_refused(settings: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="GAIN > 0 and READ >= 0"):
        PoissonGaussian(*settings)


def test_text() -> None:
    law = noise_of("poisson-gaussian:0.01,0.002")
    assert isinstance(law, PoissonGaussian)
    assert (law.gain, law.read) == (0.01, 0.002)
    assert noise_text(law) == "poisson-gaussian:0.01,0.002"


@every
def test_anscombe_makes_noise_even_and_its_inverse_is_right_on_average(law: PoissonGaussian) -> None:
    even = Anscombe(law.gain, law.read)
    assert float(even(torch.tensor(0.0))) == pytest.approx(0, abs=1e-6)
    assert float(even(torch.tensor(1.0))) == pytest.approx(1, abs=1e-6)
    for mean in (10 * law.gain, 0.4, 0.9):
        y = law.sample(torch.full((1, 60_000), mean, dtype=torch.float64), torch.Generator().manual_seed(2))
        stable = even(y)
        if mean > 4 * law.gain:
            assert float(stable.std()) == pytest.approx(even.level, rel=0.04)
        bias = float(even.inverse(stable.mean())) - mean
        assert (
            abs(bias) < 5 * math.sqrt(float(law.variance(torch.tensor(mean))) / 60_000) + 0.002 * mean + 0.01 * law.gain
        )


def test_other_laws_have_no_such_transform() -> None:
    assert anscombe(Gaussian(0.1)) is None
    assert anscombe(Poisson(50.0)) == Anscombe(0.02, 0.0)


def test_one_step_of_hqs_does_what_eight_do() -> None:
    shape = (1, 32, 32)
    prior = GaussianPrior.smooth(shape)
    x = prior.sample(1, torch.Generator().manual_seed(0)).clamp(0.05, 1)
    law = PoissonGaussian(0.05, 0.02)
    y = law.sample(x, torch.Generator().manual_seed(1))
    problem = Problem(y, Identity(shape), law)
    one, eight = (restore(problem, prior, HQS(first=0.5), steps=n).samples for n in (1, 8))
    error = [float((v - x).square().mean()) for v in (y, one, eight)]
    assert error[1] < 0.3 * error[0]
    assert error[1] < 1.1 * error[2]
    again = restore(Problem(y, Identity(shape), law), prior, HQS(first=0.5), steps=1).samples
    assert np.array_equal(one.numpy(), again.numpy())
