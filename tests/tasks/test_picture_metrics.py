"""Figures of a picture are relative to white, which integers that fill little of their type do not tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import restorekit
from restorekit.errors import BadInput
from restorekit.notes import Notes
from restorekit.tasks.picture_metrics import picture_metrics


def twelve_bits() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4096, (32, 32), np.uint16)
    return np.clip(truth + rng.integers(-80, 81, truth.shape), 0, 4095).astype(np.uint16), truth


def test_twelve_bits_in_uint16_are_refused_until_white_is_said() -> None:
    picture, truth = twelve_bits()
    with pytest.raises(BadInput, match=r"uint16 from \d+ to \d+: say which value is white, as `range=0,4095`"):
        picture_metrics(picture, truth)
    given = picture_metrics(picture, truth, names=["psnr"], range=(0, 4095))
    error = np.mean((picture.astype(float) - truth) ** 2) ** 0.5 / 4095
    assert given["psnr"] == pytest.approx(-20 * np.log10(error), abs=1e-3)


def test_a_dark_result_of_a_bright_truth_is_judged() -> None:
    picture, truth = twelve_bits()
    assert picture_metrics(picture, truth * 16, names=["psnr"])["psnr"] < 20


def test_a_measurement_of_degrade_is_read_with_the_range_it_was_made_with(tmp_path: Path) -> None:
    clean = np.random.default_rng(1).random((24, 24, 3), np.float32)
    out = tmp_path / "y.tif"
    made = restorekit.degrade(clean, noise="gaussian:0.3", dtype="float32")
    made.save(out)
    assert made.values.max() > 1.25  # which a file of floats is refused for
    np.testing.assert_array_equal(restorekit.read(out).pixels, made.values.astype(np.float32))
    (tmp_path / "other.tif").write_bytes(out.read_bytes())
    with pytest.raises(BadInput, match="give `range=LO,HI`"):
        restorekit.read(tmp_path / "other.tif")


def test_a_range_that_degrade_was_told_holds_for_its_files(tmp_path: Path) -> None:
    clean = (1000 * np.random.default_rng(1).random((24, 24, 3))).astype(np.float32)
    restorekit.degrade(clean, noise="gaussian:0.05", range=(0, 1000)).save(tmp_path / "y.npy")
    assert restorekit.read(tmp_path / "y.npy").span == (0, 1000)
    assert restorekit.read(tmp_path / "y_truth.npy").span == (0, 1000)
    np.save(tmp_path / "y.npy", np.load(tmp_path / "y.npy") + 1)  # no file of degrade any more
    with pytest.raises(BadInput, match="give `range=LO,HI`"):
        restorekit.read(tmp_path / "y.npy")


def test_a_restored_file_is_read_with_the_range_of_its_record(tmp_path: Path) -> None:
    _, truth = twelve_bits()
    restorekit.degrade(truth, noise="gaussian:0.02", range=(0, 4095)).save(tmp_path / "y.tif")
    restored = restorekit.denoise(tmp_path / "y.tif", noise="gaussian:0.02", solver="hqs", steps=1)
    restored.save(tmp_path / "r.tif")
    restored.save(tmp_path / "r.jpg")  # which holds 8 bits
    assert restorekit.read(tmp_path / "r.tif").span == (0, 4095)
    assert restorekit.read(tmp_path / "r.jpg").span == (0, 255)
    given = picture_metrics(tmp_path / "r.tif", tmp_path / "y_truth.tif", range=(0, 4095))
    assert picture_metrics(tmp_path / "r.tif", tmp_path / "y_truth.tif") == given
    (tmp_path / "r.tif.json").unlink()
    notes = Notes()
    picture_metrics(tmp_path / "r.tif", tmp_path / "y_truth.tif", notes=notes)
    assert any("black to white is 0 to 65535 in" in text for text in notes.texts)


def test_one_white_pixel_is_a_picture() -> None:
    white = np.full((1, 1), 65535, np.uint16)  # which is no hot pixel among others
    assert picture_metrics(white, white, names=["mae"]) == {"mae": 0.0}
