"""Raw files: black, white, pattern and noise profile are read back exactly, and what is no mosaic is refused in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from restorekit import BadInput
from restorekit.files.picture import check_writable, read_picture
from restorekit.files.raw import RAW, is_raw, read_raw
from restorekit.files.reading import Reading
from restorekit.operators.mosaic import BAYER
from restorekit.tasks.mosaics import developed
from tests.support.raw_files import write_dng

VALUES = np.random.default_rng(0).integers(0, 1024, (30, 34)).astype(np.uint16)  # LibRaw reads nothing smaller than 22


@pytest.fixture
def path(tmp_path: Path) -> Path:
    pytest.importorskip("rawpy")
    return tmp_path / "a.dng"


def test_black_white_pattern_and_profile_are_read_back_exactly(path: Path) -> None:
    black, profile = (64.5, 65.0, 66.25, 67.0), (1e-3, 2e-6, 1.5e-3, 3e-6, 2e-3, 4e-6)
    write_dng(path, VALUES, "gbrg", black, 1000, (0.5, 1.0, 0.625), profile=profile)
    picture = read_raw(path)
    sensor = picture.info[RAW]
    assert (sensor.pattern, sensor.black, sensor.white) == ("gbrg", black, (1000.0,) * 3)
    assert sensor.noise == ((1e-3, 2e-6), (1.5e-3, 3e-6), (2e-3, 4e-6))
    np.testing.assert_allclose(sensor.balance, (2.0, 1.0, 1.6), rtol=1e-6)
    levels = np.tile(np.reshape(black, (2, 2)), (15, 17))
    expected = ((VALUES - levels) / (1000 - levels)).clip(None, 1)
    np.testing.assert_allclose(picture.pixels[0], expected, atol=1e-6)


def test_a_white_balance_that_the_file_does_not_tell_is_said(path: Path) -> None:
    assert read_raw(write_dng(path, VALUES)).info[RAW].as_shot
    told = list(developed(read_raw(path), "auto", "a.dng")[1].said("a.dng"))
    assert len(told) == 1
    for neutral in ((0.5, 1.0, 0.0), (0.0, 0.0, 0.0)):
        picture = read_raw(write_dng(path, VALUES, neutral=neutral))
        assert picture.info[RAW].balance == (1.0, 1.0, 1.0)
        assert picture.info[RAW].record()["balance_as_shot"] is False
        _, line = developed(picture, "auto", "a.dng")[1].said("a.dng")
        assert line.startswith("raw: a.dng does not tell the white balance as shot")
        assert "none is made" in line


@pytest.mark.parametrize("pattern", BAYER)
def test_every_pattern_is_that_of_the_file(path: Path, pattern: str) -> None:
    assert read_raw(write_dng(path, VALUES, pattern)).info[RAW].pattern == pattern


def test_a_pattern_of_six_by_six_is_read_too(path: Path) -> None:
    letters = "ggrggb" + "ggbggr" + "brgrbg" + "ggbggr" + "ggrggb" + "rbgbrg"
    assert read_raw(write_dng(path, VALUES, letters)).info[RAW].pattern == "xtrans"


@pytest.mark.parametrize(
    ("orientation", "pattern", "shown"),
    [
        (1, "rggb", lambda v: v),
        (3, "bggr", lambda v: v[::-1, ::-1]),
        (6, "grbg", lambda v: np.rot90(v, -1)),
        (8, "gbrg", np.rot90),
        (2, "grbg", lambda v: v[:, ::-1]),
    ],
)
def test_a_turned_file_is_read_as_it_is_shown(path: Path, orientation: int, pattern: str, shown) -> None:
    picture = read_raw(write_dng(path, VALUES, orientation=orientation))
    assert picture.info[RAW].pattern == pattern
    np.testing.assert_allclose(picture.pixels[0], shown(((VALUES - 64.0) / 959).clip(None, 1)), atol=1e-6)


def test_levels_by_row_and_column_count_in_an_area_that_begins_at_an_odd_pixel(path: Path) -> None:
    """LibRaw takes their mean, and begins at an even pixel."""
    rows, columns = 0.25 * np.arange(28), 0.5 * np.arange(30)
    extra = [
        (50829, 4, 4, (1, 3, 29, 33), True),
        (50715, 10, 30, [n for v in columns for n in (int(v * 4), 4)], True),
        (50716, 10, 28, [n for v in rows for n in (int(v * 4), 4)], True),
    ]
    picture = read_raw(write_dng(path, VALUES, black=(60, 61, 62, 63), extra=extra))
    levels = np.tile([[60.0, 61], [62, 63]], (14, 15)) + rows[:, None] + columns
    expected = ((VALUES[1:29, 3:33] - levels) / (1023 - levels)).clip(None, 1)
    assert picture.info[RAW].pattern == "bggr"
    np.testing.assert_allclose(picture.pixels[0], expected[1:, 1:], atol=1e-6)


def test_grey_light_gives_grey_by_the_colours_of_the_camera(path: Path) -> None:
    matrix = np.array([[0.7, -0.2, -0.05], [-0.5, 1.3, 0.2], [-0.1, 0.2, 0.6]])
    with_matrix, without = (read_raw(write_dng(path, VALUES, matrix=m)).info[RAW] for m in (matrix, None))
    for sensor in (with_matrix, without):
        np.testing.assert_allclose(sensor.colours.sum(1), [0.5, 1.0, 0.625], atol=1e-4)
    xyz = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
    camera = matrix @ xyz
    expected = camera / camera.sum(1, keepdims=True) * [[0.5], [1.0], [0.625]]
    np.testing.assert_allclose(with_matrix.colours, expected, atol=1e-4)
    np.testing.assert_allclose(without.colours, np.diag([0.5, 1.0, 0.625]), atol=1e-4)


def test_a_file_is_told_by_its_tag_whatever_its_name(path: Path) -> None:
    write_dng(path.with_suffix(".tif"), VALUES)
    assert is_raw(path.with_suffix(".tif"))
    assert is_raw(Path("nowhere.NEF"))
    tifffile.imwrite(path.with_name("grey.tif"), VALUES)
    assert not is_raw(path.with_name("grey.tif"))
    assert read_picture(path.with_suffix(".tif"), reading=Reading(raw=True)).pixels.shape == (1, 30, 34)
    with pytest.raises(BadInput, match="leave `range` out"):
        read_picture(path.with_suffix(".tif"), (0, 1023), reading=Reading(raw=True))


def test_others_name_the_command_that_develops_it(tmp_path: Path) -> None:
    for name in ("a.dng", "a.tif"):
        write_dng(tmp_path / name, VALUES)
        with pytest.raises(BadInput, match=f"raw.*not read here.*restorekit denoise .*{name} a_developed.tif"):
            read_picture(tmp_path / name)


def test_none_is_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"not written; give a\.tif"):
        check_writable(tmp_path / "a.dng", 3, False)


def linear(path: Path) -> None:
    tags = [(50706, 1, 4, bytes([1, 4, 0, 0]), True)]
    tifffile.imwrite(path, np.stack([VALUES] * 3, -1), photometric=34892, extratags=tags, metadata=None)


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda p: write_dng(p, (VALUES / 1023).astype(np.float32)), "a DNG of floats"),
        (lambda p: write_dng(p, (VALUES / 1023).astype(np.float16)), "a DNG of floats"),
        (lambda p: write_dng(p, VALUES, "rgbg"), "pattern='rgbg' is no Bayer pattern"),
        (lambda p: write_dng(p, VALUES, "rrrr"), "no mosaic of red, green and blue"),
        (linear, "a DNG without a mosaic"),
        (lambda p: p.write_text("a text"), "LibRaw cannot read it"),
        (lambda p: p.write_bytes(write_dng(p, VALUES).read_bytes()[:300]), "damaged or cut short"),
        (lambda p: p.write_bytes(b""), "the file is empty"),
        (lambda p: None, "no such file"),
    ],
)
def test_what_is_no_mosaic_is_refused_in_one_line(path: Path, write, says: str) -> None:
    write(path)
    with pytest.raises(BadInput, match=says) as error:
        read_raw(path)
    assert "\n" not in str(error.value)


def test_without_rawpy_one_line_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(BadInput, match=r'pip install "restorekit\[raw\]"'):
        read_raw(write_dng(tmp_path / "a.dng", VALUES))


def test_no_raster_is_made_of_it(tmp_path: Path) -> None:
    bands = pytest.importorskip("restorekit.files.bands")
    pytest.importorskip("rasterio")
    write_dng(tmp_path / "a.tif", VALUES)
    with pytest.raises(BadInput, match="camera raw file, which is no raster"), bands.dataset_of(tmp_path / "a.tif"):
        pass
