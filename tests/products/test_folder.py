"""A folder of products is despeckled whole: files by how they begin, and what is none is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rasterio")
h5py = pytest.importorskip("h5py")
pytest.importorskip("zarr")

from restorekit.notes import Notes
from restorekit.products.opening import is_product
from restorekit.tasks.batch import Batch
from restorekit.tasks.batch_inputs import pictures_of
from restorekit.tasks.despeckle import despeckle
from tests.products.test_gridded import power, zarr_store
from tests.products.test_netcdf import netcdf3


def folder(path: Path) -> Path:
    path.mkdir()
    for name in ("a.h5", "b.HDF5"):
        with h5py.File(path / name, "w") as f:
            f["VV"] = power()
    netcdf3(path / "c.nc", {"VV": power(1)})
    zarr_store(path / "d.zarr", {"vv": power(2)}, 3)
    np.save(path / "e.npy", power(3))
    (path / "f.dat").write_bytes(bytes(100))
    for other in (".g.h5", "h.txt", "e.npy.json", "summary.csv"):
        (path / other).write_text("{}")
    (path / "deeper").mkdir()
    return path


def test_every_product_of_a_folder_is_a_picture_and_the_rest_is_told(tmp_path: Path) -> None:
    place, notes = folder(tmp_path / "prod"), Notes()
    found = pictures_of([place], notes, products=True)
    assert [p.name for p in found] == ["a.h5", "b.HDF5", "c.nc", "d.zarr", "e.npy"]
    told = f"{place}: of the files, 1 are neither pictures nor products by their suffix or content, and are left out (f.dat); "
    assert notes.texts == [f"{told}name one, or give a glob, to have it taken"]
    assert [p.name for p in pictures_of([place / "*.dat"], products=True)] == ["f.dat"]
    assert [p.name for p in pictures_of([place])] == ["e.npy"]
    (place / "damaged.zip").write_bytes(b"PK\x03\x04")
    assert not is_product(place / "damaged.zip")


def test_a_folder_of_products_is_one_batch(tmp_path: Path) -> None:
    place = folder(tmp_path / "prod")
    result = Batch(despeckle, {"solver": "lee"}, suffix=".tif")(place, tmp_path / "out", notes=Notes())
    assert {o.job.source.name: o.error for o in result.outcomes} == dict.fromkeys(
        ("a.h5", "b.HDF5", "c.nc", "d.zarr", "e.npy"), ""
    )
    assert {p.name for p in (tmp_path / "out").glob("*.tif")} == {f"{stem}.tif" for stem in "abcde"}
