"""What the spectrum of a blurred picture says of its kernel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage, optimize
from skimage import data

from restorekit.blind.families import Families, disc, gaussian, motion
from restorekit.blind.spectrum import Whittle
from restorekit.blind.stretch import Frame, Stretch
from restorekit.files.curves import SRGB
from restorekit.text.kernels import kernel

SIGMA_Y = 0.01


def blurred(picture: np.ndarray, kernel: np.ndarray, seed: int = 0, sigma: float = SIGMA_Y) -> np.ndarray:
    """(1, 160, 160) of the middle, so that nothing is known beyond the border."""
    x = ndimage.convolve(picture.astype(np.float64) / 255, kernel, mode="reflect")
    top, left = ((n - 160) // 2 for n in x.shape)
    y = x[top : top + 160, left : left + 160]
    return (y + sigma * np.random.default_rng(seed).standard_normal(y.shape))[None]


PICTURES = {
    "camera": data.camera(), "coins": data.coins(), "astronaut": data.astronaut()[..., 1], "coffee": data.coffee()[..., 1],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "length", "degrees"),
    [("camera", 18, 30), ("coins", 12, 30), ("astronaut", 15, 37), ("coffee", 15, 25), ("coins", 15, 37), ("astronaut", 12, 30)],
)  # fmt: skip
def test_a_wrong_length_or_direction_is_found(name: str, length: float, degrees: float) -> None:
    guess, true = motion(15, 30), motion(length, degrees)
    found = Stretch()(blurred(PICTURES[name], true), guess, SIGMA_Y)
    assert found.gain > Stretch.gate
    # Of a thin line only the length along it tells: ln size and half of ln length over width.
    assert found.theta[0] + found.theta[1] / 2 == pytest.approx(math.log(length / 15), abs=0.06)
    assert found.theta[2] == pytest.approx(math.radians(degrees - 30), abs=0.04)
    assert found.kernel.sum() == pytest.approx(1)
    assert found.kernel.min() >= 0


@pytest.mark.parametrize("name", ["camera", "coffee", "moon"])
def test_an_exact_kernel_stays_as_it_is(name: str) -> None:
    kernel, picture = motion(15, 30), PICTURES.get(name, data.moon())  # moon: hardly any texture
    found = Stretch()(blurred(picture, kernel), kernel, SIGMA_Y)
    assert not found.theta.any()
    np.testing.assert_allclose(found.kernel, np.pad(kernel, Stretch.margin), atol=1e-12)


FOUND = {("camera", 2.2), ("coins", 1.8), ("astronaut", 1.8), ("astronaut", 2.2), ("coffee", 1.8)}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("width", [1.8, 2.0, 2.2])
def test_the_width_of_a_smooth_kernel_is_found_or_left(name: str, width: float) -> None:
    found = Stretch()(blurred(PICTURES[name], gaussian(width)), gaussian(2.0), SIGMA_Y)
    assert np.abs(found.theta[1:]).max() < 1e-3
    assert bool(found.theta[0]) == ((name, width) in FOUND)
    before, after = (abs(math.log(width / 2) - t) for t in (0, found.theta[0]))
    assert after < before or not found.theta[0]


def test_at_no_change_the_frame_is_the_kernel_and_length_is_length() -> None:
    kernel = motion(15, 30)
    frame = Frame(np.pad(kernel, 6))
    np.testing.assert_allclose(frame(np.zeros(3)), np.pad(kernel, 6), atol=1e-12)

    def deviation(k: np.ndarray) -> float:
        i, j = np.indices(k.shape)
        return math.sqrt((k * (i - (k * i).sum()) ** 2).sum() + (k * (j - (k * j).sum()) ** 2).sum())

    longer = frame(np.array([0.0, 2 * math.log(1.2), 0.0]))
    assert deviation(longer) / deviation(kernel) == pytest.approx(1.2, rel=0.02)
    direction, _ = Frame(frame(np.array([0.0, 0.0, math.radians(7)]))).axis
    assert math.degrees(math.atan2(-direction[1], direction[0])) % 180 == pytest.approx(37, abs=1)


@pytest.mark.parametrize("shape", [(1, 48, 61), (3, 64, 64)])
def test_the_slope_of_the_likelihood_is_its_derivative(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    picture = Whittle(rng.random(shape), SIGMA_Y)
    kernel, seen = motion(7, 20), []

    def record(cost, first, **more):  # type: ignore[no-untyped-def]
        seen.append(cost)
        return plain(cost, first, **more)

    plain = optimize.minimize
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimize, "minimize", record)
        picture.fit(kernel, picture.start())
    at = picture.start() + 0.1 * rng.standard_normal(7)
    slopes = optimize.approx_fprime(at, lambda p: seen[0](p)[0], 1e-6)
    np.testing.assert_allclose(seen[0](at)[1], np.asarray(slopes), rtol=1e-3, atol=1e-3)


def leaked(picture: Whittle, spectrum: np.ndarray) -> np.ndarray:
    """Return a spectrum (h, w) as windows leak it, by the whole plane."""
    return np.fft.ifft2(np.fft.fft2(spectrum) * picture._leak).real


def test_the_periodogram_is_expected_as_it_comes() -> None:
    """Of a stationary field, whose spectrum falls steeply, through the window: the mean of many."""
    rng = np.random.default_rng(1)
    fy, fx = np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None]
    spectrum = np.exp(-300 * (fx**2 + fy**2)) + 1e-4
    found = []
    for _ in range(150):
        field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((256, 256))) * np.sqrt(spectrum)).real
        found.append(Whittle(field[None, 50:98, 60:108], 0.0).periodogram)
    small = Whittle(np.zeros((1, 48, 48)), 0.0)
    gy, gx = np.fft.fftfreq(48)[:, None], np.fft.fftfreq(48)[None]
    expected = leaked(small, np.exp(-300 * (gx**2 + gy**2)) + 1e-4)
    used = np.hypot(gy, gx) > 4 / 48
    ratio = np.mean(found, 0)[used] / expected[used]
    assert np.median(ratio) == pytest.approx(1, abs=0.03)
    assert np.abs(np.log(ratio)).max() < 0.6


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_a_motion_that_nothing_is_known_of_is_found(name: str) -> None:
    true = motion(13, 30)
    found = Families(longest=15, turns=6)(blurred(PICTURES[name], true), SIGMA_Y)
    assert found.gain > 24
    assert found.text.startswith("motion")
    sides = np.max([found.kernel.shape, true.shape], 0)
    a, b = (np.pad(k, [((n - m) // 2,) * 2 for n, m in zip(sides, k.shape)]) for k in (found.kernel, true))
    assert (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b) > 0.8


def test_no_blur_is_found_in_a_sharp_picture() -> None:
    assert Families(longest=12, turns=6)(blurred(PICTURES["astronaut"], np.ones((1, 1))), SIGMA_Y).gain < 24


def test_lines_are_told_from_other_kernels() -> None:
    assert Frame(np.pad(motion(15, 30), 3)).straight
    assert Frame(kernel("motion:5:70").double().numpy()).straight
    curved = np.pad(motion(9, 0), 6) + np.roll(np.pad(motion(9, 60), 6), (-2, 5), (0, 1))
    for other in (gaussian(0.5), gaussian(2), disc(4), curved / curved.sum()):
        assert not Frame(other).straight
    assert Frame(gaussian(2)).round
    assert Frame(disc(4)).round
    assert not Frame(curved / curved.sum()).round


@pytest.mark.parametrize("name", ["camera", "coffee"])
def test_a_wrong_radius_is_doubted_at_96_pixels_and_a_right_one_is_not(name: str) -> None:
    y = blurred(PICTURES[name], disc(4.0))[:, 32:128, 32:128]
    for given, least in ((4.0, None), (3.5, 0.05), (3.0, 0.1)):
        found = Stretch.doubting(disc(given))(y, disc(given), SIGMA_Y)
        assert not found.theta.any() if least is None else found.theta[0] > least
    in_light = SRGB().decode(PICTURES[name] / 255)
    y = blurred(255 * in_light, disc(4.0), sigma=0.003)[:, 32:128, 32:128]
    assert not Stretch.doubting(disc(4.0))(y, disc(4.0), 0.003).theta.any()


def test_a_disc_has_an_edge_and_a_gaussian_has_none() -> None:
    assert Frame(np.pad(disc(4.0), 3)).edged
    for other in (gaussian(2.0), motion(15, 30), np.ones((1, 1))):
        assert not Frame(np.pad(other, 3)).edged


@pytest.mark.parametrize("shape", [(21, 30), (24, 17)])
def test_half_of_the_frequencies_tell_what_all_do(shape: tuple[int, int]) -> None:
    """-ln p of Whittle, summed over the whole plane."""
    y = np.random.default_rng(0).normal(size=(1, *shape))
    kernel, picture = np.array([[0.2, 0.5, 0.3]]), Whittle(y, 0.1)
    cost, p = picture.fit(kernel, picture.start(), 3)
    fy, fx = (np.fft.fftfreq(n) for n in shape)
    log = 0.5 * np.log(fy[:, None] ** 2 + fx**2 + (0.5 / max(shape)) ** 2) + 1.5
    angle = np.arctan2(fy[:, None], fx)
    harmonics = sum(
        p[3 + i] * f(n * angle) for i, (n, f) in enumerate((n, f) for n in (2, 4) for f in (np.cos, np.sin))
    )
    s = p[0] - p[1] * log + p[2] * log**2 + harmonics
    s = (s + np.roll(s[::-1, ::-1], 1, (0, 1))) / 2
    expected = leaked(picture, np.abs(np.fft.fft2(kernel, shape)) ** 2 * np.exp(s)).clip(0) + 0.01
    away = (p - picture._typical) / picture._spread
    whole = (picture._weights * (np.log(expected) + picture.periodogram / expected)).sum() + (away**2).sum() / 2
    assert cost == pytest.approx(whole, rel=1e-9)
