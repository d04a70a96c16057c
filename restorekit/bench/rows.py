"""A table that grows row by row in a CSV, so that a killed run goes on where it stopped."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


class Rows:
    """`keys` name a row, `values` are measured; several processes may append to one file."""

    def __init__(self, path: Path, keys: Sequence[str], values: Sequence[str]):
        self.path, self.keys, self.fields = path, tuple(keys), (*keys, *values)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(",".join(self.fields) + "\n")
        self.rows: list[dict[str, str]] = []
        self.reload()

    def reload(self) -> None:
        """Read what other processes have added."""
        with open(self.path, newline="") as f:
            self.rows = [row for row in csv.DictReader(f) if all(row.get(k) is not None for k in self.fields)]
        self.done = {tuple(row[k] for k in self.keys) for row in self.rows}

    def has(self, *key: Any) -> bool:
        return tuple(str(k) for k in key) in self.done

    def add(self, *row: Any) -> None:
        texts = [f"{v:.5g}" if isinstance(v, float) else str(v) for v in row]
        with open(self.path, "a", newline="") as f:  # one write per row
            csv.writer(f, lineterminator="\n").writerow(texts)
        self.rows.append(dict(zip(self.fields, texts)))
        self.done.add(tuple(texts[: len(self.keys)]))


def markdown(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown; numbers to about three digits, NaN as a dash."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(_cell(v) for v in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(v: Any) -> str:
    if isinstance(v, float):
        return "-" if math.isnan(v) else f"{v:.2f}" if abs(v) >= 10 else f"{v:.3g}"
    return str(v)
