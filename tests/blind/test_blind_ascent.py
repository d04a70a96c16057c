"""The slope of ln p(y | kernel) by draws: against a field whose posterior and likelihood are exact, and on photographs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data

from restorekit.blind.ascent import FRESH, LENGTH, TURN, Ascent, correlations
from restorekit.blind.correction import KernelCorrection
from restorekit.blind.drawn import blurred
from restorekit.blind.families import gaussian, motion
from restorekit.blind.stretch import Frame
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.operators import FreeBlur
from restorekit.priors.find import load_prior

SIDE, SIGMA_Y = 30, 0.02
FRAME = Frame(np.pad(motion(7, 20), 1))


class Field:
    """A Gaussian field of SIDE x SIDE whose pixels are alike within a few of them, seen through a kernel."""

    def __init__(self, seed: int) -> None:
        i = np.indices((SIDE, SIDE)).reshape(2, -1).astype(float)
        self.covariance = 0.06 * np.exp(-np.hypot(*(i[:, :, None] - i[:, None])) / 0.5) + 1e-6 * np.eye(SIDE**2)
        self.root = np.linalg.cholesky(self.covariance)
        self.rng = np.random.default_rng(seed)
        self._known: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def seen(self, kernel: np.ndarray) -> np.ndarray:
        x = (self.root @ self.rng.standard_normal(SIDE**2)).reshape(1, SIDE, SIDE)
        y = blurred(x, kernel)
        return y + SIGMA_Y * self.rng.standard_normal(y.shape)

    def matrix(self, kernel: np.ndarray) -> np.ndarray:
        units = np.eye(SIDE**2).reshape(-1, SIDE, SIDE)
        return blurred(units, kernel).reshape(SIDE**2, -1).T

    def draw(self, y: np.ndarray, kernel: np.ndarray, number: int) -> np.ndarray:
        """Exact, by conditioning a draw of the prior; each anew."""
        if kernel.tobytes() not in self._known:
            a = self.matrix(kernel)
            gain = self.covariance @ a.T @ np.linalg.inv(a @ self.covariance @ a.T + SIGMA_Y**2 * np.eye(len(a)))
            self._known[kernel.tobytes()] = a, gain
        a, gain = self._known[kernel.tobytes()]
        x, noise = self.root @ self.rng.standard_normal(SIDE**2), SIGMA_Y * self.rng.standard_normal(len(a))
        return (x + gain @ (y.ravel() - a @ x - noise)).reshape(1, SIDE, SIDE)

    def likelihood(self, y: np.ndarray, kernel: np.ndarray) -> float:
        a = self.matrix(kernel)
        c = a @ self.covariance @ a.T + SIGMA_Y**2 * np.eye(len(a))
        return float(-0.5 * (y.ravel() @ np.linalg.solve(c, y.ravel()) + np.linalg.slogdet(c)[1]))


@pytest.fixture
def even(monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights at the frame, where draws of a field are as exact as elsewhere."""
    monkeypatch.setattr("restorekit.blind.ascent.window", lambda shape: np.ones(shape[-2:]))


@pytest.mark.usefixtures("even")
def test_the_slope_is_that_of_the_exact_likelihood() -> None:
    """Fisher's identity."""
    field, ways, theta = Field(0), Ascent.ways(FRAME), np.array([0.02, 0.04, 0.03])
    kernel = FRAME(theta)
    changes = [(FRAME(theta + way / 10) - FRAME(theta - way / 10)) * 5 for way in ways]
    for _ in range(3):
        y = field.seen(FRAME(np.zeros(3)))
        draws = [correlations(y, field.draw(y, kernel, 0), kernel, changes)[0] / SIGMA_Y**2 for _ in range(250)]
        ends = [[field.likelihood(y, FRAME(theta + s * way / 10)) for s in (1, -1)] for way in ways]
        exact = [5 * (up - down) for up, down in ends]
        error = np.std(draws, 0) / np.sqrt(len(draws))
        assert np.all(np.abs(np.mean(draws, 0) - exact) < 4 * error + 0.02 * np.abs(exact))
        assert np.abs(exact).max() > 4 * error.max()


@pytest.mark.usefixtures("even")
def test_of_a_right_kernel_the_slope_is_0_and_of_others_it_points_there() -> None:
    """On average over measurements; what is subtracted costs nothing of the former and a part of the latter."""
    field, ways = Field(1), Ascent.ways(FRAME)
    for true in (-1.0, 0.0, 1.0):
        found = [Ascent(draws=80).slope(field.seen(FRAME(true * ways[0])), FRAME, np.zeros(3), ways, SIGMA_Y, field.draw, i)[0][0]
                 for i in range(12)]  # fmt: skip
        score = np.mean(found) / np.std(found) * np.sqrt(len(found))
        assert abs(score) < 3 if true == 0 else true * score > 4


def photo(kernel: np.ndarray) -> Problem:
    """The face of the astronaut, 96x96, blurred with what lies beyond."""
    x = data.astronaut()[40:176, 180:316].transpose(2, 0, 1) / 255
    y = np.stack([ndimage.convolve(band, kernel, mode="reflect") for band in x])[:, 20:-20, 20:-20]
    y = y + 0.01 * np.random.default_rng(0).standard_normal(y.shape)
    given = torch.from_numpy(np.pad(motion(15, 30), 6)).float()
    return Problem(torch.from_numpy(y).float()[None], FreeBlur.of((3, 96, 96), given), Gaussian(0.01))


def test_on_a_photograph_it_finds_what_the_spectrum_does_not() -> None:
    denoise, correct = load_prior("natural-fast").for_bands(3), KernelCorrection(steps=8)
    found = correct(photo(motion(13.5, 30)), denoise)
    assert found.stretched is not None
    assert found.climbed is not None
    assert not found.stretched.theta.any()  # below its gate
    size, form, turn = found.climbed.theta
    assert size + form / 2 == pytest.approx(np.log(13.5 / 15), abs=0.035)
    assert turn == pytest.approx(0, abs=0.02)
    assert found.climbed.gain > 20
    assert 1 < found.climbed.slopes <= 2 * (Ascent.most + 1 + Ascent.checks)


def hill(theta: np.ndarray, ways: np.ndarray, top: float) -> tuple[np.ndarray, np.ndarray]:
    """(slope, its change) of a likelihood whose top is `top` LENGTHs away, and flat beyond 2 of them."""
    at = np.linalg.lstsq(ways.T, theta, rcond=None)[0]
    away = np.array([top, 0.0]) - at
    return 60 * away * (np.abs(away) < 2), 60 / 0.08 * np.eye(2)


@pytest.mark.parametrize(
    ("top", "told", "other", "reached"),
    [
        (0.0, True, None, 0.0),  # a right kernel
        (1.0, True, None, 1.0),
        (1.0, False, None, 0.0),  # other random numbers do not see it
        (3.0, True, None, 0.0),  # too far to be felt
        (3.0, True, 2.6, 3.0),  # but where the spectrum points there
        (3.0, False, 2.6, 0.0),
    ],
)
def test_it_goes_where_fresh_draws_agree(
    monkeypatch: pytest.MonkeyPatch, top: float, told: bool, other: float | None, reached: float
) -> None:
    ways = Ascent.ways(FRAME)

    def slope(self: Ascent, y, frame, theta, ways, sigma_y, draw, seed, first=0, apart=0):  # type: ignore[no-untyped-def]
        if first == FRESH:
            assert apart == self.draws == 2
            return (
                (hill(theta, ways, top) if told else hill(theta, ways, -1.0))
                if top < 2
                else (
                    np.array([40.0 if told else -40.0, 0.0]),
                    np.eye(2),
                )
            )
        return hill(theta, ways, top)

    monkeypatch.setattr(Ascent, "slope", slope)
    beyond = None if other is None else other * ways[0]
    found = Ascent(error=5.0)(np.zeros((1, 9, 9)), FRAME, np.zeros(3), 0.01, lambda *_: np.zeros(1), 0, beyond)
    at = np.linalg.lstsq(ways.T, found.theta, rcond=None)[0]
    assert at == pytest.approx([reached, 0], abs=0.1)
    assert (found.gain > 5) == (reached != 0)


def test_a_round_kernel_and_a_constant_picture_say_nothing() -> None:
    def draw(y: np.ndarray, kernel: np.ndarray, number: int) -> np.ndarray:
        return np.full((1, 30, 30), 0.5)

    smooth, line = Frame(gaussian(1.5)), Frame(np.pad(motion(7, 20), 1))
    assert Ascent.ways(smooth).shape == (0, 3)
    climbed = Ascent()(np.full((1, 18, 18), 0.5), smooth, np.zeros(3), 0.01, draw)
    assert (climbed.slopes, climbed.gain) == (0, 0)
    still = Ascent()(np.full((1, 18, 18), 0.5), line, np.zeros(3), 0.01, draw)
    assert not still.theta.any()
    assert Ascent.ways(line)[1, 2] == pytest.approx(TURN)
    assert Ascent.ways(line)[0, 0] + Ascent.ways(line)[0, 1] / 2 == pytest.approx(LENGTH)
