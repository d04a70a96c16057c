from __future__ import annotations

import io as stdio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from restorekit.errors import BadInput
from restorekit.files import encode
from restorekit.files.kernel_files import read_kernel
from restorekit.files.masks import read_mask
from restorekit.files.picture import (
    check_writable,
    read_picture,
    sha256,
    write_json,
    write_picture,
    write_text,
)
from restorekit.files.scene import scene_of
from tests.support.io_files import PIXELS, palette, png, refusal, values


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
SUFFIXES = (".png", ".jpg", ".tif", ".npy", ".bmp", ".webp")
REFUSED: list[tuple[str, bytes, list[str]]] = [
    ("a.xyz", b"GIF89a", [".xyz", ".png", ".npy"]),
    ("a", b"x", ["unknown file type"]),
    *[(f"empty{suffix}", b"", ["0 bytes"]) for suffix in SUFFIXES],
    *[(f"text{s}", b"ABCD\n" * 50, ["this is no", "it holds text; give a picture (.png"]) for s in SUFFIXES],
    *[(f"noise{s}", bytes(range(200)), ["this is no", "does not begin as one", "fresh copy"]) for s in SUFFIXES],
    ("a.png", b"GIF89a, and so on", ["content is GIF"]),
    ("start.tif", b"II*\0\1", ["no readable TIFF, damaged or cut short; get a fresh copy"]),  # struct says: unpack ...
    ("start.bmp", b"BM\0\0", ["no readable BMP, damaged or cut short; get a fresh copy"]),  # Pillow: ... <_io.BytesIO
    ("a.png", npy([[0.5]]), ["content is NPY", "rename"]),
    ("a.png", _interlaced(), ["interlac"]),
    ("a.png", png((2, 2, 16, 2, 0, 0, 0), bytes(7)), ["damaged"]),
    ("a.png", png((1, 1, 16, 0, 0, 0, 0), b"\x05\0\0"), ["filter type 5"]),
    ("a.png", png((1, 1, 16, 0, 0, 0, 0), bytes(9)), ["damaged"]),
    ("a.png", saved(GREY.save, "PNG", save_all=True, append_images=[palette(False).resize((4, 4))]), ["animation"]),
    ("a.jpg", saved(GREY.convert("CMYK").save, "JPEG"), ["CMYK"]),
    (
        "a.tif",
        saved(tifffile.imwrite, np.zeros((2, 4, 4), np.uint8), photometric="minisblack"),
        ["a stack of 2 pages", "`pages=1`"],
    ),
    ("a.tif", saved(tifffile.imwrite, np.zeros((2, 5, 6), np.uint8), imagej=True), ["a stack of 2 pages"]),
    ("a.tif", saved(tifffile.imwrite, np.zeros((4, 4), np.complex64)), ["complex"]),
    ("a.tif", saved(tifffile.imwrite, np.full((4, 4), np.inf, np.float32)), ["16 of 16 pixels"]),
    ("a.npy", npy(HOLED), ["2 of 12 pixels", "mask"]),
    ("a.npy", npy(np.stack([HOLED] * 3, -1)), ["2 of 12 pixels"]),
    ("a.npy", npy([[1j]]), ["complex"]),
    ("a.npy", npy([["text"]]), ["real numbers"]),
    ("a.npy", npy([[0.5, 7.5]]), ["`range=LO,HI`"]),
    ("a.npy", npy(np.zeros((0, 5))), ["(1, 0, 5)"]),
    ("a.npy", npy(np.zeros(5)), ["(5,)"]),
    ("a.npy", npy(np.zeros((1, 2, 3, 4))), ["(1, 2, 3, 4)"]),
    ("a.npy", saved(np.save, np.array([[{}]]), allow_pickle=True), ["allow_pickle"]),
]


@pytest.mark.parametrize(("name", "data", "words"), REFUSED, ids=[f"{n}-{w[0]}" for n, _, w in REFUSED])
def test_unreadable_files(name: str, data: bytes, words: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    refusal(lambda: read_picture(tmp_path / name), name, *words)


@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("name", ["a.png", "16.png", "a.jpg", "a.tif", "f.tif", "a.npy", "a.bmp", "a.webp"])
def test_truncated_files(name: str, fraction: float, tmp_path: Path) -> None:
    dtype = {"16.png": "uint16", "f.tif": "float32"}.get(name, "uint8")
    write_picture(tmp_path / name, values("float32", (3, 40, 50)), dtype=dtype)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * fraction)])
    refusal(lambda: read_picture(tmp_path / name), name)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_one_wrong_byte_in_a_png_is_found(dtype: str, tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", values("float32", (3, 40, 50)), dtype=dtype)
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    refusal(lambda: read_picture(tmp_path / "a.png"), "checksum")


@pytest.mark.parametrize("reader", [read_picture, read_kernel, sha256, lambda path: read_mask(path, (1, 1))])
def test_missing_file_folder_and_permission(reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal(lambda: reader(tmp_path / "no.png"), "no.png", "no such file")
    (tmp_path / "d.png").mkdir()
    refusal(lambda: reader(tmp_path / "d.png"), "folder")
    GREY.save(tmp_path / "a.png")
    monkeypatch.setattr(os, "access", lambda *_: False)
    refusal(lambda: reader(tmp_path / "a.png"), "permission")


@pytest.mark.parametrize("span", [(1, 1), (2, 1), (0, np.nan), (0, np.inf), (0, 1e-45), (-1e308, 1e308)])
def test_bad_range(span: tuple[float, float], tmp_path: Path) -> None:
    GREY.save(tmp_path / "a.png")
    refusal(lambda: read_picture(tmp_path / "a.png", span), "`range=LO,HI`")


@pytest.mark.parametrize(("name", "side"), [("a.jpg", 65501), ("a.webp", 16384)])
def test_a_side_longer_than_the_format_holds(name: str, side: int, tmp_path: Path) -> None:
    refusal(lambda: write_picture(tmp_path / name, np.zeros((1, 1, side))), f"{side - 1} pixels a side")
    assert os.listdir(tmp_path) == []


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
    line = refusal(lambda: write_picture(tmp_path / name, pixels, dtype=dtype), *words)
    assert os.listdir(tmp_path) == ["folder.png"]
    assert os.listdir(tmp_path / "folder.png") == []
    if pixels.ndim == 3 and not any(word in line for word in ("NaN", "complex values", "float16", "shape")):
        assert refusal(lambda: check_writable(tmp_path / name, len(pixels), False, dtype)) == line


def test_no_permission_and_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    refusal(lambda: check_writable(tmp_path / "pipe.png", 3, False), "device")
    refusal(lambda: write_text(tmp_path / "pipe.png", ""), "device")
    monkeypatch.setattr(os, "access", lambda *_: False)
    refusal(lambda: check_writable(tmp_path / "a.png", 3, False), "permission")
    refusal(lambda: write_picture(tmp_path / "a.png", PIXELS), "permission")


def test_check_writable_leaves_nothing(tmp_path: Path) -> None:
    assert check_writable(tmp_path / "a.png", 3, True) == []
    assert os.listdir(tmp_path) == []


ENCODERS = [("a.png", Image.Image, "save"), ("16.png", encode, "encode"), ("a.jpg", Image.Image, "save")]
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
        write_picture(tmp_path / name, PIXELS, dtype="uint16" if name == "16.png" else None)
    assert [n for n in during if n != name and n.endswith(Path(name).suffix)]  # the temporary file was there
    assert os.listdir(tmp_path) == [name] * exists
    assert not exists or (tmp_path / name).read_bytes() == b"old"


def test_replacing_keeps_the_mode_and_the_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.png", tmp_path / "link.png"
    write_picture(real, PIXELS)
    umask = os.umask(0)
    os.umask(umask)
    assert real.stat().st_mode & 0o777 == 0o666 & ~umask
    real.chmod(0o640)
    link.symlink_to(real)
    before = real.stat().st_ino
    write_picture(link, PIXELS + 1)
    assert link.is_symlink()
    assert real.stat().st_ino != before  # replaced, never half overwritten
    assert real.stat().st_mode & 0o777 == 0o640
    assert read_picture(real).pixels.min() == 1


# --- masks, kernels, text ---


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        ("m.png", np.array([[0, 0], [255, 255]], np.uint8), [[[0, 0], [1, 1]]]),
        ("m.png", np.array([[0, 0], [65535, 65535]], np.uint16), [[[0, 0], [1, 1]]]),
        ("m.png", np.array([[[0] * 3, [255] * 3], [[0] * 3] * 2], np.uint8), [[[0, 1], [0, 0]]]),
        ("m.npy", np.array([[0, 255], [255, 0]], np.int32), [[[0, 1], [1, 0]]]),
        ("m.npy", np.array([[0, 1], [1, 1]], np.uint8), [[[0, 1], [1, 1]]]),
        ("m.npy", np.array([[0, 1], [1, 1]], np.int64), [[[0, 1], [1, 1]]]),
        ("m.npy", np.array([[False, True], [True, True]]), [[[0, 1], [1, 1]]]),
        ("m.npy", np.array([[0, 0.25], [0.5, 1]]), [[[0, 0.25], [0.5, 1]]]),
        ("m.npy", np.array([[0, 1], [1, 1]], bool)[..., None].repeat(3, -1), [[[0, 1], [1, 1]]]),
        ("m.npy", np.stack([np.zeros((2, 2)), np.ones((2, 2))], -1), [[[0, 0], [0, 0]], [[1, 1], [1, 1]]]),
    ],
)
def test_mask(name: str, array: np.ndarray, expected: list, tmp_path: Path) -> None:
    np.save(tmp_path / name, array) if name == "m.npy" else Image.fromarray(array).save(tmp_path / name)
    mask = read_mask(tmp_path / name, (2, 2))
    assert (mask.dtype, mask.tolist()) == (np.float32, expected)


def test_mask_layout_follows_the_known_size(tmp_path: Path) -> None:
    array = values("bool", (3, 8, 9))
    np.save(tmp_path / "m.npy", array)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.npy", (8, 9)), array)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.ones((3, 2)), ["3x2", "2x2"]),
        (np.zeros((2, 2), bool), ["zero everywhere"]),
        (np.array([[0, 254], [7, 3]], np.int32), ["4 value(s), 0, 3, 7, 254", "-threshold 50%"]),
        (np.full((2, 2), 255, np.int32), ["white everywhere", "nothing is to be filled"]),
        (np.ones((2, 2)), ["white everywhere"]),
        (np.full((2, 2), 1.5), ["1.5"]),
        (np.full((2, 2), np.nan), ["4 of 4"]),
    ],
)
def test_bad_mask(array: np.ndarray, words: list[str], tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", array)
    refusal(lambda: read_mask(tmp_path / "m.npy", (2, 2)), "m.npy", *words)


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
        kernel = read_kernel(f"{tmp_path}/{name}")
        assert (kernel.dtype, kernel.shape) == (np.float32, (3, 4))
        np.testing.assert_allclose(kernel, KERNEL / 8, rtol=1e-6)
    assert read_kernel(f"{tmp_path}/k.npz:two").shape == (1, 4)
    (tmp_path / "row.csv").write_text("1;2;1\n")
    assert read_kernel(tmp_path / "row.csv").tolist() == [[0.25, 0.5, 0.25]]


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("k.npy", np.zeros((3, 3)), ["all zero"]),
        ("k.npy", np.array([[1.0, -1.0, 0.0]]), ["positive sum", "sum 0"]),
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
    refusal(lambda: read_kernel(f"{tmp_path}/{name}"), *words)


def test_text_json_and_checksum(tmp_path: Path) -> None:
    record = {"a": np.float32(0.5), "b": np.arange(2), "c": [float("inf"), np.nan], "d": tmp_path, "e": (True, None)}
    write_json(tmp_path / "r.json", record)
    found = json.loads((tmp_path / "r.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert found == {"a": 0.5, "b": [0, 1], "c": ["inf", "nan"], "d": str(tmp_path), "e": [True, None]}
    with pytest.raises(TypeError):
        write_json(tmp_path / "r.json", {"a": object()})
    assert json.loads((tmp_path / "r.json").read_text()) == found
    write_text(tmp_path / "t.txt", "µ\n")
    assert (tmp_path / "t.txt").read_bytes() == b"\xc2\xb5\n"
    (tmp_path / "e").touch()
    assert sha256(tmp_path / "e") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sorted(os.listdir(tmp_path)) == ["e", "r.json", "t.txt"]
    refusal(lambda: write_text(tmp_path / "no" / "t.txt", ""), "no folder")


def test_import_is_light() -> None:
    heavy = "{'torch', 'scipy', 'skimage', 'PIL', 'tifffile', 'imageio'}"
    code = (
        f"import sys, restorekit.files.picture, restorekit.metrics.fidelity; print(sorted({heavy} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.filterwarnings("error")
def test_an_array_too_large_for_any_machine_is_one_line(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((8, 8)))
    raw = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(raw.replace(b"(8, 8), }" + b" " * 20, b"(8" + b"0" * 20 + b", 8), }"))
    with pytest.raises(BadInput, match="no NPY file that can be read"):
        scene_of(tmp_path / "x.npy")
