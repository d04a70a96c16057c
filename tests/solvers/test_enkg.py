"""EnKG: operators that are only ever called, and the posterior that the population comes to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from restorekit import operators as ops
from restorekit.files.picture import read_picture, write_picture
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian, Poisson
from restorekit.inference.problem import Problem
from restorekit.operators import Operator
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import EnKG
from restorekit.solvers.enkg import kalman
from tests.support.foreign import go
from tests.support.oracle import Stream

SHAPE = (1, 3, 4)
PRIOR = GaussianPrior.smooth(SHAPE)


@dataclass(frozen=True, eq=False)
class Rows(Operator):
    """Sums of rows through a curve, by NumPy: torch sees neither."""

    def __call__(self, x: Tensor, /) -> Tensor:
        return torch.from_numpy(np.sqrt(1 + np.asarray(x).sum(-1) ** 2))


def test_the_gain_is_that_of_the_ensembles_covariances() -> None:
    g = torch.Generator().manual_seed(0)
    dx, dg, r = (torch.randn(2, 5, n, dtype=torch.float64, generator=g) for n in (7, 3, 3))
    for i in range(2):
        xg, gg = dx[i].T @ dg[i] / 5, dg[i].T @ dg[i] / 5
        expected = r[i] @ torch.linalg.solve(gg + torch.eye(3), xg.T)
        torch.testing.assert_close(kalman(dx, dg, r)[i], expected)


def test_a_large_population_samples_the_exact_posterior() -> None:
    """A dense operator on 12 pixels: mean and covariance over 100 samples, each from a population of its own."""
    prior = GaussianPrior(torch.full(SHAPE, 0.5).double(), torch.linspace(0.01, 0.2, 12).double().view(SHAPE), "pixel")
    matrix = torch.randn(8, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) / 3
    operator, law = ops.Matrix(SHAPE, matrix), Gaussian(0.05)
    y = law.sample(operator(prior.sample(1, torch.Generator().manual_seed(4))), torch.Generator().manual_seed(5))
    mean, covariance = prior.posterior(operator, y, 0.05)
    found = restore(
        Problem(y, operator, law), prior, EnKG(), samples=100, rng=lambda seed, first, count: Stream(seed)
    ).samples.flatten(1)
    values, vectors = torch.linalg.eigh(covariance)
    whitened = (found - mean.flatten()) @ vectors / values.sqrt()  # standard normal numbers, were it exact
    assert float(whitened.mean(0).abs().max()) < 0.35  # of 12 means of 100: 0.29 is one in 20
    assert 0.93 < float(whitened.std(0).square().mean().sqrt()) < 1.12  # 12 * 100 numbers: 2 %
    assert float(torch.linalg.eigvalsh(whitened.T.cov()).max()) < 2.3  # 1.8 for as many exact draws


def test_an_operator_that_torch_cannot_differentiate() -> None:
    operator, law = Rows(SHAPE), Gaussian(0.02)
    x0 = PRIOR.sample(1, torch.Generator().manual_seed(0))
    y = law.sample(operator(x0), torch.Generator().manual_seed(1))
    problem = Problem(y, operator, law)
    with pytest.raises(RuntimeError):  # it has no gradient, and a solver that asks for one cannot have it
        operator(x0.requires_grad_(True))
    found = restore(problem, PRIOR, EnKG(), samples=6).samples
    assert problem.misfit(found[:1]) < 2.0
    assert problem.misfit(PRIOR.mean[None]) > 5.0
    rows = found.sum(-1).std(0)  # known to about the noise; what a sum leaves open stays open
    assert float(rows.max()) < 0.1 < float(found.std(0).mean())


@pytest.mark.parametrize("garbage", [7.0, float("nan")])
def test_masked_values_are_ignored(garbage: float) -> None:
    valid = (torch.arange(12) % 3 > 0).double().view(SHAPE)
    y = PRIOR.sample(1, torch.Generator().manual_seed(0))
    runs = [
        restore(Problem(torch.where(valid > 0, y, v), ops.Identity(SHAPE), Gaussian(0.05), valid), PRIOR, EnKG(16), steps=5)
        for v in (0.0, garbage)
    ]  # fmt: skip
    torch.testing.assert_close(runs[0].samples, runs[1].samples, rtol=0, atol=1e-9)


def test_counts() -> None:
    prior, g = GaussianPrior.smooth(SHAPE, std=0.1), torch.Generator().manual_seed(0)
    x0 = prior.sample(1, g)
    y = Poisson(2000.0).sample(x0, g)
    found = restore(Problem(y, ops.Identity(SHAPE), Poisson(2000.0)), prior, EnKG(64), samples=8).samples
    assert float((found.mean(0) - y[0]).abs().max()) < 0.05  # noise of 0.016
    assert 0.4 < float(found.std(0).mean() / 0.016) < 1.6


def test_the_published_population_closes_in_on_one_picture() -> None:
    solver = EnKG(particles=64, paper=True)
    law, operator = Gaussian(0.05), ops.BlockAverage(SHAPE, 2)
    y = operator(PRIOR.sample(1, torch.Generator().manual_seed(0)))
    problem = Problem(y, operator, law)
    calls: list[Tensor] = []

    def denoise(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        calls.append(x)
        return PRIOR(x, sigma)

    levels = solver.schedule(problem, None)
    found = restore(problem, denoise, solver)
    assert len(calls) == found.nfe == solver.calls(levels)
    assert (len(levels), levels[0], levels[-2]) == (81, pytest.approx(40), pytest.approx(0.001))
    # 80 calls, and twice min(1 + (80 - i) // 4, 20) on levels 5 to 75
    assert found.nfe == 80 + 2 * sum(min(1 + (80 - i) // 4, 20) for i in range(5, 76))
    spread = operator(calls[-1]).std(0)
    free = operator(PRIOR.sample(64, torch.Generator().manual_seed(1))).std(0)
    assert float((spread / free).max()) < 0.5
    assert problem.misfit(calls[-1].mean(0, keepdim=True)) < 2


def test_settings_without_a_meaning_are_refused() -> None:
    for make in (lambda: EnKG(particles=1), lambda: EnKG(inner=1)):
        with pytest.raises(ValueError, match="at least 2"):
            make()


OWN = """
from dataclasses import dataclass
import numpy as np, torch
from restorekit.operators import Operator

@dataclass(frozen=True, eq=False)
class Curve(Operator):
    power: float = 0.5
    def __call__(self, x, /):
        return torch.from_numpy(np.clip(x.numpy(), 0, None) ** self.power)
"""


def test_an_operator_from_a_file_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    y = np.sqrt(np.linspace(0.1, 0.8, 64, dtype=np.float32).reshape(1, 8, 8))
    write_picture(tmp_path / "y.tif", y, dtype="float32")
    code = go(
        "restore", tmp_path / "y.tif", tmp_path / "x.tif", "--op", f"{tmp_path}/mine.py:Curve:power=0.5", "--noise",
        "gaussian:0.05", "--prior", "natural-fast", "--solver", "enkg:particles=32,inner=3", "--steps", 8,
    )  # fmt: skip
    assert code == 0
    x = read_picture(tmp_path / "x.tif").pixels
    off = float(np.sqrt(np.square(np.sqrt(x.clip(0)) - y).mean()))
    assert off < 0.1 < float(y.std()), off
