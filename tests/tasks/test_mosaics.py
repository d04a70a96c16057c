"""Raw files and mosaics as tasks take them: noise, white balance, clipped values and colours in one step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import tifffile
import torch

import restorekit
from restorekit import BadInput
from restorekit.cli.main import run
from restorekit.files.curves import SRGB
from restorekit.inference.likelihood import Gaussian
from restorekit.metrics.fidelity import psnr
from restorekit.notes import Notes
from restorekit.operators import Mosaic
from restorekit.operators.mosaic import sites
from restorekit.priors.find import load_prior
from restorekit.tasks.denoise import NoiseRemoval
from restorekit.tasks.mosaics import mosaic_noise, pattern_of
from tests.support.raw_files import write_dng

TRUTH = np.ascontiguousarray(np.moveaxis(skimage.data.astronaut()[40:88, 180:236], -1, 0) / 255, np.float32)
NEUTRAL = np.array([0.5, 1.0, 0.625])
QUICK = {"prior": load_prior("natural-fast"), "steps": 3}


def mosaic_of(light: np.ndarray, pattern: str = "rggb") -> np.ndarray:
    return np.take_along_axis(light, sites(pattern, *light.shape[1:]).numpy()[None], 0)[0]


def raw_file(path: Path, gain: float = 0.002, read: float = 0.003, exposure: float = 1.0, **settings: object) -> Path:
    rng = np.random.default_rng(0)
    light = mosaic_of(exposure * SRGB().decode(TRUTH) * NEUTRAL[:, None, None], str(settings.get("pattern", "rggb")))
    y = gain * rng.poisson(light / gain) + read * rng.standard_normal(light.shape)
    raw = np.rint(64 + y * 959).clip(0, 1023).astype(np.uint16)
    return write_dng(path, raw, profile=(gain, read**2), **settings)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    pytest.importorskip("rawpy")
    return tmp_path / "a.dng"


def test_denoise_develops_a_raw_file(path: Path, tmp_path: Path) -> None:
    notes = Notes()
    result = restorekit.denoise(raw_file(path), notes=notes, **QUICK)
    assert psnr(result.mean.numpy().clip(0, 1), TRUTH) > 25
    assert any(
        line.startswith("noise: by the profile of a.dng, gain and deviation at black 0.002 and 0.003")
        for line in notes.texts
    )
    assert any("mosaic rggb of black 64 and white 1023, red times 2 and blue times 1.6" in line for line in notes.texts)
    result.save(tmp_path / "o.tif")
    written = tifffile.imread(tmp_path / "o.tif")
    assert (written.dtype, written.shape) == (np.uint16, (48, 56, 3))
    np.testing.assert_allclose(written / 65535, np.moveaxis(result.mean.numpy(), 0, -1).clip(0, 1), atol=1e-4)
    record = json.loads((tmp_path / "o.tif.json").read_text())
    assert record["operator"] == "mosaic"
    assert (record["raw"]["pattern"], record["raw"]["result"]) == ("rggb", "srgb")


def test_a_linear_result_is_the_light_of_the_other(path: Path) -> None:
    coded, light = (
        restorekit.denoise(raw_file(path), transfer=curve, notes=Notes(), **QUICK).mean.numpy()
        for curve in ("auto", "linear")
    )
    np.testing.assert_allclose(SRGB().decode(coded), light, atol=2e-5)


def test_a_preview_of_odd_corners_is_that_part_of_the_whole(path: Path) -> None:
    whole = restorekit.denoise(raw_file(path), notes=Notes(), **QUICK).mean.numpy()
    part = restorekit.denoise(raw_file(path), preview=(5, 3, 32, 40), notes=Notes(), **QUICK).mean.numpy()
    np.testing.assert_allclose(part[:, 8:-8, 8:-8], whole[:, 13:29, 11:35], atol=0.02)


def test_what_the_sensor_clipped_is_taken_as_that_or_more(path: Path) -> None:
    notes = Notes()
    result = restorekit.denoise(raw_file(path, exposure=2.5), notes=notes, **QUICK)
    assert any("at white are taken as that or beyond" in line for line in notes.texts)
    measured = result.source.measured  # type: ignore[union-attr]
    at = measured.clipped.limits[1]
    assert 0.02 < at.mean() < 0.5
    assert not measured.clipped.limits[0].any()  # noise goes below black


def test_a_mosaic_in_a_plain_file_is_restored_by_its_operator(tmp_path: Path) -> None:
    values = (mosaic_of(TRUTH, "gbrg") * 65535).round().astype(np.uint16)
    tifffile.imwrite(tmp_path / "m.tif", values)
    with pytest.raises(SystemExit) as stop:
        run([str(w) for w in ("restore", tmp_path / "m.tif", tmp_path / "o.tif", "--op", "mosaic:pattern=gbrg", "--noise",
                              "gaussian:0.005", "--prior", "natural-fast", "--steps", 4)])  # fmt: skip
    assert not stop.value.code
    made = np.moveaxis(tifffile.imread(tmp_path / "o.tif"), -1, 0) / 65535
    assert psnr(made.astype(np.float32), TRUTH) > 27


@pytest.mark.parametrize("solver", ["ddnm", "ddrm", "mmps", "dps"])
def test_solvers_take_it(solver: str) -> None:
    y = torch.from_numpy(mosaic_of(TRUTH))[None, None]
    problem = restorekit.Problem(y, Mosaic.of(TRUTH.shape), Gaussian(0.02))  # type: ignore[arg-type]
    result = restorekit.restore(problem, QUICK["prior"], getattr(restorekit.solvers, solver.upper())(), steps=3)  # type: ignore[arg-type]
    assert bool(result.samples.isfinite().all())


def test_the_noise_of_a_mosaic_without_a_profile_is_measured_colour_by_colour() -> None:
    rng = np.random.default_rng(1)
    colours = np.array([0.1, 0.5, 0.9])[:, None, None] * np.linspace(0.3, 1, 160)[None, :, None]
    light = mosaic_of(np.broadcast_to(colours, (3, 160, 160)))
    y = 0.01 * rng.poisson(light / 0.01) + 0.01 * rng.standard_normal(light.shape)
    law, found = mosaic_noise(y[None].astype(np.float32), Mosaic.of((3, 160, 160)), None, "y", Notes())
    assert found is not None
    assert found.sensor is not None
    assert found.sensor.gain == pytest.approx(0.01, rel=0.15)
    expected = np.sqrt(0.01 * light + 1e-4)
    assert isinstance(law, Gaussian)
    np.testing.assert_allclose(np.asarray(law.sigma)[0].mean(), expected.mean(), rtol=0.1)


@pytest.mark.parametrize("pattern", ["rggb", "gbrg", "xtrans"])
def test_the_pattern_of_an_operator_is_found_again(pattern: str) -> None:
    tile = pattern_of(Mosaic.of((3, 12, 12), pattern, torch.eye(3) + 0.2))
    assert torch.equal(tile, sites(pattern, *tile.shape))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"op": "mosaic:pattern=rgbg"}, "no Bayer pattern"),
        ({"strength": 0.5}, "`strength` leaves noise"),
        ({"transfer": "pq"}, "pq"),
        ({"range": (0, 1000)}, "leave `range` out"),
    ],
)
def test_settings_that_a_raw_file_does_not_take_are_refused(path: Path, settings: dict[str, object], says: str) -> None:
    with pytest.raises(BadInput, match=says) as error:
        NoiseRemoval(**settings, prior=QUICK["prior"])(raw_file(path))  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_a_mosaic_of_colours_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "m.tif", (np.moveaxis(TRUTH, 0, -1) * 255).astype(np.uint8), photometric="rgb")
    with pytest.raises(SystemExit) as stop:
        run([str(w) for w in ("restore", tmp_path / "m.tif", tmp_path / "o.tif", "--op", "mosaic")])
    assert stop.value.code
    assert "demosaiced before" in capsys.readouterr().err
    assert not (tmp_path / "o.tif").exists()


def test_samples_of_a_raw_file_have_an_error_bar_and_say_that_it_is_not_calibrated(path: Path) -> None:
    notes = Notes()
    result = restorekit.denoise(raw_file(path), samples=2, notes=notes, preview=(0, 0, 24, 24), **QUICK)
    assert bool((result.std > 0).any())
    assert any("noise that is alike in all pixels" in line for line in notes.texts)
