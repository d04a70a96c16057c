"""`restorekit fuse` and `metrics fusion` on files: what is kept, what is refused, what is said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from restorekit.cli.metrics import fusion
from restorekit.errors import BadInput
from restorekit.fusion.luminance import luminance
from restorekit.fusion.scores import METRICS
from tests.support.fields import PLACE, decibels, eight, go, pictures, rasters, read, refused, write_raster

rasterio = pytest.importorskip("rasterio")
DATA = Path(os.environ.get("RESTOREKIT_DATA", Path(__file__).parents[3] / "shared" / "data")) / "fusion"

LEE = ("--despeckle", "lee")  # quick; for what no despeckler has a part in


def test_rasters_keep_their_place_their_type_and_what_they_say(tmp_path: Path) -> None:
    optical, sar = rasters(tmp_path, nodata=0)
    with rasterio.open(optical, "r+") as d:
        d.update_tags(SENSOR="X")
        d.update_tags(2, wavelength="560")
        d.set_band_description(1, "red")
        d.scales = (0.5, 0.5, 0.5)
    out = tmp_path / "out.tif"
    assert go("fuse", optical, sar, out) == 0
    with rasterio.open(optical) as a, rasterio.open(out) as b:
        for name in ("crs", "transform", "nodata", "dtypes", "count", "shape", "descriptions", "scales", "colorinterp"):
            assert getattr(a, name) == getattr(b, name), name
        assert b.tags()["SENSOR"] == "X"
        assert b.tags(2)["wavelength"] == "560"
        provenance = json.loads(b.tags()["RESTOREKIT_PROVENANCE"])
    record = json.loads((tmp_path / "out.tif.json").read_text())
    assert provenance["solver"] == record["solver"]
    assert provenance["input"]["sar"]["sha256"] == record["input"]["sar"]["sha256"]
    assert set(METRICS) < set(record["metrics"])
    assert (record["domain"], record["despeckle"], record["match"], record["nfe"]) == ("db", "hqs", "moments", 0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["optical.tif", "out.tif", "out.tif.json", "sar.tif"]


@pytest.mark.parametrize(("purpose", "as_optical", "as_radar"), [("eye", 0.9, 0.0), ("interpretation", 0.5, 0.5)])
def test_the_result_holds_what_each_shows_in_the_colours_of_the_optical_picture(
    purpose: str, as_optical: float, as_radar: float, tmp_path: Path
) -> None:
    optical, sar = rasters(tmp_path)
    assert go("fuse", optical, sar, tmp_path / "out.tif", "--for", purpose, *LEE) == 0
    before, after = read(optical).astype(float), read(tmp_path / "out.tif").astype(float)
    fused, own, radar = luminance(after), luminance(before), np.log(PLACE.intensity)

    def alike(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.corrcoef(x.ravel(), y.ravel())[0, 1])

    assert alike(own, radar) < 0.3
    assert alike(fused, own) > as_optical
    assert alike(fused, radar) > max(as_radar, alike(own, radar))
    # Chromaticity: each band is what it was, times one factor of the pixel, but for rounding.
    np.testing.assert_allclose(after, before * (after.sum(0) / before.sum(0)), atol=1.01)
    assert json.loads((tmp_path / "out.tif.json").read_text())["shown"] > 0.05


def test_bands_that_are_not_seen_are_copied_and_an_own_choice_is_taken(tmp_path: Path) -> None:
    values = np.concatenate([eight(PLACE.rgb), eight(PLACE.rgb[:1])[:, ::-1]])
    optical = write_raster(tmp_path / "four.tif", values)
    sar = write_raster(tmp_path / "sar.tif", decibels(PLACE.speckled()))
    assert go("fuse", optical, sar, tmp_path / "a.tif", *LEE) == 0
    assert go("fuse", optical, sar, tmp_path / "b.tif", "--bands", "3,2,1", *LEE) == 0
    assert go("fuse", optical, sar, tmp_path / "c.tif", "--bands", "2", *LEE) == 0
    a, b, c = (read(tmp_path / f"{n}.tif") for n in "abc")
    np.testing.assert_array_equal(a[3], values[3])
    assert not np.array_equal(a[:3], values[:3])
    assert not np.array_equal(a[:3], b[:3])  # red and blue weigh differently
    np.testing.assert_array_equal(c[[0, 2, 3]], values[[0, 2, 3]])
    assert not np.array_equal(c[1], values[1])


def test_pixels_that_either_lacks_stay_as_they_were(tmp_path: Path) -> None:
    rgb, db = eight(PLACE.rgb), decibels(PLACE.speckled())
    rgb[:, :20, :25] = 0
    db[:, 90:, 60:] = np.nan
    optical = write_raster(tmp_path / "optical.tif", rgb, nodata=0)
    sar = write_raster(tmp_path / "sar.tif", db)
    assert go("fuse", optical, sar, tmp_path / "out.tif", *LEE) == 0
    out = read(tmp_path / "out.tif")
    assert not out[:, :20, :25].any()
    np.testing.assert_array_equal(out[:, 90:, 60:], rgb[:, 90:, 60:])
    with rasterio.open(tmp_path / "out.tif") as d:
        assert d.nodata == 0
        np.testing.assert_array_equal(d.dataset_mask() > 0, rgb.any(0))  # no valid pixel has become nodata
    assert json.loads((tmp_path / "out.tif.json").read_text())["metrics"]["filled"] > 0


def test_no_valid_pixel_becomes_nodata(tmp_path: Path) -> None:
    rgb = eight(PLACE.rgb)
    rgb[rgb == 100] = 101
    optical = write_raster(tmp_path / "optical.tif", rgb, nodata=100)
    sar = write_raster(tmp_path / "sar.tif", decibels(PLACE.speckled()))
    assert go("fuse", optical, sar, tmp_path / "out.tif", "--for", "interpretation", *LEE) == 0
    out = read(tmp_path / "out.tif")
    assert (out == 99).any()
    assert (out == 101).sum() > (out == 99).sum()  # where the values that would have been 100 are
    assert not (out == 100).any()


def test_a_mask_of_the_file_is_kept_and_heeded(tmp_path: Path) -> None:
    optical, sar = rasters(tmp_path)
    mask = np.full(PLACE.intensity.shape, 255, np.uint8)
    mask[:, 100:] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(optical, "r+") as d:
        d.write_mask(mask)
    assert go("fuse", optical, sar, tmp_path / "out.tif", *LEE) == 0
    with rasterio.open(tmp_path / "out.tif") as d:
        np.testing.assert_array_equal(d.dataset_mask(), mask)
    np.testing.assert_array_equal(read(tmp_path / "out.tif")[..., 100:], read(optical)[..., 100:])


def test_zeros_at_the_border_of_a_radar_picture_are_no_measurement(tmp_path: Path) -> None:
    amplitude = (400 * np.sqrt(PLACE.speckled())).astype(np.uint16) + 1
    amplitude[:, :21] = 0
    amplitude[60:63, 70:73] = 0  # inside, zero is a weak echo
    optical = write_raster(tmp_path / "optical.tif", eight(PLACE.rgb))
    sar = write_raster(tmp_path / "sar.tif", amplitude[None])
    assert go("fuse", optical, sar, tmp_path / "out.tif", *LEE) == 0
    record = json.loads((tmp_path / "out.tif.json").read_text())
    assert record["valid"] == pytest.approx(1 - 21 / amplitude.shape[1], abs=1e-6)
    np.testing.assert_array_equal(read(tmp_path / "out.tif")[..., :21], read(optical)[..., :21])


def test_fill_that_the_file_does_not_name_and_noise_below_zero_are_no_echo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    power = PLACE.speckled().astype(np.float32)
    optical, _ = rasters(tmp_path)
    records = []
    for name, dark in (("zero", 0.0), ("below", -5.0)):
        filled = power.copy()
        filled[60:63, 70:73] = dark
        filled[:, :21] = -9999
        sar = write_raster(tmp_path / "sar.tif", filled[None])
        out = tmp_path / f"{name}.tif"
        assert go("fuse", optical, sar, out, "--domain", "intensity", "--looks", 4, *LEE) == 0
        assert "-9999 is taken for no data" in capsys.readouterr().err
        records.append(json.loads((tmp_path / f"{name}.tif.json").read_text()))
        assert records[-1]["valid"] == pytest.approx(1 - 21 / power.shape[1], abs=1e-3)
    np.testing.assert_array_equal(read(tmp_path / "zero.tif"), read(tmp_path / "below.tif"))


def test_the_scale_that_a_radar_file_says_is_applied(tmp_path: Path) -> None:
    optical, sar = rasters(tmp_path)
    db = read(sar)
    packed = write_raster(tmp_path / "packed.tif", np.rint((db + 50) / 0.001).astype(np.uint16))
    with rasterio.open(packed, "r+") as d:
        d.scales, d.offsets = (0.001,), (-50.0,)
    assert go("fuse", optical, sar, tmp_path / "a.tif", *LEE) == 0
    assert go("fuse", optical, packed, tmp_path / "b.tif", "--domain", "db", *LEE) == 0
    a, b = (read(tmp_path / f"{n}.tif").astype(int) for n in "ab")
    assert np.abs(a - b).max() <= 1  # half a thousandth of a dB


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64"])
def test_numbers_of_other_types_come_back_in_their_own(dtype: str, tmp_path: Path) -> None:
    scale = 1.0 if dtype.startswith("f") else 3000.0
    values = (0.3 * scale * PLACE.rgb).astype(dtype)
    optical = write_raster(tmp_path / "optical.tif", values)
    sar = write_raster(tmp_path / "sar.tif", decibels(PLACE.speckled()))
    assert go("fuse", optical, sar, tmp_path / "out.tif", *LEE) == 0
    out = read(tmp_path / "out.tif")
    assert out.dtype == values.dtype
    assert 0 <= out.min() <= out.max() <= 1.5 * values.max()
    assert out.mean() == pytest.approx(values.mean(), rel=0.2)


def test_pictures_without_a_place_and_their_alpha(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    optical, sar = pictures(tmp_path)
    alpha = np.full(PLACE.intensity.shape, 255, np.uint8)
    alpha[:10] = 0
    Image.fromarray(np.dstack([np.asarray(Image.open(optical)), alpha])).save(optical)
    assert go("fuse", optical, sar, tmp_path / "out.png", *LEE) == 0
    said = capsys.readouterr()
    assert "domain: amplitude" in said.err
    assert "looks" in said.err
    before, after = (np.asarray(Image.open(p)) for p in (optical, tmp_path / "out.png"))
    np.testing.assert_array_equal(after[..., 3], before[..., 3])
    np.testing.assert_array_equal(after[:10], before[:10])
    assert not np.array_equal(after[10:], before[10:])


def test_the_same_command_gives_the_same_bytes_and_diffusion_uses_its_seed(tmp_path: Path) -> None:
    optical, sar = pictures(tmp_path, PLACE.cut(0, 0, 48, 48))
    found = []
    for i, seed in enumerate((1, 1, 2)):
        out = tmp_path / f"{i}.png"
        solver = ("--solver", "diffusion:steps=2,iterations=3,final=5", "--prior", "natural-fast", "--seed", seed)
        assert go("fuse", optical, sar, out, *solver, "--trust-grid", "--despeckle", "lee") == 0
        found.append(out.read_bytes())
    record = json.loads((tmp_path / "2.png.json").read_text())
    assert found[0] == found[1] != found[2]
    assert (record["nfe"], record["prior"]["name"], record["seed"]) == (2, "natural-fast", 2)


# --- what cannot be ---


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--bands", "1,2"], "give one band, or red, green and blue"),
        (["--bands", "1,2,9"], "has 3 band(s)"),
        (["--bands", "r,g,b"], "is not understood"),
        (["--sar-band", "2"], "has 1 band(s)"),
        (["--domain", "power"], "unknown domain"),
        (["--domain", "complex"], "holds float32"),
        (["--domain", "intensity"], "give --domain db"),
        (["--despeckle", "wavelet"], "known: none, boxcar, lee"),
        (["--match", "wavelet"], "known: moments, histogram"),
        (["--looks", "-1"], "give a number above 0"),
        (["--looks", "many"], "give a number above 0"),
        (["--solver", "mean"], "known: map, diffusion"),
        (["--solver", "diffusion", "--prior", "sar"], "knows logarithms of intensities"),
        (["--solver", "diffusion", "--precision", "fp8"], "auto, bf16 or fp32"),
    ],
)
def test_options_that_cannot_be_are_one_line(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    optical, sar = rasters(tmp_path)
    assert said in refused(capsys, "fuse", optical, sar, tmp_path / "out.tif", *options)
    assert not (tmp_path / "out.tif").exists()


def test_files_that_cannot_be_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    optical, sar = rasters(tmp_path)
    out = tmp_path / "out.tif"
    empty = write_raster(tmp_path / "empty.tif", np.full((1, 120, 130), np.nan, np.float32))
    dark = write_raster(tmp_path / "dark.tif", np.zeros((1, 120, 130), np.float32))
    flat = write_raster(tmp_path / "flat.tif", np.full((3, 120, 130), 700, np.uint16))
    small, _ = pictures(tmp_path, PLACE.cut(0, 0, 60, 50))
    refusals = [
        ((optical, empty, out), "no valid pixel"),
        ((optical, dark, out), "no valid pixel"),
        ((flat, sar, out), "is constant"),
        ((small, sar, tmp_path / "out.png"), "60x50"),
        ((optical, sar, tmp_path / "out.png"), "write .tif"),
        ((optical, sar, optical), "is the input itself"),
        ((optical, sar, sar), "is the input itself"),
        ((optical, sar, tmp_path / "none" / "out.tif"), "there is no folder"),
        ((tmp_path / "none.tif", sar, out), "none.tif"),
        ((optical, tmp_path / "none.png", out), "no such file"),
    ]
    for arguments, said in refusals:
        assert said in refused(capsys, "fuse", *arguments), arguments
    assert not out.exists()


def test_a_disk_that_refuses_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from restorekit.fusion import pair_files as files

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    optical, sar = rasters(tmp_path)
    monkeypatch.setattr(files, "finish", full)
    (tmp_path / "out.tif").write_bytes(b"as it was")
    assert go("fuse", optical, sar, tmp_path / "out.tif", *LEE) == 1
    assert (tmp_path / "out.tif").read_bytes() == b"as it was"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["optical.tif", "out.tif", "sar.tif"]


# --- metrics ---


def metrics(*arguments: object) -> None:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(fusion)
    app([str(a) for a in arguments], standalone_mode=False)


def test_metrics_are_those_in_the_record_of_the_fusion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    optical, sar = rasters(tmp_path)
    assert go("fuse", optical, sar, tmp_path / "out.tif", "--despeckle", "lee") == 0
    record = json.loads((tmp_path / "out.tif.json").read_text())["metrics"]
    capsys.readouterr()
    metrics(optical, sar, tmp_path / "out.tif", "--json", "--despeckle", "lee")
    assert json.loads(capsys.readouterr().out) == pytest.approx(record, rel=1e-6)
    metrics(optical, sar, tmp_path / "out.tif", "--despeckle", "lee")
    said = capsys.readouterr().out
    for name, column in METRICS.items():
        assert f"{column.title:18} {record[name]:9.4f}" in said
    assert "CE, bits, mean" in said
    assert said.count("lower is better") == 1


def test_metrics_of_the_optical_picture_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    optical, sar = rasters(tmp_path)
    metrics(optical, sar, optical, "--json", "--despeckle", "lee")
    copied = json.loads(capsys.readouterr().out)
    assert copied["scd"] == pytest.approx(copied["cc"] * 2, abs=1.1)
    assert copied["ssim_sum"] > 1  # 1 for the optical half
    assert copied["mi"] > copied["en"]


def test_metrics_refuse_what_is_not_like_the_optical_picture(tmp_path: Path) -> None:
    optical, sar = rasters(tmp_path)
    small = write_raster(tmp_path / "small.tif", eight(PLACE.rgb)[:, 5:])
    deep = write_raster(tmp_path / "deep.tif", eight(PLACE.rgb).astype(np.uint16))
    for path, said in ((small, "compare pictures of one size"), (deep, "their numbers are not the same")):
        with pytest.raises(BadInput, match=said):
            metrics(optical, sar, path)


# --- real pairs ---


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="needs the pairs in $RESTOREKIT_DATA/fusion")
@pytest.mark.parametrize("number", [1, 2])
def test_pairs_that_do_not_line_up_are_refused(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = (DATA / "misregistered" / f"SO{number}{n}.png" for n in "ba")
    said = refused(capsys, "fuse", *pair, tmp_path / "out.png", "--despeckle", "lee")  # fast, and shows as many edges
    assert "are not registered" in said


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="needs the pairs in $RESTOREKIT_DATA/fusion")
def test_a_real_pair_is_fused(tmp_path: Path) -> None:
    name = "433D_629L_3_1.tif"
    two = (DATA / "terramesh/S2RGB" / name, DATA / "terramesh/S1RTC" / name)
    assert go("fuse", *two, tmp_path / "out.tif", "--despeckle", "lee") == 0
    found = json.loads((tmp_path / "out.tif.json").read_text())["metrics"]
    assert found["viff_han"] > 0.3
    assert found["ssim_mean"] > 0.5
