from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from restorekit.cli.main import run
from restorekit.sar.assessment import Wanted, assess
from restorekit.sar.filters import Lee
from restorekit.sar.speckle import draw
from tests.support.scenes import write_tiff

rasterio = pytest.importorskip("rasterio")


def go(*arguments: object) -> None:
    with pytest.raises(SystemExit) as stop:
        run([str(a) for a in arguments])
    assert stop.value.code == 0


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as stop:
        run([str(a) for a in arguments])
    assert stop.value.code in (1, 2)
    said = capsys.readouterr()
    assert not said.out
    last = said.err.strip().splitlines()[-1]
    assert last.startswith("restorekit: ")
    return last


def scene(looks: float = 4.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measured, filtered and true intensities (96, 120)."""
    x = np.where(np.arange(120) < 60, 0.05, 0.4) * np.ones((96, 120))
    y = x * draw(x.shape, looks, None, np.random.default_rng(0))
    return y, Lee(looks, 7)(y, np.ones(y.shape, bool)), x


def tif(path: Path, *bands: np.ndarray, nodata: float | None = None, names: tuple[str, ...] = ()) -> Path:
    h, w = bands[0].shape
    profile = {"driver": "GTiff", "height": h, "width": w, "count": len(bands), "dtype": bands[0].dtype.name}
    with rasterio.open(path, "w", **profile, nodata=nodata, crs="EPSG:32630",
                       transform=rasterio.Affine(10, 0, 0, 0, -10, 0)) as d:  # fmt: skip
        for i, band in enumerate(bands, 1):
            d.write(band, i)
        for i, name in enumerate(names, 1):
            d.set_band_description(i, name)
    return path


def db(x: np.ndarray) -> np.ndarray:
    return (10 * np.log10(x)).astype(np.float32)


def judged(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    capsys.readouterr()
    go("metrics", "sar", *arguments, "--json")
    return json.loads(capsys.readouterr().out)


def test_a_raster_of_decibels_band_by_band(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y, f, x = scene()
    holes = db(y).copy()
    holes[:20, :20] = np.nan
    a = tif(tmp_path / "a.tif", holes, db(2 * y), names=("VV", "VH"))
    b, c = tif(tmp_path / "b.tif", db(f), db(2 * f)), tif(tmp_path / "c.tif", db(x), db(2 * x))
    found = judged(capsys, a, b, "--truth", c, "--looks", 4)
    assert found["domain"] == "db"
    assert [band["band"] for band in found["bands"]] == ["VV", "VH"]
    valid = np.isfinite(holes)
    for band, k, mask in zip(found["bands"], (1, 2), (valid, np.ones_like(valid))):
        expected = assess(k * np.where(mask, y, 0), k * np.where(mask, f, 0), mask, Wanted(4), k * x)
        assert set(band["figures"]) == {one.key for one in expected.figures}
        for one in expected.figures:  # float32 of decibels
            assert float(band["figures"][one.key]) == pytest.approx(one.value, rel=1e-4, abs=2e-3), one.key
            assert band["should_be"][one.key] == one.should


@pytest.mark.parametrize("unit", ["intensity", "amplitude", "db"])
@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_the_unit_of_a_file_makes_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unit: str, suffix: str
) -> None:
    y, f, _ = scene()
    convert = {"intensity": lambda x: x, "amplitude": np.sqrt, "db": db}[unit]
    files = []
    for name, part in (("y", y), ("f", f)):
        values = convert(part).astype(np.float32)
        files.append(tmp_path / f"{name}{suffix}")
        if suffix == ".npy":
            np.save(files[-1], values)
        else:
            tif(files[-1], values)
    found = judged(capsys, *files, "--domain", unit)["bands"][0]
    expected = assess(y, f, np.ones(y.shape, bool), Wanted())
    assert found["looks"] == pytest.approx(expected.looks, rel=1e-4)
    for one in expected.figures:
        assert float(found["figures"][one.key]) == pytest.approx(one.value, rel=1e-3, abs=5e-3), one.key


def test_complex_data_against_an_intensity(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    x = np.full((96, 96), 2.0)
    z = np.sqrt(x / 2) * (rng.standard_normal(x.shape) + 1j * rng.standard_normal(x.shape))
    a, b = tif(tmp_path / "a.tif", z.astype(np.complex64)), tif(tmp_path / "b.tif", x.astype(np.float32))
    found = judged(capsys, a, b)
    assert found["domain"] == "complex"
    assert found["bands"][0]["looks"] == pytest.approx(1, rel=0.1)
    assert found["bands"][0]["figures"]["mor"] == pytest.approx(1, abs=0.05)


def test_pictures_are_amplitudes_and_nodata_does_not_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y, f, _ = scene()
    for name, x in (("y", y), ("f", f)):
        grey = np.clip(np.rint(150 * np.sqrt(x)), 1, 255).astype(np.uint8)
        Image.fromarray(grey).save(tmp_path / f"{name}.png")
        grey[:30] = 0
        tif(tmp_path / f"{name}.tif", grey, nodata=0)
    whole = judged(capsys, tmp_path / "y.png", tmp_path / "f.png")
    assert whole["domain"] == "amplitude"
    assert whole["bands"][0]["figures"]["mor"] == pytest.approx(1, abs=0.05)
    cut = judged(capsys, tmp_path / "y.tif", tmp_path / "f.tif")["bands"][0]["figures"]
    assert cut["moi"] == pytest.approx(1, abs=0.05)
    # As without the rows that have no value.
    for name in "yf":
        Image.open(tmp_path / f"{name}.png").crop((0, 30, 120, 96)).save(tmp_path / f"{name}c.png")
    expected = judged(capsys, tmp_path / "yc.png", tmp_path / "fc.png")["bands"][0]["figures"]
    assert (cut["moi"], cut["mor"], cut["vor"]) == pytest.approx((expected["moi"], expected["mor"], expected["vor"]))


def test_scale_of_a_raster_and_pixels_without_a_signal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Hundredths of decibels as whole numbers; zeros inside of an intensity are no signal and do not count."""
    y, f, _ = scene()
    files = []
    for name, x in (("y", y), ("f", f)):
        files.append(tif(tmp_path / f"{name}.tif", np.rint(1000 * db(x)).astype(np.int16)))
        with rasterio.open(files[-1], "r+") as d:
            d.scales = (1e-3,)
    found = judged(capsys, *files)["bands"][0]["figures"]
    expected = assess(y, f, np.ones(y.shape, bool), Wanted())
    assert (found["mor"], found["vor"]) == pytest.approx([one.value for one in expected.figures[1:3]], rel=2e-3)
    zeros = y.astype("f4")
    zeros[3:90:7, 2:110:5] = 0
    a, b = tif(tmp_path / "z.tif", zeros), tif(tmp_path / "g.tif", f.astype("f4"))
    kept = zeros > 0
    ratio = y[kept] / f[kept]
    assert judged(capsys, a, b, "--looks", 4)["bands"][0]["figures"]["mor"] == pytest.approx(ratio.mean(), rel=1e-5)


def test_text_says_what_each_figure_should_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y, f, _ = scene()
    a, b = tif(tmp_path / "a.tif", y.astype("f4")), tif(tmp_path / "b.tif", f.astype("f4"))
    go("metrics", "sar", a, b, "--window", "2,2,40,40", "--target", "40,40,3,3", "--report", tmp_path / "q.html")
    said = capsys.readouterr()
    for words in ("MoI", "should be 1\n", "= 1 / looks", "ENL, --window", "TCR", "looks ", "effective"):
        assert words in said.out, words
    assert "domain: intensity" in said.err
    assert "q.html" in said.err
    page = (tmp_path / "q.html").read_text()
    assert "--window 2,2,40,40" in page.replace("<span>", "").replace("</span>", "")
    go("metrics", "sar", a, b, "--looks", "4", "--domain", "intensity")
    assert "domain" not in capsys.readouterr().err


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y, f, _ = scene()
    a, b = tif(tmp_path / "a.tif", y.astype("f4")), tif(tmp_path / "b.tif", f.astype("f4"))
    small, two = tif(tmp_path / "s.tif", f[:50].astype("f4")), tif(tmp_path / "2.tif", f.astype("f4"), f.astype("f4"))
    empty = tif(tmp_path / "n.tif", np.full(y.shape, np.nan, "f4"))
    logs, wave = tif(tmp_path / "d.tif", db(y)), tif(tmp_path / "z.tif", y.astype("c8"))
    tiny, flat = tif(tmp_path / "t.tif", y[:20, :20].astype("f4")), tif(tmp_path / "c.tif", np.full_like(y, 2, "f4"))
    for words, *arguments in [
        ("one size", a, small), ("one size", a, two), ("one size", a, b, "--truth", small),
        ("above 0 in all", a, empty), ("a number above 0", a, b, "--looks", "many"), ("a number above 0", a, b, "--looks", "0"),
        ("TOP,LEFT,HEIGHT,WIDTH", a, b, "--window", "1,2,3"), ("TOP,LEFT,HEIGHT,WIDTH", a, b, "--target", "1,2,-3,4"),
        ("does not lie", a, b, "--window", "90,0,20,20"), ("known: intensity, amplitude, db, complex", a, b, "--domain", "power"),
        ("give --domain db", logs, b, "--domain", "intensity"), ("d.tif", a, logs), ("--domain complex", wave, b, "--domain", "db"),
        ("z.tif", a, wave), ("give --looks", tiny, tiny), ("q.html", a, b, "--report", tmp_path / "q.txt"),
        ("a constant, fill or a limit, and no speckle", flat, flat), ("missing.npy", a, tmp_path / "missing.npy"), ("missing.tif", a, tmp_path / "missing.tif"),
    ]:  # fmt: skip
        assert words in fails(capsys, "metrics", "sar", *arguments), words
    assert not (tmp_path / "q.txt").exists()


def test_files_of_other_places_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y, f, _ = scene()
    here, moved, projected = (
        {"crs": crs, "transform": rasterio.transform.from_origin(west, 6e6, 10, 10)}
        for crs, west in (("EPSG:32631", 5e5), ("EPSG:32631", 5.1e5), ("EPSG:32632", 5e5))
    )
    a = write_tiff(tmp_path / "a.tif", y.astype("f4"), **here)
    for name, place, words in (
        ("moved", moved, "corners +1000.00 pixels right"),
        ("projected", projected, "EPSG:32631 and EPSG:32632"),
    ):
        b = write_tiff(tmp_path / f"{name}.tif", f.astype("f4"), **place)
        assert words in fails(capsys, "metrics", "sar", a, b, "--looks", "4", "--domain", "intensity")
    np.save(tmp_path / "plain.npy", f)
    go("metrics", "sar", a, tmp_path / "plain.npy", "--looks", "4", "--domain", "intensity")


def test_metrics_of_pictures_goes_on_as_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grey = np.random.default_rng(0).integers(0, 255, (32, 32), np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    outputs = []
    for words in (("metrics",), ("metrics", "pictures")):
        go(*words, tmp_path / "a.png", tmp_path / "a.png", "--names", "psnr,mae", "--json")
        outputs.append(json.loads(capsys.readouterr().out))
    assert outputs == [{"psnr": "inf", "mae": 0.0}] * 2
    go("metrics", "--crop", 3, tmp_path / "a.png", tmp_path / "a.png")
    assert "psnr" in capsys.readouterr().out
    assert "TRUTH" in fails(capsys, "metrics", tmp_path / "a.png")
    go("metrics", "--help")
    said = capsys.readouterr().out
    assert "PICTURE TRUTH" in said
    assert "sar" in said
