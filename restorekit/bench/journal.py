"""A table that grows row by row in a CSV, so that a killed run goes on where it stopped."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from restorekit.errors import BadInput
from restorekit.files.lock import in_turn


class Rows:
    """`keys` name a row, `values` are measured; several processes may append to one file.

    A row is one write at the end of the file, under a lock; what a killed process left of a line is removed by whoever
    opens the file or appends to it next. Raises BadInput where the file holds a table of other columns.
    later: columns that tables once lacked. An older table is read and gone on with as it is: such columns hold "" there, and
    tell no rows apart.
    """

    def __init__(self, path: Path, keys: Sequence[str], values: Sequence[str], later: Sequence[str] = ()):
        self.path, self.keys, self.fields, self.later = path, tuple(keys), (*keys, *values), tuple(later)
        self.lacking: tuple[str, ...] = ()  # of `later`, in this file
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path) as f:
            if os.fstat(f).st_size == 0:
                os.write(f, _line(self.fields))
        self.rows: list[dict[str, str]] = []
        self.reload()

    def reload(self) -> None:
        """Read what other processes have added."""
        with _locked(self.path) as f:
            text = os.pread(f, os.fstat(f).st_size, 0).decode()
        reader = csv.DictReader(io.StringIO(text, newline=""))
        there = tuple(reader.fieldnames or ())
        self.lacking = tuple(k for k in self.later if k not in there)
        if there != self._kept(self.fields, self.fields):
            odd = sorted(set(self.fields) ^ set(there)) or ["their order"]
            raise BadInput(f"{self.path} is a table of other columns ({', '.join(odd)}); give another folder")
        whole = (row for row in reader if all(row.get(k) is not None for k in there))
        self.rows = [row | dict.fromkeys(self.lacking, "") for row in whole]
        self.done = {self._kept(self.keys, [row[k] for k in self.keys]) for row in self.rows}

    def _kept(self, names: Sequence[str], texts: Sequence[str]) -> tuple[str, ...]:
        """Return those of the texts by these names that this file has a column for."""
        return tuple(text for name, text in zip(names, texts) if name not in self.lacking)

    def known(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of these columns that this file has."""
        return {name: value for name, value in columns.items() if name not in self.lacking}

    def has(self, *key: Any) -> bool:
        return self._kept(self.keys, [str(k) for k in key]) in self.done

    def add(self, *row: Any) -> None:
        """Append a row to the file."""
        texts = [f"{v:.5g}" if isinstance(v, float) else str(v) for v in row]
        done = self._kept(self.keys, texts)
        with _locked(self.path) as f:
            os.write(f, _line(self._kept(self.fields, texts)))
        self.rows.append(dict(zip(self.fields, texts)) | dict.fromkeys(self.lacking, ""))
        self.done.add(done)


def _line(texts: Sequence[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(" ".join(t.splitlines()) for t in texts)  # one line per row, always
    return out.getvalue().encode()


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file, made if need be, open to read and append, with no other process in it and no half line at its end."""
    with in_turn(path):
        f = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            size = os.fstat(f).st_size
            if size and os.pread(f, 1, size - 1) != b"\n":
                os.ftruncate(f, os.pread(f, size, 0).rfind(b"\n") + 1)
            yield f
        finally:
            os.close(f)


def markdown(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown; numbers to about three digits, NaN as a dash."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(_cell(v) for v in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(v: Any) -> str:
    if isinstance(v, float):
        return "-" if math.isnan(v) else f"{v:.2f}" if abs(v) >= 10 else f"{v:.3g}"
    return str(v)


def uncertain(value: float, error: float) -> str:
    """A number to the digits that its standard error allows, that of the last one in brackets: 0.951(4) is 0.951 +- 0.004.

    Three digits where there is no error, and no more than four places; a dash for NaN.
    """
    if math.isnan(value):
        return "-"
    if not 0 < error < math.inf:
        return f"{value:.3g}"
    places = -math.floor(math.log10(error))
    if round(error * 10**places) == 10:  # 0.0096 is 0.01
        places -= 1
    if places <= 0:
        return f"{value:.0f}({error:.0f})"
    if places > 4:
        return f"{value:.4f}"
    return f"{value:.{places}f}({round(error * 10**places)})"


MARKS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{c: "\\" + c for c in "&%$#_{}"},
}


def escaped(text: str) -> str:
    """Text as LaTeX sets it."""
    return "".join(MARKS.get(c, c) for c in text)


def latex(header: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> str:
    """A table in LaTeX, which needs no package; the first column to the left, numbers to the right."""
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
    ]
    lines += [r"\hline", " & ".join(map(escaped, header)) + r" \\", r"\hline"]
    lines += [" & ".join(escaped(_cell(v)) for v in row) + r" \\" for row in rows]
    return "\n".join([*lines, r"\hline", r"\end{tabular}", r"\end{table}"])
