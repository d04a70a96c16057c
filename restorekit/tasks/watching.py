"""Progress of tasks as Python calls them: a bar for who waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from restorekit.report.progress import is_watched, phases
from restorekit.tasks.measurement import Progress


@contextmanager
def watched(progress: Progress | bool | None, unit: str = "network calls") -> Iterator[Progress | None]:
    """What a task is to tell how far it is: None shows a bar on a terminal and in a notebook, True always, False never."""
    if callable(progress):
        yield progress
    elif progress is False or (progress is None and not is_watched()):
        yield None
    else:
        with phases(unit) as show:
            yield show
