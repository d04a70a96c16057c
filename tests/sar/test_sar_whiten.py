"""Whitening of complex speckle: independent neighbours, the mean of the scene, and pixels where they were."""

from __future__ import annotations

import numpy as np
import pytest

from restorekit.sar.looks import measure
from restorekit.sar.speckle import SWATHS
from restorekit.sar.whiten import Whitening, whitening_of


def whitened(name: str, seed: int = 0) -> tuple[Whitening, np.ndarray]:
    z = 3 * SWATHS[name].field(480, 480, np.random.default_rng(seed))
    i, j = np.mgrid[:480, :480]
    z = z * np.exp(2j * np.pi * (0.21 * i - 0.3 * j))  # a band whose middle is elsewhere
    return whitening_of([z[a : a + 240, b : b + 240] for a in (0, 240) for b in (0, 240)]), z


@pytest.mark.parametrize("name", SWATHS)
def test_the_band_is_found(name: str) -> None:
    found, _ = whitened(name)
    spectrum = SWATHS[name]
    # Windows of 240 pixels: a bin and the width of the smoothing on each side.
    assert found.down.share == pytest.approx(1 / spectrum.azimuth, abs=0.02)
    assert found.across.share == pytest.approx(1 / spectrum.range, abs=0.02)
    assert found.down.centre == pytest.approx(0.21, abs=0.01)
    assert found.across.centre == pytest.approx(-0.3, abs=0.01)


@pytest.mark.parametrize("name", SWATHS)
def test_neighbours_become_independent_and_the_mean_stays(name: str) -> None:
    found, z = whitened(name)
    y = found(z)
    assert y.shape == (found.down.size(480), found.across.size(480))
    before, after = (measure(x, np.ones(x.shape, np.bool_)) for x in (np.abs(z) ** 2, y))
    assert max(after.lag_one) < 0.06 < max(before.lag_one)
    assert after.looks == pytest.approx(1, abs=0.1)
    # About 1e5 independent pixels of coefficient of variation 1, and the smoothing of the window.
    assert float(y.mean()) == pytest.approx(9, rel=0.03)


def test_white_data_are_left_alone() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(240, 240)) + 1j * rng.normal(size=(240, 240))
    found = whitening_of([z])
    assert (found.down.share, found.across.share) == (1, 1)
    y = found(z)
    assert y.shape == z.shape
    assert float(np.corrcoef(y.ravel(), (np.abs(z) ** 2).ravel())[0, 1]) > 0.9


def test_pixels_come_back_where_they_were() -> None:
    found, _ = whitened("iw2")
    h, w = 200, 260
    i, j = np.mgrid[:h, :w]
    slope = 0.02 * i - 0.013 * j + 1
    m, n = found.down.size(h), found.across.size(w)
    a, b = np.mgrid[:m, :n]
    coarse = 0.02 * (a * h / m) - 0.013 * (b * w / n) + 1
    back = found.fine(coarse, h, w)
    assert back.shape == (h, w)
    np.testing.assert_allclose(back[8:-8, 8:-8], slope[8:-8, 8:-8], atol=1e-3)


def test_a_target_moves_by_less_than_a_pixel_of_the_coarse_grid() -> None:
    found, _ = whitened("iw2")
    z = np.zeros((240, 240), complex)
    i, j = np.mgrid[:240, :240]
    # A band-limited target at (100, 60), as the sensor sees it.
    f, g = (np.fft.fftfreq(240) for _ in range(2))
    shape = SWATHS["iw2"].window(240, 1.55)[:, None] * SWATHS["iw2"].window(240, 1.33)
    z = np.fft.ifft2(shape * np.exp(-2j * np.pi * (100 * f[:, None] + 60 * g)))
    y = found(z * np.exp(2j * np.pi * (found.down.centre * i + found.across.centre * j)))
    row, column = np.unravel_index(int(y.argmax()), y.shape)
    assert row * 240 / y.shape[0] == pytest.approx(100, abs=1)
    assert column * 240 / y.shape[1] == pytest.approx(60, abs=1)


def test_masks_shrink_on_the_way() -> None:
    found, _ = whitened("iw3")
    mask = np.ones((240, 240), np.bool_)
    mask[100:120] = False
    coarse = found.coarse(mask)
    assert coarse.shape == (found.down.size(240), found.across.size(240))
    rows = np.flatnonzero(~coarse.all(1)) * 240 / len(coarse)
    assert rows.min() < 100.5
    assert rows.max() > 118.5
