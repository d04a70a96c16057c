"""Products and files that an analyst met: parts in one HDF5, covariances, powers less their noise, tables of EOPF, folders in a batch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")
h5py = pytest.importorskip("h5py")

from restorekit.despeckling.plan import DespecklePlan, Settings, plan
from restorekit.errors import BadInput
from restorekit.files.reading import Reading
from restorekit.fusion.pair_files import read
from restorekit.products.opening import scene_as, scene_of
from restorekit.tasks.batch import Batch
from restorekit.tasks.despeckle import despeckle
from restorekit.tasks.fuse import fuse
from restorekit.tasks.judge import SpeckleAssessment
from tests.products.test_gridded import SHAPE, field, nisar, power, zarr_store
from tests.support.safe_products import SafeImage, SafeVector, flat_calibration, write_safe


def made(path: Path, product: str | None = None, **settings: Any) -> DespecklePlan:
    return plan(path, path.with_name("out.tif"), Settings(solver="lee", reading=Reading(product=product), **settings))


def hdf5(path: Path, **layers: np.ndarray) -> Path:
    with h5py.File(path, "w") as f:
        for name, x in layers.items():
            f[f"data/{name}"] = x
    return path


def geotiff(path: Path, x: np.ndarray, name: str | None = None) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", height=x.shape[0], width=x.shape[1], count=1, dtype=x.dtype, crs="EPSG:32631",
        transform=rasterio.Affine(10, 0, 4e5, 0, -10, 5e6),
    ) as d:  # fmt: skip
        d.write(x, 1)
        if name:
            d.set_band_description(1, name)
    return path


@pytest.mark.parametrize("names", [("I", "Q"), ("i_VV", "q_VV"), ("real", "imag")])
def test_two_parts_in_one_hdf5_are_one_complex_band(names: tuple[str, str], tmp_path: Path) -> None:
    z = field()
    result = made(hdf5(tmp_path / "iq.h5", **{names[0]: np.real(z), names[1]: np.imag(z)}))
    assert (result.scene.count, result.scene.dtype) == (1, "complex64")
    with result.scene.opened() as source:
        np.testing.assert_array_equal(source.read(result.scene.whole, 1)[0], z)
    result.run()  # in blocks, whose workers open the same pair


def test_two_datasets_that_are_named_are_put_together_as_asked(tmp_path: Path) -> None:
    z = field()
    path = hdf5(tmp_path / "in.h5", a=np.imag(z), b=np.real(z), other=power())
    scene = scene_as(path, "real,imaginary", Reading(product="b,a"))
    with scene.opened() as source:
        np.testing.assert_array_equal(source.read(scene.whole, 1)[0], z)
    exchanged = made(path, "a,b", domain="real,imaginary", bands=None)
    assert exchanged.identity["input"] != made(path, "b,a", domain="real,imaginary").identity["input"]


def test_several_datasets_of_a_bare_netcdf_are_named_by_product(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "bare.nc", first=power(), second=power(1))
    with pytest.raises(BadInput, match=r"holds 2 arrays; say which by `product`.*data/first, data/second") as refused:
        made(path)
    assert "NETCDF:" not in str(refused.value)
    with made(
        path, "first"
    ).scene.opened() as source:  # and the first row is the first one, which GDAL turns upside down
        np.testing.assert_array_equal(source.read(made(path, "first").scene.whole, 1)[0], power())


def test_a_covariance_is_refused_by_name(tmp_path: Path) -> None:
    path = nisar(tmp_path / "gcov.h5", "GCOV", {"HHHH": power(), "HVHV": power(1), "HHHV": field()})
    for word in ("HHHV", "science/LSAR/GCOV/grids/frequencyA/HHHV"):
        with pytest.raises(BadInput, match=r"HHHV is the covariance of HH and HV.*by `product`: HHHH, HVHV"):
            made(path, word)
    with pytest.raises(BadInput, match="covariance"):
        SpeckleAssessment(product="HHHV")(path, path)


def test_power_less_its_noise_is_taken_and_what_is_below_0_stays(tmp_path: Path) -> None:
    x = (power() - 0.12).astype(np.float32)
    assert 0.5 < (x < 0).mean() < 0.7
    path = geotiff(tmp_path / "less.tif", x, "Sigma0_VV")
    with pytest.raises(BadInput, match=r"60% of the values are below 0.* intensities less their noise"):
        made(path)
    result = made(path, domain="intensity", looks=4)
    assert any("come out too bright and the others stay" in text for text in result.said)
    (out,) = result.run()
    with rasterio.open(out) as d:
        y = d.read(1)
    lost = (y < 0) != (x < 0)
    assert lost.mean() < 0.05  # alone among brighter ones
    np.testing.assert_array_equal(y[(x < 0) & ~lost], x[(x < 0) & ~lost])
    decibels = geotiff(tmp_path / "db.tif", (10 * np.log10(power())).astype(np.float32))
    with pytest.raises(BadInput, match="are below 0, as those of dB are"):
        made(decibels, domain="intensity")
    assert not any("no signal" in text for domain in ("auto", "db") for text in made(decibels, domain=domain).said)


def test_a_refusal_of_many_looks_says_the_unit_and_by_what(tmp_path: Path) -> None:
    flat = (5 + 0.001 * np.random.default_rng(0).normal(size=SHAPE)).astype(np.float32)
    for name, domain, said in (
        ("Intensity_VV", "auto", r"taken for intensity \(by its name 'Intensity_VV'\)"),
        (None, "auto", r"taken for intensity \(as no value is below 0\)"),
        (None, "db", "taken for db, as `domain` says"),
    ):
        with pytest.raises(BadInput, match=said):
            made(geotiff(tmp_path / "flat.tif", flat, name), domain=domain)


def test_metrics_of_one_band_and_of_a_product(tmp_path: Path) -> None:
    path = nisar(tmp_path / "gcov.h5", "GCOV", {"HHHH": power(), "HVHV": 3 * power(1)})
    one, both = tmp_path / "one.tif", tmp_path / "both.tif"
    despeckle(path, one, solver="lee", reading=Reading(product="HVHV"))
    despeckle(path, both, solver="lee", polarisations="apart")
    told = [
        SpeckleAssessment(**given)(path, out)  # pyright: ignore[reportArgumentType]
        for given, out in (
            ({"product": "HVHV"}, one), ({"bands": (2,)}, one), ({"bands": (2,)}, both), ({"product": "HVHV"}, one),
        )
    ]  # fmt: skip
    assert {a.bands[0][0] for a in told} == {"HVHV"}
    assert len({str(a) for a in told}) == 1
    with pytest.raises(BadInput, match="of some bands give `bands`"):
        SpeckleAssessment()(path, one)
    with pytest.raises(BadInput, match=r"`bands=3`: gcov.h5 has 1, 2"):
        SpeckleAssessment(bands=(3,))(path, one)


def eopf(path: Path, dn: np.ndarray, *, by_place: bool) -> Path:
    """The layout of EOPF: a table of four lines and five pixels that changes along both; by_place: their numbers are
    beside it, else times and ranges alone."""
    zarr = pytest.importorskip("zarr")
    root = zarr.open_group(path, mode="w", zarr_format=2)

    def put(name: str, x: np.ndarray, *dimensions: str) -> None:
        array = root.create_array(f"S01_VV/{name}", shape=x.shape, dtype=x.dtype)
        array[...] = x
        array.attrs["_ARRAY_DIMENSIONS"] = list(dimensions)

    lines, pixels = np.array([0, 30, 60, 90]), np.array([0, 20, 40, 60, 100])
    start, step = 1_700_000_000_000_000_000, 1_000_000
    put("measurements/grd", dn, "azimuth_time", "ground_range")
    put("measurements/azimuth_time", start + step * np.arange(SHAPE[0]), "azimuth_time")
    put("measurements/ground_range", 10.0 * np.arange(SHAPE[1]), "ground_range")
    table = 100.0 + lines[:, None] + 2.0 * pixels
    for k, name in enumerate(("sigma_nought", "beta_nought", "gamma", "dn"), 1):
        put(f"quality/calibration/{name}", k * table, "azimuth_time", "ground_range")
    put("quality/calibration/azimuth_time", start + step * lines, "azimuth_time")
    put("quality/calibration/ground_range", 10.0 * pixels, "ground_range")
    if by_place:
        put("quality/calibration/line", lines, "azimuth_time")
        put("quality/calibration/pixel", pixels, "ground_range")
    return path


@pytest.mark.parametrize("by_place", [True, False])
def test_eopf_is_calibrated_by_the_table_beside_it(by_place: bool, tmp_path: Path) -> None:
    dn = np.rint(1000 * np.sqrt(power())).astype(np.uint16)
    dn[:4] = 0
    path = eopf(tmp_path / "S01SIWGRD.zarr", dn, by_place=by_place)
    a = 100.0 + np.arange(SHAPE[0])[:, None] + 2.0 * np.arange(SHAPE[1])  # is bilinear already
    for product, factor in ((None, 1), ("gamma0", 3), ("VV,beta0", 2)):
        scene = scene_of(path, Reading(product=product))
        with scene.opened() as source:
            x, valid = source.read(scene.whole, 1)
        np.testing.assert_allclose(x, (dn / (factor * a)) ** 2, rtol=1e-6)
        np.testing.assert_array_equal(valid, dn > 0)
    result = made(path)
    assert "A of quality/calibration/sigma_nought; thermal noise is not subtracted" in result.said[1]
    assert result.scene.raster is not None
    assert (result.scene.raster.descriptions, result.scene.raster.units) == (("VV",), ("sigma0",))
    plain = scene_of(path, Reading(product="dn"))
    assert plain.dtype == "uint16"


def test_eopf_whose_table_is_damaged_is_refused(tmp_path: Path) -> None:
    path = eopf(tmp_path / "in.zarr", np.full(SHAPE, 9, np.uint16), by_place=False)
    shutil.rmtree(path / "S01_VV/quality/calibration/ground_range")
    with pytest.raises(BadInput, match=r"the lines and pixels of .*sigma_nought are not said.* `product=dn`"):
        made(path)


def safe_of_speckle(folder: Path) -> Path:
    dn = np.rint(900 * np.sqrt(power())).astype(np.uint16)
    noise = [SafeVector(0, (0, SHAPE[1] - 1), {"noise": (9.0, 9.0)})]
    image = SafeImage(dn, calibration=flat_calibration(*SHAPE, 200.0), noise=noise, merged=[("IW1", 0, SHAPE[1] - 1)])
    return write_safe(folder, [image])


def test_a_batch_takes_folders_that_are_products(tmp_path: Path) -> None:
    root = tmp_path / "in"
    safe = safe_of_speckle(root)
    cube = zarr_store(root / "cube.zarr", {"vv": power()}, 3)
    geotiff(root / "plain.tif", power(2))
    (root / "no product").mkdir()
    batch = Batch(despeckle, {"solver": "lee"})
    for places in ([root], [safe, cube, root / "plain.tif"], [f"{root}/*"]):
        result = batch(places, tmp_path / "out")
        assert {o.job.target.name for o in result.outcomes} == {f"{safe.stem}.tif", "cube.tif", "plain.tif"}
        assert not result.failed
    assert {o.state for o in batch([root], tmp_path / "out").outcomes} == {"there already"}
    zarr_store(root / "cube.zarr", {"vv": power(7)}, 3)
    states = {o.job.target.stem: o.state for o in batch([root], tmp_path / "out").outcomes}
    assert states == {safe.stem: "there already", "cube": "done", "plain": "there already"}


def test_a_safe_in_an_archive_is_named_as_gdal_does(tmp_path: Path) -> None:
    safe = safe_of_speckle(tmp_path)
    archive = Path(shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path, safe.name))
    plain = scene_of(safe)
    packed = plan(Path(f"/vsizip/{archive}/{safe.name}"), tmp_path / "out.tif", Settings(solver="lee"))
    with plain.opened() as one, packed.scene.opened() as other:
        np.testing.assert_array_equal(one.read(plain.whole, 1)[0], other.read(plain.whole, 1)[0])
    with pytest.raises(BadInput, match="the archive has no such file"):
        scene_of(Path(f"/vsizip/{archive}/other.SAFE"))
    out = tmp_path / "o.tif"
    assert plain.product is not None
    despeckle(f"/vsizip/{archive}/{safe.name}", out, solver="lee")
    assert json.loads((tmp_path / "o.tif.json").read_text())["product"] == list(packed.said[: len(plain.product.said)])


def test_fuse_takes_names_units_and_products(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    optical = geotiff(
        tmp_path / "optical.tif", (90 + 40 * (np.arange(SHAPE[1]) > 40) + rng.normal(0, 2, SHAPE)).astype(np.uint8)
    )
    amplitude = np.sqrt(power())
    kept = {"despeckle": "lee", "trust_grid": True, "looks": 4.0}
    plain = fuse(optical, geotiff(tmp_path / "plain.tif", amplitude), domain="amplitude", **kept)
    named = fuse(optical, geotiff(tmp_path / "named.tif", amplitude, "Amplitude_VV"), **kept)
    np.testing.assert_array_equal(plain.pixels, named.pixels)
    with pytest.raises(BadInput, match=r"band 1 is a ratio by its name 'VV/VH'.*another `sar_band`"):
        fuse(optical, geotiff(tmp_path / "ratio.tif", amplitude, "VV/VH"), **kept)
    path = nisar(tmp_path / "gcov.h5", "GCOV", {"HHHH": power(3), "HVHV": power()})
    of_product = fuse(optical, path, product="HVHV", align=True, **kept)
    assert any("NISAR GCOV, frequencyA: HVHV" in text for text in of_product.notes)
    assert of_product.source.record["input"]["sar"]["product"] == "HVHV"
    of_power = fuse(optical, geotiff(tmp_path / "power.tif", power()), domain="intensity", **kept)
    assert of_product.source.record["domain"] == of_power.source.record["domain"] == "intensity"
    folder = zarr_store(tmp_path / "cube.zarr", {"vv": power()}, 3)
    assert read(scene_of(folder)).size == SHAPE
    saved = fuse(optical, folder, align=True, **kept)
    assert len(saved.source.record["input"]["sar"]["sha256"]) == 64
