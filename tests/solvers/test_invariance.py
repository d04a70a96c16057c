"""What must not change a result, for every solver: the unit of y, that of the picture, the size of the batch, the dtype.

Each solver runs on every problem here that it accepts, in a few steps on 8x8 pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor

from restorekit import operators as ops
from restorekit.errors import Unsupported
from restorekit.inference.censored import Censored
from restorekit.inference.derived_laws import Joint
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gamma, Gaussian, Likelihood, Poisson
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng, streams
from restorekit.inference.solver import Solver
from restorekit.inference.units import Units
from restorekit.operators.base import LinearOperator
from restorekit.operators.combine import Stack, compose
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import SOLVERS
from tests.support.cases import peaked

SHAPE = (1, 8, 8)
PRIOR = GaussianPrior.smooth(SHAPE)
F64 = torch.float64
UNITS = Units(mean=100.0, spread=50.0)  # x = 200 u: counts of a camera, 0 to 200
QUICK: dict[str, dict[str, Any]] = {"exchange": {"sweeps": 3, "inner": 2}, "smc": {"particles": 4},
         "pnpdm": {"langevin": 10, "inner": 3}, "daps": {"langevin": 10, "inner": 3}}  # fmt: skip
RANDOM = torch.randn(40, 64, generator=torch.Generator().manual_seed(3), dtype=F64) / 8
POSITIVE = RANDOM.abs()


@dataclass(frozen=True, eq=False)
class Times(LinearOperator):
    """y = k x, of measurements of any shape."""

    k: float

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.k * x

    def adjoint(self, y: Tensor, /) -> Tensor:
        return self.k * y


def times(k: float, operator: ops.Operator) -> ops.Operator:
    _, c, h, w = operator(torch.zeros(1, *operator.image_shape, dtype=F64)).shape
    return compose(Times((c, h, w), k), operator)


def seen(operator: ops.Operator) -> Tensor:
    """What a sensor with noise 0.05 gives, before it is held."""
    g = torch.Generator().manual_seed(0)
    return Gaussian(0.05).sample(operator(PRIOR.sample(1, g)), g)


SEEN, SUMS = seen(ops.ReflectBlur(SHAPE, peaked(3, 3))), seen(ops.Matrix(SHAPE, POSITIVE))
Made = Callable[[float], tuple[ops.Operator, Likelihood]]
PROBLEMS: dict[str, Made] = {  # of k, by which everything that has the unit of y is multiplied
    "matrix": lambda k: (ops.Matrix(SHAPE, k * RANDOM), Gaussian(0.05 * k)),
    "clean": lambda k: (ops.Inpaint(SHAPE, k * (torch.arange(64) % 3 > 0).to(F64).view(SHAPE)), Gaussian(1e-6 * k)),
    "unequal": lambda k: (
        times(k, ops.ReflectBlur(SHAPE, peaked(3, 3))), Gaussian(k * torch.linspace(0.02, 0.2, 8, dtype=F64)),
    ),
    "means": lambda k: (times(k, ops.BlockAverage(SHAPE, 4)), Gaussian(0.01 * k)),
    "counts": lambda k: (ops.Matrix(SHAPE, k * POSITIVE), Poisson(50 / k)),
    "speckle": lambda k: (times(k, ops.ReflectBlur(SHAPE, peaked(3, 3))), Gamma(4.0, floor=1e-3 * k)),
    "sensors": lambda k: (
        Stack(SHAPE, (times(k, ops.Identity(SHAPE)), ops.Matrix(SHAPE, k * POSITIVE))),  # type: ignore[arg-type]
        Joint((Gaussian(0.1 * k), Poisson(50 / k)), (64, 40)),
    ),
    "stopped": lambda k: (times(k, ops.ReflectBlur(SHAPE, peaked(3, 3))), Censored.of(k * SEEN, 0.05 * k, -0.05 * k, 0.2 * k)),
    "stopped sums": lambda k: (ops.Matrix(SHAPE, k * POSITIVE), Censored.of(k * SUMS, 0.15 * k, 0.4 * k, 0.6 * k)),
    "magnitudes": lambda k: (times(k, ops.PhaseRetrieval(SHAPE)), Gaussian(0.05 * k)),
    "saturated counts": lambda k: (times(k, ops.Saturate(SHAPE, 1.5)), Poisson(50 / k)),
}  # fmt: skip


@cache
def measured(which: str) -> Tensor:
    """In the unit k = 1."""
    if which.startswith("stopped"):
        return SEEN if which == "stopped" else SUMS
    operator, law = PROBLEMS[which](1.0)
    g = torch.Generator().manual_seed(0)
    return law.sample(operator(PRIOR.sample(1, g).clamp(0.05, 0.95)), g)


def problem(which: str, k: float = 1.0) -> Problem:
    operator, law = PROBLEMS[which](k)
    return Problem(k * measured(which), operator, law)


def quick(name: str) -> Solver:
    return SOLVERS[name](**QUICK.get(name, {}))


def accepted(name: str, samples: bool = False) -> Iterator[str]:
    for which in PROBLEMS:
        try:
            quick(name).check(problem(which))
            if samples:
                quick(name).check_draws(problem(which))
        except Unsupported:
            continue
        yield which


def told(which: str, message: str) -> str:
    return f"{which}: {message}"


def run(name: str, problem: Problem, denoise: Any = PRIOR, **options: Any) -> Tensor:
    told: dict[str, Any] = {"steps": 4, "seed": 3} | options
    return restore(problem, denoise, quick(name), **told).samples


every = pytest.mark.parametrize("name", SOLVERS)


@every
def test_a_solver_is_run_on_something(name: str) -> None:
    assert list(accepted(name))


@every
@pytest.mark.parametrize("k", [1e-3, 1e3])
def test_the_unit_of_the_measurement(name: str, k: float) -> None:
    for which in accepted(name):
        torch.testing.assert_close(
            run(name, problem(which, k)), run(name, problem(which)), rtol=0, atol=1e-4, msg=partial(told, which)
        )


@dataclass(frozen=True)
class Camera:
    """The prior of pictures in the units of a camera."""

    units: Units = UNITS

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        return UNITS.back(PRIOR(UNITS.of(x), sigma / UNITS.gain))


@dataclass(frozen=True, eq=False)
class OfCamera(ops.Operator):
    """An operator that is not linear, of pictures in the units of a camera."""

    inner: ops.Operator

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.inner(UNITS.of(x))


@every
def test_the_unit_of_the_picture(name: str) -> None:
    for which in accepted(name):
        here = problem(which)
        if isinstance(here.operator, LinearOperator):
            there = problem(which, UNITS.gain)  # A x of x = 200 u is 200 A u, with 200 times the noise
            there = replace(there, operator=here.operator)
        else:
            if type(here.operator.inner).estimate is not ops.Operator.estimate:  # type: ignore[attr-defined]
                continue
            there = replace(here, operator=OfCamera(SHAPE, here.operator))
        found = UNITS.of(run(name, there, Camera()))
        torch.testing.assert_close(found, run(name, here), rtol=0, atol=1e-4, msg=partial(told, which))


@every
def test_the_size_of_the_batch(name: str) -> None:
    if not SOLVERS[name].is_sampler:
        pytest.skip("one answer")
    several = list(accepted(name, samples=True))
    assert several
    for which in several:
        one, all_ = (run(name, problem(which), samples=3, batch=b) for b in (1, 3))
        torch.testing.assert_close(one, all_, rtol=0, atol=1e-6, msg=partial(told, which))


class Same(Rng):
    """The same numbers for every dtype."""

    def normal(self, like: Tensor) -> Tensor:
        return super().normal(like.double()).to(like.dtype)


def same(seed: int, first: int, count: int) -> Rng:
    made = Same([0] * count)
    made.generators = streams(seed, first, count).generators
    return made


@every
def test_single_precision(name: str) -> None:
    for which in accepted(name):
        double = problem(which)
        law = double.likelihood
        law = Gaussian(law.sigma.float()) if isinstance(law, Gaussian) and isinstance(law.sigma, Tensor) else law
        single = Problem(double.y.float(), double.operator.to(torch.float32), law)
        # Adam goes as far whatever the size of a gradient, so that few steps say which sign rounding gave it.
        steps = 200 if name == "vds" else 4
        low, high = (run(name, p, rng=same, steps=steps) for p in (single, double))
        assert low.dtype == torch.float32
        torch.testing.assert_close(low.double(), high, rtol=0, atol=1e-3, msg=partial(told, which))
