"""Despeckling of a radar scene of any size: a file, or an array in memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from restorekit.despeckling.cost import Cost, cost
from restorekit.despeckling.plan import DespecklePlan, plan
from restorekit.despeckling.settings import Settings
from restorekit.despeckling.stack import StackPlan
from restorekit.files.bands import Window
from restorekit.files.scene import Scene, scene_in_memory
from restorekit.notes import Notes
from restorekit.report.progress import watched
from restorekit.scenes.execute import Executor, executor_of
from restorekit.tasks.despeckled_scene import DespeckledScene, note_stale
from restorekit.tasks.each import each_measurement
from restorekit.tasks.inputs import bands_first
from restorekit.tasks.task_settings import refuse_unknown

if TYPE_CHECKING:
    from torch import Tensor

LONG = 60.0  # seconds of work from which on several processes pay

RadarSource: TypeAlias = "str | os.PathLike[str] | np.ndarray | Tensor"
Progress = Callable[[str, int, int], None]  # (what is counted, done, in all)


@dataclass(frozen=True, kw_only=True)
class Despeckling(Settings):
    """Settings of a despeckling; the call despeckles.

    preview: (top, left, height, width), the part to restore, with the values that the whole would have there. Nothing below
    changes the result. executor: "serial", "processes", "dask", or "auto", which takes processes for more than a minute of
    work. workers: processes, by default one per core. scheduler: the address of a dask cluster. tile: side of what a worker
    takes at a time, pixels. restart: throw away the unfinished work of a run with other settings. interop_snap: write
    GeoTIFF without the predictor that some older readers do not know.
    """

    preview: tuple[int, int, int, int] | None = None
    executor: str = "auto"
    workers: int | None = None
    scheduler: str | None = None
    tile: int = 512
    restart: bool = False
    interop_snap: bool = False

    def __call__(
        self,
        source: RadarSource,
        *,
        out: str | os.PathLike[str] | None = None,
        notes: Notes | None = None,
        progress: Progress | None = None,
    ) -> DespeckledScene:
        """Despeckle `source`: a file, an array (H, W) or (H, W, C), real or complex, or a tensor (C, H, W) or (1, C, H, W).

        NaN in an array is not measured. out: the file to write, block by block, so that a scene may be larger than memory,
        and an interrupted run goes on when it is repeated; without it the result stays in memory, with all draws. notes: is told what a
        reader of the result should know; progress: ("blocks", blocks done, in all). Raises `BadInput`, with the way out,
        for what can be refused before the work begins, and where a worker fails.
        """
        notes = Notes() if notes is None else notes
        began = time.perf_counter()
        target = None if out is None else Path(out)
        preview = None if self.preview is None else Window(*self.preview)
        if self.executor != "auto":
            executor_of(self.executor, self.workers, self.scheduler)  # refused before the scene is looked at
        made = plan(scene_in(source), target, self, preview)
        if target is None:
            made = replace(made, keep_draws=True)
        for text in made.said:
            notes(text)
        run: dict[str, Any] = {"tile": self.tile, "say": notes}
        run["progress"] = None if progress is None else lambda done, total: progress("blocks", done, total)
        executor = self.chosen_executor(made, notes)
        if target is None:
            return DespeckledScene(made, notes, time.perf_counter() - began, scene=made.in_memory(executor, **run))
        files = made.run(executor, restart=self.restart, snap=self.interop_snap, **run)
        note_stale(made, target, notes)
        return DespeckledScene(made, notes, time.perf_counter() - began, files=tuple(files))

    def chosen_executor(self, made: DespecklePlan | StackPlan, notes: Notes) -> Executor:
        """Return who treats the blocks; who hears the notes is told how long that will take."""
        workers = self.workers or os.cpu_count() or 1
        name = self.executor
        if name == "auto":
            name = "dask" if self.scheduler else "serial"
        chosen = executor_of(name, workers, self.scheduler)
        if not made.keys:
            return chosen
        there = 0 if self.restart or made.target is None else len(made.finished())
        if there:
            _tell(notes, f"{there} of {len(made.keys)} blocks are there, of a run that was interrupted")
        each, count = cost(made.timed), len(made.keys) - there
        if isinstance(made, DespecklePlan):
            most = max(len(numbers) for numbers in made.groups.values())
            each = replace(each, seconds=most * each.seconds, calls=most * each.calls)
        seconds = each.seconds * count
        if self.executor == "auto" and name == "serial" and count > 1 and seconds > LONG:
            name, chosen = "processes", executor_of("processes", workers, None)
        _tell(notes, _eta(each, made, count, 1 if name == "serial" else max(1, min(workers, count)), name))
        return chosen


@each_measurement
def despeckle(
    source: RadarSource,
    out: str | os.PathLike[str] | None = None,
    *,
    notes: Notes | None = None,
    progress: Progress | bool | None = None,
    **settings: Any,
) -> DespeckledScene:
    """Take the speckle out of a radar scene; settings are those of `Despeckling`, as `looks=4.4, solver="hqs"`.

    Returns a `DespeckledScene`, a `Restoration` in the unit of the scene, whose `save(path)` writes what the command writes; with
    `out` it is written there block by block, and the draws themselves are not kept. Without `notes` each note is raised as a `RestorekitNote` warning. Raises `BadInput` with the way out.

        restorekit.despeckle("scene.tif", solver="hqs").save("despeckled.tif")
    """
    told = Notes() if notes is None else notes
    refuse_unknown(settings, Despeckling.__dataclass_fields__, "a despeckling")
    task = Despeckling(**settings)
    with watched(progress, "blocks") as shown:
        result = task(source, out=out, notes=told, progress=shown)
    if notes is None:
        told.warn(stacklevel=4)
    return result


def scene_in(source: RadarSource) -> Path | Scene:
    """Return the path of a file, or an array or tensor as a scene in memory."""
    if isinstance(source, str | os.PathLike):
        return Path(source)
    return scene_in_memory(bands_first(source)[0], "the scene")


def _tell(notes: Notes, text: str) -> None:
    """Say at once what is of the run, and not of the result."""
    if notes.heard is not None:
        notes.heard(text)


def _eta(each: Cost, made: DespecklePlan | StackPlan, count: int, workers: int, name: str) -> str:
    seconds = each.seconds * count / workers
    calls = f", {each.calls} network calls each" if each.calls else ""
    kind = f"{workers} process{'es' if workers > 1 else ''}"
    long = seconds > 600 and each.calls > 20
    hint = "; `preview=TOP,LEFT,HEIGHT,WIDTH` tries a part, `solver=hqs` is fast" if long else ""
    return f"{count} block{'s' * (count != 1)} of {made.timed.grid.side} pixels{calls}: about {_time(seconds)} with {kind} ({name}){hint}"


def _time(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
