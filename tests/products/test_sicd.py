"""A SICD is one complex band, whatever its pixels: calibrated, in its place, with the grain of its spectra."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

rasterio = pytest.importorskip("rasterio")
pytest.importorskip("sarkit")

import restorekit
from restorekit.despeckling.plan import DespecklePlan, Settings, plan
from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.files.reading import Reading
from restorekit.products.opening import scene_of
from restorekit.products.sicd import is_sicd
from restorekit.sar.speckle import SpeckleSpectrum
from tests.support.scenes import write_tiff
from tests.support.sicd_files import CORNERS, numbers, write_sicd

PIXELS = ("RE32F_IM32F", "RE16I_IM16I", "AMP8I_PHS8I")


def field(height: int = 100, width: int = 120) -> NDArray[Any]:
    rng = np.random.default_rng(0)
    z = 20 * SpeckleSpectrum(2.0, 1.25).field(height, width, rng)
    z[:, width // 2 :] *= 2
    return z.clip(-120, 120)


def read(path: Path, product: str | None = None, window: Window | None = None) -> NDArray[Any]:
    scene = scene_of(path, Reading(product=product))
    with scene.opened() as source:
        values, valid = source.read(window or scene.whole, 1)
    assert valid.all()
    return values


def made(path: Path, **settings: Any) -> DespecklePlan:
    return plan(path, path.with_name("out.tif"), Settings(**{"solver": "lee", **settings}))


@pytest.mark.parametrize("pixels", PIXELS)
def test_the_pixels_of_every_type_are_complex_numbers(pixels: str, tmp_path: Path) -> None:
    z = field()
    path = write_sicd(tmp_path / "in.nitf", z, pixels)
    assert is_sicd(path)
    with rasterio.open(path) as d:  # which is why it is never left to GDAL
        assert d.count == 2
    found = read(path)
    assert found.dtype == np.complex64
    assert (
        np.abs(found - z).max()
        < {"RE32F_IM32F": 1e-4, "RE16I_IM16I": 0.71, "AMP8I_PHS8I": 120 * 1.41 * np.pi / 256 + 0.6}[pixels]
    )
    np.testing.assert_array_equal(read(path, window=Window(30, 20, 11, 13)), found[30:41, 20:33])
    result = made(path)
    assert result.bands[1][0].domain.name == "complex"
    assert any(f"SICD of Example-1, {pixels}" in line for line in result.said)


def test_amplitudes_by_the_table_of_the_file(tmp_path: Path) -> None:
    """Worked out by hand: number 3 of the table is 0.7; a phase of 64 steps is a quarter of the circle."""
    table = np.linspace(0.1, 51.1, 256)
    raw = numbers(3 * np.exp(1j * np.pi / 2) * np.ones((40, 40)), "AMP8I_PHS8I")
    assert (raw["amp"][0, 0], raw["phase"][0, 0]) == (3, 64)
    path = write_sicd(tmp_path / "in.nitf", 3j * np.ones((40, 40)), "AMP8I_PHS8I", table=table)
    np.testing.assert_allclose(read(path), 0.7j, atol=1e-6)
    assert any("amplitudes by the table" in s for s in scene_of(path).product.said)  # type: ignore[union-attr]


def test_scale_factors_are_of_metres_from_the_centre(tmp_path: Path) -> None:
    """By hand: factor 2 + 0.01 x + 0.02 y at row 70, column 30 of 100 x 120 is 2 + 0.01 * (70 + 5 - 50) * 1 + 0.02 * (30 + 7 - 60) * 0.625."""
    z, scale = field(), np.array([[2.0, 0.02], [0.01, 0.0]])
    path = write_sicd(tmp_path / "in.nitf", z, scale=scale, first=(5, 7), noise=-31.5)
    factor = 2 + 0.01 * 25 + 0.02 * -23 * 0.625
    assert np.abs(read(path)[70, 30]) ** 2 == pytest.approx(factor * np.abs(z[70, 30]) ** 2, rel=1e-5)
    np.testing.assert_array_equal(read(path), read(path, "sigma0"))
    np.testing.assert_allclose(read(path, "dn"), z, rtol=1e-5)
    said = scene_of(path).product.said  # type: ignore[union-attr]
    assert "calibrated to sigma0 by SigmaZeroSFPoly" in said
    assert any("-31.5 dB" in s and "not taken out" in s for s in said)
    for quantity, words in (
        ("gamma0", r"no factor of gamma0 \(there: sigma0\); give `product=dn`"),
        ("nrcs", "is none of sigma0"),
    ):
        with pytest.raises(BadInput, match=words):
            read(path, quantity)


def test_the_result_lies_where_the_image_lay(tmp_path: Path) -> None:
    result = made(write_sicd(tmp_path / "in.nitf", field()))
    (out,) = result.run()
    with rasterio.open(out) as d:
        points, crs = d.gcps
        assert (d.count, d.dtypes[0], d.descriptions, crs.to_epsg()) == (1, "float32", ("VV",), 4326)
        intensity = d.read(1)
    assert [(p.y, p.x) for p in points] == [pytest.approx(c) for c in CORNERS]
    assert [(p.row, p.col) for p in points] == [(0.5, 0.5), (0.5, 119.5), (99.5, 119.5), (99.5, 0.5)]
    assert intensity.mean() == pytest.approx((np.abs(field()) ** 2).mean(), rel=0.05)
    assert result.identity["product"][0] == "SICD of Example-1, RE32F_IM32F"


def test_the_grain_is_that_of_the_spectra(tmp_path: Path) -> None:
    """A flat band of 0.8 cycles per metre: at a spacing of 1 m the transform at one pixel is sinc(0.8), at 0.625 m sinc(0.5)."""
    path = write_sicd(tmp_path / "in.nitf", field(), weights=(1.0, 1.0, 1.0))
    (facts,) = scene_of(path).product.bands  # type: ignore[union-attr]
    assert facts.grain == pytest.approx((np.sinc(0.8) ** 2, np.sinc(0.5) ** 2), abs=2e-3)
    assert facts.looks == 1
    result = made(path)
    assert "looks 1 of the product" in result.said[-1]
    assert made(path, looks=2.0).bands[1][1].looks == 2
    (facts,) = scene_of(write_sicd(tmp_path / "none.nitf", field())).product.bands  # type: ignore[union-attr]
    assert facts.grain is None  # nothing is said of the weights


def test_zeros_around_the_image_are_not_measured(tmp_path: Path) -> None:
    z = field()
    z[:10] = z[:, :7] = 0
    (out,) = made(write_sicd(tmp_path / "in.nitf", z)).run()
    with rasterio.open(out) as d:
        empty = np.isnan(d.read(1))
    assert empty[:10].all()
    assert empty[:, :7].all()
    assert not empty[10:, 7:].any()


def test_the_command_reads_it_and_workers_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.cli.test_cli import go

    path = write_sicd(tmp_path / "in.ntf", field(), "AMP8I_PHS8I")
    go("despeckle", path, tmp_path / "a.tif", "--solver", "lee", "--block", 64)
    go(
        "despeckle",
        path,
        tmp_path / "b.tif",
        "--solver",
        "lee",
        "--block",
        64,
        "--executor",
        "processes",
        "--workers",
        1,
    )
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    go("metrics", "sar", path, tmp_path / "a.tif")


def test_what_is_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    path = write_sicd(tmp_path / "in.ntf", field())
    content = path.read_bytes()
    (tmp_path / "cut.ntf").write_bytes(content.replace(b"<NumRows>100<", b"<NumRows>x00<"))
    (tmp_path / "short.ntf").write_bytes(content.replace(b"RE32F_IM32F", b"RE99F_IM99F"))
    (tmp_path / "entity.ntf").write_bytes(content.replace(b"<SICD xmlns", b"<!DOCTYPE a"))
    for name, words in (
        ("cut.ntf", "header cannot be read"),
        ("short.ntf", "unknown pixels 'RE99F_IM99F'"),
        ("entity.ntf", "document type"),
    ):
        with pytest.raises(BadInput, match=words) as refused:
            made(tmp_path / name)
        assert "\n" not in str(refused.value)
    with pytest.raises(
        BadInput, match=r"`domain=real,imaginary` is of two bands of real numbers, and it holds complex64"
    ):
        made(path, domain="real,imaginary")
    with pytest.raises(BadInput, match=r"`product=VV` is for products of radar satellites"):
        scene_of(write_tiff(tmp_path / "a.tif", np.ones((40, 40), np.float32)), Reading(product="VV"))


def test_without_sarkit_the_extra_is_named(tmp_path: Path) -> None:
    path = write_sicd(tmp_path / "in.ntf", field())
    code = (
        "import importlib.util as u; real=u.find_spec; u.find_spec=lambda n,*a: None if n=='sarkit' else real(n,*a)\n"
        f"from restorekit.cli.main import run; run(['despeckle', {str(path)!r}, {str(tmp_path / 'o.tif')!r}, '--solver', 'lee'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'in.ntf is a SICD, and its reader needs sarkit; pip install "restorekit[sar]"' in done.stderr
    assert not (tmp_path / "o.tif").exists()


def test_from_python(tmp_path: Path) -> None:
    path = write_sicd(tmp_path / "in.ntf", field())
    result = restorekit.despeckle(
        path, solver="lee", notes=restorekit.Notes() if hasattr(restorekit, "Notes") else None
    )
    assert result.mean.shape == (1, 100, 120)
