"""Lines that say how far the work is, on stderr or in a notebook; gone at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:  # commands name these bars before they import torch
    from restorekit.inference import driver
    from restorekit.inference.solver import Step

OFTEN = 0.2  # seconds between two drawings in a notebook


@contextmanager
def phases(unit: str = "") -> Iterator[Callable[[str, int, int | None], None]]:
    """Show a line on stderr for each kind of work, with what is done, of how much, and the time left.

    Call what it gives with (what, done, total).
    """
    count = TextColumn(f"{{task.completed}}/{{task.total}} {unit}".rstrip())
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeElapsedColumn())
    columns += (TextColumn("ETA"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        lines: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int | None) -> None:
            if what not in lines:
                lines[what] = progress.add_task(what, total=total)
            progress.update(lines[what], completed=done, total=total)

        yield show


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
    """A progress element of HTML, which needs no widgets."""
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
def shown(progress: driver.Progress | bool | None, label: str) -> Iterator[driver.Progress | None]:
    """Give what `driver.restore` is to be told of `progress`, while a bar is on the screen where one is to be.

    None shows a bar in a terminal and a notebook and nothing elsewhere, True always, False never; a function is taken as it is.
    """
    if callable(progress):
        yield progress
    elif progress is False or (progress is None and not is_watched()):
        yield None
    else:
        with bar(label) as show:

            def told(done: int, total: int, step: Step) -> None:
                show(done, total)

            yield told
