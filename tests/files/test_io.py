from __future__ import annotations

import io as stdio
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter

from restorekit.files import png16
from restorekit.files.picture import Picture, check_writable, read_picture, write_picture
from restorekit.files.reading import Reading
from tests.support.io_files import PIXELS, palette, png, span_of, stored, stored_png16, values

pytestmark = pytest.mark.floors

SIZES = [(17, 9), (1, 1), (1, 7), (6, 1)]
Case = tuple[str, str, int, bool]

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
            assert write_picture(path, pixels, Picture(pixels, dtype, span, alpha, {"layout": layout})) == []
            expected = np.moveaxis(raw if alpha is None else np.concatenate([raw, alpha[None]]), 0, -1)
            found = stored(path)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
            picture = read_picture(path, span)
            assert (picture.pixels.dtype, picture.dtype, picture.span) == (np.float32, dtype, span)
            np.testing.assert_array_equal(picture.pixels, pixels)
            np.testing.assert_array_equal(picture.alpha, alpha)  # type: ignore[arg-type]
            again = path.with_name("again" + suffix)
            write_picture(again, picture.pixels, picture)
            assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_is_close(mode: str, tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(17), np.arange(9)).astype(np.float32) / 30
    pixels = np.stack([ramp, ramp[::-1], 1 - ramp])[: 1 if mode == "L" else 3]
    write_picture(tmp_path / "a.jpg", pixels)
    image = Image.open(tmp_path / "a.jpg")
    assert image.mode == mode
    if mode == "RGB":
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}  # type: ignore[attr-defined]
    picture = read_picture(tmp_path / "a.jpg")
    assert (picture.dtype, picture.alpha) == ("uint8", None)
    assert abs(picture.pixels - pixels).max() < 0.03


@pytest.mark.parametrize(("mode", "samples"), [("mono", 1), ("rgb", 3), ("rgba", 4)])
def test_png16_against_an_independent_encoder(mode: str, samples: int, tmp_path: Path) -> None:
    other = pytest.importorskip("kornia_rs.io")
    for height, width in SIZES:
        raw = values("uint16", (height, width, samples))
        other.write_image_png_u16(str(tmp_path / "a.png"), raw, mode)
        picture = read_picture(tmp_path / "a.png")
        bands = np.moveaxis(raw, -1, 0)
        np.testing.assert_array_equal(picture.pixels, (bands[:3] / 65535).astype(np.float32))
        assert picture.dtype == "uint16"
        assert samples < 4 or np.array_equal(picture.alpha, bands[3])  # type: ignore[arg-type]
        write_picture(tmp_path / "b.png", picture.pixels, picture)
        np.testing.assert_array_equal(other.read_image_png_u16(str(tmp_path / "b.png"), mode), raw)


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_png16_filters_against_pillow(kind: int, colour: int) -> None:
    # Random residuals under a forced filter reach every branch; Pillow's decoder says what they mean.
    height, width, samples = 7, 5, {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    lines = values("uint8", (height, 1 + width * samples * 2), kind)
    lines[:, 0] = kind
    data = png((width, height, 16, colour, 0, 0, 0), lines.tobytes())
    pixels, alpha = png16.decode(png16.chunks(data))
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
    alpha = read_picture(tmp_path / "a.png").alpha
    assert alpha is not None
    assert alpha.tolist() == [[0, 65535]]


def test_png16_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = values("uint16", (17, 9, 3))
    whole = png16.encode(raw, None, {})
    monkeypatch.setattr("restorekit.files.png16._BLOCK", 9 * 6 * 4)
    assert png16.encode(raw, None, {}) == whole


def test_png16_stream_without_its_end_is_refused() -> None:
    parts = png16.chunks(png16.encode(values("uint16", (3, 4, 1)), None, {}))
    with pytest.raises(ValueError, match="amount of pixel data"):
        png16.decode([(kind, content[:-4] if kind == b"IDAT" else content) for kind, content in parts])


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
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(np.rint(picture.pixels * 255), pixels)
    assert (alpha is None) if picture.alpha is None else (picture.alpha.tolist() == alpha)


@pytest.mark.parametrize(
    "option", ["palette", "miniswhite", "bilevel", "lzw", "jpeg", "big", "deflate", "turned", "ycbcr"]
)
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
    elif option == "turned":
        turned = Image.Exif()
        turned[0x0112] = 6
        Image.fromarray(raw).save(path, compression="tiff_lzw", exif=turned)
        expected = np.rot90(raw, -1)
    elif option == "ycbcr":
        expected = raw = np.broadcast_to(np.array([200, 40, 90], np.uint8), raw.shape)
        Image.fromarray(raw).convert("YCbCr").save(path)
    elif option == "big":
        tifffile.imwrite(path, raw, photometric="rgb", byteorder=">", bigtiff=True)
    else:
        tifffile.imwrite(path, raw, photometric="rgb", compression="zlib", tile=(16, 16))
    picture = read_picture(path)
    assert picture.dtype == "uint8"
    found = np.moveaxis(np.rint(picture.pixels * 255), 0, -1)
    np.testing.assert_allclose(found, expected, atol=2 if option == "ycbcr" else 0)  # a half of Cr is .7 of red


def test_big_endian_tiff_with_alpha(tmp_path: Path) -> None:
    raw = values("uint16", (5, 7, 4))
    tifffile.imwrite(tmp_path / "a.tif", raw, photometric="rgb", extrasamples=[1], byteorder=">")
    picture = read_picture(tmp_path / "a.tif")
    assert picture.alpha is not None
    assert picture.alpha.dtype.isnative
    write_picture(tmp_path / "b.tif", picture.pixels, picture)
    np.testing.assert_array_equal(stored(tmp_path / "b.tif"), raw)
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert [int(extra) for extra in tif.pages[0].extrasamples] == [1]  # type: ignore[union-attr]


def test_tiff_overviews_are_no_pages(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(values("uint8", (8, 8)))
        tif.write(values("uint8", (4, 4)), subfiletype=1)
    assert read_picture(tmp_path / "a.tif").pixels.shape == (1, 8, 8)
    large, small = (Image.fromarray(values("uint8", (n, n))) for n in (8, 4))
    with AppendingTiffWriter(str(tmp_path / "b.tif"), new=True) as pages:
        large.save(pages, "TIFF", compression="tiff_lzw")
        pages.newFrame()
        small.save(pages, "TIFF", compression="tiff_lzw", tiffinfo={254: 1})
    assert read_picture(tmp_path / "b.tif").pixels.shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("shape", "layout", "bands_height_width"),
    [
        ((20, 30), None, (1, 20, 30)),
        ((20, 30, 3), None, (3, 20, 30)),
        ((3, 20, 30), "CHW", (3, 20, 30)),
        ((20, 30, 17), "CHW", (20, 30, 17)),
        ((17, 18, 16), None, (16, 17, 18)),
        ((3, 8, 4), None, (4, 3, 8)),
        ((20, 30, 40), "HWC", (40, 20, 30)),
        ((20, 30, 1), None, (1, 20, 30)),
        ((1, 20, 30), "CHW", (1, 20, 30)),
    ],
)
def test_npy_layout_is_stated_and_kept(
    shape: tuple[int, ...], layout: str | None, bands_height_width: tuple[int, ...], tmp_path: Path
) -> None:
    raw = np.asfortranarray(values("float32", shape)).astype(">f4")
    np.save(tmp_path / "a.npy", raw)
    picture = read_picture(tmp_path / "a.npy", reading=Reading(layout))
    assert picture.pixels.shape == bands_height_width
    np.testing.assert_array_equal(
        np.moveaxis(picture.pixels, 0, -1) if layout != "CHW" else picture.pixels, np.atleast_3d(raw)
    )
    write_picture(tmp_path / "b.npy", picture.pixels, picture)
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), raw)


def test_planar_picture_is_saved_as_npy_so_that_it_is_read_back(tmp_path: Path) -> None:
    pixels = values("float32", (3, 8, 9))
    write_picture(tmp_path / "a.npy", pixels, Picture(pixels, info={"layout": "CHW"}))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.npy").pixels, pixels)


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
        first.write_bytes(png16.encode(values("uint16", (9, 5, 3)), None, info))
    else:
        image = Image.fromarray(values("uint8", (9, 5, 3)))
        options: dict[str, Any] = {} if suffix == ".tif" else {"exif": exif}
        image.save(first, dpi=(300, 150), icc_profile=icc, **options)
    picture = read_picture(first)
    dtype = "uint16" if target == "16.png" else "uint8"
    write_picture(second, picture.pixels, picture, dtype)
    with Image.open(second) as image:
        assert image.info["icc_profile"] == icc
        assert [float(v) for v in image.info["dpi"]] == pytest.approx([300, 150], abs=0.02)
        if ".tif" not in (suffix, target):
            assert image.getexif()[0x010F] == "maker"


def test_colour_profile_goes_when_the_bands_change(tmp_path: Path) -> None:
    like = Picture(np.zeros((3, 4, 5)), "uint8", (0, 255), info={"icc_profile": b"profile", "dpi": (300, 300)})
    write_picture(tmp_path / "a.png", np.zeros((1, 4, 5)), like)
    assert set(read_picture(tmp_path / "a.png").info) == {"dpi"}


def test_exif_too_long_for_jpeg_costs_no_result(tmp_path: Path) -> None:
    like = Picture(PIXELS, "uint8", (0, 255), info={"exif": b"Exif\0\0" + bytes(70000)})
    [warning] = write_picture(tmp_path / "a.jpg", PIXELS, like)
    assert "EXIF" in warning
    assert "exif" not in read_picture(tmp_path / "a.jpg").info


def test_colour_chunks_of_png_and_map_tags_of_tiff_survive(tmp_path: Path) -> None:
    gamma = (b"gAMA", struct.pack(">I", 100000))
    for depth in (8, 16):
        (tmp_path / "a.png").write_bytes(png((1, 1, depth, 0, 0, 0, 0), bytes(1 + depth // 8), gamma))
        picture = read_picture(tmp_path / "a.png")
        write_picture(tmp_path / "b.png", picture.pixels, picture)
        assert gamma in png16.chunks((tmp_path / "b.png").read_bytes())
    scale = (10.0, 10.0, 0.0)
    tifffile.imwrite(tmp_path / "a.tif", values("uint16", (4, 4)), extratags=[(33550, 12, 3, scale, True)])
    picture = read_picture(tmp_path / "a.tif")
    assert write_picture(tmp_path / "b.tif", picture.pixels, picture) == []
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert tif.pages[0].tags[33550].value == scale  # type: ignore[union-attr]
    assert write_picture(tmp_path / "c.tif", np.zeros((1, 8, 8)), picture) == []
    with tifffile.TiffFile(tmp_path / "c.tif") as tif:
        assert tif.pages[0].tags[33550].value == (5.0, 5.0, 0.0)  # type: ignore[union-attr]
    for name, size in (("c.tif", 7), ("c.png", 4)):
        [warning] = write_picture(tmp_path / name, np.zeros((1, size, size)), picture)
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
    warnings = write_picture(tmp_path / target, pixels, Picture(pixels, source, span) if source else None, asked)
    found = stored(tmp_path / target)
    assert (found.dtype, found.max()) == (expected, white)
    assert len(warnings) == (bool(source) and asked is None and source != expected)


def test_integers_are_rounded_and_clipped_and_floats_are_not(tmp_path: Path) -> None:
    pixels = np.array([[[-0.5, 0.4999 / 255, 0.5001 / 255, 1.5]]])
    write_picture(tmp_path / "a.png", pixels)
    assert stored(tmp_path / "a.png").ravel().tolist() == [0, 0, 1, 255]
    write_picture(tmp_path / "a.npy", pixels, dtype="float64")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), pixels[0])


def test_alpha_changes_type_or_is_dropped_with_a_warning(tmp_path: Path) -> None:
    pixels = values("float32", (3, 4, 5))
    like = Picture(pixels, "uint8", (0, 255), values("uint8", (4, 5)))
    assert like.alpha is not None
    write_picture(tmp_path / "a.png", pixels, like, "uint16")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").alpha, like.alpha * np.uint16(257))  # type: ignore
    for name in ("a.jpg", "a.bmp", "a.npy"):
        [warning] = write_picture(tmp_path / name, pixels, like)
        assert "without alpha" in warning
        assert [warning] == check_writable(tmp_path / name, 3, True)
        assert read_picture(tmp_path / name, (0, 255)).pixels.shape == (3, 4, 5)
    [warning] = write_picture(tmp_path / "b.png", np.zeros((3, 8, 10)), like)
    assert "size of the picture has changed" in warning


def test_numbers_around_zero_and_one_need_no_range(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[-0.2, 1.2]]))
    assert read_picture(tmp_path / "a.npy").span == (0, 1)
    np.save(tmp_path / "a.npy", np.array([[0, 1]], np.int16))
    assert read_picture(tmp_path / "a.npy").pixels.tolist() == [[[0, 1]]]
    np.save(tmp_path / "a.npy", np.array([[100, 300]], np.int16))
    assert read_picture(tmp_path / "a.npy", (100, 300)).pixels.tolist() == [[[0, 1]]]
