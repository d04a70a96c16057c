"""What Python may hand to `Problem` and `restore`: refused in one line where it comes in, or taken as CONTRIBUTING says."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from restorekit import operators as ops
from restorekit.errors import BadInput, Unsupported
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian, Likelihood, Poisson
from restorekit.inference.problem import Problem
from restorekit.inference.solver import Solver
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import DPS, HQS, SOLVERS, DiffPIR
from tests.support.cases import peaked

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
    "sigma of numpy": (lambda: Gaussian(np.full(SHAPE, 0.1)), "sigma is a ndarray; give a number, or a tensor"),  # type: ignore[arg-type]
    "sigma as text": (lambda: Gaussian("0.1"), "sigma is a str; give a number"),  # type: ignore[arg-type]
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
    "denoiser by name": (lambda: restore(problem(), "natural", HQS()), r"the denoiser is a str; give .* load_prior\('natural'\)"),  # type: ignore[arg-type]
    "class for a solver": (lambda: restore(problem(), PRIOR, HQS), r"solver is the class HQS; make one"),  # type: ignore[arg-type]
    "solver by name": (lambda: restore(problem(), PRIOR, "hqs"), "solver is a str; make one"),  # type: ignore[arg-type]
    "no samples": (lambda: restore(problem(), PRIOR, DPS(), samples=0), "samples=0: at least one"),
    "NaN": (
        lambda: restore(Problem(problem().y * torch.nan, ops.Identity(SHAPE), Gaussian(0.1)), PRIOR, HQS()),
        "y holds NaN or infinity, 64 of 64 values; fill them, or mask them",
    ),
    "network of another dtype": (
        lambda: restore(problem(F64), lambda x, s: torch.nn.functional.conv2d(x, torch.ones(1, 1, 1, 1)), HQS()),
        "does not take torch.float64",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS | RUNS)
def test_one_line(name: str) -> None:
    make, words = (PROBLEMS | RUNS)[name]
    with pytest.raises(ValueError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_numbers_of_numpy_and_integers_are_noise() -> None:
    for sigma in (np.float32(0.1), np.float64(0.1), 1):
        given = Problem(problem().y, ops.Identity(SHAPE), Gaussian(sigma))  # type: ignore[arg-type]
        assert restore(given, PRIOR, HQS(), steps=3).samples.dtype == torch.float32


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
        with pytest.raises(Unsupported, match=r"needs the gradient of the denoiser.*`solver=diffpir`") as caught:
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
    found = restore(given, prior, solver, steps=steps, samples=4 if solver.is_sampler else 1)
    assert float((found.mean - x[0]).square().mean()) < 0.2 * float((x - prior.mean).square().mean())


def test_the_solvers_that_contributing_names_take_any_law() -> None:
    assert {"dps", "daps", "pnpdm", "vds"} <= set(ANY)


@dataclass(frozen=True, eq=False)
class Informed(Cauchy):
    """The same, which also says how noisy it is."""

    def information(self, mean: Tensor) -> Tensor:
        return torch.full_like(mean, 0.5 / self.width**2)


@dataclass(frozen=True, eq=False)
class LogNormal(Likelihood):
    """All that CONTRIBUTING names: positive factors whose mean is not 1."""

    spread: float = 0.2
    positive = True  # type: ignore[assignment]
    unbiased = False  # type: ignore[assignment]

    def centred(self, y: Tensor) -> Tensor:
        return y * math.exp(-0.5 * self.spread**2)

    def unit_nll(self, y: Tensor, mean: Tensor) -> Tensor:
        held = torch.maximum(mean, 0.1 * y.clamp(min=1e-3))  # below, its tangent
        d = (y.clamp(min=1e-3).log() - held.log()) / self.spread
        return 0.5 * d**2 - (mean - held).clamp(max=0) * d / (self.spread * held)

    def sample(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        z = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
        return mean.clamp(min=1e-3) * (self.spread * z).exp()

    def information(self, mean: Tensor) -> Tensor:
        return (self.spread * mean.clamp(min=1e-3)) ** -2


@pytest.mark.parametrize("law", [Cauchy(), Informed(), LogNormal()], ids=lambda law: type(law).__name__)
@pytest.mark.parametrize("name", SOLVERS)
def test_a_law_of_ones_own_is_taken_or_refused_in_one_line(name: str, law: Likelihood) -> None:
    """By all solvers, and taken by those that say so."""
    g = torch.Generator().manual_seed(0)
    prior = GaussianPrior.smooth(SHAPE, std=0.1)
    x = prior.sample(1, g)
    given = Problem(law.sample(x, g), ops.Identity(SHAPE), law)
    settings = {"langevin": 20} if name in ("daps", "pnpdm") else {}
    solver = SOLVERS[name](**settings)
    says = solver.needs.startswith(Solver.needs) or "another law" in solver.needs
    says |= type(law) is not Cauchy and "says how noisy it is" in solver.needs
    found, refused = None, ""
    try:
        found = restore(given, prior, solver, steps=20, samples=2 if solver.is_sampler else 1)
    except BadInput as error:
        refused = str(error)
    if found is None:
        assert not says, refused
        assert re.fullmatch(".*`solver=.*", refused)  # one line, with the way out
        return
    assert bool(torch.isfinite(found.samples).all())
    if isinstance(law, LogNormal):
        assert float((found.mean - x[0]).square().mean()) < 0.5 * float((x - prior.mean).square().mean())


BROKEN: dict[str, tuple[Callable[[Tensor], object], str]] = {
    "a sum": (lambda v: v.sum(), r"unit_nll of Broken gives torch.float32 \(\) for"),
    "one per picture": (lambda v: v.flatten(1).sum(1), r"gives torch.float32 \(1,\) for"),
    "another dtype": (lambda v: v.double(), "gives torch.float64"),
    "numpy": (lambda v: v.detach().numpy(), "gives ndarray"),
    "no graph": (lambda v: v.detach(), "has no gradient"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_law_that_is_none_is_refused_where_it_comes_in(name: str) -> None:
    change, words = BROKEN[name]

    class Broken(Cauchy):
        def unit_nll(self, y: Tensor, mean: Tensor) -> Tensor:
            return change(super().unit_nll(y, mean))  # type: ignore[return-value]

    for solver in (SOLVERS[n](**({"langevin": 2} if n in ("daps", "pnpdm") else {})) for n in ANY):
        with pytest.raises(BadInput, match=words) as caught:
            restore(Problem(problem().y, ops.Identity(SHAPE), Broken()), PRIOR, solver, steps=2)
        assert "\n" not in str(caught.value)


def test_information_is_a_number_for_each_value() -> None:
    class Told(Cauchy):
        def information(self, mean: Tensor) -> Tensor:
            return 200.0  # type: ignore[return-value]

    with pytest.raises(BadInput, match="information of Told gives float for"):
        restore(Problem(problem().y, ops.Identity(SHAPE), Told()), PRIOR, SOLVERS["mmps"](), steps=2)
