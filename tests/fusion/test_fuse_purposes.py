"""`restorekit fuse --for` and `--cloud`: what is added is written, clouds are filled, and what cannot be is one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from restorekit.fusion.cloud_source import white_of
from restorekit.fusion.pair_files import read as bands_of
from restorekit.notes import Notes
from restorekit.tasks.fuse import fuse
from tests.support.fields import PLACE, decibels, eight, go, pictures, rasters, read, refused, write_raster

rasterio = pytest.importorskip("rasterio")
LEE = ("--despeckle", "lee", "--trust-grid")
SMALL = PLACE.cut(0, 0, 100, 96)
CLOUD = np.zeros(SMALL.intensity.shape, bool)
CLOUD[30:60, 20:70] = True


def cloudy(d: Path, bands: int = 3, **profile: object) -> tuple[Path, Path]:
    """A pair whose optical picture is white where CLOUD is, and says so in a fourth band, 9 of Sentinel-2."""
    rgb = np.where(CLOUD, 250, eight(SMALL.rgb)).astype(np.uint8)
    scl = np.where(CLOUD, 9, 4).astype(np.uint8)[None]
    optical = write_raster(d / "optical.tif", np.concatenate([rgb, scl])[:bands], **profile)
    return optical, write_raster(d / "sar.tif", decibels(SMALL.speckled()))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_the_result_is_the_optical_picture_and_what_was_added(dtype: str, tmp_path: Path) -> None:
    scale = 1.0 if dtype.startswith("f") else 255.0 if dtype == "uint8" else 3000.0
    values = (0.7 * scale * SMALL.rgb).astype(dtype)
    values[:, :9] = 0
    optical = write_raster(tmp_path / "optical.tif", values, nodata=0)
    sar = write_raster(tmp_path / "sar.tif", decibels(SMALL.speckled()))
    assert go("fuse", optical, sar, tmp_path / "out.tif", "--for", "interpretation", *LEE) == 0
    with rasterio.open(tmp_path / "out_added.tif") as d, rasterio.open(optical) as o:
        added, valid = d.read(), d.read_masks(1) > 0
        assert (d.crs, d.transform, d.shape, d.count) == (o.crs, o.transform, o.shape, o.count)
    out, there = read(tmp_path / "out.tif"), values.any(0)
    np.testing.assert_array_equal(valid, there)
    assert (added[:, there] > 0).any()
    assert (added[:, there] < 0).any()
    back = values.astype(np.float64) + added
    step = float(np.finfo("float32").eps) if dtype == "float32" else 0.0  # of the largest number that is added
    np.testing.assert_allclose(
        back[:, there], out[:, there], rtol=step, atol=step * float(np.abs(added[:, there]).max())
    )
    record = json.loads((tmp_path / "out.tif.json").read_text())
    assert record["added"]["is"] == "OUT - OPTICAL"
    assert record["added"]["luminance_per_db"] > 0
    assert record["solver"] is None
    assert {Path(p).name for p in record["outputs"]} == {"out.tif", "out_added.tif"}


def test_for_interpretation_a_decibel_is_the_same_luminance_everywhere(tmp_path: Path) -> None:
    def luminance_of(gain: float) -> np.ndarray:
        power = np.full(SMALL.intensity.shape, 0.1)
        power[20:30, 20:30] *= gain
        power[70:80, 60:70] *= gain
        speckle = np.random.default_rng(0).gamma(4, 1 / 4, power.shape)
        rgb = np.full((3, *power.shape), 120, np.uint8) + (np.indices(power.shape).sum(0) % 40).astype(np.uint8)
        result = fuse(
            np.moveaxis(rgb, 0, -1), (power * speckle)[..., None].astype(np.float32), purpose="interpretation", despeckle="lee",
            trust_grid=True, domain="intensity", looks=4.0, range=(0, 255), notes=Notes(),
        )  # fmt: skip
        change = result.pixels.astype(float)[0] - rgb[0]
        return np.array([change[23:27, 23:27].mean(), change[73:77, 63:67].mean()])

    up, down = luminance_of(4.0), luminance_of(0.25)
    assert up.min() > 5
    assert down.max() < -5
    assert up[0] == pytest.approx(up[1], rel=0.3)


@pytest.mark.parametrize(("dtype", "white", "held"), [("float32", 1.0, False), ("uint8", 255.0, True)])
def test_for_interpretation_a_strong_line_is_linear_in_decibels_or_it_is_said(
    dtype: str, white: float, held: bool
) -> None:
    """A smooth surface with one line of 12 dB, without speckle to explain it: what is added is its decibels times the record's."""
    db = np.zeros((64, 64))
    db[:, 30:34] = 12.0
    grey = (white * (0.85 + 0.1 * np.sin(np.indices(db.shape).sum(0) / 9))).astype(dtype)[..., None]
    power = 0.1 * 10 ** (db / 10) * np.random.default_rng(0).gamma(900, 1 / 900, db.shape)
    notes = Notes()
    result = fuse(
        grey, power[..., None].astype(np.float32), purpose="interpretation", despeckle="none", looks=900.0, domain="intensity",
        trust_grid=True, range=(0, white), notes=notes,
    )  # fmt: skip
    record = result.source.record
    change = (result.pixels[0].astype(np.float64) - grey[..., 0]) / record["added"]["luminance_per_db"]
    shown = float(np.mean(change[:, 30:34]) - np.mean(change[:, [22, 23, 40, 41]]))
    assert (record["limited"] > 0) is held
    assert any("not linear in decibels" in text for text in notes.texts) is held
    assert shown < 11 if held else shown == pytest.approx(12, rel=0.05)


def test_for_interpretation_flat_ground_beside_an_edge_stays_flat() -> None:
    db = np.zeros((96, 96))
    db[:, 48:] = 6.0
    power = 10 ** (db / 10) * np.random.default_rng(0).gamma(4, 1 / 4, db.shape)
    grey = (0.5 + 0.1 * np.sin(np.indices(db.shape).sum(0) / 9)).astype(np.float32)[..., None]
    result = fuse(
        grey, power[..., None].astype(np.float32), purpose="interpretation", despeckle="boxcar", looks=4.0, domain="intensity",
        trust_grid=True, range=(0, 1), notes=Notes(),
    )  # fmt: skip
    change = (result.pixels[0].astype(np.float64) - grey[..., 0]) / result.source.record["added"]["luminance_per_db"]
    want = db - gaussian_filter(db, 32.0)
    away = np.s_[8:-8, 60:88]
    assert np.sqrt(np.mean((change - want)[away] ** 2)) < 0.5
    assert np.std(change[away].mean(0) - want[away].mean(0)) < 0.3


def test_pictures_and_arrays_have_what_was_added_beside_them(tmp_path: Path) -> None:
    optical, sar = pictures(tmp_path, SMALL)
    assert go("fuse", optical, sar, tmp_path / "out.png", "--added", *LEE) == 0
    before, after = (np.asarray(Image.open(p)).astype(int) for p in (optical, tmp_path / "out.png"))
    np.testing.assert_array_equal(read(tmp_path / "out_added.tif").transpose(1, 2, 0), after - before)
    notes = Notes()
    files = fuse(optical, sar, despeckle="lee", trust_grid=True, notes=notes).save(tmp_path / "out.png")
    assert [f.name for f in files] == ["out.png", "out.png.json"]
    assert "out_added.tif: of an earlier run, not of this one" in notes.texts


@pytest.mark.parametrize("purpose", ["eye", "interpretation"])
def test_clouds_give_way_to_the_radar_picture_and_nothing_else_changes_for_them(purpose: str, tmp_path: Path) -> None:
    optical, sar = cloudy(tmp_path, bands=4)
    mask = write_raster(tmp_path / "mask.tif", CLOUD.astype(np.uint8)[None])
    for name, words in (("band", ["band:4", "--cloud-classes", "scl"]), ("file", [mask])):
        out = tmp_path / f"{name}.tif"
        assert go("fuse", optical, sar, out, "--for", purpose, "--cloud", *words, *LEE) == 0
        np.testing.assert_array_equal(read(tmp_path / f"{name}_cloud.tif")[0], CLOUD)
    before, after = read(optical).astype(float), read(tmp_path / "band.tif").astype(float)
    np.testing.assert_array_equal(after, read(tmp_path / "file.tif"))
    assert (after[:3, CLOUD] < 245).all()
    clear = ~CLOUD
    share = after[:3].sum(0) / before[:3].sum(0)
    np.testing.assert_allclose(after[:3][:, clear], (before[:3] * share)[:, clear], atol=1.01)  # chromaticity
    if purpose == "interpretation":  # no colour is made up
        assert np.ptp(after[:3][:, CLOUD], axis=0).max() == 0
    record = json.loads((tmp_path / "band.tif.json").read_text())
    assert record["cloud"]["share"] == pytest.approx(CLOUD.mean(), abs=1e-6)
    assert record["unfilled"] == 0


def test_how_bright_a_cloud_is_changes_nothing(tmp_path: Path) -> None:
    found = []
    for level in (255, 200):
        rgb = np.where(CLOUD, level, eight(SMALL.rgb)).astype(np.uint8)
        optical = write_raster(tmp_path / "optical.tif", rgb)
        sar = write_raster(tmp_path / "sar.tif", decibels(SMALL.speckled()))
        mask = write_raster(tmp_path / "mask.tif", CLOUD.astype(np.uint8)[None])
        assert go("fuse", optical, sar, tmp_path / "out.tif", "--cloud", mask, "--overwrite", *LEE) == 0
        found.append(read(tmp_path / "out.tif"))
    np.testing.assert_array_equal(*found)


def test_under_cloud_for_the_eye_dark_echoes_are_bright_where_they_are_so_elsewhere(tmp_path: Path) -> None:
    grey = 0.5 - 0.12 * np.log(SMALL.intensity / np.exp(-1.5))  # bright where the radar picture is dark
    rgb = np.where(CLOUD, 255, np.rint(255 * grey.clip(0, 1))).astype(np.uint8)[None]
    optical = write_raster(tmp_path / "optical.tif", rgb)
    sar = write_raster(tmp_path / "sar.tif", decibels(SMALL.speckled(looks=20)))
    mask = write_raster(tmp_path / "mask.tif", CLOUD.astype(np.uint8)[None])
    assert go("fuse", optical, sar, tmp_path / "out.tif", "--cloud", mask, *LEE) == 0
    under = read(tmp_path / "out.tif")[0][CLOUD]
    assert np.corrcoef(under, grey[CLOUD])[0, 1] > 0.6


def test_classes_of_twice_the_pixel_are_brought_to_the_grid(tmp_path: Path) -> None:
    optical, sar = cloudy(tmp_path)
    coarse = rasterio.Affine(20, 0, 500000, 0, -20, 5200000)
    scl = write_raster(tmp_path / "scl.tif", np.where(CLOUD, 8, 5)[None, ::2, ::2].astype(np.uint8), transform=coarse)
    assert go("fuse", optical, sar, tmp_path / "out.tif", "--cloud", scl, "--cloud-classes", "scl", *LEE) == 0
    np.testing.assert_array_equal(read(tmp_path / "out_cloud.tif")[0], CLOUD)


def test_clouds_are_found_by_brightness_and_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rgb = np.where(CLOUD, 250, eight(0.6 * SMALL.rgb)).astype(np.uint8)
    optical = write_raster(tmp_path / "optical.tif", rgb)
    sar = write_raster(tmp_path / "sar.tif", decibels(SMALL.speckled()))
    assert go("fuse", optical, sar, tmp_path / "out.tif", "--cloud", "auto", *LEE) == 0
    found = read(tmp_path / "out_cloud.tif")[0] > 0
    assert found[CLOUD].all()
    assert found.mean() < 1.5 * CLOUD.mean()
    said = capsys.readouterr().err
    assert "by brightness alone" in said
    assert "% of optical.tif is cloud" in said
    assert "colours and level are made up" in said
    under = json.loads((tmp_path / "out.tif.json").read_text())["under_cloud"]
    assert under["colours"] == "made up"
    assert 0 <= under["told"] <= 1


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_how_bright_white_is_must_be_known_to_find_clouds(
    dtype: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dark scene whose brightest field is grey is no cloud, as quantiles of the scene would say."""
    place = PLACE.cut(0, 0, 48, 40)
    optical = write_raster(tmp_path / "optical.tif", (1800 * place.rgb).astype(dtype))
    sar = write_raster(tmp_path / "sar.tif", decibels(place.speckled()))
    words = ("fuse", optical, sar, tmp_path / "out.tif", "--cloud", "auto", *LEE)
    assert "give --range, such as 0,10000" in refused(capsys, *words)
    assert not list(tmp_path.glob("out*"))
    assert go(*words, "--range", "0,10000") == 0
    assert not read(tmp_path / "out_cloud.tif").any()


def test_the_scale_of_the_file_says_how_bright_white_is(tmp_path: Path) -> None:
    values = np.full((1, 40, 40), 2000, np.uint16)
    optical = write_raster(tmp_path / "optical.tif", values)
    with rasterio.open(optical, "r+") as d:
        d.scales, d.offsets = (1e-4,), (-0.1,)
    assert white_of(bands_of(optical), [1], None) == pytest.approx((1000, 11000))
    assert white_of(bands_of(optical), [1], (0, 9)) == (0, 9)
    assert white_of(bands_of(write_raster(tmp_path / "plain.tif", values)), [1], None) is None


def test_where_the_mask_says_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    optical, sar = cloudy(tmp_path)
    small = write_raster(tmp_path / "small.tif", CLOUD[None, :50].astype(np.uint8))
    assert go("fuse", optical, sar, tmp_path / "out.tif", "--cloud", small, *LEE) == 0
    assert "small.tif says nothing for 50.0% of optical.tif, which is taken to be clear" in capsys.readouterr().err
    assert json.loads((tmp_path / "out.tif.json").read_text())["cloud"]["unknown"] == 0.5
    empty = write_raster(tmp_path / "empty.tif", np.full((1, *CLOUD.shape), 9, np.uint8), nodata=9)
    words = ("fuse", optical, sar, tmp_path / "none.tif", "--cloud", empty, *LEE)
    assert "empty.tif has no value at any valid pixel" in refused(capsys, *words)


def test_the_last_line_names_what_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    optical, sar = cloudy(tmp_path, bands=4)
    words = ("--cloud", "band:4", "--cloud-classes", "scl", "--for", "interpretation", *LEE)
    assert go("fuse", optical, sar, tmp_path / "out.tif", *words) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert "(0 network calls" in line
    assert "out_added.tif, out_cloud.tif, and .json" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--for", "beauty"], "unknown --for 'beauty'; known: eye, interpretation"),
        (["--cloud", "band"], "as --cloud band:4"),
        (["--for", "interpretation", "--solver", "diffusion"], "asks no solver; leave --solver out"),
        (["--cloud", "none.tif"], "none.tif"),
        (["--cloud", "band:9"], "has 4 band(s)"),
        (["--cloud", "band:x"], "has 4 band(s)"),
        (["--cloud", "band:2"], "that band is fused"),
        (["--cloud", "band:4"], "say by --cloud-classes"),
        (["--cloud", "band:4", "--cloud-classes", "clear"], "known: mask, scl, qa60"),
        (["--cloud", "auto", "--cloud-classes", "scl"], "leave --cloud-classes out"),
        (["--cloud-classes", "scl"], "give that too"),
        (["--cloud", "band:4", "--cloud-classes", "4,9"], "nothing says how bright"),
        (["--cloud", "small.png"], "50x40"),
    ],
)
def test_options_that_cannot_be_are_one_line(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    optical, sar = cloudy(tmp_path, bands=4)
    Image.fromarray(np.zeros((50, 40), np.uint8)).save("small.png")
    assert said in refused(capsys, "fuse", optical, sar, "out.tif", *options, *LEE)
    assert not list(tmp_path.glob("out*"))


def test_what_lies_beside_the_result_is_not_written_over_an_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    optical, sar = rasters(tmp_path, SMALL)
    own = (tmp_path / "out_cloud.tif", tmp_path / "out_added.tif")
    write_raster(own[0], CLOUD.astype(np.uint8)[None])
    own[1].write_bytes(sar.read_bytes())
    kept = [p.read_bytes() for p in own]
    assert "out_cloud.tif" in refused(capsys, "fuse", optical, sar, tmp_path / "out.tif", "--cloud", own[0], *LEE)
    assert "out_added.tif" in refused(capsys, "fuse", optical, own[1], tmp_path / "out.tif", "--added", *LEE)
    assert [p.read_bytes() for p in own] == kept
    assert not (tmp_path / "out.tif").exists()
