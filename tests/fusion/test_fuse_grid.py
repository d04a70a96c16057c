"""`restorekit fuse` where the pictures do not lie on one grid, or not on each other."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.fields import PLACE, WHOLE, decibels, fields, go, pictures, rasters, read, refused, write_raster

rasterio = pytest.importorskip("rasterio")

LEE = ("--despeckle", "lee")


def other_grid(d: Path, **profile: Any) -> Path:
    return write_raster(d / "other.tif", decibels(WHOLE.speckled()), **profile)


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ({}, "size 120x130 and 200x210"),
        ({"crs": "EPSG:32634"}, "EPSG:32633 and EPSG:32634"),
        ({"transform": rasterio.Affine(20, 0, 500000, 0, -20, 5200000)}, "pixels of 10x10 and 20x20 map units"),
        ({"transform": rasterio.Affine(10, 0, 500003, 0, -10, 5200000)}, "corners +0.30 pixels right"),
    ],
)
def test_two_grids_are_told_apart(
    profile: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    optical, _ = rasters(tmp_path)
    line = refused(capsys, "fuse", optical, other_grid(tmp_path, **profile), tmp_path / "out.tif")
    assert said in line
    assert "--align" in line
    assert not (tmp_path / "out.tif").exists()


def test_align_brings_the_radar_picture_to_the_optical_grid_in_power(tmp_path: Path) -> None:
    """Pixels of half the side on a grid of its own that is larger: means of four, not of their logarithms."""
    fine = WHOLE.intensity.repeat(2, 0).repeat(2, 1)
    speckled = fine * np.random.default_rng(1).gamma(4, 0.25, fine.shape)
    origin = rasterio.Affine(5, 0, 500000 - 320, 0, -5, 5200000 + 320)
    optical, _ = rasters(tmp_path)
    sar = write_raster(tmp_path / "fine.tif", decibels(speckled), transform=origin)
    assert go("fuse", optical, sar, tmp_path / "out.tif", "--align", *LEE) == 0
    record = json.loads((tmp_path / "out.tif.json").read_text())
    assert record["aligned"]["resampling"] == "average"
    assert (record["shift"]["down"], record["shift"]["right"], record["valid"]) == (0, 0, 1)


def test_aligned_values_are_means_of_power_where_they_are_valid(tmp_path: Path) -> None:
    from restorekit.fusion import common_grid as grid
    from restorekit.fusion import pair_files as files

    fine = WHOLE.intensity.repeat(2, 0).repeat(2, 1)
    fine[100:140, 200:240] = np.nan
    path = write_raster(
        tmp_path / "fine.tif", fine[None], transform=rasterio.Affine(5, 0, 500000 - 320, 0, -5, 5200000 + 320)
    )
    optical = files.read(rasters(tmp_path)[0]).raster
    radar = files.read(path).raster
    assert optical is not None
    assert radar is not None
    window = grid.part_for(radar, optical)
    assert (window.top, window.left) == (48, 48)
    assert (window.height, window.width) == (272, 292)
    part = files.read(path, [1], radar, window)
    found, valid, how = grid.aligned(part.values[0], part.valid[0], window, radar, optical)
    assert how == "average"
    np.testing.assert_allclose(found[valid], PLACE.intensity[valid], rtol=1e-5)
    hole = np.isnan(fine[::2, ::2][32:152, 32:162])
    np.testing.assert_array_equal(~valid, hole)


def test_ground_control_points_place_a_radar_picture_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    optical, sar = rasters(tmp_path)
    h, w = PLACE.intensity.shape
    points = [
        rasterio.control.GroundControlPoint(row, col, 500000 + 10 * col, 5200000 - 10 * row)
        for row in (0, h / 2, h)
        for col in (0, w / 2, w)
    ]
    with rasterio.open(
        tmp_path / "gcp.tif",
        "w",
        driver="GTiff",
        count=1,
        height=h,
        width=w,
        dtype="float32",
        crs="EPSG:32633",
        gcps=points,
    ) as d:
        d.write(read(sar))
    assert "control points" in refused(capsys, "fuse", optical, tmp_path / "gcp.tif", tmp_path / "out.tif")
    assert go("fuse", optical, tmp_path / "gcp.tif", tmp_path / "out.tif", "--align", *LEE) == 0
    shift = json.loads((tmp_path / "out.tif.json").read_text())["shift"]
    assert (shift["down"], shift["right"]) == (0, 0)


def test_places_that_do_not_overlap_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    optical, _ = rasters(tmp_path)
    far = other_grid(tmp_path, transform=rasterio.Affine(10, 0, 600000, 0, -10, 5200000))
    assert "do not overlap" in refused(capsys, "fuse", optical, far, tmp_path / "out.tif", "--align")


def test_pictures_that_do_not_lie_on_each_other_are_refused_with_the_shift(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    optical, sar = rasters(tmp_path, radar=WHOLE.cut(32 - 12, 32 + 7, 120, 130))
    line = refused(capsys, "fuse", optical, sar, tmp_path / "out.tif", *LEE)
    assert re.search(r"lies 1[123] px down and [678] px left", line)
    assert "--trust-grid" in line
    assert go("fuse", optical, sar, tmp_path / "out.tif", "--trust-grid", *LEE) == 0
    assert "fused as they are" in capsys.readouterr().err


def test_without_a_map_the_pictures_must_show_that_they_belong_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strangers = fields(120, 130, 80, seed=7)
    optical, sar = pictures(tmp_path, radar=strangers)
    assert "nothing in" in refused(capsys, "fuse", optical, sar, tmp_path / "out.png", *LEE)
    optical, sar = rasters(tmp_path, radar=strangers)
    assert go("fuse", optical, sar, tmp_path / "out.tif", *LEE) == 0  # on a map: said, not refused
    assert "taken from their places on the map" in capsys.readouterr().err
