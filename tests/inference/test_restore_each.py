"""A batch of measurements: each result is what its measurement gives alone with its own seed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from restorekit import operators as ops
from restorekit.errors import BadInput, Unsupported
from restorekit.inference.driver import restore, restore_each
from restorekit.inference.likelihood import Gaussian, Likelihood, Poisson
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng, streams
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import EP, HQS, SOLVERS, DiffPIR, PiGDM
from tests.support.cases import gaussian

SHAPE = (1, 8, 8)
PRIOR = GaussianPrior.smooth(SHAPE)
F64 = torch.float64
QUICK: dict[str, dict[str, Any]] = {"exchange": {"sweeps": 3, "inner": 2}, "smc": {"particles": 4},
         "pnpdm": {"langevin": 10, "inner": 3}, "daps": {"langevin": 10, "inner": 3}, "sitcom": {"inner": 6}}  # fmt: skip
MASK = (torch.arange(64) % 3 > 0).to(F64).view(1, *SHAPE)


def measured(
    count: int = 3, law: Likelihood | None = None, operator: Any = None, mask: Tensor | None = None
) -> Problem:
    g, law, operator = torch.Generator().manual_seed(0), law or Gaussian(0.05), operator or ops.BlockAverage(SHAPE, 2)
    return Problem(law.sample(operator(PRIOR.sample(count, g).clamp(0.05, 0.95)), g), operator, law, mask)


class Sizes:
    """A prior that remembers how many pictures it saw at a time."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        self.seen.append(len(x))
        return PRIOR(x, sigma)


@pytest.mark.parametrize("name", SOLVERS)
def test_each_is_what_it_is_alone(name: str) -> None:
    solver = SOLVERS[name](**QUICK.get(name, {}))
    for problem in (measured(), measured(law=Poisson(100.0), operator=ops.Identity(SHAPE))):
        try:
            solver.check(problem.split()[0])
        except Unsupported:
            continue
        found = restore_each(problem, PRIOR, solver, steps=4, seed=7)
        assert len(found) == 3
        for i, (one, part) in enumerate(zip(found, problem.split(), strict=True)):
            alone = restore(part, PRIOR, solver, steps=4, seed=7 + i)
            torch.testing.assert_close(one.samples, alone.samples, rtol=0, atol=1e-6)
            assert one.settings == alone.settings
            assert (
                one.nfe >= alone.nfe if name == "sitcom" else one.nfe == alone.nfe
            )  # which stops where the fit is good
        assert float((found[0].samples - found[1].samples).norm()) > 1e-3


@pytest.mark.parametrize("batch", [1, 2, 4, 100])
def test_samples_and_measurements_share_batches(batch: int) -> None:
    problem, sizes = measured(), Sizes()
    found = restore_each(problem, sizes, PiGDM(sampler="ddpm"), steps=4, samples=3, batch=batch, record=True)
    assert max(sizes.seen) == min(batch, 9)
    assert sum(sizes.seen) == 9 * 4
    for i, (one, part) in enumerate(zip(found, problem.split(), strict=True)):
        alone = restore(part, PRIOR, PiGDM(sampler="ddpm"), steps=4, samples=3, seed=i, record=True)
        torch.testing.assert_close(one.samples, alone.samples, rtol=0, atol=1e-6)
        for a, b in zip(one.trajectory, alone.trajectory, strict=True):
            torch.testing.assert_close(a.x0, b.x0, rtol=0, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_solver_that_stops_by_itself_is_recorded(batch: int) -> None:
    found = restore_each(measured(), PRIOR, SOLVERS["sitcom"](), steps=4, batch=batch, record=True)
    assert all(torch.equal(one.trajectory[-1].x, one.samples) for one in found)


DIFFERENT: dict[str, Problem] = {
    "noise of each": measured(law=Gaussian(torch.tensor([0.02, 0.05, 0.2], dtype=F64).view(3, 1, 1, 1))),
    "mask of each": measured(operator=ops.Identity(SHAPE), mask=torch.cat([MASK, MASK.flip(-1), MASK.flip(-2)])),
    "counts": measured(law=Poisson(100.0), operator=ops.Identity(SHAPE)),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_where_measurements_differ_one_follows_the_other(name: str) -> None:
    problem, sizes, calls = DIFFERENT[name], Sizes(), []
    solver = EP() if name == "counts" else DiffPIR()
    found = restore_each(
        problem, sizes, solver, steps=6, progress=lambda done, total, step: calls.append((done, total))
    )
    assert set(sizes.seen) == {1}
    assert [done for done, _ in calls] == list(range(1, len(calls) + 1))
    assert calls[-1][0] == calls[-1][1]
    for i, (one, part) in enumerate(zip(found, problem.split(), strict=True)):
        assert torch.equal(one.samples, restore(part, PRIOR, solver, steps=6, seed=i).samples)


def test_a_mask_and_noise_of_all_are_no_difference() -> None:
    sizes, sigma = Sizes(), torch.linspace(0.02, 0.2, 8, dtype=F64)
    problem = measured(law=Gaussian(sigma), operator=ops.ReflectBlur(SHAPE, gaussian(3, 0.8)), mask=MASK)
    found = restore_each(problem, sizes, DiffPIR(), steps=4)
    assert set(sizes.seen) == {3}
    for i, (one, part) in enumerate(zip(found, problem.split(), strict=True)):
        torch.testing.assert_close(
            one.samples, restore(part, PRIOR, DiffPIR(), steps=4, seed=i).samples, rtol=0, atol=1e-6
        )


class Halved(Rng):
    """Streams of one's own, which draw in their own way."""

    def normal(self, like: Tensor) -> Tensor:
        return 0.5 * super().normal(like)


def halved(seed: int, first: int, count: int) -> Rng:
    made = Halved([0] * count)
    made.generators = streams(seed, first, count).generators
    return made


@pytest.mark.parametrize("batch", [1, 2, 9])
def test_noise_of_ones_own_stays_so(batch: int) -> None:
    found = restore_each(measured(), PRIOR, PiGDM(), steps=4, samples=3, batch=batch, rng=halved)
    for i, (one, part) in enumerate(zip(found, measured().split(), strict=True)):
        alone = restore(part, PRIOR, PiGDM(), steps=4, samples=3, seed=i, rng=halved)
        torch.testing.assert_close(one.samples, alone.samples, rtol=0, atol=1e-6)
    plain = restore_each(measured(), PRIOR, PiGDM(), steps=4, samples=3)
    assert float((plain[0].samples - found[0].samples).norm()) > 1e-2


def test_each_begins_from_its_own_picture() -> None:
    problem, begin = measured(), PRIOR.sample(3, torch.Generator().manual_seed(4))
    found = restore_each(problem, PRIOR, PiGDM(), steps=4, samples=2, begin=begin, start=0.5)
    for i, (one, part) in enumerate(zip(found, problem.split(), strict=True)):
        own = begin[i : i + 1].expand(2, *SHAPE)
        alone = restore(part, PRIOR, PiGDM(), steps=4, samples=2, begin=own, start=0.5, seed=i)
        torch.testing.assert_close(one.samples, alone.samples, rtol=0, atol=1e-6)
    with pytest.raises(BadInput, match=r"begin is \(2, 1, 8, 8\), expected \(3, 1, 8, 8\)"):
        restore_each(problem, PRIOR, PiGDM(), begin=begin[:2])


def test_what_restore_refuses_is_refused() -> None:
    with pytest.raises(BadInput, match=r"got a batch of 3; use `restore_each`"):
        restore(measured(), PRIOR, HQS())
    with pytest.raises(BadInput, match="y holds no measurement"):
        restore_each(Problem(measured().y[:0], ops.Identity(SHAPE), Gaussian(0.1)), PRIOR, HQS())
    with pytest.raises(BadInput, match=r"y is \(1, 1, 4, 4\), Identity gives \(1, 1, 8, 8\)"):
        restore_each(Problem(measured().y, ops.Identity(SHAPE), Gaussian(0.1)), PRIOR, HQS())
    with pytest.raises(BadInput, match=r"samples=0: at least one"):
        restore_each(measured(), PRIOR, HQS(), samples=0)
