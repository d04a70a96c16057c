"""A SAFE is despeckled as it comes: calibrated, without thermal noise, with its looks and grain, back in its place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")

from restorekit.despeckling.page import judged
from restorekit.despeckling.plan import DespecklePlan, Settings, plan
from restorekit.errors import BadInput
from restorekit.files.reading import Reading
from restorekit.sar.speckle import SWATHS, draw
from restorekit.tasks.judge import SpeckleAssessment
from tests.cli.test_cli import go
from tests.support.safe_products import IW1_SLC, SafeImage, SafeVector, flat_calibration, write_safe

HEIGHT, WIDTH, LEVEL, NOISE = 96, 110, 200.0, 900.0
SIGMA0 = {"VV": 0.05, "VH": 0.004}


def grd(polarisation: str) -> SafeImage:
    """Speckle on a field of sigma0 and noise of 900 / 200^2 = 0.0225; nothing was measured in the first columns."""
    rng = np.random.default_rng(len(polarisation) + ord(polarisation[1]))
    power = (LEVEL**2 * SIGMA0[polarisation] + NOISE) * draw((HEIGHT, WIDTH), 4.4, SWATHS["iw1"], rng)
    dn = np.rint(np.sqrt(power)).astype(np.uint16)
    dn[:, :5] = 0
    return SafeImage(
        dn, polarisation, calibration=flat_calibration(HEIGHT, WIDTH, LEVEL),
        noise=[SafeVector(0, (0, WIDTH - 1), {"noise": (NOISE, NOISE)})], merged=[("IW1", 0, WIDTH - 1)],
    )  # fmt: skip


def slc() -> SafeImage:
    z = 300 * SWATHS["iw1"].field(HEIGHT, WIDTH, np.random.default_rng(5))
    return SafeImage(
        np.rint(z.real) + 1j * np.rint(z.imag), swath="IW1", calibration=flat_calibration(HEIGHT, WIDTH, LEVEL),
        noise=[SafeVector(0, (0, WIDTH - 1), {"noise": (NOISE, NOISE)})], processing=[IW1_SLC],
    )  # fmt: skip


def made(path: Path, product: str | None = None, **settings: Any) -> DespecklePlan:
    return plan(path, path.parent / "out.tif", Settings(solver="lee", reading=Reading(product=product), **settings))


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_safe(tmp_path_factory.mktemp("safe"), [grd("VV"), grd("VH")])


def test_a_grd_is_calibrated_restored_and_put_in_its_place(safe: Path) -> None:
    result = made(safe)
    (out,) = result.run()
    with rasterio.open(out) as d:
        points, crs = d.gcps
        assert (d.descriptions, d.units, crs.to_epsg()) == (("VV", "VH"), ("sigma0", "sigma0"), 4326)
        assert len(points) > 3
        x = d.read()
    assert np.isnan(x[:, :, :5]).all()
    for k, name in enumerate(SIGMA0):
        # 40 % of the numbers less their noise are below 0 at VH: without them its mean would be 70 % too high.
        measured = (grd(name).pixels[:, 5:].astype(float) ** 2).mean() / LEVEL**2 - NOISE / LEVEL**2
        assert float(np.nanmean(x[k])) == pytest.approx(measured, abs=0.0225 * 0.02)
        assert measured == pytest.approx(SIGMA0[name], abs=0.0225 * 0.06)
    facts = result.bands[1][1]
    assert facts.looks == pytest.approx(4.4)
    assert facts.grain[0] == pytest.approx(
        0.65, abs=0.03
    )  # the spectra of IW1, and at the angle of incidence of the grid of places
    assert 0.57 < facts.grain[1] < 0.67
    record = json.loads((out.parent / "out.tif.json").read_text())
    assert any("is sigma0: |DN|^2 over A^2" in s for s in record["product"])
    assert any("Thermal noise is subtracted from what is made of the power" in s for s in record["product"])


def test_looks_and_grain_are_the_same_whatever_is_in_the_scene(safe: Path) -> None:
    assert made(safe, looks=3.0).bands[1][1].looks == 3.0
    assert made(safe, grain=(0.1, 0.2)).bands[1][1].grain == (0.1, 0.2)
    assert "looks 4.4 of the product" in " ".join(made(safe, "VV").said)


@pytest.mark.parametrize(
    ("words", "level"),
    [("VV", 0.05), ("vv,noisy", 0.05 + 0.0225), ("VV,dn,noisy", 0.05 + 0.0225), ("VH,sigma0", 0.004)],
)
def test_words_say_what_is_taken(words: str, level: float, safe: Path) -> None:
    result = made(safe, words)
    assert result.scene.count == 1
    (out,) = result.run()
    with rasterio.open(out) as d:
        assert float(np.nanmean(d.read(1))) == pytest.approx(
            level, abs=0.06 * 0.0725
        )  # the table of dn holds the same level
    assert made(safe, words).identity["input"] == result.identity["input"]
    assert made(safe).identity["input"] != result.identity["input"]


@pytest.mark.parametrize("words", ["XX", "VV,VH", "sigma", "IW1,IW2"])
def test_other_words_are_refused_with_those_that_are_known(words: str, safe: Path) -> None:
    with pytest.raises(BadInput, match=r"`product=.*` is not understood; give a polarisation"):
        made(safe, words)


def test_a_polarisation_that_is_not_there(safe: Path) -> None:
    with pytest.raises(BadInput) as refused:
        made(safe, "HH")
    assert "`polarisation=" not in str(refused.value)
    assert refused.value.argument in ("product", None)


def test_bands_that_stay_as_they_are_would_keep_their_noise(safe: Path) -> None:
    with pytest.raises(BadInput, match="take one polarisation by `product=VV` in place of `bands`"):
        made(safe, bands=(1,))


def test_the_page_and_the_metrics_compare_with_the_noise_on_both(safe: Path, tmp_path: Path) -> None:
    result = made(safe, "VH")
    (out,) = result.run()
    page, why = judged(result, "")
    assert page is not None, why
    with rasterio.open(out) as d:
        restored = d.read(1)
    with result.scene.opened() as source:
        x, _ = source.read(result.scene.whole, 1)
    noisy = result.bands[1][0].back(restored, result.scene.whole)
    assert float(np.nanmean(x[:, 5:] / noisy[:, 5:])) == pytest.approx(1, abs=0.03)
    only = write_safe(tmp_path, [grd("VH")])
    figures = SpeckleAssessment()(only, out).bands[0][1].plain()
    assert figures["figures"]["mor"] == pytest.approx(1, abs=0.03)


def test_an_archive_its_manifest_and_its_folder_are_the_same(safe: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "product"), "zip", safe.parent, safe.name)
    pictures = []
    for path in (safe, safe / "manifest.safe", tmp_path / "product.zip"):
        scene = made(path, "VV").scene
        with scene.opened() as source:
            pictures.append(source.read(scene.whole, 1)[0])
    for other in pictures[1:]:
        np.testing.assert_array_equal(other, pictures[0])


def test_a_measurement_alone_says_that_it_is_not_calibrated(safe: Path, tmp_path: Path) -> None:
    result = plan(next(safe.glob("measurement/*-vv-*")), tmp_path / "out.tif", Settings(solver="lee"))
    assert any(s.endswith(f"neither calibrated nor less their noise; give {safe} for that") for s in result.said)


def test_an_slc_is_complex(tmp_path: Path) -> None:
    result = made(write_safe(tmp_path, [slc()]))
    assert result.bands[1][0].domain.name == "complex"
    assert result.bands[1][1].looks == 1
    (out,) = result.run()
    with rasterio.open(out) as d:
        assert float(np.nanmean(d.read(1))) == pytest.approx((300 / LEVEL) ** 2, rel=0.1)


def test_the_command_and_its_workers(safe: Path, tmp_path: Path) -> None:
    go("despeckle", safe, tmp_path / "a.tif", "--solver", "lee", "--product", "VV,beta0", "--block", 64)
    go(
        "despeckle",
        safe,
        tmp_path / "b.tif",
        "--solver",
        "lee",
        "--product",
        "VV,beta0",
        "--block",
        64,
        "--executor",
        "processes",
        "--workers",
        1,
    )
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    before = {p: p.read_bytes() for p in safe.rglob("*") if p.is_file()}
    with pytest.raises(BadInput, match=r"manifest|other|replace|read"):
        plan(safe, safe / "manifest.safe", Settings(solver="lee"))
    assert before == {p: p.read_bytes() for p in safe.rglob("*") if p.is_file()}
