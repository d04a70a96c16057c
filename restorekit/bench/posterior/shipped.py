"""The calibration table of this version, as it is in the package."""

from __future__ import annotations

import csv
import math
from importlib.resources import files
from statistics import fmean

from restorekit.bench.posterior.exam_gaussian import OPERATORS
from restorekit.solvers import SOLVERS

SHIPPED = (
    "size",
    "problem",
    "solver",
    "steps",
    "w2",
    "floor",
    "coverage_measured",
    "coverage_unmeasured",
)  # of the table
HEADER = ("solver", "draws", "needs", "calls", "gradients", "W2", "coverage")
MEANING = (
    "calls: network calls per sample by default; gradients: vector-Jacobian products per call; W2: distance from the exact\n"
    "posterior over that of as many exact draws, and coverage of 90 % intervals, on those Gaussian problems of\n"
    "`restorekit bench posterior` that a solver takes (exact: 1 and 0.9; smc, exchange, enkg at noise 0.05 alone); for other noise\n"
    "laws run it yourself"
)


def calibration(size: str = "quick") -> dict[str, tuple[str, str]]:
    """Return, by solver, the mean W2 over that of as many exact draws, and coverage, of the Gaussian problems it takes, as text.

    The table has `SHIPPED` of those rows of `restorekit bench posterior` that are none of a refusal (`benchmarks/restoration/posterior.py`).
    """
    table = files("restorekit.bench.posterior") / "posterior.csv"
    if not table.is_file():
        return {}
    with table.open("r", encoding="utf-8") as f:
        taken = [r for r in csv.DictReader(f) if r["size"] == size and r["problem"] in OPERATORS]
    found = {}
    for name in {r["solver"] for r in taken if r["steps"] == "own"}:
        mine = [r for r in taken if r["solver"] == name]
        far = [float(r["w2"]) / float(r["floor"]) for r in mine]
        inside = [float(r[k]) for r in mine for k in ("coverage_measured", "coverage_unmeasured")]
        kept = [[v for v in values if not math.isnan(v)] for values in (far, inside)]
        found[name] = tuple(f"{fmean(v):.2f}" if v else "-" for v in kept)
    return found  # type: ignore[return-value]


def solver_rows() -> tuple[list[list[str]], str]:
    """Return (a row of HEADER for every solver, what its figures mean)."""
    measured, rows = calibration(), []
    for name, kind in SOLVERS.items():
        solver, draws = kind(), "samples" if kind.is_sampler else "one optimum"
        calls = solver.calls([1.0] * (kind.default_steps + 1))
        rows.append([name, draws, kind.needs, str(calls), str(solver.products), *measured.get(name, ("-", "-"))])
    refusing = [name for name, kind in SOLVERS.items() if kind.is_sampler and name not in measured]
    exact = [name for name in refusing if SOLVERS[name].exact]
    other = [name for name in refusing if name not in exact]
    why = (
        f"\n-: one optimum is no draw and has no spread; {' and '.join(exact)} meet a measurement exactly, noise included, and these\n"
        f"have noise; {' and '.join(other)} are for noise laws other than Gaussian"
    )
    return rows, MEANING + (why if measured else "")
