"""A table that sorts at a click on its header and marks the best value of a column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from restorekit.report.html import Html, join, soft, tag


class Mean(float):
    """A mean with its standard error; it sorts and is marked by its value."""

    error: float

    def __new__(cls, value: float, error: float) -> Mean:
        made = super().__new__(cls, value)
        made.error = error
        return made


Cell: TypeAlias = "str | float | None"


@dataclass(frozen=True)
class Column:
    """`best` says which value is marked: the highest, the lowest, or the one nearest to a number."""

    label: str
    note: str = ""  # what it is, shown when the pointer rests on the header
    digits: int | None = 2  # None: its cells are words
    best: Literal["high", "low"] | float | None = None
    group: str = ""  # neighbours of one group share a heading above theirs
    name: str | None = None  # class of its cells


@dataclass(frozen=True)
class Row:
    """`cells` as many as columns; fewer where `note` takes the place of the rest."""

    cells: Sequence[Cell]
    note: str | None = None
    link: str | None = None  # of the first cell, as "#part"


def text(value: Cell, digits: int | None) -> str:
    """A cell as it is shown; a dash for None and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, Mean) and math.isfinite(value.error):
        return f"{text(float(value), digits)} ± {value.error:.{digits or 0}f}"
    return f"{value:.{digits or 0}f}" if math.isfinite(value) else "∞" if value > 0 else "-∞"


def _distance(value: float, best: Literal["high", "low"] | float) -> float:
    return -value if best == "high" else value if best == "low" else abs(value - best)


def _best(column: Column, values: list[Cell]) -> set[str]:
    """The texts that are marked: ties at the digits shown are ties. Nothing where there is nothing to choose from."""
    numbers = [v for v in values if isinstance(v, int | float) and not math.isnan(v)]
    if column.best is None or len(numbers) < 2:
        return set()
    first = min(numbers, key=lambda v: _distance(v, column.best or 0.0))
    marked = {text(float(first), column.digits)}
    return marked if any(text(float(v), column.digits) not in marked for v in numbers) else set()


def _cell(value: Cell, column: Column, marked: set[str]) -> Html:
    shown = text(value, column.digits)
    number = None if isinstance(value, str) else "" if value is None else repr(float(value))
    best = number is not None and value is not None and text(float(value), column.digits) in marked
    classes = " ".join(filter(None, ("num" if number is not None else None, "best" if best else None, column.name)))
    inner = [tag("b", shown), tag("span", " best", class_="hidden")] if best else shown
    return tag("td", inner, class_=classes or None, data_value=number)


def _row(row: Row, columns: Sequence[Column], marked: list[set[str]]) -> Html:
    name = soft(str(row.cells[0]))
    first = tag("a", name, href=row.link) if row.link else name
    cells = [_cell(v, c, m) for v, c, m in zip(row.cells[1:], columns[1:], marked[1:])]
    rest = (
        None
        if row.note is None
        else tag("td", tag("span", row.note), colspan=len(columns) - len(row.cells), class_="note")
    )
    return tag("tr", tag("th", first, scope="row"), cells, rest, class_="refused" if row.note else None)


def _groups(columns: Sequence[Column]) -> Html | None:
    if not any(c.group for c in columns):
        return None
    cells, at = [], 0
    while at < len(columns):
        end = at + 1
        while end < len(columns) and columns[at].group and columns[end].group == columns[at].group:
            end += 1
        group = columns[at].group
        cells.append(tag("th", group, colspan=end - at, scope="colgroup") if group else tag("td", colspan=end - at))
        at = end
    return tag("tr", *cells, class_="groups")


def table(columns: Sequence[Column], rows: Sequence[Row], caption: str) -> Html:
    """Rows under `columns`, in a frame that scrolls by itself where the screen is narrow. `caption` is for readers
    who do not see it. Rows with a note stay at the end when the table is sorted.
    """
    marked = [_best(c, [r.cells[i] for r in rows if i < len(r.cells)]) for i, c in enumerate(columns)]
    header = tag(
        "tr",
        [
            tag("th", c.label, scope="col", title=c.note or None, class_="num" if c.digits is not None else None)
            for i, c in enumerate(columns)
        ],
    )
    body = [_row(row, columns, marked) for row in rows]
    inner = join(tag("caption", caption, class_="hidden"), tag("thead", _groups(columns), header), tag("tbody", *body))
    return tag(
        "div", tag("table", inner, class_="sortable"), class_="scroll", tabindex=0, role="region", aria_label=caption
    )
