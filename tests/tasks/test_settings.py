"""Settings of tasks: previews, measured pixels that stay, integers that fill little of their type, results that miss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import tifffile
import torch

from restorekit import BadInput, Gaussian, deblur, denoise, inpaint, load_prior, upscale
from restorekit.cli.main import run
from restorekit.notes import Notes
from restorekit.operators import Identity
from restorekit.priors.prior import Prior
from restorekit.tasks.measurement import Measurement
from restorekit.tasks.observation import observe
from restorekit.uncertainty.interval import Interval

CAMERA = skimage.data.camera()[100:164, 180:244] / 255.0


@pytest.fixture(scope="module")
def prior() -> Prior:
    return load_prior("natural-fast")


def noisy(sigma: float = 0.05, seed: int = 0) -> np.ndarray:
    """(64, 64) float32."""
    values = CAMERA + np.random.default_rng(seed).normal(0, sigma, CAMERA.shape)
    return np.clip(values, 0, 1).astype(np.float32)


def counts(bits: int, kind: str = "uint16") -> tuple[np.ndarray, np.ndarray]:
    """(measured, truth) in numbers of 0 to 2^bits - 1."""
    top = 2**bits - 1
    return np.rint(noisy() * top).astype(kind), CAMERA * top


def off(x: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.square(x.astype(float) - truth).mean()))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_integers_of_fewer_bits_than_their_type_are_denoised(prior: Prior, tmp_path: Path, bits: int) -> None:
    y, truth = counts(bits)
    notes = Notes()
    denoise(y, prior=prior, notes=notes).save(tmp_path / "o.tif")
    restored = tifffile.imread(tmp_path / "o.tif")
    assert restored.dtype == y.dtype
    assert off(restored, truth) < 0.7 * off(y, truth)
    said = [text for text in notes.texts if text.startswith("range:")]
    assert len(said) == (bits < 16)
    assert bits == 16 or f"white is taken to be {2**bits - 1} (`range=0,{2**bits - 1}`)" in said[0]


def test_photon_counts_in_sixteen_bits_are_denoised(prior: Prior, tmp_path: Path) -> None:
    truth = 20 + 180 * CAMERA
    y = np.random.default_rng(0).poisson(truth).astype(np.uint16)
    result = denoise(y, prior=prior, notes=Notes())
    result.save(tmp_path / "o.tif")
    assert off(tifffile.imread(tmp_path / "o.tif"), truth) < 0.7 * off(y, truth)
    with pytest.raises(BadInput, match=r"say which value is white, as `range=0,255`"):
        denoise(y, prior=prior, noise="poisson:200")


def test_a_range_is_found_or_asked_for_in_every_task(prior: Prior) -> None:
    y, _ = counts(12)
    quick: dict[str, Any] = {"prior": prior, "steps": 1}
    mask = np.ones(y.shape, bool)
    mask[10:20, 10:20] = False
    for call in (
        lambda notes: inpaint(y, mask, notes=notes, **quick),
        lambda notes: upscale(y, notes=notes, **quick),
        lambda notes: deblur(y, "gaussian:1", notes=notes, boundary="reflect", **quick),
    ):
        notes = Notes()
        assert call(notes).source.measured.read.picture.span == (0, 4095)
        assert "white is taken to be 4095" in notes.texts[0]
    for call in (
        lambda: inpaint(y, mask, noise="gaussian:0.05", **quick),
        lambda: deblur(y, "gaussian:1", noise=Gaussian(0.05), **quick),
    ):
        with pytest.raises(BadInput, match="say which value is white"):
            call()


def test_noise_below_what_is_told_is_called_a_floor_and_the_picture_left_alone(prior: Prior, tmp_path: Path) -> None:
    top = 40000 + 300 * noisy(0.02)  # 300 of 65535, far from 0: no fewer bits hold it
    y = np.rint(top).astype(np.uint16)
    notes = Notes()
    denoise(y, prior=prior, notes=notes).save(tmp_path / "o.tif")
    said = " ".join(notes.texts)
    assert "gaussian:0.0020 is assumed, a floor" in said
    assert "a small part of the range: `range=" in said
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "o.tif"), y)
    # A solver that was asked for changes it by that floor: more than the noise that is there.
    result = denoise(y, prior=prior, solver="hqs", steps=4, notes=notes)
    assert "times the noise in it; give `range`" in result.notes[-1]
    assert result.notes[-1] not in notes.texts


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("samples", [1, 2])
def test_measured_pixels_stay_as_they_are_unless_noise_is_asked_for(
    prior: Prior, tmp_path: Path, kind: str, samples: int
) -> None:
    scale: Any = {"uint8": 255, "uint16": 65535}.get(kind, 17.3)
    y = (noisy() * scale).astype(kind)
    mask = np.ones(y.shape, bool)
    mask[20:30, 20:30] = False
    settings: dict[str, Any] = {"prior": prior, "steps": 2, "samples": samples, "notes": Notes()}
    settings["range"] = (0, 17.3) if kind.startswith("float") else None
    settings["solver"] = "hqs" if samples == 1 else "mmps"
    inpaint(y, mask, **settings).save(tmp_path / "o.tif")
    for end in ("", "_mean")[:samples]:
        saved = tifffile.imread(tmp_path / f"o{end}.tif")
        np.testing.assert_array_equal(saved[mask], y[mask])
        assert (saved[~mask] != y[~mask]).mean() > 0.5
    if samples == 2:
        std, low, high = (tifffile.imread(tmp_path / f"o_{end}.tif") for end in ("std", "low", "high"))
        assert (std > 0).mean() > 0.99  # integers may be black or white in both samples
        assert (low[mask] < high[mask]).mean() > 0.99
    if kind == "uint8" and samples == 1:
        noise: dict[str, Any] = {**settings, "noise": "gaussian:0.05"}
        inpaint(y, mask, **noise).save(tmp_path / "n.tif")
        assert (tifffile.imread(tmp_path / "n.tif")[mask] != y[mask]).any()


def test_error_bars_of_kept_pixels_are_those_of_the_noise_that_is_assumed(prior: Prior) -> None:
    truth = CAMERA[:32, :32]
    y = (truth + np.random.default_rng(0).normal(0, 0.01, truth.shape)).astype(np.float32)
    mask = np.random.default_rng(1).random(y.shape) < 0.5
    notes = Notes()
    result = inpaint(y, mask, prior=prior, samples=8, steps=12, notes=notes)
    assert "measured pixels are kept as they are; their deviation is that of gaussian:0.01" in notes.texts
    np.testing.assert_array_equal(result.mean[0].numpy()[mask], y[mask])
    spread = result.std[0].numpy()[mask]
    assert 0.002 < spread.mean() < 0.012  # the posterior knows no less than the noise says
    low, high = Interval(0.9)(result.samples.double().numpy())
    held = (low[0] <= truth) & (truth <= high[0])
    assert held[mask].mean() > 0.7
    assert result.coverage(truth[None]) == pytest.approx(held.mean())
    # With the noise given, the same samples, and the measured pixels are estimates too.
    asked = inpaint(y, mask, prior=prior, samples=8, steps=12, noise="gaussian:0.01", notes=Notes())
    assert torch.equal(asked.samples, result.samples)
    assert (asked.mean[0].numpy() != y)[mask].all()


def test_a_preview_is_a_part_of_the_picture_with_the_noise_of_the_whole(prior: Prior, tmp_path: Path) -> None:
    y = noisy()
    box = (16, 8, 24, 32)
    part = denoise(y, prior=prior, preview=box, notes=Notes())
    whole = denoise(y, prior=prior, notes=Notes())
    assert part.samples.shape == (1, 1, 24, 32)
    noise = [r.source.measured.forward.noise_text for r in (part, whole)]
    assert noise[0] == noise[1]
    inside = np.s_[..., 8:-8, 8:-8]
    cut = whole.samples[..., 16:40, 8:40]
    assert float((part.samples[inside] - cut[inside]).abs().mean()) < 0.01
    part.save(tmp_path / "o.tif")
    assert json.loads((tmp_path / "o.tif.json").read_text())["preview"] == list(box)
    mask = np.ones(y.shape, bool)
    mask[20:24, 12:20] = False
    quick: dict[str, Any] = {"prior": prior, "steps": 1, "preview": box, "notes": Notes()}
    kept = inpaint(y, mask, **quick).samples[0, 0].numpy()
    np.testing.assert_array_equal(kept[mask[16:40, 8:40]], y[16:40, 8:40][mask[16:40, 8:40]])
    assert upscale(y, 2, **quick).samples.shape == (1, 1, 48, 64)
    blurred = deblur(y, "gaussian:1", noise="gaussian:0.05", boundary="reflect", **quick)
    assert blurred.samples.shape == (1, 1, 24, 32)
    for bad in ((50, 0, 24, 24), (0, 0, 2, 9), (-1, 0, 9, 9)):
        with pytest.raises(BadInput, match="`preview="):
            denoise(y, prior=prior, preview=bad)


def test_a_preview_lies_where_it_is_on_the_map(prior: Prior, tmp_path: Path) -> None:
    tags = [(33550, "d", 3, (10.0, 10.0, 0.0), True), (33922, "d", 6, (0.0, 0.0, 0.0, 500.0, 900.0, 0.0), True)]
    tifffile.imwrite(tmp_path / "y.tif", noisy(), extratags=tags)
    denoise(tmp_path / "y.tif", prior=prior, preview=(16, 8, 24, 32), notes=Notes()).save(tmp_path / "o.tif")
    with tifffile.TiffFile(tmp_path / "o.tif") as file:
        page: Any = file.pages[0]
        assert page.tags[33922].value == (-8, -16, 0, 500, 900, 0)  # pixel (-8, -16) is where it was


def test_a_result_that_misses_the_measurement_is_the_last_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "y.tif", noisy(0.2))  # no blurred picture looks so
    words = ("--kernel", "gaussian:3", "--boundary", "reflect", "--noise", "gaussian:0.02", "--prior", "natural-fast")
    with pytest.raises(SystemExit) as stop:
        run(["deblur", str(tmp_path / "y.tif"), str(tmp_path / "o.tif"), *words])
    assert not stop.value.code
    missed, last = capsys.readouterr().err.strip().splitlines()[-2:]
    assert missed.startswith("restorekit: WARNING: the result misses the measurement by ")
    assert "check --kernel, --noise and --range" in missed
    assert last.startswith("restorekit: WARNING: this result was made with a kernel that seems to be off")


def test_reading_changes_nothing_that_was_read() -> None:
    """Values behind a mask may be NaN; they are still so in what was read, and 0 in what is solved."""
    y = noisy()
    y[3:7, 3:7] = np.nan
    reading = observe(y, "inpaint", "gaussian:0.1", None, "auto", Notes())
    assert np.isnan(reading.picture.pixels).sum() == 16
    mask = np.isfinite(y)
    task = inpaint(y, mask, prior="natural-fast", steps=1, notes=Notes()).source
    assert np.isfinite(task.measured.read.picture.pixels).all()
    assert np.isnan(task.measured.read.as_read.pixels).sum() == np.isnan(y).sum() == 16


def test_operators_and_laws_are_settings_too(prior: Prior) -> None:
    y = noisy()
    by_name = Measurement(op="denoise", noise="gaussian:0.05", prior=prior).measure(y, Notes())
    made = Measurement(op=Identity((1, 64, 64)), noise=Gaussian(0.05), prior=prior).measure(y, Notes())
    assert made.forward.noise_text == by_name.forward.noise_text == "gaussian:0.05"
    assert made.task == by_name.task
    assert torch.equal(made.problem.y, by_name.problem.y)
