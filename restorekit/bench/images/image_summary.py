"""Rows of the image bench put together: means over pictures, with their standard errors."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, stdev

from restorekit.bench.images.image_rows import KEYS, OK
from restorekit.errors import BadInput
from restorekit.report.plot import Point
from restorekit.report.table import Mean

Row = Mapping[str, str]
_OVER = tuple(k for k in KEYS if k != "picture")


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of numbers without NaN, and its standard error, NaN for fewer than two."""
    kept = [v for v in values if not math.isnan(v)]
    if not kept:
        return Mean(math.nan, math.nan)
    finite = len(kept) > 1 and all(map(math.isfinite, kept))
    return Mean(fmean(kept), stdev(kept) / math.sqrt(len(kept)) if finite else math.nan)


@dataclass(frozen=True, eq=False)
class Group:
    """The rows of one solver with one number of levels and one prior, over the pictures."""

    key: tuple[str, ...]  # values of `_OVER`
    rows: Sequence[Row]  # those that did not diverge, by picture
    diverged: int

    def __getattr__(self, name: str) -> str:
        if name not in _OVER:
            raise AttributeError(name)
        return self.key[_OVER.index(name)]

    def mean(self, column: str) -> Mean:
        """Return the mean of a column over the pictures; `time` is seconds per sample."""
        return mean_of([_value(r, column) for r in self.rows])

    def behind(self, best: Group, column: str = "psnr") -> Mean:
        """Return the PSNR of this minus that of `best`, picture by picture: pictures differ far more than solvers do on one."""
        theirs = {r["picture"]: _value(r, column) for r in best.rows}
        return mean_of([_value(r, column) - theirs[r["picture"]] for r in self.rows if r["picture"] in theirs])

    @cached_property
    def means(self) -> dict[str, Mean]:
        """Return the mean of every figure, by name."""
        names = [k for k in (self.rows[0] if self.rows else {}) if k not in (*KEYS, "state")]
        return {k: self.mean(k) for k in (*names, "time")}


def _value(row: Row, column: str) -> float:
    if column == "time":
        return float(row["seconds"]) / float(row["samples"])
    return float(row[column])


def groups(rows: Sequence[Row], wanted: Callable[[Row], bool] = lambda row: True) -> list[Group]:
    """Return rows in groups, in the order in which they first appear; of two rows of one key the last counts."""
    found: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in filter(wanted, rows):
        found.setdefault(tuple(row[k] for k in _OVER), {})[row["picture"]] = row
    made = []
    for key, mine in found.items():
        fine = [mine[p] for p in sorted(mine) if mine[p]["state"] == OK]
        made.append(Group(key, fine, len(mine) - len(fine)))
    return made


def read(path: Path) -> list[Group]:
    """Return the groups of an images.csv, sorted by their keys."""
    if not path.is_file():
        raise BadInput(f"{path}: no such file; give the images.csv of `restorekit bench images`")
    with open(path, newline="", encoding="utf-8") as f:
        rows = [r for r in csv.DictReader(f) if all(v is not None for v in r.values())]
    if rows and not {*KEYS, "psnr", "state"} <= set(rows[0]):
        raise BadInput(f"{path} is no table of `restorekit bench images`")
    return sorted(groups(rows), key=lambda g: (*g.key[:3], int(g.steps), *g.key[4:]))


def points(found: Sequence[Group], x: str, y: str, op: str | None = None) -> list[Point]:
    """Return points for `restorekit.report.plot.pareto`: means of column y over those of column x (`nfe`, `time`), a series per solver.

    op: as in the table, `OP@NOISE`; may be left out where there is one. Groups that differ in what no series says are
    BadInput: a plot of them would compare unlike things. Errors are those of `within`.
    """
    ops = list(dict.fromkeys(g.op for g in found))
    if op is None and len(ops) > 1:
        raise BadInput(f"op is needed, one of {', '.join(ops)}")
    mine = [g for g in found if op in (None, g.op) and g.rows]
    if not mine:
        raise BadInput(f"no rows of {op}; there are {', '.join(ops) or 'none at all'}")
    for name in ("crop", "seed", "device"):
        found_there = sorted({getattr(g, name) for g in mine})
        # A series names its prior, which may have a precision of its own: cpu/fp32 beside cpu/bf16.
        alike = {v.partition("/")[0] for v in found_there} if name == "device" else set(found_there)
        own = {(g.prior, getattr(g, name)) for g in mine}
        if len(alike) > 1 or len(own) > len({g.prior for g in mine}):
            raise BadInput(f"rows of more than one {name} ({', '.join(found_there)})")
    # A mean over easier pictures is no better solver: what diverged or is missing on one is not drawn.
    pictures = max(({r["picture"] for r in g.rows} for g in mine), key=len)
    mine = [g for g in mine if {r["picture"] for r in g.rows} == pictures]
    priors = {g.prior for g in mine}
    made = []
    for g, error in zip(mine, within(mine, y)):
        series = g.solver if len(priors) == 1 else f"{g.solver}, {g.prior.partition('@')[0]}"
        if math.isfinite(g.mean(y)) and math.isfinite(g.mean(x)):
            made.append(Point(series, float(g.mean(x)), float(g.mean(y)), error))
    return made


def within(found: Sequence[Group], column: str) -> list[float]:
    """Return the standard error of each mean without what the pictures differ by: their own means over all groups are taken off.

    Morey, "Confidence intervals from normalized data", Tutorials in Quantitative Methods for Psychology 4, 2008. All
    groups must be of the same pictures, `rows` in one order; NaN for fewer than two groups or pictures.
    """
    values = [[_value(r, column) for r in g.rows] for g in found]
    many, count = len(found), len(values[0]) if values else 0
    if many < 2 or count < 2:
        return [math.nan] * many
    middle = [fmean(v[i] for v in values) for i in range(count)]
    scale = math.sqrt(many / (many - 1) / count)
    return [stdev(a - b for a, b in zip(v, middle)) * scale if math.isfinite(sum(v)) else math.nan for v in values]
