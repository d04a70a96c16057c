"""The page of the image bench: for every task a table, quality against cost, and one picture by every solver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from restorekit.report import template
from restorekit.report.pictures import PageFigure, picture_uri
from restorekit.report.plot import Point, pareto
from restorekit.report.table import Cell, PageTable, TableColumn, TableRow

LARGEST = 192  # pixels, longer side of the pictures


@dataclass(frozen=True, eq=False)
class GalleryEntry:
    """A row of the table, and the result on the picture that is shown, (C, H, W), None where it is not there."""

    label: str
    cells: Mapping[str, Cell]
    shown: np.ndarray | None
    note: str  # of the picture shown


@dataclass(frozen=True, eq=False)
class Plot:
    """A plot of points over two axes."""

    points: Sequence[Point]
    x: str
    y: str
    high: bool  # whether more of y is better


@dataclass(frozen=True, eq=False)
class TaskPart:
    """All about one operator and noise. `shown` is (caption, picture): the measurement and the truth of one picture."""

    title: str
    entries: Sequence[GalleryEntry]
    plots: Sequence[Plot]
    refused: Sequence[tuple[str, str]]
    shown: Sequence[tuple[str, np.ndarray]]
    shown_name: str


@dataclass(frozen=True, eq=False)
class ImagesPage:
    """The page of the image bench holds its facts, columns and tasks."""

    name: str
    command: str
    facts: Sequence[tuple[str, str]]
    columns: Mapping[str, TableColumn]
    parts: Sequence[TaskPart]
    notes: Sequence[str]
    over: str = "restorekit bench images"
    about: str = "solvers on pictures"
    first: str = "solver"  # heading of the first column


def render(page: ImagesPage) -> str:
    """Return the whole page."""
    return template.render(
        "images.html", name=page.name, about=page.about, over=page.over, facts=page.facts, command=page.command,
        notes=page.notes, tasks=[_task(page, p) for p in page.parts],
    )  # fmt: skip


def _task(page: ImagesPage, part: TaskPart) -> dict[str, Any]:
    keys = [k for k in page.columns if any(e.cells.get(k) is not None for e in part.entries)]
    rows = [TableRow([e.label, *[e.cells.get(k) for k in keys]]) for e in part.entries]
    rows += [TableRow([name], note=f"refused: {why}") for name, why in part.refused]
    columns = [TableColumn(page.first, digits=None), *[page.columns[k] for k in keys]]
    plots = [
        (
            f"{p.y} against {p.x}",
            "higher" if p.high else "lower",
            pareto(p.points, x=p.x, y=p.y, best="high" if p.high else "low", alone=False),
        )
        for p in part.plots
    ]
    return {
        "title": part.title, "table": PageTable(columns, rows, f"Figures for {part.title}"), "plots": plots,
        "picture": part.shown_name, "figures": _gallery(part),
    }  # fmt: skip


def _gallery(part: TaskPart) -> list[PageFigure]:
    inputs = [_figure(pixels, name, name) for name, pixels in part.shown]
    return inputs + [
        _figure(e.shown, f"{part.title}, {e.label}", e.label, f" · {e.note}")
        for e in part.entries
        if e.shown is not None
    ]


def _figure(pixels: np.ndarray, alt: str, title: str, text: str = "") -> PageFigure:
    h, w = pixels.shape[1:]
    return PageFigure(picture_uri(pixels, LARGEST), alt, (w, h), title, text)
