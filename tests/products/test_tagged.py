"""ICEYE and Capella are calibrated by what their tags say; expected values are worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

rasterio = pytest.importorskip("rasterio")

from restorekit.despeckling.plan import DespecklePlan, Settings, plan
from restorekit.errors import BadInput
from restorekit.files.reading import Reading
from restorekit.products.opening import scene_of
from restorekit.products.product import BandFacts
from restorekit.products.tagged import IceyeComplex, Tagged
from restorekit.sar.known import grain_of_resolution
from restorekit.sar.speckle import draw
from tests.support.scenes import write_tiff

POWER = 0.05 * draw((96, 96), 4, None, np.random.default_rng(0))
CAPELLA = {
    "collect": {
        "platform": "capella-8",
        "image": {"scale_factor": 3e-4, "radiometry": "sigma_nought", "calibration": "full"},
    }
}


def tagged(path: Path, x: NDArray[Any], dataset: dict[str, str], **more: Any) -> Path:
    write_tiff(path, x, **more)
    with rasterio.open(path, "r+") as d:
        d.update_tags(**dataset)
    return path


def made(path: Path, product: str | None = None, **settings: Any) -> DespecklePlan:
    return plan(path, path.with_name("out.tif"), Settings(solver="lee", reading=Reading(product=product), **settings))


def values(path: Path, product: str | None = None) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    scene = scene_of(path, Reading(product=product))
    with scene.opened() as source:
        return source.read(scene.whole, 1)


def test_capella_by_its_scale_factor(tmp_path: Path) -> None:
    dn = np.rint(np.sqrt(POWER) / 3e-4).astype(np.uint16)
    dn[:9] = 0
    path = tagged(tmp_path / "in.tif", dn, {"TIFFTAG_IMAGEDESCRIPTION": json.dumps(CAPELLA)}, nodata=0)
    x, valid = values(path)
    np.testing.assert_allclose(x[9:], POWER[9:], rtol=2e-2)
    assert x[20, 20] == pytest.approx((3e-4 * int(dn[20, 20])) ** 2, rel=1e-6)
    assert not valid[:9].any()
    result = made(path)
    assert result.bands[1][0].domain.name == "intensity"
    assert result.bands[1][1].looks == pytest.approx(4, rel=0.25)
    assert "Capella: calibrated to sigma0 by the factor of its tags" in result.said
    (out,) = result.run()
    with rasterio.open(out) as d:
        assert (d.crs.to_epsg(), d.units, d.tags()["TIFFTAG_IMAGEDESCRIPTION"]) == (
            32631,
            ("sigma0",),
            json.dumps(CAPELLA),
        )
        assert np.isnan(d.read(1)[:9]).all()
        assert np.nanmean(d.read(1)) == pytest.approx(0.05, rel=0.05)
    np.testing.assert_array_equal(values(path, "dn")[0], dn)
    assert made(path, "dn").bands[1][0].domain.name == "amplitude"
    with pytest.raises(BadInput, match=r"`product=gamma0` .*its tags know sigma0, and dn"):
        values(path, "gamma0")


def test_capella_complex(tmp_path: Path) -> None:
    z = np.rint(1000 * np.random.default_rng(0).normal(size=(2, 96, 96)))
    z = (z[0] + 1j * z[1]).astype(np.complex64)
    path = tagged(tmp_path / "in.tif", z, {"TIFFTAG_IMAGEDESCRIPTION": json.dumps(CAPELLA)})
    np.testing.assert_allclose(values(path)[0], 3e-4 * z, rtol=1e-6)
    assert made(path).bands[1][0].domain.name == "complex"


@pytest.mark.parametrize("place", ["tag", "JSON"])
def test_iceye_by_its_calibration_factor(place: str, tmp_path: Path) -> None:
    dn, factor = np.rint(np.sqrt(POWER / 4e-7)).astype(np.uint16), "4e-07"
    tags = {"CALIBRATION_FACTOR": factor, "SATELLITE_NAME": "ICEYE-X7"}
    if place == "JSON":
        tags = {"ICEYE_PROPERTIES": json.dumps({"iceye:calibration_factor": 4e-7, "constellation": "ICEYE"})}
    x, _ = values(tagged(tmp_path / "in.tif", dn, tags))
    assert x[3, 4] == pytest.approx(4e-7 * float(dn[3, 4]) ** 2, rel=1e-6)


def test_amplitudes_that_were_mapped_are_mapped_back(tmp_path: Path) -> None:
    """DN = (2 amplitude)^0.25 is amplitude = DN^4 / 2."""
    amplitude = np.sqrt(POWER / 4e-7)
    dn = (2 * amplitude) ** 0.25
    said: dict[str, Any] = {"iceye:calibration_factor": 4e-7, "constellation": "ICEYE"}
    said["iceye:amplitude_mapping"] = {"function": "power", "parameters": {"exponent": 0.25, "scale": 2}}
    path = tagged(tmp_path / "in.tif", dn.astype(np.float32), {"ICEYE_PROPERTIES": json.dumps(said)})
    np.testing.assert_allclose(values(path)[0], POWER, rtol=1e-5)
    assert "mapped back by the power 4" in made(path).said[0]
    said["iceye:amplitude_mapping"]["function"] = "log"
    with pytest.raises(BadInput, match="its amplitudes are mapped by 'log', which is not known"):
        made(tagged(tmp_path / "log.tif", dn.astype(np.float32), {"ICEYE_PROPERTIES": json.dumps(said)}))


def test_amplitude_and_phase_of_iceye_are_no_two_brightnesses(tmp_path: Path) -> None:
    said = {"iceye:calibration_factor": 4e-7, "constellation": "ICEYE", "sar:product_type": "SLC-COG"}
    dn = np.rint(np.sqrt(POWER / 4e-7)).astype(np.uint16)
    path = tagged(tmp_path / "in.tif", np.stack([dn, dn]), {"ICEYE_PROPERTIES": json.dumps(said)})
    with pytest.raises(
        BadInput, match=r"amplitude and phase of a complex product.*take its HDF5 or SICD, or `product=dn`"
    ):
        values(path)
    np.testing.assert_array_equal(values(path, "dn")[0], dn)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_iceye_complex_in_hdf5(dtype: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    parts = np.rint(300 * np.random.default_rng(1).normal(size=(2, 90, 80))).astype(dtype)
    if dtype == "float32":
        parts[0, 5, 6] = np.nan
    path = tmp_path / "ICEYE_X7_SLC_SM.h5"
    with h5py.File(path, "w") as f:
        f["s_i"], f["s_q"], f["calibration_factor"], f["polarization"] = *parts, 4e-7, b"VV"
    z, valid = values(path)
    np.testing.assert_allclose(z[valid], np.sqrt(4e-7) * (parts[0] + 1j * parts[1])[valid], rtol=1e-6)
    assert valid.sum() == valid.size - (dtype == "float32")
    result = made(path)
    assert result.bands[1][0].domain.name == "complex"
    assert result.said[0] == "ICEYE, s_i and s_q as one complex band, calibrated to beta0 by calibration_factor"
    (out,) = result.run()
    with rasterio.open(out) as d:
        assert d.descriptions == ("VV",)
    assert abs(values(path, "dn")[0][0, 0]) == pytest.approx(abs(parts[0, 0, 0] + 1j * parts[1, 0, 0]), rel=1e-6)
    with pytest.raises(BadInput, match="is none of beta0"):
        values(path, "sigma0")


@pytest.mark.parametrize(
    "text",
    [
        '{"collect": ',
        '{"collect": {"platform": "capella-8", "image": {"scale_factor": "x", "radiometry": "sigma_nought"}}}',
        "[1]",
    ],
)
def test_tags_that_say_nothing_change_nothing(text: str, tmp_path: Path) -> None:
    path = tagged(
        tmp_path / "in.tif",
        np.rint(1000 * np.sqrt(POWER)).astype(np.uint16),
        {"TIFFTAG_IMAGEDESCRIPTION": text, "CALIBRATION_FACTOR": "2"},
    )
    assert made(path).bands[1][0].domain.name == "amplitude"


def band(path: Path) -> BandFacts:
    product = scene_of(path, Reading()).product
    assert isinstance(product, Tagged | IceyeComplex)
    return product.bands[0]


def stated(tmp_path: Path, x: NDArray[Any], tags: dict[str, Any], said: dict[str, Any]) -> tuple[float | None, Any]:
    path = tagged(tmp_path / "in.tif", x, {"ICEYE_PROPERTIES": json.dumps(tags | said)})
    facts = band(path)
    return facts.looks, facts.grain


def test_iceye_states_looks_and_grain_by_resolution_and_spacing(tmp_path: Path) -> None:
    tags = {"iceye:calibration_factor": 4e-7, "constellation": "ICEYE", "sar:looks_range": 1, "sar:looks_azimuth": 4}
    tags |= {"sar:resolution_range": 1.0, "sar:resolution_azimuth": 1.0, "sar:pixel_spacing_azimuth": 0.5}
    dn = np.rint(np.sqrt(POWER / 4e-7)).astype(np.uint16)
    looks, grain = stated(tmp_path, dn, tags, {"sar:pixel_spacing_range": 0.5})
    assert looks == 4
    # without a window the response is a sinc, 0.886 of the inverse of its band wide: neighbours correlate as sinc^2
    assert grain == pytest.approx((np.sinc(0.886 / 2) ** 2,) * 2, abs=5e-3)
    assert stated(tmp_path, dn, tags, {"sar:looks_equivalent_number": 3.6})[0] == 3.6
    assert stated(tmp_path, dn, tags, {"sar:pixel_spacing_range": 1.0})[1] is None  # which is which is not known
    assert stated(tmp_path, dn, tags, {"sar:pixel_spacing_range": 0.01})[1] is None  # cannot be
    assert stated(tmp_path, dn, tags, {})[1] is None


def test_capella_complex_states_its_grain_along_rows_and_columns(tmp_path: Path) -> None:
    z = (300 * np.random.default_rng(1).normal(size=(64, 64, 2))).astype(np.float32).view(np.complex64)[..., 0]
    said = json.loads(json.dumps(CAPELLA))
    said["collect"]["image"] |= {"azimuth_resolution": 0.5, "pixel_spacing_row": 0.2, "range_resolution": 0.4}
    said["collect"]["image"] |= {"pixel_spacing_column": 0.3, "ground_range_resolution": 0.9, "range_looks": 1}
    path = tagged(tmp_path / "in.tif", z, {"TIFFTAG_IMAGEDESCRIPTION": json.dumps(said)})
    facts = band(path)
    assert (facts.looks, facts.grain) == (1.0, pytest.approx(grain_of_resolution(2.5, 4 / 3), abs=1e-3))


@pytest.mark.parametrize("turned", [False, True])
def test_iceye_complex_states_its_grain_by_bandwidths(turned: bool, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "ICEYE_X7_SLC_SM.h5"
    with h5py.File(path, "w") as f:
        f["s_i"], f["s_q"] = np.random.default_rng(1).normal(size=(2, 90, 80)).astype(np.float32)
        f["range_sampling_rate"], f["chirp_bandwidth"] = 1.5e8, 1e8
        f["azimuth_time_interval"], f["total_processed_bandwidth_azimuth"] = 1 / 4000, 2000.0
        f["number_of_azimuth_samples"], f["number_of_range_samples"] = (80, 90) if turned else (90, 80)
        f["window_function_range"] = b"NONE"
    along, across = np.sinc(1 / 2) ** 2, np.sinc(1 / 1.5) ** 2
    grain = band(path).grain
    assert grain == pytest.approx((across, along) if turned else (along, across), abs=2e-3)
    with h5py.File(path, "r+") as f:
        f["window_function_azimuth"] = b"TAYLOR"
    assert band(path).grain is None
