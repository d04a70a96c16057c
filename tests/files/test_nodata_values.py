"""Values of no data in a GeoTIFF: nothing that is data comes out as one, as GDAL compares, nor the other way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import restorekit
from restorekit.cli.main import app
from restorekit.errors import BadInput
from restorekit.files.nodata import off_nodata
from restorekit.files.picture import read_picture, write_picture

rasterio = pytest.importorskip("rasterio")

from rasterio.transform import Affine  # noqa: TID253

from tests.support.geotiffs import HOLE, SHAPE, geotiff, rich, valid

pytestmark = [pytest.mark.floors, pytest.mark.filterwarnings("error::rasterio.errors.NotGeoreferencedWarning")]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [-9999.0, 0.0, 1.0, -65536.0, 1e30, -3.4028234663852886e38])
def test_a_valid_value_is_far_enough_from_no_data_for_gdal(dtype: str, value: float, tmp_path: Path) -> None:
    """GDAL takes neighbours of a float for it too: findings/gdal_nodata_neighbours.sh."""
    source = geotiff(tmp_path / "a.tif", dtype, 1, nodata=value, fill=value)
    picture = read_picture(source)
    low, high = picture.span
    for off in (0.0, 1e-7, -2e-7, 4e-7):
        at = value * (1 + off) if value > -3e38 else value
        write_picture(tmp_path / "b.tif", np.full((1, *SHAPE), (at - low) / (high - low)), picture)
        np.testing.assert_array_equal(valid(tmp_path / "b.tif"), ~HOLE)
        with rasterio.open(tmp_path / "b.tif") as d:
            x = d.read(1)
        np.testing.assert_array_equal(x[HOLE], np.asarray(value, dtype))
        if value > -3e38:
            np.testing.assert_allclose(x[~HOLE], value, rtol=2e-6, atol=1e-37)


@pytest.mark.parametrize(("dtype", "value", "other"), [("uint8", 255, 254), ("uint8", 0, 1), ("int16", -32768, -32767)])
def test_integers_move_by_one(dtype: str, value: int, other: int) -> None:
    x = np.full((2, 2), value, dtype)
    where = np.array([[True, False], [False, True]])
    assert off_nodata(x, value, where).tolist() == [[other, value], [value, other]]
    assert off_nodata(x, None, where) is x
    assert off_nodata(x, float("nan"), where) is x


def test_no_pixel_of_a_file_without_holes_becomes_one(tmp_path: Path) -> None:
    source = geotiff(tmp_path / "a.tif", "uint8", 1, nodata=0)
    picture = read_picture(source)
    assert picture.empty is None
    write_picture(tmp_path / "b.tif", picture.pixels * 0, picture)
    assert valid(tmp_path / "b.tif").all()


def test_pixels_that_gdal_takes_for_no_data_are_not_measured(tmp_path: Path) -> None:
    near = np.nextafter(np.float32(-9999), np.float32(0))
    picture = read_picture(geotiff(tmp_path / "a.tif", nodata=-9999, fill=float(near)))
    assert picture.empty is not None
    np.testing.assert_array_equal(picture.empty.where, HOLE)


@pytest.mark.parametrize(("dtype", "value"), [("float32", -9999.0), ("float32", float("nan")), ("uint8", 0.0)])
def test_inpaint_fills_what_is_asked_and_leaves_the_rest_without_data(dtype: str, value: float, tmp_path: Path) -> None:
    source = geotiff(tmp_path / "a.tif", dtype, 1, nodata=value, fill=value)
    wanted = np.zeros(SHAPE, bool)
    wanted[:, :20] = HOLE[:, :20]
    wanted[30:, 40:] = True
    Image.fromarray(np.where(wanted, 0, 255).astype(np.uint8)).save(tmp_path / "mask.png")
    found = CliRunner().invoke(
        app, ["inpaint", str(source), str(tmp_path / "b.tif"), "--mask", str(tmp_path / "mask.png"), "--prior", "natural-fast", "--steps", "3"]
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    left = HOLE & ~wanted
    np.testing.assert_array_equal(valid(tmp_path / "b.tif"), ~left)
    with rasterio.open(tmp_path / "b.tif") as d, rasterio.open(source) as s:
        np.testing.assert_array_equal(d.read(1)[~wanted], s.read(1)[~wanted])
        assert 0.2 < d.read(1)[wanted].mean() / (255 if dtype == "uint8" else 1) < 0.8
    assert f"no data: {left.mean():.1%}" in found.stderr


def test_no_data_that_a_type_cannot_hold_becomes_a_mask(tmp_path: Path) -> None:
    source = geotiff(tmp_path / "a.tif", nodata=-9999, fill=-9999, setup=rich)
    picture = read_picture(source)
    lines = write_picture(tmp_path / "b.tif", picture.pixels, picture, "uint8")
    assert any("as a mask, uint8 cannot hold -9999" in line for line in lines)
    assert any("without scale and offset" in line for line in lines)
    with rasterio.open(tmp_path / "b.tif") as d:
        assert (d.nodata, d.scales, d.offsets, d.units) == (None, (1.0,), (0.0,), ("m",))
        assert d.mask_flag_enums[0][0].name == "per_dataset"
    np.testing.assert_array_equal(valid(tmp_path / "b.tif"), ~HOLE)


def test_masks_of_a_reduced_map(tmp_path: Path) -> None:
    """A pixel that stands for any without data has none."""
    source = geotiff(tmp_path / "a.tif", "uint8", 1, mask="in")
    found = CliRunner().invoke(app, ["degrade", str(source), str(tmp_path / "b.tif"), "--op", "average:factor=4", "--noise", "gaussian:0.01"])  # fmt: skip
    assert found.exit_code == 0, found.output
    blocks = HOLE.reshape(9, 4, 12, 4).any((1, 3))
    np.testing.assert_array_equal(valid(tmp_path / "b.tif"), ~blocks)
    np.testing.assert_array_equal(valid(tmp_path / "b_truth.tif"), ~HOLE)
    with rasterio.open(tmp_path / "b.tif") as d, rasterio.open(source) as s:
        assert d.transform.almost_equals(s.transform * Affine.scale(4), 1e-6)


@pytest.mark.parametrize(("dtype", "value"), [("float32", -9999.0), ("float32", float("nan")), ("uint8", 0)])
def test_no_data_is_transparent_or_missed_in_other_formats(dtype: str, value: float, tmp_path: Path) -> None:
    picture = read_picture(geotiff(tmp_path / "a.tif", dtype, 1, nodata=value, fill=value))
    said = write_picture(tmp_path / "b.png", picture.pixels, picture)
    assert any("its mark of no data is written as transparency" in line for line in said)
    again = read_picture(tmp_path / "b.png")
    assert again.empty is not None
    np.testing.assert_array_equal(again.empty.where, HOLE)
    assert not again.empty.held.any()  # nothing made up
    for name in ("b.npy", "b.jpg"):
        assert any(
            "without its mark of no data" in line for line in write_picture(tmp_path / name, picture.pixels, picture)
        )
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy")[HOLE], np.asarray(value, dtype))


def test_a_preview_without_data_is_refused(tmp_path: Path) -> None:
    source = geotiff(tmp_path / "a.tif", "uint8", 1, nodata=0)
    with rasterio.open(source, "r+") as d:
        x = d.read()
        x[:, 8:16, 8:16] = 0
        d.write(x)
    with pytest.raises(BadInput, match="has no pixel with data"):
        restorekit.denoise(source, noise="gaussian:0.1", prior="natural-fast", preview=(9, 9, 4, 4))
