"""Files of every mode as the training sees them, and what it says of those that are no pictures."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from PIL import Image

from restorekit.bench.priors.eval_pictures import PictureSet
from restorekit.errors import BadInput
from restorekit.files import png16 as png_files
from restorekit.training.data.cache import Pictures
from restorekit.training.data.decoding import rgb8
from tests.support.io_files import stored_png16

H, W = np.indices((24, 20))
RGB = np.stack([H * 10, W * 12, (H + W) * 5], -1).astype(np.uint8)
GREY = RGB[..., 0]
THREE = GREY[..., None].repeat(3, 2)
ALPHA = np.where(W < 7, 0, np.where(W < 14, 128, 255)).astype(np.uint8)
OVER_WHITE = np.rint(255 + (RGB.astype(float) - 255) * ALPHA[..., None] / 255).astype(np.uint8)
GREY_OVER_WHITE = np.rint(255 + (THREE.astype(float) - 255) * ALPHA[..., None] / 255).astype(np.uint8)
RANDOM = np.random.default_rng(0).integers(0, 65536, (24, 20, 4), np.uint16)
TURNED = Image.Exif()
TURNED[0x0112] = 6


def pil(array: np.ndarray | Image.Image, kind: str, mode: str | None = None, **options: Any) -> bytes:
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def tif(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def pages(*parts: np.ndarray, **last: Any) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for i, part in enumerate(parts):
            writer.write(part, photometric="rgb", **(last if i else {}))
    return buffer.getvalue()


def png16(values: np.ndarray, alpha: np.ndarray | None = None) -> bytes:
    return png_files.encode(values, alpha, {})


def shown(data: bytes) -> np.ndarray:
    """The colours of a palette, by another reader."""
    return iio.imread(data, extension=".png")[..., :3]


PALETTE = Image.fromarray(RGB).quantize(16)
BITS = THREE > 100
# Name, content and what is seen: exactly, or give or take so much where the format loses some.
SEEN: dict[str, tuple[bytes, np.ndarray, float]] = {
    "colour.png": (pil(RGB, "PNG"), RGB, 0),
    "colour.bmp": (pil(RGB, "BMP"), RGB, 0),
    "colour.webp": (pil(RGB, "WEBP", lossless=True), RGB, 0),
    "colour.tif": (pil(RGB, "TIFF"), RGB, 0),
    "grey.png": (pil(GREY, "PNG"), THREE, 0),
    "one-bit.png": (pil(GREY > 100, "PNG"), 255 * BITS, 0),
    "one-bit.tif": (pil(GREY > 100, "TIFF"), 255 * BITS, 0),
    "fax.tif": (pil(GREY > 100, "TIFF", compression="group4"), 255 * BITS, 0),
    "palette.png": (pil(PALETTE, "PNG"), shown(pil(PALETTE, "PNG")), 0),
    "palette.tif": (pil(PALETTE, "TIFF"), shown(pil(PALETTE, "PNG")), 0),
    "gif named.png": (pil(PALETTE, "GIF"), shown(pil(PALETTE, "PNG")), 0),
    "png named.jpg": (pil(RGB, "PNG"), RGB, 0),
    "lzw.tif": (pil(RGB, "TIFF", compression="tiff_lzw"), RGB, 0),
    "jpeg in.tif": (pil(RGB, "TIFF", compression="jpeg", quality=95), RGB, 8),
    "white is 0.tif": (tif(GREY, photometric="miniswhite"), 255 - THREE, 0),
    "planar.tif": (tif(RGB.transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate"), RGB, 0),
    "overview.tif": (pages(RGB, RGB[::2, ::2], subfiletype=1), RGB, 0),
    # Pillow's way to CMYK and YCbCr and back: rounding, twice.
    "cmyk.jpg": (pil(RGB, "JPEG", "CMYK", quality=100, subsampling=0), RGB, 4),
    "cmyk.tif": (pil(RGB, "TIFF", "CMYK"), RGB, 1),
    "ycbcr.tif": (pil(RGB, "TIFF", "YCbCr"), RGB, 3),
    # Half of a level, where the mean of white and a colour ends in .5.
    "alpha.png": (pil(np.dstack([RGB, ALPHA]), "PNG"), OVER_WHITE, 1),
    "alpha.webp": (pil(np.dstack([RGB, ALPHA]), "WEBP", lossless=True, exact=True), OVER_WHITE, 1),
    "alpha.tif": (pil(np.dstack([RGB, ALPHA]), "TIFF"), OVER_WHITE, 1),
    "grey alpha.png": (pil(np.dstack([GREY, ALPHA]), "PNG"), GREY_OVER_WHITE, 1),
    "premultiplied.tif": (
        tif(np.dstack([RGB * (ALPHA[..., None] / 255), ALPHA]).astype(np.uint8), photometric="rgb", extrasamples=[1]),
        OVER_WHITE,
        1,
    ),
    "opaque.png": (pil(np.dstack([RGB, np.full_like(GREY, 255)]), "PNG"), RGB, 0),
    "16 bits.png": (png16(RANDOM[..., :3]), RANDOM[..., :3] >> 8, 0),
    "16 bits grey.png": (png16(RANDOM[..., :1]), RANDOM[..., :1].repeat(3, 2) >> 8, 0),
    "16 bits alpha.png": (png16(RGB.astype(np.uint16) * 257, ALPHA.astype(np.uint16) * 257), OVER_WHITE, 1),
    "16 bits.tif": (tif(RANDOM[..., :3], photometric="rgb"), RANDOM[..., :3] >> 8, 0),
    "16 bits, high byte first.tif": (tif(RANDOM[..., :3], photometric="rgb", byteorder=">"), RANDOM[..., :3] >> 8, 0),
    "16 bits white is 0.tif": (
        tif(RANDOM[..., 0], photometric="miniswhite"),
        (65535 - RANDOM[..., :1].repeat(3, 2)) >> 8,
        0,
    ),
    "four bands.tif": (
        tif(RANDOM.astype(np.uint8), photometric="minisblack", planarconfig="contig"),
        RANDOM[..., :3].astype(np.uint8),
        0,
    ),
    # Not turned, as `restorekit.files.picture` does not.
    "turned.png": (pil(RGB, "PNG", exif=TURNED), RGB, 0),
    "turned.tif": (pil(RGB, "TIFF", exif=TURNED), RGB, 0),
    "turned lzw.tif": (pil(RGB, "TIFF", exif=TURNED, compression="tiff_lzw"), RGB, 0),
}


@pytest.mark.parametrize("name", SEEN)
def test_what_is_seen_of_a_file(name: str) -> None:
    data, expected, give = SEEN[name]
    found = rgb8(name, data)
    assert (found.dtype, found.shape) == (np.uint8, (24, 20, 3))
    assert abs(found.astype(int) - expected).max() <= give


def test_transparent_colours_are_not_seen() -> None:
    data = pil(PALETTE, "PNG", transparency=0)
    seen, below = rgb8("a.png", data), np.asarray(PALETTE) == 0
    assert 0 < below.sum() < below.size
    assert (seen[below] == 255).all()
    assert np.array_equal(seen[~below], shown(pil(PALETTE, "PNG"))[~below])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jpg", pil(RGB, "JPEG", quality=80)),
        ("grey.jpg", pil(GREY, "JPEG")),
        ("progressive.jpg", pil(RGB, "JPEG", progressive=True)),
        ("turned.jpg", pil(RGB, "JPEG", exif=TURNED)),
        ("profile.jpg", pil(RGB, "JPEG", icc_profile=bytes(200))),
        ("telephone.jpg", pil(RGB, "MPO", save_all=True, append_images=[Image.fromarray(RGB[::2, ::2])])),
        ("a.webp", pil(RGB, "WEBP", quality=70)),
        ("a.png", pil(RGB, "PNG")),
    ],
)
def test_common_pictures_are_what_another_reader_makes_of_them(name: str, data: bytes) -> None:
    other = iio.imread(data, extension=Path(name).suffix)
    assert np.array_equal(rgb8(name, data), other if other.ndim == 3 else other[..., None].repeat(3, 2))


def test_16_bits_lose_their_low_byte_whatever_reads_them() -> None:
    data = png16(RANDOM[..., :3])
    assert np.array_equal(stored_png16(data) >> 8, rgb8("a.png", data))


REFUSED: dict[str, tuple[bytes, str]] = {
    "text.png": (b"hello, this is text", "no picture, it holds text"),
    "text.tif": (b"hello, this is text", "no picture, it holds text"),
    "text.jpg": (b"\xef\xbb\xbfhello", "no picture, it holds text"),
    "empty.tif": (b"", "no picture, it holds nothing (0 bytes)"),
    "noise.jpg": (bytes(range(200)), "no picture, it does not begin as one"),
    "array.png": (b"\x93NUMPY\1\0", "no picture, it holds NPY"),
    "cut.png": (pil(RGB, "PNG")[:70], "damaged or cut short"),
    "cut.jpg": (pil(RGB, "JPEG")[:500], "damaged or cut short"),
    "cut.tif": (tif(RGB, photometric="rgb")[:900], "damaged or cut short"),
    "cut lzw.tif": (pil(RGB, "TIFF", compression="tiff_lzw")[:400], "damaged or cut short"),
    "start.tif": (b"II*\0\1", "damaged or cut short"),
    "start.webp": (b"RIFF\0\0\0\0", "damaged or cut short"),
    "pages.tif": (
        tif(RANDOM.astype(np.uint8).transpose(2, 0, 1).copy(), photometric="minisblack"),
        "a stack of 4 pages",
    ),
    "rgb pages.tif": (pages(RGB, RGB), "a stack of 2 pages"),
    "sizes.tif": (pages(RGB, RGB[::2, ::2]), "a stack of 2 pages"),
    "imagej.tif": (tif(RANDOM.astype(np.uint8).transpose(2, 0, 1).copy(), imagej=True), "a stack of 4 pages"),
    "cmyk pages.tif": (
        pil(RGB, "TIFF", "CMYK", save_all=True, append_images=[Image.fromarray(RGB).convert("CMYK")]),
        "a stack of 2 pages",
    ),
    "frames.webp": (pil(RGB, "WEBP", save_all=True, append_images=[Image.fromarray(RGB[::-1])]), "an animation"),
    "frames.png": (pil(RGB, "PNG", save_all=True, append_images=[Image.fromarray(RGB[::-1])]), "an animation"),
    "planar.tif": (
        tif(np.zeros((13, 24, 20), np.uint8), photometric="minisblack", planarconfig="separate"),
        "13 bands",
    ),
    "chunky.tif": (tif(np.zeros((24, 20, 13), np.uint8), photometric="minisblack", planarconfig="contig"), "13 bands"),
    "two.tif": (tif(np.zeros((24, 20, 2), np.uint8), photometric="minisblack", planarconfig="contig"), "2 bands"),
    "float.tif": (tif(RGB / np.float32(255), photometric="rgb"), "float32 of shape"),
    "signed.tif": (tif(GREY.astype(np.int16)), "int16 of shape"),
    "wide.tif": (tif(GREY.astype(np.uint32)), "uint32 of shape"),
    "lab.tif": (pil(RGB, "TIFF", "LAB"), "CIELAB"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_says_why_in_one_line(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    data, words = REFUSED[name]
    with pytest.raises(ValueError) as caught:
        rgb8(name, data)
    line = str(caught.value)
    assert words in line
    assert "\n" not in line
    assert name not in line  # which those put in front of it who call
    assert not [word for word in ("BytesIO", "unpack", "backend") if word in line], line
    assert capfd.readouterr().err == ""


def test_they_are_skipped_counted_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "in").mkdir()
    for name, data in {"a.png": SEEN["colour.png"][0], "b.jpg": SEEN["cmyk.jpg"][0]}.items():
        (tmp_path / "in" / name).write_bytes(data)
    whole = Pictures.open(tmp_path / "in", tmp_path / "whole")
    for name in ("text.png", "planar.tif", "pages.tif", "empty.tif"):
        (tmp_path / "in" / name).write_bytes(REFUSED[name][0])
    found = Pictures.open(tmp_path / "in", tmp_path / "cache")
    assert found.names == ("a.png", "b.jpg")
    digest = hashlib.sha256()
    for name in found.names:
        digest.update(name.encode() + hashlib.sha256((tmp_path / "in" / name).read_bytes()).digest())
    assert found.fingerprint == whole.fingerprint == digest.hexdigest()
    assert bytes(found.pixels) == bytes(whole.pixels)
    assert bytes(found[0]) == RGB.tobytes()
    reasons = [f"{n}: " + REFUSED[n][1] for n in ("empty.tif", "pages.tif", "planar.tif", "text.png")]
    assert all(said.startswith(reason) for said, reason in zip(found.broken, reasons, strict=True))
    assert (
        "4 of 6 pictures skipped: empty.tif: no picture, it holds nothing (0 bytes); pages.tif: a stack of 4 pages"
        in caplog.text
    )
    assert "and 1 more" in caplog.text


READERS: list[Callable[[Path, Path], Any]] = [
    lambda path, out: Pictures.open(path, out),
    lambda path, _: PictureSet.read(path),
]


@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_zip_is_one_line(reader: Callable[[Path, Path], Any], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as z:
        z.writestr("a.png", SEEN["colour.png"][0])
    data = bytearray((tmp_path / "c.zip").read_bytes())
    data[60] ^= 255  # in the picture, whose checksum is in the zip
    (tmp_path / "c.zip").write_bytes(data)
    with pytest.raises(BadInput, match=r"c\.zip: a zip that cannot be read \(.*\); pack it again"):
        reader(tmp_path / "c.zip", tmp_path / "out")
