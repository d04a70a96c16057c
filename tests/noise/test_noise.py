"""The noise of a picture, measured in the picture: what is left out, what is white, what is not, impulses."""

from __future__ import annotations

import io as bytes_io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from scipy import ndimage

from restorekit.errors import BadInput
from restorekit.files.picture import read_picture
from restorekit.files.transfer import SRGB
from restorekit.noise.impulses import Impulses
from restorekit.noise.level import NoiseLevel, grouped_median
from restorekit.noise.pixels import Telling

DATA = Path(os.environ.get("RESTOREKIT_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")


def photo(name: str = "astronaut", side: int = 256) -> np.ndarray:
    """(C, side, side), its lower left."""
    return np.moveaxis(np.atleast_3d(getattr(skimage.data, name)()), -1, 0)[:, -side:, :side] / 255.0


def eight(x: np.ndarray) -> np.ndarray:
    """As a file of 8 bits holds it."""
    return ((x.clip(0, 1) * 255).round() / 255).astype(np.float32)


def noisy(x: np.ndarray, sigma: float, blur: float = 0) -> np.ndarray:
    z = np.random.default_rng(0).standard_normal(x.shape)
    z = ndimage.gaussian_filter(z, (0, blur, blur)) if blur else z
    return x + sigma * z / z.std()


def jpeg(x: np.ndarray, quality: int, **settings: int) -> np.ndarray:
    held = bytes_io.BytesIO()
    pixels = (eight(x) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    Image.fromarray(pixels).save(held, "JPEG", quality=quality, **settings)
    return (np.asarray(Image.open(held)).transpose(2, 0, 1) / 255).astype(np.float32)


@pytest.mark.parametrize("share", [0.2, 0.4, 0.55, 0.7])
def test_clipped_pixels_are_left_out(share: float) -> None:
    x = photo("coffee")
    found = NoiseLevel()(eight(noisy(x / np.quantile(x.mean(0), 1 - share), 0.1)))
    assert found.sigma == pytest.approx(0.1, rel=0.12)  # where noise near a limit is cut too
    assert found.left_out > share
    assert not found.correlated


def test_a_sensor_that_stops_below_white() -> None:
    y = np.minimum(noisy(1.6 * photo("coffee"), 0.05), 0.83)
    assert (y >= 0.83).mean() > 0.3
    assert NoiseLevel()(eight(y)).sigma == pytest.approx(0.05, rel=0.2)
    grey = y[:1].repeat(3, 0)
    smeared = jpeg(grey, 90)
    inside = np.asarray(ndimage.minimum_filter(grey[0] >= 0.83, 9), bool)
    assert len(np.unique(smeared[:, inside])) > 2
    assert Telling()(smeared)[:, inside].mean() < 0.05


@pytest.mark.parametrize("fill", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("scattered", [False, True])
def test_fills_are_left_out_whatever_their_value(fill: float, scattered: bool) -> None:
    y = eight(noisy(photo(), 0.1))
    gone = np.random.default_rng(1).random(y.shape[1:]) < 0.25 if scattered else np.arange(256) < 0.8 * 256
    y = np.where(gone & np.ones((256, 1), bool), eight(np.array(fill)), y)
    found = NoiseLevel(impulses=Impulses(least=1))(y)  # scattered at a limit they are salt
    assert found.sigma == pytest.approx(0.1, rel=0.1)


def test_where_nothing_tells_it_is_said() -> None:
    y = eight(noisy(photo(), 0.1))
    y[:, 12:] = y[:, :, 12:] = 1
    with pytest.raises(BadInput, match=r"no noise can be measured: \d+% .* give it, as `noise="):
        NoiseLevel()(y)
    with pytest.raises(BadInput, match="no noise can be measured"):
        NoiseLevel()(eight(photo()), np.zeros((1, 256, 256)))


@pytest.mark.parametrize("name", PHOTOS)
def test_clean_photographs_and_white_noise(name: str) -> None:
    for sigma, most in ((0.0, 0.02), (0.02, 0.03), (0.1, 0.11)):
        found = NoiseLevel()(eight(noisy(photo(name), sigma)))
        assert not found.correlated
        assert not found.share
        assert sigma * 0.9 < found.sigma < most


def test_gravel_is_no_noise_that_neighbours_share() -> None:
    gravel = skimage.data.gravel()[None, :128, :128] / 255.0
    found = NoiseLevel()(gravel)
    assert not found.correlated
    assert found.sigma < 0.02


def test_white_noise_of_floats_beyond_the_range_is_not_clipped() -> None:
    y = noisy(photo(), 0.1).astype(np.float32)
    assert (y < 0).mean() > 0.02
    found = NoiseLevel()(y)
    assert found.sigma == pytest.approx(0.1, rel=0.05)
    assert found.left_out < 0.01


@pytest.mark.parametrize("blur", [0.7, 1.0, 1.5])
def test_grain_is_seen_and_its_level_takes_it_out(blur: float) -> None:
    found = NoiseLevel()(eight(noisy(photo("chelsea"), 0.05, blur)))
    assert found.correlated
    assert found.right > 0.3 < found.below
    assert found.white < 0.6 * 0.05
    assert 1.2 * 0.05 < found.sigma < 4 * 0.05  # between the rms and the root of the spectrum at 0, 2 sqrt(pi) blur
    assert any("correlated with its neighbours (0." in note for note in found.notes)


def test_white_noise_through_jpeg_is_seen() -> None:
    found = NoiseLevel()(jpeg(noisy(photo("rocket"), 0.03), 75))
    assert found.sigma > 0.02


def test_a_blurred_photograph_with_white_noise_has_white_noise() -> None:
    for name in PHOTOS:
        for blur in (1.0, 2.0, 4.0):
            y = noisy(ndimage.gaussian_filter(photo(name), (0, blur, blur)), 0.01)
            assert not NoiseLevel()(y.astype(np.float32)).correlated


def test_a_floor_is_no_measurement() -> None:
    ramp = np.linspace(0.1, 0.9, 256)[None, None] * np.ones((1, 256, 1))
    found = NoiseLevel()(noisy(ramp, 1e-4).astype(np.float32))
    assert found.floor
    assert found.sigma == 0.002
    assert not NoiseLevel()(noisy(ramp, 0.004).astype(np.float32)).floor


def test_the_median_of_rounded_values_lies_between_their_levels() -> None:
    z = np.abs(np.random.default_rng(0).standard_normal(100_000))
    assert grouped_median(np.round(2 * z) / 2) == pytest.approx(0.6745, rel=0.05)
    assert grouped_median(np.round(3 * z) / 3) == pytest.approx(0.6745, rel=0.02)
    assert grouped_median(np.zeros(9)) == 0


@pytest.mark.parametrize("share", [0.002, 0.05])
@pytest.mark.parametrize("sigma", [0.0, 0.03])
def test_salt_and_pepper_is_found_and_kept_out_of_the_level(share: float, sigma: float) -> None:
    rng = np.random.default_rng(2)
    x = photo("coffee")
    hit = rng.random(x.shape) < share
    y = eight(np.where(hit, rng.random(x.shape) < 0.5, noisy(x, sigma)))
    found = NoiseLevel()(y)
    seen = hit & (np.abs(y - x) > 0.2)
    assert found.impulses[seen].mean() > 0.75
    assert found.impulses[~hit].mean() < 0.002
    clean = NoiseLevel()(eight(noisy(x, sigma)))
    assert found.white == pytest.approx(clean.white, rel=0.15, abs=0.002)
    assert any("are impulses" in note for note in found.notes)


def test_clean_pictures_hold_no_impulses() -> None:
    pictures = [photo(name) for name in PHOTOS] + [
        photo(name, 190) for name in ("camera", "page", "text", "moon", "brick")
    ]
    for x in pictures:
        assert not Impulses()(eight(x)).any()
        assert not Impulses()(eight(noisy(x, 0.1))).any()


def pairs() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Two of each camera: (name, JPEG of a camera, mean of many), the middle."""
    if not (DATA / "realnoise").is_dir():
        pytest.skip("no realnoise/ in $RESTOREKIT_DATA")
    by_camera: dict[str, list[Path]] = {}
    for path in sorted((DATA / "realnoise").glob("*_real.jpg")):
        by_camera.setdefault(path.name.split("_")[0], []).append(path)
    for paths in by_camera.values():
        for path in (paths[-1], paths[len(paths) // 2]):
            mean = path.with_name(path.name.replace("_real", "_mean"))
            yield path.stem, read_picture(path).pixels, read_picture(mean).pixels


@pytest.mark.data
def test_the_noise_of_cameras_is_seen() -> None:
    """The rms is 0.009 to 0.027, the best level of white noise 0.015 to 0.06, and finest detail reads 0.003."""
    levels = [NoiseLevel()(y) for _, y, _ in pairs()]
    assert sum(found.correlated for found in levels) >= 8
    for found in levels:
        assert found.white < 0.005
        assert not found.correlated or 0.01 < found.sigma < 0.06


def test_dark_areas_of_light_are_no_pile_at_black() -> None:
    rng = np.random.default_rng(3)
    ramp = np.broadcast_to(np.concatenate([np.linspace(0.004, 0.012, 60), np.linspace(0.1, 0.6, 36)]), (3, 96, 96))
    codes = np.rint(255 * SRGB().encode(ramp + 0.001 * rng.standard_normal(ramp.shape))) / 255
    light = SRGB().decode(codes).astype(np.float32)
    assert NoiseLevel(floor=0.0)(light, coded=codes.astype(np.float32)).left_out < 0.1
    assert NoiseLevel(floor=0.0)(light).left_out > 0.5  # where it is judged by light


@pytest.mark.parametrize("name", ["coffee", "astronaut"])
def test_noise_of_light_that_black_cuts_off_is_no_impulse(name: str) -> None:
    """Of a blurred picture: what is an impulse is found beside it."""
    light = ndimage.gaussian_filter(SRGB().decode(photo(name)), (0, 1.6, 1.6))
    rng = np.random.default_rng(0)
    y = eight(SRGB().encode((light + 0.01 * rng.standard_normal(light.shape)).clip(0, 1)))
    assert Impulses()(y).mean() > 0.004
    assert not Impulses(tail=0.06)(y).any()
    hit = rng.random(y.shape) < 0.02
    salted = np.where(hit, rng.random(y.shape) < 0.5, eight(SRGB().encode(light.clip(0, 1)))).astype(np.float32)
    assert Impulses(tail=0.06)(salted)[hit].mean() > 0.9
