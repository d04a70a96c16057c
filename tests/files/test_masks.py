"""What is no mask is refused with the way out; what may be the wrong way round is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from restorekit.files.masks import inverted, mask_values, read_mask
from tests.support.io_files import refusal

HOLE = np.ones((24, 30), bool)
HOLE[5:15, 8:20] = False
BYTES = (HOLE * 255).astype(np.uint8)
RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (24, 30, 3), np.uint8)
SHAPE = (24, 30)


def label(colours: list[int]) -> Image.Image:
    image = Image.fromarray(HOLE.astype(np.uint8), "P")
    image.putpalette(colours)
    return image


NO_MASKS = {
    "label.png": (label([0, 0, 0, 128, 0, 0]), ["bands differ (2 colours, as of labels)", "magick"]),
    "photo.png": (Image.fromarray(PHOTO), ["bands differ (a photograph)", "magick"]),
    "grey.png": (Image.fromarray(PHOTO[..., 0]), ["a mask has two, 0 and 255 (or 1)", "-threshold 50%"]),
    "grey label.png": (Image.fromarray(BYTES // 2), ["2 value(s), 0, 127", "-threshold"]),
    "soft.png": (Image.fromarray(np.where(RNG.random(SHAPE) < 0.1, 90, BYTES).astype(np.uint8)), ["0, 90, 255"]),
    "alpha.png": (Image.fromarray(np.dstack([np.full_like(PHOTO, 255), BYTES])), ["transparent", "-alpha extract"]),
    "black alpha.png": (Image.fromarray(np.dstack([np.zeros_like(PHOTO), BYTES])), ["transparent"]),
    "clear.png": (Image.fromarray(np.dstack([BYTES, np.zeros_like(BYTES)]), "LA"), ["transparent"]),
    "white.png": (Image.fromarray(np.full_like(BYTES, 255)), ["white everywhere", "nothing is to be filled"]),
    "black.png": (Image.fromarray(np.zeros_like(BYTES)), ["zero everywhere"]),
}


@pytest.mark.parametrize("name", NO_MASKS)
def test_what_is_no_mask_is_refused(name: str, tmp_path: Path) -> None:
    image, words = NO_MASKS[name]
    image.save(tmp_path / name)
    refusal(lambda: read_mask(tmp_path / name, SHAPE), name, *words)


MASKS = {
    "grey.png": Image.fromarray(BYTES),
    "bits.png": Image.fromarray(HOLE),
    "rgb.png": Image.fromarray(BYTES[..., None].repeat(3, -1)),
    "opaque.png": Image.fromarray(np.dstack([BYTES, BYTES, BYTES, np.full_like(BYTES, 255)])),
    "palette.png": label([0, 0, 0, 255, 255, 255]),
    "ones.png": Image.fromarray(HOLE.astype(np.uint8)),
    "sixteen.png": Image.fromarray((HOLE * 65535).astype(np.uint16)),
    "grey.bmp": Image.fromarray(BYTES),
    "grey.gif": Image.fromarray(BYTES),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_of_two_values_are_read(name: str, tmp_path: Path) -> None:
    MASKS[name].save(tmp_path / name)
    np.testing.assert_array_equal(read_mask(tmp_path / name, SHAPE), HOLE[None])


def test_a_mask_of_each_band_is_an_array_or_a_tiff_of_no_colours(tmp_path: Path) -> None:
    bands = np.stack([HOLE, HOLE[::-1], ~HOLE]).astype(np.uint8)
    np.save(tmp_path / "m.npy", np.moveaxis(bands, 0, -1))
    tifffile.imwrite(tmp_path / "m.tif", bands, photometric="minisblack", planarconfig="separate")
    for name in ("m.npy", "m.tif"):
        np.testing.assert_array_equal(read_mask(tmp_path / name, SHAPE), bands)
    tifffile.imwrite(tmp_path / "rgb.tif", np.moveaxis(bands, 0, -1) * 255, photometric="rgb")
    refusal(lambda: read_mask(tmp_path / "rgb.tif", SHAPE), "bands differ")


def test_floats_weight_a_pixel(tmp_path: Path) -> None:
    soft = RNG.random(SHAPE).astype(np.float32)
    tifffile.imwrite(tmp_path / "m.tif", soft)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif", SHAPE), soft[None])


def test_a_mask_with_a_mask_of_its_own_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", BYTES, photometric="minisblack", metadata=None)
    tifffile.imwrite(
        tmp_path / "m.tif", HOLE, photometric="mask", subfiletype=4, append=True, compression="zlib", metadata=None
    )
    refusal(lambda: mask_values(tmp_path / "m.tif", SHAPE), "a mask of its own", "gdal_translate")


def test_the_axes_of_an_array_are_those_that_fit(tmp_path: Path) -> None:
    bands = np.stack([HOLE, ~HOLE, HOLE])
    np.save(tmp_path / "first.npy", bands)
    np.save(tmp_path / "last.npy", np.moveaxis(bands, 0, -1))
    for name in ("first.npy", "last.npy"):
        np.testing.assert_array_equal(read_mask(tmp_path / name, SHAPE), bands)


SCENE = np.clip(0.5 + 0.2 * RNG.standard_normal((3, *SHAPE)), 0, 1).astype(np.float32)


def test_a_filled_hole_that_is_called_measured_is_said() -> None:
    holed = np.where(HOLE, SCENE, 1.0)
    assert "one flat colour" in (inverted(~HOLE[None].astype(bool) * 1.0, holed) or "")
    assert inverted(HOLE[None] * 1.0, holed) is None
    blurred = holed + 0.005 * RNG.standard_normal(holed.shape)  # JPEG leaves no colour flat
    assert "one flat colour" in (inverted(~HOLE[None] * 1.0, blurred) or "")


def test_a_small_patch_that_is_called_measured_is_said_and_samples_are_not() -> None:
    patch = np.zeros((1, *SHAPE))
    patch[:, 4:14, 6:16] = 1
    assert "no more than 13.9% measured" in (inverted(patch, SCENE) or "")
    samples = (np.random.default_rng(1).random((1, *SHAPE)) < 0.1) * 1.0
    assert inverted(samples, SCENE) is None
    rows = np.zeros((1, *SHAPE))
    rows[:, ::8] = 1
    assert inverted(rows, SCENE) is None


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_an_honest_mask_of_a_white_page_is_not_said(share: float) -> None:
    mask = np.ones((1, *SHAPE))
    mask[:, :, : round(30 * (1 - share))] = 0
    page = np.where(mask > 0, 1.0, SCENE) if share >= 0.5 else np.where(mask > 0, SCENE, 1.0)
    assert inverted(mask, page) is None
