"""Half of a complex number is refused wherever a radar scene is read, with a command that puts the halves together."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

rasterio = pytest.importorskip("rasterio")

from restorekit.despeckling.plan import Settings, plan
from restorekit.errors import BadInput
from restorekit.files.reading import Reading
from restorekit.fusion.pair import Pairing
from restorekit.fusion.prepare import despeckled
from restorekit.sar.halves import symmetric
from restorekit.sar.speckle import SWATHS, draw
from restorekit.tasks.judge import SpeckleAssessment
from tests.support.scenes import write_tiff

Array = NDArray[Any]


def slc(name: str | None = "iw3", side: int = 128) -> Array:
    """Single-look complex, a brighter half and a target."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=(side, side)) + 1j * rng.normal(size=(side, side)) if name is None else SWATHS[name].field(side, side, rng)  # fmt: skip
    z[:, side // 2 :] *= 3
    z[20, 20] = 300
    return z.astype(np.complex64)


def parts(z: Array) -> Array:
    return np.stack([np.real(z), np.imag(z)])


def nitf(path: Path, pixels: Array, subcategories: str) -> Path:
    """Two bands whose ISUBCAT is set in the header, as in a SICD; GDAL writes blanks."""
    with rasterio.open(
        path, "w", driver="NITF", count=2, height=pixels.shape[1], width=pixels.shape[2], dtype=pixels.dtype.name, ICAT="SAR"
    ) as d:  # fmt: skip
        d.write(pixels)
    content = bytearray(path.read_bytes())
    at = content.index(b"2M       N   0M       N   0") + 1  # NBANDS; IREPBAND, ISUBCAT, IFC, IMFLT, NLUTS of each
    for k, letter in enumerate(subcategories):
        content[at + 13 * k + 2 : at + 13 * k + 8] = letter.ljust(6).encode()
    path.write_bytes(content)
    return path


def _despeckle(path: Path) -> Any:
    return plan(path, path.with_name("out.tif"), Settings(solver="lee"))


def _metrics(path: Path) -> Any:
    SpeckleAssessment()(path, path)


def _fuse(path: Path, band: int = 1) -> Any:
    optical = write_tiff(path.with_name("optical.tif"), np.full((128, 128), 7, np.uint8))
    return Pairing(despeckle=partial(despeckled, "lee"), despeckler="lee", sar_band=band)(optical, path)


READERS: dict[str, Callable[[Path], Any]] = {"despeckle": _despeckle, "metrics sar": _metrics, "fuse": _fuse}


def sicd_bands(kind: str, folder: Path) -> Path:
    z = slc()
    pixels = {
        "I/Q": parts(z),
        "I/Q int16": np.rint(100 * parts(z)).astype(np.int16),
        "M/P": np.stack([np.abs(z), np.angle(z)]),
        "M/P bytes": np.stack([np.clip(20 * np.abs(z), 0, 255), np.angle(z) % (2 * np.pi) * 128 / np.pi]).astype(np.uint8),
    }[kind]  # fmt: skip
    return nitf(folder / "in.ntf", pixels, "IQ" if "I" in kind else "MP")


@pytest.mark.parametrize("kind", ["I/Q", "I/Q int16", "M/P", "M/P bytes"])
def test_the_bands_of_a_sicd_are_refused_in_fusion(kind: str, tmp_path: Path) -> None:
    path, half = sicd_bands(kind, tmp_path), "real part" if "I" in kind else "magnitude"
    with pytest.raises(
        BadInput, match=rf"band 1 is the {half} of complex numbers \(NITF_ISUBCAT {kind[0]}\).*complex band: python"
    ):
        _fuse(path)
    with pytest.raises(BadInput, match=r"band 2 is the (imaginary part|phase) of complex numbers"):
        _fuse(path, band=2)


@pytest.mark.parametrize("reader", ["despeckle", "metrics sar"])
@pytest.mark.parametrize("kind", ["M/P", "M/P bytes"])
def test_magnitude_and_phase_are_refused_until_it_is_said(reader: str, kind: str, tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"band 1 is the magnitude .*ISUBCAT M.*`domain=amplitude,phase` with `bands=1,2`"
    ):
        READERS[reader](sicd_bands(kind, tmp_path))


@pytest.mark.parametrize("kind", ["I/Q", "I/Q int16"])
def test_real_and_imaginary_parts_by_their_tags_are_one_complex_band(kind: str, tmp_path: Path) -> None:
    made = _despeckle(sicd_bands(kind, tmp_path))
    assert made.scene.count == 1
    assert made.bands[1][0].domain.name == "complex"
    assert made.said[0] == "band 1 is read as real part and band 2 as imaginary part of complex numbers"
    with made.scene.opened() as source:
        z, valid = source.read(made.scene.whole, 1)
    np.testing.assert_allclose(z, slc() if kind == "I/Q" else 100 * slc(), atol=0.8 if "int" in kind else 1e-6)
    assert valid.all()
    (out,) = made.run()
    judged = SpeckleAssessment()(made.scene.path, out)
    assert judged.domain == "complex"
    assert judged.bands[0][1].looks == pytest.approx(1, rel=0.2)


def test_a_magnitude_alone_is_an_amplitude_where_that_is_said(tmp_path: Path) -> None:
    path = nitf(tmp_path / "in.ntf", np.stack([np.abs(slc()), np.angle(slc())]), "MP")
    made = plan(path, tmp_path / "out.tif", Settings(solver="lee", domain="amplitude", bands=(1,)))
    assert made.bands[1][1].looks == pytest.approx(1, rel=0.3)
    with pytest.raises(BadInput, match="band 2 is the phase"):
        plan(path, tmp_path / "out.tif", Settings(solver="lee", domain="amplitude"))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("swath", [None, "iw1", "iw3"])
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_real_and_imaginary_parts_in_two_bands_are_refused(
    reader: str, swath: str | None, dtype: str, tmp_path: Path
) -> None:
    path = write_tiff(tmp_path / "in.tif", (1000 * parts(slc(swath))).astype(dtype))
    way = "x \\+ 1j|python" if reader == "fuse" else "`domain=real,imaginary` with `bands=1,2`"
    with pytest.raises(BadInput, match=rf"real part of complex numbers .like band 2 symmetric around 0.*{way}"):
        READERS[reader](path)


@pytest.mark.parametrize("domain", ["db", "intensity"])
def test_a_wrong_domain_does_not_make_them_a_measurement(domain: str, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", parts(slc()))
    with pytest.raises(BadInput, match="band 1 is the real part"):
        plan(tmp_path / "in.npy", tmp_path / "out.npy", Settings(solver="lee", domain=domain, reading=Reading("CHW")))


def test_the_command_that_is_named_works(tmp_path: Path) -> None:
    z = slc()
    with pytest.raises(BadInput) as refused:
        _fuse(write_tiff(tmp_path / "in.tif", parts(z)))
    code = re.search(r'python -c "(.*)", and take (\S+)', str(refused.value))
    assert code is not None
    subprocess.run([sys.executable, "-W", "ignore", "-c", code[1]], check=True, cwd=tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / code[2]), z)
    assert _despeckle(tmp_path / code[2]).bands[1][0].domain.name == "complex"


@pytest.mark.parametrize("part", ["real", "phase", "phase from 0"])
def test_a_single_half_is_refused_until_it_is_said_to_be_something_else(part: str, tmp_path: Path) -> None:
    z = slc()
    x = {"real": np.real(z), "phase": np.angle(z), "phase from 0": np.angle(z) % (2 * np.pi)}[part]
    path = write_tiff(tmp_path / "in.tif", x.astype(np.float32))
    with pytest.raises(BadInput, match=r"`domain=db` says so, or the real or imaginary part|band 1 is the phase"):
        _despeckle(path)
    plan(path, tmp_path / "out.tif", Settings(solver="lee", domain="intensity" if part == "phase from 0" else "db"))


def test_bands_are_known_by_the_names_that_snap_gives(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "in.tif", np.abs(parts(slc())))
    with rasterio.open(path, "r+") as d:
        d.descriptions = ("i_IW1_VV", "q_IW1_VV")
    made = _despeckle(path)
    assert made.bands[1][0].domain.name == "complex"
    assert made.scene.raster is not None
    assert made.scene.raster.descriptions == ("IW1_VV",)
    with pytest.raises(BadInput, match=r"band 1 is the real part of complex numbers .its description"):
        _fuse(path)


@pytest.mark.parametrize("looks", [1.0, 4.4, 16.0])
def test_decibels_around_0_are_no_half(looks: float, tmp_path: Path) -> None:
    """Two polarisations whose means lie a decibel above and below 0, with texture."""
    rng = np.random.default_rng(5)
    level = 10 ** (0.1 * np.repeat(np.repeat(rng.normal(0, 2, (8, 8)), 16, 0), 16, 1))
    db = np.stack([10 * np.log10(g * level * draw(level.shape, looks, None, rng)) for g in (1.25, 0.8)])
    made = plan(
        write_tiff(tmp_path / "in.tif", db.astype(np.float32)), tmp_path / "o.tif", Settings(solver="lee", domain="db")
    )
    assert set(made.bands) == {1, 2}


def test_speckle_in_decibels_is_not_symmetric() -> None:
    x = 10 * np.log10(draw((200, 200), 4, None, np.random.default_rng(0)).ravel())
    assert not symmetric(x - np.median(x))
    assert symmetric(np.real(slc(None)).ravel())


def test_the_lines_of_the_page_make_a_complex_scene_that_lies_where_it_lay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "docs/tasks/despeckle.md").read_text()
    code = next(
        block for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if "iq.tif" in block
    )
    write_tiff(tmp_path / "iq.tif", parts(slc()))
    monkeypatch.chdir(tmp_path)
    exec(code, {})  # noqa: S102 (our own document)
    assert _despeckle(tmp_path / "slc.tif").bands[1][0].domain.name == "complex"
    with rasterio.open("iq.tif") as a, rasterio.open("slc.tif") as b:
        assert (a.crs, a.transform) == (b.crs, b.transform)
        np.testing.assert_array_equal(b.read(1), slc())
