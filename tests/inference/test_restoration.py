"""`Restoration`: what it says of itself, quantiles, coverage, saving, the notebook; and what `record` keeps."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from restorekit import operators as ops
from restorekit.errors import BadInput, Unsupported
from restorekit.files.picture import read_picture
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.restoration import Restoration
from restorekit.inference.units import Units
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import DiffPIR, PiGDM

SHAPE = (1, 8, 8)
PRIOR = GaussianPrior.smooth(SHAPE)
F64 = torch.float64


def problem(dtype: torch.dtype = F64) -> Problem:
    y = PRIOR.sample(1, torch.Generator().manual_seed(0)).to(dtype)
    return Problem(y, ops.Identity(SHAPE), Gaussian(0.1))


def restoration(samples: int = 5, **more: Any) -> Restoration:
    x = torch.rand(samples, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    return Restoration(x, 25, 1.25, {"solver": "PiGDM"}, **more)


def test_it_says_what_it_is_in_one_line() -> None:
    found = restoration(5, notes=("a", "b"))
    assert repr(found) == (
        f"Restoration(3x6x7 in [{float(found.samples.min()):.3g}, {float(found.samples.max()):.3g}], 5 samples, PiGDM, "
        "25 network calls, 1.2 s, 2 notes)"
    )
    assert "1 sample, PiGDM" in repr(restoration(1))
    assert "\n" not in repr(restore(problem(), PRIOR, DiffPIR(), steps=3, record=True))


@pytest.mark.parametrize("samples", [1, 2, 5, 8])
def test_quantiles_are_those_of_numpy(samples: int) -> None:
    found, wanted = restoration(samples), [0.0, 0.05, 0.5, 0.61, 1.0]
    exact = np.quantile(found.samples.double().numpy(), wanted, axis=0)
    np.testing.assert_allclose(found.quantile(wanted).numpy(), exact, atol=1e-6)
    assert torch.equal(found.quantile(0.05), found.quantile(wanted)[1])


@pytest.mark.parametrize("q", [-0.1, 1.1, float("nan"), []])
def test_a_quantile_that_is_none_is_refused(q: Any) -> None:
    with pytest.raises(BadInput, match="must lie between 0 and 1"):
        restoration().quantile(q)


def test_the_coverage_of_right_samples_is_the_level() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(9, 1, 60, 60, generator=g, dtype=F64)
    found = Restoration(x[:8], 1, 0.0)
    for level in (0.5, 0.9):
        assert found.coverage(x[8], level) == pytest.approx(level, abs=0.03)  # 3600 values: 4 standard errors
    assert found.coverage(x[8].numpy()) == found.coverage(x[8:])
    assert replace(found, samples=0.2 * x[:8]).coverage(x[8]) < 0.5


def test_coverage_needs_samples_a_level_and_the_same_picture() -> None:
    with pytest.raises(BadInput, match=r"one sample has no interval; restore with `samples=8`"):
        restoration(1).coverage(torch.zeros(3, 6, 7))
    with pytest.raises(BadInput, match="level=90 must lie between 0 and 1"):
        restoration().coverage(torch.zeros(3, 6, 7), 90)
    with pytest.raises(BadInput, match="compare pictures of one size"):
        restoration().coverage(torch.zeros(3, 6, 8))


def test_what_no_task_made_is_saved_as_a_picture(tmp_path: Path) -> None:
    one, many = restoration(1), restoration(4)
    assert one.save(tmp_path / "one.tif") == [tmp_path / "one.tif"]
    np.testing.assert_array_equal(read_picture(tmp_path / "one.tif").pixels, one.samples[0].numpy())
    many.save(str(tmp_path / "many.png"))
    np.testing.assert_allclose(read_picture(tmp_path / "many.png").pixels, many.mean.numpy(), atol=0.5 / 255 + 1e-6)
    with pytest.raises(BadInput, match="NaN"):
        replace(one, samples=one.samples * torch.nan).save(tmp_path / "nan.png")
    assert not (tmp_path / "nan.png").exists()


def test_a_task_saves_its_own(tmp_path: Path) -> None:
    class Source:
        def save(self, found: Restoration, path: Path) -> list[Path]:
            return [path, path.with_suffix(".json")] if found.nfe == 25 else []

    assert restoration(source=Source()).save(tmp_path / "a.png") == [tmp_path / "a.png", tmp_path / "a.json"]


def test_a_notebook_shows_pictures_and_escapes_text() -> None:
    several, one = restoration(5, notes=("<script>",))._repr_html_(), restoration(1)._repr_html_()
    assert several.count("data:image/png;base64,") == 6  # mean, deviation and four samples
    assert one.count("data:image/png;base64,") == 1
    assert "<script>" not in several
    assert "&lt;script&gt;" in several
    assert "standard deviation" in several
    units = restoration(2)
    units = replace(units, samples=units.samples * 3 - 7, settings={"units": Units(-5.0, 1.0)})
    assert "black is -6." in units._repr_html_()


def test_a_figure_needs_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(Unsupported, match=r"plot needs matplotlib.*pip install matplotlib") as caught:
        restoration().plot()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("samples", [1, 3])
def test_a_figure_shows_mean_deviation_and_samples(samples: int) -> None:
    pytest.importorskip("matplotlib")
    titles = [axis.get_title() for axis in restoration(samples).plot().axes]
    expected = ["result"] if samples == 1 else ["mean", "standard deviation", "sample 1", "sample 2", "sample 3"]
    assert titles[: len(expected)] == expected


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_run_keeps_its_trajectory_where_told(batch: int) -> None:
    seen: list[torch.Tensor] = []
    given: dict[str, Any] = {"steps": 4, "samples": 3, "seed": 5}
    found = restore(problem(), PRIOR, PiGDM(sampler="ddpm"), **given, batch=batch, record=True)
    plain = restore(
        problem(), PRIOR, PiGDM(sampler="ddpm"), **given, progress=lambda a, b, s: seen.append(s.x0.clone())
    )
    assert plain.trajectory == ()
    assert [s.sigma for s in found.trajectory] == found.settings["sigmas"][:-1]
    assert torch.equal(found.trajectory[-1].x, found.samples)
    for step, x0 in zip(found.trajectory, seen, strict=True):
        torch.testing.assert_close(step.x0, x0, rtol=0, atol=1e-9)
        assert step.x.device.type == "cpu"


def test_recording_changes_nothing() -> None:
    runs = [restore(problem(), PRIOR, PiGDM(), steps=4, samples=2, record=record).samples for record in (False, True)]
    assert torch.equal(*runs)


def test_a_trajectory_is_in_the_unit_of_the_prior() -> None:
    class Camera:
        units = Units(mean=100.0, spread=50.0)

        def __call__(self, x: torch.Tensor, sigma: Any, /) -> torch.Tensor:
            return self.units.back(PRIOR(self.units.of(x), sigma / self.units.gain))

    given = replace(problem(), y=problem().y * 200, likelihood=Gaussian(20.0))
    found = restore(given, Camera(), DiffPIR(), steps=3, record=True)
    torch.testing.assert_close(found.trajectory[-1].x, found.samples)
    assert found.trajectory[0].sigma == pytest.approx(200 * found.settings["sigmas"][0])


def test_one_sample_has_no_deviation_and_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    one = Restoration(torch.zeros(1, 3, 4, 4), 0, 0.0, {})
    assert one.std.shape == (3, 4, 4)
    assert one.std.isnan().all()
    assert not recwarn.list


def test_a_truth_is_taken_in_any_order_of_bytes_and_steps() -> None:
    rng = np.random.default_rng(3)
    truth = rng.random((3, 8, 8)).astype(np.float32)
    found = Restoration(torch.from_numpy(truth) + 0.1 * torch.from_numpy(rng.standard_normal((6, 3, 8, 8))), 1, 0.0)
    share = found.coverage(torch.from_numpy(truth))
    for same in (truth[:, ::-1].copy()[:, ::-1], truth.astype(">f4"), np.moveaxis(truth, 0, -1).astype(">f4")):
        assert found.coverage(same) == share
    for wrong in (truth.tolist(), 3, truth.astype(complex)):
        with pytest.raises(BadInput, match="is no picture"):
            found.coverage(wrong)
