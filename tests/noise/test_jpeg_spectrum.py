"""The noise before a JPEG, by the coefficients of the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from restorekit.files.jpeg_file import StoredJPEG, read_jpeg
from restorekit.noise.evidence import LUMA, Seen
from restorekit.noise.jpeg_spectrum import BeforeJPEG, JPEGSpectrum
from restorekit.noise.judgement import judged
from restorekit.noise.level import NoiseLevel
from tests.noise.test_noise import eight, noisy, photo

SHARE = float(np.sqrt(np.square(LUMA).sum()))  # deviation of luma over that of a band, of white noise
FLOOR = 0.002


def stored(x: np.ndarray, folder: Path, quality: int, **settings: Any) -> StoredJPEG:
    pixels = (eight(x) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    Image.fromarray(pixels).save(folder / "y.jpg", quality=quality, **settings)
    return read_jpeg(folder / "y.jpg")


@pytest.mark.parametrize("name", ["astronaut", "coffee", "rocket"])
@pytest.mark.parametrize(("sigma", "quality"), [(0.03, 85), (0.06, 75), (0.06, 85)])
def test_white_noise_before_a_jpeg_is_measured_whatever_its_steps(
    name: str, sigma: float, quality: int, tmp_path: Path
) -> None:
    found = JPEGSpectrum()(stored(noisy(photo(name), sigma), tmp_path, quality))
    assert found is not None
    assert found.white
    assert found.halved
    assert found.finest == pytest.approx(SHARE * sigma, rel=0.15)


@pytest.mark.parametrize("name", ["astronaut", "coffee", "rocket", "chelsea"])
def test_neither_clean_pictures_nor_noise_that_neighbours_share_are_white(name: str, tmp_path: Path) -> None:
    z = np.random.default_rng(0).standard_normal((3, 256, 256))
    shared = photo(name) + 0.06 * ndimage.gaussian_filter(z, (0, 0.6, 0.6)) / 0.4
    for x in (photo(name), shared):
        for quality in (75, 85):
            found = JPEGSpectrum()(stored(x, tmp_path, quality))
            assert found is not None
            assert not found.white


def test_what_does_not_tell_is_said(tmp_path: Path) -> None:
    flat = stored(np.full((3, 128, 128), 0.5), tmp_path, 85)
    nothing = JPEGSpectrum()(flat)
    assert nothing is not None
    assert np.isnan([nothing.finest, nothing.fall, nothing.end]).all()
    assert not nothing.white
    assert JPEGSpectrum()(stored(photo()[:, :32, :32], tmp_path, 85)) is None  # 16 blocks
    fine = replace(flat, exact=False, steps=tuple(np.ones((8, 8)) for _ in flat.steps))
    assert JPEGSpectrum()(fine) is None  # whose bins decoded pixels do not tell


def test_the_level_is_the_lesser_of_what_coefficients_and_a_prior_show() -> None:
    found, before = NoiseLevel()(eight(noisy(photo(), 0.03))), BeforeJPEG((0.05,) * 6)
    for half, level in ((0.03, 0.05), (0.02, 0.04)):  # the mean of four pixels of white noise has half of it
        white = judged(found, Seen(0.0, 0.0, half, SHARE), 0.03, FLOOR, before)
        assert white.white_before
        assert white.sigma == pytest.approx(level / SHARE)
        coarse = judged(found, Seen(0.0, 0.0, half, SHARE), 0.03, FLOOR, replace(before, halved=True))
        assert coarse.sigma > white.sigma  # what a JPEG leaves of colour is coarse
    for unlike in (replace(before, rings=(0.05, 0.04, 0.03, 0.02, 0.02, 0.01)), None):
        assert not judged(found, Seen(0.0, 0.0, 0.03, SHARE), 0.03, FLOOR, unlike).white_before
    assert not judged(found, Seen(0.0, 0.0, 0.01, SHARE), 0.03, FLOOR, before).white_before  # texture to the prior
