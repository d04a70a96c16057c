"""netCDF lies in its place, its first row where its coordinates say so, and as it is stored where there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

rasterio = pytest.importorskip("rasterio")
h5py = pytest.importorskip("h5py")
from scipy.io import netcdf_file

from restorekit.despeckling.plan import Settings, plan
from restorekit.errors import BadInput
from restorekit.files.reading import Reading
from restorekit.products.opening import scene_of
from restorekit.sar.speckle import draw

SHAPE = (72, 80)
X, Y = 500_005 + 10 * np.arange(80.0), 4_999_995 - 10 * np.arange(72.0)
Array = NDArray[Any]


def power(seed: int = 0) -> Array:
    """One level at the first rows, another below, so that no flip goes unseen."""
    level = np.where(np.arange(SHAPE[0]) < 20, 0.5, 0.1)[:, None] * np.ones(SHAPE)
    return (level * draw(SHAPE, 4.0, None, np.random.default_rng(seed))).astype(np.float32)


def netcdf4(path: Path, layers: Array, y: Array | None = Y) -> Path:
    """VV along time, rows and columns; coordinates without a standard name, which GDAL does not know."""
    with h5py.File(path, "w") as f:
        axes = {"time": np.arange(len(layers) * 1.0), "y": y, "x": X} if y is not None else {}
        for name, values in axes.items():
            f[name] = values
            f[name].make_scale(name)
        d = f.create_dataset("VV", data=layers)
        for axis, name in enumerate(axes):
            d.dims[axis].attach_scale(f[name])
    return path


def netcdf3(
    path: Path, layers: dict[str, Array], y: Array | None = Y, standard: bool = False, **attributes: object
) -> Path:
    with netcdf_file(path, "w") as f:
        f.createDimension("y", SHAPE[0])
        f.createDimension("x", SHAPE[1])
        for name, values in {"x": X, "y": y}.items() if y is not None else ():
            axis = f.createVariable(name, "f8", (name,))
            axis[:] = values
            if standard:
                axis.standard_name, axis.units = f"projection_{name}_coordinate", "m"
        for name, values in layers.items():
            v = f.createVariable(name, values.dtype, ("y", "x"))
            v[:] = values
            for key, value in attributes.items():
                setattr(v, key, value)
    return path


def restored(path: Path, product: str | None = None) -> tuple[Array, Any]:
    """The result of a filter that follows the scene, and its transform."""
    made = plan(path, path.with_name("out.tif"), Settings(solver="lee", reading=Reading(product=product)))
    (out,) = made.run()
    with rasterio.open(out) as d:
        return d.read(), d.transform.to_gdal()


@pytest.mark.parametrize("product", [None, "VV"])
@pytest.mark.parametrize("upwards", [False, True])
def test_a_stack_along_time_lies_where_its_coordinates_say(tmp_path: Path, product: str | None, upwards: bool) -> None:
    layers = np.stack([power(k) for k in range(3)])
    path = netcdf4(tmp_path / "time.nc", layers, Y[::-1] if upwards else Y)
    result, place = restored(path, product)
    north = Y[-1] - 5 if upwards else Y[0] + 5
    assert place == (500_000, 10, 0, north, 0, 10 if upwards else -10)
    assert result.shape == layers.shape
    for one, layer in zip(result, layers):
        assert np.corrcoef(one.ravel(), layer.ravel())[0, 1] > 0.8


@pytest.mark.parametrize("make", [lambda p, x: netcdf4(p, x[None], None), lambda p, x: netcdf3(p, {"VV": x}, None)])
def test_rows_without_coordinates_are_as_they_are_stored(make: Any, tmp_path: Path) -> None:
    x = power()
    path = make(tmp_path / "in.nc", x)
    for named in (path, Path(f"NETCDF:{path}:VV")):
        scene = scene_of(named)
        with scene.opened() as source:
            np.testing.assert_array_equal(source.read(scene.whole, 1)[0], x)
        assert scene.raster is not None
        assert scene.raster.transform is None


@pytest.mark.parametrize("product", [None, "VV"])
@pytest.mark.parametrize(("upwards", "standard"), [(False, False), (False, True), (True, False), (True, True)])
def test_netcdf_3_lies_where_its_coordinates_say(
    tmp_path: Path, product: str | None, upwards: bool, standard: bool
) -> None:
    """GDAL turns rows that go upwards, by coordinates that it knows, and our reader gives them as they are: the map is the same."""
    x = power()
    scene = scene_of(
        netcdf3(tmp_path / "in.nc", {"VV": x}, Y[::-1] if upwards else Y, standard), Reading(product=product)
    )
    assert scene.raster is not None
    t = scene.raster.transform
    with scene.opened() as source:
        found = source.read(scene.whole, 1)[0]
    north_up = found if t.e < 0 else found[::-1]
    np.testing.assert_array_equal(north_up, x[::-1] if upwards else x)
    assert (t.a, t.c, t.f if t.e < 0 else t.f + t.e * SHAPE[0]) == (10, 500_000, Y[0] + 5)


def test_netcdf_3_of_several_arrays_is_chosen_from(tmp_path: Path) -> None:
    path = netcdf3(tmp_path / "in.nc", {"VV": power(), "VH": power(1)}, _FillValue=np.float32(-1), scale_factor=2.0)
    scene = scene_of(path)
    assert scene.product is not None
    assert scene.product.said == ("netCDF 3: VV, VH",)
    vh = scene_of(path, Reading(product="VH,VH"))
    assert vh.count == 1
    with vh.opened() as source:
        np.testing.assert_allclose(source.read(vh.whole, 1)[0], 2 * power(1))
    with pytest.raises(BadInput, match=r"`product=HH` is not in it; there are .*VV"):
        scene_of(path, Reading(product="HH"))
    cut = tmp_path / "cut.nc"
    cut.write_bytes(path.read_bytes()[:700])
    with pytest.raises(BadInput, match="netCDF 3 that cannot be read"):
        scene_of(cut, Reading(product="VV"))


def test_a_word_said_twice_is_one(tmp_path: Path) -> None:
    assert scene_of(netcdf4(tmp_path / "in.nc", power()[None]), Reading(product="VV, VV")).count == 1


@pytest.mark.parametrize("damage", ["text", "nan", "uneven"])
def test_coordinates_that_are_none_give_no_place(tmp_path: Path, damage: str) -> None:
    y = {"text": np.array([b"a"] * SHAPE[0]), "nan": np.where(Y[3] == Y, np.nan, Y), "uneven": (Y - Y[-1]) ** 2}[damage]
    x = power()
    with h5py.File(tmp_path / "in.h5", "w") as f:
        f["VV"], f["y"], f["x"] = x, y, X
        f["VV"].attrs["proj:epsg"] = "no number"
    for product in (None, "VV"):
        scene = scene_of(tmp_path / "in.h5", Reading(product=product))
        assert scene.raster is not None
        assert scene.raster.transform is None
        with scene.opened() as source:
            np.testing.assert_array_equal(source.read(scene.whole, 1)[0], x)
    with h5py.File(tmp_path / "in.h5", "a") as f:
        del f["y"]
        f["y"] = Y
    raster = scene_of(tmp_path / "in.h5").raster
    assert raster is not None
    assert (raster.crs, raster.transform.to_gdal()) == (None, (500_000, 10, 0, 5_000_000, 0, -10))
