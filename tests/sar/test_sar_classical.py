"""The filters against loops over pixels that are written from the equations alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage import data

from restorekit.errors import BadInput
from restorekit.sar.filters import FILTERS, Boxcar, Filter, Frost, GammaMAP, by_name
from restorekit.sar.quality import Pair, errors

NAMES = list(FILTERS)


def scene(shape: tuple[int, int] = (23, 31), looks: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """An edge and a bright point under speckle; a hole and some single pixels are not valid, and hold NaN."""
    rng = np.random.default_rng(5)
    x = np.where(np.arange(shape[1]) < shape[1] // 2, 0.2, 1.5) * np.ones(shape)
    x[shape[0] // 2, shape[1] // 4] = 40
    y = x * rng.gamma(looks, 1 / looks, shape)
    valid = rng.random(shape) > 0.05
    valid[:6, :8] = False
    return np.where(valid, y, np.nan), valid


# --- references: one pixel at a time ---


def window(y: np.ndarray, valid: np.ndarray, i: int, j: int, r: int) -> list[tuple[int, int, float]]:
    """(down, right, value) of the valid pixels around (i, j)."""
    h, w = y.shape
    return [
        (a, b, float(y[i + a, j + b]))
        for a in range(-r, r + 1)
        for b in range(-r, r + 1)
        if 0 <= i + a < h and 0 <= j + b < w and valid[i + a, j + b]
    ]


def moments(values: list[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, sum((v - mean) ** 2 for v in values) / len(values) / mean**2


def lee(y: float, mean: float, c2: float, looks: float) -> float:
    """Eqs. for multiplicative noise of mean 1: Q the variance of the scene, gain Q / (mean^2 sigma^2 + Q)."""
    noise = 1 / looks
    q = max((c2 * mean**2 + mean**2) / (1 + noise) - mean**2, 0.0)
    return mean + q / (mean**2 * noise + q) * (y - mean) if mean else 0.0


def slow_boxcar(y: np.ndarray, valid: np.ndarray, i: int, j: int, f: Filter) -> float:
    return moments([v for _, _, v in window(y, valid, i, j, f.size // 2)])[0]


def slow_lee(y: np.ndarray, valid: np.ndarray, i: int, j: int, f: Filter) -> float:
    return lee(float(y[i, j]), *moments([v for _, _, v in window(y, valid, i, j, f.size // 2)]), f.looks)


def slow_frost(y: np.ndarray, valid: np.ndarray, i: int, j: int, f: Filter) -> float:
    assert isinstance(f, Frost)
    around = window(y, valid, i, j, f.size // 2)
    _, c2 = moments([v for _, _, v in around])
    weights = [math.exp(-f.damping * c2 * f.looks * math.sqrt(a * a + b * b)) for a, b, _ in around]
    return sum(w * v for w, (_, _, v) in zip(weights, around)) / sum(weights)


def slow_gamma_map(y: np.ndarray, valid: np.ndarray, i: int, j: int, f: Filter) -> float:
    """The mode of log p(y given x) + log p(x), by the root of alpha x^2 - (alpha - L - 1) mean x - L y mean = 0 above 0."""
    mean, c2 = moments([v for _, _, v in window(y, valid, i, j, f.size // 2)])
    looks, value = f.looks, float(y[i, j])
    if c2 <= 1 / looks:
        return mean
    if c2 >= 1 + 2 / looks:
        return value
    alpha = (1 + 1 / looks) / (c2 - 1 / looks)
    return float(max(np.roots([alpha, -(alpha - looks - 1) * mean, -looks * value * mean]).real))


def slow_refined_lee(y: np.ndarray, valid: np.ndarray, i: int, j: int, f: Filter) -> float:
    h, w = y.shape
    step = max(2, f.size // 3)

    def mean3(a: int, b: int) -> float:
        a, b = min(max(a, 0), h - 1), min(max(b, 0), w - 1)
        inside = [v for _, _, v in window(y, valid, a, b, 1)]
        return sum(inside) / len(inside) if inside else 0.0

    directions = [(0, 1), (1, 1), (1, 0), (1, -1)]
    ends = [(mean3(i + step * a, j + step * b), mean3(i - step * a, j - step * b)) for a, b in directions]
    steepest = max(range(4), key=lambda k: (abs(ends[k][0] - ends[k][1]), -k))
    ahead, behind = ends[steepest]
    here = mean3(i, j)
    sign = 1 if abs(ahead - here) <= abs(behind - here) else -1
    down, right = directions[steepest]
    half = [v for a, b, v in window(y, valid, i, j, f.size // 2) if sign * (a * down + b * right) >= 0]
    return lee(float(y[i, j]), *moments(half), f.looks)


SLOW = {
    "boxcar": slow_boxcar, "lee": slow_lee, "refined-lee": slow_refined_lee, "frost": slow_frost,
    "gamma-map": slow_gamma_map,
}  # fmt: skip


@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("looks", [1, 3.5])
@pytest.mark.parametrize("name", NAMES)
def test_every_pixel_is_what_the_equations_give(name: str, looks: float, size: int) -> None:
    y, valid = scene()
    f = by_name(name, looks, size)
    found = f(y, valid)
    for i, j in np.argwhere(valid):
        assert found[i, j] == pytest.approx(SLOW[name](y, valid, i, j, f), rel=1e-7), (i, j)


def test_both_ways_through_gamma_map_and_lee_are_taken() -> None:
    """That the scene above holds what tells the cases apart: flat, between, and heterogeneous windows."""
    y, valid = scene()
    _, c2 = Boxcar(1, 5).moments(np.where(valid, y, 0), valid.astype(float))
    inside = c2[valid]
    assert (inside < 1).any()
    assert ((inside > 1) & (inside < 3)).any()
    assert (inside > 3).any()


# --- what holds for all ---


@pytest.mark.parametrize("k", [1e-6, 4.0, 1e6])
@pytest.mark.parametrize("name", NAMES)
def test_scale(name: str, k: float) -> None:
    y, valid = scene()
    f = by_name(name, 2)
    np.testing.assert_allclose(f(k * y, valid), k * f(y, valid), rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_stays_up_to_the_border(name: str) -> None:
    _, valid = scene()
    y = np.where(valid, 0.37, np.nan)
    np.testing.assert_allclose(by_name(name, 1)(y, valid)[valid], 0.37, rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_zeros_stay(name: str) -> None:
    assert not by_name(name, 1)(np.zeros((20, 20)), np.ones((20, 20), bool)).any()


@pytest.mark.parametrize("fill", [np.nan, np.inf, -1e30, 1e30])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_invalid_stays_and_does_not_spread(name: str, fill: float) -> None:
    y, valid = scene()
    f = by_name(name, 2)
    expected = f(np.where(valid, y, 0), valid)
    spoiled = np.where(valid, y, fill)
    found = f(spoiled, valid)
    np.testing.assert_array_equal(found[valid], expected[valid])
    np.testing.assert_array_equal(found[~valid], spoiled[~valid])
    assert np.isfinite(found[valid]).all()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_valid_is_given_back(name: str) -> None:
    y = np.full((9, 9), np.nan)
    np.testing.assert_array_equal(by_name(name, 1)(y, np.zeros((9, 9), bool)), y)


@pytest.mark.parametrize("size", [3, 5, 7, 11])
@pytest.mark.parametrize("name", NAMES)
def test_a_block_with_its_halo_is_the_block_of_the_whole(name: str, size: int) -> None:
    y, valid = scene((60, 70))
    f = by_name(name, 2, size)
    top, bottom, left, right = 20, 35, 25, 50
    n = f.halo
    outer = slice(top - n, bottom + n), slice(left - n, right + n)
    part = f(y[outer], valid[outer])[n:-n, n:-n]
    np.testing.assert_array_equal(part, f(y, valid)[top:bottom, left:right])


@pytest.mark.parametrize("size", [3, 7])
@pytest.mark.parametrize("name", NAMES)
def test_the_halo_is_not_larger_than_it_must_be(name: str, size: int) -> None:
    f = by_name(name, 2, size)
    y = np.random.default_rng(0).gamma(2, 0.5, (41, 41))
    valid = np.ones(y.shape, bool)
    reached = 0
    for i in range(41):  # a pixel of the middle row at a time, as what is far may count for some windows alone
        changed = y.copy()
        changed[20, i] *= 1e4
        reached = max(reached, *(abs(np.argwhere(f(changed, valid) != f(y, valid)) - (20, i)).max(0)))
    assert f.halo - 1 <= reached <= f.halo


@pytest.mark.parametrize("name", NAMES)
def test_radiometry_and_gain(name: str) -> None:
    """Where the scene is flat the mean is kept and speckle goes down; gamma-MAP, a mode, may lie below."""
    y = np.random.default_rng(0).gamma(1, 1, (256, 256))
    found = by_name(name, 1)(y, np.ones(y.shape, bool))
    # The mean of 65536 pixels of one look is known to 0.4 %; a half of the window of 28 pixels keeps more of its speckle.
    assert found.mean() == pytest.approx(y.mean(), rel=0.1 if name in ("gamma-map", "refined-lee") else 0.02)
    assert found.mean() ** 2 / found.var() > 5


@pytest.mark.parametrize("looks", [1, 4])
@pytest.mark.parametrize("name", NAMES)
def test_each_is_far_better_than_nothing(name: str, looks: int) -> None:
    """On camera at one look: nothing 11.1 dB, the worst of these 21.7; at four looks 16.8 and 24.0."""
    x = ((data.camera().astype(np.float64) + 1) / 256) ** 2
    y = x * np.random.default_rng(0).gamma(looks, 1 / looks, x.shape)
    valid = np.ones(x.shape, bool)
    assert errors(by_name(name, looks)(y, valid), x, valid, peak=1.0).psnr > (21.4 if looks == 1 else 23.8)


def test_frost_without_damping_is_the_mean_and_with_a_lot_the_pixel() -> None:
    y, valid = scene()
    np.testing.assert_allclose(Frost(2, 5, damping=0)(y, valid)[valid], Boxcar(2, 5)(y, valid)[valid], rtol=1e-9)
    np.testing.assert_allclose(Frost(2, 5, damping=1e6)(y, valid)[valid], y[valid], rtol=1e-9)


def test_frost_smooths_a_flat_scene_alike_whatever_the_looks() -> None:
    gains = []
    for looks in (1, 4, 16):
        y = np.random.default_rng(1).gamma(looks, 1 / looks, (300, 300))
        found = Frost(looks)(y, np.ones(y.shape, bool))
        gains.append(found.mean() ** 2 / found.var() / looks)
    # C_i^2 itself varies by sqrt(2 + 6 / looks) / 7 of its mean, which costs a quarter of the gain at one look.
    assert max(gains) < 1.4 * min(gains)


def test_gamma_map_with_the_threshold_of_other_software_leaves_more_pixels() -> None:
    x = ((data.camera().astype(np.float64) + 1) / 256) ** 2
    y = x * np.random.default_rng(0).gamma(4, 0.25, x.shape)
    valid = np.ones(x.shape, bool)
    ours, theirs = ((f(y, valid) == y).mean() for f in (GammaMAP(4), GammaMAP(4, highest=0.5)))
    assert ours == pytest.approx(0.04, abs=0.005)
    assert theirs == pytest.approx(0.16, abs=0.01)
    assert Pair(y, GammaMAP(4)(y, valid), valid).mean_of_ratio == pytest.approx(1, abs=0.03)


def test_refusals() -> None:
    with pytest.raises(BadInput, match="boxcar, lee, refined-lee, frost, gamma-map"):
        by_name("kuan", 1)
    for looks, size in ((0, 7), (-1, 7), (math.inf, 7), (math.nan, 7), (1, 1), (1, 4), (1, -3)):
        with pytest.raises(BadInput, match="odd and 3 or more"):
            by_name("lee", looks, size)
    with pytest.raises(ValueError, match="damping"):
        Frost(1, 7, damping=-1)
