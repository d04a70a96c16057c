"""Dates of one place are despeckled together: several files, or one whose bands are the dates."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from restorekit.despeckling.cost import calls_of
from restorekit.despeckling.stack import StackPlan, Together, Way, stack
from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.files.overwrite import separate
from restorekit.files.scene import Scene
from restorekit.notes import Notes
from restorekit.report.progress import watched
from restorekit.sar.changes import Changes, changes_of
from restorekit.scenes.execute import executor_of
from restorekit.tasks.batch_inputs import jobs_of
from restorekit.tasks.despeckle import Despeckling, Progress, RadarSource, scene_in
from restorekit.tasks.despeckled_scene import DespeckledScene, note_stale
from restorekit.tasks.task_settings import refuse_unknown


@dataclass(frozen=True, kw_only=True)
class DespecklingDates(Despeckling):
    """Settings of a despeckling of several dates; the call despeckles. joint_by: "change", where a date differs from the mean of
    all only where it changed, or "ratio", its ratio to the mean restored; changes: the test of "change"
    (`restorekit.despeckling.joint_block`)."""

    joint_by: Way = "change"
    changes: Changes = field(default_factory=Changes)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "changes", changes_of(self.changes))

    def dates(
        self,
        sources: Sequence[RadarSource],
        targets: Sequence[Path] | None = None,
        *,
        notes: Notes | None = None,
        progress: Progress | None = None,
    ) -> list[DespeckledScene]:
        """Despeckle `sources` together: files or arrays of one size, or one whose bands are the dates; return a result for each.

        targets: the files to write, one for each source; without them the results stay in memory, with all draws. Raises
        `BadInput` as `Despeckling` does, and for dates that do not lie on each other.
        """
        notes = Notes() if notes is None else notes
        began = time.perf_counter()
        preview = None if self.preview is None else Window(*self.preview)
        if self.executor != "auto":
            executor_of(self.executor, self.workers, self.scheduler)  # refused before the scenes are looked at
        _check_targets(sources, targets)
        together = Together(by=self.joint_by, changes=self.changes)
        scenes, outs = [_scene(source, n) for n, source in enumerate(sources, 1)], targets or [None] * len(sources)
        made = stack(scenes, outs, self, together, preview)
        for text in made.said:
            notes(text)
        run: dict[str, Any] = {"say": notes}
        run["progress"] = None if progress is None else lambda done, total: progress("blocks", done, total)
        if targets is None:
            made = replace(made, plans=tuple(replace(p, keep_draws=True) for p in made.plans), keep_draws=True)
            blended = made.in_memory(self.chosen_executor(made, notes), **run)
            seconds = time.perf_counter() - began
            return [
                _result(made, n, DespeckledScene(p, notes, seconds, scene=scene))
                for n, (p, scene) in enumerate(zip(made.recorded, blended, strict=True))
            ]
        files = made.run(self.chosen_executor(made, notes), restart=self.restart, snap=self.interop_snap, **run)
        for one in made.plans:
            assert one.target is not None
            note_stale(one, one.target, notes)
        seconds = time.perf_counter() - began
        return [
            _result(made, n, DespeckledScene(p, notes, seconds, files=tuple(paths)))
            for n, (p, paths) in enumerate(zip(made.recorded, files, strict=True))
        ]


def _scene(source: RadarSource, number: int) -> Path | Scene:
    found = scene_in(source)
    return replace(found, path=Path(f"date {number}")) if isinstance(found, Scene) else found


def _check_targets(sources: Sequence[RadarSource], targets: Sequence[Path] | None) -> None:
    if not targets:
        return
    if len(set(targets)) < len(sources):
        raise BadInput("two dates would be written to one file; give each its own name", argument="out")
    separate([Path(s) for s in sources if isinstance(s, str | os.PathLike)], list(targets))


def _result(made: StackPlan, number: int, result: DespeckledScene) -> DespeckledScene:
    """Return the result with its network calls: those of all dates together, which are each restored once."""
    if made.keys:
        vars(result)["nfe"] = calls_of(made.plans[number].job) * len(made.keys)
    return result


def despeckle_dates(
    sources: Sequence[RadarSource] | RadarSource,
    out: str | os.PathLike[str] | None = None,
    *,
    suffix: str | None = None,
    notes: Notes | None = None,
    progress: Progress | bool | None = None,
    **settings: Any,
) -> list[DespeckledScene]:
    """Take the speckle out of several dates of one place together; return a `DespeckledScene` for each source, in their order.

    sources: files, arrays or tensors of one size, co-registered, or one source whose bands are the dates. out: a folder for the results of several, by the names of their
    files, or the file of one. suffix: of the results in the folder, ".tif". Settings are those of `despeckle` and of `DespecklingDates`. Raises
    `BadInput` with the way out: for dates of another size or place, or that lie beside each other, with the shift that was found.

        restorekit.despeckle_dates(["may.tif", "june.tif", "july.tif"], out="restored", solver="hqs")
    """
    told = Notes() if notes is None else notes
    refuse_unknown(settings, DespecklingDates.__dataclass_fields__, "a despeckling of dates")
    task = DespecklingDates(**settings)
    places: Sequence[RadarSource] = sources if isinstance(sources, list | tuple) else [sources]  # type: ignore[list-item]
    targets = None
    missing = [] if out is None else [folder for folder in (Path(out), *Path(out).parents) if not folder.exists()]
    if out is not None:
        one_file = len(places) == 1 and Path(out).suffix != ""
        targets = [Path(out)] if one_file else _in_folder(places, Path(out), suffix, told)
    try:
        with watched(progress, "blocks") as shown:
            results = task.dates(places, targets, notes=told, progress=shown)
    except BadInput:
        for folder in missing:  # made for results that there are none of
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise
    if notes is None:
        told.warn(stacklevel=3)
    return results


def _in_folder(places: Sequence[RadarSource], folder: Path, suffix: str | None, notes: Notes) -> list[Path]:
    """Return the file in `folder` for each place, in their order; the folder is made."""
    files = [Path(place) for place in places if isinstance(place, str | os.PathLike)]
    if len(files) < len(places):
        raise BadInput(
            "`out` is for files, whose names results have; leave it out for arrays, and save each", argument="out"
        )
    jobs = jobs_of(files, folder, {}, suffix, None, notes=notes)
    by_source = {job.source: job for job in jobs}
    if missing := [file for file in files if file not in by_source]:
        raise BadInput(f"{missing[0]}: was written beside a result, and is no date of its own; leave it out")
    if failed := next((job.error for job in jobs if job.error), ""):
        raise BadInput(failed)
    folder.mkdir(parents=True, exist_ok=True)
    return [by_source[file].target for file in files]


def dates_of(places: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Return the files that files, folders and globs name, in their order. Raises `BadInput` where there is none."""
    from restorekit.tasks.batch_inputs import pictures_of

    return pictures_of(places)
