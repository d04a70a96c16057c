"""Entries of a calibration for files whose noise went through a JPEG, and was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from restorekit.uncertainty.calibration import Calibration, Entry, Uncalibrated
from restorekit.uncertainty.conformal import Scores
from restorekit.uncertainty.interval import LOCAL, student
from tests.uncertainty.test_uncertainty import calibration, wanted


def test_files_whose_noise_went_through_a_jpeg_are_a_type_of_their_own() -> None:
    def entry(noise: float) -> Entry:
        c = replace(wanted(noise), dtype="jpeg", measured=True)
        return Entry.of(c, LOCAL, "made", [Scores.of(np.full(50, 5 * 0.999))] * 30)

    plain = calibration()
    both = plain.joined([entry(0.02), entry(0.08)])
    asked = replace(wanted(0.04), dtype="jpeg", measured=True)
    found = both.find(asked, "0" * 64, 0.9)
    assert found.interval.factor * student(0.9, 8) == pytest.approx(5, rel=0.03)
    assert found.record["calibration"]["dtype"] == "jpeg"
    assert not found.note
    for known, why in ((plain, "the nearest is .*of uint8 files"), (both, "of noise that was measured")):
        with pytest.raises(Uncalibrated, match=f"at gaussian:0.02 of jpeg files.*{why}"):
            known.find(replace(wanted(0.02), dtype="jpeg"), "0" * 64, 0.9)
    with pytest.raises(Uncalibrated, match="as measured of jpeg files"):
        plain.find(asked, "0" * 64, 0.9)
    own = replace(wanted(0.04), measured=True)  # white noise of other files is calibrated as told
    assert both.find(own, "0" * 64, 0.9).interval == plain.find(wanted(0.04), "0" * 64, 0.9).interval
    assert [row[1] for row in both.table() if row[2] == "jpeg"] == [
        "gaussian:0.02, measured",
        "gaussian:0.08, measured",
    ]


def test_a_calibration_of_measured_noise_is_read_as_it_was_written(tmp_path: Path) -> None:
    c = replace(wanted(0.02), dtype="jpeg", measured=True)
    made = calibration().joined([Entry.of(c, LOCAL, "made", [Scores.of(np.full(50, 1.0))] * 30)])
    made.write(tmp_path / "p.calibration.json")
    assert Calibration.read(tmp_path / "p.calibration.json") == made


def test_noise_that_neighbours_share_has_factors_of_its_own(tmp_path: Path) -> None:
    def entry(shared: bool, noise: float) -> Entry:
        c = replace(wanted(noise), dtype="jpeg", measured=True, shared=shared)
        return Entry.of(c, LOCAL, "made", [Scores.of(np.full(50, (2 + 3 * shared) * 0.999))] * 30)

    made = calibration().joined([entry(shared, noise) for shared in (False, True) for noise in (0.02, 0.08)])
    made.write(tmp_path / "p.calibration.json")
    known = Calibration.read(tmp_path / "p.calibration.json")
    assert known == made
    for shared in (False, True):
        asked = replace(wanted(0.04), dtype="jpeg", measured=True, shared=shared)
        factor = known.find(asked, "0" * 64, 0.9).interval.factor
        assert factor * student(0.9, 8) == pytest.approx(2 + 3 * shared, rel=0.03)
    assert sum("shared by neighbours" in row[1] for row in known.table()) == 2
    white = calibration().joined([entry(False, 0.02), entry(False, 0.08)])
    with pytest.raises(Uncalibrated, match=r"shared by neighbours.*nearest is .*of noise that neighbours do not share"):
        white.find(replace(wanted(0.04), dtype="jpeg", measured=True, shared=True), "0" * 64, 0.9)
