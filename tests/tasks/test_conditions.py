"""Under which conditions error bars count as calibrated: noise that went through a JPEG, or that neighbours share, has its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import data

import restorekit as rk
from restorekit.notes import Notes
from restorekit.tasks import error_bars
from restorekit.tasks.restore import Restoring
from restorekit.text.names import solver_of
from restorekit.uncertainty.calibration import Conditions

RNG = np.random.default_rng


def saved(path: Path, sigma: float, quality: int = 85, grain: float = 0.0) -> Path:
    x = np.asarray(data.chelsea())[:192, 100:292] / 255
    noise = RNG(0).standard_normal(x.shape)
    if grain:
        noise = ndimage.gaussian_filter(noise, (grain, grain, 0))
    y = Image.fromarray(np.rint(255 * (x + sigma * noise / noise.std()).clip(0, 1)).astype(np.uint8))
    y.save(path, quality=quality)  # which a PNG does not ask for
    return path


def found(path: Path, noise: str) -> tuple[Conditions, str | None]:
    task = Restoring(op="denoise", noise=noise, prior="natural-fast", solver="mmps", samples=8)
    measured = task.measure(path, Notes())
    wanted = error_bars.conditions("denoise", measured.forward, "censored", solver_of("mmps"), None, 8)
    return wanted, error_bars.refusal(measured.prior, measured.forward, 1, False, False)


@pytest.mark.parametrize(
    ("name", "quality", "sigma", "kind"),
    [("y.jpg", 85, 0.05, "jpeg"), ("y.jpg", 99, 0.1, "uint8"), ("y.png", 0, 0.05, "uint8")],
)
def test_a_jpeg_counts_as_one_where_it_lost_much_beside_its_noise(
    name: str, quality: int, sigma: float, kind: str, tmp_path: Path
) -> None:
    wanted, why = found(saved(tmp_path / name, sigma, quality), f"gaussian:{sigma}")
    assert (wanted.dtype, wanted.measured, why) == (kind, False, None)


def test_noise_that_was_measured_is_told_from_noise_that_was_given(tmp_path: Path) -> None:
    assert found(saved(tmp_path / "y.png", 0.05), "auto")[0].measured


@pytest.mark.parametrize("name", ["y.png", "y.jpg"])
def test_noise_that_neighbours_share_has_no_calibration_of_white_noise(name: str, tmp_path: Path) -> None:
    wanted, why = found(saved(tmp_path / name, 0.05, quality=100, grain=1.0), "auto")
    assert wanted.dtype == "uint8"  # a JPEG of this quality too
    assert "neighbours" in (why or "")


def test_a_jpeg_of_told_noise_says_that_its_error_bars_are_not_calibrated(tmp_path: Path) -> None:
    path = saved(tmp_path / "y.jpg", 0.05)
    said = rk.denoise(path, noise="gaussian:0.05", prior="natural-fast", solver="mmps", samples=2, steps=2).notes
    assert any("not calibrated (none of denoise at gaussian:0.05 of jpeg files" in line for line in said)
