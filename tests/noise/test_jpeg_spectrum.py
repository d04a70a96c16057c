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


def test_noise_that_neighbours_share_is_as_strong_in_half_of_the_blocks_as_in_the_flattest(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.linspace(0.2, 0.8, 256), (3, 256, 256))
    z = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((1, 256, 256)), (0, 1, 1))
    noise = 0.015 * z / z.std()
    camera, clean = (JPEGSpectrum()(stored(x, tmp_path, 85)) for x in (ramp + noise, photo("coffee")))
    texture = JPEGSpectrum()(stored(ramp + noise * np.linspace(0, 3, 256)[:, None], tmp_path, 85))
    assert camera is not None
    assert clean is not None
    assert texture is not None
    assert camera.shared
    assert camera.even == pytest.approx(1.0, abs=0.1)
    assert not clean.shared
    assert not texture.shared
    assert not replace(camera, rings=(0.06, 0.05, 0.04, 0.03, 0.02, 0.01)).shared  # rough texture


def test_noise_in_every_block_is_a_cameras_though_flat_blocks_have_lost_it() -> None:
    quantised = replace(NoiseLevel()(eight(noisy(photo(), 0.03))), sigma=0.02, white=0.001, sensor=None)
    seen, before = Seen(0.0, 0.0, 0.004, SHARE, 0.3, 0.4), BeforeJPEG((0.015, 0.01, *[np.nan] * 4), True, 1.1)
    kept = judged(quantised, seen, 0.038, FLOOR, before)
    assert kept.correlated
    assert kept.camera
    assert 0.03 < kept.sigma < 0.045
    for other, level in ((replace(before, even=1.5), 0.004), (before, 0.002)):
        assert not judged(quantised, seen._replace(half=level), 0.038, FLOOR, other).correlated
    by_prior = judged(quantised, seen._replace(even=0.7), 0.038, FLOOR, replace(before, even=np.nan))
    assert by_prior.sigma == kept.sigma  # as a prior sees it in every part


def test_white_noise_that_coefficients_do_not_show_is_doubted() -> None:
    """Grass in a fine JPEG: flat blocks and a prior agree on it, and coarse coefficients are stronger than fine ones."""
    found = replace(NoiseLevel()(eight(noisy(photo(), 0.02))), sigma=0.02, white=0.02, correlated=False, sensor=None)
    seen, before = Seen(0.0195, 0.0195, 0.02, 1.0, 0.4), BeforeJPEG((0.12, 0.07, 0.06, 0.045, 0.035, 0.03))
    less = judged(found, seen, 0.0076, FLOOR, before)
    assert less.sigma == pytest.approx(0.012)
    assert any("less is taken out" in note for note in less.notes)
    assert judged(found, seen, 0.0, FLOOR, before).sigma == 0.02
