"""The blocks with the least fine detail bound white noise from above."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from restorekit.noise.judgement import QUIET, asked
from restorekit.noise.level import NoiseLevel
from restorekit.noise.quiet_blocks import QuietBlocks
from tests.noise.test_evidence import FLOOR, gaussian
from tests.noise.test_noise import eight

SIZE = (3, 128, 128)


def noise(level: float | np.ndarray) -> np.ndarray:
    return level * np.random.default_rng(0).standard_normal(SIZE)


def grass(level: float = 0.0) -> np.ndarray:
    """Fine random texture of 0.08 in five of six blocks, and none in the others, with white noise of a level."""
    rough = np.random.default_rng(1).random((16, 16)) < 5 / 6
    texture = np.random.default_rng(2).standard_normal(SIZE) * np.kron(rough, np.ones((8, 8)))
    return eight(0.5 + 0.08 * texture + noise(level))


@pytest.mark.parametrize("level", [0.01, 0.04])
def test_noise_is_in_every_block_whatever_texture_is_in_most(level: float) -> None:
    told = np.ones(SIZE, bool)
    assert QuietBlocks()(eight(0.5 + noise(level)), told) == pytest.approx(level, rel=0.1)
    assert level < QuietBlocks()(grass(level), told) < 0.04 + level


def test_noise_that_grows_with_brightness_is_not_taken_for_that_of_dark_parts() -> None:
    ramp = np.broadcast_to(np.linspace(0.05, 0.95, 128), SIZE)
    level = float(np.sqrt(0.01 * ramp.mean()))
    assert QuietBlocks()(eight(ramp + noise(np.sqrt(0.01 * ramp))), np.ones(SIZE, bool)) > QUIET * level


def test_what_does_not_tell_bounds_nothing() -> None:
    told = np.ones(SIZE, bool)
    told[:, ::8, ::8] = False
    assert QuietBlocks()(grass(), told) == np.inf
    assert QuietBlocks()(np.zeros(SIZE), np.ones(SIZE, bool)) == np.inf  # cut off at black


def test_texture_that_blocks_and_a_prior_take_for_noise_stays_where_some_blocks_have_none() -> None:
    y = grass(0.005)
    found = replace(NoiseLevel()(y), sigma=0.08, white=0.08, correlated=False, floor=False, sensor=None)
    kept = asked(found, y, None, lambda bands: gaussian(0.0), 0.0, FLOOR)  # to whom all that is seen is noise
    assert kept.sigma < 0.01
    assert kept.white < 0.02
    assert any("less is taken out" in note for note in kept.notes)
