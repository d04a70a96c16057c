"""A restoration with a bar on stderr."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from restorekit import driver
from restorekit.types import Denoiser, Problem, Restoration, Solver, Step


def restore_with_bar(
    problem: Problem,
    denoise: Denoiser,
    solver: Solver,
    *,
    steps: int | None,
    samples: int,
    seed: int,
    label: str | None = None,
    watch: driver.Progress | None = None,
) -> Restoration:
    """`driver.restore`, its progress shown under `label`, and each step also handed to `watch`."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} network calls"))
    columns += (TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task(label or type(solver).__name__, total=None)

        def update(done: int, total: int, step: Step) -> None:
            bar.update(line, completed=done, total=total)
            if watch is not None:
                watch(done, total, step)

        return driver.restore(problem, denoise, solver, steps=steps, samples=samples, seed=seed, progress=update)
