"""Calibrations that are shipped: of which weights, solver and rows they are."""

from __future__ import annotations

import csv
import lzma
from pathlib import Path

import numpy as np
import pytest

from restorekit.priors.find import shipped
from restorekit.priors.formats.checkpoint import sha256
from restorekit.solvers import MMPS as Sampler
from restorekit.tasks.calibration_rows import KEYS, rows_of
from restorekit.tasks.calibration_table import chosen, judge
from restorekit.uncertainty.calibration import Calibration, Entry, beside, solver_key
from restorekit.uncertainty.conformal import Scores

MMPS = solver_key(Sampler(), None)
SHIPPED = [path for path in (beside(weights) for weights in shipped().values()) if path.is_file()]
ROWS = Path(__file__).parents[2] / "benchmarks" / "results" / "coverage_rows.csv.xz"
CAMERAS = ROWS.with_name("coverage_cameras_rows.csv.xz")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_a_shipped_calibration_is_of_its_weights_of_mmps_as_it_is_and_of_the_kept_rows(path: Path) -> None:
    known = Calibration.read(path)
    assert known.sha256 == sha256(shipped()[known.prior])
    assert {e.conditions.solver for e in known.entries} == {MMPS}
    with lzma.open(ROWS, "rt", newline="") as f:
        rows = list(csv.DictReader(f))
    for entry in (e for e in known.entries if not e.conditions.measured):
        c = entry.conditions
        asked = {"prior": f"{known.prior}@{known.sha256[:12]}", "task": c.task, "noise": c.noise, "samples": c.samples}
        asked |= {
            "power": f"{entry.spread.power:g}",
            "dtype": c.dtype,
            "transfer": c.transfer,
            "clipped": c.clipped,
            "data": entry.data,
            "solver": c.solver,
        }
        kept, judging = (chosen(rows, half, **asked) for half in ("calibrate", "judge"))
        assert len(kept) == entry.pictures
        again = Entry.of(c, entry.spread, entry.data, [Scores.read(row["scores"]) for row in kept])
        assert np.allclose(again.ratios, entry.ratios, rtol=1e-5, equal_nan=True)
        assert entry.judged == judge(judging, entry.ratio(0.9)).record()
        assert not {row["picture"] for row in kept} & {row["picture"] for row in judging}


def test_what_is_shipped_for_measured_noise_is_of_the_kept_rows_of_cameras() -> None:
    path = next(p for p in SHIPPED if p.name.startswith("natural-fast"))
    known = Calibration.read(path)
    measured = [e for e in known.entries if e.conditions.measured]
    kinds = {(e.conditions.dtype, e.conditions.shared, e.conditions.samples) for e in measured}
    assert kinds == {("jpeg", shared, k) for shared in (False, True) for k in (2, 4, 8)}
    with lzma.open(CAMERAS, "rt", newline="") as f:
        rows = [r for r in csv.DictReader(f) if r["prior"] == f"{known.prior}@{known.sha256[:12]}"]
    for entry in measured:
        count, group = entry.conditions.samples, entry.data.split(", ")[1]
        kind = {"shared": int(entry.conditions.shared)}
        of = {half: chosen(rows, half, group=group, **kind) for half in ("calibrate", "judge")}
        if not entry.conditions.shared:
            more = chosen(rows, "calibrate", group="JPEG of white noise", **kind)
            assert not {r["picture"] for r in more} & {r["picture"] for r in of["calibrate"]}
            of["calibrate"] += more
        again = Entry.of(
            entry.conditions, entry.spread, entry.data, [Scores.read(r[f"scores{count}"]) for r in of["calibrate"]]
        )
        assert len(of["calibrate"]) == entry.pictures
        assert np.allclose(again.ratios, entry.ratios, rtol=1e-5, equal_nan=True)
        if entry.judged:
            judging = [r | {"samples": str(count), "scores": r[f"scores{count}"]} for r in of["judge"]]
            assert entry.judged == judge(judging, entry.ratio(0.9)).record()
    assert sum(bool(e.judged) for e in measured) == 4  # eight samples, of both kinds, at both ends of the noise


def test_the_kept_rows_are_gone_on_with(tmp_path: Path) -> None:
    kept = lzma.decompress(ROWS.read_bytes())
    (tmp_path / "rows.csv").write_bytes(kept)
    rows = rows_of(tmp_path / "rows.csv")
    assert {row["precision"] for row in rows.rows} <= {"", "fp32", "bf16"}
    first = rows.rows[0]
    assert rows.has(*(first[k] for k in KEYS))
    assert (tmp_path / "rows.csv").read_bytes() == kept
