"""The place of a result on the map: where the input was, whatever its size, by what rasterio makes of both files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from restorekit.cli.main import app
from restorekit.files.picture import read_picture, regridded, write_picture
from restorekit.files.place import Placement, placed
from restorekit.tasks.inputs import cropped

rasterio = pytest.importorskip("rasterio")

from rasterio.control import GroundControlPoint  # noqa: TID253
from rasterio.rpc import RPC  # noqa: TID253
from rasterio.transform import Affine, RPCTransformer  # noqa: TID253

from tests.support.geotiffs import COEFFICIENTS

pytestmark = [pytest.mark.floors, pytest.mark.filterwarnings("error::rasterio.errors.NotGeoreferencedWarning")]

HEIGHT, WIDTH = 20, 28
TURNED = Affine(9.5, 2.9, 5e5, 2.9, -9.5, 6e6)
RPCS = RPC(
    **COEFFICIENTS | {"line_off": 9.25, "line_scale": 10.5, "samp_off": 13.75, "samp_scale": 14.5}
)  # of this size
SPOTS = [(0, 0), (0, 28), (20, 3.5), (11.25, 9.0)]


def points() -> list[Any]:
    return [GroundControlPoint(r, c, 10 + 0.01 * c, 50 - 0.01 * r, 5.0) for r, c in SPOTS]


KINDS: dict[str, dict[str, Any]] = {
    "north up": {"transform": Affine(10, 0, 5e5, 0, -10, 6e6), "crs": "EPSG:32632"},
    "turned": {"transform": TURNED, "crs": "EPSG:32632"},
    "north up, of points": {"transform": Affine(10, 0, 5e5, 0, -10, 6e6), "crs": "EPSG:32632", "kind": "Point"},
    "turned, of points": {"transform": TURNED, "crs": "EPSG:32632", "kind": "Point"},
    "control points": {"gcps": points(), "crs": "EPSG:4326"},
    "control points, of points": {"gcps": points(), "crs": "EPSG:4326", "kind": "Point"},
    "RPCs": {"rpcs": RPCS},
    "RPCs and a transform": {"rpcs": RPCS, "transform": TURNED, "crs": "EPSG:32632"},
}


def values() -> np.ndarray:
    return np.random.default_rng(0).integers(10, 240, (1, HEIGHT, WIDTH)).astype(np.uint8)


def geotiff(path: Path, kind: str | None = None, **place: Any) -> Path:
    told = {"driver": "GTiff", "count": 1, "height": HEIGHT, "width": WIDTH, "dtype": "uint8"}
    with rasterio.open(path, "w", **told, **place) as d:
        d.write(values())
        d.update_tags(**({"AREA_OR_POINT": kind} if kind else {}))
    return path


def located(path: Path) -> Callable[[float, float], tuple[float, ...]]:
    """(row, column), counted from the corner of the first pixel as rasterio does, of a place that the file says."""
    with rasterio.open(path) as d:
        transform, gcps, rpcs = d.transform, d.gcps[0], d.rpcs
    if gcps:
        return lambda row, column: next(
            (p.row, p.col) for p in gcps if abs(p.x - 10 - 0.01 * column) + abs(p.y - 50 + 0.01 * row) < 1e-9
        )
    if rpcs is not None and transform.is_identity:
        t = RPCTransformer(rpcs)
        return lambda row, column: tuple(
            np.ravel(t.rowcol(9.1 + 0.004 * (column - 14), 45.5 - 0.004 * (row - 10), 120.0, op=lambda v: v))
        )
    return lambda row, column: (~transform * (TURNED * (column, row)))[::-1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_of_another_size_shows_the_same_place(kind: str, tmp_path: Path) -> None:
    before = located(geotiff(tmp_path / "a.tif", **KINDS[kind]))
    picture = read_picture(tmp_path / "a.tif")
    for name, size, times in (("same", (20, 28), 1), ("larger", (60, 84), 3), ("smaller", (10, 14), 0.5)):
        out = tmp_path / f"{name}.tif"
        assert write_picture(out, np.full((1, *size), 0.5), picture) == []
        after = located(out)
        for spot in SPOTS:
            np.testing.assert_allclose(after(*spot), np.multiply(before(*spot), times), atol=1e-6)
        with rasterio.open(tmp_path / "a.tif") as a, rasterio.open(out) as b:
            assert (a.crs, a.gcps[1], a.tags().get("AREA_OR_POINT")) == (
                b.crs,
                b.gcps[1],
                b.tags().get("AREA_OR_POINT"),
            )
            if a.rpcs is not None:
                ours, theirs = b.rpcs.to_dict(), a.rpcs.to_dict()
                assert ours["line_scale"] == pytest.approx(theirs["line_scale"] * times)
                assert ours["samp_off"] == pytest.approx(times * theirs["samp_off"] + (times - 1) / 2)
                assert ours["line_num_coeff"] == theirs["line_num_coeff"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_and_a_lattice_that_begins_elsewhere(kind: str, tmp_path: Path) -> None:
    before = located(geotiff(tmp_path / "a.tif", **KINDS[kind]))
    picture = read_picture(tmp_path / "a.tif")
    part = cropped(picture, (4, 6, 8, 10))
    write_picture(tmp_path / "b.tif", part.pixels, part)
    # The centre of pixel i of the picture is that of pixel 2 i of the result.
    like, _ = regridded(picture, (40, 56), Placement((2.0, 0.0), (2.0, 0.0)))
    write_picture(tmp_path / "c.tif", np.full((1, 40, 56), 0.5), like)
    b, c = located(tmp_path / "b.tif"), located(tmp_path / "c.tif")
    for spot in SPOTS:
        np.testing.assert_allclose(b(*spot), np.subtract(before(*spot), (4, 6)), atol=1e-6)
        np.testing.assert_allclose(c(*spot), 2 * np.subtract(before(*spot), 0.5) + 0.5, atol=1e-6)


@pytest.mark.parametrize("n", range(1, 9))
def test_the_place_is_that_of_the_stored_pixels(n: int, tmp_path: Path) -> None:
    """GDAL ignores the orientation, by which all else refers to the picture as it is shown."""
    tags = [(34264, 12, 16, (9.5, 2.9, 0, 5e5, 2.9, -9.5, 0, 6e6, 0, 0, 0, 0, 0, 0, 0, 1), True), (274, 3, 1, n, True)]
    tifffile.imwrite(tmp_path / "a.tif", values()[0], extratags=tags, metadata=None)
    picture = read_picture(tmp_path / "a.tif")
    rows, columns = picture.pixels.shape[1:]
    part = cropped(picture, (3, 5, 8, 6))
    write_picture(tmp_path / "b.tif", part.pixels, part)
    like, _ = regridded(picture, (2 * rows, 2 * columns), Placement((2.0, 0.0), (2.0, 1.0)))
    first = np.zeros((1, 2 * rows, 2 * columns))
    first[:, ::2, 1::2] = picture.pixels  # each where the lattice says
    write_picture(tmp_path / "c.tif", first, like)
    with (
        rasterio.open(tmp_path / "a.tif") as a,
        rasterio.open(tmp_path / "b.tif") as b,
        rasterio.open(tmp_path / "c.tif") as c,
    ):
        raw = a.read(1)
        for other in (b, c):
            found = other.read(1)
            spots = np.argwhere(found > 0)
            at = np.array([~a.transform * (other.transform * (x + 0.5, y + 0.5)) for y, x in spots]) - 0.5
            np.testing.assert_allclose(at, np.rint(at), atol=1e-6)
            np.testing.assert_array_equal(raw[tuple(np.rint(at[:, ::-1]).astype(int).T)], found[tuple(spots.T)])
        assert b.shape in ((8, 6), (6, 8))


def test_tags_that_are_no_place_stay_as_they_are() -> None:
    odd = [
        (33550, 12, 1, 10.0, True),
        (33922, 12, 5, (1.0,) * 5, True),
        (34264, 2, 3, b"no\0", True),
        (50844, 12, 2, (1.0, 2.0), True),
    ]
    assert placed([*odd, (34735, 3, 1, 1, True)], Placement.enlarged(2, 2))[:4] == odd


# --- with a truth: a spot at a known place ---

EAST, NORTH = 500123.4, 5999861.7


def spot(size: tuple[int, int], transform: Any, width: float) -> np.ndarray:
    """(H, W) in 1..255: a bright spot at (EAST, NORTH), of a deviation of `width` metres."""
    rows, columns = np.indices(size) + 0.5
    x, y = transform.a * columns + transform.c, transform.e * rows + transform.f
    return 40 + 180 * np.exp(-((x - EAST) ** 2 + (y - NORTH) ** 2) / (2 * width**2))


def centre(path: Path) -> tuple[float, float]:
    """(x, y) of the centre of mass of the spot."""
    with rasterio.open(path) as d:
        x, transform = d.read(1).astype(float), d.transform
    rows, columns = np.indices(x.shape)
    weight = np.clip(x - 70, 0, None)
    column, row = (float((weight * v).sum() / weight.sum()) + 0.5 for v in (columns, rows))
    return transform * (column, row)


OPERATIONS = {
    "average:factor=2": ("upscale", "--factor", "2", "--filter", "area"),
    "average:factor=3": ("upscale", "--factor", "3", "--filter", "area"),
    "resize:factor=2": ("upscale", "--factor", "2"),
    "resize:factor=1.5,like=opencv": ("upscale", "--factor", "1.5", "--like", "opencv"),
    "decimate:factor=2,align=corner": ("upscale", "--factor", "2", "--kernel", "gaussian:1.2", "--align", "corner"),
    "decimate:factor=2": ("upscale", "--factor", "2", "--kernel", "gaussian:1.2"),
    "decimate:factor=3,kernel=EVEN": ("restore", "--op", "decimate:factor=3,kernel=EVEN", "--transfer", "linear"),
}


@pytest.mark.parametrize("op", OPERATIONS)
def test_a_spot_is_where_it_was_on_the_map(op: str, tmp_path: Path) -> None:
    """To a twentieth of a pixel, in the test measurement that `degrade` makes, and in what is restored of it."""
    even = str(tmp_path / "even.npy")
    np.save(even, np.full((2, 4), 0.125, np.float32))
    transform = Affine(5, 0, 5e5, 0, -5, 6e6)
    raw = np.rint(spot((48, 54), transform, 18.0)).astype(np.uint8)
    told = {"driver": "GTiff", "count": 1, "height": 48, "width": 54, "dtype": "uint8"}
    with rasterio.open(tmp_path / "truth.tif", "w", **told, crs="EPSG:32632", transform=transform) as d:
        d.write(raw[None])
    np.testing.assert_allclose(centre(tmp_path / "truth.tif"), (EAST, NORTH), atol=0.05)
    low, out = tmp_path / "low.tif", tmp_path / "out.tif"
    words = [word.replace("EVEN", even) for word in OPERATIONS[op]]
    made = CliRunner().invoke(
        app,
        [
            "degrade",
            str(tmp_path / "truth.tif"),
            str(low),
            "--op",
            op.replace("EVEN", even),
            "--noise",
            "gaussian:0.002",
        ],
    )
    assert made.exit_code == 0, made.output
    with rasterio.open(low) as d:
        np.testing.assert_allclose(centre(low), (EAST, NORTH), atol=d.res[0] / 20)
    found = CliRunner().invoke(
        app,
        [
            words[0],
            str(low),
            str(out),
            *words[1:],
            "--prior",
            "natural-fast",
            "--noise",
            "gaussian:0.01",
            "--steps",
            "4",
        ],
    )
    assert found.exit_code == 0, found.output
    assert "coordinates" not in found.stderr
    np.testing.assert_allclose(centre(out), (EAST, NORTH), atol=0.25)
    with rasterio.open(out) as d, rasterio.open(tmp_path / "low_truth.tif") as truth:
        assert d.transform.almost_equals(transform, 1e-6)
        assert truth.transform == transform
        assert d.crs == truth.crs == "EPSG:32632"
