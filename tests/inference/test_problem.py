"""`Problem` as a value: moved to another dtype or device, split into its measurements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass

import pytest
import torch

from restorekit import operators as ops
from restorekit.errors import BadInput
from restorekit.inference.derived_laws import Joint, Moved, Tempered
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gamma, Gaussian, Likelihood, Poisson
from restorekit.inference.problem import Problem
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import DiffPIR
from tests.support.cases import peaked

SHAPE = (1, 8, 8)
F32, F64 = torch.float32, torch.float64
MASK = (torch.arange(64) % 3 > 0).float().view(SHAPE)
LEVELS = torch.linspace(0.02, 0.2, 8)
PROBLEMS: dict[str, Callable[[], tuple[ops.Operator, Likelihood]]] = {
    "blur": lambda: (ops.ReflectBlur(SHAPE, peaked(3, 3).float()), Gaussian(0.05)),
    "unequal": lambda: (ops.Inpaint(SHAPE, MASK), Gaussian(LEVELS)),
    "matrix": lambda: (ops.Matrix(SHAPE, torch.eye(64)[:40]), Poisson(50.0)),
    "moved": lambda: (ops.Identity(SHAPE), Tempered(Moved(Gamma(4.0), 2.0, LEVELS), 0.5)),
    "sensors": lambda: (
        ops.Stack(SHAPE, (ops.Identity(SHAPE), ops.BlockAverage(SHAPE, 2))),
        Joint((Gaussian(torch.full((64,), 0.1)), Gaussian(0.2)), (64, 16)),
    ),
}


def problem(name: str, masked: bool = True) -> Problem:
    operator, law = PROBLEMS[name]()
    y = operator(0.2 + 0.6 * torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(0)))
    mask = (torch.arange(y[0].numel()) % 5 > 0).view(y.shape) if masked else None
    return Problem(y, operator, law, mask)


def tensors(value: object) -> list[torch.Tensor]:
    """All that hang from a problem, wherever they are kept, but for what is only remembered."""
    if isinstance(value, torch.Tensor):
        return [value]
    inside = (
        value
        if isinstance(value, tuple)
        else [getattr(value, f.name) for f in fields(value)]
        if is_dataclass(value)
        else ()
    )
    return [t for v in inside for t in tensors(v)]


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_in_another_dtype_is_the_same_problem(name: str) -> None:
    single = problem(name)
    double = single.to(F64)
    found = tensors(double)
    assert len(found) >= 2
    assert {t.dtype for t in found} == {F64}
    x = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(double.nll(x.double()), single.nll(x).double(), rtol=1e-4, atol=1e-4)
    assert {t.dtype for t in tensors(single)} == {F32}  # which stays as it was


@pytest.mark.parametrize("name", PROBLEMS)
def test_there_and_back_is_bit_for_bit_the_same(name: str) -> None:
    single = problem(name)
    for back in (single.to("cpu"), single.to(F64).to(F32), single.to(device="cpu", dtype=F32)):
        for a, b in zip(tensors(single), tensors(back), strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)


def test_a_problem_in_float64_gives_a_result_in_float64() -> None:
    given, prior = problem("unequal"), GaussianPrior.smooth(SHAPE)
    low, high = (restore(p, prior, DiffPIR(), steps=3).samples for p in (given, given.to(F64)))
    assert (low.dtype, high.dtype) == (F32, F64)


@dataclass(frozen=True, eq=False)
class Classes(Likelihood):
    """A law that looks up its deviation by a class for each value."""

    kind: torch.Tensor
    sigma: torch.Tensor

    def unit_nll(self, y: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
        return 0.5 * ((y - mean) / self.sigma[self.kind]) ** 2

    def sample(self, mean: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        raise NotImplementedError


def test_indices_of_a_law_stay_indices() -> None:
    law = Classes((torch.arange(64) % 2).view(SHAPE), torch.tensor([0.1, 0.2])).to(F64)
    assert (law.kind.dtype, law.sigma.dtype) == (torch.int64, F64)


def test_a_dtype_that_is_not_floating_is_refused() -> None:
    with pytest.raises(BadInput, match=r"y is torch.int32; make it floating"):
        problem("blur").to(torch.int32)


@pytest.mark.gpu
@pytest.mark.parametrize("name", PROBLEMS)
def test_on_a_gpu_everything_is_there_and_says_the_same(name: str) -> None:
    given = problem(name)
    there = given.to("cuda")
    assert {t.device.type for t in tensors(there)} == {"cuda"}
    x = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(there.nll(x.cuda()).cpu(), given.nll(x), rtol=1e-4, atol=1e-4)
    for a, b in zip(tensors(given), tensors(there.to("cpu")), strict=True):
        assert torch.equal(a, b)


def test_a_batch_is_split_into_its_measurements() -> None:
    y = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(2))
    mask = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(3)) > 0.3
    sigma = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1, 1)
    parts = Problem(y, ops.Identity(SHAPE), Gaussian(sigma), mask).split()
    x = torch.rand(1, *SHAPE)
    for i, part in enumerate(parts):
        alone = Problem(y[i : i + 1], ops.Identity(SHAPE), Gaussian(float(sigma[i])), mask[i : i + 1])
        assert torch.equal(part.y, alone.y)
        torch.testing.assert_close(part.nll(x), alone.nll(x))
    shared = Problem(y, ops.Identity(SHAPE), Gaussian(LEVELS), MASK).split()
    assert all(torch.equal(p.likelihood.sigma, LEVELS) and torch.equal(p.mask, MASK) for p in shared)  # type: ignore[attr-defined,arg-type]
    one = problem("blur")
    assert one.split() == [one]
