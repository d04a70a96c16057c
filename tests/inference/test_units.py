"""Solvers in the units of a prior: as for a picture on [0, 1], whatever numbers the prior knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from restorekit import operators as ops
from restorekit.errors import BadInput, Unsupported
from restorekit.inference.derived_laws import Joint, Moved
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gamma, Gaussian, Likelihood
from restorekit.inference.problem import Problem
from restorekit.inference.solver import Solver, Step
from restorekit.inference.units import Units, problem_in, units_of
from restorekit.metrics.fidelity import psnr
from restorekit.priors.analytic import GaussianPrior
from restorekit.priors.find import load_prior
from restorekit.priors.wrappers import ChannelWise, EnsembleFlip, GuidedByClass, Padded, Tiled
from restorekit.solvers import DAPS, DPS, HQS, MMPS, VDS, DiffPIR, PiGDM, Quadrature
from restorekit.solvers.parts.data_step import data_step
from tests.support.cases import kernel

UNITS = Units(mean=-2.0, spread=1.25)
SHAPE = (1, 8, 8)
PICTURES = GaussianPrior.smooth(SHAPE)


@dataclass(frozen=True)
class Logarithms:
    """The prior of pictures, moved to the units of logarithms."""

    units: Units | None = UNITS

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        return UNITS.back(PICTURES(UNITS.of(x), sigma / UNITS.gain))


def problems() -> dict[str, tuple[ops.Operator, Likelihood]]:
    blur, half = ops.ReflectBlur(SHAPE, kernel(3, 3)), ops.BlockAverage(SHAPE, 2)
    mask = ops.Inpaint(SHAPE, (torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)) > 0.4).double())
    return {
        "blur": (blur, Gaussian(0.3)),
        "mask": (mask, Gaussian(torch.linspace(0.1, 0.5, 8, dtype=torch.float64))),
        "speckle": (ops.Identity(SHAPE), Gamma(2.0, "log")),
        "sensors": (ops.Stack(SHAPE, (half, half)), Joint((Gaussian(0.2), Gaussian(0.4)), (16, 16))),
    }


def measured(operator: ops.Operator, law: Likelihood) -> Problem:
    rng = torch.Generator().manual_seed(0)
    x = UNITS.back(PICTURES.sample(1, rng))
    return Problem(law.sample(operator(x), rng), operator, law)


@pytest.mark.parametrize("solver", [DiffPIR(), HQS(), DPS(), MMPS(iterations=3), VDS()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("which", problems())
def test_a_solver_does_the_same_whatever_the_numbers(which: str, solver: Solver) -> None:
    if which == "speckle" and isinstance(solver, MMPS):
        solver = Quadrature()
    problem = measured(*problems()[which])
    moved, seen, expected = problem_in(UNITS, problem), list[Step](), list[Step]()
    there = restore(problem, Logarithms(), solver, steps=4, seed=3, progress=lambda a, b, step: seen.append(step))
    here = restore(moved, PICTURES, solver, steps=4, seed=3, progress=lambda a, b, step: expected.append(step))
    torch.testing.assert_close(
        there.samples, UNITS.back(here.samples), rtol=1e-6, atol=1e-6
    )  # where conjugate gradients stop
    assert there.settings["sigmas"] == here.settings["sigmas"]
    assert there.settings["units"] == {"mean": -2.0, "spread": 1.25}
    assert "units" not in here.settings
    torch.testing.assert_close(seen[1].x0, UNITS.back(expected[1].x0), rtol=1e-6, atol=1e-6)
    assert seen[1].sigma == pytest.approx(5 * expected[1].sigma)


@pytest.mark.parametrize("which", [*problems(), "saturate"])
def test_the_likelihood_of_the_moved_problem_is_that_of_the_measured_one(which: str) -> None:
    own: dict[str, tuple[ops.Operator, Likelihood]] = {"saturate": (ops.Saturate(SHAPE, 2.0), Gaussian(0.1))}
    problem = measured(*(problems() | own)[which])
    x = UNITS.back(PICTURES.sample(1, torch.Generator().manual_seed(7)))
    torch.testing.assert_close(problem_in(UNITS, problem).nll(UNITS.of(x)), problem.nll(x))


def test_gaussian_noise_stays_so_and_a_linear_operator_too() -> None:
    blurred, sensors = (problem_in(UNITS, measured(*problems()[name])) for name in ("blur", "sensors"))
    assert isinstance(blurred.operator, ops.ReflectBlur)
    assert isinstance(blurred.likelihood, Gaussian)
    assert blurred.likelihood.sigma == pytest.approx(0.3 / 5)
    assert isinstance(sensors.likelihood, Joint)
    assert isinstance(problem_in(UNITS, measured(*problems()["speckle"])).likelihood, Moved)


def test_a_start_is_in_the_numbers_of_the_prior() -> None:
    problem = measured(*problems()["blur"])
    begin = UNITS.back(PICTURES.sample(1, torch.Generator().manual_seed(2)))
    there = restore(problem, Logarithms(), HQS(), steps=2, begin=begin).samples
    here = restore(problem_in(UNITS, problem), PICTURES, HQS(), steps=2, begin=UNITS.of(begin)).samples
    torch.testing.assert_close(there, UNITS.back(here))


def test_wrappers_pass_units_on() -> None:
    inside = Logarithms()
    for made in (
        ChannelWise(inside),
        EnsembleFlip(inside, 2),
        Padded(inside, 2),
        Tiled(inside),
        GuidedByClass(inside, inside),
    ):
        assert units_of(made) == UNITS
    assert units_of(ChannelWise(Logarithms(None))) is units_of(PICTURES) is None
    sar = load_prior("sar")
    assert sar.units == Units(sar.spec.mean, sar.spec.sigma_data)  # type: ignore[union-attr]
    assert load_prior("natural").units is None


def test_refusals_say_what_was_given() -> None:
    """And not what it became on the way to the solver."""
    for operator, law, named in (
        (ops.Identity(SHAPE), Gamma(4.0, "log"), "needs Gaussian noise, got Gamma;"),
        (ops.Saturate(SHAPE, 2.0), Gaussian(0.1), "needs a linear operator, got Saturate;"),
    ):
        with pytest.raises(Unsupported, match=named):
            restore(measured(operator, law), Logarithms(), PiGDM(), steps=2)


@dataclass(frozen=True)
class Flat:
    """Pictures of one value, which may be anything: their mean is what it gives."""

    units: Units | None = UNITS

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        return x.mean((-2, -1), keepdim=True).expand_as(x)


@pytest.mark.parametrize("solver", [HQS(first=0.5), DAPS(), Quadrature()], ids=lambda s: type(s).__name__)
def test_sensors_of_speckle_are_no_more_biased_than_one(solver: Solver) -> None:
    """Two sensors of one look. Noise added to y again would lie 0.58 off."""
    law, x = Gamma(1.0, "log"), torch.full((1, 1, 64, 64), -2.0, dtype=torch.float64)
    one, both = ops.Identity((1, 64, 64)), Joint((law, law), (4096, 4096))
    assert not both.unbiased
    y = both.sample(x.flatten(1).repeat(1, 2), torch.Generator().manual_seed(0))
    found = restore(Problem(y, ops.Stack(one.image_shape, (one, one)), both), Flat(), solver, steps=8).samples
    assert abs(float((found + 2).mean())) < 0.1


def test_a_measurement_of_another_shape_than_the_mask_is_refused() -> None:
    """And not made to fit it."""
    mask = ops.Inpaint((3, 8, 8), torch.ones(3, 8, 8, dtype=torch.float64))
    with pytest.raises(BadInput, match="Inpaint gives"):
        restore(Problem(torch.zeros(1, 1, 8, 8, dtype=torch.float64), mask, Gaussian(0.1)), PICTURES, HQS(), steps=2)


def test_a_spread_must_be_positive() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Units(0.0, 0.0)


@pytest.mark.parametrize("looks", [1.0, 4.0])
def test_the_data_step_of_log_speckle_is_right_on_average(looks: float) -> None:
    """From the truth, with a weak prior. The minimum of the same cost is off by digamma(looks) - ln(looks), -0.58 at one."""
    law, x = Gamma(looks, "log"), torch.full((1, 1, 200, 200), -2.0, dtype=torch.float64)
    y = law.sample(x, torch.Generator().manual_seed(0))
    t = 10.0
    found = data_step(Problem(y, ops.Identity((1, 200, 200)), law), "test")(x, t)
    # Steps beyond five deviations are cut: that takes away e^-6 = 0.0025 at one look; five standard errors are 0.025.
    assert abs(float((found - x).mean())) < 0.03
    bias = float(torch.digamma(torch.tensor(looks))) - float(np.log(looks))
    assert float((law.prox(y, x, t**-2) - x).mean()) == pytest.approx(bias, abs=0.03)


@pytest.mark.parametrize(("solver", "samples"), [(HQS(first=0.5), 1), (DiffPIR(), 2), (Quadrature(), 2)], ids=str)
def test_defaults_despeckle_with_the_shipped_prior(solver: Solver, samples: int) -> None:
    """One look, few steps: 8 dB more than the speckle has. With proximal steps `hqs` and `diffpir` stay below 6."""
    x = torch.from_numpy(data.moon()[200:264, 200:264].astype(np.float32) / 255).clamp(min=1 / 255)[None, None]
    law = Gamma(1.0, "log")
    y = law.sample(2 * x.log(), torch.Generator().manual_seed(0))
    found = restore(
        Problem(y, ops.Identity((1, 64, 64)), law), load_prior("sar"), solver, steps=8 * samples, samples=samples
    )

    def score(u: Tensor) -> float:
        return psnr((u / 2).exp().clamp(0, 1).numpy(), x[0].numpy())

    assert score(found.mean) > score(y[0]) + 8
