"""A STAC item beside the result: where and of when it is; nothing is written where that is not known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")

from rasterio.control import GroundControlPoint  # noqa: TID253

from restorekit.despeckling.plan import Settings, plan
from restorekit.errors import BadInput
from restorekit.files.bands import Window
from tests.cli.test_cli import go
from tests.support.scenes import speckled, write_tiff

TIME = "2026-01-02T03:04:05Z"


def item_of(source: Path, target: Path, stac: str, preview: Window | None = None, **settings: Any) -> dict[str, Any]:
    files = plan(source, target, Settings(solver="lee", stac=stac, **settings), preview).run()
    assert files[-1] == target.with_name(f"{target.stem}_stac.json")
    record = json.loads(target.with_name(f"{target.name}.json").read_text())
    assert {Path(p).name for p in record["outputs"]} == {target.name, files[-1].name}
    return json.loads(files[-1].read_text())


def test_an_item_of_a_scene_on_a_map(tmp_path: Path) -> None:
    """By hand: 170 x 150 pixels of 10 m at 500000, 6000000 of UTM zone 31, whose middle meridian is 3 degrees."""
    path = write_tiff(tmp_path / "in.tif", speckled()[1])
    found = item_of(path, tmp_path / "out.tif", TIME)
    p = found["properties"]
    assert (found["id"], p["datetime"], p["proj:epsg"], p["proj:shape"]) == ("out", TIME, 32631, [150, 170])
    assert p["proj:transform"] == [10.0, 0.0, 500000.0, 0.0, -10.0, 6000000.0]
    west, south, east, north = found["bbox"]
    assert west == pytest.approx(3.0, abs=1e-6)
    assert (east - west) * 111.32 * np.cos(np.radians(north)) == pytest.approx(1.7, rel=0.01)  # kilometres
    assert (north - south) * 111.3 == pytest.approx(1.5, rel=0.01)
    ring = np.array(found["geometry"]["coordinates"][0])
    assert (ring[0] == ring[-1]).all()
    x, y = ring[:-1].T
    assert (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() > 0  # counterclockwise, as GeoJSON asks
    (asset,) = found["assets"].values()
    assert (asset["href"], asset["type"]) == ("./out.tif", "image/tiff; application=geotiff; profile=cloud-optimized")
    assert asset["raster:bands"] == [{"data_type": "float32"}]
    part = item_of(path, tmp_path / "part.tif", TIME, Window(50, 100, 64, 64))
    assert part["properties"]["proj:shape"] == [64, 64]
    assert part["properties"]["proj:transform"][2] == 501000.0
    assert part["bbox"][0] > west


def test_ground_control_points_give_their_hull_and_no_fitted_box(tmp_path: Path) -> None:
    path = tmp_path / "S1A_IW_GRDH_1SDV_20210401T052623_20210401T052648.tif"
    points = [
        GroundControlPoint(r, c, 3 + 0.01 * c + 0.001 * r, 40 - 0.01 * r) for r in (0, 75, 150) for c in (0, 85, 170)
    ]
    with rasterio.open(
        path, "w", driver="GTiff", width=170, height=150, count=1, dtype="float32", gcps=points, crs="EPSG:4326"
    ) as d:
        d.write(speckled()[1], 1)
    found = item_of(path, tmp_path / "out.tif", "auto")
    p = found["properties"]
    assert (p["datetime"], p["start_datetime"], p["end_datetime"]) == (
        None,
        "2021-04-01T05:26:23Z",
        "2021-04-01T05:26:48Z",
    )
    assert p["proj:epsg"] is None
    assert found["bbox"] == pytest.approx([3, 38.5, 4.85, 40])
    assert len(found["geometry"]["coordinates"][0]) == 5


def test_a_scene_without_a_place_has_none(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", speckled()[1])
    found = item_of(tmp_path / "in.npy", tmp_path / "out.tif", TIME)
    assert found["geometry"] is None
    assert "bbox" not in found


@pytest.mark.parametrize(
    ("stac", "name", "words"),
    [
        ("auto", "out.tif", "neither its name nor its tags say when"),
        ("yesterday", "out.tif", "is no time"),
        (TIME, "out.npy", "is of a GeoTIFF"),
    ],
)
def test_what_is_not_known_is_not_made_up(stac: str, name: str, words: str, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "in.tif", speckled()[1])
    with pytest.raises(BadInput, match=words) as refused:
        plan(path, tmp_path / name, Settings(solver="lee", stac=stac))
    assert refused.value.argument == "stac"
    assert [p.name for p in tmp_path.iterdir()] == ["in.tif"]


def test_the_command_writes_it_and_the_same_again(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "in.tif", speckled()[1])
    go("despeckle", path, tmp_path / "out.tif", "--solver", "lee", "--stac", TIME)
    first = (tmp_path / "out_stac.json").read_bytes()
    go("despeckle", path, tmp_path / "out.tif", "--solver", "lee", "--stac", TIME)
    assert (tmp_path / "out_stac.json").read_bytes() == first
