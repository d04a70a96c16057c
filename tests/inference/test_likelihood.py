from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.inference.derived_laws import Joint, Moved, Tempered
from restorekit.inference.likelihood import Gamma, Gaussian, Likelihood, Poisson

MEAN = torch.tensor([0.05, 0.2, 0.5, 0.9, 1.3, 2.0], dtype=torch.float64)
Y = torch.tensor([0.10, 0.15, 0.7, 0.4, 1.5, 0.3], dtype=torch.float64)
LAWS: dict[str, Likelihood] = {
    "gaussian": Gaussian(0.1),
    "gaussian-per-value": Gaussian(torch.linspace(0.05, 0.3, 6, dtype=torch.float64)),
    "poisson": Poisson(30.0),
    "poisson-few": Poisson(2.0),
    "gamma-intensity": Gamma(4.0),
    "gamma-amplitude": Gamma(2.5, "amplitude"),
    "gamma-log": Gamma(1.0, "log"),
    "joint": Joint((Gaussian(0.1), Gamma(3.0)), (4, 2)),
    "moved": Moved(Gamma(3.0, "log"), 5.0, torch.linspace(-2.5, -1.5, 6, dtype=torch.float64)),
    "tempered": Tempered(Gamma(3.0, "log"), 0.4),
}
every = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)


@every
def test_nll_is_zero_at_the_mean_and_positive_elsewhere(law: Likelihood) -> None:
    # Differences of numbers of order looks, or of peak * y * ln(peak * y) (about 100): rounding is below 1e-12.
    assert float(law.unit_nll(MEAN[None], MEAN[None]).abs().max()) < 1e-12
    assert float(law.unit_nll(Y[None], MEAN[None]).min()) > 1e-3


@every
def test_gradient_is_the_derivative(law: Likelihood) -> None:
    h = 1e-5  # central differences: error h^2 times the third derivative (< 1e5 here) plus rounding 1e-16 * 100 / h
    plus, minus = law.unit_nll(Y[None], MEAN[None] + h), law.unit_nll(Y[None], MEAN[None] - h)
    torch.testing.assert_close(law.gradient(Y[None], MEAN[None]), (plus - minus) / (2 * h), rtol=1e-4, atol=1e-6)


def _amplitude(looks: float) -> float:
    return math.exp(scipy.special.gammaln(looks + 0.5) - scipy.special.gammaln(looks)) / math.sqrt(looks)


MOMENTS: dict[str, tuple[Likelihood, Callable[[float], tuple[float, float]]]] = {
    "gaussian": (Gaussian(0.1), lambda m: (m, 0.01)),
    "poisson": (Poisson(30.0), lambda m: (m, m / 30)),
    "poisson-few": (Poisson(2.0), lambda m: (m, m / 2)),
    "intensity": (Gamma(4.0), lambda m: (m, m**2 / 4)),
    "intensity-one": (Gamma(1.0), lambda m: (m, m**2)),
    "amplitude": (Gamma(2.5, "amplitude"), lambda m: (m * _amplitude(2.5), m**2 * (1 - _amplitude(2.5) ** 2))),
    "log": (
        Gamma(3.0, "log"),
        lambda m: (m + float(scipy.special.psi(3.0)) - math.log(3), float(scipy.special.polygamma(1, 3.0))),
    ),
    "moved": (Moved(Poisson(30.0), 0.5, 2.0), lambda m: (m, (2 + 0.5 * m) / 30 / 0.25)),
}


@pytest.mark.parametrize("law", MOMENTS)
@pytest.mark.parametrize("mean", [0.3, 1.7])
def test_samples_have_the_mean_and_variance_of_theory(law: str, mean: float) -> None:
    n = 40_000
    likelihood, moments = MOMENTS[law]
    y = likelihood.sample(torch.full((1, n), mean, dtype=torch.float64), torch.Generator().manual_seed(3))
    expected, variance = moments(mean)
    assert y.dtype == torch.float64
    # Five standard errors: sqrt(v / n) of the mean; of the variance sqrt((kurtosis - 1) / n), kurtosis <= 9 (gamma, L=1).
    assert abs(float(y.mean()) - expected) < 5 * math.sqrt(variance / n)
    kurtosis = float(((y - y.mean()) ** 4).mean() / y.var() ** 2)
    assert abs(float(y.var()) / variance - 1) < 5 * math.sqrt((kurtosis - 1) / n)


@pytest.mark.parametrize("law", MOMENTS)
def test_unbiased_laws_are_those_whose_mean_is_the_mean(law: str) -> None:
    likelihood, moments = MOMENTS[law]
    assert likelihood.unbiased == (abs(moments(0.7)[0] - 0.7) < 1e-12)


@pytest.mark.parametrize("law", MOMENTS)
def test_centred_measurements_have_the_mean(law: str) -> None:
    """Where noise adds the same to all, or multiplies; five standard errors."""
    likelihood, moments = MOMENTS[law]
    y = likelihood.sample(torch.full((1, 40_000), 0.7, dtype=torch.float64), torch.Generator().manual_seed(1))
    assert abs(float(likelihood.centred(y).mean()) - 0.7) < 5.5 * math.sqrt(moments(0.7)[1] / 40_000)


@pytest.mark.parametrize("v", [300.0, -300.0])
def test_the_prox_of_log_speckle_is_finite_far_away(v: float) -> None:
    """In float32, where e^300 is not: the root of looks (1 - e^(y - s)) + weight (s - v)."""
    s = Gamma(1.0, "log").prox(torch.zeros(1), torch.tensor([v]), 0.01).double()
    slope = 1 - (-s).exp() + 0.01 * (s - v)
    assert abs(float(slope)) < 1e-4 * abs(v)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("looks", [0.5, 4.0, 1e4])
@pytest.mark.parametrize("weight", [1e-3, 16.0, 1e6])
def test_the_prox_of_log_speckle_is_the_omega_function(dtype: torch.dtype, looks: float, weight: float) -> None:
    """For measurements that no scene has, too: 60 nepers from where they are expected."""
    y = torch.linspace(-60, 60, 25, dtype=dtype)
    found = Gamma(looks, "log").prox(y, torch.full_like(y, 0.5), weight).double()
    ratio = looks / weight
    exact = 0.5 - ratio + scipy.special.wrightomega(y.double().numpy() - 0.5 + ratio + np.log(ratio))
    tolerance = 8e-5 if dtype is torch.float32 else 1e-7  # of exact: the rounding of ratio, up to 1e7
    np.testing.assert_allclose(found.numpy(), exact, atol=tolerance + 1e-15 * ratio)


@every
def test_samples_come_from_the_generator_alone(law: Likelihood) -> None:
    first, second, other = (law.sample(MEAN[None], torch.Generator().manual_seed(s)) for s in (5, 5, 6))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    generator = torch.Generator().manual_seed(5)
    assert not torch.equal(law.sample(MEAN[None], generator), law.sample(MEAN[None], generator))  # it moves on


def _scipy(law: str, y: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """log p(y | mean) by scipy."""
    if law == "gaussian":
        return scipy.stats.norm.logpdf(y, mean, 0.1)
    if law == "poisson":
        return scipy.stats.poisson.logpmf(np.rint(30 * y), 30 * mean)
    if law == "intensity":
        return scipy.stats.gamma.logpdf(y, 4, scale=mean / 4)
    if law == "amplitude":
        return scipy.stats.nakagami.logpdf(y, 2.5, scale=mean)
    return scipy.stats.loggamma.logpdf(y - mean, 3, loc=-math.log(3))


@pytest.mark.parametrize("law", ["gaussian", "poisson", "intensity", "amplitude", "log"])
def test_nll_differences_are_those_of_scipy(law: str) -> None:
    y = (Y * 30).round() / 30 if law == "poisson" else Y
    likelihood = MOMENTS[law][0]
    ours = likelihood.unit_nll(y, MEAN) - likelihood.unit_nll(y, MEAN * 1.3)
    theirs = _scipy(law, y.numpy(), MEAN.numpy() * 1.3) - _scipy(law, y.numpy(), MEAN.numpy())
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-9, atol=1e-10)  # rounding of terms up to 100


PROX = {
    "gaussian": (Gaussian(0.1), [0.3, -2.0, 5.0], [0.3, 0.9, -4.0]),
    "poisson": (Poisson(30.0), [0.0, 0.5, 0.1, 2.0], [0.5, 0.5, 3.0, -1.0]),
    "gamma-log": (Gamma(4.0, "log"), [0.0, 0.0, 8.0, -8.0, 0.4], [8.0, -8.0, 0.0, 0.0, 0.5]),
    "gamma-log-one-look": (Gamma(1.0, "log"), [0.0, 8.0, -8.0], [8.0, 0.0, 0.0]),
    "moved": (Moved(Gamma(1.0, "log"), 2.0, -3.0), [0.0, 4.0, -4.0], [4.0, 0.0, 0.0]),
    "tempered": (Tempered(Gamma(4.0, "log"), 0.3), [0.0, 4.0, -4.0], [4.0, 0.0, 0.0]),
}


@pytest.mark.parametrize("weight", [0.3, 10.0, 1e4])
@pytest.mark.parametrize("law", PROX)
def test_prox_is_the_minimum_that_scipy_finds(law: str, weight: float) -> None:
    likelihood, ys, vs = PROX[law]
    found = likelihood.prox(torch.tensor(ys, dtype=torch.float64), torch.tensor(vs, dtype=torch.float64), weight)
    for y, v, x in zip(ys, vs, found.tolist()):

        def cost(s: float, y: float = y, v: float = v) -> float:
            nll = likelihood.unit_nll(*torch.tensor([y, s], dtype=torch.float64))
            return float(nll) + weight / 2 * (s - v) ** 2

        low = 1e-9 if isinstance(likelihood, Poisson) else min(y, v) - max(0.0, 4 / weight) - 1
        best: Any = scipy.optimize.minimize_scalar(
            cost, bounds=(low, max(y, v) + 1), method="bounded", options={"xatol": 1e-12}
        )
        if isinstance(likelihood, Poisson) and x < 1e-4:
            assert best.x < 1e-4  # the rate is held at 1e-3 counts, so the cost is flat below
            continue
        # A minimum is found to the root of the rounding of its cost: 1e-8 relative, a few times that for large costs.
        assert x == pytest.approx(best.x, rel=1e-6, abs=1e-6)
        assert cost(x) <= best.fun * (1 + 1e-12) + 1e-12


def test_prox_of_a_joint_law_is_that_of_its_parts() -> None:
    parts = Gaussian(0.1), Poisson(30.0)
    joint = Joint(parts, (4, 2))
    y, v = Y[None], MEAN[None]
    expected = torch.cat([parts[0].prox(y[:, :4], v[:, :4], 5.0), parts[1].prox(y[:, 4:], v[:, 4:], 5.0)], 1)
    assert torch.equal(joint.prox(y, v, 5.0), expected)
    nll = torch.cat([parts[0].unit_nll(y[:, :4], v[:, :4]), parts[1].unit_nll(y[:, 4:], v[:, 4:])], 1)
    assert torch.equal(joint.unit_nll(y, v), nll)
    a, b = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    expected = torch.cat([parts[0].sample(v[:, :4], a), parts[1].sample(v[:, 4:], a)], 1)
    assert torch.equal(joint.sample(v, b), expected)


def test_extreme_values_stay_finite() -> None:
    tiny = torch.tensor([[0.0, 1e-30, 1e4]], dtype=torch.float32)
    for law in (Poisson(1e4), Gamma(4.0), Gamma(4.0, "amplitude")):
        for y in (tiny, tiny.flip(1)):
            assert bool(torch.isfinite(law.unit_nll(y, tiny)).all())
            assert bool(torch.isfinite(law.gradient(y, tiny)).all())


def _tensor(*values: float) -> Tensor:
    return torch.tensor(values)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Gaussian(0.0), "sigma > 0.*use 0.001"),
        (lambda: Gaussian(_tensor(0.1, -0.1)), "sigma > 0"),
        (lambda: Gaussian(math.inf), "sigma > 0"),
        (lambda: Gaussian(math.nan), "sigma > 0"),
        (lambda: Poisson(0.0), "peak > 0"),
        (lambda: Poisson(math.inf), "peak > 0"),
        (lambda: Gamma(-1.0), "looks > 0"),
        (lambda: Gamma(1.0, "power"), "intensity, amplitude or log"),  # type: ignore[arg-type]
        (lambda: Tempered(Gamma(1.0), 1.5), "above 0 and at most 1"),
        (lambda: Joint((Gaussian(0.1),), (1, 2)), "1 noise laws for 2 sensors"),
    ],
)
def test_impossible_laws_are_refused(make: Callable[[], Likelihood], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("law", [Gamma(4.0), Gamma(4.0, "amplitude")])
def test_no_prox_outside_the_log_domain(law: Gamma) -> None:
    with pytest.raises(Unsupported, match="work in the log domain"):
        law.prox(Y, MEAN, 1.0)


def test_measurements_of_zero_count_as_the_floor() -> None:
    law, mean = Gamma(4.0, floor=0.01), torch.tensor([0.3])
    assert float(law.unit_nll(torch.tensor([0.0]), mean)) == float(law.unit_nll(torch.tensor([0.01]), mean))


@pytest.mark.parametrize("law", [Poisson(30.0), Gamma(4.0), Gamma(4.0, "amplitude")])
def test_negative_means_are_pulled_up(law: Likelihood) -> None:
    y, mean = torch.tensor([0.5, 0.5]), torch.tensor([-0.1, 1e-6])
    slope = law.gradient(y, mean)
    assert bool((slope < -1).all())
    assert bool((law.unit_nll(y, mean) > law.unit_nll(y, torch.tensor([0.2, 0.2]))).all())


@pytest.mark.parametrize("peak", [1e3, 1e5])
def test_the_poisson_prox_is_exact_in_single_precision(peak: float) -> None:
    y, v = torch.rand(2, 1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = y * 0.05
    found = Poisson(peak).prox(y.float(), v.float(), 1.0)
    torch.testing.assert_close(found.double(), Poisson(peak).prox(y, v, 1.0), rtol=1e-5, atol=1e-7)


# Not `poisson-few`: means below one count are held at one. Nor `tempered`, whose values are not as independent as drawn.
@pytest.mark.parametrize("law", [law for name, law in LAWS.items() if name not in ("poisson-few", "tempered")], ids=str)
def test_information_is_the_variance_of_the_score(law: Likelihood) -> None:
    mean = MEAN[None].repeat(40_000, 1)
    y = law.sample(mean, torch.Generator().manual_seed(0))
    score = law.gradient(y, mean)
    # Var score = information: 40,000 draws, kurtosis up to 9, so 1.4 % standard error; five of them.
    torch.testing.assert_close(score.var(0), law.information(MEAN[None])[0], rtol=0.08, atol=0)


def test_a_tempered_law_has_its_share_of_everything_but_the_samples() -> None:
    law = Gamma(3.0, "log")
    tempered, seeds = Tempered(law, 0.25), [torch.Generator().manual_seed(1) for _ in range(2)]
    torch.testing.assert_close(tempered.unit_nll(Y, MEAN), 0.25 * law.unit_nll(Y, MEAN))
    torch.testing.assert_close(tempered.information(MEAN), 0.25 * law.information(MEAN))
    torch.testing.assert_close(tempered.centred(Y), law.centred(Y))
    assert torch.equal(tempered.sample(MEAN, seeds[0]), law.sample(MEAN, seeds[1]))
    assert (tempered.unbiased, tempered.positive, tempered.title) == (False, False, "Gamma")
