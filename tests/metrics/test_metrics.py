from __future__ import annotations

import math

import numpy as np
import pytest

from restorekit.errors import BadInput
from restorekit.metrics import fidelity

pytestmark = pytest.mark.floors

ZERO = np.zeros((3, 17, 9), np.float32)


@pytest.mark.parametrize(
    ("name", "expected"),
    # An error of 0.1 in half of the pixels: mean square 0.005.
    [("mae", 0.05), ("rmse", math.sqrt(0.005)), ("psnr", -10 * math.log10(0.005))],
)
def test_against_hand_computed_values(name: str, expected: float) -> None:
    x = np.zeros((1, 4, 6))
    x[:, ::2] = -0.1
    assert fidelity.METRICS[name](x, np.zeros((1, 4, 6))) == pytest.approx(expected, rel=1e-12)


def test_psnr_range_and_limits() -> None:
    assert fidelity.psnr(ZERO + 25.5, ZERO, data_range=255) == pytest.approx(20)
    assert fidelity.psnr(ZERO, ZERO) == math.inf
    assert fidelity.psnr(ZERO + np.inf, ZERO) == -math.inf
    assert math.isnan(fidelity.psnr(ZERO * np.nan, ZERO))


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 17, 9), (1, 1, 7), (5, 30, 31)])
def test_ssim_of_constants_is_its_luminance_term(shape: tuple[int, int, int]) -> None:
    a, b, c1 = 0.2, 0.6, 1e-4
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    assert fidelity.ssim(np.full(shape, a), np.full(shape, b)) == pytest.approx(expected, rel=1e-9)
    assert fidelity.ssim(np.full(shape, a), np.full(shape, a)) == pytest.approx(1)


def test_ssim_matches_the_definition_at_one_pixel() -> None:
    # 11x11 has exactly one whole window, so the formula of the paper can be written out.
    x, y = np.random.default_rng(0).random((2, 11, 11))
    profile = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weight = np.outer(profile, profile) / profile.sum() ** 2
    mx, my = (weight * x).sum(), (weight * y).sum()
    vx, vy = (weight * x * x).sum() - mx**2, (weight * y * y).sum() - my**2
    cov = (weight * x * y).sum() - mx * my
    expected = (2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
    assert fidelity.ssim(x[None], y[None]) == pytest.approx(expected, rel=1e-9)


def test_white_noise_is_white_and_structure_is_not() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, (3, 64, 64))
    white = fidelity.residual_whiteness(noise, sigma=0.1)
    assert abs(white["lag_x"]) < 0.04
    assert abs(white["lag_y"]) < 0.04
    assert white["std_ratio"] == pytest.approx(1, abs=0.03)
    stripes = np.tile([1.0, -1.0], (1, 8, 4)) + 0.5
    assert fidelity.residual_whiteness(stripes) == pytest.approx({"lag_x": -1, "lag_y": 1, "mean": 0.5, "std": 1})


@pytest.mark.parametrize("value", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (3, 17, 9)])
def test_a_constant_residual_has_no_structure(value: float, shape: tuple[int, int, int]) -> None:
    found = fidelity.residual_whiteness(np.full(shape, value), sigma=1)
    assert found == pytest.approx({"lag_x": 0, "lag_y": 0, "mean": value, "std": 0, "std_ratio": 0}, abs=1e-12)


def test_luma() -> None:
    rgb = np.array([1.0, 2.0, 3.0], np.float32).reshape(3, 1, 1)
    assert fidelity.luma(rgb) == pytest.approx(np.full((1, 1, 1), 0.299 + 2 * 0.587 + 3 * 0.114))
    assert fidelity.luma(rgb).dtype == np.float32
    assert fidelity.luma(rgb[:1]).tolist() == [[[1.0]]]


def test_compare() -> None:
    assert list(fidelity.compare(ZERO, ZERO)) == list(fidelity.METRICS)
    assert fidelity.compare(ZERO, ZERO + 0.5, ["mae", "rmse"]) == {"mae": 0.5, "rmse": 0.5}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fidelity.compare(ZERO, ZERO, ["mae", "lpips"]), ["lpips", "psnr, ssim, mae, rmse"]),
        (lambda: fidelity.psnr(ZERO, ZERO[:1]), ["(3, 17, 9)", "(1, 17, 9)"]),
        (lambda: fidelity.ssim(ZERO, ZERO[..., :5]), ["(3, 17, 9)", "(3, 17, 5)"]),
        (lambda: fidelity.mae(ZERO[0], ZERO[0]), ["(17, 9)"]),
        (lambda: fidelity.luma(ZERO[:2]), ["(2, 17, 9)"]),
        (lambda: fidelity.residual_whiteness(ZERO * np.nan), ["finite"]),
        (lambda: fidelity.residual_whiteness(ZERO, sigma=0), ["sigma=0"]),
    ],
)
def test_errors_are_one_line(call, words: list[str]) -> None:
    with pytest.raises(BadInput) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words)
