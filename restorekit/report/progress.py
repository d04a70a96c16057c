"""Lines that say how far the work is, on stderr or in a notebook; gone at the end."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

if TYPE_CHECKING:  # commands name these bars before they import torch
    from restorekit.inference import driver
    from restorekit.inference.solver import Step

T = TypeVar("T")
Phases = Callable[[str, int, int], None]  # (what runs, done, in all)
OFTEN = 0.2  # seconds between two drawings in a notebook


class _Count(ProgressColumn):
    """A column that counts what is done, as "3/12 pictures"; it is empty until the total is known."""

    def __init__(self, unit: str):
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        return Text("" if task.total is None else f"{int(task.completed)}/{int(task.total)} {self.unit}".rstrip())


class _Left(ProgressColumn):
    """The time left, by all that was done since the line began; nothing before anything was done, nor of a single call."""

    def render(self, task: Task) -> Text:
        seconds = seconds_left(task.completed, task.total, task.fields["since"], task.elapsed)
        return Text("" if seconds is None else f"{datetime.timedelta(seconds=int(seconds))} left")


def seconds_left(done: float, total: float | None, since: float, elapsed: float | None) -> float | None:
    """Return the seconds that the rest takes at the pace so far; None where nothing says so.

    since: how many seconds after the beginning the last report, of `done`, came. elapsed: seconds up to now.
    """
    if not done or not total or elapsed is None or done >= total:
        return None
    return max(0.0, since * total / done - elapsed)


def _progress(unit: str) -> Progress:
    """Lines on stderr; nothing, not even an empty line, where that is no terminal."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), _Count(unit), TimeElapsedColumn(), _Left())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def phases(unit: str = "") -> Iterator[Callable[[str, int, int | None], None]]:
    """Show a line on stderr for each kind of work, with what is done, of how much, and the time left.

    Call what it gives with (what, done, total).
    """
    with _progress(unit) as progress:
        lines: dict[str, TaskID] = {}

        def show(what: str, done: float, total: int | None) -> None:
            if what not in lines:
                lines[what] = progress.add_task(what, total=total, since=0.0)
            _report(progress, lines[what], done, total)

        yield show


@contextmanager
def pictures() -> Iterator[Callable[[str, float, int], None]]:
    """Show one line on stderr for many pictures. Call what it gives with (what runs, pictures done, in all)."""
    with _progress("pictures") as progress:
        line = progress.add_task("", total=None, since=0.0)

        def show(what: str, done: float, total: int) -> None:
            progress.update(line, description=what)
            _report(progress, line, done, total)

        yield show


def _report(progress: Progress, line: TaskID, done: float, total: int | None) -> None:
    task = next(task for task in progress.tasks if task.id == line)
    since = (task.elapsed or 0.0) if done != task.completed else task.fields["since"]
    progress.update(line, completed=done, total=total, since=since)


@contextmanager
def bar(label: str, unit: str = "network calls") -> Iterator[Callable[[int, int], None]]:
    """Show one line on stderr under `label`, or one below the cell of a notebook. Call what it gives with (done, total)."""
    if Console(stderr=True).is_jupyter:
        with _notebook_bar(label, unit) as show_there:
            yield show_there
        return
    with phases(unit) as show:
        show(label, 0, None)
        yield lambda done, total: show(label, done, total)


@contextmanager
def _notebook_bar(label: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, total) that draws a progress element of HTML, which needs no widgets."""
    from IPython.display import HTML, display  # type: ignore[import-not-found]

    handle: Any = display(HTML(""), display_id=True)
    began = last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < OFTEN and done < total:
            return
        last = now
        left = f", {(now - began) * (total - done) / done:.0f} s left" if done else ""
        text = f"{label} {done}/{total} {unit}{left}"
        handle.update(HTML(f'<progress value="{done}" max="{total}"></progress> {escape(text)}'))

    try:
        yield show
    finally:
        handle.update(HTML(""))


def is_watched() -> bool:
    """Return True where somebody sees a bar: stderr is a terminal, or this is a notebook."""
    console = Console(stderr=True)
    return console.is_jupyter or (console.file.isatty() and not console.is_dumb_terminal)


@contextmanager
def _for(progress: T | bool | None, bar: Callable[[], AbstractContextManager[T]]) -> Iterator[T | None]:
    """Yield what a task reports its progress to, or None.

    progress: None shows a bar on a terminal and in a notebook and nothing elsewhere, True always, False never; a function is
    taken as it is.
    """
    if progress is False or (progress is None and not is_watched()):
        yield None
    elif progress is None or progress is True:
        with bar() as show:
            yield show
    else:
        yield cast("T", progress)


def watched(progress: Phases | bool | None, unit: str = "network calls") -> AbstractContextManager[Phases | None]:
    """Return the context in which a task of several kinds of work reports its progress, with (what, done, total): to a
    function, to bars that count `unit`, or, as None, to nobody. progress: as `_for` takes it."""
    return _for(progress, lambda: phases(unit))


def shown(progress: driver.Progress | bool | None, label: str) -> AbstractContextManager[driver.Progress | None]:
    """Return the context with what `driver.restore` is to be told of `progress`, which is as `_for` takes it."""

    @contextmanager
    def calls() -> Iterator[driver.Progress]:
        with bar(label) as show:

            def told(done: int, total: int, step: Step) -> None:
                show(done, total)

            yield told

    return _for(progress, calls)
