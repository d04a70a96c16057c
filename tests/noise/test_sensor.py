"""Gain and read noise, and the spectrum of grain, measured in fields and photographs whose noise is known."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from scipy import ndimage

from restorekit.noise.blocks import jpeg_grid
from restorekit.noise.level import NoiseLevel
from restorekit.noise.sensor import SensorFit, SensorNoise
from tests.noise.test_noise import PHOTOS, eight, jpeg, noisy, photo

SIZE = (3, 192, 192)
RAMP = np.broadcast_to(np.linspace(0.05, 0.9, 192), SIZE)
ALL = np.ones(SIZE, bool)


def counts(x: np.ndarray, gain: float, read: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return gain * rng.poisson(x / gain) + read * rng.standard_normal(x.shape)


@pytest.mark.parametrize(("gain", "read"), [(0.005, 0.01), (0.002, 0.03), (0.01, 0.002)])
def test_gain_and_read_noise_of_a_ramp_lie_within_their_errors(gain: float, read: float) -> None:
    found = [SensorFit()(counts(RAMP, gain, read, seed), ALL) for seed in range(4)]
    off = [
        ((f.gain - gain) / f.gain_error, (f.read**2 - read**2) / max(f.floor_error, 1e-12))
        for f in found
        if f is not None
    ]
    assert len(off) == 4
    assert np.abs(off).max() < 3
    assert np.sqrt(np.square(off).mean(0)).max() < 1.7
    assert all(f is not None and f.grows and f.gain_error < 0.5 * f.gain for f in found)


@pytest.mark.parametrize("name", PHOTOS)
def test_gain_of_a_photograph_lies_within_its_error(name: str) -> None:
    found = NoiseLevel()(eight(counts(photo(name), 0.006, 0.01))).sensor
    assert found is not None
    assert abs(found.gain - 0.006) < 3 * found.gain_error
    assert found.gain_error < 0.004
    thirds = np.quantile(photo(name), [1 / 6, 1 / 2, 5 / 6])
    np.testing.assert_allclose(found.at(thirds), np.sqrt(0.006 * thirds + 1e-4), rtol=0.2)


@pytest.mark.parametrize("name", PHOTOS)
def test_white_noise_does_not_grow_with_brightness(name: str) -> None:
    for sigma in (0.03, 0.1):
        assert not NoiseLevel()(eight(noisy(photo(name), sigma))).grows


def test_what_grows_is_said_with_its_error() -> None:
    found = NoiseLevel()(eight(counts(photo("coffee"), 0.02, 0.01)))
    assert found.grows
    assert any("grows with brightness: variance 0.0" in note and "+-" in note for note in found.notes)
    assert found.record()["sensor"]["grows"] is True


def test_the_unit_does_not_matter() -> None:
    y = counts(0.6 * RAMP, 0.005, 0.01)  # nothing near white, whose place is another then
    one, half = SensorFit()(y, ALL), SensorFit()(0.5 * y, ALL)
    assert one is not None
    assert half is not None
    assert half.gain == pytest.approx(0.5 * one.gain, rel=1e-3)
    assert half.read == pytest.approx(0.5 * one.read, rel=1e-2)


def test_too_few_blocks_tell_nothing() -> None:
    assert SensorFit()(RAMP[:, :12, :12], ALL[:, :12, :12]) is None
    assert SensorFit()(RAMP, ~ALL) is None
    assert SensorFit()(RAMP[:, :4, :4], ALL[:, :4, :4]) is None


@pytest.mark.parametrize("width", [0.7, 1.0, 1.4])
@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_the_spectrum_of_grain_is_that_of_the_blur(name: str, width: float) -> None:
    found = NoiseLevel()(eight(noisy(photo(name), 0.05, width)))
    assert found.covariance is not None
    assert found.grain == pytest.approx(0.05, rel=0.15)
    middle = found.covariance.shape[0] // 2
    beside = found.covariance[middle] / found.covariance[middle, middle]
    for distance in (1, 2, 3):
        assert beside[middle + distance] == pytest.approx(np.exp(-(distance**2) / (4 * width**2)), abs=0.1)
    np.testing.assert_allclose(found.covariance, found.covariance[::-1, ::-1], atol=1e-9)


def test_white_noise_and_jpeg_have_no_covariance() -> None:
    assert NoiseLevel()(eight(noisy(photo(), 0.05))).covariance is None
    grained = noisy(photo("chelsea"), 0.03, 1.0)
    assert jpeg_grid(jpeg(grained, 60))
    assert not jpeg_grid(eight(grained))
    assert not jpeg_grid(eight(photo()))


def test_a_picture_of_which_little_tells_is_not_sure() -> None:
    y = eight(noisy(photo(), 0.05))
    known = np.zeros((1, 256, 256), bool)
    known[:, ::9] = known[:, 1::9] = True  # strips of two rows
    found = NoiseLevel()(y, known)
    assert not found.sure
    assert found.sigma == pytest.approx(0.05, rel=0.2)


def test_impulses_on_sensor_noise_do_not_raise_it() -> None:
    x = np.moveaxis(skimage.data.astronaut()[:192, 150:342], -1, 0) / 255.0
    rng = np.random.default_rng(0)
    hit = rng.random(x.shape) < 0.03
    y = eight(np.where(hit, rng.random(x.shape) < 0.5, noisy(x, 0.03)))
    assert NoiseLevel()(y).white == pytest.approx(0.03, rel=0.15)


def test_a_gradient_is_no_noise() -> None:
    ramp = ndimage.gaussian_filter(RAMP, (0, 3, 3))
    found = SensorFit()(ramp + 0.01 * np.random.default_rng(0).standard_normal(SIZE), ALL)
    assert found is not None
    assert found.level == pytest.approx(0.01, rel=0.05)


def of_blocks(deviations: np.ndarray, grows: bool) -> SensorNoise:
    return SensorNoise(0.0, 0.02, 1e-4, 1e-4, 0.02, grows, BRIGHTNESS, deviations)


BRIGHTNESS = np.linspace(0.1, 0.9, 8)


def test_texture_that_a_prior_knows_is_no_gain() -> None:
    fooled = of_blocks(np.where(BRIGHTNESS > 0.5, 0.03, 0.02), grows=True)
    found = SensorFit().agreed(fooled, BRIGHTNESS, np.full(8, 0.0203))
    assert not found.grows
    assert found.level == pytest.approx(0.0203, rel=1e-3)


@pytest.mark.parametrize("shown", [False, True])
def test_a_gain_is_found_from_dark_to_bright_with_an_error_that_holds_it(shown: bool) -> None:
    rng = np.random.default_rng(0)
    seen = np.sqrt(0.005 * BRIGHTNESS + 0.01**2) * (1 + 0.03 * rng.standard_normal(8))
    found = SensorFit().agreed(of_blocks(1.3 * seen, shown), BRIGHTNESS, seen)
    assert found.grows
    assert abs(found.gain - 0.005) < 2 * found.gain_error < 0.005
    assert abs(found.read**2 - 0.01**2) < 2 * found.floor_error
    assert found.at(np.array([0.1, 0.9])) == pytest.approx(np.sqrt(0.005 * np.array([0.1, 0.9]) + 1e-4), rel=0.1)


def test_of_a_picture_that_the_prior_does_not_know_flat_blocks_tell() -> None:
    deviations = np.sqrt(0.005 * BRIGHTNESS + 0.01**2)
    sure = of_blocks(deviations, grows=True)
    assert SensorFit().agreed(sure, BRIGHTNESS, 1.4 * deviations) is sure
    even = SensorFit().agreed(of_blocks(np.full(8, 0.02), False), BRIGHTNESS, np.linspace(0.026, 0.04, 8))
    assert not even.grows
    assert even.level == pytest.approx(0.02, rel=1e-6)
