"""Radar is shown where speckle does not explain it: false alarms of flat speckle, targets, fields, limits of the numbers."""

from __future__ import annotations

import numpy as np
import pytest

from restorekit.fusion.beyond_speckle import BeyondSpeckle, details, with_signal
from restorekit.sar.speckle import draw, spectrum_of

TEST = BeyondSpeckle(false_alarms=1e-2, sigmas=(1.0, 2.0, 4.0))
WHOLE = np.ones((160, 160), bool)
GRAIN = (0.7, 0.65)


def speckle(looks: float, grain: tuple[float, float], seed: int) -> np.ndarray:
    return draw(WHOLE.shape, looks, spectrum_of(grain), np.random.default_rng(seed))


@pytest.mark.parametrize("grain", [(0.0, 0.0), GRAIN])
@pytest.mark.parametrize("looks", [1.0, 4.0])
def test_flat_speckle_passes_at_no_more_than_the_rate(looks: float, grain: tuple[float, float]) -> None:
    shares = [[(w > 0).mean() for w in TEST(speckle(looks, grain, seed), WHOLE, looks, grain)] for seed in (1, 2, 3)]
    # Neighbours pass together: 3 fields hold about 3 * 160^2 / (2 pi 4^2) independent values at the coarsest scale.
    assert np.mean(shares, axis=0).max() < 2 * TEST.false_alarms
    assert np.mean(shares) > 0.1 * TEST.false_alarms  # it is no test that nothing passes


def test_speckle_with_a_grain_that_is_not_told_passes_far_more_often() -> None:
    y = speckle(4.0, GRAIN, 1)
    told, untold = (np.mean([(w > 0).mean() for w in TEST(y, WHOLE, 4.0, g)]) for g in (GRAIN, (0.0, 0.0)))
    assert untold > 5 * told


def test_a_bright_point_and_a_dark_field_pass_and_what_is_around_them_does_not() -> None:
    y = speckle(4.0, GRAIN, 4)
    y[40, 40] = 100.0
    y[100:112, 100:112] *= 0.05
    weight = np.max(TEST(y, WHOLE, 4.0, GRAIN), axis=0)
    assert weight[40, 40] == 1
    assert weight[103:109, 103:109].min() == 1
    assert weight[60:80, 20:140].mean() < 0.05


def test_beside_a_bright_line_nothing_is_dark() -> None:
    y = speckle(4.0, GRAIN, 4)
    y[:, 78:81] *= 30.0
    weight = np.max(TEST(y, WHOLE, 4.0, GRAIN), axis=0)
    assert weight[:, 79].mean() > 0.9
    assert (weight[:, [73, 74, 84, 85]] > 0).mean() < 0.1


def test_one_unit_or_another_makes_no_difference() -> None:
    y = speckle(4.0, GRAIN, 5)
    for one, other in zip(TEST(y, WHOLE, 4.0, GRAIN), TEST(1e4 * y, WHOLE, 4.0, GRAIN)):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_what_is_not_valid_has_no_weight_and_none_on_others() -> None:
    y, valid = speckle(4.0, GRAIN, 6), WHOLE.copy()
    valid[:, :50] = False
    one, other = (TEST(np.where(valid, y, fill), valid, 4.0, GRAIN) for fill in (1e-9, 1e9))
    for a, b in zip(one, other):
        assert not a[:, :50].any()
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert not any(w.any() for w in TEST(np.zeros_like(y), WHOLE, 4.0, GRAIN))


def test_details_and_what_is_coarser_add_up() -> None:
    x = np.random.default_rng(0).standard_normal((40, 50))
    everywhere = np.ones(x.shape, bool)
    parts = details(x, everywhere, (1.0, 2.0, 4.0), whole=True)
    coarse = x - sum(parts)
    assert coarse.std() < 0.2 * x.std()
    assert abs(coarse.mean() - x.mean()) < 0.05


def test_a_least_value_that_many_share_is_no_signal() -> None:
    y = np.random.default_rng(0).gamma(4.0, 0.25, (50, 50))
    everywhere = np.ones(y.shape, bool)
    np.testing.assert_array_equal(with_signal(y, everywhere), everywhere)
    cut = np.where(y < 0.5, 0.5, y)
    np.testing.assert_array_equal(with_signal(cut, everywhere), y >= 0.5)
    np.testing.assert_array_equal(with_signal(np.full_like(y, 3.0), everywhere), everywhere)


def test_settings_that_cannot_be() -> None:
    for wrong in ({"false_alarms": 0.0}, {"sigmas": (2.0, 1.0)}, {"sigmas": (1.0,)}, {"sure": 1.0}):
        with pytest.raises(ValueError, match="false_alarms"):
            BeyondSpeckle(**wrong)  # type: ignore[arg-type]
