"""The page of the image bench: for every task a table, quality against cost, and one picture by every solver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from restorekit.report.cards import facts
from restorekit.report.comparison import command_line
from restorekit.report.html import Html, soft, tag
from restorekit.report.page import document
from restorekit.report.pictures import figure, image, picture_uri
from restorekit.report.plot import PAGE_CSS, Point, pareto
from restorekit.report.table import Cell, Column, Row, table

LARGEST = 192  # pixels, longer side of the pictures
CSS = """
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 18px 32px; }
.plots figcaption { margin: 0 0 4px; }
.plots figcaption b { font-size: 13.5px; }
.task > h3 { margin-top: 30px; }
.task { margin-top: 48px; }
.task .beside { grid-template-columns: repeat(auto-fill, minmax(min(150px, 44%), 1fr)); }
.figures th, .figures td { padding-left: 9px; padding-right: 9px; }
"""


@dataclass(frozen=True, eq=False)
class Entry:
    """A row of the table, and the result on the picture that is shown, (C, H, W), None where it is not there."""

    label: str
    cells: Mapping[str, Cell]
    shown: np.ndarray | None
    note: str  # of the picture shown


@dataclass(frozen=True, eq=False)
class Plot:
    points: Sequence[Point]
    x: str
    y: str
    high: bool  # whether more of y is better


@dataclass(frozen=True, eq=False)
class TaskPart:
    """All about one operator and noise. `shown` is (caption, picture): the measurement and the truth of one picture."""

    title: str
    entries: Sequence[Entry]
    plots: Sequence[Plot]
    refused: Sequence[tuple[str, str]]
    shown: Sequence[tuple[str, np.ndarray]]
    shown_name: str


@dataclass(frozen=True, eq=False)
class ImagesPage:
    name: str
    command: str
    facts: Sequence[tuple[str, str]]
    columns: Mapping[str, Column]
    parts: Sequence[TaskPart]
    notes: Sequence[str]
    over: str = "restorekit bench images"
    about: str = "solvers on pictures"
    first: str = "solver"  # heading of the first column


def render(page: ImagesPage) -> str:
    """The whole page, which fetches nothing."""
    header = tag(
        "header", tag("p", page.over, class_="over"), tag("h1", page.name), facts(page.facts),
        command_line(page.command), [tag("p", n, class_="hint") for n in page.notes],
    )  # fmt: skip
    return document(f"{page.name}: {page.about}", header, [_task(page, p) for p in page.parts], css=CSS + PAGE_CSS)


def _task(page: ImagesPage, part: TaskPart) -> Html:
    keys = [k for k in page.columns if any(e.cells.get(k) is not None for e in part.entries)]
    rows = [Row([e.label, *[e.cells.get(k) for k in keys]]) for e in part.entries]
    rows += [Row([name], note=f"refused: {why}") for name, why in part.refused]
    columns = [Column(page.first, digits=None), *[page.columns[k] for k in keys]]
    plots = [
        tag(
            "figure",
            tag(
                "figcaption", tag("b", f"{p.y} against {p.x}"), ", higher is better" if p.high else ", lower is better"
            ),
            pareto(p.points, x=p.x, y=p.y, best="high" if p.high else "low", alone=False),
        )
        for p in part.plots
    ]
    hint = (
        "A line joins the runs of one solver with more and more calls. Filled and on the grey band: what nothing beats at "
        "its cost. Bars: standard error over pictures of what is left when each picture's own mean over all runs is taken off, "
        "as solvers see the same ones. A run that diverged on a picture is not drawn."
    )
    return tag(
        "section", tag("h2", soft(part.title)), tag("div", table(columns, rows, f"Figures for {part.title}"), class_="figures"),
        [tag("h3", "Quality against cost"), tag("div", *plots, class_="plots"), tag("p", hint, class_="hint")] if plots else None,
        _gallery(part), class_="task",
    )  # fmt: skip


def _gallery(part: TaskPart) -> list[Html] | None:
    figures = [_figure(pixels, name, tag("b", name)) for name, pixels in part.shown]
    for e in part.entries:
        if e.shown is not None:
            figures.append(_figure(e.shown, f"{part.title}, {e.label}", tag("b", e.label), f" · {e.note}"))
    if not figures:
        return None
    return [tag("h3", f"One picture: {part.shown_name}"), tag("div", *figures, class_="beside")]


def _figure(pixels: np.ndarray, name: str, *caption: Html | str) -> Html:
    h, w = pixels.shape[1:]
    return figure(image(picture_uri(pixels, LARGEST), name, (w, h)), *caption)
