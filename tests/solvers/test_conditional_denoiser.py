"""`Conditional` is E[x0 | x, y]: against the exact posterior, under every sampler, in any unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from restorekit import operators as ops
from restorekit.errors import BadInput, Unsupported
from restorekit.inference.likelihood import Gamma, Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import log_uniform
from restorekit.inference.units import Units
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import EP, MMPS, SARDPS, TMPD, Conditional, DiffPIR, PiGDM, Quadrature
from restorekit.solvers.parts.guided import Guided
from restorekit.solvers.samplers import SAMPLERS
from tests.support.cases import gaussian

SHAPE = (1, 6, 6)
PRIOR = GaussianPrior.smooth(SHAPE)
F64 = torch.float64
SIGMA_Y = 0.05
UNITS = Units(mean=100.0, spread=50.0)
OPERATORS = {
    "blur": ops.SymmetricBlur(SHAPE, gaussian(3, 0.8)), "average": ops.BlockAverage(SHAPE, 2),
    "inpaint": ops.Inpaint(SHAPE, (torch.arange(36) % 3 > 0).to(F64).view(SHAPE)),
}  # fmt: skip
EXACT = MMPS(iterations=36, tolerance=0.0)


def problem(name: str = "blur", count: int = 1) -> Problem:
    g = torch.Generator().manual_seed(0)
    law = Gaussian(SIGMA_Y)
    return Problem(law.sample(OPERATORS[name](PRIOR.sample(count, g)), g), OPERATORS[name], law)


def posterior_mean(given: Problem, x: Tensor, sigma: float) -> Tensor:
    """E[x0 | x, y] by dense algebra: the posterior given y is the prior of x."""
    mean, c = PRIOR.posterior(given.operator, given.y, SIGMA_Y)  # type: ignore[arg-type]
    gain = torch.linalg.solve(c + sigma**2 * torch.eye(len(c), dtype=F64), c).T
    return mean + ((x - mean).flatten(1) @ gain.T).view_as(x)


@pytest.mark.parametrize("sigma", [5.0, 0.3, 0.02])
@pytest.mark.parametrize("name", OPERATORS)
def test_it_is_the_mean_of_the_posterior(name: str, sigma: float) -> None:
    given = problem(name)
    x = PRIOR.sample(3, torch.Generator().manual_seed(1)) + sigma * torch.randn(3, *SHAPE, dtype=F64)
    found, exact = Conditional(PRIOR, given, EXACT)(x, sigma), posterior_mean(given, x, sigma)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-6)
    assert float((PRIOR(x, sigma) - exact).norm()) > 1e-3  # which is not what the prior says


@pytest.mark.parametrize("method", [PiGDM(), TMPD(), SARDPS()], ids=lambda m: type(m).__name__)
def test_every_method_comes_nearer_than_the_prior(method: Guided) -> None:
    given, sigma = problem("average"), 0.3
    x = PRIOR.sample(3, torch.Generator().manual_seed(1)) + sigma * torch.randn(3, *SHAPE, dtype=F64)
    exact = posterior_mean(given, x, sigma)
    off = [float((found - exact).norm()) for found in (Conditional(PRIOR, given, method)(x, sigma), PRIOR(x, sigma))]
    assert off[0] < 0.6 * off[1]


@pytest.mark.parametrize("method", [EP(), Quadrature()], ids=lambda m: type(m).__name__)
def test_methods_for_other_noise_take_speckle(method: Guided) -> None:
    law, g, sigma = Gamma(4.0, "log"), torch.Generator().manual_seed(0), 0.3
    x0 = PRIOR.sample(1, g)
    given = Problem(law.sample(x0, g), ops.Identity(SHAPE), law)
    x = x0 + sigma * torch.randn(1, *SHAPE, generator=g, dtype=F64)
    off = [float((found - x0).norm()) for found in (Conditional(PRIOR, given, method)(x, sigma), PRIOR(x, sigma))]
    assert off[0] < 0.9 * off[1]


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_follows_it(name: str) -> None:
    """To the posterior: the mean of many draws, and their spread, which a deterministic step keeps too."""
    given, count = problem("inpaint"), 200
    sampler, sigmas, rng = SAMPLERS[name](), log_uniform(30, 10.0, 0.005), Rng(range(count))
    x = 10.0 * rng.normal(torch.empty(count, *SHAPE, dtype=F64)) + 0.5
    *_, last = sampler(Conditional(PRIOR, given), sigmas, x, rng)
    mean, covariance = PRIOR.posterior(given.operator, given.y, SIGMA_Y)  # type: ignore[arg-type]
    spread = covariance.diagonal().sqrt().view(SHAPE)
    assert float(((last.x.mean(0) - mean[0]) / spread).abs().max()) < 0.4  # 5 standard errors, and what 30 levels leave
    assert 0.8 < float(last.x.std(0).mean() / spread.mean()) < 1.1


@pytest.mark.parametrize("sampler", ["ddim", "sde", "sde1", "sde2"])
def test_a_guided_solver_is_this_denoiser_and_its_sampler(sampler: str) -> None:
    given, sigmas = problem("blur"), log_uniform(8, 10.0, 0.01)
    x = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=F64) * 10
    *_, whole = MMPS(sampler=sampler)(given, PRIOR, sigmas, x, Rng([1]))
    denoise = Conditional(PRIOR, given)
    for _ in range(2):  # the second run knows nothing of the first
        *_, parts = SAMPLERS[sampler]()(denoise, sigmas, x, Rng([1]))
        assert torch.equal(whole.x, parts.x)


def test_pictures_at_levels_of_their_own() -> None:
    given, sigma = problem("blur", 2), torch.tensor([0.3, 0.1], dtype=F64)
    x = PRIOR.sample(2, torch.Generator().manual_seed(1))
    found = Conditional(PRIOR, given, EXACT)(x, sigma)
    for i, part in enumerate(given.split()):
        torch.testing.assert_close(
            found[i : i + 1], posterior_mean(part, x[i : i + 1], float(sigma[i])), rtol=0, atol=1e-6
        )
    same = Conditional(PRIOR, given, EXACT)(x, sigma[:1].expand(2))
    torch.testing.assert_close(same[:1], found[:1], rtol=0, atol=1e-8)


@dataclass(frozen=True)
class Camera:
    units: Units = UNITS

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        return self.units.back(PRIOR(self.units.of(x), sigma / self.units.gain))


def test_it_speaks_the_unit_of_its_prior() -> None:
    here, camera = problem("average"), Camera()
    gain, offset = camera.units.gain, camera.units.back(torch.zeros(1, dtype=F64))
    there = Problem(
        here.y * gain + offset * OPERATORS["average"](torch.ones(1, *SHAPE, dtype=F64)),
        here.operator,
        Gaussian(SIGMA_Y * gain),
    )
    x = PRIOR.sample(2, torch.Generator().manual_seed(1))
    conditional = Conditional(camera, there, EXACT)
    assert conditional.units == camera.units
    found = conditional(camera.units.back(x), 0.3 * gain)
    torch.testing.assert_close(camera.units.of(found), posterior_mean(here, x, 0.3), rtol=0, atol=1e-6)


WRONG: dict[str, tuple[Any, str]] = {
    "no denoiser": (lambda: Conditional("natural", problem()), "the denoiser is a str"),  # type: ignore[arg-type]
    "not guided": (lambda: Conditional(PRIOR, problem(), DiffPIR()), "DiffPIR is no guided method; give one such as MMPS"),  # type: ignore[arg-type]
    "a class": (lambda: Conditional(PRIOR, problem(), PiGDM), "PiGDM is no guided method"),  # type: ignore[arg-type]
    "numbers": (lambda: Conditional(PRIOR, problem("blur", 2))(torch.zeros(3, *SHAPE), 0.1), "3 pictures for 2 measurements"),
    "levels": (
        lambda: Conditional(PRIOR, problem())(torch.zeros(3, *SHAPE), torch.tensor([0.1, 0.2])), "2 noise levels for 3 pictures",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_one_line(name: str) -> None:
    make, words = WRONG[name]
    with pytest.raises(BadInput, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_what_a_method_cannot_treat_is_refused_at_once() -> None:
    with pytest.raises(Unsupported, match="mmps needs a linear operator"):
        Conditional(PRIOR, Problem(torch.rand(1, *SHAPE), ops.Saturate(SHAPE, 1.5), Gaussian(0.1)))
