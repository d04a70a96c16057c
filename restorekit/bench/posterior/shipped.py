"""The calibration table of this version, as it is in the package."""

from __future__ import annotations

import csv
import math
from importlib.resources import files
from statistics import fmean

from restorekit.bench.posterior.exam_gaussian import OPERATORS


def calibration(size: str = "quick") -> dict[str, tuple[str, str]]:
    """Return, by solver, the mean W2 over that of as many exact draws, and coverage, of the Gaussian problems it takes, as text."""
    table = files("restorekit.bench.posterior") / "posterior.csv"
    if not table.is_file():
        return {}
    with table.open("r", encoding="utf-8") as f:
        taken = [r for r in csv.DictReader(f) if r["size"] == size and r["problem"] in OPERATORS and not r["refused"]]
    found = {}
    for name in {r["solver"] for r in taken if r["steps"] == "own"}:
        mine = [r for r in taken if r["solver"] == name]
        far = [float(r["w2"]) / float(r["floor"]) for r in mine]
        inside = [float(r[k]) for r in mine for k in ("coverage_measured", "coverage_unmeasured")]
        kept = [[v for v in values if not math.isnan(v)] for values in (far, inside)]
        found[name] = tuple(f"{fmean(v):.2f}" if v else "-" for v in kept)
    return found  # type: ignore[return-value]
