"""`derain`, `despeckle` and `fuse` as functions: what Python saves is what the command writes, bit for bit."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import restorekit
from restorekit.cli import derain as cli_derain
from restorekit.cli import despeckle as cli_despeckle
from restorekit.cli import fuse as cli_fuse
from restorekit.errors import BadInput
from restorekit.files.picture import read_picture
from restorekit.notes import Notes, RestorekitNote
from restorekit.tasks.derain import Deraining
from restorekit.tasks.despeckle import Despeckling
from restorekit.tasks.fuse import Fusing
from restorekit.tasks.fusion_metrics import fusion_metrics
from restorekit.tasks.judge import SpeckleAssessment
from restorekit.tasks.picture_metrics import picture_metrics
from tests.cli.test_cli_derain import pair as rainy_pair
from tests.support.fields import PLACE, WHOLE, eight, go, pictures, rasters, refused
from tests.support.scenes import read_tiff, speckled, write_tiff

FAST: dict[str, Any] = {"solver": "diffpir", "steps": 2, "samples": 2, "looks": 4.0, "block": 64}
OPTIONS = ("--solver", "diffpir", "--steps", 2, "--samples", 2, "--looks", 4, "--block", 64)


def contents(folder: Path) -> dict[str, Any]:
    """SHA-256 of every file by name; of JSON what stands in it, but for seconds and the names of the outputs."""
    found: dict[str, Any] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix != ".json":
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
            continue
        record = json.loads(path.read_text())
        record.pop("seconds", None)
        found[path.name] = record | {"outputs": {Path(k).name: v for k, v in record["outputs"].items()}}
    return found


def both(folder: Path) -> tuple[Path, Path]:
    """Two folders: of the command, and of Python."""
    made = folder / "command", folder / "python"
    for path in made:
        path.mkdir()
    return made


# --- despeckle ---


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiff(tmp_path_factory.mktemp("scene") / "in.tif", speckled(100, 110)[1])


def test_a_scene_despeckled_by_python_is_that_of_the_command(scene: Path, tmp_path: Path) -> None:
    command, python = both(tmp_path)
    assert go("despeckle", scene, command / "out.tif", *OPTIONS) == 0
    notes = Notes()
    result = restorekit.despeckle(scene, notes=notes, **FAST)
    assert [p.name for p in result.save(python / "out.tif")] == ["out.tif", "out_std.tif"]
    assert contents(python) == contents(command)
    assert result.notes == tuple(notes.texts)
    assert any("looks 4 as given" in text for text in notes.texts)
    np.testing.assert_array_equal(result.mean, read_tiff(command / "out.tif"))
    np.testing.assert_array_equal(result.std, read_tiff(command / "out_std.tif"))


def test_a_scene_written_block_by_block_is_the_same(scene: Path, tmp_path: Path) -> None:
    memory, python = both(tmp_path)
    with pytest.warns(RestorekitNote, match="looks 3 as given"):
        restorekit.despeckle(scene, solver="lee", looks=3.0).save(memory / "out.tif")
    result = restorekit.despeckle(scene, python / "out.tif", solver="lee", looks=3.0, notes=Notes())
    assert result.save(python / "out.tif") == [python / "out.tif"]
    assert contents(python) == contents(memory)
    np.testing.assert_array_equal(result.mean, read_tiff(memory / "out.tif"))
    with pytest.raises(BadInput, match="copy it from there"):
        result.save(python / "other.tif")
    with pytest.raises(BadInput, match="one answer has no deviation"):
        _ = result.std


def test_arrays_and_tensors_are_despeckled_as_files(tmp_path: Path) -> None:
    y = speckled(90, 100)[1]
    np.save(tmp_path / "in.npy", y)
    settings: dict[str, Any] = {"solver": "hqs", "steps": 2, "looks": 4.0, "domain": "intensity", "notes": Notes()}
    expected = restorekit.despeckle(tmp_path / "in.npy", **settings).mean
    two = np.stack([y, 2 * y], -1)
    for source in (y, torch.from_numpy(y)[None], torch.from_numpy(y)[None, None]):
        np.testing.assert_array_equal(restorekit.despeckle(source, **settings).mean, expected)
    np.testing.assert_array_equal(restorekit.despeckle(two, **settings).mean[:1], expected)


def test_a_result_in_memory_replaces_no_input(scene: Path, tmp_path: Path) -> None:
    result = restorekit.despeckle(scene, solver="lee", looks=4.0, notes=Notes())
    with pytest.raises(BadInput, match="is the input itself"):
        result.save(scene)
    with pytest.raises(BadInput, match="unknown file type"):
        result.save(tmp_path / "out.xyz")
    assert not list(tmp_path.iterdir())


def test_figures_of_a_scene_are_those_of_the_command(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go("despeckle", scene, tmp_path / "out.tif", "--solver", "lee", "--looks", 4) == 0
    capsys.readouterr()
    assert go("metrics", "sar", scene, tmp_path / "out.tif", "--looks", 4, "--json") == 0
    found = SpeckleAssessment(looks=4.0)(scene, tmp_path / "out.tif")
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(found.plain()))
    arrays = SpeckleAssessment(looks=4.0)(read_tiff(scene)[0], read_tiff(tmp_path / "out.tif")[0])
    assert {**arrays.plain()["bands"][0], "band": "band 1"} == {**found.plain()["bands"][0], "band": "band 1"}


# --- fuse ---


def test_a_pair_fused_by_python_is_that_of_the_command(tmp_path: Path) -> None:
    (command, python), (optical, sar) = both(tmp_path), rasters(tmp_path)
    assert go("fuse", optical, sar, command / "out.tif", "--despeckle", "lee", "--match", "histogram") == 0
    result = restorekit.fuse(optical, sar, despeckle="lee", match="histogram", notes=Notes())
    assert result.save(python / "out.tif") == [python / "out.tif", python / "out.tif.json"]
    assert contents(python) == contents(command)
    np.testing.assert_array_equal(result.pixels, read_tiff(command / "out.tif"))
    found = fusion_metrics(optical, sar, python / "out.tif", despeckle="lee", match="histogram", notes=Notes()).metrics
    assert found == pytest.approx(result.metrics)


def test_arrays_are_fused_as_files(tmp_path: Path) -> None:
    optical, sar = pictures(tmp_path)
    settings: dict[str, Any] = {"despeckle": "lee", "domain": "amplitude", "notes": Notes()}
    expected = restorekit.fuse(optical, sar, **settings).pixels
    o, r = (np.asarray(Image.open(path)) for path in (optical, sar))
    np.testing.assert_array_equal(restorekit.fuse(o, r, **settings).pixels, expected)
    bands_first = torch.from_numpy(np.moveaxis(o, -1, 0).copy())
    np.testing.assert_array_equal(restorekit.fuse(bands_first, r, **settings).pixels, expected)
    np.testing.assert_array_equal(restorekit.fuse(read_picture(optical), r, **settings).pixels, expected)


def test_what_is_no_pair_is_refused_before_it_is_despeckled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the radar picture was despeckled")

    monkeypatch.setattr("restorekit.tasks.fuse.despeckled_by_prior", never)
    shifted = rasters(tmp_path, radar=WHOLE.cut(52, 32, 120, 130))
    assert "are not registered" in refused(capsys, "fuse", *shifted, tmp_path / "out.tif")
    optical, sar = rasters(tmp_path)
    assert "write .tif" in refused(capsys, "fuse", optical, sar, tmp_path / "out.png")
    (tmp_path / "out.tif.json").mkdir()
    assert "is a folder" in refused(capsys, "fuse", optical, sar, tmp_path / "out.tif")
    Image.fromarray(eight(PLACE.rgb)[0, 5:]).save(tmp_path / "small.png")
    assert "compare pictures of one size" in refused(capsys, "metrics", "fusion", optical, sar, tmp_path / "small.png")
    with pytest.raises(AssertionError, match="was despeckled"):
        restorekit.fuse(optical, sar, notes=Notes())


# --- derain ---

QUICK: dict[str, Any] = {"prior": "natural-fast", "steps": 3}


@pytest.mark.parametrize("given", [True, False])
def test_a_picture_derained_by_python_is_that_of_the_command(given: bool, tmp_path: Path) -> None:
    (command, python), (rainy, base) = both(tmp_path), rainy_pair(tmp_path)
    own = ("--derained", base) if given else ()
    assert go("derain", rainy, command / "out.png", *own, "--prior", "natural-fast", "--steps", 3) == 0
    result = restorekit.derain(rainy, base if given else None, notes=Notes(), **QUICK)
    written = result.save(python / "out.png")
    assert {p.name for p in written} == {p.name for p in command.iterdir()}
    assert contents(python) == contents(command)
    assert result.samples.shape == (2, *read_picture(rainy).pixels.shape)
    saved = read_picture(python / "out.png").pixels
    assert float(np.abs(result.mean.numpy().clip(0, 1) - saved).max()) < 0.51 / 255
    assert any("weak" in text for text in result.notes) != given


def test_arrays_are_derained_as_files(tmp_path: Path) -> None:
    rainy, base = rainy_pair(tmp_path)
    expected = restorekit.derain(rainy, base, notes=Notes(), **QUICK)
    y, b = (np.asarray(Image.open(path)) for path in (rainy, base))
    found = restorekit.derain(y, b, notes=Notes(), **QUICK)
    torch.testing.assert_close(found.samples, expected.samples, rtol=0, atol=0)
    found.save(tmp_path / "out.png")
    record = json.loads((tmp_path / "out.png.json").read_text())["input"]
    assert record["rainy"]["path"] is None
    assert record["rainy"]["shape"] == [3, *y.shape[:2]]
    k = np.asarray(Image.open(tmp_path / "out_mask.png")) > 0
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png"))[~k], b[~k])
    masked = restorekit.derain(read_picture(rainy), b, mask=k, notes=Notes(), **QUICK)
    assert masked.settings["masked"] == pytest.approx(float(k.mean()))


def test_an_interrupted_save_leaves_no_file_of_a_deraining(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rainy, base = rainy_pair(tmp_path)
    result = restorekit.derain(rainy, base, notes=Notes(), **QUICK)
    before = sorted(p.name for p in tmp_path.iterdir())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("restorekit.tasks.derain_files.write_json", full)
    with pytest.raises(OSError, match="No space"):
        result.save(tmp_path / "out.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_figures_of_a_picture_are_those_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rainy, base = rainy_pair(tmp_path)
    assert go("metrics", rainy, base, "--crop", 2, "--json") == 0
    assert json.loads(capsys.readouterr().out) == pytest.approx(picture_metrics(rainy, base, crop=2))
    arrays = (np.asarray(Image.open(path)) for path in (rainy, base))
    assert picture_metrics(*arrays, crop=2) == pytest.approx(picture_metrics(rainy, base, crop=2))


# --- one table of defaults ---

MANY = {"overwrite", "ctx", "places", "folder", "suffix"}  # pictures


@pytest.mark.parametrize(
    ("command", "task", "parsed", "more"),
    [
        (cli_derain.derain, Deraining, {}, MANY | {"scheduler", "derained", "rain", "mask", "report"}),
        (
            cli_despeckle.despeckle,
            Despeckling,
            {"looks": None},
            MANY
            | {
                "report",
                "targets",
                "structure",
                "layout",
                "network",
                "product",
                "reading",
                "joint",
                "joint_by",
                "changes",
            },
        ),
        (cli_fuse.fuse, Fusing, {"looks": None}, MANY | {"scheduler", "sar"}),
    ],
)
def test_options_have_the_defaults_of_the_settings(
    command: Any, task: Any, parsed: dict[str, Any], more: set[str]
) -> None:
    """`parsed`: settings whose default is another word on the command line."""
    settings = {f.name: f.default for f in fields(task)}
    options = {name.rstrip("_"): p.default for name, p in signature(command).parameters.items() if name not in more}
    options = {{"snap": "interop_snap", "pages": "page"}.get(name, name): value for name, value in options.items()}
    assert options | parsed == {name: value for name, value in settings.items() if name not in more}
