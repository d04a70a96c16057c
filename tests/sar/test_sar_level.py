"""The level of answers in logarithms."""

from __future__ import annotations

import numpy as np
import pytest

from restorekit.sar.level_bias import level_bias
from restorekit.sar.radiometry import Level


def scene(looks: float = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(y, answer, signal): an answer flatter than the scene, whose level is off by another factor on the right."""
    rng = np.random.default_rng(0)
    answer = np.exp(np.repeat(rng.normal(0, 1, (1, 200)), 160, 0))
    truth = answer * np.exp(rng.normal(0, 0.3, answer.shape)) * np.where(np.arange(200) < 100, 1.0, 1.5)
    return truth * rng.gamma(looks, 1 / looks, truth.shape), answer, np.ones(truth.shape, np.bool_)


def ratios(y: np.ndarray, x: np.ndarray, signal: np.ndarray) -> tuple[float, float]:
    """(MoR, MoI)"""
    return float((y / x)[signal].mean()), float(x[signal].mean() / y[signal].mean())


def test_a_power_of_one_sets_the_mean_of_the_ratio_and_none_the_mean() -> None:
    y, x, signal = scene()
    mor, _ = ratios(y, x * Level(power=1.0)(y, x, signal), signal)
    _, moi = ratios(y, x * Level(power=0.0)(y, x, signal), signal)
    assert mor == pytest.approx(1, abs=0.01)
    assert moi == pytest.approx(1, abs=0.01)


def test_of_a_posterior_mean_the_default_keeps_both_against_other_speckle() -> None:
    """Under an inverse gamma law of levels the posterior mean of one pixel is known: (a b + L y) / (a + L)."""
    rng = np.random.default_rng(1)
    looks, a, shape = 3.0, 4.0, (400, 400)
    truth = a / rng.gamma(a + 1, 1, shape)
    y, other = (truth * rng.gamma(looks, 1 / looks, shape) for _ in range(2))
    exact = (a + looks * y) / (a + looks)
    everywhere = np.ones(shape, np.bool_)
    x = 0.9 * exact * Level()(y, 0.9 * exact, everywhere)
    mor, moi = ratios(y, x, everywhere)
    assert moi == pytest.approx(1, abs=0.01)
    assert mor < 0.95  # of its own speckle
    assert ratios(other, x, everywhere) == pytest.approx((1, 1), abs=0.01)
    found = level_bias(other, x, everywhere)
    assert found is not None
    assert np.abs(found.bias).max() < 0.1
    tilted = level_bias(y, x, everywhere)
    assert tilted is not None
    assert tilted.bias[0] > 1
    assert tilted.bias[-1] < -1


def test_levels_are_found_where_they_are() -> None:
    y, x, signal = scene()
    factor = Level(sigma=10.0)(y, x, signal)
    assert np.median(factor[:, 130:]) / np.median(factor[:, :70]) == pytest.approx(1.5, rel=0.05)


def test_it_follows_the_unit_and_not_what_has_no_signal() -> None:
    y, x, signal = scene()
    signal[40:90, 20:60] = False
    plain = Level()(y, x, signal)
    np.testing.assert_allclose(Level()(1e-4 * y, 1e-4 * x, signal), plain, rtol=1e-9)
    y[~signal], x[~signal] = 1e9, np.nan
    np.testing.assert_array_equal(Level()(y, x, signal), plain)
    assert np.isfinite(plain).all()


def test_a_bright_target_that_the_answer_misses_does_not_lift_its_surroundings() -> None:
    y, x, signal = scene()
    plain = Level()(y, x, signal)
    y[80, 100] = 1e6
    np.testing.assert_allclose(Level()(y, x, signal), plain, rtol=0.02)


def test_without_any_signal_nothing_changes() -> None:
    y, x, _ = scene()
    np.testing.assert_array_equal(Level()(y, x, np.zeros(y.shape, np.bool_)), 1.0)
