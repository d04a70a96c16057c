"""Masks of a GeoTIFF and transparent pixels: not taken for a measurement, back bit for bit, and with the mask."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner, Result

from restorekit.cli.main import app
from restorekit.errors import BadInput
from restorekit.files.picture import read_picture, write_picture
from tests.files.test_nodata import scene

rasterio = pytest.importorskip("rasterio")
pytestmark = [pytest.mark.floors, pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")]

SHAPE = (24, 28)
HOLE = np.zeros(SHAPE, bool)
HOLE[6:15, 9:20] = True
QUICK = ("--prior", "natural-fast", "--noise", "gaussian:0.02", "--steps", 1)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [*map(str, words)])


def values(dtype: str, bands: int = 3) -> np.ndarray:
    """(bands, H, W) of a smooth scene with noise; beside what is measured, what a program may leave there."""
    x = np.stack([scene(seed, SHAPE) for seed in range(bands)])
    if dtype == "uint8":
        x = np.rint(255 * x.clip(0, 1))
    raw = x.astype(dtype)
    junk = np.random.default_rng(9).integers(0, 256, (bands, int(HOLE.sum())))
    raw[:, HOLE] = np.nan if dtype == "float32" else junk
    return raw


def geotiff(path: Path, raw: np.ndarray, internal: bool = True, **options: Any) -> Path:
    """With a mask that GDAL writes, inside or as a file `.msk`."""
    count, height, width = raw.shape
    place = rasterio.transform.from_origin(5e5, 6e6, 10, 10)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal),
        rasterio.open(path, "w", driver="GTiff", count=count, height=height, width=width, dtype=raw.dtype,
                      crs="EPSG:32632", transform=place, **options) as d,
    ):  # fmt: skip
        d.write(raw)
        d.write_mask(~HOLE)
    return path


def gdal(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Values (C, H, W), and where GDAL says that there is data."""
    with rasterio.open(path) as d:
        return d.read(), d.dataset_mask() > 0


KINDS: dict[str, Any] = {
    "bytes": lambda p: geotiff(p, values("uint8")),
    "floats, NaN below": lambda p: geotiff(p, values("float32")),
    "deflate tiles": lambda p: geotiff(
        p, values("uint8"), compress="deflate", tiled=True, blockxsize=16, blockysize=16
    ),
    "one band, sidecar": lambda p: geotiff(p, values("uint8", 1), internal=False),
    "YCbCr": lambda p: geotiff(p, values("uint8"), compress="jpeg", photometric="ycbcr"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_is_read_and_written_again(kind: str, tmp_path: Path) -> None:
    source = KINDS[kind](tmp_path / "a.tif")
    raw, there = gdal(source)
    assert (there == ~HOLE).all()
    picture = read_picture(source)
    assert picture.empty is not None
    np.testing.assert_array_equal(picture.empty.where, HOLE)
    assert np.isfinite(picture.pixels).all()
    assert write_picture(tmp_path / "b.tif", picture.pixels * 0.9, picture) == []
    back, mask = gdal(tmp_path / "b.tif")
    np.testing.assert_array_equal(mask, ~HOLE)
    if kind != "YCbCr":
        np.testing.assert_array_equal(back[:, HOLE], raw[:, HOLE])
    white = 1 if raw.dtype == np.float32 else 255
    np.testing.assert_allclose(back[:, ~HOLE] / white, 0.9 * picture.pixels[:, ~HOLE], atol=0.51 / 255)


def test_a_mask_survives_or_is_missed_in_other_formats(tmp_path: Path) -> None:
    picture = read_picture(geotiff(tmp_path / "a.tif", values("uint8")))
    place, said = write_picture(tmp_path / "b.png", picture.pixels, picture)
    assert "without the map coordinates" in place
    assert "written as transparency" in said
    again = read_picture(tmp_path / "b.png")
    assert again.empty is not None
    np.testing.assert_array_equal(again.empty.where, HOLE)
    np.testing.assert_array_equal(again.empty.held, values("uint8")[:, HOLE])
    for name in ("b.jpg", "b.npy", "b.bmp"):
        _, said = write_picture(tmp_path / name, picture.pixels, picture)
        assert "without its mask" in said
    # Twice as large: each pixel becomes four.
    said = write_picture(tmp_path / "c.tif", picture.pixels.repeat(2, 1).repeat(2, 2), picture)
    assert any("mask enlarged" in line for line in said)
    back, mask = gdal(tmp_path / "c.tif")
    np.testing.assert_array_equal(mask, (~HOLE).repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(back[:, ::2, ::2][:, HOLE], values("uint8")[:, HOLE])
    said = write_picture(tmp_path / "d.tif", picture.pixels[:, 1:], picture)
    assert any("without its mask" in line for line in said)
    assert gdal(tmp_path / "d.tif")[1].all()


def test_what_a_mask_cannot_be(tmp_path: Path) -> None:
    source = geotiff(tmp_path / "a.tif", values("uint8"), internal=False)
    sidecar = tmp_path / "a.tif.msk"
    whole = sidecar.read_bytes()
    sidecar.write_bytes(whole[:80])
    with pytest.raises(BadInput, match="no readable mask"):
        read_picture(source)
    [said] = write_picture(source, np.zeros((3, *SHAPE)))
    assert "a.tif.msk: of an earlier file" in said
    tifffile.imwrite(sidecar, np.ones((3, 4), np.uint8))
    smaller, width = sidecar.read_bytes(), struct.pack("<HHI", 256, 4, 1)
    for data in (smaller, smaller.replace(width + b"\x04", width + b"\0")):  # the other one is 0 pixels wide
        sidecar.write_bytes(data)
        with pytest.raises(BadInput, match="masks another file"):
            read_picture(source)
    tifffile.imwrite(sidecar, np.zeros(SHAPE, np.uint8))
    with pytest.raises(BadInput, match="every pixel is no data"):
        read_picture(source)
    # Transparent everywhere says nothing of single pixels.
    Image.fromarray(np.zeros((*SHAPE, 4), np.uint8) + np.array([9, 8, 7, 0], np.uint8)).save(tmp_path / "b.png")
    assert read_picture(tmp_path / "b.png").empty is None


def test_nodata_and_mask_together(tmp_path: Path) -> None:
    raw = values("uint8", 1)
    raw[:, ~HOLE] = raw[:, ~HOLE].clip(1)
    raw[:, :3] = 0
    source = geotiff(tmp_path / "a.tif", raw, nodata=0)
    picture = read_picture(source)
    assert picture.empty is not None
    np.testing.assert_array_equal(picture.empty.where, HOLE | (raw[0] == 0))
    write_picture(tmp_path / "b.tif", picture.pixels * 0, picture)
    back = gdal(tmp_path / "b.tif")[0]
    np.testing.assert_array_equal(back[:, picture.empty.where], raw[:, picture.empty.where])
    assert (back[:, ~picture.empty.where] == 1).all()


def rgba(path: Path) -> Path:
    """Transparent in the hole, half transparent beside it, which is data."""
    alpha = np.where(HOLE, 0, 255).astype(np.uint8)
    alpha[0] = 100
    Image.fromarray(np.dstack([*values("uint8"), alpha])).save(path)
    return path


COMMANDS: dict[str, tuple[object, ...]] = {
    "denoise": ("denoise",),
    "deblur": ("deblur", "--kernel", "gaussian:0.7"),
    "restore": ("restore", "--op", "blur:kernel=uniform:3"),
    "upscale": ("upscale", "--factor", 2),
    "inpaint": ("inpaint", "--mask", "mask.png"),
    "samples": ("denoise", "--samples", 2),
}


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_leave_it_and_say_so(
    command: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = np.full(SHAPE, 255, np.uint8)
    wanted[12:18, 16:24] = 0  # partly where the file has no data
    Image.fromarray(wanted).save("mask.png")
    source = geotiff(Path("a.tif"), values("uint8")) if suffix == ".tif" else rgba(Path("a.png"))
    words = COMMANDS[command]
    found = run(words[0], source, f"b{suffix}", *words[1:], *QUICK)
    assert found.exit_code == 0, found.output
    assert f"no data: {HOLE.mean():.1%} of a{suffix}" in found.stderr
    times = 2 if command == "upscale" else 1
    hole = HOLE.repeat(times, 0).repeat(times, 1)
    held = values("uint8").repeat(times, 1).repeat(times, 2)
    names = [f"b{suffix}"] + ([f"b_mean{suffix}"] if command == "samples" else [])
    for name in names:
        with Image.open(name) if suffix == ".png" else rasterio.open(name) as d:
            back = np.moveaxis(np.asarray(d), -1, 0) if suffix == ".png" else d.read()
            mask = back[3] > 0 if suffix == ".png" else d.dataset_mask() > 0
        np.testing.assert_array_equal(mask, ~hole)
        np.testing.assert_array_equal(back[:3, hole], held[:, hole])
        assert not np.array_equal(back[:3, ~hole], held[:, ~hole])
    if command == "samples":
        assert not gdal(Path("b_std.tif"))[1][HOLE].any()
    record = json.loads(Path(f"b{suffix}.json").read_text())
    assert record["no_data"] == pytest.approx(HOLE.mean(), abs=1e-5)
    if command == "inpaint":
        assert "stay as they are" in found.stderr


@pytest.mark.parametrize("n", [2, 6])
def test_masks_and_transparency_are_turned_with_the_picture(n: int, tmp_path: Path) -> None:
    raw, tag = np.moveaxis(values("uint8"), 0, -1), [(274, 3, 1, n, True)]
    tifffile.imwrite(tmp_path / "a.tif", raw, photometric="rgb", extratags=tag, metadata=None)
    tifffile.imwrite(tmp_path / "a.tif", ~HOLE, photometric="mask", subfiletype=4, append=True, metadata=None)
    exif = Image.Exif()
    exif[274] = n
    Image.fromarray(np.dstack([raw, np.where(HOLE, 0, 255).astype(np.uint8)])).save(tmp_path / "a.png", exif=exif)
    shown = {2: HOLE[:, ::-1], 6: np.rot90(HOLE, -1)}[n]
    for name in ("a.tif", "a.png"):
        picture = read_picture(tmp_path / name)
        assert picture.empty is not None
        np.testing.assert_array_equal(picture.empty.where, shown)
        write_picture(tmp_path / f"b{name}", picture.pixels, picture)
        back, mask = gdal(tmp_path / f"b{name}")
        np.testing.assert_array_equal(mask, ~HOLE)
        np.testing.assert_array_equal(back[:3], values("uint8"))


def test_transparency_stays_the_band_that_it_is(tmp_path: Path) -> None:
    """GDAL puts it behind the first band, where a file has no colours."""
    raw = values("uint8", 5)
    raw[1] = np.where(HOLE, 0, 255)
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", count=5, height=24, width=28, dtype="uint8", ALPHA="YES"
    ) as d:
        d.write(raw)
    picture = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.alpha, raw[1])
    write_picture(tmp_path / "b.tif", picture.pixels, picture)
    np.testing.assert_array_equal(gdal(tmp_path / "b.tif")[0], raw)


def test_colours_are_given_to_the_rest_alone(tmp_path: Path) -> None:
    source = geotiff(tmp_path / "a.tif", values("uint8", 1))
    found = run("colorize", source, tmp_path / "b.tif", *QUICK, "--samples", 2)
    assert found.exit_code == 0, found.output
    back, mask = gdal(tmp_path / "b.tif")
    np.testing.assert_array_equal(mask, ~HOLE)
    np.testing.assert_array_equal(back[:, HOLE], values("uint8", 1)[:, HOLE].repeat(3, 0))


def test_the_hidden_pixels_are_not_seen(tmp_path: Path) -> None:
    """Neither by the measurement of noise nor by the solver: other values there change nothing elsewhere."""
    results = []
    for junk in (0, 255):
        raw = values("uint8")
        raw[:, HOLE] = junk
        found = run("denoise", geotiff(tmp_path / "a.tif", raw), tmp_path / "b.tif", "--prior", "natural-fast")
        assert found.exit_code == 0, found.output
        results.append((gdal(tmp_path / "b.tif")[0][:, ~HOLE], [w for w in found.stderr.splitlines() if "noise:" in w]))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1] != []


def test_nothing_but_no_data_to_fill_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.where(HOLE, 0, 255).astype(np.uint8)).save(tmp_path / "mask.png")
    found = run("inpaint", rgba(tmp_path / "a.png"), tmp_path / "b.png", "--mask", tmp_path / "mask.png", *QUICK)
    assert found.exit_code == 1
    assert "without its mask or alpha" in str(found.exception)
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize("with_base", [False, True])
def test_derain_leaves_it(with_base: bool, tmp_path: Path) -> None:
    raw = values("uint8")
    raw[:, :, 3:5] = 255  # a streak
    source = geotiff(tmp_path / "a.tif", raw)
    base = values("uint8")
    Image.fromarray(np.moveaxis(base, 0, -1)).save(tmp_path / "base.png")
    more = ("--derained", tmp_path / "base.png") if with_base else ()
    found = run("derain", source, tmp_path / "b.tif", *more, "--prior", "natural-fast", "--steps", 2, "--dilate", 3)
    assert found.exit_code == 0, found.output
    assert "no data: " in found.stderr
    back, mask = gdal(tmp_path / "b.tif")
    np.testing.assert_array_equal(mask, ~HOLE)
    np.testing.assert_array_equal(back[:, HOLE], raw[:, HOLE])
    deviations, _ = gdal(tmp_path / "b_std.tif")
    np.testing.assert_array_equal(np.isnan(deviations), np.broadcast_to(HOLE, deviations.shape))
    repaired = np.asarray(Image.open(tmp_path / "b_mask.png")) > 0
    assert repaired.any()
    assert not (repaired & HOLE).any()


def test_metrics_leave_it_out(tmp_path: Path) -> None:
    truth = values("uint8")
    out = truth.copy()
    out[:, HOLE] = 255 - out[:, HOLE]
    a, b = rgba(tmp_path / "a.png"), tmp_path / "b.png"
    Image.fromarray(np.moveaxis(out, 0, -1)).save(b)
    found = run("metrics", b, a, "--names", "mae", "--json")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["mae"] == 0
    assert f"{HOLE.sum()} pixels are no data" in found.stderr
