"""Screens and weaves are told from noise by the lines of their spectrum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from torch import Tensor

from restorekit.noise.evidence import HALF, Seen
from restorekit.noise.jpeg_spectrum import BeforeJPEG
from restorekit.noise.judgement import SCREEN, asked, judged
from restorekit.noise.level import Noise
from restorekit.noise.periodic import Periodic

FLOOR = 0.002
ROW, COLUMN = np.mgrid[:96, :96]


def smooth(x: Tensor, sigma: float | Tensor, /) -> Tensor:
    """The prior of flat pictures."""
    return x.mean((-2, -1), keepdim=True).expand_as(x)


def weave(period: float = 4.3) -> np.ndarray:
    return 0.5 + 0.15 * np.sin(2 * np.pi * COLUMN / period) + 0.1 * np.sin(2 * np.pi * ROW / 3.9)


def unsure(sigma: float, right: float = 0.53, below: float = 0.61) -> Noise:
    """What flat blocks show, that neighbours do not surely share."""
    return Noise(sigma, sigma, right, below, False, 0.0, False, np.zeros((3, 96, 96), bool))


@pytest.mark.parametrize("width", [0.0, 1.0])
def test_noise_has_no_lines(width: float) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((96, 96)), width, mode="wrap")
    assert Periodic()(noise) < 0.05
    assert Periodic()(weave() + 0.03 * noise / noise.std()) > SCREEN


def test_a_picture_without_a_tile_or_without_detail_has_no_lines() -> None:
    assert Periodic()(weave()[:20]) == 0
    assert Periodic()(np.full((64, 64), 0.5)) == 0


def test_lines_that_the_prior_does_not_know_are_no_noise() -> None:
    """A halftone with white noise: blocks and grey read the dots, all bands the noise."""
    seen = Seen(0.017, 0.09, 1.07 * HALF, 0.669, 0.0, 1.3, 0.73)
    found = judged(unsure(0.076, 0.0, 0.0), seen, 0.0, FLOOR)
    assert found.sigma == 0.017
    assert not found.correlated
    assert judged(unsure(0.076, 0.0, 0.0), seen._replace(lines=0.1), 0.0, FLOOR).sigma > 0.05


def test_lines_are_no_white_noise_before_a_jpeg() -> None:
    before = BeforeJPEG((0.1518, 0.1518, 0.1428, 0.1266, 0.1191, 0.1121), True)
    assert before.white
    seen = Seen(0.0, 0.09, 1.07 * HALF, 0.669, 0.0, 0.6, 0.73)
    assert judged(unsure(0.026), seen, 0.0076, FLOOR, before).floor
    assert judged(unsure(0.026), seen._replace(lines=0.1), 0.0076, FLOOR, before).white_before


def test_a_weave_of_colours_keeps_them() -> None:
    """Bands read what grey does not, and the middle block nothing."""
    seen = Seen(0.0107, 0.0022, 0.0034, 0.669, 0.0, 1.67, 0.84)
    found = judged(unsure(0.0203), seen, 0.0, FLOOR)
    assert found.floor
    assert found.white == 0.0107
    assert judged(unsure(0.0203), seen._replace(lines=0.1), 0.0, FLOOR).sigma == 0.0107
    assert judged(unsure(0.0203), seen._replace(bands=0.0036, grey=0.0), 0.0, FLOOR).sigma == 0.0036  # grey is too weak
    assert judged(unsure(0.0203), seen._replace(bands=0.01, grey=0.00669), 0.0, FLOOR).sigma == pytest.approx(0.01)


@pytest.mark.parametrize(("lost", "bands", "grey"), [(0.0, 0.0023, 0.0), (0.0076, 0.0, 0.0023), (0.038, 0.0, 0.0023)])
def test_a_picture_of_many_colours_is_no_coloured_noise(lost: float, bands: float, grey: float) -> None:
    """A comic, clean: what a prior takes out of it is as coloured as noise, here and there, and weak."""
    seen = Seen(bands, grey, 0.0064, 0.669, 0.26, 1.44)
    assert judged(unsure(0.0086), seen, lost, FLOOR).sigma == pytest.approx(max(bands, FLOOR))
    everywhere = judged(unsure(0.0086), seen._replace(even=0.8), lost, FLOOR)
    assert everywhere.sigma > 0.015


def test_what_an_unknown_picture_measures_is_kept_beside_what_is_taken_out() -> None:
    seen = Seen(0.0226, 0.0043, 0.0194, 0.669, 0.37, 1.46)
    found = judged(unsure(0.0112, 0.35, 0.4), seen, 0.0, FLOOR)
    assert found.white == pytest.approx(0.0112**2 / 0.0226)
    assert found.sigma == FLOOR
    assert any("less is taken out" in note for note in found.notes)


def test_dots_of_a_screen_are_no_impulses() -> None:
    """None of them is at an end of the range, as salt and pepper are."""
    x = np.repeat(0.5 + 0.05 * np.sin(2 * np.pi * COLUMN / 4.3)[None], 3, 0).astype(np.float32)
    at = np.random.default_rng(0).random(x.shape) < 0.002

    def of(value: float) -> float:
        found = replace(unsure(0.01), impulses=at)
        return asked(found, np.where(at, value, x), None, lambda bands: smooth, 0.0, FLOOR).share

    assert of(0.97) == 0
    assert of(1.0) > 0
