"""Solvers that let rounding grow run in double precision; the network, the draws and the result keep that of y."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from restorekit import operators as ops
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.precision import Widened, in_double
from restorekit.inference.problem import Problem
from restorekit.inference.rng import streams
from restorekit.operators.base import Operator
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import DPS, MMPS, SMC

SHAPE = (1, 8, 8)
PRIOR = GaussianPrior.smooth(SHAPE)


def problem(dtype: torch.dtype = torch.float32) -> Problem:
    y = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Problem(y.to(dtype), ops.Identity(SHAPE), Gaussian(0.05))


@dataclass(frozen=True, eq=False)
class Single(Operator):
    """It casts to single precision inside, as a network that decodes does."""

    def __call__(self, x: Tensor, /) -> Tensor:
        return x.float()


@dataclass
class Asked:
    dtypes: set[torch.dtype] = field(default_factory=set)

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        self.dtypes.add(x.dtype)
        return PRIOR(x, sigma)


def test_it_is_for_solvers_that_need_it_and_for_what_takes_it() -> None:
    wide = in_double(problem(), DPS())
    assert wide is not None
    assert wide.y.dtype == torch.float64
    assert in_double(problem(), MMPS()) is None
    assert in_double(problem(torch.float64), DPS()) is None
    y = problem().y
    assert in_double(Problem(y, Single(SHAPE), Gaussian(0.05)), DPS()) is None


@pytest.mark.parametrize("solver", [DPS(), SMC(particles=4)])
def test_the_network_and_the_result_keep_the_precision_of_y(solver: Any) -> None:
    asked, seen = Asked(), []
    found = restore(
        problem(),
        asked,
        solver,
        steps=4,
        samples=2,
        seed=1,
        record=True,
        progress=lambda *told: seen.append(told[2].x.dtype),
    )
    assert asked.dtypes == {torch.float32}
    assert found.samples.dtype == found.trajectory[-1].x.dtype == torch.float32
    assert set(seen) == {torch.float32}
    begun = restore(problem(), PRIOR, solver, steps=4, begin=torch.full((1, *SHAPE), 0.5), seed=1)
    assert begun.samples.dtype == torch.float32


def test_an_operator_of_single_precision_is_left_so() -> None:
    given = Problem(problem().y, Single(SHAPE), Gaussian(0.05))
    assert restore(given, PRIOR, DPS(), steps=4).samples.dtype == torch.float32


def test_the_numbers_drawn_are_those_of_single_precision() -> None:
    like = torch.zeros(2, 3)
    plain, wide = streams(5, 0, 2).normal(like), Widened(streams(5, 0, 2), torch.float32).normal(like.double())
    assert wide.dtype == torch.float64
    assert torch.equal(plain, wide.float())
