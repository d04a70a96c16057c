"""What Python may hand to `Problem` and `restore`: refused in one line where it comes in, or taken as CONTRIBUTING says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from restorekit import operators as ops
from restorekit.driver import restore
from restorekit.errors import BadInput, Unsupported
from restorekit.likelihood import Gaussian, Likelihood, Poisson
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import DPS, HQS, SOLVERS, DiffPIR
from restorekit.types import Problem, Solver
from tests.cases import peaked

SHAPE = (1, 8, 8)
PRIOR = GaussianPrior.smooth(SHAPE)
F64 = torch.float64


def problem(dtype: torch.dtype = torch.float32) -> Problem:
    return Problem(torch.full((1, *SHAPE), 0.5, dtype=dtype), ops.Identity(SHAPE), Gaussian(0.1))


Make = Callable[[], Any]
PROBLEMS: dict[str, tuple[Make, str]] = {
    "numpy": (lambda: Problem(np.zeros((1, *SHAPE)), ops.Identity(SHAPE), Gaussian(0.1)), "y is a ndarray; make it a tensor"),  # type: ignore[arg-type]
    "numpy mask": (
        lambda: Problem(torch.zeros(1, *SHAPE), ops.Identity(SHAPE), Gaussian(0.1), np.ones(SHAPE)),  # type: ignore[arg-type]
        "mask is a ndarray",
    ),
    "bytes": (
        lambda: Problem(torch.zeros(1, *SHAPE, dtype=torch.uint8), ops.Identity(SHAPE), Gaussian(0.1)),
        "y is torch.uint8; make it floating",
    ),
    "a function for an operator": (lambda: Problem(torch.zeros(1, *SHAPE), lambda x: x, Gaussian(0.1)), "got function"),  # type: ignore[arg-type]
    "a number for a law": (lambda: Problem(torch.zeros(1, *SHAPE), ops.Identity(SHAPE), 0.1), "and float"),  # type: ignore[arg-type]
}  # fmt: skip
RUNS: dict[str, tuple[Make, str]] = {
    "matrix of another dtype": (
        lambda: restore(
            Problem(torch.zeros(1, 64), ops.Matrix(SHAPE, torch.eye(64, dtype=F64)), Gaussian(0.1)), PRIOR, HQS()
        ),
        "Matrix does not take torch.float32",
    ),
    "mask of another dtype": (
        lambda: restore(
            Problem(torch.zeros(1, *SHAPE), ops.Weighted(SHAPE, ops.Identity(SHAPE), torch.ones(SHAPE, dtype=F64)), Gaussian(0.1)),
            PRIOR, HQS(),
        ),
        "Weighted gives torch.float64",
    ),
    "numpy begin": (lambda: restore(problem(), PRIOR, HQS(), begin=np.zeros((1, *SHAPE))), "begin is a ndarray"),  # type: ignore[arg-type]
    "denoiser of another shape": (lambda: restore(problem(), lambda x, s: x[:, :, 1:], HQS()), r"gives torch.float32 \(1, 1, 7, 8\)"),
    "denoiser that broadcasts": (lambda: restore(problem(), lambda x, s: x.mean(-1, True), DiffPIR()), r"\(1, 1, 8, 1\)"),
    "denoiser of another dtype": (lambda: restore(problem(), lambda x, s: x.double(), HQS()), "gives torch.float64"),
    "denoiser of numpy": (lambda: restore(problem(), lambda x, s: x.numpy(), HQS()), "gives ndarray"),  # type: ignore[arg-type,return-value]
    "network of another dtype": (
        lambda: restore(problem(F64), lambda x, s: torch.nn.functional.conv2d(x, torch.ones(1, 1, 1, 1)), HQS()),
        "does not take torch.float64",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS | RUNS)
def test_one_line(name: str) -> None:
    make, words = (PROBLEMS | RUNS)[name]
    with pytest.raises(BadInput, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [n for n, s in SOLVERS.items() if s.gradient])
def test_a_denoiser_without_a_graph_is_refused_by_solvers_that_need_one(name: str) -> None:
    calls = []

    @torch.no_grad()
    def denoise(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        calls.append(1)
        return PRIOR(x, sigma)

    for law in (Gaussian(0.1), Cauchy(), Poisson(100.0)):
        given = replace(problem(), likelihood=law)
        try:
            SOLVERS[name]().check(given)
        except Unsupported:
            continue
        with pytest.raises(Unsupported, match=r"needs the gradient of the denoiser.*--solver diffpir") as caught:
            restore(given, denoise, SOLVERS[name](), steps=3)
        assert "\n" not in str(caught.value)
        assert len(calls) == 1
        return
    pytest.fail("refused all problems")


def test_errors_of_a_denoiser_stay_what_they_are() -> None:
    def broken(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        restore(problem(), broken, HQS())


def test_noise_of_another_dtype_is_taken() -> None:
    sigma = torch.linspace(0.05, 0.2, 8, dtype=F64)
    for solver in (DPS(), DiffPIR()):
        given = Problem(problem().y, ops.Identity(SHAPE), Gaussian(sigma))
        assert restore(given, PRIOR, solver, steps=3).samples.dtype == torch.float32


@dataclass(frozen=True, eq=False)
class Cauchy(Likelihood):
    """What CONTRIBUTING asks for, and no more: heavy tails of width 0.05."""

    width: float = 0.05

    def unit_nll(self, y: Tensor, mean: Tensor) -> Tensor:
        return torch.log1p(((y - mean) / self.width) ** 2)

    def sample(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        u = torch.rand(mean.shape, generator=generator, dtype=mean.dtype)
        return mean + self.width * torch.tan(torch.pi * (u - 0.5))


ANY = [name for name, solver in SOLVERS.items() if solver.needs == Solver.needs]
OPERATORS = {
    "denoise": ops.Identity(SHAPE), "blur": ops.ReflectBlur(SHAPE, peaked(3, 3)), "saturate": ops.Saturate(SHAPE, 1.5),
}  # fmt: skip


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("name", ANY)
def test_any_noise_law_is_any_noise_law(name: str, operator: str) -> None:
    """Nearer to the picture than the mean of the prior is: outliers of the measurement do not count."""
    g = torch.Generator().manual_seed(0)
    prior = GaussianPrior.smooth(SHAPE, std=0.1)
    x = prior.sample(1, g)
    given = Problem(Cauchy().sample(OPERATORS[operator](x), g), OPERATORS[operator], Cauchy())
    assert 0.02 < given.noise_level() < 0.1  # drawn: 0.074 is the deviation of normal noise of the same median
    settings, steps = ({"langevin": 20}, 20) if name in ("daps", "pnpdm") else ({}, None)
    solver = SOLVERS[name](**settings)
    found = restore(given, prior, solver, steps=steps, samples=4 if solver.samples else 1)
    assert float((found.mean - x[0]).square().mean()) < 0.2 * float((x - prior.mean).square().mean())


def test_the_solvers_that_contributing_names_take_any_law() -> None:
    assert {"dps", "daps", "pnpdm", "vds"} <= set(ANY)
