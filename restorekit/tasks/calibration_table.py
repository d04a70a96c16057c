"""The rows of a calibration become factors by the half that calibrates, and a table by the half that judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import restorekit
from restorekit.errors import BadInput
from restorekit.files.journal import Rows
from restorekit.tasks.calibration_rows import HALVES, LEVEL, Drawn, Truth
from restorekit.text.degradation import Degradation
from restorekit.uncertainty.calibration import GRID, Entry
from restorekit.uncertainty.conformal import KINDS, Scores

HEADER = ("task", "noise", "file", "samples", "calibrating", "factor", "judging", "coverage", "dark to bright",
          "smooth to rough", "not measured, measured", "elsewhere, near black or white", "width", "uncalibrated")  # fmt: skip


@dataclass(frozen=True)
class LevelCoverage:
    """The coverage of intervals of a level on the pictures that did not calibrate."""

    pictures: int
    coverage: float  # mean over pictures
    error: float  # its standard error over pictures
    bright: tuple[float, ...]  # of the pixels in thirds of brightness, dark first
    rough: tuple[float, ...]  # in thirds of texture, smooth first
    kinds: tuple[float, ...]  # of inpainting: of what was not measured, and of what was; else of all, and NaN
    limits: tuple[float, ...]  # elsewhere, and near values that the file cut off
    width: float  # mean, on [0, 1], not cut to the range
    plain: float  # coverage of mean +- t sqrt(1 + 1/K) std, uncalibrated, on the same pictures

    def record(self) -> dict[str, Any]:
        """Return the figures, as JSON takes them."""
        parts = {"bright": self.bright, "texture": self.rough, "measured": self.kinds, "limits": self.limits}
        thirds = {k: [None if np.isnan(x) else round(x, 4) for x in v] for k, v in parts.items()}
        error = None if np.isnan(self.error) else round(self.error, 4)
        rest = {"coverage": round(self.coverage, 4), "error": error, "width": float(f"{self.width:.3g}")}
        return {"pictures": self.pictures, "level": LEVEL, **rest, **thirds, "uncalibrated": round(self.plain, 4)}


def file_text(dtype: str, transfer: str, clipped: str) -> str:
    """Return a type of file, its curve of light and how its clipped values were taken, in short."""
    light = [] if transfer == "linear" else [transfer]
    return ", ".join([dtype, *light, *([clipped] if clipped == "censored" else [])])


def chosen(rows: Sequence[dict[str, str]], half: str, **columns: Any) -> list[dict[str, str]]:
    """Return the rows of one half, with these values in these columns."""
    wanted = {k: str(v) for k, v in columns.items()} | {"half": half}
    return [row for row in rows if all(row[k] == v for k, v in wanted.items())]


def judge(rows: list[dict[str, str]], ratio: float | Sequence[float]) -> LevelCoverage:
    """Judge intervals of `ratio` sqrt(1 + 1/K) spreads on pictures, one of all or each its own; BadInput where there are none."""
    if not rows:
        raise BadInput("no picture judges; give more pictures, or a larger `pictures`")
    scores = [Scores.read(row["scores"]) for row in rows]
    ratios = np.broadcast_to(ratio, len(rows))
    inside = np.stack([s.within(float(r)) for s, r in zip(scores, ratios)])
    of = np.stack([s.counts.sum(1) for s in scores])
    shares = inside.sum(1) / of.sum(1)
    cells, all_cells = (counts.sum(0).reshape(KINDS) for counts in (inside, of))
    with np.errstate(invalid="ignore"):
        limits, kinds, bright, rough = (
            tuple(map(float, cells.sum(axes) / all_cells.sum(axes)))
            for axes in ((1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2))
        )
    error = float(shares.std(ddof=1) / len(shares) ** 0.5) if len(shares) > 1 else float("nan")
    count = int(rows[0]["samples"])
    width = 2 * (1 + 1 / count) ** 0.5 * float(np.mean([float(r["spread"]) * by for r, by in zip(rows, ratios)]))
    plain = float(np.mean([float(r["plain"]) for r in rows]))
    return LevelCoverage(len(rows), float(shares.mean()), error, bright, rough, kinds, limits, width, plain)


def _of(rows: Rows, pictures: Sequence[Truth] | None) -> list[dict[str, str]]:
    if pictures is None:
        return rows.rows
    there = {(t.name, digest) for t in pictures for digest in (t.digest, "")}
    return [row for row in rows.rows if (row["picture"], row["digest"]) in there]


def other_versions(
    drawn: Drawn, tasks: Sequence[Degradation], data: str, rows: Rows, pictures: Sequence[Truth] | None = None
) -> list[str]:
    """Return the versions of restorekit but this one that drew rows which `entries` takes; "" of older tables is left out."""
    wanted = [rows.known(drawn.columns(task, count) | {"data": data}) for task in tasks for count in drawn.counts]
    known = _of(rows, pictures)
    found = {row["restorekit"] for columns in wanted for half in HALVES for row in chosen(known, half, **columns)}
    return sorted(found - {"", restorekit.__version__})


def entries(
    drawn: Drawn, tasks: Sequence[Degradation], data: str, rows: Rows, pictures: Sequence[Truth] | None = None
) -> list[Entry]:
    """Return a calibration for every task and number of samples, of all rows there are, with what the judging half says.

    pictures: only rows of these, by their content as far as it was kept; others of the same names are left out.
    """
    made, known = [], _of(rows, pictures)
    for task in tasks:
        for count in drawn.counts:
            columns = rows.known(drawn.columns(task, count) | {"data": data})
            kept = chosen(known, "calibrate", **columns)
            spread, scores = drawn.spread(task), [Scores.read(r["scores"]) for r in kept]
            entry = Entry.of(drawn.conditions(task, count), spread, data, scores)
            other = chosen(known, "judge", **columns)
            if other and np.isfinite(entry.ratios[GRID.index(LEVEL)]):
                entry = replace(entry, judged=judge(other, entry.ratio(LEVEL)).record())
            made.append(entry)
    return made


def table(made: Sequence[Entry]) -> list[list[Any]]:
    """Return the rows for `markdown`, with HEADER."""
    lines = []
    for e in made:
        j, c = e.judged, e.conditions
        if not j:
            continue
        parts = (
            " ".join("-" if v is None else f"{v:.2f}" for v in j[k])
            for k in ("bright", "texture", "measured", "limits")
        )
        error = "-" if j["error"] is None else f"{j['error']:.3f}"
        file = file_text(c.dtype, c.transfer, c.clipped)
        head = [c.task, c.noise, file, c.samples, e.pictures, f"{e.factor(LEVEL):.3f}", j["pictures"]]
        lines.append([*head, f"{j['coverage']:.3f} ± {error}", *parts, f"{j['width']:.3f}", f"{j['uncalibrated']:.3f}"])
    return lines
