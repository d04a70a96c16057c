"""A simulated camera does what each of its settings says, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from scipy import ndimage

import restorekit
from restorekit import BadInput
from restorekit.files.curves import SRGB
from restorekit.notes import Notes
from restorekit.operators.mosaic import BAYER, sites
from restorekit.simulation.camera import Camera, contrast
from restorekit.simulation.demosaic import DEMOSAIC
from restorekit.tasks.observation import observe
from restorekit.text.cameras import CAMERAS, PARTS, camera_of
from restorekit.text.kernels import kernel

PHOTO = skimage.data.astronaut()[20:68, 180:240]
LIGHT = SRGB().decode(np.moveaxis(PHOTO, -1, 0) / 255)


def shot(text: str, light: np.ndarray = LIGHT, seed: int = 0):
    return camera_of(text)(light, torch.Generator().manual_seed(seed))


def test_a_camera_that_is_off_codes_the_light_and_nothing_else() -> None:
    made = shot("off")
    np.testing.assert_allclose(made.values, np.moveaxis(PHOTO, -1, 0) / 255, atol=1e-6)
    np.testing.assert_array_equal(made.values, made.truth.clip(0, 1))


@pytest.mark.parametrize(
    "part",
    ["exposure=0.5", "lens=gaussian:1", "vignetting=0.5", "shutter=motion:7:30", "pattern=bggr", "gain=0.01", "read=0.01",
     "bits=5", "tone=gamma:2.2", "tone=contrast", "jpeg=50"],
)  # fmt: skip
def test_every_part_can_be_switched_on_alone_and_off_again(part: str) -> None:
    on, off = shot(f"off:{part}"), shot("off")
    top, left, height, width = camera_of(f"off:{part}").frame(*LIGHT.shape[1:])
    before = off.values[:, top : top + height, left : left + width]
    assert np.abs(on.values - before).max() > 0.01
    name = part.partition("=")[0]
    np.testing.assert_array_equal(shot(f"off:{name}={'srgb' if name == 'tone' else 'off'}").values, off.values)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_several_settings_is_off_as_a_whole(part: str) -> None:
    camera, off = camera_of(f"phone:{part}=off"), camera_of("off")
    assert all(getattr(camera, name) == getattr(off, name) for name in PARTS[part])


def test_the_noise_is_of_the_law_that_the_record_names() -> None:
    flat = np.full((3, 160, 160), 0.3)
    camera = Camera(
        pattern=None, gain=0.01, read=0.02, bits=None, black=0.3, balance=(2.0, 1.0, 1.5), tone="linear", jpeg=None
    )
    y = camera(flat, torch.Generator().manual_seed(1)).values
    for band, law in zip(y, camera.noise() or []):
        said = law.partition(":")[2].split(",")
        expected = float(said[0]) * 0.3 + float(said[1]) ** 2
        assert band.mean() == pytest.approx(0.3, abs=0.003)
        assert band.var() == pytest.approx(expected, rel=0.05)


def test_black_level_keeps_noise_below_black_and_without_it_noise_is_cut() -> None:
    dark = np.zeros((1, 64, 64))
    settings = {"gain": 0.0, "read": 0.02, "bits": None, "tone": "linear", "jpeg": None}
    cut, kept = (
        Camera(black=black, **settings)._sensed(dark, torch.Generator().manual_seed(0)) for black in (0.0, 0.2)
    )
    assert cut.min() == 0 < cut.mean()
    assert kept.std() == pytest.approx(0.02, rel=0.05)


def test_light_above_white_is_clipped_in_the_file_and_kept_in_the_truth() -> None:
    made = shot("off:exposure=4,balance=2/1/1.5,gain=0.001")
    assert made.values.max() == 1 < made.truth.max()
    assert (made.values[made.truth > 1.1] > 0.97).all()


@pytest.mark.parametrize("name", ["motion:9:30", "gaussian:0.8"])
def test_the_blur_is_the_convolution_of_scipy_in_the_frame_that_is_named(name: str) -> None:
    camera = camera_of(f"off:tone=linear,lens=gaussian:0.6,shutter={name}")
    top, left, height, width = camera.frame(*LIGHT.shape[1:])
    k = ndimage.convolve(np.pad(kernel(name).numpy(), 4), kernel("gaussian:0.6").numpy(), mode="constant")
    expected = np.stack([ndimage.convolve(band, k, mode="reflect") for band in LIGHT])
    made = camera(LIGHT, torch.Generator())
    inside = np.s_[:, top : top + height, left : left + width]
    np.testing.assert_allclose(made.values, expected[inside].clip(0, 1), atol=1e-6)
    np.testing.assert_array_equal(made.truth, LIGHT[inside])


def test_two_even_kernels_are_centred_as_one_after_the_other() -> None:
    a, b = torch.zeros(4, 2), torch.zeros(2, 4)
    a[2, 1] = b[1, 2] = 1.0  # at their centres: nothing moves
    camera = Camera(
        lens=a, shutter=b, tone="linear", pattern=None, gain=0, read=0, bits=None, balance=(1, 1, 1), jpeg=None
    )
    made = camera(LIGHT, torch.Generator())
    np.testing.assert_allclose(made.values, made.truth.clip(0, 1), atol=1e-9)


@pytest.mark.parametrize("pattern", BAYER)
@pytest.mark.parametrize("name", DEMOSAIC)
def test_demosaicing_is_exact_for_a_grey_ramp(name: str, pattern: str) -> None:
    ramp = 0.1 + 0.01 * np.arange(14)[:, None] + 0.02 * np.arange(16)
    out = DEMOSAIC[name](ramp, sites(pattern, *ramp.shape).numpy())
    np.testing.assert_allclose(out[:, 3:-3, 3:-3], np.broadcast_to(ramp[3:-3, 3:-3], (3, 8, 10)), atol=1e-12)


def test_the_contrast_curve_rises_and_can_be_undone() -> None:
    light = np.linspace(0, 1, 999)
    coded = contrast().encode(light)
    assert (np.diff(coded) > 0).all()
    np.testing.assert_allclose(contrast().decode(coded), light, atol=1e-9)
    assert np.abs(coded - SRGB().encode(light)).max() > 0.04


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nokia", "unknown camera 'nokia'; known: phone, still, off"),
        ("phone:iso=100", "unknown setting 'iso'; it takes exposure, lens"),
        ("phone:pattern=rgbg", "pattern='rgbg' is no Bayer pattern"),
        ("phone:pattern=xtrans", "cannot be demosaiced"),
        ("phone:jpeg=0", "jpeg=0 must lie between 1 and 100"),
        ("phone:balance=0.5/1/2", "the least of them 1"),
        ("phone:sensor=on", "sensor can be off"),
        ("phone:tone=filmic", "tone=filmic is unknown"),
        ("phone:lens=gaussian", "kernel 'gaussian' is not understood"),
        ("phone:gain=nan", "is not a float"),
    ],
)
def test_a_camera_that_cannot_be_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as error:
        camera_of(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", CAMERAS)
def test_the_same_seed_gives_the_same_file(name: str) -> None:
    np.testing.assert_array_equal(shot(name, seed=3).values, shot(name, seed=3).values)
    if name != "off":
        assert (shot(name, seed=3).values != shot(name, seed=4).values).any()


def test_degrade_writes_the_file_of_a_camera_and_all_that_a_restoration_has_to_know(tmp_path: Path) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "x.png")
    text = "phone:shutter=motion:7:30,tone=contrast,jpeg=70,chroma=4:4:4"
    made = restorekit.degrade(tmp_path / "x.png", camera=text, seed=2, notes=Notes())
    files = [path.name for path in made.save(tmp_path / "y.jpg")]
    assert files == ["y.jpg", "y_truth.png", "y_kernel.npy", "y.jpg.json"]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "y.jpg")) / 255, np.moveaxis(made.values, 0, -1))
    assert made.kernel is not None
    np.testing.assert_allclose(np.load(tmp_path / "y_kernel.npy"), made.kernel, atol=1e-7)
    record = json.loads((tmp_path / "y.jpg.json").read_text())
    assert record["operator"] == "blur:kernel=y_kernel.npy"
    assert record["camera"]["text"] == text
    assert record["noise_of_bands"][1] == "poisson-gaussian:0.004,0.004"
    response = observe(tmp_path / "y.jpg", "blur", None, None, "auto", Notes()).response
    np.testing.assert_allclose(response.curve.encode(np.array([0.2])), contrast().encode(np.array([0.2])))
    assert response.source == "its record y.jpg.json"


def test_degrade_with_a_camera_refuses_what_it_does_not_use() -> None:
    with pytest.raises(BadInput, match="leave `op` and `noise` out"):
        restorekit.degrade(PHOTO, "blur:kernel=gaussian:1", camera="phone", noise="gaussian:0.1")
    with pytest.raises(BadInput, match="a JPEG has 8 bits"):
        restorekit.degrade(PHOTO, camera="phone", dtype="uint16")
    with pytest.raises(BadInput, match="has 2 bands"):
        restorekit.degrade(np.zeros((16, 16, 2), np.float32), camera="phone")
    with pytest.raises(BadInput, match="leaves nothing of a picture"):
        restorekit.degrade(PHOTO[:16, :16], camera="phone:shutter=motion:15:30")


def test_the_truth_is_clipped_alike_where_that_is_asked() -> None:
    light = np.moveaxis(LIGHT, 0, -1).astype(np.float32)
    plain, alike = (
        restorekit.degrade(light, camera="off:exposure=3,tone=linear", clip_truth=clip, notes=Notes())
        for clip in (False, True)
    )
    assert plain.truth.max() > 1 == alike.truth.max()
    np.testing.assert_array_equal(plain.truth.clip(0, 1), alike.truth)
