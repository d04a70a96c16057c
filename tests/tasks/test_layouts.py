"""Axes and pages that are stated, in the tasks of one and of two pictures: an NPY with bands first, a page of a stack."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import tifffile

import restorekit
from restorekit.notes import Notes
from restorekit.tasks.fusion_metrics import fusion_metrics
from restorekit.tasks.picture_metrics import picture_metrics
from tests.cli.test_cli_derain import pair as rainy_pair
from tests.support.fields import go, pictures, refused

PHOTO = skimage.data.astronaut()[40:64, 190:222]
NOISY = np.clip(PHOTO + np.random.default_rng(0).normal(0, 12, PHOTO.shape), 0, 255).astype(np.uint8)
GREY, GREY_NOISY = PHOTO[..., 1], NOISY[..., 1]
QUICK: dict[str, Any] = {"prior": "natural-fast", "notes": Notes()}
CHW: dict[str, Any] = {"layout": "CHW"}
SECOND: dict[str, Any] = {"page": 2}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layouts")
    np.save(folder / "y.npy", np.moveaxis(NOISY, -1, 0))
    np.save(folder / "x.npy", np.moveaxis(PHOTO, -1, 0))
    pages = {"photometric": "minisblack", "metadata": None}
    tifffile.imwrite(folder / "y.tif", np.stack([GREY, GREY_NOISY]), **pages)
    tifffile.imwrite(folder / "x.tif", np.stack([GREY_NOISY, GREY]), **pages)
    tifffile.imwrite(folder / "one.tif", GREY, **pages)
    return folder


def test_a_measurement_is_made_of_bands_first_and_of_a_page(files: Path) -> None:
    for path, stated, array in (("y.npy", CHW, NOISY), ("y.tif", SECOND, GREY_NOISY)):
        found = restorekit.degrade(files / path, seed=2, notes=Notes(), **stated)
        np.testing.assert_array_equal(found.values, restorekit.degrade(array, seed=2, notes=Notes()).values)


def test_solvers_are_compared_on_bands_first_and_on_a_page(files: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"noise": "gaussian:0.05", "solvers": ["hqs"], "steps": 1, **QUICK}
    for y, x, stated, arrays in (
        ("y.npy", "x.npy", CHW, (NOISY, PHOTO)),
        ("y.tif", "x.tif", SECOND, (GREY_NOISY, GREY)),
        ("y.tif", "one.tif", SECOND, (GREY_NOISY, GREY)),  # a truth of one page
    ):
        found = restorekit.compare(files / y, "denoise", truth=files / x, **stated, **given)
        expected = restorekit.compare(arrays[0], "denoise", truth=arrays[1], **given)
        np.testing.assert_array_equal(found.results[0].samples, expected.results[0].samples)
        np.testing.assert_array_equal(found.truth, expected.truth)
    found.save(tmp_path / "o.html")
    assert "--pages 2" in json.loads((tmp_path / "o.html.json").read_text())["command"]


def test_figures_are_of_bands_first_and_of_a_page(files: Path) -> None:
    expected = picture_metrics(NOISY, PHOTO)
    assert picture_metrics(files / "y.npy", files / "x.npy", layout="CHW") == expected
    for truth in ("x.tif", "one.tif"):
        assert picture_metrics(files / "y.tif", files / truth, page=2) == picture_metrics(GREY_NOISY, GREY)


def test_rain_is_repaired_in_bands_first_and_in_a_page(tmp_path: Path) -> None:
    rainy, base = (skimage.io.imread(path) for path in rainy_pair(tmp_path))
    settings: dict[str, Any] = {"steps": 2, **QUICK}
    np.save(tmp_path / "rainy.npy", np.moveaxis(rainy, -1, 0))
    np.save(tmp_path / "base.npy", np.moveaxis(base, -1, 0))
    stack: Callable[[np.ndarray], np.ndarray] = lambda x: np.stack([x[..., 0] // 2, x[..., 0]])
    for name, values in (("rainy", rainy), ("base", base)):
        tifffile.imwrite(tmp_path / f"{name}.tif", stack(values), photometric="minisblack", metadata=None)
    for kind, stated, arrays in (("npy", CHW, (rainy, base)), ("tif", SECOND, (rainy[..., 0], base[..., 0]))):
        found = restorekit.derain(tmp_path / f"rainy.{kind}", tmp_path / f"base.{kind}", **stated, **settings)
        assert (found.samples == restorekit.derain(*arrays, **settings).samples).all()
    found.save(tmp_path / "o.tif")
    read = json.loads((tmp_path / "o.tif.json").read_text())["input"]
    assert [read[key]["page"] for key in ("rainy", "derained")] == [2, 2]


def test_a_pair_is_fused_of_bands_first_and_of_pages(tmp_path: Path) -> None:
    optical, sar = (skimage.io.imread(path) for path in pictures(tmp_path))
    settings: dict[str, Any] = {"despeckle": "lee", "domain": "amplitude", "notes": Notes()}
    expected = restorekit.fuse(optical, sar, **settings).pixels
    np.save(tmp_path / "o.npy", np.moveaxis(optical, -1, 0))
    np.save(tmp_path / "s.npy", sar[None])
    np.testing.assert_array_equal(
        restorekit.fuse(tmp_path / "o.npy", tmp_path / "s.npy", layout="CHW", range=(0, 255), **settings).pixels,
        expected,
    )
    with tifffile.TiffWriter(tmp_path / "o.tif") as tif:
        for page in (optical[::-1], optical):
            tif.write(page, photometric="rgb", metadata=None)
    tifffile.imwrite(tmp_path / "s.tif", np.stack([sar, sar[::-1]]), photometric="minisblack", metadata=None)
    pages = {"page": 2, "sar_page": 1}
    found = restorekit.fuse(tmp_path / "o.tif", tmp_path / "s.tif", **pages, **settings)
    np.testing.assert_array_equal(found.pixels, expected)
    found.save(tmp_path / "f.tif")
    assert json.loads((tmp_path / "f.tif.json").read_text())["input"]["optical"]["page"] == 2
    figures = fusion_metrics(tmp_path / "o.tif", tmp_path / "s.tif", tmp_path / "f.tif", **pages, **settings).metrics
    assert figures == pytest.approx(found.metrics)
    with pytest.raises(restorekit.BadInput, match=r"there is no page 3, .*o\.tif has 2"):
        restorekit.fuse(tmp_path / "o.tif", tmp_path / "s.tif", page=3, **settings)


def test_commands_take_layouts_and_pages(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y, x = files / "y.tif", files / "x.tif"
    assert go("metrics", y, x, "--pages", 2, "--json") == 0
    assert json.loads(capsys.readouterr().out) == pytest.approx(picture_metrics(y, x, page=2))
    assert "a stack of 2 pages" in refused(capsys, "metrics", y, x)
    assert go("degrade", files / "y.npy", tmp_path / "d.npy", "--layout", "CHW") == 0
    assert np.load(tmp_path / "d.npy").shape == (3, 24, 32)
    words = ("--op", "denoise", "--noise", "gaussian:0.05", "--solver", "hqs", "--prior", "natural-fast", "--steps", 1)
    assert go("compare", y, tmp_path / "c.html", *words, "--pages", "all") == 0
    assert sorted(p.name for p in tmp_path.glob("c*.html")) == ["c_p1.html", "c_p2.html"]
