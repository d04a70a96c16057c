"""HDF5 of NISAR, other HDF5 and netCDF, and Zarr: datasets are chosen by name, lie in their place, and open without a guess."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

rasterio = pytest.importorskip("rasterio")
h5py = pytest.importorskip("h5py")

from restorekit.despeckling.plan import DespecklePlan, Settings, plan
from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.files.reading import Reading
from restorekit.files.scene import Scene
from restorekit.products.opening import scene_of
from restorekit.sar.speckle import draw

SHAPE = (72, 80)
Array = NDArray[Any]


def power(seed: int = 0, looks: float = 4.0) -> Array:
    level = np.where(np.arange(SHAPE[1]) < 40, 0.05, 0.2) * np.ones(SHAPE)
    return (level * draw(SHAPE, looks, None, np.random.default_rng(seed))).astype(np.float32)


def field(seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)).astype(np.complex64)


def half(z: Array) -> Array:
    out = np.zeros(z.shape, [("r", "<f2"), ("i", "<f2")])
    out["r"], out["i"] = np.real(z), np.imag(z)
    return out


def nisar(
    path: Path, kind: str, layers: dict[str, Array], frequency: str = "frequencyA", mask: Array | None = None
) -> Path:
    """The layout of a product on a grid of UTM zone 31, pixels of 20 x 10 m."""
    with h5py.File(path, "a") as f:
        group = f.require_group(f"science/LSAR/{kind}/grids/{frequency}")
        f.require_group("science/LSAR/identification").attrs["missionId"] = "NISAR"
        y, x = 5_000_000.0 - 20 * np.arange(SHAPE[0]), 400_000.0 + 10 * np.arange(SHAPE[1])
        for name, values in (("yCoordinates", y), ("xCoordinates", x)):
            group[name] = values
        group["projection"] = np.uint32(32631)
        group["projection"].attrs["grid_mapping_name"] = "universal_transverse_mercator"
        for name, values in layers.items():
            group[name] = values
            group[name].attrs["grid_mapping"] = "projection"
        if mask is not None:
            group.create_dataset("mask", data=mask).attrs["_FillValue"] = np.uint8(255)
        group["listOfPolarizations"] = np.array([b"HH", b"HV"])
        if kind == "GCOV":
            group["numberOfLooks"] = np.full(SHAPE, 30, np.float32)
    return path


def values(scene: Scene, band: int = 1, window: Window | None = None) -> tuple[Array, Array]:
    with scene.opened() as source:
        return source.read(window or scene.whole, band)


def made(path: Path, product: str | None = None, **settings: Any) -> DespecklePlan:
    return plan(path, path.with_name("out.tif"), Settings(solver="lee", reading=Reading(product=product), **settings))


def test_gcov_is_gamma0_in_its_place(tmp_path: Path) -> None:
    mask = np.ones(SHAPE, np.uint8)
    mask[:6], mask[6:9] = 255, 0
    layers = {"HHHH": power(), "HVHV": power(1), "HHHV": field()}
    layers["HHHH"][60, 70] = np.nan
    path = nisar(tmp_path / "gcov.h5", "GCOV", layers, mask=mask)
    result = made(path)
    assert [b.domain.name for b, _ in result.bands.values()] == ["intensity", "intensity"]
    assert result.said[:2] == ["NISAR GCOV, frequencyA: HHHH, HVHV", "calibrated to gamma0 by its maker"]
    assert result.bands[2][1].looks == pytest.approx(4, rel=0.25)
    (out,) = result.run()
    with rasterio.open(out) as d:
        assert (d.crs.to_epsg(), d.descriptions, d.units) == (32631, ("HHHH", "HVHV"), ("gamma0", "gamma0"))
        assert d.transform.to_gdal() == (400_000 - 5, 10, 0, 5_000_000 + 10, 0, -20)  # centres of pixels were named
        empty = np.isnan(d.read(1))
    assert empty[:9].all()
    assert empty[60, 70]
    assert empty[9:].sum() == 1


@pytest.mark.parametrize("stored", ["pairs of 16 bits", "complex64"])
def test_gslc_is_complex_also_in_pairs_of_16_bits(stored: str, tmp_path: Path) -> None:
    z = {"HH": field(), "HV": 2 * field(1)}
    path = nisar(tmp_path / "gslc.h5", "GSLC", {k: half(v) if "16" in stored else v for k, v in z.items()})
    scene = scene_of(path)
    assert (scene.count, scene.dtype) == (2, "complex64")
    for band, x in enumerate(z.values(), 1):
        np.testing.assert_allclose(values(scene, band)[0], x, atol=4e-3 if "16" in stored else 0)
    np.testing.assert_array_equal(values(scene, 2, Window(10, 20, 5, 7))[0], values(scene, 2)[0][10:15, 20:27])
    ((facts, _),) = [made(path, "HV").bands[1]]
    assert facts.domain.name == "complex"
    assert made(path, "HV").scene.count == 1


def test_words_choose_polarisation_and_frequency(tmp_path: Path) -> None:
    path = nisar(tmp_path / "gcov.h5", "GCOV", {"HHHH": power(), "HVHV": power(1), "HHHV": field()})
    nisar(path, "GCOV", {"HHHH": 2 * power(2)}, "frequencyB")
    np.testing.assert_array_equal(values(scene_of(path, Reading(product="HVHV")))[0], power(1))
    np.testing.assert_array_equal(values(scene_of(path, Reading(product="frequencyB")))[0], 2 * power(2))
    name = "science/LSAR/GCOV/grids/frequencyB/HHHH"
    np.testing.assert_array_equal(values(scene_of(path, Reading(product=name)))[0], 2 * power(2))
    with pytest.raises(
        BadInput, match=r"`product=VVVV` is not in it; there are science/LSAR/GCOV/grids/frequencyA/HHHH"
    ):
        scene_of(path, Reading(product="VVVV"))
    gslc = nisar(tmp_path / "both.h5", "GSLC", {"HH": field(), "HV": power()})
    with pytest.raises(BadInput, match="arrays of one size and kind are read together"):
        scene_of(gslc, Reading(product="HH,HV"))


def several(path: Path) -> Path:
    with h5py.File(path, "w") as f:
        f["y"], f["x"] = 50 - 0.1 * np.arange(SHAPE[0]), 3 + 0.1 * np.arange(SHAPE[1])
        for name, x in (("sigma0_vv", power()), ("sigma0_vh", power(1)), ("incidence", np.full(SHAPE, 38, np.float32))):
            f[name] = x
            f[name].dims[0].attach_scale(f["y"])
            f[name].dims[1].attach_scale(f["x"])
        f["crs"] = 4326
        packed = np.rint(100 * 10 * np.log10(power(2))).astype(np.int16)
        packed[:3] = -32768
        f["vv_packed"] = packed
        f["vv_packed"].attrs.update(
            {"scale_factor": 0.01, "add_offset": 0.0, "_FillValue": np.int16(-32768), "units": "dB"}
        )
    return path


def test_several_datasets_are_listed_in_one_line_and_chosen(tmp_path: Path) -> None:
    path = several(tmp_path / "in.h5")
    with pytest.raises(BadInput, match=r"holds 4 arrays; say which by `product`") as refused:
        made(path)
    assert "\n" not in str(refused.value)
    result = made(path, "sigma0_vv,sigma0_vh")
    assert result.scene.count == 2
    (out,) = result.run()
    with rasterio.open(out) as d:
        assert d.crs.to_epsg() == 4326
        assert d.transform.to_gdal() == pytest.approx((2.95, 0.1, 0, 50.05, 0, -0.1))
    with pytest.raises(BadInput, match=r"`product=hv` is not in it; there are .*sigma0_vv"):
        made(path, "hv")


def test_scale_and_fill_of_the_cf_conventions(tmp_path: Path) -> None:
    result = made(several(tmp_path / "in.h5"), "vv_packed")
    assert result.bands[1][0].domain.name == "db"
    assert result.bands[1][1].looks == pytest.approx(4, rel=0.3)
    x, valid = values(result.scene)
    assert not valid[:3].any()
    np.testing.assert_allclose(x[3:], 10 * np.log10(power(2))[3:], atol=0.006)


def test_hdf5_that_points_elsewhere_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as f:
        f["secret"] = power()
    with h5py.File(tmp_path / "in.h5", "w") as f:
        f["vv"] = power(1)
        f["vh"] = h5py.ExternalLink("other.h5", "secret")
    scene = scene_of(tmp_path / "in.h5", Reading(product="vv"))
    np.testing.assert_array_equal(values(scene)[0], power(1))
    with pytest.raises(BadInput, match="`product=vh` is not in it"):
        scene_of(tmp_path / "in.h5", Reading(product="vh"))
    with h5py.File(tmp_path / "raw.h5", "w") as f:
        f.create_dataset("vv", SHAPE, "f4", external=[(str(tmp_path / "other.h5"), 0, 4 * 72 * 80)])
    with pytest.raises(BadInput, match="HDF5 with datasets in other files, which are not read"):
        scene_of(tmp_path / "raw.h5", Reading(product="vv"))


def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path) -> None:
    path = nisar(tmp_path / "in.h5", "GCOV", {"HHHH": power()})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    for product in (None, "HHHH"):
        with pytest.raises(BadInput) as refused:
            made(path, product)
        assert "\n" not in str(refused.value)


def zarr_store(path: Path, layers: dict[str, Array], version: int) -> Path:
    zarr = pytest.importorskip("zarr")
    root = zarr.open_group(path, mode="w", zarr_format=version)

    def put(name: str, x: Array, dimensions: tuple[str, ...], **attributes: Any) -> None:
        more: dict[str, Any] = {"dimension_names": dimensions} if version == 3 and dimensions else {}
        array = root.create_array(
            name, shape=x.shape, dtype=x.dtype, chunks=tuple(min(32, n) for n in x.shape) or (), **more
        )
        array[...] = x
        array.attrs.update(attributes | ({"_ARRAY_DIMENSIONS": list(dimensions)} if version == 2 else {}))

    put("y", 5_000_000.0 - 10 * np.arange(SHAPE[0]), ("y",))
    put("x", 400_000.0 + 10 * np.arange(SHAPE[1]), ("x",))
    put("spatial_ref", np.array(0), (), crs_wkt=rasterio.crs.CRS.from_epsg(32631).to_wkt())
    for name, x in layers.items():
        put(name, x, ("y", "x"), grid_mapping="spatial_ref")
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_with_coordinates(version: int, tmp_path: Path) -> None:
    z = field()
    path = zarr_store(
        tmp_path / "in.zarr",
        {"vv": power(), "vh": power(1), "slc": z, "angle": np.full(SHAPE, 38, np.float32)},
        version,
    )
    result = made(path)
    assert result.said[0] == "Zarr: vh, vv"
    (out,) = result.run()
    with rasterio.open(out) as d:
        assert (d.crs.to_epsg(), d.descriptions) == (32631, ("vh", "vv"))
        assert d.transform.to_gdal() == (400_000 - 5, 10, 0, 5_000_000 + 5, 0, -10)
    np.testing.assert_array_equal(values(scene_of(path, Reading(product="slc")))[0], z)
    with pytest.raises(BadInput, match="`product=hh` is not in it; there are angle, slc, vh, vv"):
        made(path, "hh")
    first, digest = result.identity["input"], made(path, "vv").identity["input"]
    assert first != digest
    np.testing.assert_array_equal(values(result.scene, 1, Window(30, 30, 20, 20))[0], power(1)[30:50, 30:50])


def test_measurements_of_eopf_are_named_after_their_polarisation(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    root = zarr.open_group(tmp_path / "S01SIWGRD.zarr", mode="w", zarr_format=2)
    dn = {p: np.rint(1000 * np.sqrt(power(k))).astype(np.uint16) for k, p in enumerate(("VH", "VV"))}
    for polarisation, x in dn.items():
        for name, values_of in (
            (f"S01_{polarisation}/measurements/grd", x),
            (f"S01_{polarisation}/quality/noise/lut", np.ones((30, 40), np.float32)),
        ):
            array = root.create_array(name, shape=values_of.shape, dtype=values_of.dtype)
            array[...] = values_of
            array.attrs["_ARRAY_DIMENSIONS"] = ["azimuth_time", "ground_range"]
    result = made(tmp_path / "S01SIWGRD.zarr")
    assert result.scene.raster is not None
    assert result.scene.raster.descriptions == ("VH", "VV")
    assert [b.domain.name for b, _ in result.bands.values()] == ["amplitude", "amplitude"]
    assert result.said[1] == "numbers as they are stored: calibration and noise beside them are not applied"
    np.testing.assert_array_equal(values(result.scene, 2)[0], dn["VV"])


def test_zarr_whose_codec_runs_code_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    path = zarr_store(tmp_path / "in.zarr", {"vv": power()}, 2)
    told = json.loads((path / "vv/.zarray").read_text())
    (path / "vv/.zarray").write_text(json.dumps(told | {"filters": [{"id": "pickle", "protocol": 5}]}))
    with pytest.raises(BadInput, match="vv is packed by 'pickle', which is not read"):
        made(path)


def test_a_folder_that_is_no_product(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput, match="is a folder, and none of"):
        made(tmp_path / "folder")


def test_the_command_takes_a_folder(tmp_path: Path) -> None:
    from tests.cli.test_cli import go

    path = zarr_store(tmp_path / "in.zarr", {"vv": power()}, 3)
    go("despeckle", path, tmp_path / "a.tif", "--solver", "lee", "--product", "vv")
    record = json.loads((tmp_path / "a.tif.json").read_text())
    assert record["product"] == ["Zarr: vv"]
    go(
        "despeckle",
        path,
        tmp_path / "b.tif",
        "--solver",
        "lee",
        "--executor",
        "processes",
        "--workers",
        1,
        "--block",
        64,
    )
