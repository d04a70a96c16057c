"""Files that point elsewhere are refused, whatever their suffix; files that hold their own pixels are read as before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")

from rasterio.shutil import copy  # noqa: TID253

from restorekit.despeckling.plan import Settings, plan
from restorekit.errors import BadInput
from restorekit.files.bands import Window, dataset_of, describe, opened
from restorekit.files.scene import scene_of
from restorekit.fusion import pair_files as files
from tests.support.scenes import speckled, write_tiff

BAND = '<VRTRasterBand dataType="{type}" band="1"><SimpleSource><SourceFilename relativeToVRT="1">other.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>'
VRT = f'<VRTDataset rasterXSize="170" rasterYSize="150">{BAND}</VRTDataset>'
NOBODY = "http://127.0.0.1:9"
NAMING = {
    "VRT": f"<!-- a scene -->\n{VRT.format(type='Float32')}",
    "WMS": f'<?xml version="1.0"?><GDAL_WMS><Service name="TMS"><ServerUrl>{NOBODY}/${{z}}</ServerUrl></Service></GDAL_WMS>',
    "WMTS": f"<GDAL_WMTS><GetCapabilitiesUrl>{NOBODY}/wmts</GetCapabilitiesUrl></GDAL_WMTS>",
    "WCS": f"<WCS_GDAL><ServiceURL>{NOBODY}/</ServiceURL></WCS_GDAL>",
    "GTI": "<GDALTileIndexDataset><IndexDataset>tiles.gpkg</IndexDataset></GDALTileIndexDataset>",
    "STACTA or STACIT": f'{{"stac_version": "1.0.0", "type": "Feature", "assets": {{"a": {{"href": "{NOBODY}/a.tif"}}}}}}',
    "MRF": f"<MRF_META><CachedSource><Source>{NOBODY}/a.tif</Source></CachedSource></MRF_META>",
    "TSX": '<?xml version="1.0"?><level1Product><productComponents/></level1Product>',
}


def written(folder: Path, name: str, text: str) -> Path:
    write_tiff(folder / "other.tif", speckled()[1])
    (path := folder / name).write_text(text)
    return path


READERS: dict[str, Callable[[Path], Any]] = {
    "despeckle": lambda path: plan(path, path.with_name("out.tif"), Settings(solver="lee")),
    "metrics sar": scene_of,
    "fuse": files.read,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["scene.tif", "scene.vrt", "scene.img"])
def test_a_vrt_is_refused_whatever_it_is_called(reader: str, name: str, tmp_path: Path) -> None:
    path = written(tmp_path, name, VRT.format(type="Float32"))
    with pytest.raises(BadInput, match=f"is VRT, .*: gdal_translate .*{name} scene_pixels.tif"):
        READERS[reader](path)
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("driver", NAMING)
def test_files_that_name_others_are_refused_by_name(driver: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"is {driver}, .*gdal_translate"):
        scene_of(written(tmp_path, "scene.tif", NAMING[driver]))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "name", [f"{NOBODY}/a.tif", f"/vsicurl/{NOBODY}/a.tif", f"/vsizip//vsicurl/{NOBODY}/a.zip/a.tif"]
)
def test_addresses_are_refused(reader: str, name: str) -> None:
    with pytest.raises(BadInput, match="is an address, and only files are read"):
        READERS[reader](Path(name))


@pytest.mark.parametrize("suffix", [".msk", ".ovr"])
def test_masks_and_overviews_beside_a_file_may_not_point_elsewhere(suffix: str, tmp_path: Path) -> None:
    path = written(tmp_path, "scene.tif", "")
    write_tiff(path, speckled()[1])
    path.with_name(f"scene.tif{suffix}").write_text(VRT.format(type="Byte"))
    with pytest.raises(BadInput, match=rf"scene\.tif\{suffix} is no TIFF"):
        scene_of(path)


def test_a_mask_beside_a_file_is_read(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "scene.tif", speckled()[1])
    seen = np.ones((150, 170), bool)
    seen[:40] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as d:
        d.write_mask(seen)
    assert (tmp_path / "scene.tif.msk").is_file()
    with opened(describe(path)) as reader:
        np.testing.assert_array_equal(reader.read(Window(0, 0, 150, 170), 1)[1], seen)


def test_the_name_of_a_file_of_overviews_is_not_handed_on(tmp_path: Path) -> None:
    path = written(tmp_path, "scene.tif", "")
    write_tiff(path, speckled()[1])
    with rasterio.open(path, "r+") as d:
        d.update_tags(ns="OVERVIEWS", OVERVIEW_FILE="other.tif")
    (out,) = plan(path, tmp_path / "out.tif", Settings(solver="boxcar", looks=4.0, domain="intensity")).run()
    with rasterio.open(out) as d:
        assert "OVERVIEWS" not in d.tag_namespaces()
        assert d.files == [str(out)]


@pytest.mark.parametrize("kind", ["external", "virtual"])
@pytest.mark.parametrize("name", ["scene.h5", "scene.nc"])
def test_hdf5_whose_pixels_lie_in_other_files_is_refused(kind: str, name: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    y = speckled()[1]
    y.tofile(tmp_path / "raw.bin")
    with h5py.File(tmp_path / "other.h5", "w") as f:
        f["y"] = y
    with h5py.File(tmp_path / name, "w") as f:
        if kind == "external":
            f.create_dataset("y", y.shape, "f4", external=[(str(tmp_path / "raw.bin"), 0, y.nbytes)])
        else:
            layout = h5py.VirtualLayout(y.shape, "f4")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "y", y.shape)
            f.create_virtual_dataset("y", layout)
    with pytest.raises(BadInput, match="HDF5 with datasets in other files"):
        scene_of(tmp_path / name)
    with dataset_of(tmp_path / "other.h5") as d:
        np.testing.assert_array_equal(d.read(1), y)


def test_hdf5_of_several_datasets_says_how_to_take_one(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "scene.h5", "w") as f:
        f["a"], f["b"] = speckled()
    with pytest.raises(BadInput, match=r"holds 2 datasets; .*HDF5:\S*scene.h5://a"):
        scene_of(tmp_path / "scene.h5")


@pytest.mark.parametrize(
    ("driver", "name", "dtype"),
    [("NITF", "scene.ntf", "float32"), ("netCDF", "scene.nc", "float32"), ("ENVI", "scene.bin", "float32"),
     ("HFA", "scene.img", "float32"), ("EHdr", "scene.bil", "float32"), ("SAGA", "scene.sdat", "float32"),
     ("JP2OpenJPEG", "scene.jp2", "uint16"), ("VICAR", "scene.vic", "float32"), ("GTiff", "scene.dat", "float32")],
)  # fmt: skip
def test_other_formats_are_read_as_before(driver: str, name: str, dtype: str, tmp_path: Path) -> None:
    y = (1e3 * speckled()[1]).astype(dtype)
    lossless = {"REVERSIBLE": "YES", "QUALITY": "100"} if driver == "JP2OpenJPEG" else {}
    copy(write_tiff(tmp_path / "other.tif", y), tmp_path / name, driver=driver, **lossless)
    scene = scene_of(tmp_path / name)
    assert scene.raster is not None
    with scene.opened() as reader:
        np.testing.assert_array_equal(reader.read(scene.whole, 1)[0], y)


def test_addresses_are_closed_while_a_file_is_open(tmp_path: Path) -> None:
    from rasterio.env import getenv, hasenv

    with dataset_of(write_tiff(tmp_path / "scene.tif", speckled()[1])):
        assert getenv()["CPL_VSIL_CURL_ALLOWED_FILENAME"] == "none"
    assert not hasenv() or "CPL_VSIL_CURL_ALLOWED_FILENAME" not in getenv()
