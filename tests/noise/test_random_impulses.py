"""Impulses of any value are told from texture, letters and noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from restorekit.noise.impulses import Impulses
from restorekit.noise.random_impulses import RandomImpulses
from tests.noise.test_noise import eight, photo


def struck(x: np.ndarray, share: float, sigma: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """The picture with values at random in place of a share of its own, and where they differ by 0.15 and more."""
    rng = np.random.default_rng(0)
    hit, value = rng.random(x.shape) < share, rng.random(x.shape)
    y = eight(np.where(hit, value, x + sigma * rng.standard_normal(x.shape)))
    return y, hit & (np.abs(value - x) > 0.15)


@pytest.mark.parametrize("bands", [1, 3])
def test_values_at_random_are_found(bands: int) -> None:
    y, hit = struck(photo("chelsea", 128)[:bands], 0.05)
    found = Impulses()(y)
    assert found[hit].mean() > 0.6
    assert found[~hit].mean() < 0.005


def test_none_are_found_in_clean_blurred_and_noisy_pictures() -> None:
    rng = np.random.default_rng(0)
    for name in ("astronaut", "coffee"):
        x = photo(name, 128)
        for y in (x, ndimage.gaussian_filter(x, (0, 2, 2)), x + 0.05 * rng.standard_normal(x.shape)):
            assert not RandomImpulses()(eight(y), np.ones(x.shape, bool)).any()


def test_specks_of_all_bands_and_specks_of_rough_places_are_the_picture() -> None:
    rng = np.random.default_rng(0)
    known = np.ones((3, 96, 96), bool)
    stars = np.where(rng.random((1, 96, 96)) < 0.02, 0.9, 0.2) + 0.005 * rng.standard_normal((3, 96, 96))
    assert not RandomImpulses()(stars, known).any()
    assert RandomImpulses()(stars[:1], known[:1]).any()  # one band cannot tell them
    rough = 0.5 + 0.005 * rng.standard_normal((3, 96, 96))
    specks = rng.random((3, 96, 40)) < 0.05
    rough[:, :, :40] += 0.03 * rng.standard_normal((3, 96, 40)) + 0.4 * specks
    assert not RandomImpulses()(rough, known).any()


def test_values_that_were_not_measured_are_none() -> None:
    y, hit = struck(photo("chelsea", 128), 0.05)
    known = np.ones(y.shape, bool)
    known[:, :64] = False
    found = RandomImpulses()(y, known)
    assert not found[:, :64].any()
    assert found[:, 64:][hit[:, 64:]].mean() > 0.5
