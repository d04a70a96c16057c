"""`calibrate` as a function: the file of the command, and pictures from memory."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

import restorekit
from restorekit import BadInput
from restorekit.notes import Notes, RestorekitNote
from restorekit.uncertainty.calibration import Calibration
from tests.support.fields import go

PHOTO = skimage.data.astronaut()
PICTURES = [PHOTO[60 + 20 * i : 76 + 20 * i, 150:166] for i in range(4)]
QUICK: dict[str, Any] = {"prior": "natural-fast", "steps": 1, "samples": 2, "crop": 16}
WORDS = ("--prior", "natural-fast", "--steps", 1, "--samples", 2, "--crop", 16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    photos = tmp_path_factory.mktemp("calibrate") / "photos"
    photos.mkdir()
    for i, x in enumerate(PICTURES):
        Image.fromarray(x).save(photos / f"{i}.png")
    return photos


def test_a_calibration_by_python_is_that_of_the_command(folder: Path, tmp_path: Path) -> None:
    command, python, later = (tmp_path / f"{name}.json" for name in ("command", "python", "later"))
    assert (
        go("calibrate", "--data", folder, "--task", "denoise", "--noise", "gaussian:0.1", *WORDS, "--out", command) == 0
    )
    with pytest.warns(RestorekitNote, match="2 pictures calibrate, enough for a level of 0.66 at most"):
        result = restorekit.calibrate(folder, "denoise", "gaussian:0.1", python, **QUICK)
    assert python.read_bytes() == command.read_bytes()
    assert result.journal == tmp_path / "python_rows.csv"
    # Without a place it is in memory, and saved when it is asked for.
    before = sorted(tmp_path.iterdir())
    held = restorekit.calibrate(folder, "denoise", ["gaussian:0.1"], notes=Notes(), **QUICK)
    assert sorted(tmp_path.iterdir()) == before
    assert held.save(later) == [later]
    assert later.read_bytes() == command.read_bytes()
    assert repr(held) == "Calibrated(natural-fast: denoise gaussian:0.1; 2 pictures calibrate, 0 judge)"
    assert held.notes == result.notes


def test_pictures_in_memory_are_those_of_files(folder: Path) -> None:
    paths = sorted(folder.iterdir())
    forms = (paths, PICTURES, [torch.from_numpy(np.moveaxis(x, -1, 0).copy()) for x in PICTURES])
    made = [restorekit.calibrate(form, "denoise", "gaussian:0.1", notes=Notes(), **QUICK).entries for form in forms]
    assert made[0] == made[1] == made[2]
    assert made[0][0].data.startswith("4 pictures ")
    assert made[0][0].conditions.samples == 2


def test_factors_of_a_calibration_are_those_of_error_bars(tmp_path: Path) -> None:
    prior = restorekit.load_prior("natural-fast")
    settings: dict[str, Any] = {**QUICK, "solver": restorekit.solvers.MMPS(), "prior": prior, "notes": Notes()}
    restorekit.calibrate(PICTURES, "denoise", "gaussian:0.1", **settings).save(tmp_path / "c.json")
    entry = Calibration.read(tmp_path / "c.json").entries[0]
    restored = restorekit.denoise(
        PICTURES[0], noise="gaussian:0.1", solver="mmps", steps=1, samples=2, level=0.6, prior=prior, calibration=tmp_path / "c.json",
        notes=Notes(),
    )  # fmt: skip
    assert restored.source.bars.interval.factor == pytest.approx(entry.factor(0.6))


def test_the_power_of_the_spread_follows_the_task_or_the_setting(tmp_path: Path) -> None:
    """What blurs or reduces by more than 2 loses detail everywhere, which samples then tell too little of."""
    settings: dict[str, Any] = {**QUICK, "solver": restorekit.solvers.MMPS(), "prior": "natural-fast", "notes": Notes()}
    tasks = ["denoise", "blur:kernel=gaussian:1.6", "average:factor=2", "average:factor=4"]
    made = [restorekit.calibrate(PICTURES, task, "gaussian:0.1", **settings) for task in tasks]
    assert [m.entries[0].spread.power for m in made] == [1.0, 1.15, 1.0, 1.15]
    own = restorekit.calibrate(PICTURES, "denoise", "gaussian:0.1", **settings, power=1.3)
    assert own.entries[0].spread.power == 1.3
    own.save(tmp_path / "c.json")
    restored = restorekit.denoise(
        PICTURES[0], noise="gaussian:0.1", solver="mmps", steps=1, samples=2, level=0.6, calibration=tmp_path / "c.json",
        prior="natural-fast", notes=Notes(),
    )  # fmt: skip
    assert restored.source.bars.interval.spread == own.entries[0].spread
    with pytest.raises(BadInput, match="power"):
        restorekit.calibrate(PICTURES, "denoise", "gaussian:0.1", **settings, power=3.0)


def test_a_table_without_powers_goes_on_with_the_power_it_was_drawn_with(folder: Path, tmp_path: Path) -> None:
    out, journal = tmp_path / "c.json", tmp_path / "c_rows.csv"
    settings = {**QUICK, "prior": "natural-fast", "solver": restorekit.solvers.MMPS()}
    restorekit.calibrate(folder, "blur:kernel=gaussian:1", "gaussian:0.1", out, **settings, power=1.0)
    kept = Calibration.read(out).entries[0]
    with journal.open(newline="") as f:
        rows = list(csv.DictReader(f))
    with journal.open("w", newline="") as f:
        writer = csv.DictWriter(f, [k for k in rows[0] if k != "power"], extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    notes = Notes()
    restorekit.calibrate(folder, "blur:kernel=gaussian:1", "gaussian:0.1", out, **{**settings, "notes": notes})
    again = Calibration.read(out).entries[0]
    assert (again.spread, again.ratios) == (kept.spread, kept.ratios)
    assert any("all rows are drawn with `power=1`" in text for text in notes.texts)


def test_what_cannot_be_calibrated_on_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="two pictures of 64x64 pixels are the least"):
        restorekit.calibrate(PICTURES, "denoise", "gaussian:0.1", prior="natural-fast")
    with pytest.raises(BadInput, match="a calibration is JSON"):
        restorekit.calibrate(folder, "denoise", "gaussian:0.1", tmp_path / "c.txt", **QUICK)
    (tmp_path / "c.json").write_bytes((folder / "0.png").read_bytes())
    with pytest.raises(BadInput, match="is the input itself"):
        restorekit.calibrate(
            [folder / "0.png", tmp_path / "c.json"], "denoise", "gaussian:0.1", tmp_path / "c.json", **QUICK
        )
    with pytest.raises(BadInput, match="picture 0 has 2 bands"):
        restorekit.calibrate([np.zeros((16, 16, 2))] * 2, "denoise", "gaussian:0.1", **QUICK)
