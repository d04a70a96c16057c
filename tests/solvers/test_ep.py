"""EP: sites against integrals, and draws against exact posteriors of speckle in the logarithm."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from restorekit import operators as ops
from restorekit.bench.posterior.exam_pixels import speckle
from restorekit.bench.posterior.run_exam import Size, Stream, measure
from restorekit.errors import BadInput
from restorekit.inference.derived_laws import Tempered
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gamma, Gaussian, Likelihood, Poisson
from restorekit.inference.problem import Problem
from restorekit.inference.solver import Solver
from restorekit.solvers import EP
from restorekit.solvers.ep import sites

F64 = torch.float64
LAWS = {
    "one look": (Gamma(1.0, "log"), 0.4),
    "far below": (Gamma(1.0, "log"), -6.0),
    "far above": (Gamma(1.0, "log"), 4.0),
    "16 looks": (Gamma(16.0, "log"), 2.0),
    "tempered": (Tempered(Gamma(4.0, "log"), 0.3), -1.0),
    "counts": (Poisson(50.0), 0.8),
}


@pytest.mark.parametrize("r2", [1e-4, 0.1, 2.0])
@pytest.mark.parametrize("name", LAWS)
def test_a_site_has_the_moments_of_the_law(name: str, r2: float) -> None:
    """As a Gaussian measurement it moves N(m, r2) to the mean and the variance that the law does, integrated on a grid."""
    law, value = LAWS[name]
    y, m = (torch.tensor([[v]], dtype=F64) for v in (value, 0.6 if name == "counts" else 0.0))
    r2 = 1e-3 * r2 if name == "counts" else r2  # so that hardly any of it lies below 0
    d, variance = sites(law, y, m, torch.full_like(m, r2))
    x = m + r2**0.5 * torch.linspace(-14, 14, 40001, dtype=F64)
    p = (-0.5 * (x - m) ** 2 / r2 - law.unit_nll(y.expand_as(x), x)).softmax(1)
    mean = (p * x).sum()
    spread = (p * (x - mean) ** 2).sum()
    assert float(m + r2 * d) == pytest.approx(float(mean), abs=2e-3 * float(spread.sqrt()))
    assert float(r2 * variance / (r2 + variance)) == pytest.approx(float(spread), rel=5e-3)


def test_a_gaussian_measurement_is_its_own_site() -> None:
    y, m, r2 = (torch.full((1, 3), v, dtype=F64) for v in (0.7, 0.2, 0.3))
    d, variance = sites(Gaussian(0.4), y, m, r2)
    torch.testing.assert_close(variance, torch.full_like(m, 0.16))
    torch.testing.assert_close(d * (r2 + variance), y - m)


def test_the_score_is_right_on_average_where_the_variance_is_that_of_the_scene() -> None:
    """And with a larger one it takes the skew of speckle for scene."""
    g = torch.Generator().manual_seed(0)
    m, law = torch.zeros(1, 100_000, dtype=F64), Gamma(1.0, "log")
    sd = 0.2
    y = law.sample(m + sd * torch.randn(m.shape, generator=g, dtype=F64), g)
    own, wide = (sites(law, y, m, torch.full_like(m, r**2))[0] for r in (sd, 0.8))
    error = float(own.std()) / m.numel() ** 0.5
    assert abs(float(own.mean())) < 4 * error
    assert float(wide.mean()) < -10 * error


@pytest.mark.parametrize(("looks", "prior"), [(1, "wide"), (4, "wide"), (16, "wide"), (1, "narrow")])
def test_draws_have_the_mean_and_the_spread_of_the_posterior(looks: float, prior: str) -> None:
    """96 measurements, 99 samples: the standard errors are 0.011 of the bias and 0.007 of the spread."""
    found = measure(speckle(looks, prior), EP(), size=Size(6, 99))[0]
    assert abs(found.bias.value) < 0.045
    assert 0.93 < found.spread_measured.value < 1.03
    assert found.w2.value < 1.15 * found.floor.value + 4 * found.w2.error


@dataclass(frozen=True)
class Flat:
    """Pictures of one level, N(mean, sd^2): what their pixels tell is told of one number."""

    mean: float = 0.5
    sd: float = 0.25

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        gain = self.sd**2 / (self.sd**2 + sigma**2 / x[0].numel())
        return (self.mean + gain * (x.mean((1, 2, 3), keepdim=True) - self.mean)).expand_as(x)


@pytest.mark.parametrize("looks", [1.0, 16.0])
def test_neighbours_that_are_alike_are_counted_once(looks: float) -> None:
    prior, law, g = Flat(), Gamma(looks, "log"), torch.Generator().manual_seed(0)
    level = torch.linspace(-0.5, 1.5, 4001, dtype=F64)
    off, spread = [], []
    for i in range(4):
        x0 = (0.5 + 0.25 * torch.randn(1, 1, 1, 1, generator=g, dtype=F64)).expand(1, 1, 8, 8)
        y = law.sample(x0, g)
        nll = law.unit_nll(y.view(-1, 1).expand(-1, len(level)), level.expand(64, -1)).sum(0)
        p = (-0.5 * ((level - prior.mean) / prior.sd) ** 2 - nll).softmax(0)
        mean = (p * level).sum()
        sd = (p * (level - mean) ** 2).sum().sqrt()
        drawn = restore(
            Problem(y, ops.Identity((1, 8, 8)), law), prior, EP(), samples=100,
            rng=lambda seed, first, count, i=i: Stream(i, first),
        ).samples.mean((1, 2, 3))  # fmt: skip
        off.append(float((drawn.mean() - mean) / sd))
        spread.append(float(drawn.std() / sd))
    # Four measurements: standard errors of exact draws are 0.05 and 0.035.
    assert abs(sum(off) / 4) < 0.2
    assert 0.9 < sum(spread) / 4 < 1.1


@pytest.mark.parametrize(
    ("law", "words"),
    [(Gaussian(0.1), "use `solver=mmps`"), (Gamma(4.0), "work in the log domain")],
    ids=["gaussian", "intensity"],
)
def test_what_has_no_site_is_refused(law: Likelihood, words: str) -> None:
    problem = Problem(torch.full((1, 1, 8, 8), 0.5), ops.Identity((1, 8, 8)), law)
    with pytest.raises(BadInput, match=words) as caught:
        restore(problem, Flat(), EP(), steps=3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"iterations": 0}, {"prior_std": 0.0}, {"sampler": "none"}], ids=str)
def test_settings_without_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be at least 1|unknown"):
        EP(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("solver", [EP(), EP(iterations=1)], ids=["two", "one"])
def test_what_is_masked_says_nothing(solver: Solver) -> None:
    g, law = torch.Generator().manual_seed(0), Gamma(4.0, "log")
    mask = (torch.arange(64).view(1, 1, 8, 8) % 3 > 0).double()
    y = law.sample(torch.zeros(1, 1, 8, 8, dtype=F64), g)
    other = torch.where(mask > 0, y, 50.0)
    found = [
        restore(Problem(v, ops.Identity((1, 8, 8)), law, mask), Flat(), solver, steps=8).samples for v in (y, other)
    ]
    torch.testing.assert_close(found[0], found[1])
