from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, special
from skimage import data

from restorekit.errors import BadInput
from restorekit.sar.looks import flattest, kappa_of_grain, measure, trigamma_inverse, windows
from restorekit.sar.speckle import SWATHS, draw, swath


def whole(x: np.ndarray) -> np.ndarray:
    return np.ones(x.shape, bool)


def camera() -> np.ndarray:
    return ((data.camera().astype(np.float64) + 1) / 256) ** 2


@pytest.mark.parametrize("looks", [0.06, 0.5, 1, 4.4, 30, 900])
def test_inverse_of_trigamma(looks: float) -> None:
    assert trigamma_inverse(float(special.polygamma(1, looks))) == pytest.approx(looks, rel=1e-6)


def test_inverse_of_trigamma_is_bounded() -> None:
    assert trigamma_inverse(1e9) == 0.05
    assert trigamma_inverse(0) == 1000


@pytest.mark.parametrize("name", [None, *SWATHS])
@pytest.mark.parametrize("looks", [1, 2.5, 4.4, 16])
def test_looks_of_a_flat_scene(looks: float, name: str | None) -> None:
    """Within 12 %: three times the spread over seeds of 16 half windows of correlated speckle."""
    y = 3e-3 * draw((256, 256), looks, None if name is None else swath(name), np.random.default_rng(2))
    found = measure(y, whole(y))
    assert found.looks == pytest.approx(looks, rel=0.12)
    assert found.by_moments == pytest.approx(looks, rel=0.12)
    assert found.agree


@pytest.mark.parametrize("looks", [1, 4.4])
def test_texture_does_not_fool_it(looks: float) -> None:
    y = camera() * draw((512, 512), looks, None, np.random.default_rng(0))
    found = measure(y, whole(y))
    assert found.looks == pytest.approx(looks, rel=0.08)
    assert found.kappa == pytest.approx(1, abs=0.1)
    assert found.effective == pytest.approx(looks, rel=0.12)


@pytest.mark.parametrize("looks", [1, 4.4])
def test_white_speckle_is_told_white(looks: float) -> None:
    found = [measure(y, whole(y)) for y in (draw((300, 300), looks, None, np.random.default_rng(s)) for s in range(8))]
    # A lag is taken for correlated by chance in one of forty; then kappa is 1.1.
    assert np.mean([f.kappa for f in found]) == pytest.approx(1, abs=0.05)
    assert np.median([f.reach for f in found]) == 1


@pytest.mark.parametrize("name", SWATHS)
@pytest.mark.parametrize("looks", [1, 4])
def test_correlation_and_kappa_of_the_swaths(name: str, looks: int) -> None:
    spectrum = swath(name)
    y = draw((512, 512), looks, spectrum, np.random.default_rng(4))
    found = measure(y, whole(y))
    assert found.lag_one == pytest.approx(spectrum.lag_one, abs=0.06)  # three times the spread over seeds
    # Correlations under 0.05 are left out, which costs 4 %, and the spread over seeds is 4 %.
    assert found.kappa == pytest.approx(spectrum.kappa, rel=0.12)
    assert found.reach in (2, 3)
    assert found.effective == pytest.approx(looks / spectrum.kappa, rel=0.15)


def test_a_scale_changes_nothing() -> None:
    y = camera() * draw((512, 512), 2, swath("iw1"), np.random.default_rng(1))
    a, b = measure(y, whole(y)), measure(1e-7 * y, whole(y))
    assert (a.looks, a.kappa, a.by_moments) == pytest.approx((b.looks, b.kappa, b.by_moments), rel=1e-9)


def test_disagreement_is_told() -> None:
    """Every tenth pixel 30 times as bright: no gamma law."""
    rng = np.random.default_rng(0)
    y = draw((256, 256), 4, None, rng) * np.where(rng.random((256, 256)) < 0.1, 30.0, 1.0)
    found = measure(y, whole(y))
    assert not found.agree
    assert "disagree" in str(found)
    assert "`looks`" in str(found)
    flat = draw((256, 256), 4, None, rng)
    assert "disagree" not in str(measure(flat, whole(flat)))


def test_invalid_pixels_and_zeros_do_not_count() -> None:
    y = draw((256, 256), 3, None, np.random.default_rng(7))
    expected = measure(y[:, :120], whole(y[:, :120]))
    valid = whole(y)
    valid[:, 120:] = False
    spoiled = y.copy()
    spoiled[:, 120:] = np.nan
    assert measure(spoiled, valid) == expected
    zeros = y.copy()
    zeros[:, 120:] = 0
    assert measure(zeros, whole(y)) == expected


def test_zeros_do_not_count_where_windows_are_few() -> None:
    y = draw((48, 144), 3, None, np.random.default_rng(7))
    y[:, 72:] = 0
    assert measure(y, whole(y)) == measure(y[:, :72], whole(y[:, :72]))


def test_windows_with_texture_leave_the_correlation_of_the_others() -> None:
    """Ten of sixteen windows rise and fall by a factor of seven: two of the eight flattest are among them."""
    y = draw((96, 96), 4, None, np.random.default_rng(1))
    rows = np.arange(96)[:, None] * np.ones(96)
    wave = np.exp(np.sin(rows / 2))
    window = (rows // 24 * 4 + np.arange(96) // 24).astype(int)
    found = measure(np.where(window < 10, wave * y, y), whole(y))
    assert found.kappa == pytest.approx(1, abs=0.15)


def test_slight_texture_everywhere_is_no_grain() -> None:
    """Of a hundredth of the variance of one look; 1250 parts, so that it is no chance."""
    y = draw((600, 600), 1, None, np.random.default_rng(1))
    wave = 1 + 0.2 * np.sin(np.arange(600)[:, None] / 3)
    found = measure(y * wave, whole(y), share=1.0)
    assert 0.01 < found.lag_one[0] < 0.05
    assert found.kappa == 1


def test_what_chose_a_window_is_not_measured() -> None:
    """The flattest of many windows look flatter than they are; their other halves do not."""
    y = draw((480, 480), 1, None, np.random.default_rng(9))
    where = windows(y, whole(y))
    halves = flattest(y, where, share=0.05)
    assert halves.of(y).shape == (40, 12, 24)
    measured = float(np.log(halves.of(y)).var((1, 2)).mean())
    own = np.sort(np.log(where.of(y)).var((1, 2)))[:20].mean()
    expected = float(special.polygamma(1, 1)) * 287 / 288
    assert own < 0.9 * expected
    assert measured == pytest.approx(expected, rel=0.06)  # four standard errors: 40 parts of 288 pixels


@pytest.mark.parametrize("shape", [(23, 400), (400, 23), (1, 1)])
def test_too_small_a_picture(shape: tuple[int, int]) -> None:
    with pytest.raises(BadInput, match="give `looks`"):
        measure(np.ones(shape), np.ones(shape, bool))


def test_nothing_valid() -> None:
    with pytest.raises(BadInput, match="24x24 valid pixels"):
        measure(np.ones((100, 100)), np.zeros((100, 100), bool))


def test_fill_and_cut_values_are_no_flat_windows() -> None:
    y = np.random.default_rng(0).gamma(4, 0.25, (240, 240))
    with pytest.raises(BadInput, match="24x24 valid pixels"):
        measure(np.full((100, 100), 0.7), np.ones((100, 100), bool))
    y[:, :120] = 1.0  # no data by another name
    y[:, 120:168] = np.maximum(y[:, 120:168], 0.8)  # cut from below
    assert measure(y, np.ones(y.shape, bool)).looks == pytest.approx(4, rel=0.15)
    whole = np.rint(40 * np.random.default_rng(1).gamma(4, 0.25, (240, 240)) ** 0.5) ** 2  # bytes repeat themselves
    assert measure(whole, whole > 0).looks == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("looks", [1, 4])
def test_known_looks_leave_the_correlation_of_the_speckle_on_pictures_too(looks: float) -> None:
    """The median of pictures: of one that is rough everywhere it may be far off."""
    found = []
    for picture in (data.camera(), data.coins(), data.moon(), data.page(), data.clock()):
        x = ((picture[:180, :180].astype(np.float64) + 1) / 256) ** 2
        y = x * draw(x.shape, looks, SWATHS["iw2"], np.random.default_rng(2))
        found.append(measure(y, y > 0, looks=looks).kappa)
    assert np.median(found) == pytest.approx(SWATHS["iw2"].kappa, rel=0.2)


def scenes(side: int = 144) -> dict[str, np.ndarray]:
    """Without a flat place, but for the first and the last: blocks as of a town, fine and coarse texture, rivers."""
    rng = np.random.default_rng(1)
    town = np.exp(1.5 * np.kron(rng.normal(size=(side // 6, side // 6)), np.ones((6, 6))))
    fine, coarse = (ndimage.gaussian_filter(rng.normal(size=(side, side)), s) for s in (1, 4))
    rivers = np.ones((side, side))
    for k in range(0, side, 17):
        rivers[:, k : k + 3] = rivers[k + 4 : k + 7] = 0.25
    return {
        "flat": np.ones((side, side)), "town": town, "fine": np.exp(fine / fine.std()), "coarse": np.exp(0.8 * coarse / coarse.std()),
        "rivers": rivers, "a crop of the town": town[:30, :30], "one window": np.ones((24, 24)),
    }  # fmt: skip


@pytest.mark.parametrize("name", [None, "iw1", "iw3"])
@pytest.mark.parametrize("looks", [1, 4])
def test_correlations_stay_within_their_bounds_whatever_the_scene(looks: float, name: str | None) -> None:
    """And with known looks the sum of correlations is no farther from the true one than without, but for a tenth."""
    true = 1.0 if name is None else swath(name).kappa
    for scene, x in scenes().items():
        y = x * draw(x.shape, looks, None if name is None else swath(name), np.random.default_rng(3))
        auto, given = measure(y, y > 0), measure(y, y > 0, looks=looks)
        for found in (auto, given):
            assert all(0 <= rho < 1 for rho in found.lag_one), scene
            assert 1 <= found.kappa <= kappa_of_grain(found.lag_one) + 1e-9, scene
        far, farther = (abs(np.log(found.kappa / true)) for found in (given, auto))
        assert far <= farther + 0.1, scene


def test_texture_that_cannot_be_told_from_grain_is_said() -> None:
    y = scenes()["town"] * draw((144, 144), 4, swath("iw3"), np.random.default_rng(3))
    found = measure(y, y > 0, looks=4)
    assert found.textured
    assert "of texture too" in str(found)
    flat = draw((144, 144), 4, swath("iw3"), np.random.default_rng(3))
    assert not measure(flat, flat > 0, looks=4).textured


def test_neighbours_of_a_smooth_picture_are_no_more_alike_than_equal() -> None:
    """Hardly any speckle on a bow: the mean over fewer pixels at a larger lag was above that of the squares."""
    x = 1 + 0.5 * np.cos(np.arange(96) / 4)[:, None] * np.cos(np.arange(96) / 4)
    y = x * draw(x.shape, 500, None, np.random.default_rng(0))
    for looks in (None, 500, 4):
        found = measure(y, y > 0, looks=looks)
        assert max(found.lag_one) < 1
        assert found.kappa <= kappa_of_grain((0.95, 0.95))


def test_a_grain_that_is_given_is_taken() -> None:
    y = scenes()["town"] * draw((144, 144), 4, swath("iw1"), np.random.default_rng(3))
    found = measure(y, y > 0, looks=4, grain=swath("iw1").lag_one)
    assert found.lag_one == swath("iw1").lag_one
    assert found.kappa == pytest.approx(swath("iw1").kappa, rel=0.02)  # of a Gaussian point spread
    assert found.reach == 2
    assert not found.textured


@pytest.mark.parametrize("name", [None, "iw2"])
def test_looks_say_how_well_they_are_known(name: str | None) -> None:
    spectrum, rng = None if name is None else swath(name), np.random.default_rng(3)
    found = [measure(y, whole(y)) for y in (draw((160, 160), 1, spectrum, rng) for _ in range(16))]
    stated, spread = np.mean([m.error for m in found]), np.std([m.looks for m in found])
    assert 0.75 * spread < stated < 2 * spread
    told = [m.looks for m in found if m.tells]
    assert len(told) > 12
    assert max(told) / min(told) < 1.15
    assert all(("known to" in str(m)) != m.tells for m in found)


def test_a_crop_whose_windows_differ_says_that_it_cannot_tell() -> None:
    rng = np.random.default_rng(4)
    rough = np.exp(0.5 * ndimage.gaussian_filter(rng.standard_normal((160, 160)), 1.5) / 0.19 * np.linspace(0, 1, 160))
    found = measure(y := rough * draw((160, 160), 4, None, rng), whole(y))
    assert not found.tells
    assert "known to" in str(found)


@pytest.mark.parametrize("looks", [None, 4.0])
def test_constants_beside_each_other_are_no_speckle(looks: float | None) -> None:
    y = np.kron(np.random.default_rng(0).random((6, 6)), np.ones((17, 17)))
    with pytest.raises(BadInput, match="no speckle"):
        measure(y, np.ones(y.shape, np.bool_), looks=looks)
    y[:, 48:] = np.random.default_rng(1).gamma(4, 1 / 4, (102, 54))
    assert measure(y, np.ones(y.shape, np.bool_)).looks == pytest.approx(4, rel=0.25)
