from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from restorekit.errors import BadInput
from restorekit.sar.speckle import SWATHS, SpeckleSpectrum, draw, swath

SIZE = (700, 700)


def correlation(x: np.ndarray, down: int, right: int) -> float:
    d = x - x.mean()
    h, w = x.shape
    return float((d[down:, right:] * d[: h - down, : w - right]).mean() / (d * d).mean())


@pytest.mark.parametrize("name", [None, "iw1", "iw3"])
@pytest.mark.parametrize("looks", [0.5, 1, 1.5, 4, 4.4])
def test_mean_variance_and_law(looks: float, name: str | None) -> None:
    spectrum = None if name is None else swath(name)
    x = draw(SIZE, looks, spectrum, np.random.default_rng(3))
    kappa = 1.0 if spectrum is None else spectrum.kappa
    n = x.size / kappa
    # Four standard errors: of the mean, and of the variance by the fourth moment 3 + 6 / looks of a gamma law.
    assert x.mean() == pytest.approx(1, abs=4 / math.sqrt(looks * n))
    assert x.var() * looks == pytest.approx(1, abs=4 * math.sqrt((2 + 6 / looks) / n))
    # Every third pixel, between which hardly any correlation is left; 1.63 / sqrt(n) is the 1 % point.
    some = x[::3, ::3].ravel()
    assert stats.kstest(some, stats.gamma(looks, scale=1 / looks).cdf).statistic < 1.63 / math.sqrt(some.size)


@pytest.mark.parametrize("name", SWATHS)
@pytest.mark.parametrize("looks", [0.4, 1, 4.4, 5])
def test_correlation_is_that_of_the_spectrum(name: str, looks: float) -> None:
    spectrum = swath(name)
    x = draw(SIZE, looks, spectrum, np.random.default_rng(8))
    rows, columns = spectrum.lag_one
    # Heavy tails at 0.4 looks: 0.01 is four times the spread over seeds at 700 x 700 pixels.
    assert correlation(x, 1, 0) == pytest.approx(rows, abs=0.01)
    assert correlation(x, 0, 1) == pytest.approx(columns, abs=0.01)
    assert correlation(x, 1, 1) == pytest.approx(rows * columns, abs=0.01)


@pytest.mark.parametrize("looks", [1, 4.4])
def test_kappa_is_the_loss_of_looks_of_a_mean(looks: float) -> None:
    """The definition: var(mean of many) = kappa / (looks n)."""
    spectrum = swath("iw2")
    x = draw((1400, 1400), looks, spectrum, np.random.default_rng(0))
    blocks = x.reshape(70, 20, 70, 20).mean((1, 3))
    # Within blocks of 20 the outermost pixels lack neighbours: 1 - O(1 / 20). 4900 blocks: 2 % of standard error.
    lag = np.arange(-19, 20)
    axes = [np.fft.ifft(spectrum.window(4096, o) ** 2).real ** 2 for o in (spectrum.azimuth, spectrum.range)]
    expected = math.prod(float(((1 - np.abs(lag) / 20) * a[np.abs(lag)]).sum()) for a in axes)
    assert blocks.var() * looks * 400 == pytest.approx(expected, rel=0.08)
    assert 0.9 * spectrum.kappa < expected < spectrum.kappa


@pytest.mark.parametrize(
    ("name", "rows", "columns", "kappa"),
    [("iw1", 0.38, 0.18, 2.45), ("iw2", 0.41, 0.29, 2.97), ("iw3", 0.41, 0.38, 3.35)],
)
def test_known_figures_of_sentinel_1(name: str, rows: float, columns: float, kappa: float) -> None:
    assert swath(name).lag_one == pytest.approx((rows, columns), abs=0.005)
    assert swath(name).kappa == pytest.approx(kappa, abs=0.005)


def test_enl_of_a_mean_of_49_pixels() -> None:
    """Of single-look complex data through a 7 x 7 mean: 22.6, 18.8, 17.0, and 49 without correlation."""
    from scipy.ndimage import uniform_filter

    for name, expected in (("iw1", 22.6), ("iw2", 18.8), ("iw3", 17.0), (None, 49.0)):
        x = draw((1200, 1200), 1, None if name is None else swath(name), np.random.default_rng(1))
        means = uniform_filter(x, 7)[8:-8, 8:-8]
        assert means.mean() ** 2 / means.var() == pytest.approx(expected, rel=0.03), name  # 3 standard errors


@pytest.mark.parametrize("looks", [1, 2.5])
@pytest.mark.parametrize("shape", [(1, 1), (7, 13), (40, 5)])
def test_any_size_and_the_same_seed(shape: tuple[int, int], looks: float) -> None:
    for spectrum in (None, swath("iw1")):
        a, b, c = (draw(shape, looks, spectrum, np.random.default_rng(s)) for s in (5, 5, 6))
        assert a.shape == shape
        assert (a == b).all()
        assert (a != c).all()
        assert (a > 0).all()


def test_ends_of_a_field_do_not_know_each_other() -> None:
    x = np.stack([draw((40, 40), 1, swath("iw3"), np.random.default_rng(s)) for s in range(600)])
    first, last = x[:, 0].ravel(), x[:, -1].ravel()
    assert abs(np.corrcoef(first, last)[0, 1]) < 4 * math.sqrt(2 / first.size)


def test_small_fields_are_as_bright_as_large_ones() -> None:
    x = np.stack([draw((3, 5), 1, swath("iw3"), np.random.default_rng(s)) for s in range(3000)])
    assert x.mean() == pytest.approx(1, abs=4 * math.sqrt(1 / 3000))


def test_refusals() -> None:
    with pytest.raises(BadInput, match="known: iw1, iw2, iw3"):
        swath("iw4")
    for looks in (0, -1, math.inf, math.nan):
        with pytest.raises(BadInput, match="looks"):
            draw((4, 4), looks, None, np.random.default_rng(0))
    for bad in ((0.9, 1, 0.75), (1, 0, 0.75), (1, 1, 0.4), (1, 1, 1.1)):
        with pytest.raises(ValueError, match="oversampling"):
            SpeckleSpectrum(*bad)


def test_no_window_and_no_oversampling_is_white() -> None:
    spectrum = SpeckleSpectrum(1, 1, alpha=1)
    assert spectrum.kappa == pytest.approx(1, abs=1e-3)  # its band lacks the one frequency of its edge
    assert spectrum.lag_one == pytest.approx((0, 0), abs=1e-6)
