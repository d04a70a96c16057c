"""What the commands that draw samples write, and what they say: no data, failing disks, notes, files of other kinds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import tifffile
from PIL import Image
from typer.testing import CliRunner, Result

from restorekit import io
from restorekit.cli.main import app
from tests.test_nodata import geotiff, scene

PHOTO = skimage.data.astronaut()[40:64, 190:210]
NOISE = ("--noise", "gaussian:0.05")
QUICK = ("--prior", "natural-fast", "--solver", "mmps", "--steps", 2)
SAMPLES = ("--samples", 2)
ENDS = ("mean", "std", "low", "high")


def go(*words: object) -> Result:
    return CliRunner().invoke(app, [*map(str, words)])


def done(*words: object) -> Result:
    found = go(*words)
    assert found.exit_code == 0, found.output or found.exception
    return found


def photo(path: Path) -> Path:
    Image.fromarray(PHOTO).save(path)
    return path


@pytest.mark.parametrize(("dtype", "value"), [("float32", "-9999"), ("uint8", "0"), ("float32", "nan")])
def test_no_deviation_is_written_where_there_is_no_data(tmp_path: Path, dtype: str, value: str) -> None:
    raw = (scene() * (255 if dtype == "uint8" else 1)).astype(dtype)
    hole = np.zeros(raw.shape, bool)
    hole[8:14, 8:14] = True
    raw[hole] = float(value)
    done("denoise", geotiff(tmp_path / "a.tif", raw, value), tmp_path / "b.tif", *NOISE, *QUICK, *SAMPLES)
    for end in ("mean", "low", "high"):
        back = tifffile.imread(tmp_path / f"b_{end}.tif")
        np.testing.assert_array_equal(back[hole], raw[hole])
        assert not (back[~hole] == raw[hole][0]).any()
    with tifffile.TiffFile(tmp_path / "b_std.tif") as file:
        page: Any = file.pages[0]
        std = page.asarray()
        assert page.tags[42113].value == "nan"
        assert page.tags[33550].value == (10, 10, 0)  # it lies where OUT does
    assert np.isnan(std[hole]).all()
    assert (std[~hole] > 0).all()
    read = io.read(tmp_path / "b_std.tif", (0, 1)).empty
    assert read is not None
    np.testing.assert_array_equal(read.where, hole)
    white = json.loads((tmp_path / "b.tif.json").read_text())["std_png_white"]
    assert white == pytest.approx(std[~hole].max())
    assert not np.asarray(Image.open(tmp_path / "b_std.png"))[hole].any()


FILES = ("o.png", "o_mean.png", "o_std.tif", "o_std.png", "o_low.png", "o_high.png", "o.png.json")


@pytest.mark.parametrize("failing", ["o_mean.png", "o_high.png", "o.png.json"])
def test_a_disk_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    y = photo(tmp_path / "y.png")
    done("denoise", y, tmp_path / "o.png", *NOISE, *QUICK, *SAMPLES)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert {path.name for path in before} == {*FILES, "y.png"}
    plain, writing = os.fsync, iter(FILES)

    def full(handle: int) -> None:
        if next(writing) == failing:
            raise OSError(28, "No space left on device")
        plain(handle)

    monkeypatch.setattr("restorekit.atomic.os.fsync", full)
    found = go("denoise", y, tmp_path / "o.png", *NOISE, *QUICK, *SAMPLES, "--seed", 1)
    assert found.exit_code == 1
    assert f"{failing}: not written" in str(found.exception)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
