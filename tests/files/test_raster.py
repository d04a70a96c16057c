"""Georeferenced files: everything that came with a scene comes back with it; what is no measurement is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")

from rasterio.control import GroundControlPoint  # noqa: TID253
from rasterio.enums import ColorInterp  # noqa: TID253
from rasterio.rpc import RPC  # noqa: TID253
from rasterio.transform import Affine  # noqa: TID253

from restorekit.despeckling.plan import Settings, plan
from restorekit.errors import BadInput
from restorekit.files import drivers as formats
from restorekit.files.bands import Window, describe, opened
from restorekit.files.geotiff import PROVENANCE
from restorekit.files.picture import read_picture
from tests.support.scenes import read_tiff, speckled, write_tiff

pytestmark = pytest.mark.floors

BOXCAR = Settings(solver="boxcar:size=3", looks=4.0, domain="intensity")


def despeckled(source: Path, settings: Settings = BOXCAR, **more: Any) -> Path:
    target = source.with_name("out.tif")
    plan(source, target, settings, more.pop("preview", None)).run(**more)
    return target


def same(a: Path, b: Path) -> None:
    """All but pixels, provenance and software."""
    with rasterio.open(a) as x, rasterio.open(b) as y:
        assert (x.count, x.shape, x.crs, x.transform) == (y.count, y.shape, y.crs, y.transform)
        assert [(p.row, p.col, p.x, p.y, p.z) for p in x.gcps[0]] == [(p.row, p.col, p.x, p.y, p.z) for p in y.gcps[0]]
        assert x.gcps[1] == y.gcps[1]
        assert (x.rpcs is None) == (y.rpcs is None)
        if x.rpcs is not None:
            assert x.rpcs.to_dict() == y.rpcs.to_dict()
        assert (x.descriptions, x.units, x.scales, x.offsets) == (y.descriptions, y.units, y.scales, y.offsets)
        assert x.colorinterp == y.colorinterp
        assert x.nodata == y.nodata or (np.isnan(x.nodata) and np.isnan(y.nodata))
        for band in (0, *x.indexes):
            names = [n for n in x.tag_namespaces(band) if n not in ("IMAGE_STRUCTURE", "DERIVED_SUBDATASETS")]
            for name in (None, *names):
                mine, theirs = x.tags(band, ns=name), y.tags(band, ns=name)
                added = {PROVENANCE, "TIFFTAG_SOFTWARE", "OVR_RESAMPLING_ALG", "STATISTICS_MEAN"}
                assert "STATISTICS_MEAN" not in theirs  # of pixels that are no more
                assert {k: v for k, v in mine.items() if k not in added} == {
                    k: v for k, v in theirs.items() if k not in added
                }


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Two bands with all that can be said of them."""
    path = write_tiff(
        tmp_path / "in.tif", np.stack([speckled(seed=s)[1] for s in (0, 1)]),
        nodata=-9999.0, tiled=True, blockxsize=64, blockysize=64, transform=Affine(10.5, 0.3, 5e5, 0.2, -9.75, 6e6),
    )  # fmt: skip
    with rasterio.open(path, "r+") as d:
        d.descriptions = ("VV", "VH")
        d.units = ("1", "power")
        d.colorinterp = (ColorInterp.gray, ColorInterp.undefined)
        d.update_tags(ACQUISITION="2026-01-02", AREA_OR_POINT="Point")
        d.update_tags(ns="SENSOR", MODE="IW")
        d.update_tags(2, POLARISATION="VH", STATISTICS_MEAN="0.3")
        d.update_tags(2, ns="CALIBRATION", FACTOR="1.5")
    return path


def test_everything_comes_back(scene: Path) -> None:
    out = despeckled(scene)
    same(scene, out)
    with rasterio.open(out) as d:
        assert d.block_shapes[0] == (64, 64)
        assert d.dtypes == ("float32", "float32")
        said = json.loads(d.tags()[PROVENANCE])
    assert said["solver"] == "boxcar:size=3"
    assert len(said["input"]) == 64
    assert said["bands"]["2"]["looks"] == 4.0


def test_the_result_is_a_cloud_optimised_file(scene: Path) -> None:
    pytest.importorskip("rio_cogeo")
    from rio_cogeo.cogeo import cog_validate

    big = write_tiff(scene.with_name("big.tif"), speckled(700, 900)[1])
    for source in (scene, big):
        valid, errors, warnings = cog_validate(despeckled(source))
        assert valid
        assert not errors
        assert not warnings


@pytest.mark.parametrize("kind", ["Area", "Point"])
def test_ground_control_points_come_back(kind: str, tmp_path: Path) -> None:
    corners = [(r, c) for r in (0, 149) for c in (0, 169)]
    points = [GroundControlPoint(r, c, 10 + 0.01 * c, 50 - 0.01 * r, 5.0) for r, c in corners]
    y = speckled()[1]
    source = tmp_path / "in.tif"
    with rasterio.open(
        source, "w", driver="GTiff", height=150, width=170, count=1, dtype="float32", gcps=points, crs="EPSG:4326"
    ) as d:
        d.write(y, 1)
        d.update_tags(AREA_OR_POINT=kind)
    with rasterio.open(source) as d:
        found = d.gcps[0]  # which GDAL moves where values are of points
    same(source, despeckled(source))
    part = despeckled(source, preview=Window(20, 30, 50, 60))
    with rasterio.open(part) as d:
        assert {(p.row, p.col, p.x) for p in d.gcps[0]} == {(p.row - 20, p.col - 30, p.x) for p in found}


def test_rational_polynomials_come_back(tmp_path: Path) -> None:
    numbers = [0.001 * k for k in range(20)]
    names = ("height_off", "lat_off", "long_off", "line_off", "samp_off", "height_scale", "lat_scale", "long_scale")
    make: Any = RPC  # its fields are unknown to checkers
    model = make(
        **dict(zip(names, (10.0, 50.0, 11.0, 75.0, 85.0, 5.0, 0.1, 0.2))), line_scale=75.0, samp_scale=85.0,
        line_num_coeff=numbers, line_den_coeff=[1.0, *numbers[1:]], samp_num_coeff=numbers, samp_den_coeff=[1.0, *numbers[1:]],
        err_bias=0.1, err_rand=0.1,
    )  # fmt: skip
    source = write_tiff(tmp_path / "in.tif", speckled()[1], rpcs=model, crs=None, transform=Affine.identity())
    same(source, despeckled(source))
    with rasterio.open(despeckled(source, preview=Window(5, 7, 40, 40))) as d:
        assert (d.rpcs.line_off, d.rpcs.samp_off) == (model.line_off - 5, model.samp_off - 7)


def test_scaled_integers_stand_for_what_they_mean(tmp_path: Path) -> None:
    """dB in hundredths as int16: the same intensities as the floats they stand for."""
    db = 10 * np.log10(speckled()[1])
    whole = np.rint(100 * db).astype(np.int16)
    whole[0, :5] = -32768
    source = write_tiff(tmp_path / "in.tif", whole, nodata=-32768)
    with rasterio.open(source, "r+") as d:
        d.scales = (0.01,)
    settings = Settings(solver="boxcar:size=3", looks=4.0, domain="db", keep_dtype=True)
    out = despeckled(source, settings)
    same(source, out)
    found = read_tiff(out)[0]
    assert found.dtype == np.int16
    assert (found[0, :5] == -32768).all()
    floats = np.where(whole == -32768, np.nan, whole / 100).astype(np.float64)
    write_tiff(tmp_path / "floats.tif", floats)
    expected = read_tiff(despeckled(tmp_path / "floats.tif", Settings(solver="boxcar:size=3", looks=4.0, domain="db")))[
        0
    ]
    inside = whole != -32768
    np.testing.assert_allclose(found[inside] / 100, expected[inside], atol=0.0051)  # half a hundredth, and float32


def test_deviations_have_the_scale_of_values_and_no_offset(tmp_path: Path) -> None:
    counts = np.rint((10 * np.log10(speckled(48, 48)[1]) + 45) / 0.002).astype(np.int16)
    source = write_tiff(tmp_path / "in.tif", counts)
    with rasterio.open(source, "r+") as d:
        d.scales, d.offsets = (0.002,), (-45.0,)
    despeckled(source, Settings(solver="sar-dps", samples=2, steps=2, looks=4.0, domain="db"))
    with rasterio.open(tmp_path / "out_std.tif") as d:
        assert (d.scales, d.offsets) == ((0.002,), (0.0,))
        assert 0 < float(np.nanmedian(d.read(1))) * 0.002 < 3  # dB


def test_results_can_be_read_as_pictures(tmp_path: Path) -> None:
    """Their compression is one that needs GDAL."""
    source = write_tiff(tmp_path / "in.tif", np.stack([speckled()[1], speckled(seed=1)[1]]))
    out = despeckled(source, Settings(solver="boxcar:size=3", looks=4.0, domain="intensity"))
    np.testing.assert_array_equal(read_picture(out, (0.0, 1.0)).pixels, read_tiff(out))


def test_a_mask_and_transparency_come_back_and_hide_pixels(tmp_path: Path) -> None:
    y = speckled(80, 90)[1]
    hidden = np.zeros(y.shape, bool)
    hidden[:20] = True
    wild = np.where(hidden, np.float32(1e6), y)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        source = write_tiff(tmp_path / "in.tif", wild)
        with rasterio.open(source, "r+") as d:
            d.write_mask(~hidden)
    out = despeckled(source)
    with rasterio.open(out) as d:
        np.testing.assert_array_equal(d.read_masks(1) == 0, hidden)
        assert d.read(1)[~hidden].max() < 10
        np.testing.assert_array_equal(d.read(1)[hidden], 1e6)
    numbers = np.where(hidden, 60000, np.rint(1000 * np.sqrt(y)))
    layers = np.stack([numbers, np.where(hidden, 0, 65535)]).astype(np.uint16)
    source = write_tiff(tmp_path / "alpha.tif", layers, photometric="MINISBLACK", alpha="YES")
    out = despeckled(source, Settings(solver="boxcar:size=3", looks=4.0, keep_dtype=True))
    same(source, out)
    found = read_tiff(out)
    np.testing.assert_array_equal(found[1], layers[1])
    assert found[0][~hidden].max() < 5000


def test_complex_integers_give_an_intensity(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    z = (rng.normal(size=(64, 64)) + 1j * rng.normal(size=(64, 64))) * 300
    source = write_tiff(tmp_path / "in.tif", z.astype(np.complex64))
    out = despeckled(source, Settings(solver="boxcar", looks=1.0))
    found = read_tiff(out)
    assert found.dtype == np.float32
    assert float(found.mean()) == pytest.approx(2 * 300**2, rel=0.1)  # 4096 looks of coefficient of variation 1


def test_the_largest_float64_as_no_data_becomes_nan(tmp_path: Path) -> None:
    y = speckled(40, 50)[1].astype(np.float64)
    y[:5] = np.finfo(np.float64).min
    out = despeckled(write_tiff(tmp_path / "in.tif", y, nodata=np.finfo(np.float64).min))
    with rasterio.open(out) as d:
        assert np.isnan(d.nodata)
        assert np.isnan(d.read(1)[:5]).all()
        assert np.isfinite(d.read(1)[5:]).all()


def test_a_window_is_read_alone(scene: Path) -> None:
    raster = describe(scene)
    with opened(raster) as reader:
        x, valid = reader.read(Window(10, 20, 30, 40), 2)
    np.testing.assert_array_equal(x, read_tiff(scene)[1, 10:40, 20:60])
    assert valid.all()


def _palette(path: Path) -> Path:
    write_tiff(path, np.ones((20, 20), np.uint8))
    with rasterio.open(path, "r+") as d:
        d.write_colormap(1, {k: (k, k, k, 255) for k in range(256)})
    return path


def _truncated(path: Path) -> Path:
    write_tiff(path, speckled(300, 300)[1])
    path.write_bytes(path.read_bytes()[:150_000])
    return path


BAD: dict[str, tuple[Any, str]] = {
    "palette": (_palette, "palette"),
    "truncated": (_truncated, "damaged at rows .*; copy it again"),
    "one bit": (lambda p: write_tiff(p, np.ones((20, 20), np.uint8), nbits=1), "one bit per pixel"),
    "text": (lambda p: p.write_text("no raster") and p, "no raster that can be read"),
    "nothing": (lambda p: p, "no such file"),
    "dB as intensity": (lambda p: write_tiff(p, 10 * np.log10(speckled()[1])), "give `domain=db`"),
    "complex as intensity": (lambda p: write_tiff(p, speckled()[1].astype(np.complex64)), "give `domain=complex`"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_measurement_is_refused_and_nothing_is_left(case: str, tmp_path: Path) -> None:
    make, words = BAD[case]
    source = make(tmp_path / "in.tif")
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(BadInput, match=words):
        despeckled(source)
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_scene_without_flat_windows_needs_looks(tmp_path: Path) -> None:
    source = write_tiff(tmp_path / "in.tif", speckled(20, 20)[1])
    with pytest.raises(BadInput, match="give `looks`"):
        plan(source, tmp_path / "out.tif", Settings(solver="lee", domain="intensity"))
    assert despeckled(source).is_file()


def test_wrong_looks_are_told(tmp_path: Path) -> None:
    source = write_tiff(tmp_path / "in.tif", speckled(looks=1.0)[1])
    said = plan(source, tmp_path / "out.tif", Settings(solver="lee", looks=16.0)).said
    assert any("looks 16 as given" in line and "far from what was measured" in line for line in said)


def test_a_result_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    source = write_tiff(tmp_path / "in.tif", speckled()[1])
    for name, words in (
        ("out.jpg", "write .tif or .npy"),
        ("out.xyz", "unknown file type"),
        ("no/out.tif", "no folder"),
    ):
        with pytest.raises(BadInput, match=words):
            plan(source, tmp_path / name, BOXCAR)


def test_what_another_kind_of_file_loses_is_told(tmp_path: Path) -> None:
    source = write_tiff(tmp_path / "in.tif", speckled()[1])
    made = plan(source, tmp_path / "out.npy", BOXCAR)
    assert any("without map coordinates" in line for line in made.said)
    made.run()
    assert np.load(tmp_path / "out.npy").shape == (150, 170)


def test_an_array_becomes_a_raster_without_coordinates(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.moveaxis(np.stack([speckled(seed=s)[1] for s in range(3)]), 0, -1))
    plan(tmp_path / "in.npy", tmp_path / "out.tif", BOXCAR).run()
    with rasterio.open(tmp_path / "out.tif") as d:
        assert (d.count, d.shape, d.crs) == (3, (150, 170), None)


def test_bands_of_different_types_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a VRT, as no other format that can be written here has them; ERDAS files may."""
    from xml.etree import ElementTree as Tree

    for name, kind in (("a", np.uint8), ("b", np.float32)):
        write_tiff(tmp_path / f"{name}.tif", np.ones((20, 20), kind))
    root = Tree.Element("VRTDataset", rasterXSize="20", rasterYSize="20")
    for band, (name, kind) in enumerate((("a", "Byte"), ("b", "Float32")), 1):
        source = Tree.SubElement(Tree.SubElement(root, "VRTRasterBand", dataType=kind, band=str(band)), "SimpleSource")
        Tree.SubElement(source, "SourceFilename", relativeToVRT="1").text = f"{name}.tif"
        Tree.SubElement(source, "SourceBand").text = "1"
    Tree.ElementTree(root).write(tmp_path / "in.vrt")
    monkeypatch.setattr(formats, "DRIVERS", ("VRT", "GTiff"))
    with pytest.raises(BadInput, match="bands of different types"):
        describe(tmp_path / "in.vrt")
