"""What the commands that draw samples write, and what they say: no data, failing disks, notes, files of other kinds."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import tifffile
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from restorekit import operators as ops
from restorekit.cli.main import app
from restorekit.files.picture import Picture, read_picture, write_picture
from restorekit.files.stored import read_values
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.priors.analytic import GaussianPrior
from restorekit.priors.find import load_prior, shipped
from restorekit.solvers import SOLVERS
from restorekit.tasks import error_bars
from restorekit.uncertainty.calibration import Conditions, beside, solver_key
from restorekit.uncertainty.interval import student
from tests.files.test_nodata import geotiff, scene
from tests.support.cases import peaked

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
    read = read_picture(tmp_path / "b_std.tif", (0, 1)).empty
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

    monkeypatch.setattr("restorekit.files.atomic.os.fsync", full)
    found = go("denoise", y, tmp_path / "o.png", *NOISE, *QUICK, *SAMPLES, "--seed", 1)
    assert found.exit_code == 1
    assert f"{failing}: not written" in str(found.exception)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def notes(found: Result) -> list[str]:
    return [line for line in found.stderr.splitlines() if line.startswith(("restorekit: note:", "noise:"))]


def test_noise_below_what_a_solver_knows_is_said(tmp_path: Path) -> None:
    y = photo(tmp_path / "y.png")
    for solver, told in (("mmps", True), ("hqs", True), ("ddrm", False)):
        found = done("denoise", y, tmp_path / "o.png", "--noise", "gaussian:0.0002", *QUICK[:2], "--solver", solver, "--steps", 10)  # fmt: skip
        said = [line for line in notes(found) if "counts as 0.001" in line]
        assert len(said) == told, notes(found)
        record = json.loads((tmp_path / "o.png.json").read_text())
        assert record["noise_counted"] == (pytest.approx(0.001) if told else None)
        assert record["noise"] == "gaussian:0.0002"
        assert not told or record["misfit"] < 3  # in what it counts as
    assert "counts as" not in done("denoise", y, tmp_path / "o.png", "--noise", "gaussian:0.001", *QUICK).stderr


@pytest.mark.parametrize("name", [name for name, solver in SOLVERS.items() if solver.least_noise])
def test_less_noise_counts_as_the_least(name: str) -> None:
    shape = (1, 8, 8)
    prior = GaussianPrior.smooth(shape)
    x = prior.sample(1, torch.Generator().manual_seed(0))
    operator, solver = ops.ReflectBlur(shape, peaked(3, 3).double()), SOLVERS[name]()
    first, second = (
        restore(Problem(operator(x), operator, Gaussian(sigma)), prior, solver, steps=20).samples
        for sigma in (1e-4, 5e-4)
    )
    assert torch.equal(first, second)
    assert Problem(operator(x), operator, Gaussian(5e-4)).raised(solver.least_noise) == pytest.approx(1e-3, rel=1e-2)
    assert Problem(operator(x), operator, Gaussian(1e-3)).raised(solver.least_noise) is None
    assert Problem(4 * x, ops.BlockAverage((1, 32, 32), 4), Gaussian(2e-4)).raised(1e-3) == pytest.approx(
        2.5e-4, rel=1e-2
    )


@pytest.mark.parametrize(
    "words", [("--level", 0.8), ("--calibration", "auto"), ("--level", 0.9, "--calibration", "none")]
)
def test_one_sample_has_no_intervals(words: tuple[object, ...], tmp_path: Path) -> None:
    found = go("denoise", photo(tmp_path / "y.png"), tmp_path / "o.png", *NOISE, *QUICK, *words)
    assert found.exit_code == 1
    assert str(found.exception) == (
        f"{' and '.join(f'`{str(w)[2:]}`' for w in words[::2])}: one sample has no intervals; give `samples=2` or more, or leave it out"
    )
    assert not list(tmp_path.glob("o*"))


def test_an_optimiser_that_is_asked_for_samples_names_a_sampler(tmp_path: Path) -> None:
    y = photo(tmp_path / "y.png")
    found = go("denoise", y, tmp_path / "o.png", *NOISE, "--prior", "natural-fast", "--solver", "hqs", "--samples", 4)
    assert found.exit_code == 1
    assert str(found.exception).endswith("leave out `samples` or take a sampler, `solver=mmps`")
    assert not list(tmp_path.glob("o*"))


def test_what_is_assumed_of_the_noise_is_said_once_and_error_bars_in_one_line(tmp_path: Path) -> None:
    y = photo(tmp_path / "y.png")
    Image.fromarray(np.random.default_rng(0).random(PHOTO.shape[:2]) > 0.4).save(tmp_path / "m.png")
    asked = ("inpaint", y, tmp_path / "o.png", "--mask", tmp_path / "m.png", "--prior", "natural-fast", *SAMPLES)
    said = notes(done(*asked))
    assert len(said) <= 3, said
    assert said[0].startswith("noise: gaussian:0.01 is assumed; give what y.png has, as --noise")
    assert ["error bars" in line for line in said].count(True) == 1, said
    assert "inpaint:mask=random:0.5" in next(line for line in said if "error bars" in line), said
    assert json.loads((tmp_path / "o.png.json").read_text())["noise_assumed"]
    said = notes(done(*asked, "--noise", "gaussian:0.02", "--steps", 2))
    assert not [line for line in said if "is assumed" in line]
    assert not json.loads((tmp_path / "o.png.json").read_text())["noise_assumed"]
    for words in (("upscale",), ("colorize",)):
        grey = tmp_path / "g.png"
        Image.fromarray(PHOTO[..., 0]).save(grey)
        found = done(words[0], grey, tmp_path / "u.png", "--prior", "natural-fast", "--steps", 2)
        assert len([line for line in notes(found) if "is assumed" in line]) == 1


EXACT = ("--calibration", "none", "--samples", 3)  # intervals of each pixel's own deviation


def read(path: Path) -> np.ndarray:
    """(C, H, W) in values of the file."""
    return read_values(path)[0].astype(float)


@pytest.mark.parametrize("kind", ["16 bits", "floats in a range", "floats as 16 bits"])
def test_deviations_and_intervals_are_in_the_unit_of_the_result(kind: str, tmp_path: Path) -> None:
    x = PHOTO.transpose(2, 0, 1) / 255
    y, out = tmp_path / "y.png", tmp_path / "o.png"
    if kind == "16 bits":
        write_picture(y, x, Picture(x, "uint16", (0.0, 65535.0)))
        more: tuple[object, ...] = ()
    else:
        y, more = tmp_path / "y.tif", ("--range", "-1000,11000")
        tifffile.imwrite(y, (PHOTO * 40.0 + 300).astype(np.float32), photometric="rgb")
        out = out if kind == "floats as 16 bits" else tmp_path / "o.tif"
    done("denoise", y, out, *NOISE, *QUICK, *EXACT, *more)
    mean, std, low, high = (read(tmp_path / f"o_{end}{'.tif' if end == 'std' else out.suffix}") for end in ENDS)
    exact = student(0.9, 3) * (1 + 1 / 3) ** 0.5 * std
    top = 65535 if out.suffix == ".png" else np.inf
    free = (low > 0) & (high < top) if out.suffix == ".png" else np.ones(low.shape, bool)
    assert free.mean() > 0.2
    assert (low <= mean).all()
    assert (mean <= high).all()
    if out.suffix == ".png":  # rounded outwards, by no more than a step
        assert ((high - low) >= 2 * exact - 0.01)[free].all()
        assert ((high - low) <= 2 * exact + 2.01)[free].all()
        assert low.min() >= 0
        assert high.max() <= top
    else:
        np.testing.assert_allclose(high - low, 2 * exact, rtol=1e-3)
    span = {"16 bits": "0..65535", "floats in a range": "-1000..11000", "floats as 16 bits": "0..65535"}[kind]
    assert json.loads(out.with_name(out.name + ".json").read_text())["std_unit"] == f"values of OUT over {span}"


@pytest.mark.parametrize("words", [("denoise",), ("upscale", "--factor", 2), ("colorize",)], ids=lambda w: w[0])
def test_all_files_have_the_size_the_bands_and_the_transparency_of_the_result(
    words: tuple[object, ...], tmp_path: Path
) -> None:
    alpha = np.full(PHOTO.shape[:2], 255, np.uint8)
    alpha[:4], alpha[8:12, 8:12] = 100, 0
    bands = (PHOTO[..., :1],) if words[0] == "colorize" else (PHOTO,)
    Image.fromarray(np.dstack([*bands, alpha])).save(tmp_path / "y.png")
    done(words[0], tmp_path / "y.png", tmp_path / "o.png", *words[1:], *NOISE, *QUICK, *SAMPLES)
    times = 2 if words[0] == "upscale" else 1
    for end in ("", "_mean", "_low", "_high"):
        back = np.asarray(Image.open(tmp_path / f"o{end}.png"))
        assert back.shape == (24 * times, 20 * times, 4)
        np.testing.assert_array_equal(back[..., 3], alpha.repeat(times, 0).repeat(times, 1))
    std = tifffile.imread(tmp_path / "o_std.tif", key=0)
    assert std.shape == (24 * times, 20 * times, 3)
    np.testing.assert_array_equal(np.isnan(std).all(-1), (alpha == 0).repeat(times, 0).repeat(times, 1))


def test_what_a_run_is_not_calibrated_for_is_not_offered_to_be_calibrated(tmp_path: Path) -> None:
    y = photo(tmp_path / "y.png")
    for more in (("--start", 0.5), ("--start", 0.5, "--begin", y)):
        words = ("--op", "denoise", *NOISE, *QUICK[:4], "--steps", 10, *SAMPLES)
        (said,) = [v for v in notes(done("restore", y, tmp_path / "o.png", *words, *more)) if "calibrated" in v]
        assert "without --flips, --coarse, --start and --begin" in said
        assert "restorekit calibrate" not in said


def test_colours_without_calibration_are_said_to_be_farther_off(tmp_path: Path) -> None:
    grey = tmp_path / "g.png"
    Image.fromarray(PHOTO[..., 0]).save(grey)
    for more, told in (((), True), (("--flips", 2), True), (("--calibration", "none"), False)):
        said = notes(done("colorize", grey, tmp_path / "u.png", *NOISE, *QUICK, *SAMPLES, *more))
        assert ["colours that were not measured are often farther off" in line for line in said].count(True) == told
    assert "colours" not in done("denoise", grey, tmp_path / "d.png", *NOISE, *QUICK, *SAMPLES).stderr


def test_a_prior_without_calibration_names_one_of_the_same_pictures_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {name: tmp_path / path.name for name, path in shipped().items()}
    for name, path in shipped().items():
        known[name].symlink_to(path)
    beside(known["natural-fast"]).symlink_to(beside(shipped()["natural-fast"]))
    monkeypatch.setattr(error_bars, "shipped", lambda: known)
    prior, sar = (load_prior(str(known[name])) for name in ("natural", "sar"))
    wanted = Conditions(task="denoise", noise="gaussian:0.05", solver=solver_key(SOLVERS["mmps"](), None))
    assert error_bars.found_for("auto", 0.9, prior, wanted, None).note == (
        "error bars are not calibrated (none for prior natural; natural-fast has one: `prior=natural-fast`): "
        "OUT_low and OUT_high hold for Gaussian posteriors alone"
    )
    for level, unknown in ((0.99, wanted), (0.9, replace(wanted, noise="gaussian:0.9"))):  # which it has not
        said = error_bars.found_for("auto", level, prior, unknown, None).note
        assert "(none for prior natural; `restorekit calibrate` makes one)" in said
    said = error_bars.found_for("auto", 0.9, sar, wanted, None).note  # of pictures of another kind
    assert "(none for prior sar; `restorekit calibrate` makes one)" in said


def test_the_ends_of_intervals_in_jpeg_are_said_to_be_moved(tmp_path: Path) -> None:
    y = photo(tmp_path / "y.png")
    for name, told in (("o.jpg", True), ("o.png", False), ("o.webp", False)):
        found = done("denoise", y, tmp_path / name, *NOISE, *QUICK, *SAMPLES)
        assert ("compression moves OUT_low and OUT_high" in found.stderr) == told


def test_nan_behind_a_mask_is_filled_with_error_bars(tmp_path: Path) -> None:
    x = PHOTO.astype(np.float32) / 255
    mask = np.ones(PHOTO.shape[:2], bool)
    mask[5:10, 5:12] = False
    x[~mask] = np.nan
    tifffile.imwrite(tmp_path / "y.tif", x, photometric="rgb")
    Image.fromarray(mask).save(tmp_path / "m.png")
    done("inpaint", tmp_path / "y.tif", tmp_path / "o.tif", "--mask", tmp_path / "m.png", *NOISE, *QUICK, *SAMPLES)
    for end in ENDS:
        assert np.isfinite(tifffile.imread(tmp_path / f"o_{end}.tif")).all()
    std = tifffile.imread(tmp_path / "o_std.tif")
    assert (std > 0).all()


@pytest.mark.parametrize("kind", ["1", "P"])
def test_pictures_of_one_bit_and_of_a_palette_are_restored_as_8_bits(kind: str, tmp_path: Path) -> None:
    image = Image.fromarray(PHOTO)
    (image.convert("1") if kind == "1" else image.quantize(16)).save(tmp_path / "y.png")
    done("denoise", tmp_path / "y.png", tmp_path / "o.png", *NOISE, *QUICK, *SAMPLES)
    low, high = (np.asarray(Image.open(tmp_path / f"o_{end}.png")) for end in ("low", "high"))
    assert low.shape == (PHOTO.shape[:2] if kind == "1" else PHOTO.shape)
    assert low.dtype == np.uint8
    assert (low <= high).all()
