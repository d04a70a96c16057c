"""Tables of thousands of rows are kept packed, NAME.csv.xz in results; a run unpacks one to runs/NAME.csv, adds to it and packs it."""

from __future__ import annotations

import csv
import io
import lzma
from collections.abc import Sequence
from pathlib import Path

from benchmarks.support.common import HERE, RESULTS
from restorekit.files.atomic import atomic
from restorekit.files.journal import Rows

WORKING = HERE.parent / "runs"


def kept(name: str) -> Path:
    """Return the path of a packed table."""
    return RESULTS / f"{name}.csv.xz"


def text_of(name: str) -> str:
    """Return a packed table as text; "" where there is none."""
    path = kept(name)
    return lzma.decompress(path.read_bytes()).decode() if path.exists() else ""


def working(name: str) -> Path:
    """Return the path of the table where a run adds to it, unpacked where it is not there yet."""
    path = WORKING / f"{name}.csv"
    if not path.exists() and (text := text_of(name)):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    return path


def unpacked(name: str, keys: Sequence[str], values: Sequence[str]) -> Rows:
    """Return the rows that are kept and those measured since; the table of an older checkout gets those that it lacks."""
    rows = Rows(working(name), keys, values)
    for row in csv.DictReader(io.StringIO(text_of(name), newline="")):
        texts = [row[field] for field in rows.fields]
        if not rows.has(*texts[: len(rows.keys)]):
            rows.add(*texts)
    return rows


def pack(name: str) -> None:
    """Keep the table of the run."""
    data = working(name).read_bytes()
    with atomic(kept(name)) as file:
        file.write(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
