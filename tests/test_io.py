from __future__ import annotations

import io as stdio
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from restorekit import codecs, io
from restorekit.errors import BadInput

SIZES = [(17, 9), (1, 1), (1, 7), (6, 1)]
Case = tuple[str, str, int, bool]


def values(dtype: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Random values over the whole range of integers, in [0, 1] for floats; both ends are there if there is room."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return rng.random(shape).astype(kind)
    if kind == bool:
        return rng.random(shape) > 0.5
    limits = np.iinfo(kind)
    found = rng.integers(limits.min, limits.max, shape, kind, endpoint=True)
    found.flat[0], found.flat[-1] = limits.min, limits.max
    return found


def span_of(dtype: str) -> tuple[float, float]:
    kind = np.dtype(dtype)
    return (0.0, 1.0) if kind.kind in "bf" else (float(np.iinfo(kind).min), float(np.iinfo(kind).max))


def stored(path: Path) -> np.ndarray:
    """The file's values (H, W, samples), alpha last, by another reader than the one under test where there is one."""
    if path.suffix == ".npy":
        return np.atleast_3d(np.load(path))
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as tif:
            array = tif.pages[0].asarray()
            return np.atleast_3d(np.moveaxis(array, 0, -1) if tif.pages[0].axes == "SYX" else array)
    data = path.read_bytes()
    if data[24:25] == b"\x10" and path.suffix == ".png":
        if data[25] == 4:  # no other reader here knows 16-bit grey + alpha; the filters are tested against Pillow below
            pixels, alpha = codecs.decode(codecs.chunks(data))
            return np.dstack([pixels, *([] if alpha is None else [alpha])])
        return stored_png16(data)
    return np.atleast_3d(np.asarray(Image.open(path)))


def stored_png16(data: bytes) -> np.ndarray:
    """16 bits by Pillow's C decoder: grey as it is, colours as high bytes (its way) and low ones (swapped order)."""
    image = Image.open(stdio.BytesIO(data))
    if image.mode.startswith("I"):
        return np.atleast_3d(np.asarray(image).astype(np.uint16))
    high = np.asarray(image).astype(np.uint16)
    image = Image.open(stdio.BytesIO(data))
    assert isinstance(image, Image.Image)
    tiles: list[Any] = image.tile  # type: ignore[attr-defined]
    image.tile = [(*tile[:3], tile[3].replace("16B", "16L")) for tile in tiles]  # type: ignore[attr-defined]
    return high * 256 + np.asarray(image)


PNG = [(".png", d, n, a) for d in ("uint8", "uint16") for n in (1, 3) for a in (False, True)]
TIFF = [
    (".tif", d, n, a)
    for d in ("uint8", "uint16", "int16", "float32", "float64", "int8", "uint32", "float16")
    for n in (1, 2, 3, 5)
    for a in (False, True)
]
NPY = [(".npy", d, n, False) for d in ("bool", "uint8", "uint16", "int16", "float32", "float64") for n in (1, 3, 5)]
OTHER = [(".bmp", "uint8", 1, False), (".bmp", "uint8", 3, False), (".webp", "uint8", 3, False)]
EXACT: list[Case] = [*PNG, *TIFF, *NPY, *OTHER, (".webp", "uint8", 3, True)]


@pytest.mark.parametrize("case", EXACT, ids=lambda c: f"{c[0][1:]}-{c[1]}-{c[2]}{'a' * c[3]}")
def test_round_trip_is_exact(case: Case, tmp_path: Path) -> None:
    suffix, dtype, bands, has_alpha = case
    for layout in ("HWC", "CHW") if suffix == ".tif" and bands > 1 else ("HWC",):
        for height, width in SIZES:
            raw = values(dtype, (bands, height, width))
            if dtype in ("uint32", "float64"):
                raw = (raw / 2**8 if dtype == "uint32" else raw.astype(np.float32)).astype(dtype)  # float32 pixels
            alpha = values(dtype, (height, width), 1) if has_alpha else None
            if alpha is not None and suffix == ".webp":
                alpha[0, 0] = 0  # libwebp leaves out an alpha that is opaque everywhere
            span = (0.0, 2.0**24) if dtype == "uint32" else span_of(dtype)
            pixels = ((raw - span[0]) / (span[1] - span[0])).astype(np.float32)
            path = tmp_path / f"{layout}{height}x{width}{suffix}"
            assert io.write(path, pixels, io.Picture(pixels, dtype, span, alpha, {"layout": layout})) == []
            expected = np.moveaxis(raw if alpha is None else np.concatenate([raw, alpha[None]]), 0, -1)
            found = stored(path)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
            picture = io.read(path, span)
            assert (picture.pixels.dtype, picture.dtype, picture.span) == (np.float32, dtype, span)
            np.testing.assert_array_equal(picture.pixels, pixels)
            np.testing.assert_array_equal(picture.alpha, alpha)  # type: ignore[arg-type]
            again = path.with_name("again" + suffix)
            io.write(again, picture.pixels, picture)
            assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_is_close(mode: str, tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(17), np.arange(9)).astype(np.float32) / 30
    pixels = np.stack([ramp, ramp[::-1], 1 - ramp])[: 1 if mode == "L" else 3]
    io.write(tmp_path / "a.jpg", pixels)
    image = Image.open(tmp_path / "a.jpg")
    assert image.mode == mode
    if mode == "RGB":
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}  # type: ignore[attr-defined]
    picture = io.read(tmp_path / "a.jpg")
    assert (picture.dtype, picture.alpha) == ("uint8", None)
    assert abs(picture.pixels - pixels).max() < 0.03


@pytest.mark.parametrize(("mode", "samples"), [("mono", 1), ("rgb", 3), ("rgba", 4)])
def test_png16_against_an_independent_encoder(mode: str, samples: int, tmp_path: Path) -> None:
    other = pytest.importorskip("kornia_rs.io")
    for height, width in SIZES:
        raw = values("uint16", (height, width, samples))
        other.write_image_png_u16(str(tmp_path / "a.png"), raw, mode)
        picture = io.read(tmp_path / "a.png")
        bands = np.moveaxis(raw, -1, 0)
        np.testing.assert_array_equal(picture.pixels, (bands[:3] / 65535).astype(np.float32))
        assert picture.dtype == "uint16"
        assert samples < 4 or np.array_equal(picture.alpha, bands[3])  # type: ignore[arg-type]
        io.write(tmp_path / "b.png", picture.pixels, picture)
        np.testing.assert_array_equal(other.read_image_png_u16(str(tmp_path / "b.png"), mode), raw)


def png(header: tuple[int, ...], lines: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    parts = [(b"IHDR", struct.pack(">IIBBBBB", *header)), *extra, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return codecs.SIGNATURE + b"".join(
        struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in parts
    )


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_png16_filters_against_pillow(kind: int, colour: int) -> None:
    # Random residuals under a forced filter reach every branch; Pillow's decoder says what they mean.
    height, width, samples = 7, 5, {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    lines = values("uint8", (height, 1 + width * samples * 2), kind)
    lines[:, 0] = kind
    data = png((width, height, 16, colour, 0, 0, 0), lines.tobytes())
    pixels, alpha = codecs.decode(codecs.chunks(data))
    found = pixels if alpha is None else np.concatenate([pixels, alpha[..., None]], -1)
    # For grey + alpha Pillow shows the high bytes only.
    expected = np.asarray(Image.open(stdio.BytesIO(data))) if colour == 4 else stored_png16(data)
    if colour == 4:
        found, expected = found >> 8, np.asarray(Image.open(stdio.BytesIO(data)).convert("LA"))
    np.testing.assert_array_equal(found, expected)


def test_png16_colour_key_becomes_alpha(tmp_path: Path) -> None:
    lines = b"\x00" + np.array([1, 2, 3, 1, 2, 4], ">u2").tobytes()
    key = (b"tRNS", np.array([1, 2, 3], ">u2").tobytes())
    (tmp_path / "a.png").write_bytes(png((2, 1, 16, 2, 0, 0, 0), lines, key))
    alpha = io.read(tmp_path / "a.png").alpha
    assert alpha is not None
    assert alpha.tolist() == [[0, 65535]]


def test_png16_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = values("uint16", (17, 9, 3))
    whole = codecs.encode(raw, None, {})
    monkeypatch.setattr(codecs, "_BLOCK", 9 * 6 * 4)
    assert codecs.encode(raw, None, {}) == whole


def test_png16_stream_without_its_end_is_refused() -> None:
    parts = codecs.chunks(codecs.encode(values("uint16", (3, 4, 1)), None, {}))
    with pytest.raises(ValueError, match="amount of pixel data"):
        codecs.decode([(kind, content[:-4] if kind == b"IDAT" else content) for kind, content in parts])


def palette(transparent: bool) -> Image.Image:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 255, 0, 255])
    if transparent:
        image.info["transparency"] = 1
    return image


RED, BLUE = [[10, 255], [255, 10]], [[30, 255], [255, 30]]


@pytest.mark.parametrize(
    ("image", "pixels", "alpha"),
    [
        (lambda: palette(False), [RED, [[20, 0], [0, 20]], BLUE], None),
        (lambda: palette(True), [RED, [[20, 0], [0, 20]], BLUE], [[255, 0], [0, 255]]),
        (lambda: Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1"), [[[0, 255], [255, 0]]], None),
    ],
)
def test_palette_and_one_bit_png_are_expanded(
    image: Callable[[], Image.Image], pixels: list, alpha: list | None, tmp_path: Path
) -> None:
    image().save(tmp_path / "a.png")
    picture = io.read(tmp_path / "a.png")
    np.testing.assert_array_equal(np.rint(picture.pixels * 255), pixels)
    assert (alpha is None) if picture.alpha is None else (picture.alpha.tolist() == alpha)


@pytest.mark.parametrize("option", ["palette", "miniswhite", "bilevel", "lzw", "jpeg", "big", "deflate"])
def test_tiff_variants(option: str, tmp_path: Path) -> None:
    path, raw = tmp_path / "a.tif", values("uint8", (17, 9, 3))
    expected: np.ndarray = raw
    if option == "palette":
        colours = (values("uint8", (3, 256)).astype(np.uint16) * 257).astype(np.uint16)
        tifffile.imwrite(path, raw[..., 0], photometric="palette", colormap=colours)
        expected = np.moveaxis(colours[:, raw[..., 0]] // 257, 0, -1)
    elif option == "miniswhite":
        tifffile.imwrite(path, raw[..., 0], photometric="miniswhite")
        expected = 255 - raw[..., :1]
    elif option == "bilevel":
        tifffile.imwrite(path, raw[..., 0] > 127, photometric="minisblack")
        expected = np.where(raw[..., :1] > 127, 255, 0)
    elif option in ("lzw", "jpeg"):
        raw = np.broadcast_to(np.uint8(77), raw.shape) if option == "jpeg" else raw
        Image.fromarray(raw).save(path, compression="tiff_" + option)
        expected = raw
    elif option == "big":
        tifffile.imwrite(path, raw, photometric="rgb", byteorder=">", bigtiff=True)
    else:
        tifffile.imwrite(path, raw, photometric="rgb", compression="zlib", tile=(16, 16))
    picture = io.read(path)
    assert picture.dtype == "uint8"
    np.testing.assert_array_equal(np.moveaxis(np.rint(picture.pixels * 255), 0, -1), expected)


def test_big_endian_tiff_with_alpha(tmp_path: Path) -> None:
    raw = values("uint16", (5, 7, 4))
    tifffile.imwrite(tmp_path / "a.tif", raw, photometric="rgb", extrasamples=[1], byteorder=">")
    picture = io.read(tmp_path / "a.tif")
    assert picture.alpha is not None
    assert picture.alpha.dtype.isnative
    io.write(tmp_path / "b.tif", picture.pixels, picture)
    np.testing.assert_array_equal(stored(tmp_path / "b.tif"), raw)
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert [int(extra) for extra in tif.pages[0].extrasamples] == [1]  # type: ignore[union-attr]


def test_tiff_overviews_are_no_pages(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(values("uint8", (8, 8)))
        tif.write(values("uint8", (4, 4)), subfiletype=1)
    assert io.read(tmp_path / "a.tif").pixels.shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("shape", "bands_height_width"),
    [
        ((20, 30), (1, 20, 30)),
        ((20, 30, 3), (3, 20, 30)),
        ((3, 20, 30), (3, 20, 30)),
        ((16, 17, 17), (16, 17, 17)),
        ((17, 18, 16), (16, 17, 18)),
        ((3, 8, 4), (4, 3, 8)),
        ((20, 30, 40), (40, 20, 30)),
        ((20, 30, 1), (1, 20, 30)),
    ],
)
def test_npy_layout(shape: tuple[int, ...], bands_height_width: tuple[int, ...], tmp_path: Path) -> None:
    raw = np.asfortranarray(values("float32", shape)).astype(">f4")
    np.save(tmp_path / "a.npy", raw)
    picture = io.read(tmp_path / "a.npy")
    assert picture.pixels.shape == bands_height_width
    io.write(tmp_path / "b.npy", picture.pixels, picture)
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), raw)


def test_planar_picture_is_saved_as_npy_so_that_it_is_read_back(tmp_path: Path) -> None:
    pixels = values("float32", (3, 8, 9))
    io.write(tmp_path / "a.npy", pixels, io.Picture(pixels, info={"layout": "CHW"}))
    np.testing.assert_array_equal(io.read(tmp_path / "a.npy").pixels, pixels)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", "16.png"])
@pytest.mark.parametrize("target", [".png", ".jpg", ".tif", "16.png"])
def test_metadata_survives(suffix: str, target: str, tmp_path: Path) -> None:
    from PIL import ImageCms

    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "maker"
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{target}"
    if suffix == "16.png":
        info = {"dpi": (300.0, 150.0), "icc_profile": icc, "exif": exif.tobytes()}
        first.write_bytes(codecs.encode(values("uint16", (9, 5, 3)), None, info))
    else:
        image = Image.fromarray(values("uint8", (9, 5, 3)))
        options: dict[str, Any] = {} if suffix == ".tif" else {"exif": exif}
        image.save(first, dpi=(300, 150), icc_profile=icc, **options)
    picture = io.read(first)
    dtype = "uint16" if target == "16.png" else "uint8"
    io.write(second, picture.pixels, picture, dtype)
    with Image.open(second) as image:
        assert image.info["icc_profile"] == icc
        assert [float(v) for v in image.info["dpi"]] == pytest.approx([300, 150], abs=0.02)
        if ".tif" not in (suffix, target):
            assert image.getexif()[0x010F] == "maker"


def test_colour_profile_goes_when_the_bands_change(tmp_path: Path) -> None:
    like = io.Picture(np.zeros((3, 4, 5)), "uint8", (0, 255), info={"icc_profile": b"profile", "dpi": (300, 300)})
    io.write(tmp_path / "a.png", np.zeros((1, 4, 5)), like)
    assert set(io.read(tmp_path / "a.png").info) == {"dpi"}


def test_exif_too_long_for_jpeg_costs_no_result(tmp_path: Path) -> None:
    like = io.Picture(PIXELS, "uint8", (0, 255), info={"exif": b"Exif\0\0" + bytes(70000)})
    [warning] = io.write(tmp_path / "a.jpg", PIXELS, like)
    assert "EXIF" in warning
    assert "exif" not in io.read(tmp_path / "a.jpg").info


def test_colour_chunks_of_png_and_map_tags_of_tiff_survive(tmp_path: Path) -> None:
    gamma = (b"gAMA", struct.pack(">I", 100000))
    for depth in (8, 16):
        (tmp_path / "a.png").write_bytes(png((1, 1, depth, 0, 0, 0, 0), bytes(1 + depth // 8), gamma))
        picture = io.read(tmp_path / "a.png")
        io.write(tmp_path / "b.png", picture.pixels, picture)
        assert gamma in codecs.chunks((tmp_path / "b.png").read_bytes())
    scale = (10.0, 10.0, 0.0)
    tifffile.imwrite(tmp_path / "a.tif", values("uint16", (4, 4)), extratags=[(33550, 12, 3, scale, True)])
    picture = io.read(tmp_path / "a.tif")
    assert io.write(tmp_path / "b.tif", picture.pixels, picture) == []
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert tif.pages[0].tags[33550].value == scale  # type: ignore[union-attr]
    [warning] = io.write(tmp_path / "c.tif", np.zeros((1, 8, 8)), picture)
    assert "map coordinates" in warning


@pytest.mark.parametrize(
    ("target", "source", "span", "asked", "expected", "white"),
    [
        ("a.png", "float32", (0, 1), None, "uint16", 65535),
        ("a.png", "uint8", (0, 255), "uint16", "uint16", 65535),
        ("a.jpg", "uint16", (0, 65535), None, "uint8", 255),
        ("a.png", "int16", (-5, 5), None, "uint16", 65535),
        ("a.tif", "int16", (-5, 5), None, "int16", 5),
        ("a.tif", "int16", (-5, 5), "float32", "float32", 5),
        ("a.tif", "uint8", (0, 255), "float32", "float32", 1),
        ("a.tif", "uint16", (0, 4095), None, "uint16", 4095),
        ("a.tif", "float32", (0, 1), "uint8", "uint8", 255),
        ("a.tif", "bool", (0, 1), None, "uint8", 255),
        ("a.npy", "float32", (0, 1), "int64", "int64", 2**63 - 1024),
        ("a.tif", "", (0, 1), None, "float32", 1),
        ("a.png", "", (0, 1), None, "uint8", 255),
    ],
)
def test_output_type(
    target: str,
    source: str,
    span: tuple[float, float],
    asked: str | None,
    expected: str,
    white: float,
    tmp_path: Path,
) -> None:
    pixels = np.ones((1, 2, 3), np.float32)
    warnings = io.write(tmp_path / target, pixels, io.Picture(pixels, source, span) if source else None, asked)
    found = stored(tmp_path / target)
    assert (found.dtype, found.max()) == (expected, white)
    assert len(warnings) == (bool(source) and asked is None and source != expected)


def test_integers_are_rounded_and_clipped_and_floats_are_not(tmp_path: Path) -> None:
    pixels = np.array([[[-0.5, 0.4999 / 255, 0.5001 / 255, 1.5]]])
    io.write(tmp_path / "a.png", pixels)
    assert stored(tmp_path / "a.png").ravel().tolist() == [0, 0, 1, 255]
    io.write(tmp_path / "a.npy", pixels, dtype="float64")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), pixels[0])


def test_alpha_changes_type_or_is_dropped_with_a_warning(tmp_path: Path) -> None:
    pixels = values("float32", (3, 4, 5))
    like = io.Picture(pixels, "uint8", (0, 255), values("uint8", (4, 5)))
    assert like.alpha is not None
    io.write(tmp_path / "a.png", pixels, like, "uint16")
    np.testing.assert_array_equal(io.read(tmp_path / "a.png").alpha, like.alpha * np.uint16(257))  # type: ignore
    for name in ("a.jpg", "a.bmp", "a.npy"):
        [warning] = io.write(tmp_path / name, pixels, like)
        assert "without alpha" in warning
        assert [warning] == io.check_writable(tmp_path / name, 3, True)
        assert io.read(tmp_path / name, (0, 255)).pixels.shape == (3, 4, 5)
    [warning] = io.write(tmp_path / "b.png", np.zeros((3, 8, 10)), like)
    assert "size of the picture has changed" in warning


def test_numbers_around_zero_and_one_need_no_range(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[-0.2, 1.2]]))
    assert io.read(tmp_path / "a.npy").span == (0, 1)
    np.save(tmp_path / "a.npy", np.array([[0, 1]], np.int16))
    assert io.read(tmp_path / "a.npy").pixels.tolist() == [[[0, 1]]]
    np.save(tmp_path / "a.npy", np.array([[100, 300]], np.int16))
    assert io.read(tmp_path / "a.npy", (100, 300)).pixels.tolist() == [[[0, 1]]]


# --- what is refused ---


def _interlaced() -> bytes:
    return png((1, 1, 16, 2, 0, 0, 1), bytes(7))


def saved(writer: Callable[..., Any], *args: Any, **options: Any) -> bytes:
    buffer = stdio.BytesIO()
    writer(buffer, *args, **options)
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    return saved(np.save, np.asarray(array))


HOLED = np.where(np.arange(12).reshape(3, 4) < 2, np.nan, 0.5)
GREY = Image.fromarray(np.zeros((4, 4), np.uint8))
REFUSED: list[tuple[str, bytes, list[str]]] = [
    ("a.gif", b"GIF89a", [".gif", ".png", ".npy"]),
    ("a", b"x", ["unknown file type"]),
    *[(f"empty{suffix}", b"", ["0 bytes"]) for suffix in (".png", ".jpg", ".tif", ".npy", ".bmp", ".webp")],
    *[(f"noise{suffix}", b"ABCD" * 50, ["damaged"]) for suffix in (".png", ".jpg", ".tif", ".npy", ".bmp", ".webp")],
    ("a.png", npy([[0.5]]), ["content is NPY", "rename"]),
    ("a.png", _interlaced(), ["interlac"]),
    ("a.png", png((2, 2, 16, 2, 0, 0, 0), bytes(7)), ["damaged"]),
    ("a.png", png((1, 1, 16, 0, 0, 0, 0), b"\x05\0\0"), ["filter type 5"]),
    ("a.png", png((1, 1, 16, 0, 0, 0, 0), bytes(9)), ["damaged"]),
    ("a.png", saved(GREY.save, "PNG", save_all=True, append_images=[palette(False).resize((4, 4))]), ["animation"]),
    ("a.jpg", saved(GREY.convert("CMYK").save, "JPEG"), ["CMYK"]),
    ("a.tif", saved(tifffile.imwrite, np.zeros((2, 4, 4), np.uint8), photometric="minisblack"), ["2 pages"]),
    ("a.tif", saved(tifffile.imwrite, np.zeros((2, 5, 6), np.uint8), imagej=True), ["pages"]),
    ("a.tif", saved(tifffile.imwrite, np.zeros((4, 4), np.complex64)), ["complex"]),
    ("a.tif", saved(tifffile.imwrite, np.full((4, 4), np.inf, np.float32)), ["16 of 16 pixels"]),
    ("a.npy", npy(HOLED), ["2 of 12 pixels", "mask"]),
    ("a.npy", npy(np.stack([HOLED] * 3, -1)), ["2 of 12 pixels"]),
    ("a.npy", npy([[1j]]), ["complex"]),
    ("a.npy", npy([["text"]]), ["real numbers"]),
    ("a.npy", npy([[0.5, 7.5]]), ["--range LO,HI"]),
    ("a.npy", npy(np.zeros((0, 5))), ["(1, 0, 5)"]),
    ("a.npy", npy(np.zeros(5)), ["(5,)"]),
    ("a.npy", npy(np.zeros((1, 2, 3, 4))), ["(1, 2, 3, 4)"]),
    ("a.npy", saved(np.save, np.array([[{}]]), allow_pickle=True), ["allow_pickle"]),
]


def refusal(call: Callable[[], Any], *words: str) -> str:
    """The one line of the BadInput that `call` raises."""
    with pytest.raises(BadInput) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    assert [word for word in words if word not in line] == [], line
    return line


@pytest.mark.parametrize(("name", "data", "words"), REFUSED, ids=[f"{n}-{w[0]}" for n, _, w in REFUSED])
def test_unreadable_files(name: str, data: bytes, words: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    refusal(lambda: io.read(tmp_path / name), name, *words)


@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("name", ["a.png", "16.png", "a.jpg", "a.tif", "f.tif", "a.npy", "a.bmp", "a.webp"])
def test_truncated_files(name: str, fraction: float, tmp_path: Path) -> None:
    dtype = {"16.png": "uint16", "f.tif": "float32"}.get(name, "uint8")
    io.write(tmp_path / name, values("float32", (3, 40, 50)), dtype=dtype)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * fraction)])
    refusal(lambda: io.read(tmp_path / name), name)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_one_wrong_byte_in_a_png_is_found(dtype: str, tmp_path: Path) -> None:
    io.write(tmp_path / "a.png", values("float32", (3, 40, 50)), dtype=dtype)
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    refusal(lambda: io.read(tmp_path / "a.png"), "checksum")


@pytest.mark.parametrize("reader", [io.read, io.read_kernel, io.sha256, lambda path: io.read_mask(path, (1, 1))])
def test_missing_file_folder_and_permission(reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal(lambda: reader(tmp_path / "no.png"), "no.png", "no such file")
    (tmp_path / "d.png").mkdir()
    refusal(lambda: reader(tmp_path / "d.png"), "folder")
    GREY.save(tmp_path / "a.png")
    monkeypatch.setattr(os, "access", lambda *_: False)
    refusal(lambda: reader(tmp_path / "a.png"), "permission")


@pytest.mark.parametrize("span", [(1, 1), (2, 1), (0, np.nan), (0, np.inf)])
def test_bad_range(span: tuple[float, float], tmp_path: Path) -> None:
    GREY.save(tmp_path / "a.png")
    refusal(lambda: io.read(tmp_path / "a.png", span), "--range")


PIXELS = np.zeros((3, 4, 5), np.float32)
UNWRITABLE: list[tuple[str, np.ndarray, str | None, list[str]]] = [
    ("a.png", np.zeros((5, 4, 5)), None, ["5", ".tif", ".npy"]),
    ("a.jpg", np.zeros((2, 4, 5)), None, ["2", ".tif", ".npy"]),
    ("a.xyz", PIXELS, None, [".xyz", ".png"]),
    ("no/a.png", PIXELS, None, ["no folder"]),
    ("folder.png", PIXELS, None, ["folder"]),
    ("n" * 300 + ".png", PIXELS, None, ["too long"]),
    ("a.png", PIXELS, "float32", ["float32", ".tif"]),
    ("a.tif", PIXELS, "bool", ["bool"]),
    ("a.npy", PIXELS, "complex64", ["complex64"]),
    ("a.npy", PIXELS, "nonsense", ["nonsense"]),
    ("a.png", PIXELS[0], None, ["(4, 5)"]),
    ("a.png", PIXELS[:, :0], None, ["(3, 0, 5)"]),
    ("a.png", PIXELS * np.nan, None, ["20 pixels", "NaN"]),
    ("a.png", PIXELS * 1j, None, ["complex"]),
    ("a.tif", PIXELS + 1e6, "float16", ["float16"]),
]


@pytest.mark.parametrize(("name", "pixels", "dtype", "words"), UNWRITABLE)
def test_unwritable(name: str, pixels: np.ndarray, dtype: str | None, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    line = refusal(lambda: io.write(tmp_path / name, pixels, dtype=dtype), *words)
    assert os.listdir(tmp_path) == ["folder.png"]
    assert os.listdir(tmp_path / "folder.png") == []
    if pixels.ndim == 3 and not any(word in line for word in ("NaN", "complex values", "float16", "shape")):
        assert refusal(lambda: io.check_writable(tmp_path / name, len(pixels), False, dtype)) == line


def test_no_permission_and_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    refusal(lambda: io.check_writable(tmp_path / "pipe.png", 3, False), "device")
    refusal(lambda: io.write_text(tmp_path / "pipe.png", ""), "device")
    monkeypatch.setattr(os, "access", lambda *_: False)
    refusal(lambda: io.check_writable(tmp_path / "a.png", 3, False), "permission")
    refusal(lambda: io.write(tmp_path / "a.png", PIXELS), "permission")


def test_check_writable_leaves_nothing(tmp_path: Path) -> None:
    assert io.check_writable(tmp_path / "a.png", 3, True) == []
    assert os.listdir(tmp_path) == []


ENCODERS = [("a.png", Image.Image, "save"), ("16.png", codecs, "encode"), ("a.jpg", Image.Image, "save")]
ENCODERS += [("a.tif", tifffile, "imwrite"), ("a.npy", np.lib.format, "write_array")]


@pytest.mark.parametrize(("name", "owner", "function"), ENCODERS)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), RuntimeError()])
@pytest.mark.parametrize("exists", [True, False])
def test_failed_write_leaves_things_as_they_were(
    name: str,
    owner: Any,
    function: str,
    error: BaseException,
    exists: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if exists:
        (tmp_path / name).write_bytes(b"old")
    during: list[str] = []

    def broken(*args: Any, **_: Any) -> None:
        for handle in args:
            if hasattr(handle, "write"):
                handle.write(b"half")
        during.extend(os.listdir(tmp_path))
        raise error

    monkeypatch.setattr(owner, function, broken)
    with pytest.raises(BadInput if isinstance(error, OSError) else type(error)):
        io.write(tmp_path / name, PIXELS, dtype="uint16" if name == "16.png" else None)
    assert [n for n in during if n != name and n.endswith(Path(name).suffix)]  # the temporary file was there
    assert os.listdir(tmp_path) == [name] * exists
    assert not exists or (tmp_path / name).read_bytes() == b"old"


def test_replacing_keeps_the_mode_and_the_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.png", tmp_path / "link.png"
    io.write(real, PIXELS)
    umask = os.umask(0)
    os.umask(umask)
    assert real.stat().st_mode & 0o777 == 0o666 & ~umask
    real.chmod(0o640)
    link.symlink_to(real)
    before = real.stat().st_ino
    io.write(link, PIXELS + 1)
    assert link.is_symlink()
    assert real.stat().st_ino != before  # replaced, never half overwritten
    assert real.stat().st_mode & 0o777 == 0o640
    assert io.read(real).pixels.min() == 1


# --- masks, kernels, text ---


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        ("m.png", np.array([[0, 127], [128, 255]], np.uint8), [[[0, 0], [1, 1]]]),
        ("m.png", np.array([[0, 0], [65535, 40000]], np.uint16), [[[0, 0], [1, 1]]]),
        ("m.npy", np.array([[0, 1], [1, 1]], np.uint8), [[[0, 1], [1, 1]]]),
        ("m.npy", np.array([[0, 1], [1, 1]], np.int64), [[[0, 1], [1, 1]]]),
        ("m.npy", np.array([[False, True], [True, True]]), [[[0, 1], [1, 1]]]),
        ("m.npy", np.array([[0, 0.25], [0.5, 1]]), [[[0, 0.25], [0.5, 1]]]),
        ("m.npy", np.ones((2, 2, 3), bool), [[[1, 1], [1, 1]]]),
        ("m.npy", np.stack([np.zeros((2, 2)), np.ones((2, 2))], -1), [[[0, 0], [0, 0]], [[1, 1], [1, 1]]]),
    ],
)
def test_mask(name: str, array: np.ndarray, expected: list, tmp_path: Path) -> None:
    np.save(tmp_path / name, array) if name == "m.npy" else Image.fromarray(array).save(tmp_path / name)
    mask = io.read_mask(tmp_path / name, (2, 2))
    assert (mask.dtype, mask.tolist()) == (np.float32, expected)


def test_mask_layout_follows_the_known_size(tmp_path: Path) -> None:
    array = values("bool", (3, 8, 9))
    np.save(tmp_path / "m.npy", array)
    np.testing.assert_array_equal(io.read_mask(tmp_path / "m.npy", (8, 9)), array)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.ones((3, 2)), ["3x2", "2x2"]),
        (np.zeros((2, 2), bool), ["zero everywhere"]),
        (np.full((2, 2), 255, np.int32), ["255", "use 0 and 1"]),
        (np.full((2, 2), 1.5), ["1.5"]),
        (np.full((2, 2), np.nan), ["4 of 4"]),
    ],
)
def test_bad_mask(array: np.ndarray, words: list[str], tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", array)
    refusal(lambda: io.read_mask(tmp_path / "m.npy", (2, 2)), "m.npy", *words)


KERNEL = np.array([[0, 1, 0, 0], [1, 4, 1, 0], [0, 1, 0, 0]], np.uint8)


def test_kernel_formats(tmp_path: Path) -> None:
    colour = np.stack([KERNEL, 2 * KERNEL, 3 * KERNEL], -1)
    Image.fromarray(KERNEL).save(tmp_path / "k.png")
    Image.fromarray(colour).save(tmp_path / "c.png")
    tifffile.imwrite(tmp_path / "k.tif", KERNEL.astype(np.float32))
    np.save(tmp_path / "k.npy", KERNEL * 1000.0)
    np.savez(tmp_path / "k.npz", one=KERNEL, two=KERNEL[:1])
    np.savez(tmp_path / "only.npz", one=KERNEL)
    np.savetxt(tmp_path / "k.csv", KERNEL, delimiter=",")
    np.savetxt(tmp_path / "k.txt", KERNEL)
    for name in ("k.png", "c.png", "k.tif", "k.npy", "k.npz:one", "only.npz", "k.csv", "k.txt"):
        kernel = io.read_kernel(f"{tmp_path}/{name}")
        assert (kernel.dtype, kernel.shape) == (np.float32, (3, 4))
        np.testing.assert_allclose(kernel, KERNEL / 8, rtol=1e-6)
    assert io.read_kernel(f"{tmp_path}/k.npz:two").shape == (1, 4)
    (tmp_path / "row.csv").write_text("1;2;1\n")
    assert io.read_kernel(tmp_path / "row.csv").tolist() == [[0.25, 0.5, 0.25]]


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("k.npy", np.zeros((3, 3)), ["all zero"]),
        ("k.npy", np.array([[1.0, -0.1]]), [">= 0"]),
        ("k.npy", np.array([[1.0, np.nan]]), ["NaN"]),
        ("k.npy", np.ones((3, 3, 3)), ["(3, 3, 3)"]),
        ("k.npy", np.ones(3), ["(3,)"]),
        ("k.npz:nope", np.ones((3, 3)), ["nope", "arr_0"]),
        ("k.npz:arr_0", np.ones(3), ["(3,)"]),
        ("k.npz:arr_0", np.array([[1.0, np.inf]]), ["finite"]),
        ("k.csv", "1,2\n3", ["k.csv"]),
        ("k.txt", "one two", ["k.txt"]),
        ("k.csv", "nan,1", ["finite"]),
        ("k.npz", "not a zip", ["k.npz"]),
        ("k.pdf", "1", [".pdf", ".csv"]),
    ],
)
def test_bad_kernel(name: str, array: np.ndarray | str, words: list[str], tmp_path: Path) -> None:
    file = tmp_path / name.partition(":")[0]
    if isinstance(array, str):
        file.write_text(array)
    else:
        (np.savez if file.suffix == ".npz" else np.save)(file, array)
    refusal(lambda: io.read_kernel(f"{tmp_path}/{name}"), *words)


def test_text_json_and_checksum(tmp_path: Path) -> None:
    record = {"a": np.float32(0.5), "b": np.arange(2), "c": [float("inf"), np.nan], "d": tmp_path, "e": (True, None)}
    io.write_json(tmp_path / "r.json", record)
    found = json.loads((tmp_path / "r.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert found == {"a": 0.5, "b": [0, 1], "c": ["inf", "nan"], "d": str(tmp_path), "e": [True, None]}
    with pytest.raises(TypeError):
        io.write_json(tmp_path / "r.json", {"a": object()})
    assert json.loads((tmp_path / "r.json").read_text()) == found
    io.write_text(tmp_path / "t.txt", "µ\n")
    assert (tmp_path / "t.txt").read_bytes() == b"\xc2\xb5\n"
    (tmp_path / "e").touch()
    assert io.sha256(tmp_path / "e") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sorted(os.listdir(tmp_path)) == ["e", "r.json", "t.txt"]
    refusal(lambda: io.write_text(tmp_path / "no" / "t.txt", ""), "no folder")


def test_import_is_light() -> None:
    heavy = "{'torch', 'scipy', 'skimage', 'PIL', 'tifffile', 'imageio'}"
    code = f"import sys, restorekit.io, restorekit.metrics; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
