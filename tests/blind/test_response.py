"""Whether light was blurred or the values of a file: told by how well either explains it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from skimage import data

import restorekit as rk
from restorekit.blind.families import disc, motion
from restorekit.blind.response import favours_values
from restorekit.files.curves import CURVES, SRGB, Linear
from restorekit.notes import Notes

Array = np.ndarray
SURELY = 0.01
KERNELS = {"disc": disc(3.0), "motion": motion(11.0, 30.0)}
PICTURES = {"chelsea": data.chelsea()[60:170, 90:200], "coffee": data.coffee()[150:260, 200:310]}


def blurred(picture: str, kernel: str, light: bool, times: float = 1.0) -> Array:
    """Return (3, 96, 96), 8-bit values, noise of 0.004 in light or of 0.01 in values."""
    x, curve = np.moveaxis(PICTURES[picture], -1, 0) / 255, SRGB()
    scene = times * (curve.decode(x) if light else x)
    y = np.stack([ndimage.convolve(band, KERNELS[kernel], mode="reflect") for band in scene])[:, 7:103, 7:103]
    y = y + (0.004 if light else 0.01) * np.random.default_rng(3).standard_normal(y.shape)
    return np.rint(255 * (curve.encode(y) if light else y).clip(0, 1)) / 255


def evidence(y: Array, kernel: str, curve: str = "srgb") -> float:
    told = torch.from_numpy((y > 0) & (y < 1))[None]
    return favours_values(torch.from_numpy(y)[None], torch.from_numpy(KERNELS[kernel]), CURVES[curve], told)


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_it_tells_light_from_values(picture: str, kernel: str) -> None:
    assert evidence(blurred(picture, kernel, light=False), kernel) > SURELY
    assert evidence(blurred(picture, kernel, light=True), kernel) <= 0


def test_clipped_values_do_not_mislead_it() -> None:
    for light in (True, False):
        y = blurred("chelsea", "motion", light, times=3.0 if light else 1.6)
        assert 0.02 < float((y == 1).mean()) < 0.4
        assert (evidence(y, "motion") > SURELY) is not light


def test_a_picture_that_was_not_blurred_by_the_kernel_says_nothing() -> None:
    y = np.moveaxis(PICTURES["chelsea"], -1, 0) / 255
    told = torch.from_numpy((y > 0) & (y < 1))[None]
    assert favours_values(torch.from_numpy(y)[None], torch.ones(7, 7) / 49, SRGB(), told) <= 0


def test_a_straight_curve_makes_no_difference() -> None:
    y = blurred("chelsea", "disc", light=False)
    told = torch.ones(1, 3, 96, 96)
    kernel = torch.from_numpy(KERNELS["disc"])
    assert favours_values(torch.from_numpy(y)[None], kernel, Linear(), told) == pytest.approx(0, abs=2e-3)


def test_a_file_blurred_in_values_is_restored_in_them_and_that_is_said(tmp_path: Path) -> None:
    y = tmp_path / "y.png"
    Image.fromarray((255 * blurred("coffee", "disc", light=False)).round().astype(np.uint8).transpose(1, 2, 0)).save(y)
    results = {}
    truth = PICTURES["coffee"][7:103, 7:103].transpose(2, 0, 1) / 255
    for way in ("auto", "linear", "srgb"):
        notes = Notes()
        found = rk.deblur(y, KERNELS["disc"], prior="natural-fast", steps=3, transfer=way, notes=notes)
        results[way] = rk.psnr(found.mean.clamp(0, 1).numpy(), truth)
        assert any("fits these values better" in text for text in notes.texts) is (way == "auto")
    assert results["auto"] == pytest.approx(results["linear"], abs=1e-6)
    assert results["auto"] > results["srgb"] + 1
