"""Names that are no path: datasets of a file, members of an archive, addresses; and what is hashed of each."""

from __future__ import annotations

import hashlib
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import tifffile

rasterio = pytest.importorskip("rasterio")

from restorekit.despeckling.plan import Settings, plan
from restorekit.files.datasets import absolute, container, source_digest, sources
from restorekit.files.reading import Reading
from restorekit.files.scene import scene_of
from restorekit.fusion import pair_files as inputs
from tests.support.io_files import refusal
from tests.support.scenes import read_tiff, speckled, write_tiff

Y = speckled()[1]
VRT = '<VRTDataset rasterXSize="170" rasterYSize="150"><VRTRasterBand dataType="Float32" band="1"/></VRTDataset>'


def pixels(name: Path | str, reading: Reading | None = None) -> np.ndarray:
    scene = scene_of(Path(name), reading or Reading())
    with scene.opened() as reader:
        return reader.read(scene.whole, 1)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scene.tif, and it in a zip, a tar, an HDF5 of two datasets, and among the pages of a stack."""
    h5py = pytest.importorskip("h5py")
    place = tmp_path_factory.mktemp("names")
    write_tiff(place / "scene.tif", Y)
    with zipfile.ZipFile(place / "s.zip", "w") as archive:
        archive.write(place / "scene.tif", "in/scene.tif")
        archive.writestr("in/bad.tif", VRT)
        archive.write(place / "scene.tif", "in/masked.tif")
        archive.writestr("in/masked.tif.msk", VRT)
    with tarfile.open(place / "s.tar.gz", "w:gz") as archive:
        archive.add(place / "scene.tif", "scene.tif")
    for name in ("two.h5", "two.nc"):
        with h5py.File(place / name, "w") as f:
            f["a"], f["group/b"] = Y, 2 * Y
    tifffile.imwrite(place / "stack.tif", np.stack([Y, 2 * Y, 3 * Y]), photometric="minisblack", metadata=None)
    return place


NAMES = {
    "HDF5:{}/two.h5://a": 1,
    'HDF5:"{}/two.h5"://group/b': 2,
    "NETCDF:{}/two.nc:a": 1,
    "GTIFF_DIR:2:{}/stack.tif": 2,
    "/vsizip/{}/s.zip/in/scene.tif": 1,
    "/vsizip/{{{}/s.zip}}/in/scene.tif": 1,
    "/vsitar/{}/s.tar.gz/scene.tif": 1,
}


@pytest.mark.parametrize("name", NAMES)
def test_datasets_of_files_are_read(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = Path(name.format(folder))
    expected = NAMES[name] * Y  # of netCDF without coordinates too, which GDAL by itself would turn
    np.testing.assert_array_equal(pixels(path), expected)
    np.testing.assert_array_equal(inputs.read(path).values[0], expected)
    monkeypatch.chdir(folder)
    near = Path(name.format(folder).replace(f"{folder}/", ""))
    here = absolute(near)
    assert container(near).resolve().parent == folder
    monkeypatch.chdir(tmp_path)  # where workers may be
    np.testing.assert_array_equal(pixels(here), expected)


def test_a_dataset_is_despeckled_and_its_container_not_written_over(folder: Path, tmp_path: Path) -> None:
    path = Path(f"GTIFF_DIR:2:{folder}/stack.tif")
    settings = Settings(solver="boxcar", looks=4.0, domain="intensity")
    (out,) = plan(path, tmp_path / "out.tif", settings).run()
    assert read_tiff(out).shape == (1, *Y.shape)
    refusal(lambda: plan(path, folder / "stack.tif", settings), "is the input itself")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("two.h5", ["2 datasets", "HDF5:", "two.h5://group/b"]),
        ("two.nc", ["datasets", "NETCDF:", "two.nc:a"]),
        ("stack.tif", ["3 pages", "GTIFF_DIR:1:", "GTIFF_DIR:3:"]),
        ("s.zip", ["zip archive", "/vsizip/", "s.zip/in/scene.tif"]),
    ],
)
def test_what_holds_several_lists_their_names(name: str, words: list[str], folder: Path) -> None:
    refusal(lambda: scene_of(folder / name), *words)


REFUSED = {
    "HDF5:{}/two.h5://no": ["no such dataset", "alone lists"],
    "GTIFF_DIR:9:{}/stack.tif": ["no such dataset"],
    "GTIFF_DIR:x:{}/stack.tif": ["GTIFF_DIR:NUMBER:FILE"],
    "NETCDF:{}/two.nc": ["NETCDF:FILE:NAME"],
    "NETCDF:{}/none.nc:a": ["no such file"],
    "NETCDF:https://127.0.0.1:9/a.nc:a": ["no such file"],
    "/vsizip/{}/s.zip/no.tif": ["no such file; give one of", "in/scene.tif"],
    "/vsizip/{}/s.zip/in/bad.tif": ["no such dataset"],
    "/vsizip/{}/s.zip/in/masked.tif": ["in/masked.tif.msk beside it is no TIFF"],
    "/vsizip/{}/none.zip/a.tif": ["no such archive"],
    "/vsizip/{}/scene.tif/a.tif": ["no zip archive that can be read"],
    "/vsigzip/{}/a.gz": ["/vsizip/ and /vsitar/"],
    "/vsis3/bucket/a.tif": ["is an address"],
    "{}/none.tif": ["no such file"],
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_names_are_refused_in_one_line(name: str, folder: Path) -> None:
    refusal(lambda: scene_of(Path(name.format(folder)), Reading()), *REFUSED[name])


def test_hdf5_in_an_archive_is_not_opened_as_nobody_looked_into_it(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "h.zip", "w") as archive:
        archive.write(folder / "two.h5", "two.h5")
    refusal(lambda: scene_of(Path(f"/vsizip/{tmp_path}/h.zip/two.h5")), "no such dataset")


# --- the network ---


@pytest.fixture
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """An address of this machine for the files of `folder`, and what was asked of it."""
    asked: list[str] = []

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_address_is_read_where_the_network_is_allowed_and_no_other(served: tuple[str, list[str]]) -> None:
    address, asked = served
    for name in (f"{address}/scene.tif", f"/vsicurl/{address}/scene.tif"):
        refusal(lambda name=name: scene_of(Path(name)), f"{address}/scene.tif is an address", "`network`")
    assert not asked
    np.testing.assert_array_equal(pixels(f"{address}/scene.tif", Reading(network=True)), Y)
    assert set(asked) == {"/scene.tif"}  # no sidecars, no listing of the folder
    refusal(lambda: scene_of(Path(f"{address}/two.h5"), Reading(network=True)), "no raster that can be read")


def test_an_address_has_the_hash_of_its_values(served: tuple[str, list[str]], folder: Path) -> None:
    address, _ = served
    allowed = Reading(network=True)
    (name,) = sources(Path(f"{address}/scene.tif"), allowed)
    assert name == f"{address}/scene.tif"
    found = source_digest(Path(f"{address}/scene.tif"), allowed)
    write_tiff(folder / "again.tif", Y, compress="deflate", tiled=False)
    write_tiff(folder / "other.tif", Y + 1)
    assert source_digest(Path(f"{address}/other.tif"), allowed) != found


# --- what is hashed ---


def test_a_file_alone_has_its_own_hash(folder: Path, tmp_path: Path) -> None:
    whole = hashlib.sha256((folder / "scene.tif").read_bytes()).hexdigest()
    assert source_digest(folder / "scene.tif") == whole
    np.save(tmp_path / "a.npy", Y)
    assert source_digest(tmp_path / "a.npy") == hashlib.sha256((tmp_path / "a.npy").read_bytes()).hexdigest()
    assert source_digest(tmp_path / "a.npy", Reading("CHW")) != source_digest(tmp_path / "a.npy")


def test_what_is_read_is_hashed_and_not_what_points_to_it(folder: Path, tmp_path: Path) -> None:
    inside = source_digest(folder / "scene.tif")
    assert source_digest(Path(f"/vsizip/{folder}/s.zip/in/scene.tif")) == inside
    assert source_digest(Path(f"/vsitar/{folder}/s.tar.gz/scene.tif")) == inside
    a, b = (source_digest(Path(f"HDF5:{folder}/two.h5://{name}")) for name in ("a", "group/b"))
    assert a != b


def test_a_mask_beside_a_file_is_part_of_what_is_read(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "scene.tif", Y)
    alone = source_digest(path)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as d:
        d.write_mask(Y > 0.2)
    assert [Path(p).name for p in sources(path)] == ["scene.tif", "scene.tif.msk"]
    first = source_digest(path)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as d:
        d.write_mask(Y > 0.3)
    assert len({alone, first, source_digest(path)}) == 3
    (tmp_path / "scene.tif.aux.xml").write_text("<PAMDataset><Metadata/></PAMDataset>")
    assert [Path(p).name for p in sources(path)] == ["scene.tif", "scene.tif.msk"]
