"""`Rows` is a table that grows row by row in a CSV file, so that a killed run goes on where it stopped."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from restorekit.errors import BadInput
from restorekit.files.lock import in_turn


class Rows:
    """A table on disk: `keys` name a row, `values` are measured, and several processes may append to one file.

    A row is one write at the end of the file, under a lock; what a killed process left of a line is removed by whoever
    opens the file or appends to it next. path: None keeps the table in memory. later: columns that older tables lack:
    such a table is read and continued as it is, these columns hold "" there and tell no rows apart. Raises BadInput
    where the file holds a table of other columns.
    """

    def __init__(self, path: Path | None, keys: Sequence[str], values: Sequence[str], later: Sequence[str] = ()):
        self.path, self.keys, self.fields, self.later = path, tuple(keys), (*keys, *values), tuple(later)
        self.lacking: tuple[str, ...] = ()  # of `later`, in this file
        self.rows: list[dict[str, str]] = []
        self.done = set[tuple[str, ...]]()
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path) as f:
            if os.fstat(f).st_size == 0:
                os.write(f, _line(self.fields))
        self.reload()

    def reload(self) -> None:
        """Read what other processes have added."""
        if self.path is None:
            return
        with _locked(self.path) as f:
            raw = os.pread(f, os.fstat(f).st_size, 0)
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise BadInput(f"{self.path} is no table, or damaged; move it away, or give another folder") from None
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
        if self.path is not None:
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
    """Open the file, made if need be, to read and append, with no other process in it and no half line at its end."""
    with in_turn(path):
        f = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            size = os.fstat(f).st_size
            if size and os.pread(f, 1, size - 1) != b"\n":
                os.ftruncate(f, os.pread(f, size, 0).rfind(b"\n") + 1)
            yield f
        finally:
            os.close(f)
