"""What the commands make of the noise of a file, when they are not told it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import tifffile
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from restorekit.cli.main import run
from restorekit.files.transfer import SRGB

CAMERA = skimage.data.camera()[100:164, 180:244] / 255.0
COLOUR = np.moveaxis(skimage.data.astronaut()[40:112, 190:262], -1, 0) / 255.0
FAST = ("--prior", "natural-fast")


def go(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        run([str(a) for a in arguments])
    return int(stop.value.code or 0)


def record(path: Path) -> dict[str, Any]:
    return json.loads(path.with_name(path.name + ".json").read_text())


def counts(
    tmp_path: Path, low: float, high: float, sigma: float, dtype: str = "uint16", suffix: str = "tif"
) -> np.ndarray:
    """The truth, in counts; the measurement is in y.SUFFIX."""
    truth = low + CAMERA * (high - low)
    noise = np.random.default_rng(0).normal(0, sigma * (high - low), CAMERA.shape)
    y = np.clip(truth + noise, 0, np.iinfo(dtype).max).round().astype(dtype)
    if suffix == "png":
        Image.fromarray(y).save(tmp_path / "y.png")
    else:
        tifffile.imwrite(tmp_path / "y.tif", y)
    return truth


def rms(path: Path, truth: np.ndarray) -> float:
    held = np.asarray(Image.open(path)) if path.suffix == ".png" else tifffile.imread(path)
    return float(np.sqrt(np.square(held - truth).mean()))


@pytest.mark.parametrize(
    ("low", "high", "dtype", "suffix"),
    [
        (60, 260, "uint16", "tif"), (0, 300, "uint16", "png"), (0, 4095, "uint16", "tif"), (500, 16000, "uint16", "tif"),
        (2, 28, "uint8", "png"),
    ],
)  # fmt: skip
def test_integers_that_fill_little_of_their_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], low: int, high: int, dtype: str, suffix: str
) -> None:
    truth = counts(tmp_path, low, high, 0.04, dtype, suffix)
    y, out = tmp_path / f"y.{suffix}", tmp_path / f"out.{suffix}"
    assert go("denoise", y, out, *FAST) == 0
    largest = int((np.asarray(Image.open(y)) if suffix == "png" else tifffile.imread(y)).max())
    white = 2 ** largest.bit_length() - 1
    assert f"white is taken to be {white} (--range 0,{white})" in capsys.readouterr().err
    assert record(out)["range"] == [0, white]
    assert rms(out, truth) < 0.95 * rms(y, truth)


def test_hot_pixels_do_not_hide_the_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = counts(tmp_path, 0, 4095, 0.04)
    held = tifffile.imread(tmp_path / "y.tif")
    held[20, 30] = 65535
    tifffile.imwrite(tmp_path / "y.tif", held)
    assert go("denoise", tmp_path / "y.tif", tmp_path / "out.tif", *FAST) == 0
    assert "white is taken to be 4095" in capsys.readouterr().err
    out = tifffile.imread(tmp_path / "out.tif").astype(float)
    out[20, 30] = held[20, 30] = truth[20, 30]
    assert np.square(out - truth).mean() < 0.9 * np.square(held - truth).mean()


def test_counts_of_little_contrast_are_told_of_the_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = counts(tmp_path, 21000, 23000, 0.04)
    y, out = tmp_path / "y.tif", tmp_path / "out.tif"
    assert go("denoise", y, out, *FAST) == 0
    said = capsys.readouterr().err
    low, high = (int(f(tifffile.imread(y))) for f in (np.min, np.max))
    assert f"--range {low},{high}" in said
    assert go("denoise", y, tmp_path / "told.tif", *FAST, "--range", f"{low},{high}") == 0
    assert "small part of the range" not in capsys.readouterr().err
    assert rms(tmp_path / "told.tif", truth) < 0.95 * rms(y, truth)


def test_a_range_that_is_given_is_taken_and_a_floor_is_no_measurement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = counts(tmp_path, 0, 255, 0.04)
    assert go("denoise", tmp_path / "y.tif", tmp_path / "out.tif", "--range", "0,65535", *FAST) == 0
    said = capsys.readouterr().err
    assert "is assumed, a floor" in said
    assert "measured in" not in said
    assert record(tmp_path / "out.tif")["noise_found"]["floor"] is True
    assert rms(tmp_path / "out.tif", truth) == rms(tmp_path / "y.tif", truth)  # and nothing is made worse


def test_what_is_relative_to_white_asks_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts(tmp_path, 0, 4095, 0.03)
    y, out = tmp_path / "y.tif", tmp_path / "out.tif"
    mask = np.full(CAMERA.shape, 255, np.uint8)
    mask[:4, :4] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")
    for words in (
        ("denoise", y, out, "--noise", "gaussian:0.03"),
        ("denoise", y, out, "--noise", "poisson:100"),
        ("degrade", y, out),
        ("derain", y, out),
    ):
        assert go(*words) != 0
        assert "--range 0,4095 (--range 0,65535 for a dark picture)" in capsys.readouterr().err
        assert not out.exists()
    for words in (
        ("upscale", y, out),
        ("inpaint", y, out, "--mask", tmp_path / "mask.png"),
    ):  # where nobody gave a noise
        assert go(*words, "--steps", 1, *FAST) == 0
        assert "white is taken to be 4095 (--range 0,4095)" in capsys.readouterr().err
        assert record(out)["range"] == [0, 4095]


def test_a_page_of_twelve_bits_can_be_made_again(tmp_path: Path) -> None:
    truth = counts(tmp_path, 0, 4000, 0.02)
    tifffile.imwrite(tmp_path / "truth.tif", truth.round().astype(np.uint16))
    page = tmp_path / "page.html"
    words = ("--op", "denoise", "--solver", "hqs", "--steps", 2, "--truth", tmp_path / "truth.tif", *FAST)
    assert go("compare", tmp_path / "y.tif", page, *words) == 0
    held = record(page)
    assert held["range"][1] in (4095, 8191)
    assert f"--range 0,{held['range'][1]:.0f}" in held["command"]
    assert held["solvers"][0]["psnr"] > 25  # of white, in both


def test_grain_is_said_and_taken_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.moveaxis(skimage.data.astronaut()[:128, 150:278], -1, 0) / 255.0
    z = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(x.shape), (0, 1, 1))
    y = (x + 0.058 * z / z.std()).clip(0, 1)
    Image.fromarray((y * 255).round().astype(np.uint8).transpose(1, 2, 0)).save(tmp_path / "y.png")
    assert go("denoise", tmp_path / "y.png", tmp_path / "out.png", *FAST) == 0
    assert "noise is correlated with its neighbours (0." in capsys.readouterr().err
    found = record(tmp_path / "out.png")["noise_found"]
    assert found["correlated"] is True
    assert found["sigma"] > 0.058 > 2 * found["white"]
    truth = (x * 255).transpose(1, 2, 0)
    assert rms(tmp_path / "out.png", truth) < 0.8 * rms(tmp_path / "y.png", truth)


def test_salt_and_pepper_is_painted_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    hit = rng.random(COLOUR.shape) < 0.05
    y = np.where(hit, rng.random(COLOUR.shape) < 0.5, COLOUR + rng.normal(0, 0.02, COLOUR.shape)).clip(0, 1)
    Image.fromarray((y * 255).round().astype(np.uint8).transpose(1, 2, 0)).save(tmp_path / "y.png")
    assert go("denoise", tmp_path / "y.png", tmp_path / "out.png", *FAST) == 0
    assert "are impulses" in capsys.readouterr().err
    held = record(tmp_path / "out.png")["noise_found"]
    assert 0.02 < held["impulses"] < 0.06
    truth = (COLOUR * 255).transpose(1, 2, 0)
    assert rms(tmp_path / "out.png", truth) < 0.35 * rms(tmp_path / "y.png", truth)


def test_no_noise_to_be_measured_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y = np.full((64, 64), 255, np.uint8)
    y[:6, :6] = np.random.default_rng(0).integers(60, 200, (6, 6))
    Image.fromarray(y).save(tmp_path / "y.png")
    assert go("denoise", tmp_path / "y.png", tmp_path / "out.png", *FAST) != 0
    said = capsys.readouterr().err
    assert "no noise can be measured" in said
    assert "--noise gaussian:" in said
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("size", [11, 14])
def test_a_clean_page_of_text_is_not_taken_for_noise(
    size: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Image.new("RGB", (128, 128), "white")
    draw = ImageDraw.Draw(page)
    for top in range(4, 120, 18):
        draw.text((4, top), f"Invoice 2026-11, {top * 37}", fill=(20, 20, 20), font=ImageFont.load_default(size))
    page.save(tmp_path / "y.png")
    assert go("denoise", tmp_path / "y.png", tmp_path / "x.png", *FAST) == 0
    assert "impulses" not in capsys.readouterr().err
    assert rms(tmp_path / "x.png", np.asarray(page, float)) < 1.5  # of 255


def blurred_in_light(photo: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Values of the file (H, W, 3) of light (H, W, 3) behind a lens, with the noise of photons, 0.01 at white."""
    light = ndimage.convolve(SRGB().decode(photo), kernel[..., None], mode="reflect")
    noise = np.random.default_rng(0).standard_normal(light.shape) * np.sqrt(1e-4 * light + 1e-6)
    return np.rint(255 * SRGB().encode(light + noise).clip(0, 1)).astype(np.uint8)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_blurred_photograph_with_the_noise_of_photons_gains(suffix: str, tmp_path: Path) -> None:
    photo, kernel = skimage.data.coffee()[120:216, 220:316] / 255.0, np.full((1, 9), 1 / 9)
    np.save(tmp_path / "k.npy", kernel)
    y = blurred_in_light(photo, kernel)
    Image.fromarray(y).save(tmp_path / f"y.{suffix}", quality=90)
    assert go("deblur", tmp_path / f"y.{suffix}", tmp_path / "x.png", "--kernel", tmp_path / "k.npy", *FAST) == 0
    held = np.asarray(Image.open(tmp_path / f"y.{suffix}"))
    assert rms(tmp_path / "x.png", 255 * photo) < 0.75 * np.sqrt(np.square(held - 255 * photo).mean())


def test_a_dark_photograph_is_decoded_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray((skimage.data.camera()[100:164, 180:244] * 0.24).astype(np.uint8)).save(tmp_path / "y.png")
    assert go("deblur", tmp_path / "y.png", tmp_path / "x.png", "--kernel", "gaussian:1", "--steps", 1, *FAST) == 0
    assert "linear light" in capsys.readouterr().err
    assert record(tmp_path / "x.png")["range"] == [0, 255]


def test_what_a_jpeg_lost_by_rounding_is_taken_out_and_not_called_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smooth = np.rint(255 * ndimage.gaussian_filter(COLOUR, (0, 6, 6))).astype(np.uint8)
    Image.fromarray(np.moveaxis(smooth, 0, -1)).save(tmp_path / "y.jpg", quality=80)
    lost = float(
        np.sqrt(np.square(np.asarray(Image.open(tmp_path / "y.jpg")) - np.moveaxis(smooth, 0, -1).astype(float)).mean())
    )
    assert go("denoise", tmp_path / "y.jpg", tmp_path / "x.png", *FAST) == 0
    assert "chosen for what y.jpg lost by its JPEG rounding; the noise in it is no more, and not measured" in (
        capsys.readouterr().err
    )
    assert record(tmp_path / "x.png")["noise_found"]["jpeg_rounding"] is True
    assert rms(tmp_path / "x.png", np.moveaxis(smooth, 0, -1)) < lost


def sensor(tmp_path: Path, gain: float, read: float) -> np.ndarray:
    """The truth, in counts of 255; the measurement is in y.png."""
    x = np.moveaxis(skimage.data.astronaut()[:160, 150:310], -1, 0) / 255.0
    rng = np.random.default_rng(0)
    y = (gain * rng.poisson(x / gain) + read * rng.standard_normal(x.shape)).clip(0, 1)
    Image.fromarray((y * 255).round().astype(np.uint8).transpose(1, 2, 0)).save(tmp_path / "y.png")
    return 255 * x.transpose(1, 2, 0)


def test_noise_that_grows_with_brightness_is_taken_out_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = sensor(tmp_path, 0.02, 0.01)
    y, out, flat = (tmp_path / name for name in ("y.png", "out.png", "flat.png"))
    assert go("denoise", y, out, *FAST) == 0
    said = capsys.readouterr().err
    assert "noise: poisson-gaussian:0.0" in said
    assert "measured in y.png" in said
    found = record(out)
    assert found["noise"].startswith("poisson-gaussian:0.0")
    assert found["noise_found"]["sensor"]["gain"] == pytest.approx(0.02, rel=0.3)
    assert go("denoise", y, flat, *FAST, "--noise", f"gaussian:{found['noise_found']['sigma']:.4f}") == 0
    assert rms(out, truth) < rms(flat, truth)
    assert go("denoise", y, tmp_path / "told.png", *FAST, "--noise", "poisson-gaussian:0.02,0.01") == 0
    assert rms(out, truth) < 1.04 * rms(tmp_path / "told.png", truth)


def test_strength_leaves_a_share_of_the_noise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sensor(tmp_path, 0.02, 0.01)
    y, whole, some = (tmp_path / name for name in ("y.png", "whole.png", "some.png"))
    assert go("denoise", y, whole, *FAST) == 0
    assert go("denoise", y, some, *FAST, "--strength", "0.4") == 0
    a, b, c = (np.asarray(Image.open(p)).astype(float) for p in (y, whole, some))
    np.testing.assert_allclose(c, a + 0.4 * (b - a), atol=1.01)  # rounded twice
    assert record(some)["strength"] == 0.4
    assert record(some)["noise"] == record(whole)["noise"]
    capsys.readouterr()
    for words in (
        ("--strength", "0"),
        ("--strength", "1.2"),
        ("--strength", "nan"),
        ("--strength", "0.5", "--samples", 2),
    ):
        assert go("denoise", y, tmp_path / "no.png", *FAST, *words) != 0
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "no.png").exists()


@pytest.mark.parametrize(
    "text", ["poisson-gaussian:0,0.1", "poisson-gaussian:0.1,-1", "poisson-gaussian:0.01", "poisson-gaussian:5,1", "grain:0.1", "grain:0,1", "grain:0.1,99"],
)  # fmt: skip
def test_laws_that_cannot_be_are_refused_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    Image.fromarray((255 * CAMERA).astype(np.uint8)).save(tmp_path / "y.png")
    assert go("denoise", tmp_path / "y.png", tmp_path / "out.png", "--noise", text, *FAST) != 0
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    assert text.partition(":")[0] in said
    assert not (tmp_path / "out.png").exists()
