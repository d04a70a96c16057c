"""Values at the limits of integer files: found, said, counted, and taken as that or beyond, or as asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import restorekit as rk
from restorekit.errors import BadInput
from restorekit.files.picture import Picture, write_picture
from restorekit.files.transfer import at_limits
from restorekit.inference.censored import Censored
from restorekit.inference.likelihood import Gaussian
from restorekit.metrics.fidelity import psnr
from restorekit.notes import Notes
from restorekit.operators import Inpaint
from restorekit.priors.find import load_prior
from restorekit.tasks.calibration_rows import Drawn, SplitPictures
from restorekit.tasks.measurement import Measurement
from restorekit.tasks.restore import Restoring
from restorekit.text.degradation import Degradation
from restorekit.text.names import solver_of
from restorekit.uncertainty.calibration import WHITE_LEFT_OUT, Calibration, Conditions, Entry, solver_key
from restorekit.uncertainty.conformal import Scores
from restorekit.uncertainty.interval import LOCAL
from tests.support.fields import go, refused

FAST = ("--prior", "natural-fast")
Array = np.ndarray


def bright(side: int = 64) -> Array:
    """A photograph (3, side, side) of which much is near white."""
    x = np.moveaxis(data.chelsea(), -1, 0)[:, 80 : 80 + side, 100 : 100 + side] / 255
    return np.clip(1.6 * x, 0, 1)


def noisy(x: Array, sigma: float = 0.1) -> Array:
    return x + sigma * np.random.default_rng(0).standard_normal(x.shape)


def stored(x: Array) -> Array:
    """(H, W, C) as an 8-bit file holds it."""
    return np.rint(255 * x.clip(0, 1)).astype(np.uint8).transpose(1, 2, 0)


def integers(x: Array, most: int, dtype: str = "uint16") -> Picture:
    full = float(np.iinfo(dtype).max)
    return Picture((np.rint(most * x.clip(0, 1)) / full).astype(np.float32), dtype, (0.0, full))


def test_denoising_gains_and_most_where_values_are_clipped() -> None:
    x = bright()
    y = stored(noisy(x))
    share = float((y == 255).mean())
    assert share > 0.09
    results: dict[str, Any] = {}
    for way in ("measured", "censored"):
        notes = Notes()
        found = rk.denoise(y, noise="gaussian:0.1", prior="natural-fast", clipped=way, notes=notes)
        results[way] = psnr(found.mean.clamp(0, 1).numpy(), x)
        said = [text for text in notes.texts if text.startswith("clipped: ")]
        assert len(said) == (way == "censored")
        assert not said or f"{share:.1%} at white" in said[0]
    assert results["censored"] > results["measured"] + 0.5


def test_nothing_changes_where_nothing_is_clipped() -> None:
    y = stored(0.3 + 0.4 * noisy(bright()))
    results = [
        rk.denoise(y, noise="gaussian:0.05", prior="natural-fast", clipped=way) for way in ("measured", "censored")
    ]
    assert torch.equal(results[0].samples, results[1].samples)
    assert not any("clipped" in text for text in results[1].notes)


def test_floats_are_never_clipped() -> None:
    y = noisy(bright()).clip(0, 1).astype(np.float32).transpose(1, 2, 0)
    results = [
        rk.denoise(y, noise="gaussian:0.1", prior="natural-fast", clipped=way) for way in ("measured", "censored")
    ]
    assert torch.equal(results[0].samples, results[1].samples)


def measured(y: Any, **settings: Any) -> Any:
    told: dict[str, Any] = {"op": "denoise", "noise": "gaussian:0.1", "prior": "natural-fast"} | settings
    return Measurement(**told).measure(y, Notes())


def test_the_law_stops_half_a_step_before_the_limit() -> None:
    y = stored(noisy(bright()))
    law = measured(y).problem.likelihood
    assert isinstance(law, Censored)
    np.testing.assert_array_equal(law.high[0].numpy(), (y == 255).transpose(2, 0, 1))
    np.testing.assert_array_equal(law.low[0].numpy(), (y == 0).transpose(2, 0, 1))
    torch.testing.assert_close(law.white, torch.full((1, 3, 1, 1), 254.5 / 255))


def test_in_light_it_stops_at_the_light_of_white() -> None:
    law = measured(stored(noisy(bright(), 0.02)), op="blur:kernel=gaussian:1", transfer="srgb").problem.likelihood
    light = ((254.5 / 255 + 0.055) / 1.055) ** 2.4
    torch.testing.assert_close(law.white[:, :1], torch.full((1, 1, 1, 1), light))


@pytest.mark.parametrize("most", [1023, 4095, 16383])
def test_the_last_value_of_some_bits_is_white(most: int) -> None:
    x = noisy(bright())
    black, white = at_limits(integers(x, most))
    np.testing.assert_array_equal(white, np.rint(most * x.clip(0, 1)) == most)
    np.testing.assert_array_equal(black, np.rint(most * x.clip(0, 1)) == 0)


@pytest.mark.parametrize(("most", "dtype"), [(60123, "uint16"), (3000, "uint16"), (240, "uint8")])
def test_a_pile_at_the_end_is_where_the_sensor_stopped(most: int, dtype: str) -> None:
    x = noisy(bright())
    white = at_limits(integers(x, most, dtype))[1]
    assert white[0].mean() > 0.2
    np.testing.assert_array_equal(white[:2], np.rint(most * x[:2].clip(0, 1)) == most)
    assert not white[2].any()  # two values are no pile


def test_bands_stop_where_they_stop() -> None:
    x, stops = noisy(bright()), np.array([0.9, 1.0, 0.8])
    y = integers(np.minimum(x, stops[:, None, None]), 255, "uint8")
    law = measured(y).problem.likelihood
    expected = (np.rint(255 * stops) - 0.5) / 255
    np.testing.assert_allclose(law.white.flatten().numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("which", ["smooth", "few", "paper", "flat"])
def test_what_is_no_stop_is_none(which: str) -> None:
    """The end of a histogram that thins out, a chart of few values, paper, and what is the same everywhere."""
    rng = np.random.default_rng(0)
    smooth = np.clip(0.5 + 0.1 * rng.standard_normal((1, 64, 64)), 0, 0.95)
    pictures = {"smooth": smooth, "few": np.rint(8 * smooth) / 9, "flat": np.full((1, 64, 64), 0.7)}
    pictures["paper"] = np.where(rng.random((1, 64, 64)) > 0.3, 0.8, 0.8 * smooth)
    assert not at_limits(integers(pictures[which], 255, "uint8"))[1].any()


def test_holes_are_not_black() -> None:
    x, mask = bright(), np.random.default_rng(1).random((64, 64)) > 0.5
    y = stored(np.where(mask, noisy(x, 0.05), 0))
    notes = Notes()
    found = rk.inpaint(y, mask=mask, noise="gaussian:0.05", prior="natural-fast", steps=2, notes=notes)
    (said,) = (text for text in notes.texts if text.startswith("clipped"))
    white, black = (float((y == v)[mask].sum()) / y.size for v in (255, 0))
    assert f"{white:.1%} at white and {black:.1%} at black are taken" in said
    assert found.mean.shape == (3, 64, 64)


def test_auto_takes_them_as_measured_where_the_noise_is_assumed() -> None:
    y = stored(bright(32))
    given = {"op": "average:factor=2", "prior": "natural-fast"}
    assert measured(y, **given, noise=None).clipped.record() == {"clipped_as": "measured"}
    assert measured(y, **given, noise="gaussian:0.02").clipped.record() == {"clipped_as": "censored"}
    assert measured(y, **given, noise=None, clipped="censored").clipped.record() == {"clipped_as": "censored"}
    assert measured(y, **given, noise=None, transfer="srgb").clipped.record() == {"clipped_as": "censored"}


def test_missing_values_are_filled() -> None:
    y = stored(noisy(bright()))
    problem = measured(y, clipped="missing").problem
    assert isinstance(problem.likelihood, Gaussian)
    assert isinstance(problem.operator, Inpaint)
    np.testing.assert_array_equal(problem.operator.mask.numpy() == 0, ((y == 255) | (y == 0)).transpose(2, 0, 1))
    assert rk.denoise(y, noise="gaussian:0.1", prior="natural-fast", clipped="missing").nfe > 1


def test_laws_that_are_not_gaussian_take_values_as_measured() -> None:
    found = measured(stored(noisy(bright())), noise="poisson:50")
    assert found.problem is found.plain
    assert found.clipped.record() == {"clipped_as": "measured"}


@pytest.mark.parametrize("solver", ["pigdm", "ddrm"])
def test_a_solver_for_gaussian_noise_alone_says_that_it_takes_them_as_measured(
    solver: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(stored(noisy(bright(32)))).save(tmp_path / "y.png")
    words = ("--noise", "gaussian:0.1", "--solver", solver, "--steps", 3, *FAST)
    assert go("denoise", tmp_path / "y.png", tmp_path / "x.png", *words) == 0
    assert "takes clipped values as measured; hqs, diffpir and mmps do not" in capsys.readouterr().err


def test_the_command_records_what_it_did_and_refuses_other_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "y.png", tmp_path / "x.png"
    Image.fromarray(stored(noisy(bright(32)))).save(source)
    for way in ("censored", "measured"):
        assert go("denoise", source, out, "--noise", "gaussian:0.1", "--clipped", way, *FAST) == 0
        assert json.loads((tmp_path / "x.png.json").read_text())["clipped_as"] == way
    assert "auto, censored, measured, missing" in refused(
        capsys, "denoise", source, tmp_path / "z.png", "--clipped", "cut", *FAST
    )
    with pytest.raises(BadInput, match="clipped=cut"):
        rk.denoise(stored(bright(32)), prior="natural-fast", clipped="cut")


def test_a_comparison_takes_every_solver(tmp_path: Path) -> None:
    write_picture(tmp_path / "y.png", noisy(bright(32)), Picture(noisy(bright(32)), "uint8", (0.0, 255.0)))
    found = rk.compare(
        tmp_path / "y.png",
        "denoise",
        noise="gaussian:0.1",
        prior="natural-fast",
        solvers=("ddrm", "mmps"),
        steps=3,
        samples=2,
    )
    assert [result.label for result in found.results] == ["ddrm", "mmps"]


def calibrated_for(path: Path, way: str, task: str = "denoise", transfer: str = "linear") -> Path:
    prior, solver = load_prior("natural-fast"), solver_of("mmps")
    known = Conditions(task=task, noise="gaussian:0.1", transfer=transfer, clipped=way, solver=solver_key(solver, 2))
    entry = Entry.of(known, LOCAL, "made", [Scores.of(np.full(50, 1.9))] * 30)
    Calibration("natural-fast", prior.sha256, (entry,)).write(path)
    return path


@pytest.mark.parametrize(("asked", "known", "taken"), [
    ("auto", "censored", "censored"), ("auto", "measured", "measured"), ("censored", "censored", "censored"),
    ("measured", "measured", "measured"),
])  # fmt: skip
def test_several_samples_take_the_way_that_error_bars_are_calibrated_for(
    asked: str, known: str, taken: str, tmp_path: Path
) -> None:
    bars = calibrated_for(tmp_path / "c.json", known)
    task = Restoring(op="denoise", noise="gaussian:0.1", prior="natural-fast", solver="mmps", steps=2, samples=2)
    found = replace(task, clipped=asked, calibration=bars)(stored(noisy(bright())))
    found.save(tmp_path / "x.png")
    said = json.loads((tmp_path / "x.png.json").read_text())
    assert (said["clipped_as"], said["intervals"]["calibration"]["file"]) == (taken, "c.json")
    other = {"censored": "measured", "measured": "censored"}[known]
    with pytest.raises(BadInput, match="none of denoise"):
        replace(task, clipped=other, calibration=bars)(stored(noisy(bright())))


def test_calibrations_of_older_versions_know_how_clipped_values_were_taken(tmp_path: Path) -> None:
    for transfer, way in (("linear", "measured"), ("srgb", WHITE_LEFT_OUT)):
        path = calibrated_for(tmp_path / "c.json", "censored", transfer=transfer)
        plain = json.loads(path.read_text())
        del plain["entries"][0]["clipped"]
        path.write_text(json.dumps(plain))
        assert Calibration.read(path).entries[0].conditions.clipped == way


@pytest.mark.parametrize(("transfer", "op"), [("linear", "denoise"), ("srgb", "blur:kernel=gaussian:1")])
def test_calibrations_draw_from_the_law_of_a_restoration(transfer: str, op: str, tmp_path: Path) -> None:
    Image.fromarray(stored(bright())).save(tmp_path / "a.png")
    Image.fromarray(stored(bright())).save(tmp_path / "b.png")
    drawn = Drawn(prior=load_prior("natural-fast"), solver=solver_of("mmps"), transfer=transfer)
    task, truth = Degradation(op, "gaussian:0.05"), SplitPictures(tmp_path, 64).some(1)[0]
    made = drawn.problem(task, truth)
    _, values = drawn.coded(task, truth)
    Image.fromarray(stored(values[0].numpy())).save(tmp_path / "y.png")
    own = Measurement(op=op, noise="gaussian:0.05", prior="natural-fast", transfer=transfer)
    read = own.measure(tmp_path / "y.png", Notes()).taken(solver_of("mmps"))
    assert torch.allclose(made.y, read.y, atol=1e-6)
    one, other = made.likelihood, read.likelihood
    assert isinstance(one, Censored)
    assert isinstance(other, Censored)
    assert bool(one.high.any())
    assert torch.equal(one.low, other.low)
    assert torch.equal(one.high, other.high)
    assert float(one.sigma) == float(other.sigma)
    assert float(one.white) == pytest.approx(float(torch.as_tensor(other.white).min()), abs=1e-6)
    assert float(one.black) == pytest.approx(float(torch.as_tensor(other.black).max()), abs=1e-6)
