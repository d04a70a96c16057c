"""What a GeoTIFF says beside its pixels, through reading and writing and through every command, by what rasterio makes of it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from restorekit.cli.main import app
from restorekit.errors import BadInput
from restorekit.files.geotiff import as_type
from restorekit.files.picture import read_picture, write_picture

rasterio = pytest.importorskip("rasterio")

from rasterio.enums import ColorInterp as C  # noqa: TID253
from rasterio.enums import Resampling  # noqa: TID253
from rasterio.transform import Affine  # noqa: TID253

from tests.support.geotiffs import HOLE, RPCS, SHAPE, TILES, geotiff, rich, roles, valid, with_rpcs

pytestmark = [pytest.mark.floors, pytest.mark.filterwarnings("error::rasterio.errors.NotGeoreferencedWarning")]

KINDS: dict[str, Callable[[Path], Path]] = {
    "a value, tiles": lambda p: geotiff(p, nodata=-9999, fill=-9999, compress="deflate", predictor=3, **TILES),
    "NaN, LZW": lambda p: geotiff(p, nodata=float("nan"), fill=np.nan, compress="lzw"),
    "a mask, ZSTD": lambda p: geotiff(p, "uint8", 3, mask="in", compress="zstd", predictor=2),
    "a mask beside": lambda p: geotiff(p, "uint8", 3, mask="beside"),
    "RGBA, tiles": lambda p: geotiff(p, "uint8", 4, alpha=3, photometric="RGB", ALPHA="YES", compress="deflate", **TILES),
    "alpha of five bands": lambda p: geotiff(
        p, "uint16", 5, alpha=4, photometric="MINISBLACK", setup=roles(C.gray, C.undefined, C.undefined, C.undefined, C.alpha)
    ),
    "BigTIFF, RGB and infrared": lambda p: geotiff(
        p, "uint16", 4, nodata=0, fill=0, BIGTIFF="YES", photometric="RGB", setup=roles(C.red, C.green, C.blue, C.undefined)
    ),
    "blue first, bands apart": lambda p: geotiff(
        p, "uint16", 3, photometric="MINISBLACK", interleave="band", setup=roles(C.blue, C.green, C.red), **TILES
    ),
    "all that can be said": lambda p: geotiff(p, "int16", 2, nodata=-32768, fill=-32768, setup=rich),
    "RPCs and a mask": lambda p: geotiff(p, "uint8", 1, mask="in", setup=with_rpcs),
    "bits, LZMA": lambda p: geotiff(p, "float64", 1, compress="lzma", blockysize=5),
    "another order of bytes": lambda p: geotiff(p, "uint8", 1, compress="packbits", ENDIANNESS="BIG"),
}  # fmt: skip
STRUCTURE = (
    "driver",
    "dtype",
    "count",
    "crs",
    "transform",
    "blockxsize",
    "blockysize",
    "tiled",
    "compress",
    "interleave",
)


def said(path: Path, structure: bool = True) -> dict[str, Any]:
    """All that rasterio tells of a file, pixels and statistics aside."""
    with rasterio.open(path) as d:
        told: dict[str, Any] = {k: d.profile.get(k) for k in STRUCTURE if structure}
        told |= {
            k: getattr(d, k) for k in ("descriptions", "units", "scales", "offsets", "colorinterp", "mask_flag_enums")
        }
        told |= {"nodata": str(d.nodata), "rpcs": d.rpcs and d.rpcs.to_dict(), "photometric": d.photometric}
        spaces = {n: d.tags(ns=n) for n in d.tag_namespaces() if n not in ("DERIVED_SUBDATASETS", "RPC")}
        told["tags"] = {"": d.tags()} | (
            spaces if structure else {n: t for n, t in spaces.items() if n != "IMAGE_STRUCTURE"}
        )
        told["bands"] = [{k: v for k, v in d.tags(i).items() if "STATISTICS" not in k} for i in d.indexes]
    with tifffile.TiffFile(path) as tif:
        told["big"] = tif.is_bigtiff
    return told


def held(path: Path) -> np.ndarray:
    with rasterio.open(path) as d:
        return d.read()[:, HOLE]


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_says_what_its_input_said(kind: str, tmp_path: Path) -> None:
    source, out = KINDS[kind](tmp_path / "a.tif"), tmp_path / "b.tif"
    picture = read_picture(source, (0.0, 10000.0) if "all" in kind else None)
    assert write_picture(out, picture.pixels * 0.9, picture) == []
    assert said(out) == said(source)
    np.testing.assert_array_equal(valid(out), valid(source))
    hidden = ~valid(source)[HOLE]
    np.testing.assert_array_equal(held(out)[:, hidden], held(source)[:, hidden])
    assert (tmp_path / "b.tif.msk").exists() == (kind == "a mask beside")
    with rasterio.open(out) as d:
        assert not any("STATISTICS_MEAN" in d.tags(i) for i in d.indexes)
    with rasterio.open(out) as d, rasterio.open(source) as s:
        raw, there = s.read().astype(float), valid(source) & ~HOLE
        white = {"uint8": 255, "uint16": 65535, "int16": 10000}.get(s.dtypes[0], 1)
        colours = [i for i, c in enumerate(s.colorinterp) if c != C.alpha]
        np.testing.assert_allclose(d.read()[colours][:, there], 0.9 * raw[colours][:, there], atol=max(0.51, 1e-6 * white) if white > 1 else 1e-6)  # fmt: skip


QUICK = ("--prior", "natural-fast", "--noise", "gaussian:0.05", "--steps", "2")
COMMANDS: dict[str, tuple[str, ...]] = {
    "denoise": ("denoise", *QUICK),
    "deblur": ("deblur", "--kernel", "gaussian:0.7", *QUICK),
    "restore": ("restore", "--op", "blur:kernel=uniform:3", *QUICK),
    "inpaint": ("inpaint", "--mask", "wanted.png", *QUICK),
    "upscale": ("upscale", "--factor", "2", *QUICK),
    "derain": ("derain", "--prior", "natural-fast", "--steps", "2"),
    "degrade": ("degrade", "--noise", "gaussian:0.05"),
    "samples": ("denoise", "--samples", "2", *QUICK),
}


CASES = [(command, "in") for command in COMMANDS]
CASES += [(command, mask) for command in ("upscale", "derain", "samples") for mask in ("beside", "value")]


@pytest.mark.parametrize(("command", "mask"), CASES)
def test_every_command_keeps_it(command: str, mask: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hole: dict[str, Any] = {"nodata": 0, "fill": 0} if mask == "value" else {"mask": mask}
    source = geotiff(
        Path("a.tif"), "uint8", 3, setup=lambda d: (rich(d), with_rpcs(d)), compress="lzw", **TILES, **hole
    )
    Image.fromarray(np.where(np.indices(SHAPE)[0] > 30, 0, 255).astype(np.uint8)).save("wanted.png")
    name, *words = COMMANDS[command]
    found = CliRunner().invoke(app, [name, "a.tif", "b.tif", *words])
    assert found.exit_code == 0, found.output
    assert not any(word in found.stderr for word in ("without", "Warning", "TIFF"))
    before, after = said(source), said(Path("b.tif"))
    there = valid(source)
    np.testing.assert_array_equal(there, ~HOLE)
    if command == "upscale":
        place = ("transform", "rpcs")
        before, after = ({k: v for k, v in x.items() if k not in place} for x in (before, after))
        there = there.repeat(2, 0).repeat(2, 1)
    assert after == before
    np.testing.assert_array_equal(valid(Path("b.tif")), there)
    others = ["b_mean.tif", "b_low.tif", "b_high.tif"] if command == "samples" else []
    for other in others:
        assert said(Path(other)) == before
        np.testing.assert_array_equal(valid(Path(other)), there)
    if others:
        with rasterio.open("b_std.tif") as d, rasterio.open(source) as s:
            assert (d.crs, d.transform, d.rpcs.to_dict()) == (s.crs, s.transform, s.rpcs.to_dict())
            assert (d.profile["tiled"], d.profile["compress"]) == (True, "lzw")
            assert np.isnan(d.read()[:, HOLE]).all()
            assert (d.scales, d.offsets, d.descriptions) == (s.scales, (0.0, 0.0, 0.0), s.descriptions)
        np.testing.assert_array_equal(valid(Path("b_std.tif")), there)
    if command != "degrade":
        files = json.loads(Path("b.tif.json").read_text())["outputs"]
        assert ("b.tif.msk" in [Path(name).name for name in files]) == (mask == "beside")


def test_colours_of_a_map(tmp_path: Path) -> None:
    """Bands are other ones: what was said of the one is not said of the three."""
    source = geotiff(tmp_path / "a.tif", "uint8", 1, mask="in", setup=rich, compress="deflate", **TILES)
    found = CliRunner().invoke(app, ["colorize", str(source), str(tmp_path / "b.tif"), *QUICK])
    assert found.exit_code == 0, found.output
    with rasterio.open(source) as s, rasterio.open(tmp_path / "b.tif") as d:
        assert (d.crs, d.transform, d.profile["compress"], d.profile["tiled"]) == (s.crs, s.transform, "deflate", True)
        assert d.colorinterp == (C.red, C.green, C.blue)
        assert (d.descriptions, d.scales) == ((None,) * 3, (1.0,) * 3)
        assert d.tags() == s.tags()
    np.testing.assert_array_equal(valid(tmp_path / "b.tif"), ~HOLE)


@pytest.mark.parametrize("where", ["inside", "beside"])
@pytest.mark.parametrize("kind", ["a value, tiles", "a mask, ZSTD", "all that can be said"])
def test_overviews_are_made_again_of_the_result(kind: str, where: str, tmp_path: Path) -> None:
    source = KINDS[kind](tmp_path / "a.tif")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, TIFF_USE_OVR=where == "beside"), rasterio.open(source, "r+") as d:
        d.build_overviews([2, 4], Resampling.nearest)
    assert (tmp_path / "a.tif.ovr").exists() == (where == "beside")
    picture = read_picture(source, (0.0, 10000.0) if "all" in kind else None)
    assert write_picture(tmp_path / "b.tif", picture.pixels * 0.5, picture) == []
    assert said(tmp_path / "b.tif") == said(source)
    np.testing.assert_array_equal(valid(tmp_path / "b.tif"), valid(source))
    with rasterio.open(tmp_path / "b.tif") as d, rasterio.open(tmp_path / "b.tif", overview_level=0) as half:
        assert [d.overviews(i) for i in d.indexes] == [[2, 4]] * d.count
        whole = valid(tmp_path / "b.tif").reshape(18, 2, 24, 2).all((1, 3))  # blocks that hold data alone
        means = d.read().astype(float).reshape(d.count, 18, 2, 24, 2).mean((2, 4))
        np.testing.assert_allclose(
            half.read()[:, whole], means[:, whole], atol=0.51 if d.dtypes[0] != "float32" else 1e-4
        )
    # Of a result of another size too, as far as it can be halved.
    write_picture(tmp_path / "c.tif", np.zeros((len(picture.pixels), 3, 4)), picture)
    with rasterio.open(tmp_path / "c.tif") as d:
        assert d.overviews(1) == [2]


def test_the_same_picture_is_the_same_file_with_overviews_too(tmp_path: Path) -> None:
    source = geotiff(tmp_path / "a.tif", "uint8", 3, mask="in", compress="lzw", **TILES)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(source, "r+") as d:
        d.build_overviews([2], Resampling.average)
    picture = read_picture(source)
    for name in ("b.tif", "c.tif"):
        write_picture(tmp_path / name, picture.pixels, picture)
    assert (tmp_path / "b.tif").read_bytes() == (tmp_path / "c.tif").read_bytes()


def test_statistics_and_what_lies_beside_another_file_are_none_of_the_result(tmp_path: Path) -> None:
    source = geotiff(tmp_path / "a.tif", "uint8", 3, mask="in", **TILES)
    picture = read_picture(source)
    assert write_picture(tmp_path / "b.tif", picture.pixels, picture) == []
    assert said(tmp_path / "b.tif") == said(source)
    for end in (".ovr", ".aux.xml"):
        (tmp_path / f"b.tif{end}").write_text("of another file")
    lines = write_picture(tmp_path / "b.tif", picture.pixels, picture)
    assert ["b.tif.ovr: of an earlier" in lines[0], "b.tif.aux.xml: of an earlier" in lines[1]] == [True, True]


def test_compression_with_loss_becomes_one_without(tmp_path: Path) -> None:
    source = geotiff(tmp_path / "a.tif", "uint8", 3, compress="jpeg", photometric="ycbcr", **TILES)
    picture = read_picture(source)
    write_picture(tmp_path / "b.tif", picture.pixels, picture)
    with rasterio.open(tmp_path / "b.tif") as d, rasterio.open(source) as s:
        assert (d.profile["compress"], d.profile["blockxsize"], d.transform) == ("deflate", 16, s.transform)
        np.testing.assert_allclose(d.read(), 255 * picture.pixels, atol=1e-4)


def without_gdal(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "rasterio" else find(name))


def test_without_gdal_one_note_says_what_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = geotiff(tmp_path / "a.tif", "uint8", 3, compress="packbits")
    with rasterio.open(source, "r+") as d:
        d.build_overviews([2], Resampling.average)
    (tmp_path / "a.tfw").write_text("10\n0\n0\n-10\n5\n-5\n")
    monkeypatch.chdir(tmp_path)
    without_gdal(monkeypatch)
    found = CliRunner().invoke(app, ["denoise", "a.tif", "b.tif", "--samples", "2", *QUICK])
    assert found.exit_code == 0, found.output
    said = "a.tfw beside the TIFF is not read, and PACKBITS is written as DEFLATE, and overviews are left out"
    lines = [line for line in found.stderr.splitlines() if "rasterio" in line]
    assert lines == [f'restorekit: note: without rasterio {said}; `pip install "restorekit[geo]"`']


def test_without_gdal_values_and_place_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tifffile then compresses by DEFLATE, without a predictor."""
    source = geotiff(tmp_path / "a.tif", "float32", 2, compress="deflate", predictor=3, setup=with_rpcs, **TILES)
    picture = read_picture(source)
    without_gdal(monkeypatch)
    assert write_picture(tmp_path / "b.tif", picture.pixels, picture) == []
    monkeypatch.undo()
    with rasterio.open(tmp_path / "b.tif") as d, rasterio.open(source) as s:
        assert (d.profile["compress"], d.profile["tiled"]) == ("deflate", True)
        assert (d.transform, d.rpcs.to_dict()) == (s.transform, s.rpcs.to_dict())
        np.testing.assert_array_equal(d.read(), s.read())


def test_plain_readers_read_it(tmp_path: Path) -> None:
    source = geotiff(tmp_path / "a.tif", "uint8", 3, mask="in", compress="lzw", predictor=2, setup=with_rpcs, **TILES)
    picture = read_picture(source)
    write_picture(tmp_path / "b.tif", picture.pixels, picture)
    with Image.open(tmp_path / "b.tif") as image, rasterio.open(source) as s:
        np.testing.assert_array_equal(np.moveaxis(np.asarray(image), -1, 0), s.read())
    source = geotiff(tmp_path / "a.tif", "uint16", 2, compress="deflate", BIGTIFF="YES", interleave="band", **TILES)
    picture = read_picture(source)
    write_picture(tmp_path / "b.tif", picture.pixels, picture)
    with rasterio.open(source) as s:
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), s.read())


# --- files beside it ---


def test_a_place_told_beside_the_file_is_in_the_result(tmp_path: Path) -> None:
    place: dict[str, Any] = {"crs": None, "transform": Affine(10, 0, 5e5, 0, -10, 6e6)}
    geotiff(tmp_path / "a.tif", "uint8", 1, **place, PROFILE="BASELINE", TFW="YES")
    assert (tmp_path / "a.tfw").exists()
    picture = read_picture(tmp_path / "a.tif")
    write_picture(tmp_path / "b.tif", np.zeros((1, 72, 96)), picture)
    with rasterio.open(tmp_path / "b.tif") as d:
        assert d.transform == Affine(5, 0, 5e5, 0, -5, 6e6)
    geotiff(tmp_path / "c.tif", "uint8", 1, crs=None, transform=Affine(1, 0, 1, 0, 1, 1), PROFILE="BASELINE", RPB="YES", setup=with_rpcs)  # fmt: skip
    assert (tmp_path / "c.RPB").exists()
    picture = read_picture(tmp_path / "c.tif")
    write_picture(tmp_path / "d.tif", picture.pixels, picture)
    with rasterio.open(tmp_path / "d.tif") as d:
        assert d.rpcs.to_dict() == RPCS.to_dict()


def test_what_gdal_keeps_in_a_file_of_its_own_is_in_the_result(tmp_path: Path) -> None:
    source = geotiff(tmp_path / "a.tif", "uint8", 1, fill=7)
    xml = "<PAMDataset><SRS>EPSG:25832</SRS><GeoTransform>4e5, 20, 0, 5e6, 0, -20</GeoTransform>"
    xml += '<PAMRasterBand band="1"><NoDataValue>7</NoDataValue><Description>red</Description></PAMRasterBand></PAMDataset>'
    (tmp_path / "a.tif.aux.xml").write_text(xml)
    picture = read_picture(source)
    assert picture.empty is not None
    np.testing.assert_array_equal(picture.empty.where, HOLE)
    write_picture(tmp_path / "b.tif", picture.pixels, picture)
    with rasterio.open(tmp_path / "b.tif") as d:
        assert (d.crs.to_epsg(), d.nodata, d.descriptions) == (25832, 7, ("red",))
        assert d.transform == Affine(20, 0, 4e5, 0, -20, 5e6)
    # Statistics say nothing of a place: what the file says is left as it is, to the byte.
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset><Metadata/></PAMDataset>")
    picture = read_picture(source)
    write_picture(tmp_path / "c.tif", picture.pixels, picture)
    with tifffile.TiffFile(source) as a, tifffile.TiffFile(tmp_path / "c.tif") as c:
        keys = [t.pages[0].tags[34735].value for t in (a, c)]  # type: ignore[union-attr]
        assert keys[0] == keys[1]


def test_nothing_of_gdal_reaches_the_terminal(tmp_path: Path) -> None:
    """Of a file that lies nowhere but by its RPCs, and one with tags that GDAL does not know."""
    source = geotiff(tmp_path / "a.tif", "uint8", 1, crs=None, transform=Affine(1, 0, 1, 0, 1, 1), PROFILE="BASELINE", RPB="YES", setup=with_rpcs)  # fmt: skip
    code = "from restorekit.files.picture import *; p = read_picture('a.tif'); write_picture('b.tif', p.pixels, p); read_picture('b.tif')"
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("", "")
    shutil.copy(source, tmp_path / "c.tif")
    with pytest.raises(BadInput, match="no such file"):
        read_picture(tmp_path / "d.tif")


def test_values_beyond_a_type_become_its_ends() -> None:
    assert as_type(np.array([1e19, -1e19]), "int64").tolist() == [2**63 - 1024, -(2**63)]  # the floats next to them
    assert as_type(np.array([1e30, -1.0]), "uint64").tolist() == [2**64 - 2048, 0]
    assert as_type(np.array([1e30, -1e30], np.float32), "int32").tolist() == [2**31 - 1, -(2**31)]
    assert as_type(np.array([1.5, -3.0, 7e4]), "uint16").tolist() == [2, 0, 65535]
