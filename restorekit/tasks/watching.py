"""`watched` shows the progress of a task that is called from Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from restorekit.report.progress import is_watched, phases
from restorekit.tasks.measurement import Progress


@contextmanager
def watched(progress: Progress | bool | None, unit: str = "network calls") -> Iterator[Progress | None]:
    """Yield the function by which a task reports its progress, or None.

    progress: None shows a bar on a terminal and in a notebook, True always, False never; a function is taken as it is.
    unit: what is counted.
    """
    if callable(progress):
        yield progress
    elif progress is False or (progress is None and not is_watched()):
        yield None
    else:
        with phases(unit) as show:
            yield show
