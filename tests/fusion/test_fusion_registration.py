"""Whether two pictures lie on each other: shifts that were made are found, and nothing is claimed that is not there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from restorekit.fusion.luminance import luminance
from restorekit.fusion.registration import Match, Registration
from tests.support.fields import fields

DATA = Path(os.environ.get("RESTOREKIT_DATA", Path(__file__).parents[3] / "shared" / "data")) / "fusion"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs the pairs in $RESTOREKIT_DATA/fusion")
MEASURE = Registration()
WHOLE = fields(192, 200, 200)


def both(down: int, right: int, h: int = 128, w: int = 136) -> tuple[np.ndarray, np.ndarray]:
    """An optical and a radar picture, what the first shows `down` and `right` further in the second."""
    one, other = WHOLE.cut(32, 32, h, w), WHOLE.cut(32 - down, 32 - right, h, w)
    return luminance(one.rgb), np.log(other.speckled())


def found(optical: np.ndarray, radar: np.ndarray) -> Match:
    everywhere = np.ones(optical.shape, bool)
    return MEASURE(optical, radar, (everywhere, everywhere))


@pytest.mark.parametrize(("down", "right"), [(0, 0), (3, -1), (0, 8), (-12, 5), (24, -30), (-32, 0)])
def test_a_shift_is_measured_to_the_pixel(down: int, right: int) -> None:
    match = found(*both(down, right))
    assert abs(match.down - down) <= 1
    assert abs(match.right - right) <= 1
    assert match.scale == 1
    assert MEASURE.aligned(match) is (abs(down) <= 4 and abs(right) <= 4)


def test_what_is_bright_in_one_may_be_dark_in_the_other() -> None:
    optical, radar = both(6, 9)
    assert found(optical, radar).significance == pytest.approx(found(1 - optical, radar).significance, rel=1e-3)
    match = found(optical, -radar)
    assert (match.down, match.right) == (found(optical, radar).down, found(optical, radar).right)


def test_the_size_of_values_does_not_matter() -> None:
    optical, radar = both(4, 4)
    one, other = found(optical, radar), found(1000 * optical + 7, 0.01 * radar)
    assert (one.down, one.right) == (other.down, other.right)
    assert one.significance == pytest.approx(other.significance, rel=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_of_two_places_nothing_is_claimed(seed: int) -> None:
    optical, _ = both(0, 0)
    radar = np.log(fields(128, 136, 90, seed=100 + seed).speckled())
    assert MEASURE.aligned(found(optical, radar)) is None


@pytest.mark.parametrize("constant", ["optical", "radar", "both"])
def test_of_a_constant_picture_nothing_is_claimed(constant: str) -> None:
    optical, radar = both(0, 0)
    optical = optical if constant == "radar" else np.full_like(optical, 0.4)
    radar = radar if constant == "optical" else np.full_like(radar, -2.0)
    assert MEASURE.aligned(found(optical, radar)) is None


def test_a_larger_picture_of_the_same_is_not_aligned() -> None:
    from scipy import ndimage

    whole = fields(224, 224, 160)
    larger = np.asarray(ndimage.zoom(np.log(whole.intensity), 1.2, order=1))
    top = (larger.shape[0] - 224) // 2
    match = found(luminance(whole.rgb), larger[top : top + 224, top : top + 224])
    assert match.scale == pytest.approx(1.2, abs=0.06)
    assert MEASURE.aligned(match) is False
    assert "times as large" in str(match)


def test_what_is_not_valid_does_not_count() -> None:
    optical, radar = both(10, 0)
    o_valid, r_valid = np.ones(optical.shape, bool), np.ones(radar.shape, bool)
    o_valid[:30], r_valid[:, 100:] = False, False
    holes = MEASURE(np.where(o_valid, optical, np.nan), np.where(r_valid, radar, 1e9), (o_valid, r_valid))
    assert (holes.down, holes.right) == (10, 0)
    nothing = np.zeros(optical.shape, bool)
    assert MEASURE.aligned(MEASURE(optical, radar, (nothing, nothing))) is None


def test_a_small_picture_says_nothing() -> None:
    optical, radar = both(0, 0, 20, 22)
    assert MEASURE.aligned(found(optical, radar)) is None


def test_the_shift_in_words() -> None:
    assert str(Match(3, -4, 9.0)) == "3 px down and 4 px left"
    assert str(Match(-1, 0, 9.0, 1.25)) == "1 px up and 0 px right, 1.25 times as large"
    assert Match(3, -4, 9.0).distance == 5


@pytest.mark.data
@needs_data
@pytest.mark.parametrize("name", ["282D_485L_3_3", "38D_378R_2_3", "433D_629L_3_1"])
def test_real_pairs_are_aligned_until_they_are_moved(name: str) -> None:
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(DATA / f"terramesh/S2RGB/{name}.tif") as d:
        optical = luminance(d.read().astype(float))
    with rasterio.open(DATA / f"terramesh/S1RTC/{name}.tif") as d:
        radar = d.read(1)
    own = found(optical, radar)
    assert MEASURE.aligned(own)
    for down, right in ((8, 0), (0, -8), (-16, 12), (24, 24), (40, 0), (0, -40)):
        k = 40
        moved = radar[k - down : 224 - k - down, k - right : 224 - k - right]
        match = found(optical[k:-k, k:-k], moved)
        assert MEASURE.aligned(match) is False, (down, right, match)
        # Up to 3 pixels are those of the pair itself, whose edges may all run one way.
        assert np.hypot(match.down - down - own.down, match.right - right - own.right) <= 4
