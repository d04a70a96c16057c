"""What a file is: by its content, with the way out where it is not read; and decoders that are not there."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import restorekit
from restorekit.files import reading
from restorekit.files.formats import content, kind_of
from restorekit.files.picture import read_picture, write_picture
from tests.support.io_files import refusal, values

RGB = values("uint8", (12, 10, 3))

CONTENTS = {
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0",
    "AVIF": b"\0\0\0\x1cftypavif\0\0\0\0",
    "JPEG XL": b"\xff\x0a\xfa\x1f\x01\x91\x08\x06",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14",
    "PSD": b"8BPS\0\x01" + bytes(10),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_formats_that_are_not_decoded_name_who_converts_them(kind: str, tmp_path: Path) -> None:
    suffix = {"HEIC": ".heic", "AVIF": ".avif", "JPEG XL": ".jxl", "JPEG 2000": ".jp2", "PSD": ".psd"}[kind]
    for name in (f"a b{suffix}", "phone.jpg"):
        (tmp_path / name).write_bytes(CONTENTS[kind])
        refusal(lambda name=name: read_picture(tmp_path / name), kind, "convert it: ", f"{Path(name).stem}", ".png")


def test_every_kind_that_is_read_is_told_by_its_content(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg", ".tif", ".npy", ".bmp", ".webp"):
        write_picture(tmp_path / f"a{suffix}", values("float32", (3, 8, 9)))
    Image.fromarray(RGB).convert("P").save(tmp_path / "a.gif")
    for path in tmp_path.iterdir():
        assert content(path.read_bytes()[:16]) == kind_of(path)
    assert content(b"RIFF\0\0\0\0WAVEfmt ") == ""


def test_gif_of_one_frame_is_read_and_not_written(tmp_path: Path) -> None:
    image = Image.fromarray(RGB).quantize(16)
    image.save(tmp_path / "a.gif")
    expected = np.moveaxis(np.asarray(Image.open(tmp_path / "a.gif").convert("RGB")), -1, 0)
    picture = read_picture(tmp_path / "a.gif")
    np.testing.assert_array_equal(np.rint(picture.pixels * 255), expected)
    refusal(lambda: write_picture(tmp_path / "b.gif", picture.pixels, picture), "GIF is read, and not written", "b.png")
    image.save(tmp_path / "c.gif", save_all=True, append_images=[image.rotate(90)])
    refusal(lambda: read_picture(tmp_path / "c.gif"), "animation")


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk_names_who_converts_it(name: str, tmp_path: Path) -> None:
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / name)
    refusal(lambda: read_picture(tmp_path / name), "CMYK", "colour profile", "magick", "-colorspace sRGB")


def test_a_camera_raw_file_is_told_by_its_tag(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RGB, extratags=[(50706, 1, 4, (1, 4, 0, 0), True)])
    refusal(lambda: read_picture(tmp_path / "a.tif"), "camera raw", "dcraw_emu")


def test_names_of_gdal_say_which_commands_read_them(tmp_path: Path) -> None:
    refusal(lambda: kind_of(Path("NETCDF:a.nc:v")), "a name of GDAL", "gdal_translate NETCDF:a.nc:v picture.tif")
    refusal(lambda: kind_of(Path("a.xyz")), "unknown file type '.xyz'", ".png")


# --- TIFF of every compression ---

TYPES = [
    ("ZSTD", "uint8"), ("ZSTD", "uint16"), ("ZSTD", "float32"), ("LERC", "uint8"), ("LERC", "float32"), ("WEBP", "uint8"),
    ("LZW", "uint16"), ("LZMA", "float32"), ("LERC_ZSTD", "uint8"), ("DEFLATE", "uint16"), ("PACKBITS", "uint8"),
]  # fmt: skip


def with_gdal(path: Path, raw: np.ndarray, **profile: object) -> None:
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=raw.shape[1],
        width=raw.shape[2],
        count=len(raw),
        dtype=raw.dtype.name,
        **profile,
    ) as d:
        d.write(raw)


@pytest.mark.parametrize(("compression", "dtype"), TYPES)
def test_a_whole_tiff_is_read_whatever_its_compression(compression: str, dtype: str, tmp_path: Path) -> None:
    raw = values(dtype, (3, 24, 20))
    lossless = {"WEBP_LOSSLESS": "YES", "interleave": "pixel"} if compression == "WEBP" else {}
    with_gdal(tmp_path / "a.tif", raw, compress=compression, **lossless)
    full = 1.0 if dtype == "float32" else float(np.iinfo(dtype).max)
    found = read_picture(tmp_path / "a.tif").pixels.astype(np.float64) * full
    np.testing.assert_allclose(found, raw, atol=1e-6 if full == 1 else 0.01)


@pytest.mark.parametrize(("compression", "dtype"), [("ZSTD", "uint16"), ("WEBP", "uint8"), ("LERC", "uint8")])
def test_without_a_decoder_the_package_is_named(
    compression: str, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gdal(tmp_path / "a.tif", values(dtype, (3, 24, 20)), compress=compression, interleave="pixel")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "rasterio" else find(name))
    line = refusal(lambda: read_picture(tmp_path / "a.tif"), compression, "`pip install imagecodecs`", "rasterio")
    assert "damaged" not in line
    assert "fresh copy" not in line


@pytest.mark.parametrize("bits", [2, 4, 10, 12, 14])
def test_white_is_the_largest_number_of_the_bits(bits: int, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    kind = np.uint8 if bits <= 8 else np.uint16
    raw = np.random.default_rng(0).integers(0, 2**bits, (1, 12, 14)).astype(kind)
    with_gdal(tmp_path / "a.tif", raw, NBITS=bits)
    picture = read_picture(tmp_path / "a.tif")
    assert picture.span == (0.0, 2.0**bits - 1)
    write_picture(tmp_path / "b.tif", picture.pixels, picture)
    with rasterio.open(tmp_path / "b.tif") as d:
        np.testing.assert_array_equal(d.read(), raw)
        assert d.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == str(bits)
    write_picture(tmp_path / "b.tif", picture.pixels * 2, picture)
    assert read_picture(tmp_path / "b.tif").pixels.max() == 1
    if bits > 8:
        write_picture(tmp_path / "b.png", picture.pixels, picture, dtype="uint8")
        shown = np.asarray(Image.open(tmp_path / "b.png"))
        np.testing.assert_allclose(shown, raw[0] * (255 / (2**bits - 1)), atol=0.51)


# --- size, and what reaches the terminal ---


def test_a_large_picture_is_no_damaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (20000, 9000)).save(tmp_path / "a.png")  # 180 megapixels, beyond what Pillow opens by itself
    before = Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(reading, "MOST_VALUES", 10**8)
    line = refusal(lambda: read_picture(tmp_path / "a.png"), "9000x20000 pixels", "cut out a part")
    assert "damaged" not in line
    assert before == Image.MAX_IMAGE_PIXELS
    monkeypatch.undo()
    small = Image.fromarray(RGB)
    small.save(tmp_path / "b.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # and so of one that can be held
    assert read_picture(tmp_path / "b.png").pixels.shape == (3, 12, 10)


DAMAGED = """
import sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from restorekit.errors import BadInput
from restorekit.files.picture import read_picture
from restorekit.files.scene import scene_of
for path in map(Path, sys.argv[1:]):
    for read in (read_picture, scene_of):
        try:
            read(path)
        except BadInput as error:
            print("refused", error)
"""


def test_libraries_say_nothing_of_damaged_files_by_themselves(tmp_path: Path) -> None:
    with_gdal(tmp_path / "lzw.tif", values("uint8", (3, 40, 50)), compress="lzw")
    with_gdal(tmp_path / "zstd.tif", values("uint16", (3, 40, 50)), compress="zstd")
    with_gdal(tmp_path / "jpeg.tif", values("uint8", (3, 40, 50)), compress="jpeg", interleave="pixel")
    rng = np.random.default_rng(0)
    for path in list(tmp_path.iterdir()):
        data = bytearray(path.read_bytes())
        for n in range(6):
            wrong = data[: rng.integers(100, len(data))] if n % 2 else bytearray(data)
            for at in rng.integers(8, len(wrong), 8):
                wrong[at] = rng.integers(256)
            path.with_name(f"{path.stem}{n}.tif").write_bytes(wrong)
    files = sorted(map(str, tmp_path.glob("*[0-9].tif")))
    done = subprocess.run([sys.executable, "-c", DAMAGED, *files], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) > 10
    assert all(line.startswith("refused") for line in lines)


def test_control_characters_of_a_name_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from restorekit.cli.main import run

    name = "a\x1b]0;b\x07\x9b2J\u202egnp.png"
    with pytest.raises(SystemExit) as caught:
        run(["denoise", name, "out.png"])
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert r"a\x1b]0;b\x07\x9b2J\u202egnp.png: no such file" in said
    assert said.strip("\n").isprintable()


def test_suffixes_and_first_bytes_of_pictures_stand_in_one_file() -> None:
    """No other module of the package lists suffixes of pictures, but for one that says what the metadata of two hold."""
    root = Path(restorekit.__file__).parent
    tables = []
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else getattr(node, "keys", [])
            found = {p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)}
            if len(found & {".png", ".jpg", ".jpeg", ".bmp", ".webp"}) > 1:
                tables.append(path.relative_to(root).as_posix())
    assert set(tables) == {"files/formats.py", "files/transfer.py"}
