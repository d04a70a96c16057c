"""Changes between dates: found at the stated rate whatever the texture, and measured against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from restorekit.sar.between_dates import drift, levels, shift_of
from restorekit.sar.change_evidence import Sums
from restorekit.sar.changes import Changes
from restorekit.sar.speckle import draw, spectrum_of


def dates(
    count: int, looks: float, side: int = 160, seed: int = 0, grain: tuple[float, float] = (0.0, 0.0)
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([draw((side, side), looks, spectrum_of(grain), rng) for _ in range(count)])


def everywhere(y: np.ndarray) -> np.ndarray:
    return np.ones(y.shape, np.bool_)


@pytest.mark.parametrize(
    ("count", "looks", "grain", "rate", "fields"),
    [(2, 1.0, (0.0, 0.0), 0.01, 16), (2, 4.4, (0.64, 0.62), 0.01, 12), (4, 4.0, (0.0, 0.0), 0.001, 8)],
)  # fmt: skip
def test_false_alarms_have_the_stated_rate(
    count: int, looks: float, grain: tuple[float, float], rate: float, fields: int
) -> None:
    """Squares alone: two-sided. A rectangle beside them takes some of the same speckle (below)."""
    test = Changes(false_alarms=rate, bars=()).fitted([looks] * count, grain)
    shares = [
        test(y := dates(count, looks, seed=seed, grain=grain), everywhere(y)).mask.mean() for seed in range(fields)
    ]
    # Squares of up to 1089 of 25600 pixels: within two standard errors of these fields.
    error = np.std(shares, ddof=1) / fields**0.5
    assert abs(float(np.mean(shares)) - rate) < 2 * error + 0.1 * rate
    assert 0 < np.mean(shares) < 2.5 * rate


def test_with_bars_false_alarms_are_at_most_the_stated_rate() -> None:
    """An upper bound: shapes overlap, so that one stretch of speckle passes as several of them. Under squares to 9 pixels and bars 0.0070 +-
    0.0007 of 0.01 at one look, 0.0109 +- 0.0008 at the grain of Sentinel-1, 0.0006 +- 0.0001 of 0.001 of four dates (24 to 40 fields)."""
    test = Changes(false_alarms=0.01, sides=(1, 3, 5, 9)).fitted([1.0] * 2)
    shares = [test(y := dates(2, 1.0, seed=seed), everywhere(y)).mask.mean() for seed in range(8)]
    assert 0 < np.mean(shares) < 0.01 + 2 * np.std(shares, ddof=1) / 8**0.5


def test_a_line_of_two_pixels_is_found_by_bars_and_hardly_by_squares() -> None:
    y, on = dates(8, 4.0, side=96, seed=4), np.zeros((96, 96), np.bool_)
    on[10:85, 40:42] = True
    y[2][on] *= 2
    found = [Changes(bars=bars).fitted([4.0] * 8)(y, everywhere(y)).mask[2] for bars in (Changes().bars, ())]
    assert found[0][on].mean() > 0.75
    assert found[0][on].mean() > found[1][on].mean() + 0.2
    assert found[0][:, :35].mean() < 0.02


def test_sums_over_rectangles_are_those_of_their_pixels() -> None:
    x = np.random.default_rng(0).random((9, 12))
    found = Sums(x).over((3, 5))
    assert found[4, 6] == pytest.approx(x[3:6, 4:9].sum(), abs=1e-4)
    assert found[0, 11] == pytest.approx(x[:2, 9:].sum(), abs=1e-4)
    assert Sums.inside(x.shape, (3, 5))[0, 11] == 6


def test_ground_around_changes_is_not_called_changed() -> None:
    y, truth = dates(8, 4.0, seed=11), np.zeros((160, 160))
    i, j = np.indices(truth.shape)
    truth[20:50, 20:50], truth[(i - 110) ** 2 + (j - 50) ** 2 < 15**2] = 6, -6
    y[1] *= 10 ** (truth / 10)
    found = Changes(false_alarms=1e-3).fitted([4.0] * 8)(y, everywhere(y))
    still = truth == 0
    assert found.mask[1][~still].mean() > 0.9
    assert found.mask[1][still].mean() < 0.012
    assert np.delete(found.mask, 1, 0).mean() < 0.01  # one large square of seven dates is 0.006
    assert found.apart[1][~still].all()


def test_texture_that_stays_changes_nothing() -> None:
    test, y = Changes(false_alarms=0.03).fitted([4.0] * 4), dates(4, 4.0, side=96)
    texture = np.exp(np.random.default_rng(1).normal(0, 2, y.shape[1:]))
    texture[60:70, 20:80] = 1e6
    plain, textured = test(y, everywhere(y)), test(y * texture, everywhere(y))
    assert np.array_equal(plain.mask, textured.mask)
    assert np.allclose(plain.factor, textured.factor)


def test_a_unit_does_not_matter() -> None:
    test, y = Changes(false_alarms=0.03).fitted([4.0] * 4), dates(4, 4.0, side=96)
    assert np.allclose(test(y, everywhere(y)).factor, test(1e-12 * y, everywhere(y)).factor)


@pytest.mark.parametrize("decibels", [3.0, -3.0])
def test_fields_of_five_pixels_and_three_decibels_are_kept(decibels: float) -> None:
    y, truth = dates(8, 6.0, side=168, seed=3), np.ones((168, 168))
    corners = [(12 + 18 * i, 12 + 18 * j) for i in range(9) for j in range(9)]
    for i, j in corners:
        truth[i : i + 5, j : j + 5] = 10 ** (decibels / 10)
    y[3] *= truth
    found = Changes().fitted([6.0] * 8)(y, everywhere(y))
    level = [10 * np.log10(found.factor[3, i : i + 5, j : j + 5].mean()) for i, j in corners]
    assert abs(float(np.mean(level)) - decibels) < 0.5
    assert found.mask[3][truth != 1].mean() > 0.9
    assert found.mask[0].mean() < 0.03
    # ln f of 25 pixels of 6 looks is known to 0.082 of a date, and to that / sqrt(7) of the others.
    deviation = np.median(found.deviation[3][truth != 1])
    assert 0.07 < deviation < 0.12


def test_a_step_in_time_is_one_change() -> None:
    y = dates(6, 4.0, seed=4)
    y[:3, 40:80, 40:80] *= 4
    found = Changes().fitted([4.0] * 6)(y, everywhere(y))
    inside = found.factor[:, 45:75, 45:75].mean((1, 2))
    assert np.allclose(inside[:3] / inside[3:].mean(), 4, rtol=0.1)


def test_dates_without_data_do_not_count() -> None:
    y = dates(4, 4.0, seed=5)
    valid = everywhere(y)
    valid[1, :, :60] = False
    y[2, 20:40, 20:40] *= 5
    found = Changes().fitted([4.0] * 4)(np.where(valid, y, np.nan), valid)
    assert np.isfinite(found.factor).all()
    assert found.factor[2, 25:35, 25:35].mean() == pytest.approx(5, rel=0.15)
    assert not found.mask[1, :, :60].any()


def test_a_rate_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"false_alarms=0\.5 must be above 0 and at most 0\.1"):
        Changes(false_alarms=0.5)


def scene(side: int = 224) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return np.exp(3 * gaussian_filter(np.random.default_rng(0).normal(0, 1, (side, side)), 1.5))


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.2, 0.0), (1.0, -0.5), (-7.0, 3.0)])
def test_a_shift_under_speckle_is_found_with_its_error(shift: tuple[float, float]) -> None:
    from scipy.ndimage import shift as moved

    rng, x = np.random.default_rng(1), scene()
    others = x * rng.gamma(12, 1 / 12, x.shape)
    date = np.exp(moved(np.log(x), shift, order=3, mode="wrap")) * rng.gamma(4, 1 / 4, x.shape)
    found = shift_of([(others, date, everywhere(x))])
    assert found.significance > 10
    assert found.error < 0.15
    assert (found.down, found.right) == (pytest.approx(shift[0], abs=0.15), pytest.approx(shift[1], abs=0.15))


def test_flat_dates_do_not_tell_a_shift() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.gamma(4, 1 / 4, (2, 224, 224))
    assert shift_of([(a, b, everywhere(a))]).distance == 0


def test_levels_and_correlation_of_dates_are_measured_under_texture() -> None:
    y = dates(5, 4.0, side=192, seed=6, grain=(0.64, 0.62)) * scene(192)
    y[2] *= 1.5
    found = levels([(y, everywhere(y))], [4.0] * 5)
    assert found.gains[2] / found.gains[0] == pytest.approx(1.5, rel=0.02)
    assert found.correlation == 0
    assert found.grain == (pytest.approx(0.64, abs=0.06), pytest.approx(0.62, abs=0.06))
    assert found.looks([4.0] * 5) == 20


def test_dates_that_share_their_speckle_count_less() -> None:
    rng, rho = np.random.default_rng(7), 0.5  # of intensities
    shape = (5, 192, 192)
    common, own = (rng.standard_normal((*s, 2)) @ np.array([1, 1j]) for s in ((1, *shape[1:]), shape))
    y = np.abs(np.sqrt(rho**0.5) * common + np.sqrt(1 - rho**0.5) * own) ** 2 / 2
    found = levels([(y, everywhere(y))], [1.0] * 5)
    assert found.correlation == pytest.approx(rho, abs=0.12)
    assert found.looks([1.0] * 5) < 5 / (1 + 4 * 0.35)


def test_levels_that_drift_are_told_and_measured() -> None:
    from scipy.ndimage import gaussian_filter

    wave = gaussian_filter(np.random.default_rng(8).normal(0, 1, (4, 192, 192)), (0, 20, 20))
    wave = np.exp(0.3 * wave / wave.std())
    wave /= np.exp(np.log(wave).mean(0))
    y = dates(4, 4.0, side=192, seed=9) * scene(192)
    assert not levels([(y, everywhere(y))], [4.0] * 4).drift
    assert levels([(y * wave, everywhere(y))], [4.0] * 4).drift
    found = drift(y * wave, everywhere(y), [4.0] * 4)
    assert np.std(np.log(found / wave)[:, 20:-20, 20:-20]) < 0.4 * np.std(np.log(wave))
    # Sparse change is not taken for drift.
    y[1, 60:70, 60:70] *= 4
    assert not levels([(y, everywhere(y))], [4.0] * 4).drift
