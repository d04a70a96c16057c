"""The calibration bench: its own rulers, and the solvers that only it can judge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from restorekit.bench.exams import EXAMS, ScalarExam
from restorekit.bench.posterior import Size, covered, distance, made, measure, ranks, run_control
from restorekit.bench.table import run
from restorekit.errors import BadInput, Unsupported
from restorekit.schedule import log_uniform
from restorekit.solvers import DPS, MMPS, SMC, SOLVERS, Exchange, PnPDM, Quadrature

every = pytest.mark.parametrize("name", EXAMS)


@every
def test_exact_draws_pass_every_examination(name: str) -> None:
    exam = made(name, 1)[0]
    x0, y = exam.draw(1 if name.startswith("gmm") else 30, 0)
    count = 999 if name.startswith("gmm") else 199
    found = exam.exact(y, count, 5)
    assert (
        distance(exam, found, y, 0) < 0.25
    )  # the noise of the draws: 1 / sqrt(count), a few times that for many modes
    assert covered(exam, found, y, 0) == pytest.approx(0.9, abs=0.02)
    mean, variance = exam.moments(y)
    own = found.var(1).flatten(1).sum(1)
    assert float((own / variance).mean()) == pytest.approx(1, abs=0.15)
    error = ((found.mean(1) - mean).square().flatten(1).sum(1) / variance).mean()
    assert float(error) < 4 / count
    assert all(0 < r < 1 for r in ranks(x0, found, 0))


@every
def test_the_control_is_nearly_exact(name: str) -> None:
    exam = made(name, 1)[0]
    _, y = exam.draw(1 if name.startswith("gmm") else 10, 0)
    found = run_control(exam, "sde", log_uniform(60), y, 999 if name.startswith("gmm") else 199, 3)
    assert distance(exam, found, y, 0) < 0.3
    assert covered(exam, found, y, 0) == pytest.approx(0.9, abs=0.03)


@every
def test_wrong_samples_fail(name: str) -> None:
    exam = made(name, 1)[0]
    _, y = exam.draw(1 if name.startswith("gmm") else 10, 0)
    right = exam.exact(y, 199, 5)
    sd = exam.moments(y)[1].mean().sqrt()
    narrow = right.mean(1, keepdim=True) + 0.5 * (right - right.mean(1, keepdim=True))
    assert covered(exam, narrow, y, 0) < 0.85
    assert distance(exam, right + sd, y, 0) > 0.8


SMALL = Size(1, 20, 59)


@pytest.mark.parametrize("name", ["gamma-1", "gamma-4", "gamma-16", "poisson-20"])
def test_the_integrated_likelihood_is_calibrated(name: str) -> None:
    found = measure(name, Quadrature(), 40, SMALL)
    assert found.error < 0.3
    assert found.trace**0.5 == pytest.approx(1, abs=0.1)
    assert found.coverage == pytest.approx(0.9, abs=0.03)
    assert found.vjps == found.nfe == 79


@pytest.mark.parametrize("name", ["gauss-denoise", "gauss-inpaint", "gauss-sr", "gauss-blur"])
def test_mmps_is_as_good_as_the_exact_score_on_gaussians(name: str) -> None:
    found = measure(name, MMPS(), 50, Size(1, 40, 59))
    assert found.w2 < 1.3 * found.control + 0.03  # both near the floor, which is noise
    assert found.coverage == pytest.approx(0.9, abs=0.03)
    assert found.nfe < found.vjps <= 6 * found.nfe  # conjugate gradients may be done before their last iteration


def test_particles_find_the_weights_of_modes() -> None:
    found = measure("gmm-2", SMC(64), 60, Size(2, 1, 199))
    loose = measure("gmm-2", DPS(), 60, Size(2, 1, 199))
    assert found.w2 < 2 * found.floor + 0.05
    assert found.w2 < loose.w2


def test_exchange_finds_the_weights_of_modes_that_one_falling_level_does_not() -> None:
    found = measure("gmm-2", Exchange(sweeps=120), None, Size(2, 1, 199))
    falling = measure("gmm-2", PnPDM(), 60, Size(2, 1, 199))
    assert found.w2 < 2 * found.floor + 0.05
    assert falling.w2 > 3 * found.w2


STEADY = [n for n in SOLVERS if n not in ("quadrature", "smc", "exchange", "enkg")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gauss-denoise", "gauss-inpaint", "gauss-sr", "gauss-blur"])
@pytest.mark.parametrize("solver", STEADY)
def test_ten_times_the_steps_do_no_harm(solver: str, name: str) -> None:
    size = Size(1, 20, 59)
    try:
        few, many = (measure(name, SOLVERS[solver](), n, size) for n in (100, 1000))
    except Unsupported:
        pytest.skip("refused")
    assert many.error < 1.1 * few.error + 0.06  # two standard errors of 20 means of 59 samples
    assert many.w2 < 1.1 * few.w2 + 0.06


def test_the_table_resumes_and_refuses_what_it_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = run(["ddrm", "hqs"], ["gauss-sr", "gamma-4"], [5], True, 0, tmp_path)
    assert text.count("| ddrm |") == 1  # it refuses speckle
    assert text.count("| hqs |") == 2
    before = (tmp_path / "posterior.csv").read_text()
    capsys.readouterr()
    assert run(["ddrm", "hqs"], ["gauss-sr", "gamma-4"], [5], True, 0, tmp_path) == text
    assert (tmp_path / "posterior.csv").read_text() == before
    assert "W2" not in capsys.readouterr().err  # nothing was measured again
    with pytest.raises(BadInput, match="gauss-denoise"):
        run(None, ["gauss"], [5], True, 0, tmp_path)
    with pytest.raises(BadInput, match="diffpir"):
        run(["diffpirr"], None, [5], True, 0, tmp_path)


def test_the_quadrature_of_a_scalar_posterior_is_fine_enough() -> None:
    exam = EXAMS["gamma-4"]()
    assert isinstance(exam, ScalarExam)
    _, y = exam.draw(5, 0)
    fine = replace(exam, points=16001)
    for a, b in zip(exam.moments(y), fine.moments(y)):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_every_solver_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    from restorekit.bench.shipped import calibration
    from restorekit.cli.main import run as command

    measured = calibration()
    assert set(measured) == set(SOLVERS) - {"quadrature"}  # which is not for Gaussian noise
    assert float(measured["mmps"][0]) < float(measured["ddrm"][0])
    with pytest.raises(SystemExit) as stop:
        command(["solvers"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert all(name in said for name in SOLVERS)
    assert measured["mmps"][1] in said
