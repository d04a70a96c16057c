"""--start and --begin: the reverse process begins lower, from a picture noised so far (Chung, Sim, Ye, CVPR 2022)."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from restorekit import operators as ops
from restorekit.cli.main import run
from restorekit.errors import BadInput, Unsupported
from restorekit.files.picture import read_picture, write_picture
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.schedule import below
from restorekit.inference.units import Units
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import HQS, MMPS, SOLVERS
from tests.support.oracle import ORACLES

SHAPE = (1, 8, 8)
PRIOR = GaussianPrior.smooth(SHAPE)
QUICK: dict[str, dict[str, Any]] = {"exchange": {"sweeps": 3}, "smc": {"particles": 4}}


def measured(sigma_y: float = 0.02) -> Problem:
    g = torch.Generator().manual_seed(0)
    operator = ops.BlockAverage(SHAPE, 2)
    return Problem(Gaussian(sigma_y).sample(operator(PRIOR.sample(1, g)), g), operator, Gaussian(sigma_y))


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_every_solver_begins_at_a_lower_level(name: str) -> None:
    solver, problem = SOLVERS[name](**QUICK.get(name, {})), measured()
    try:
        levels = solver.schedule(problem, 10)
        whole = restore(problem, PRIOR, solver, steps=10)
    except Unsupported:
        pytest.skip("not for Gaussian noise")
    start = math.sqrt(levels[3] * levels[4])
    part = restore(problem, PRIOR, solver, steps=10, start=start)
    assert part.settings["sigmas"] == below(levels, start) == [start, *levels[4:]]
    assert part.nfe < whole.nfe


def test_what_a_run_begins_from_is_forgotten_the_more_the_higher_it_begins() -> None:
    """Stochastic contraction (theorem 1): the distance of two runs of the same noise shrinks by a factor per step."""
    oracle = ORACLES["inpaint"]()
    problem = oracle.problem(oracle.draw(1, 0)[1])
    near, far = (torch.full((1, *oracle.operator.image_shape), v, dtype=torch.float64) for v in (0.5, 1.5))

    def apart(start: float) -> float:
        a, b = (restore(problem, oracle.prior, MMPS(), steps=40, start=start, begin=b).samples for b in (near, far))
        return float((a - b).norm() / (near - far).norm())

    found = [apart(start) for start in (0.1, 0.3, 1.0, 3.0)]
    assert all(low < high for high, low in zip(found, found[1:]))
    assert found[-1] < 0.01
    # One mode of prior deviation l that is not measured keeps l^2 / (l^2 + start^2) of where it began.
    l2 = float(oracle.prior.variances.max())
    assert found[0] < l2 / (l2 + 0.1**2)


def test_a_good_picture_makes_fewer_calls_do() -> None:
    """From the posterior mean at 0.1, whose noise hides what a sample has beyond it, half of the calls spread as right."""
    oracle = ORACLES["average"]()
    y = oracle.draw(1, 0)[1]
    mean = oracle.mean(y).view(1, *oracle.operator.image_shape).expand(64, -1, -1, -1)
    spread = []
    for options in ({}, {"start": 0.3, "begin": mean}):
        found = restore(oracle.problem(y), oracle.prior, MMPS(), samples=64, **options)  # type: ignore[arg-type]
        spread.append((found.nfe, float(found.samples.var(0).mean() / oracle.covariance(y)[0].diagonal().mean())))
    (calls, whole), (fewer, part) = spread
    assert fewer < 0.6 * calls
    assert part == pytest.approx(whole, abs=0.12)


@pytest.mark.parametrize("start", [0.01, 0.04, 20.0, 0.0, -1.0, math.nan])
def test_levels_that_make_no_sense_are_refused(start: float) -> None:
    with pytest.raises(BadInput, match=r"start=.* must lie between 0.04, the noise .*, and its first, 10") as caught:
        restore(measured(0.02), PRIOR, MMPS(), steps=5, start=start)  # means of four: 0.02 / (1/2)
    assert "\n" not in str(caught.value)


def test_a_solver_that_begins_at_the_noise_has_no_start() -> None:
    problem = Problem(torch.rand(1, *SHAPE, dtype=torch.float64), ops.Identity(SHAPE), Gaussian(0.05))
    with pytest.raises(BadInput, match=r"the solver begins at 0\.05, the noise of the measurement"):
        restore(problem, PRIOR, HQS(), steps=1, start=0.3)


class Camera:
    units = Units(mean=100.0, spread=50.0)

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        return self.units.back(PRIOR(self.units.of(x), sigma / self.units.gain))


def test_the_level_is_one_of_pictures_whatever_the_prior_knows() -> None:
    here, gain = measured(), Camera.units.gain
    offset = Camera.units.back(torch.zeros(1, dtype=torch.float64))
    there = Problem(here.y * gain + offset, here.operator, Gaussian(0.02 * gain))
    found = [restore(p, d, MMPS(), steps=6, start=0.3) for p, d in ((here, PRIOR), (there, Camera()))]
    torch.testing.assert_close(Camera.units.of(found[1].samples), found[0].samples, rtol=0, atol=1e-5)


def go(*arguments: object, code: int = 0) -> None:
    with pytest.raises(SystemExit) as stop:
        run([str(a) for a in arguments])
    assert stop.value.code == code


def test_a_file_is_restored_from_a_picture_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).random((1, 6, 6)).repeat(4, 1).repeat(4, 2).astype(np.float32) * 0.6 + 0.2
    y = x + 0.1 * np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    write_picture(tmp_path / "x.tif", x, dtype="float32")
    write_picture(tmp_path / "y.tif", y, dtype="float32")
    write_picture(tmp_path / "small.tif", x[:, :8, :8], dtype="float32")
    told = ("restore", tmp_path / "y.tif", tmp_path / "out.tif", "--op", "denoise", "--noise", "gaussian:0.1")
    told = (*told, "--prior", "natural-fast", "--solver", "mmps", "--steps", 8, "--start", 0.2)
    results = []
    for begin in ((), ("--begin", tmp_path / "x.tif")):
        go(*told, *begin, "--samples", 2)
        record = json.loads((tmp_path / "out.tif.json").read_text())
        assert record["start"] == record["sigmas"][0] == 0.2
        results.append(read_picture(tmp_path / "out_mean.tif").pixels)
    assert record["begin"]["path"] == str(tmp_path / "x.tif")
    assert np.square(results[1] - x).mean() < np.square(results[0] - x).mean()  # it began from the truth

    before = (tmp_path / "out.tif").read_bytes()
    for wrong, said in (
        (("--begin", tmp_path / "small.tif"), r"small.tif is 1x8x8, a result is 1x24x24.*picture of that size"),
        (("--begin", tmp_path / "none.tif"), "none.tif"),
        (("--begin", tmp_path / "out.tif"), "out.tif"),
        (("--coarse",), "leave --start"),
    ):
        capsys.readouterr()
        go(*told, *wrong, code=1)

        text = capsys.readouterr().err
        assert re.search(said, text.replace("\n", " ")), text
    assert (tmp_path / "out.tif").read_bytes() == before


def test_what_lies_beyond_the_frame_begins_as_estimated(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((1, 6, 6)).repeat(4, 1).repeat(4, 2).astype(np.float32) * 0.6 + 0.2
    write_picture(tmp_path / "y.tif", x, dtype="float32")
    go(
        "restore", tmp_path / "y.tif", tmp_path / "out.tif", "--op", "blur:kernel=gaussian:1,boundary=free", "--noise",
        "gaussian:0.05", "--prior", "natural-fast", "--solver", "dps", "--steps", 4, "--start", 0.3, "--begin", tmp_path / "y.tif",
    )  # fmt: skip
    assert read_picture(tmp_path / "out.tif").pixels.shape == x.shape
