"""The noise of a blurred picture at the frequencies that its kernel takes out, and what a JPEG lost by its rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage import data

import restorekit
from restorekit.files.curves import SRGB
from restorekit.files.jpeg_file import read_jpeg
from restorekit.files.picture import read_picture
from restorekit.noise.jpeg_loss import jpeg_loss
from restorekit.noise.level import NoiseLevel
from restorekit.noise.stop_band import GREATER, BlurredNoise, StopBand
from restorekit.notes import Notes
from restorekit.operators import ReflectBlur
from restorekit.tasks.deblur import Deblurring
from restorekit.tasks.restore import Restoring
from restorekit.text.kernels import kernel
from restorekit.text.names import operator_of
from tests.noise.test_noise import photo

Array = np.ndarray
CURVE = SRGB()


def photograph(side: int = 128) -> Array:
    return np.moveaxis(data.astronaut(), -1, 0)[:, 20 : 20 + side, 150 : 150 + side] / 255


def page(side: int = 160) -> Array:
    return np.repeat(data.page()[None, :side, :side] / 255, 3, 0)


def grain(sigma: float, shape: tuple[int, ...], seed: int = 0) -> Array:
    return sigma * np.random.default_rng(seed).standard_normal(shape)


def blurred(x: Array, k: str) -> Array:
    return np.stack([ndimage.convolve(band, kernel(k).double().numpy(), mode="reflect") for band in x])


def found(y: Array, k: str, told: Array | None = None):
    told = np.ones(y.shape, bool) if told is None else told
    return StopBand()(y, told, kernel(k).double().numpy())


@pytest.mark.parametrize("k", ["motion:15:30", "disc:4", "gaussian:2"])
@pytest.mark.parametrize("sigma", [0.003, 0.02])
def test_it_reads_white_noise_of_a_blurred_picture_within_a_tenth(k: str, sigma: float) -> None:
    y = blurred(photograph(), k)
    told = found(y + grain(sigma, y.shape), k)
    assert told is not None
    assert told.sigma == pytest.approx(sigma, rel=0.1)
    assert not np.isfinite(told.fine) or told.fine == pytest.approx(1, abs=0.15)


def test_zeros_around_a_kernel_change_nothing_and_one_larger_than_the_picture_tells_nothing() -> None:
    y = blurred(photograph(), "disc:4")
    y, own = y + grain(0.01, y.shape), kernel("disc:4").double().numpy()
    told, plain = np.ones(y.shape, bool), found(y, "disc:4")
    framed = StopBand()(y, told, np.pad(own, 200))
    assert plain is not None
    assert framed is not None
    assert framed.sigma == plain.sigma
    assert StopBand()(y, told, np.full((129, 129), 1 / 129**2)) is None


@pytest.mark.parametrize("k", ["motion:15:30", "motion:15:0", "disc:4", "gaussian:1", "gaussian:2", "uniform:5"])
@pytest.mark.parametrize("what", ["photograph", "page", "stripes", "texture"])
def test_without_noise_it_reads_the_rounding_of_light_or_nothing(k: str, what: str) -> None:
    """Strong edges and stripes leak through windows; finest detail reads the page five times too high."""
    stripes = np.broadcast_to(0.1 + 0.8 * (np.arange(160) // 3 % 2), (3, 160, 160))
    x = {"photograph": photograph, "page": page, "stripes": lambda: stripes}.get(
        what, lambda: np.random.default_rng(0).random((3, 160, 160))
    )()
    codes = np.rint(255 * CURVE.encode(blurred(CURVE.decode(x), k)))
    y = CURVE.decode(codes / 255)
    rounding = np.sqrt(np.mean((1 / 255 / CURVE.slope(y)) ** 2) / 12)
    told = found(y, k, (codes > 0) & (codes < 255))
    assert told is None or told.sigma < 2 * rounding
    # The rounding of what repeats itself repeats itself, and lies at few frequencies.
    assert told is None or what == "stripes" or told.sigma > 0.5 * rounding
    assert what in ("stripes", "texture") or k.startswith(("motion", "uniform")) or told is not None


def test_neighbours_that_share_noise_are_seen_and_the_level_is_higher() -> None:
    y = blurred(photograph(), "disc:4")
    noise = ndimage.gaussian_filter(grain(0.04, y.shape), (0, 0.7, 0.7))
    told = found(y + noise, "disc:4")
    assert told is not None
    assert told.fine < 0.5
    level = BlurredNoise.of(NoiseLevel()(y + noise), told, False, 0.002)
    assert level.correlated
    assert level.sigma == pytest.approx(GREATER * told.lighter * told.sigma)
    assert "at finer ones" in level.notes[0]
    assert level.record()["stop_band"]["fine"] < 0.5


def test_clipped_areas_do_not_count_and_kernels_that_pass_everything_tell_nothing() -> None:
    y = blurred(photograph(160), "disc:4") + grain(0.005, (3, 160, 160))
    y[:, 30:60, 40:90] = 1.0
    told = found(y, "disc:4", y < 1)
    assert told is not None
    assert told.sigma == pytest.approx(0.005, rel=0.2)
    assert found(y, "gaussian:0.3") is None
    assert found(y[:, :24, :24], "disc:4") is None
    assert StopBand()(y, y < 1, np.ones((1, 1))) is None


def test_noise_of_photons_is_that_of_all_of_the_picture_though_windows_see_its_middle() -> None:
    light = blurred(np.clip(photograph(160), 0.02, 1), "disc:4")
    light[:, 40:120, 40:120] *= 0.1
    light = blurred(light, "gaussian:3")
    noise = ndimage.gaussian_filter(np.sqrt(light) * grain(0.06, light.shape), (0, 0.6, 0.6))
    told = found(light + noise, "disc:4")
    assert told is not None
    assert told.sigma < 0.8 * noise.std()
    assert told.lighter * told.sigma == pytest.approx(noise.std(), rel=0.25)


def test_pixels_kept_of_a_blurred_picture_fold_its_frequencies() -> None:
    y = blurred(photograph(256), "gaussian:2")[:, ::2, ::2]
    told = StopBand()(y + grain(0.01, y.shape), np.ones(y.shape, bool), kernel("gaussian:2").double().numpy(), 2)
    assert told is not None
    assert told.sigma == pytest.approx(0.01, rel=0.15)


def saved(path: Path, light: Array, quality: int = 95) -> Path:
    codes = np.rint(255 * CURVE.encode(light.clip(0, 1))).astype(np.uint8).transpose(1, 2, 0)
    Image.fromarray(codes).save(path, quality=quality, subsampling=0)
    return path


def test_tasks_that_know_the_kernel_use_it_and_say_so(tmp_path: Path) -> None:
    """Finest detail says less than a third of what the camera's demosaicing left of its noise."""
    y = blurred(CURVE.decode(photograph()), "disc:4")
    noise = ndimage.gaussian_filter(grain(0.06, y.shape), (0, 0.8, 0.8))
    path = saved(tmp_path / "y.png", y + noise)
    for op in ("deblur", "restore"):
        notes = Notes()
        task = Deblurring(kernel="disc:4") if op == "deblur" else Restoring(op="blur:kernel=disc:4")
        forward = task.measure(path, notes).forward
        assert isinstance(forward.found, BlurredNoise)
        assert noise.std() < forward.found.sigma < 2 * noise.std()
        assert "at the frequencies that the blur takes out" in notes.texts[0]
    plain = Deblurring(kernel="gaussian:0.5").measure(path, notes := Notes()).forward
    assert not isinstance(plain.found, BlurredNoise)
    assert any("flat parts were asked" in text for text in notes.texts)


@pytest.mark.parametrize(
    "change", [(0.0, 1.0), (0.7, 0.28), (0.02, 0.1), (0.45, 0.1)], ids=["as is", "bright", "dark", "flat"]
)
@pytest.mark.parametrize("quality", [50, 85, 95])
def test_what_a_jpeg_lost_is_told_within_two_thirds_whatever_the_light(
    tmp_path: Path, change: tuple[float, float], quality: int
) -> None:
    """The table alone says up to 17 times as much."""
    low, more = change
    y = blurred(low + more * CURVE.decode(photograph()), "motion:9:30")
    before = np.rint(255 * CURVE.encode(y.clip(0, 1))) / 255
    path = saved(tmp_path / "y.jpg", y, quality)
    lost = np.sqrt(np.mean((CURVE.decode(read_picture(path).pixels) - CURVE.decode(before)) ** 2))
    assert 0.5 * lost < jpeg_loss(read_jpeg(path), CURVE) < 1.67 * lost


def test_operators_that_blur_give_their_kernel() -> None:
    from restorekit.tasks.noise_found import blurred_by

    shape = (3, 64, 64)
    blur = blurred_by(ReflectBlur(shape, kernel("disc:4")))
    assert blur is not None
    assert blur[1] == 1
    assert blur[0].sum() == pytest.approx(1)
    for text, factor in (("decimate:factor=2,kernel=gaussian:2", 2), ("decimate:factor=2,kernel=motion:9:30", 2)):
        got = blurred_by(operator_of(text, measured=shape))
        assert got is not None
        assert got[1] == factor
    assert blurred_by(operator_of("average:factor=2", measured=shape)) is None


def letters(side: int = 160) -> Array:
    """A sharp page (3, side, side) of letters on white."""
    sheet = Image.new("L", (side, side), 255)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    for top in range(0, side, 22):
        draw.text((4, top), "The quick brown fox jumps over lazy dogs 0123456789", fill=0, font=font)
    return np.repeat(np.asarray(sheet)[None] / 255, 3, 0)


def test_letters_on_white_paper_are_no_noise_where_a_blur_is_undone(tmp_path: Path) -> None:
    page_file = tmp_path / "page.png"
    codes = np.rint(255 * letters()).astype(np.uint8).transpose(1, 2, 0)
    Image.fromarray(codes).save(page_file)
    assert NoiseLevel()(codes.transpose(2, 0, 1) / 255).white > 0.1  # as blocks say
    found = Deblurring(kernel="gaussian:0.5").measure(page_file, Notes()).forward.found
    assert found is not None
    assert found.floor
    assert found.sigma < 0.01


def test_the_noise_that_degrade_recorded_for_its_camera_is_followed(tmp_path: Path) -> None:
    Image.fromarray(np.rint(255 * photograph(112)).astype(np.uint8).transpose(1, 2, 0)).save(tmp_path / "x.png")
    for camera, times in (("phone", GREATER), ("off:gain=0.004,read=0.01,lens=gaussian:1", 1.0)):
        made = restorekit.degrade(tmp_path / "x.png", camera=camera, seed=1, notes=Notes())
        target = made.save(tmp_path / ("y.jpg" if camera == "phone" else "y.png"))[0]
        notes = Notes()
        forward = Deblurring(kernel=str(tmp_path / "y_kernel.npy")).measure(target, notes).forward
        light = forward.read.picture.pixels.astype(float)
        assert made.shot is not None
        factors, read = ((1.9, 1.0, 1.6), 0.004) if camera == "phone" else ((1.0, 1.0, 1.0), 0.01)
        variances = [m * 0.004 * band.mean() + (m * read) ** 2 for m, band in zip(factors, light)]
        assert forward.found is not None
        assert forward.found.sigma == pytest.approx(times * np.mean(variances) ** 0.5, rel=1e-3)
        assert "as y." in notes.texts[0]
        assert "by its record" in notes.texts[0]
    notes = Notes()  # another white than that of the record
    Deblurring(kernel=str(tmp_path / "y_kernel.npy"), range=(0, 128)).measure(tmp_path / "y.png", notes)
    assert not any("by its record" in text for text in notes.texts)
    (tmp_path / "y.png.json").unlink()
    found = Deblurring(kernel=str(tmp_path / "y_kernel.npy")).measure(tmp_path / "y.png", Notes()).forward.found
    assert isinstance(found, BlurredNoise)


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_where_a_blur_takes_out_little_its_weakest_frequencies_bound_the_noise(name: str) -> None:
    """Flat blocks call the texture of a slightly blurred picture noise of .003 and more."""
    k = kernel("gaussian:0.8").numpy()
    clean = np.stack([ndimage.convolve(v, k, mode="wrap") for v in photo(name)])[:, 8:-8, 8:-8]
    told = np.ones(clean.shape, bool)
    assert StopBand()(clean, told, k) is None
    assert StopBand().most(clean, told, k) < 0.001
    y = clean + 0.01 * np.random.default_rng(0).standard_normal(clean.shape)
    assert StopBand().most(y, told, k) == pytest.approx(0.01, rel=0.15)
    assert StopBand().most(y, ~told, k) == np.inf
