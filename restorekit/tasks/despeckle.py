"""Despeckling of a radar scene of any size: a file, or an array in memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from restorekit.despeckling.cost import Cost, cost
from restorekit.despeckling.page import judged
from restorekit.despeckling.plan import DespecklePlan, beside, plan
from restorekit.despeckling.settings import Settings
from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.files.picture import write_text
from restorekit.files.scene import Scene, scene_in_memory, scene_of
from restorekit.notes import Notes
from restorekit.scenes.blend import BlendedScene
from restorekit.scenes.execute import Executor, executor_of
from restorekit.scenes.outputs import losses
from restorekit.tasks.inputs import bands_first

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
        and an interrupted run goes on when it is repeated; without it the result stays in memory. notes: is told what a
        reader of the result should know; progress: ("blocks", blocks done, in all). Raises `BadInput`, with the way out,
        for what can be refused before the work begins, and where a worker fails.
        """
        notes = Notes() if notes is None else notes
        began = time.perf_counter()
        target = None if out is None else Path(out)
        preview = None if self.preview is None else Window(*self.preview)
        if self.executor != "auto":
            executor_of(self.executor, self.workers, self.scheduler)  # refused before the scene is looked at
        made = plan(_scene(source), target, self, preview)
        for text in made.said:
            notes(text)
        run: dict[str, Any] = {"tile": self.tile, "say": notes}
        run["progress"] = None if progress is None else lambda done, total: progress("blocks", done, total)
        executor = self._executor(made, notes)
        if target is None:
            return DespeckledScene(made, notes, time.perf_counter() - began, scene=made.in_memory(executor, **run))
        files = made.run(executor, restart=self.restart, snap=self.interop_snap, **run)
        _note_stale(made, target, notes)
        return DespeckledScene(made, notes, time.perf_counter() - began, files=tuple(files))

    def _executor(self, made: DespecklePlan, notes: Notes) -> Executor:
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
        each, count = cost(made.job), len(made.keys) - there
        seconds = each.seconds * count
        if self.executor == "auto" and name == "serial" and count > 1 and seconds > LONG:
            name, chosen = "processes", executor_of("processes", workers, None)
        _tell(notes, _eta(each, made, count, 1 if name == "serial" else max(1, min(workers, count)), name))
        return chosen


@dataclass(frozen=True, eq=False)
class DespeckledScene:
    """A despeckled scene: in memory (`scene`), or in the `files` that were written."""

    plan: DespecklePlan
    told: Notes
    seconds: float
    scene: BlendedScene | None = None
    files: tuple[Path, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Texts that a reader of the result should know."""
        return tuple(self.told.texts)

    @property
    def mean(self) -> NDArray[np.float32]:
        """(C, H, W) in the unit of the input: means of the samples in linear power; NaN where nothing was measured."""
        return self._layer("mean")

    @property
    def std(self) -> NDArray[np.float32]:
        """(C, H, W): standard deviation of the samples, in the unit of the input. Raises BadInput where there is one answer."""
        if "std" not in self.plan.layers:
            raise BadInput("one answer has no deviation; take several `samples` of a solver that draws them")
        return self._layer("std")

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the files that the command writes, and return their paths: `path`, and PATH_std of several samples.

        Raises `BadInput` where `path` cannot hold them, or the result is in another file already.
        """
        target = Path(path)
        if self.scene is None:
            if target != self.plan.target:
                raise BadInput(f"the result is in {self.plan.target}; copy it from there")
            return list(self.files)
        for text in losses(self.plan.scene, target):
            self.told(text)
        files = self.plan.save(self.scene, target, getattr(self.plan.settings, "interop_snap", False))
        _note_stale(self.plan, target, self.told)
        return files

    def save_page(self, path: Path, command: str) -> bool:
        """Write a page with pictures, the ratio and figures of the files that were written; `command` stands on it.

        Returns whether there is anything to judge the scene by; `notes` say why not.
        """
        if not self.plan.bands:
            return False
        page, why = judged(self.plan, command)
        if page is None:
            self.told(why)
            return False
        write_text(path, page)
        return True

    def _layer(self, layer: str) -> NDArray[np.float32]:
        if self.scene is not None:
            return self.plan.array(self.scene, layer)
        written = scene_of(self.files[self.plan.layers.index(layer)])
        with written.opened() as source:
            bands = [source.read(written.whole, number) for number in range(1, written.count + 1)]
        return np.stack([np.where(valid, x, np.nan).astype(np.float32) for x, valid in bands])


def despeckle(
    source: RadarSource,
    out: str | os.PathLike[str] | None = None,
    *,
    notes: Notes | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> DespeckledScene:
    """Take the speckle out of a radar scene; settings are those of `Despeckling`, as `looks=4.4, solver="hqs"`.

    Returns a `DespeckledScene`, whose `save(path)` writes what the command writes; with `out` it is written there block by
    block. Without `notes` each note is raised as a `RestorekitNote` warning. Raises `BadInput` with the way out.

        restorekit.despeckle("scene.tif", solver="hqs").save("despeckled.tif")
    """
    told = Notes() if notes is None else notes
    result = Despeckling(**settings)(source, out=out, notes=told, progress=progress)
    if notes is None:
        told.warn()
    return result


def _scene(source: RadarSource) -> Path | Scene:
    if isinstance(source, str | os.PathLike):
        return Path(source)
    return scene_in_memory(bands_first(source)[0], "the scene")


def _tell(notes: Notes, text: str) -> None:
    """Say at once what is of the run, and not of the result."""
    if notes.heard is not None:
        notes.heard(text)


def _note_stale(made: DespecklePlan, target: Path, notes: Notes) -> None:
    stale = beside(target, "std")
    if "std" not in made.layers and stale.exists():
        notes(f"{stale} is of an earlier run, not of this one")


def _eta(each: Cost, made: DespecklePlan, count: int, workers: int, name: str) -> str:
    seconds = each.seconds * count / workers
    calls = f", {each.calls} network calls each" if each.calls else ""
    kind = f"{workers} process{'es' if workers > 1 else ''}"
    long = seconds > 600 and each.calls > 20
    hint = "; `preview=TOP,LEFT,HEIGHT,WIDTH` tries a part, `solver=hqs` is fast" if long else ""
    return f"{count} block{'s' * (count != 1)} of {made.job.grid.side} pixels{calls}: about {_time(seconds)} with {kind} ({name}){hint}"


def _time(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
