"""Stacks of pages: refused, or one page after the other; and what a damaged list of pages may cost."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from restorekit.files import tiff
from restorekit.files.picture import read_picture
from restorekit.files.reading import Reading
from restorekit.files.tiff import page_count
from restorekit.tasks.pages import readings
from tests.support.io_files import refusal

STACK = np.random.default_rng(0).integers(0, 65536, (5, 8, 9), np.uint16)
PLAIN = {"photometric": "minisblack", "metadata": None}
STACKS = {
    "pages.tif": PLAIN,
    "big.tif": {**PLAIN, "bigtiff": True},
    "motorola.tif": {**PLAIN, "byteorder": ">"},
    "imagej.tif": {"imagej": True},
    "ome.tif": {"metadata": {"axes": "ZYX"}, "ome": True},
    "shaped.tif": {},
    "planar.tif": {"photometric": "minisblack", "planarconfig": "contig", "metadata": None, "compression": "zlib"},
}


@pytest.mark.parametrize("name", STACKS)
def test_a_stack_is_refused_and_its_pages_are_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    stack = STACK.astype(">u2") if name == "imagej.tif" else STACK
    tifffile.imwrite(path, stack if name != "planar.tif" else np.moveaxis(STACK, 0, -1), **STACKS[name])
    if name == "planar.tif":  # bands of one page are no stack
        assert page_count(path) == 1
        np.testing.assert_array_equal(read_picture(path).pixels * 65535, STACK)
        return
    refusal(lambda: read_picture(path), name, "a stack of 5 pages", "`pages=1`", "`pages=all`")
    assert page_count(path) == 5
    for number, expected in enumerate(STACK, 1):
        found = read_picture(path, reading=Reading(page=number)).pixels
        np.testing.assert_allclose(found[0] * 65535, expected, atol=0.01)
    refusal(lambda: read_picture(path, reading=Reading(page=6)), "there is no page 6, it has 5")


def test_overviews_and_masks_are_no_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0], **PLAIN)
    tifffile.imwrite(path, STACK[0, ::2, ::2], append=True, subfiletype=1, **PLAIN)
    tifffile.imwrite(path, STACK[0] > 99, append=True, photometric="mask", subfiletype=4, metadata=None)
    assert page_count(path) == 1
    assert read_picture(path).info["mask"].shape == (8, 9)


def test_each_page_has_the_mask_that_follows_it(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for n in (0, 1):
        tifffile.imwrite(path, STACK[n], append=n > 0, **PLAIN)
        tifffile.imwrite(path, STACK[n] > 30000, append=True, photometric="mask", subfiletype=4, metadata=None)
    for n in (0, 1):
        mask = read_picture(path, reading=Reading(page=n + 1)).info["mask"]
        np.testing.assert_array_equal(mask, STACK[n] > 30000)


def test_a_page_of_a_compression_that_needs_gdal(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "height": 8, "width": 9, "count": 1, "dtype": "uint16", "compress": "zstd"}
    for n in (0, 1):
        with rasterio.open(path, "w", **profile, APPEND_SUBDATASET=n > 0) as d:
            d.write(STACK[n], 1)
    found = read_picture(path, reading=Reading(page=2)).pixels[0]
    np.testing.assert_allclose(found * 65535, STACK[1], atol=0.01)


def looped(path: Path, last: int) -> None:
    """The list of pages of a stack goes back to page `last`, from 0."""
    tifffile.imwrite(path, STACK, **PLAIN)
    with tifffile.TiffFile(path) as tif:
        offsets = [p.offset for p in tif.pages]
    data = bytearray(path.read_bytes())
    (count,) = struct.unpack_from("<H", data, offsets[-1])
    struct.pack_into("<I", data, offsets[-1] + 2 + 12 * count, offsets[last])
    path.write_bytes(data)


@pytest.mark.parametrize("last", [0, 3])
def test_a_list_of_pages_in_a_circle_ends(last: int, tmp_path: Path) -> None:
    looped(tmp_path / "a.tif", last)
    refusal(lambda: read_picture(tmp_path / "a.tif"), "damaged", "goes in a circle")
    assert page_count(tmp_path / "a.tif") == 1


def test_a_list_of_pages_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, **PLAIN)
    monkeypatch.setattr(tiff, "MOST_PAGES", 4)
    refusal(lambda: read_picture(tmp_path / "a.tif"), "more than 4 pages")


def test_a_header_that_promises_too_much_is_refused_before_anything_is_decoded(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64), np.float32), compression="zlib", **PLAIN)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tif:
        for tag in ("ImageWidth", "ImageLength"):
            tif.pages.first.tags[tag].overwrite(20000)
    refusal(lambda: read_picture(tmp_path / "a.tif"), "promises 1600 MB of pixels", "damaged")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tif:
        for tag in ("ImageWidth", "ImageLength"):
            tif.pages.first.tags[tag].overwrite(60000)
    refusal(lambda: read_picture(tmp_path / "a.tif"), "60000x60000 pixels", "cut out a part")


def test_pages_are_named_after_the_page(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((12, 8, 9), np.uint8), **PLAIN)
    source, target = tmp_path / "a.tif", tmp_path / "out.png"
    assert readings(source, target, None, None) == [(Reading(), target)]
    assert readings(source, target, "CHW", "3") == [(Reading("CHW", 3), target)]
    some = readings(source, target, None, "2,9-11")
    assert [reading.page for reading, _ in some] == [2, 9, 10, 11]
    assert [path.name for _, path in some] == ["out_p02.png", "out_p09.png", "out_p10.png", "out_p11.png"]
    assert len(readings(source, target, None, "all")) == 12
    for wrong in ("0", "3-2", "x", "1,,2", "-1"):
        refusal(lambda wrong=wrong: readings(source, target, None, wrong), "is not understood", "`pages=3`")
    refusal(lambda: readings(source, target, None, "13"), "there is no page 13, it has 12")


def test_a_command_treats_pages_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from restorekit.cli.main import run

    monkeypatch.chdir(tmp_path)
    flat = np.linspace(0, 255, 32 * 32).reshape(32, 32)
    stack = np.stack([flat, flat.T, flat[::-1]]).astype(np.uint8)
    tifffile.imwrite("in.tif", stack, **PLAIN)
    common = ["denoise", "in.tif", "out.png", "--prior", "natural-fast", "--noise", "gaussian:0.001", "--steps", "1"]
    with pytest.raises(SystemExit) as caught:
        run(common)
    assert caught.value.code == 1
    assert "give --pages 1 for one, --pages all" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        run([*common, "--pages", "2-3"])
    assert caught.value.code == 0
    assert sorted(p.name for p in tmp_path.glob("out*")) == [
        "out_p2.png", "out_p2.png.json", "out_p3.png", "out_p3.png.json",
    ]  # fmt: skip
    for page in (2, 3):
        assert json.loads(Path(f"out_p{page}.png.json").read_text())["input"]["page"] == page
        found = np.asarray(Image.open(f"out_p{page}.png")).astype(float)
        assert abs(found - stack[page - 1]).mean() < 3
