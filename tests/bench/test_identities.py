"""`restorekit check`: what is right passes, what is wrong fails by name, for all four that a user may bring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from restorekit.bench.identities import check_noise, check_prior, check_solver
from restorekit.cli.main import run
from restorekit.errors import Unsupported
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.likelihood import Gamma, Gaussian, Likelihood, Poisson
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.solver import Solver, Step
from restorekit.operators.verify import Check
from restorekit.priors.own import own_prior
from restorekit.solvers import DDNM, EP, HQS, DiffPIR

EXAMPLES = Path(__file__).parents[2] / "examples"
CPU = torch.device("cpu")


def failed(results: list[Check]) -> set[str]:
    return {c.name for c in results if not c.passed}


LAWS = [Gaussian(0.1), Poisson(30), Gamma(4), Gamma(1, domain="amplitude"), Gamma(4, domain="log")]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_our_noise_laws_pass(law: Likelihood, dtype: torch.dtype) -> None:
    results = check_noise(law, dtype)
    assert failed(results) == set()
    assert len(results) >= 9


@dataclass(frozen=True, eq=False)
class Narrow(Gaussian):
    """Draws with half the deviation that the law says, and a prox that is none."""

    def sample(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        return mean + 0.5 * (super().sample(mean, generator) - mean)

    def prox(self, y: Tensor, v: Tensor, weight: float | Tensor) -> Tensor:
        return v


@dataclass(frozen=True, eq=False)
class Brighter(Gaussian):
    def sample(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        return super().sample(mean, generator) + 0.01


def test_noise_that_is_not_what_it_says_fails() -> None:
    assert failed(check_noise(Narrow(0.1))) == {
        "score^2 = information at 0.1", "score^2 = information at 0.5", "prox is the minimum",
    }  # fmt: skip
    assert {"mean of draws at 0.1", "mean of draws at 0.5"} <= failed(check_noise(Brighter(0.1)))


@pytest.mark.parametrize("solver", [HQS(), DiffPIR(), DDNM()], ids=lambda s: type(s).__name__)
def test_our_solvers_pass(solver: Solver) -> None:
    assert failed(check_solver(solver)) == set()


def test_a_solver_for_other_noise_says_so() -> None:
    with pytest.raises(Unsupported, match="ep is for noise other than Gaussian"):
        check_solver(EP())


@dataclass(frozen=True, eq=False)
class Blind(Solver):
    """Draws from the prior, whatever was measured; takes two calls where it declares one."""

    default_steps = 8

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        for sigma, sigma_next in zip(sigmas, sigmas[1:]):
            denoise(x, sigma)
            x0 = denoise(x, sigma)
            x = x0 + sigma_next * rng.normal(x)
            yield Step(x, x0, sigma)


def test_a_solver_that_does_not_look_at_the_measurement_fails() -> None:
    assert {"network calls, at most as declared", "mean, posterior deviations off"} <= failed(check_solver(Blind()))


def test_a_prior_in_a_file_passes_and_one_that_adds_noise_fails(tmp_path: Path) -> None:
    assert failed(check_prior(own_prior(f"{EXAMPLES}/own_prior.py:Smooth", CPU))) == set()
    (tmp_path / "bad.py").write_text("def denoise(x, sigma):\n    return x + 0.2 * x.mean()\n")
    wrong = failed(check_prior(own_prior(f"{tmp_path}/bad.py:denoise", CPU)))
    assert {"error of D(x, 0.1) < noise of x", "D(x, 0.002) = x", "D(x, 50) has no noise left"} <= wrong


CHECKED = ["own_operator.py:Ghost:shift=3", "own_solver.py:Langevin:repeats=2", "own_noise.py:Laplace:width=0.1",
           "own_prior.py:Smooth"]  # fmt: skip


@pytest.mark.parametrize("what", CHECKED)
def test_the_command_checks_each_kind(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(["check", f"{EXAMPLES}/{what}"])
    said = capsys.readouterr().out
    assert stop.value.code == 0, said
    assert said.splitlines()[-1].endswith("identities hold")


def test_what_it_does_not_know_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text("x = 3\n")
    for what, said in (
        ("wild", "unknown 'wild'; it is an operator (denoise"),
        (f"{tmp_path}/mine.py:Nope", "has no 'Nope'"),
        (f"{tmp_path}/mine.py:x", "is a int; a prior is callable"),
        (f"{tmp_path}/none.py:x", "no such file"),
    ):
        with pytest.raises(SystemExit) as stop:
            run(["check", what])
        told = capsys.readouterr().err
        assert stop.value.code == 1
        assert said in told
        assert told.count("\n") == 1
