"""A table that sorts at a click on its header and marks the best value of a column."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Literal, TypeAlias


class Mean(float):
    """A mean with its standard error; it sorts and is marked by its value."""

    error: float

    def __new__(cls, value: float, error: float) -> Mean:
        mean = super().__new__(cls, value)
        mean.error = error
        return mean


Cell: TypeAlias = "str | float | None"


@dataclass(frozen=True)
class TableColumn:
    """`best` says which value is marked: the highest, the lowest, or the one nearest to a number."""

    label: str
    note: str = ""  # what it is, shown when the pointer rests on the header
    digits: int | None = 2  # None: its cells are words
    best: Literal["high", "low"] | float | None = None
    group: str = ""  # neighbours of one group share a heading above theirs
    name: str | None = None  # class of its cells


@dataclass(frozen=True)
class TableRow:
    """`cells` as many as columns; fewer where `note` takes the place of the rest."""

    cells: Sequence[Cell]
    note: str | None = None
    link: str | None = None  # of the first cell, as "#part"


def text(value: Cell, digits: int | None) -> str:
    """Return a cell as it is shown; a dash for None and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, Mean) and math.isfinite(value.error):
        return f"{text(float(value), digits)} ± {value.error:.{digits or 0}f}"
    return f"{value:.{digits or 0}f}" if math.isfinite(value) else "∞" if value > 0 else "-∞"


def _distance(value: float, best: Literal["high", "low"] | float) -> float:
    return -value if best == "high" else value if best == "low" else abs(value - best)


def _best(column: TableColumn, values: list[Cell]) -> set[str]:
    """Return the texts that are marked: ties at the digits shown are ties. Nothing where there is nothing to choose from."""
    numbers = [v for v in values if isinstance(v, int | float) and not math.isnan(v)]
    if column.best is None or len(numbers) < 2:
        return set()
    first = min(numbers, key=lambda v: _distance(v, column.best or 0.0))
    marked = {text(float(first), column.digits)}
    return marked if any(text(float(v), column.digits) not in marked for v in numbers) else set()


@dataclass(frozen=True)
class PageTable:
    """Rows under `columns`. `caption` is for readers who do not see it. Rows with a note stay at the end when the table is
    sorted.
    """

    columns: Sequence[TableColumn]
    rows: Sequence[TableRow]
    caption: str

    @cached_property
    def marked(self) -> list[set[str]]:
        """Return the texts of each column that are marked as its best."""
        return [_best(c, [r.cells[i] for r in self.rows if i < len(r.cells)]) for i, c in enumerate(self.columns)]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Return the headings above those of the columns, each with how many it spans; none where no column has a group."""
        runs = groupby(range(len(self.columns)), key=lambda i: self.columns[i].group or i)
        spans = [(group if isinstance(group, str) else "", len(list(run))) for group, run in runs]
        return spans if any(group for group, _ in spans) else []

    def shown(self, row: TableRow) -> Iterator[tuple[str, str | None, bool, str]]:
        """Yield (text, number that the table is sorted by or None for words, whether it is marked, classes) of each cell
        of a row but for its first.
        """
        for value, column, marked in zip(row.cells[1:], self.columns[1:], self.marked[1:]):
            number = None if isinstance(value, str) else "" if value is None else repr(float(value))
            best = bool(number) and text(float(value or 0), column.digits) in marked
            classes = ("num" if number is not None else None, "best" if best else None, column.name)
            yield text(value, column.digits), number, best, " ".join(filter(None, classes))
