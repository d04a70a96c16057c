"""An optical and a radar picture that were exchanged are told by speckle, decibels and colours."""

from __future__ import annotations

import numpy as np
import pytest

from restorekit.errors import BadInput
from restorekit.fusion.exchanged import refuse_exchanged
from restorekit.fusion.pair_files import Bands, of_values

RNG = np.random.default_rng(0)
SMOOTH = 60 + np.add.outer(np.arange(96.0), np.arange(96.0))
COLOURS = np.stack([SMOOTH, 0.9 * SMOOTH, 0.8 * SMOOTH]).round().astype(np.uint8)
AMPLITUDE = (SMOOTH * np.sqrt(RNG.gamma(4, 1 / 4, SMOOTH.shape))).clip(1, 255).round().astype(np.uint8)[None]
DECIBELS = (20 * np.log10(AMPLITUDE / 255) - 5).astype(np.float32)


def told(optical: np.ndarray, radar: np.ndarray, stated: bool = False) -> str | None:
    there = np.ones(SMOOTH.shape, bool)
    one, other = (of_values(x, name) for x, name in ((optical, "optical.tif"), (radar, "sar.tif")))
    seen, intensity = optical.astype(float).mean(0), radar[0].astype(float) ** 2
    return refuse_exchanged(one, seen, there, other, intensity, there, stated)


@pytest.mark.parametrize("radar", [AMPLITUDE, DECIBELS])
def test_colours_as_the_radar_picture_are_refused(radar: np.ndarray) -> None:
    with pytest.raises(BadInput, match=r"^optical\.tif shows .*sar\.tif is the one in colours: they look exchanged"):
        told(radar, COLOURS)
    assert "are they exchanged?" in str(told(radar, COLOURS, stated=True))


def test_a_grey_pair_is_noted() -> None:
    assert "speckle of" in str(told(AMPLITUDE, COLOURS[:1]))


def test_a_pair_in_its_order_says_nothing() -> None:
    assert told(COLOURS, AMPLITUDE) is None
    assert told(COLOURS[:1], AMPLITUDE) is None
    assert told(AMPLITUDE, AMPLITUDE) is None


def test_equal_bands_are_no_colours() -> None:
    assert isinstance(of_values(COLOURS, "x"), Bands)
    assert told(AMPLITUDE, np.repeat(COLOURS[:1], 3, 0)) is not None
