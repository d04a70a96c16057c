"""A batch reports in a terminal: notes that many pictures share once, a table, and at the end what is wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from restorekit.tasks.batch import COLUMNS, DONE, FAILED, PictureOutcome

if TYPE_CHECKING:
    from collections.abc import Callable

SHOWN = 40  # rows of the table
SAID = 40  # characters of a note that was said in full before


@dataclass(frozen=True)
class SharedNotes:
    """Notes of many pictures; those that differ in the names of files and in numbers alone are of one kind."""

    count: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def heard(self, outcome: PictureOutcome) -> list[str]:
        """Return the notes of a picture that are the first of their kind, each with its name."""
        found = []
        for text in outcome.notes if outcome.state == DONE else ():
            kind = _kind(text, outcome)
            self.count[kind] += 1
            if kind not in self.first:
                self.first[kind] = f"{outcome.job.name}: {text}"
                found.append(self.first[kind])
        return found

    def repeated(self) -> list[str]:
        """Return for each kind that came again how often, and how the first of it begins."""
        more = [(n - 1, self.first[kind]) for kind, n in self.count.items() if n > 1]
        return [f"{n} more {'has' if n == 1 else 'have'} a note like {_begin(text)!r}" for n, text in more]


def wrong(outcomes: Sequence[PictureOutcome]) -> Iterator[tuple[str, str]]:
    """Yield (text, traceback) of what is wrong: results that miss the measurement, and pictures without one."""
    for outcome in outcomes:
        for text in outcome.doubts:
            yield f"WARNING: {outcome.job.name}: {text}", ""
        if outcome.state == FAILED:
            yield f"{outcome.job.name}: {outcome.error.removeprefix(f'{outcome.job.source}: ')}", outcome.trace


def table_of(outcomes: Sequence[PictureOutcome], plain: Callable[[str], str]) -> Table:
    """Return the table of the first `SHOWN`, but for errors, and of scores those in dB; `plain` makes texts fit for a terminal."""
    scores = dict.fromkeys(name for outcome in outcomes for name in outcome.scores if name.startswith("psnr"))
    names = [name for name in COLUMNS if name != "error"] + list(scores)
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(plain(name), overflow="fold")
    for outcome in outcomes[:SHOWN]:
        row = outcome.row() | {"picture": outcome.job.name}
        table.add_row(*(Text(plain(str(row.get(name, "")))) for name in names))
    if len(outcomes) > SHOWN:
        table.add_row(f"... and {len(outcomes) - SHOWN} more")
    return table


def _begin(text: str) -> str:
    return text if len(text) <= SAID else f"{text[:SAID].rpartition(' ')[0]} ..."


def _kind(text: str, outcome: PictureOutcome) -> str:
    for path, word in ((outcome.job.source, "IN"), (outcome.job.target, "OUT")):
        text = text.replace(str(path), word).replace(path.name, word)
    return re.sub(r"\d+(\.\d+)?(e[-+]?\d+)?", "#", text)
