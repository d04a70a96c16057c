"""The level of noise by the evidence of a prior, beside priors whose evidence is known, and what follows from it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.ndimage import gaussian_filter
from torch import Tensor

from restorekit.files.transfer import SRGB
from restorekit.inference.denoiser import Denoiser
from restorekit.noise.evidence import Evidence, Seen
from restorekit.noise.impulses import Impulses
from restorekit.noise.judgement import asked, judged
from restorekit.noise.level import Noise, NoiseLevel
from restorekit.noise.verified import Verified
from tests.noise.test_noise import eight, noisy, photo
from tests.noise.test_sensor import counts

SIZE = (3, 96, 96)
FLOOR = 0.002


def gaussian(spread: float) -> Denoiser:
    """The prior of independent values of N(1/2, spread^2)."""

    def denoise(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        return (spread**2 * x + 0.5 * sigma**2) / (spread**2 + sigma**2)

    return denoise


def drawn(spread: float, sigma: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    x, noise = (rng.standard_normal(SIZE) for _ in range(2))
    return (0.5 + spread * x + sigma * noise).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.01, 0.03, 0.08])
def test_the_level_is_the_most_likely_one(sigma: float) -> None:
    """The variance of the values is spread^2 + s^2 at the level s that makes them likely."""
    y = drawn(0.02, sigma)
    told = np.ones(SIZE, bool)
    likely = math.sqrt(float(np.square(y - 0.5).mean()) - 0.02**2)
    found = Evidence(quantile=0.0, step=1.1)(y, told, gaussian(0.02), 0.2)
    assert found == pytest.approx(likely, rel=0.02)
    assert 0.8 * likely < Evidence()(y, told, gaussian(0.02), 0.2) < 1.01 * likely  # of a low quantile


def test_texture_of_the_prior_is_no_noise() -> None:
    assert Evidence(quantile=0.0)(drawn(0.05, 0.0), np.ones(SIZE, bool), gaussian(0.051), 0.2) == 0


def test_values_that_do_not_tell_do_not_count() -> None:
    y, told = drawn(0.02, 0.03), np.ones(SIZE, bool)
    before = Evidence()(y, told, gaussian(0.02), 0.2)
    told[:, :40] = False
    y[:, :40] = 0
    assert Evidence()(y, told, gaussian(0.02), 0.2) == pytest.approx(before, rel=0.1)
    assert math.isnan(Evidence()(y, np.zeros(SIZE, bool), gaussian(0.02), 0.2))
    assert math.isnan(Evidence()(y[:, :12], told[:, :12], gaussian(0.02), 0.2))


def test_a_large_picture_is_seen_in_windows() -> None:
    sizes = []

    def denoise(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        sizes.append(x.numel() // 2 // 3)
        return gaussian(0.02)(x, sigma)

    y = np.tile(drawn(0.02, 0.03), (1, 6, 6))
    assert Evidence()(y, np.ones(y.shape, bool), denoise, 0.1) == pytest.approx(0.03, rel=0.15)
    assert max(sizes) <= Evidence.most


def found_white() -> Noise:
    return NoiseLevel()(eight(noisy(photo("coffee", 128), 0.02)))


def test_what_the_prior_knows_for_texture_is_no_noise() -> None:
    found = judged(found_white(), Seen(0.0, 0.0, 0.0, 0.67), 0.0, FLOOR)
    assert found.floor
    assert found.sigma == FLOOR
    assert not found.correlated


def test_a_level_that_both_find_stays() -> None:
    found = found_white()
    assert judged(found, Seen(0.97 * found.white, 0.013, 0.0065, 0.67), 0.0, FLOOR).sigma == found.sigma


def test_where_the_prior_does_not_know_the_picture_both_levels_are_too_high() -> None:
    found = found_white()
    assert judged(found, Seen(1.5 * found.white, 0.0, 0.02, 0.67), 0.0, FLOOR).sigma == pytest.approx(
        found.white / 1.5**4
    )


def test_noise_at_half_size_alone_is_shared_by_neighbours() -> None:
    found = replace(found_white(), correlated=True)
    shared = judged(found, Seen(0.0, 0.0, 0.006, 0.67), 0.0, FLOOR)
    assert shared.correlated
    assert shared.camera
    assert 0.03 < shared.sigma < 0.06
    rounded = judged(found, Seen(0.0, 0.0, 0.006, 0.67), 0.03, FLOOR)  # by a coarse JPEG
    assert not rounded.correlated
    assert rounded.sigma < shared.sigma
    # A JPEG that took as much as the noise has none that is white in grey, and is no clean picture.
    rough = judged(found_white(), Seen(0.0, 0.011, 0.0175, 0.67), 0.0228, FLOOR)
    assert not rough.floor
    unseen = judged(found, Seen(0.0, 0.0, math.nan, 0.67), 0.0, FLOOR)
    assert unseen.correlated


def test_noise_of_a_camera_in_a_jpeg_is_drawn_to_the_usual_level() -> None:
    """Where flat blocks and the prior agree on it; where they hardly do, less is taken out, as of a clean picture."""
    camera = replace(found_white(), sigma=0.045, white=0.001, correlated=True, camera=True, sensor=None)
    clear = judged(camera, Seen(0.0, 0.0, 0.008, 0.67), 0.038, FLOOR)
    assert clear.camera
    assert clear.correlated
    assert 0.045 < clear.sigma < (7.5 * 0.008 * 0.045) ** 0.5
    faint = judged(camera, Seen(0.0, 0.0, 0.0029, 0.67), 0.038, FLOOR)
    assert not faint.correlated
    assert faint.sigma == pytest.approx(0.6 * (7.5 * 0.0029 * 0.045) ** 0.5)
    coarse = judged(camera, Seen(0.0, 0.0, 0.008, 0.67), 0.076, FLOOR)
    assert not coarse.correlated  # letters ring as strongly after such rounding
    assert clear.of_jpeg(0.038).sigma == clear.sigma  # what was rounded is in it
    assert faint.of_jpeg(0.038).before == faint.sigma < faint.of_jpeg(0.038).sigma


@pytest.mark.parametrize("tinted", [True, False])
def test_strong_noise_that_a_jpeg_smoothed_is_taken_for_it_where_no_texture_looks_so(tinted: bool) -> None:
    found = judged(replace(found_white(), tinted=tinted), Seen(0.0, 0.0, 0.0215, 0.67), 0.023, FLOOR)
    assert found.sigma == pytest.approx(0.08 if tinted else 0.03)


def test_gain_and_read_noise_are_scaled_by_the_evidence() -> None:
    """Half of the level: a quarter of the gain. What is even behind the transform keeps its law."""
    y = eight(counts(np.broadcast_to(np.linspace(0.05, 0.9, 192), (3, 192, 192)), 0.01, 0.01))
    found = NoiseLevel()(y)
    assert found.grows
    assert found.sensor is not None
    less = asked(found, y, None, lambda bands: gaussian(10.0), 0.0, FLOOR)  # to whom all of it is texture
    assert less.sensor is not None
    assert less.sensor.gain < 0.3 * found.sensor.gain
    half = found.white_of(found.white / 2, FLOOR).sensor
    assert half is not None
    assert half.gain == pytest.approx(found.sensor.gain * (found.white / 2 / found.sensor.level) ** 2, rel=1e-6)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_salt_and_pepper_of_any_share_is_found(share: float) -> None:
    rng = np.random.default_rng(0)
    x = 0.1 + 0.8 * photo("chelsea", 128)
    hit = rng.random(x.shape) < share
    y = eight(np.where(hit, rng.random(x.shape) < 0.5, x))
    found = Impulses()(y)
    assert found[hit].mean() > 0.99
    assert found[~hit].mean() < 0.01


def test_letters_and_edges_are_no_impulses_though_at_the_ends() -> None:
    """Stripes from black to white, three tenths of whose values are grey."""
    grid = np.indices((96, 96)).sum(0) // 6 % 2
    y = np.where(torch.rand(96, 96, generator=torch.Generator().manual_seed(0)).numpy() < 0.3, 0.5, grid)
    assert not Impulses()(eight(y[None])).any()


def test_a_prior_finds_impulses_that_do_not_stand_out_and_frees_highlights() -> None:
    """Pepper in a place nearly as dark as it, and dots of white that belong to the picture."""
    rng = np.random.default_rng(0)
    texture = 0.03 * (np.indices((96, 96)).sum(0) % 2 * 2 - 1)
    x = (np.linspace(0.1, 0.6, 96) + texture)[None].astype(np.float32)
    x[:, 8::16, 80::8] = 1.0
    hit = (rng.random(x.shape) < 0.2) & (x < 1)
    y = eight(np.where(hit, rng.random(x.shape) < 0.5, x + 0.005 * rng.standard_normal(x.shape)))

    def smooth(z: Tensor, sigma: float | Tensor, /) -> Tensor:
        """A prior that knows the dots and the texture, and slopes otherwise."""
        clean = torch.from_numpy(gaussian_filter(z.numpy() - texture, (0, 0, 8, 2)) + texture).to(z)
        return torch.where(torch.from_numpy(x == 1)[None], torch.ones_like(z), clean)

    before = Impulses()(y)
    found, filled = Verified()(y, before, np.ones(y.shape, bool), smooth, 0.01)
    assert (hit & ~before).sum() > 20  # which neighbours do not tell
    assert (hit & ~found).sum() < 0.1 * (hit & ~before).sum()
    assert not (found & (x == 1)).any()
    assert np.abs(filled - x)[found & hit].max() < 0.06
    assert np.array_equal(filled[~found], y[~found])


def test_the_level_is_told_from_dark_to_bright() -> None:
    """The prior knows a ramp of brightness, and independent values around it."""
    ramp = torch.linspace(0.1, 0.9, SIZE[-1]).expand(SIZE)

    def denoise(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        return (0.1**2 * x + sigma**2 * ramp) / (0.1**2 + sigma**2)

    rng = np.random.default_rng(0)
    x, noise = (rng.standard_normal(SIZE) for _ in range(2))
    true = np.sqrt(0.01 * ramp.numpy())
    y = (ramp.numpy() + 0.1 * x + true * noise).astype(np.float32)
    brightness, levels = Evidence().by_brightness(y, np.ones(SIZE, bool), denoise, 0.3, 0.01)
    assert len(brightness) == len(levels) >= 4
    assert (np.diff(brightness) > 0).all()
    assert levels == pytest.approx(np.sqrt(0.01 * brightness), rel=0.2)
    nothing = Evidence().by_brightness(y[:, :24, :24], np.ones((3, 24, 24), bool), denoise, 0.3, 0.01)
    assert [len(part) for part in nothing] == [0, 0]


def test_of_a_picture_that_the_prior_does_not_know_less_is_taken_out_than_is_measured() -> None:
    y = eight(noisy(photo("coffee", 96), 0.03))
    found = NoiseLevel()(y)
    doubted = asked(found, y, None, lambda bands: gaussian(0.0), 0.0, FLOOR)  # to whom all that is seen is noise
    assert doubted.white == pytest.approx(found.white, rel=0.15)
    assert doubted.sigma < 0.7 * doubted.white
    assert any("less is taken out: the prior takes texture" in note for note in doubted.notes)


def test_noise_that_black_cuts_off_is_no_impulse_to_the_prior_either() -> None:
    light = ndimage.gaussian_filter(SRGB().decode(photo("coffee")), (0, 1.6, 1.6))
    rng = np.random.default_rng(0)
    y = eight(SRGB().encode((light + 0.01 * rng.standard_normal(light.shape)).clip(0, 1)))
    found = NoiseLevel()(y)
    assert 0 < found.share < 0.01
    assert not asked(found, y, None, lambda bands: gaussian(0.2), 0.0, FLOOR).share
    hit = rng.random(y.shape) < 0.005
    salted = np.where(hit, rng.random(y.shape) < 0.5, eight(photo("coffee"))).astype(np.float32)
    kept = asked(NoiseLevel()(salted), salted, None, lambda bands: gaussian(0.2), 0.0, FLOOR)
    assert kept.share > 0.003
