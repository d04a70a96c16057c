"""Pixels without data in a GeoTIFF: not taken for a measurement, not written over, and not written by accident."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner, Result

from restorekit.cli.main import app
from restorekit.errors import BadInput
from restorekit.files.nodata import Empty, empty_at, nodata_of
from restorekit.files.picture import read_picture, write_picture
from restorekit.metrics.fidelity import compare


def geotiff(path: Path, raw: np.ndarray, nodata: str) -> Path:
    """raw (H, W) or (H, W, 3), with a pixel size and a nodata value."""
    tags: list[tuple[Any, ...]] = [(33550, 12, 3, (10.0, 10.0, 0.0), True), (42113, 2, len(nodata) + 1, nodata, True)]
    tifffile.imwrite(path, raw, photometric="rgb" if raw.ndim == 3 else "minisblack", extratags=tags)
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [*map(str, words)])


def scene(seed: int = 0, size: tuple[int, int] = (24, 27)) -> np.ndarray:
    i, j = np.indices(size)
    return 0.5 + 0.3 * np.sin(i / 3) * np.cos(j / 4) + 0.02 * np.random.default_rng(seed).standard_normal(size)


@pytest.mark.parametrize("value", ["-9999", "nan", "1e30"])
def test_floats_are_read_without_their_nodata_and_written_with_it(tmp_path: Path, value: str) -> None:
    raw = scene().astype(np.float32)
    raw[5:9, 3:7] = float(value)
    picture = read_picture(geotiff(tmp_path / "a.tif", raw, value))
    assert picture.span == (0, 1)
    assert picture.empty is not None
    assert picture.empty.where.sum() == 16
    np.testing.assert_allclose(picture.pixels[0, 5:9, 3:7], picture.pixels[0][~picture.empty.where].mean(), rtol=1e-5)
    write_picture(tmp_path / "b.tif", picture.pixels * 0.9, picture)
    back = tifffile.imread(tmp_path / "b.tif")
    np.testing.assert_array_equal(back[5:9, 3:7], raw[5:9, 3:7])
    np.testing.assert_allclose(np.delete(back, range(5, 9), 0), 0.9 * np.delete(raw, range(5, 9), 0), rtol=1e-6)
    holes = read_picture(tmp_path / "a.tif", holes=True)
    assert np.isnan(holes.pixels[0, 5:9, 3:7]).all()
    assert holes.empty is None


def test_no_valid_integer_becomes_nodata(tmp_path: Path) -> None:
    raw = np.rint(255 * scene()).clip(1, 255).astype(np.uint8)
    raw[:4] = 0
    picture = read_picture(geotiff(tmp_path / "a.tif", raw, "0"))
    write_picture(tmp_path / "b.tif", picture.pixels * 0, picture)
    back = tifffile.imread(tmp_path / "b.tif")
    assert (back[:4] == 0).all()
    assert (back[4:] == 1).all()
    top = Empty(np.eye(2, dtype=bool), np.full((1, 2), 255, np.uint8), 255.0)
    assert top.put_back(np.full((1, 2, 2), 255, np.uint8)).tolist() == [[[255, 254], [254, 255]]]


def test_a_colour_with_one_band_at_the_value_is_data() -> None:
    raw = np.zeros((3, 1, 3), np.uint8)
    raw[1, 0, :2] = 7
    assert empty_at(raw, 0.0).tolist() == [[False, False, True]]
    assert empty_at(raw.astype(np.float32), 7.0).tolist() == [[True, True, False]]


def test_tags_without_a_number_say_nothing(tmp_path: Path) -> None:
    assert nodata_of([(42113, 2, 4, "abc", True)]) is None
    assert nodata_of([(42112, 2, 4, "1", True)]) is None
    assert nodata_of([(42113, 2, 3, b"-1\0", True)]) == nodata_of([(42113, 2, 3, "-1 ", True)]) == -1
    with pytest.raises(BadInput, match="every pixel is no data"):
        read_picture(geotiff(tmp_path / "a.tif", np.zeros((8, 8), np.uint8), "0"))


@pytest.mark.parametrize(("dtype", "value"), [("float32", "-9999"), ("uint8", "0")])
@pytest.mark.parametrize("words", [("denoise",), ("deblur", "--kernel", "gaussian:1")], ids=["denoise", "deblur"])
def test_commands_leave_it_and_do_not_smear_it(tmp_path: Path, words: tuple[str, ...], dtype: str, value: str) -> None:
    raw = (scene() * (255 if dtype == "uint8" else 1)).astype(dtype)
    raw[8:14, 8:14] = float(value)
    source, target = geotiff(tmp_path / "a.tif", raw, value), tmp_path / "b.tif"
    found = run(words[0], source, target, *words[1:], "--prior", "natural-fast", "--noise", "gaussian:0.02")
    assert found.exit_code == 0, found.output
    back = tifffile.imread(target).astype(float)
    empty = np.zeros(raw.shape, bool)
    empty[8:14, 8:14] = True
    np.testing.assert_array_equal(back[empty], raw[empty].astype(float))
    assert not (back[~empty] == float(value)).any()
    plain, white = scene()[~empty], 255 if dtype == "uint8" else 1
    assert np.abs(back[~empty] / white - plain).max() < 0.25


def test_a_kernel_is_not_looked_for_where_data_is_missing(tmp_path: Path) -> None:
    raw = scene().astype(np.float32)
    raw[8:14, 8:14] = -9999
    source, target = geotiff(tmp_path / "a.tif", raw, "-9999"), tmp_path / "b.tif"
    for words in (("--kernel", "estimate"), ("--kernel", "gaussian:1", "--kernel-error", "auto")):
        found = run("deblur", source, target, *words, "--prior", "natural-fast", "--noise", "gaussian:0.02")
        assert found.exit_code == 1
        assert "no data; do that on a part without" in str(found.exception)
        assert not target.exists()


def test_metrics_leave_it_out(tmp_path: Path) -> None:
    truth = scene().astype(np.float32)
    out = truth + 0.01
    held = truth.copy()
    held[5:9, 3:7], out[5:9, 3:7] = -9999, 0.9
    for name, raw in (("truth.tif", held), ("out.tif", out), ("whole.tif", truth)):
        geotiff(tmp_path / name, raw, "-9999")
    found = run("metrics", tmp_path / "out.tif", tmp_path / "truth.tif", "--json")
    assert found.exit_code == 0, found.output
    values = json.loads(found.stdout)
    assert [values["rmse"], values["mae"]] == pytest.approx([0.01, 0.01], rel=1e-4)
    assert values["psnr"] == pytest.approx(40, abs=0.01)
    assert values["ssim"] > 0.99
    assert "16 pixels are no data" in found.stderr
    assert json.loads(run("metrics", tmp_path / "out.tif", tmp_path / "whole.tif", "--json").stdout)["ssim"] < 0.98
    valid = np.zeros((24, 27), bool)
    with pytest.raises(BadInput, match="no pixel holds data"):
        compare(truth[None], truth[None], valid=valid)
    valid[:, ::2] = True
    with pytest.raises(BadInput, match="no window of 11x11"):
        compare(truth[None], truth[None], valid=valid)
