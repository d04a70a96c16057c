"""Pictures are read as viewers show them and written back as they were stored, by every reader and in all orientations."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps
from typer.testing import CliRunner, Result

from restorekit.cli.main import app
from restorekit.errors import BadInput
from restorekit.files import orientation
from restorekit.files.bands import describe
from restorekit.files.kernel_files import kernel_pixels
from restorekit.files.picture import Picture, read_picture, write_picture
from restorekit.files.png16 import encode

pytestmark = pytest.mark.floors

TURNED = {n: Image.Exif() for n in range(1, 9)}
for _n, _exif in TURNED.items():
    _exif[274] = _n
# Smooth, so that JPEG hardly changes it, and like none of its turned or mirrored copies.
STORED = (20 + 9 * np.indices((5, 7))[0] + 25 * np.indices((5, 7))[1])[..., None].repeat(3, -1).astype(np.uint8)
SMOOTH = (np.indices((16, 24))[0] * 9 + np.indices((16, 24))[1] * 4)[..., None].repeat(3, -1).astype(np.uint8)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [*map(str, words)])


def as_viewers_show(stored: np.ndarray, n: int) -> np.ndarray:
    """(H, W, ...) by Pillow."""
    image = Image.fromarray(np.arange(stored.shape[0] * stored.shape[1], dtype=np.int32).reshape(stored.shape[:2]))
    image.getexif()[274] = n
    turned = np.asarray(ImageOps.exif_transpose(image))
    return stored.reshape(-1, *stored.shape[2:])[turned]


def tiff(path: Path, raw: np.ndarray, n: int, **options: Any) -> None:
    colour = "rgb" if raw.ndim == 3 else "minisblack"
    tifffile.imwrite(path, raw, photometric=colour, metadata=None, extratags=[(274, 3, 1, n, True)], **options)


def png16(path: Path, raw: np.ndarray, n: int) -> None:
    path.write_bytes(encode(raw, None, {"orientation": n, "exif": orientation.exif_with(None, n)}))


def by_rasterio(path: Path, raw: np.ndarray, n: int) -> None:
    """LZW of 16 bits, which neither tifffile alone nor Pillow decodes; GDAL writes no orientation, so it is put in."""
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(path, "w", driver="GTiff", height=5, width=7, count=3, dtype="uint16", compress="lzw",
                       photometric="rgb") as d:  # fmt: skip
        d.update_tags(TIFFTAG_SOFTWARE="x")
        d.write(np.moveaxis(raw, -1, 0))
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        tag = tif.pages[0].tags["Software"]  # type: ignore[union-attr]
        at, order = tag.offset, tif.byteorder
    # Tags of a TIFF are to be sorted, and readers do not mind if they are not.
    data[at : at + 12] = np.array([(274, 3, 1, n, 0)], f"{order}u2,{order}u2,{order}u4,{order}u2,{order}u2").tobytes()
    path.write_bytes(data)


READERS = {
    "8.png": lambda p, n: Image.fromarray(STORED).save(p, exif=TURNED[n]),
    "16.png": lambda p, n: png16(p, STORED.astype(np.uint16) * 257, n),
    "a.webp": lambda p, n: Image.fromarray(STORED).save(p, exif=TURNED[n], lossless=True),
    "a.jpg": lambda p, n: Image.fromarray(STORED).save(p, exif=TURNED[n], quality=98, subsampling=0),
    "8.tif": lambda p, n: tiff(p, STORED, n),
    "16.tif": lambda p, n: tiff(p, STORED.astype(np.uint16) * 257, n),
    "float.tif": lambda p, n: tiff(p, STORED.astype(np.float32) / 255, n),
    "deflate.tif": lambda p, n: tiff(p, STORED, n, compression="zlib"),
    "pillow lzw.tif": lambda p, n: Image.fromarray(STORED).save(p, exif=TURNED[n], compression="tiff_lzw"),
    "rasterio lzw.tif": lambda p, n: by_rasterio(p, STORED.astype(np.uint16) * 257, n),
}


@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize("name", READERS)
def test_every_reader_turns_and_every_writer_turns_back(name: str, n: int, tmp_path: Path) -> None:
    READERS[name](tmp_path / name, n)
    shown = np.moveaxis(as_viewers_show(STORED, n), -1, 0)
    picture = read_picture(tmp_path / name)
    np.testing.assert_allclose(picture.pixels * 255, shown, atol=4 if name == "a.jpg" else 1e-4)
    assert picture.info.get("orientation", 1) == n
    for suffix in (".png", ".tif", ".jpg", ".webp", ".bmp", ".npy"):
        out = tmp_path / f"out{suffix}"
        write_picture(out, picture.pixels, picture)
        back = read_picture(out, picture.span if suffix == ".npy" else None).pixels * 255
        np.testing.assert_allclose(back, shown, atol=8 if ".jpg" in (suffix, name[-4:]) else 0.51)
        if suffix in (".bmp", ".npy"):
            continue
        if suffix == ".tif":
            with tifffile.TiffFile(out) as tif:
                page = tif.pages[0]
                size, tag = page.shape[:2], page.tags.valueof("Orientation", 1)  # type: ignore[union-attr]
        else:
            with Image.open(out) as image:
                size, tag = image.size[::-1], image.getexif().get(274, 1)
        assert tag == n
        assert size == STORED.shape[:2]


def test_a_picture_without_exif_gets_the_tag_and_nothing_else_is_lost(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[274] = "maker", 6
    Image.fromarray(SMOOTH).save(tmp_path / "a.jpg", exif=exif)
    like = read_picture(tmp_path / "a.jpg")
    write_picture(tmp_path / "b.png", like.pixels, like)
    with Image.open(tmp_path / "b.png") as image:
        assert (image.getexif()[0x010F], image.getexif()[274]) == ("maker", 6)
    # Another picture's EXIF does not turn one that is stored upright.
    upright = Picture(like.pixels, "uint8", (0, 255), info={"exif": like.info["exif"]})
    write_picture(tmp_path / "c.jpg", like.pixels, upright)
    assert read_picture(tmp_path / "c.jpg").pixels.shape == like.pixels.shape
    with Image.open(tmp_path / "c.jpg") as image:
        assert image.getexif()[0x010F] == "maker"


@pytest.mark.parametrize("n", range(1, 9))
def test_masks_and_kernels_are_those_of_what_is_shown(n: int, tmp_path: Path) -> None:
    Image.fromarray(SMOOTH).save(tmp_path / "in.png", exif=TURNED[n])
    mask = np.full(as_viewers_show(SMOOTH, n).shape[:2], 255, np.uint8)
    mask[2:6, 3:7] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")  # drawn on what is shown, without a tag
    words = ("degrade", tmp_path / "in.png", tmp_path / "out.png", "--op", f"inpaint:mask={tmp_path / 'mask.png'}")
    assert run(*words, "--noise", "gaussian:0.00001").exit_code == 0
    with Image.open(tmp_path / "out.png") as image:
        assert image.getexif().get(274, 1) == n
        shown = np.asarray(ImageOps.exif_transpose(image))
    assert (shown[2:6, 3:7] == 0).all()
    assert np.abs(shown[mask > 0].astype(int) - as_viewers_show(SMOOTH, n)[mask > 0]).max() <= 1
    Image.fromarray(as_viewers_show(SMOOTH, 1)[..., 0]).save(tmp_path / "turned.png", exif=TURNED[n])
    np.testing.assert_array_equal(kernel_pixels(tmp_path / "turned.png"), as_viewers_show(SMOOTH[..., 0], n))


def test_a_mask_of_the_stored_pixels_is_refused_with_the_reason(tmp_path: Path) -> None:
    Image.fromarray(SMOOTH).save(tmp_path / "in.jpg", exif=TURNED[6])
    Image.fromarray(np.full(SMOOTH.shape[:2], 255, np.uint8)).save(tmp_path / "mask.png")
    found = run("inpaint", tmp_path / "in.jpg", tmp_path / "out.jpg", "--mask", tmp_path / "mask.png")
    assert found.exit_code == 1
    assert "EXIF orientation" in str(found.exception)
    assert "resize" not in str(found.exception)
    assert "as viewers show it, turned by its orientation 6" in found.stderr
    assert not (tmp_path / "out.jpg").exists()


PHOTO = np.random.default_rng(1).integers(0, 8, (6, 6, 3)).repeat(4, 0).repeat(4, 1).astype(np.uint8) * 36


@pytest.mark.parametrize("n", [2, 3, 6])
def test_a_second_picture_of_another_orientation_is_turned_or_refused(n: int, tmp_path: Path) -> None:
    """Square, so that no size tells: B upright, B stored as IN without the tag, B with the tag."""
    a, out = tmp_path / "a.png", tmp_path / "out.png"
    Image.fromarray(PHOTO).save(a, exif=TURNED[n])
    brighter = np.minimum(PHOTO, 250)
    Image.fromarray(as_viewers_show(brighter, n)).save(tmp_path / "upright.png")
    Image.fromarray(brighter).save(tmp_path / "tagged.png", exif=TURNED[n])
    Image.fromarray(brighter).save(tmp_path / "bare.png")
    for name in ("upright", "tagged"):
        found = run("metrics", tmp_path / f"{name}.png", a, "--names", "mae")
        assert found.exit_code == 0, found.output
        assert float(found.stdout.split()[1]) < 0.01
    commands: list[tuple[object, ...]] = [
        ("metrics", tmp_path / "bare.png", a),
        ("derain", a, out, "--derained", tmp_path / "bare.png"),
        ("compare", a, tmp_path / "o.html", "--op", "denoise", "--truth", tmp_path / "bare.png"),
    ]
    for words in commands:
        found = run(*words)
        assert found.exit_code == 1
        assert "a program that ignores orientation" in str(found.exception)
    assert not out.exists()


def test_other_sizes_are_explained_by_the_orientation(tmp_path: Path) -> None:
    a, b, out = tmp_path / "a.png", tmp_path / "b.png", tmp_path / "out.png"
    Image.fromarray(SMOOTH).save(a, exif=TURNED[8])
    Image.fromarray(SMOOTH).save(b)
    commands: list[tuple[object, ...]] = [
        ("metrics", b, a),
        ("derain", a, out, "--derained", b),
        ("compare", a, tmp_path / "o.html", "--op", "denoise", "--truth", b),
    ]
    for words in commands:
        found = run(*words)
        assert found.exit_code == 1
        assert "EXIF orientation" in str(found.exception), words


def test_rasters_that_gdal_would_not_turn_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    tiff(tmp_path / "a.tif", STORED[..., 0], 6)
    with pytest.raises(BadInput, match="orientation 6"):
        describe(tmp_path / "a.tif")
    tiff(tmp_path / "a.tif", STORED[..., 0], 1)
    assert describe(tmp_path / "a.tif").width == 7


def test_damaged_exif_of_a_picture_is_no_warning(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[33432] = "a copyright of more than four letters"
    Image.fromarray(SMOOTH).save(tmp_path / "a.jpg", exif=exif.tobytes()[:-12])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_picture(tmp_path / "a.jpg").pixels.shape == (3, 16, 24)


def test_damaged_exif_turns_nothing() -> None:
    assert orientation.of_exif(b"Exif\0\0MM\0*\0\0\0\x08\0\xff") == 1
    assert orientation.of_exif(orientation.exif_with(b"no exif", 6)) == 6
    assert [orientation.valid(v) for v in (0, 9, None, "6", 6)] == [1, 1, 1, 1, 6]
