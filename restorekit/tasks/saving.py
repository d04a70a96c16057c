"""Files of a restoration: OUT, what lies beside it, and the record OUT.json, all or none."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from restorekit.files.atomic import check_target, named_beside, together
from restorekit.files.formats import FORMATS, LOSSY
from restorekit.files.mask_file import written_beside
from restorekit.files.nodata import parts_of
from restorekit.files.overwrite import refuse_foreign, separate
from restorekit.files.picture import Picture, check_writable, losses, regridded, write_json, write_picture
from restorekit.files.place import Placement
from restorekit.files.record import earlier, head, refuse_of_another
from restorekit.files.record import outputs as checksums
from restorekit.files.transfer import written_as
from restorekit.inference.restoration import Restoration
from restorekit.notes import Notes
from restorekit.tasks import error_bars
from restorekit.tasks.inputs import Source
from restorekit.tasks.measured import Measured
from restorekit.tasks.measurement import record_of
from restorekit.uncertainty.calibration import FoundInterval

if TYPE_CHECKING:
    from restorekit.tasks.restore import Restoring


def record_file(target: Path) -> Path:
    """Return the path of OUT.json."""
    return named_beside(target, target.name + ".json")


def beside(target: Path, what: str, suffix: str | None = None) -> Path:
    """Return the path OUT_what, with the suffix of OUT or another."""
    return named_beside(target, f"{target.stem}_{what}{suffix or target.suffix}")


def outputs(task: Restoring, target: Path) -> list[Path]:
    """Return all files that a task writes for OUT."""
    bars = [] if task.samples == 1 else error_bars.files(target)
    return [target, *task.outputs(target), *bars, record_file(target)]


def check_names(task: Restoring, source: Path | None, target: Path) -> None:
    """Raise `BadInput` where a file that is written is one that is read, or one beside OUT belongs to another result."""
    separate(task.opened() + ([] if source is None else [source]), outputs(task, target))
    refuse_of_another(record_file(target), task.outputs(target))


@dataclass(frozen=True, eq=False)
class Origin:
    """It knows the task and the input of a restoration, and writes the files of the command, in the type and with the
    metadata of the input."""

    task: Restoring
    measured: Measured
    bars: FoundInterval | None  # the intervals of several samples
    facts: dict[str, Any]  # for the record
    notes: Notes
    kept: torch.Tensor | None = None  # (C, H, W): pixels of the result that are those of the input, to the bit

    def read_truth(self, truth: Source) -> np.ndarray:
        """Return (C, H, W) of a clean picture in the values of the result, read as the input was."""
        seen = torch.from_numpy(self.measured.as_result(truth, "give its own truth"))
        return self.measured.coded(seen).cpu().numpy()

    def check(self, target: Path) -> None:
        """Raise `BadInput` where the files could not be written, or would replace one that is read; notes say what is lost."""
        read = self.measured.read
        check_names(self.task, read.input.path, target)
        bands = self.measured.forward.operator.image_shape[0]
        for text in check_writable(target, bands, read.picture.alpha is not None):
            self.notes(text)
        for text in losses(target, read.picture):
            self.notes(text)
        for path in outputs(self.task, target):
            for each in (path, *(masks := written_beside(path, read.picture.info))):
                check_target(each)
            refuse_foreign(masks)
        if self.bars is not None and FORMATS[target.suffix.lower()] in LOSSY:
            self.notes(f"{target}: its compression moves OUT_low and OUT_high; .png and .tif hold them as they are")

    def save(self, restoration: Restoration, path: str | os.PathLike[str]) -> list[Path]:
        """Write OUT, with several samples OUT_mean, OUT_std, OUT_low and OUT_high, and OUT.json; returns the files."""
        target = Path(path)
        self.check(target)
        # OUT.json comes last, so that who finds it finds the files whose hashes it holds.
        with together():
            written = self._write(restoration, target)
        return [*written, record_file(target)]

    def _write(self, result: Restoration, target: Path) -> list[Path]:
        (like, said), written, facts = self._like(), [target], dict(self.facts)
        first = result.samples[0]
        if self.kept is not None:
            first = torch.where(self.kept.to(first.device), result.mean, first)
        for text in [
            *(f"{target}: {text}" for text in said),
            *write_picture(target, first.float().cpu().numpy(), like),
        ]:
            self.notes(text)
        if self.bars is not None:
            picture = self._sized(self.measured.read.picture)[0]
            facts |= error_bars.write(target, result, self.bars, picture, like, self.measured.forward.operator)
            written += error_bars.files(target)
        written = [file for path in written for file in (*written_beside(path, like.info), path)]
        more, said = self.task.write_more(target, self.measured)
        written, facts = written + more, facts | said
        asides = [*error_bars.files(target), *self.task.asides(target)]
        stale, of_stale = earlier(record_file(target), written, asides)
        if stale:
            self.notes(f"{', '.join(stale)}: of an earlier run, not of this one")
        facts |= of_stale
        write_json(record_file(target), self._record(result, target, written) | facts)
        return written

    def _sized(self, picture: Picture) -> tuple[Picture, list[str]]:
        """Return a picture of the size of the measurement as one to write a result like, which lies where that did; and what is lost."""
        operator = self.measured.forward.operator
        return regridded(picture, self.measured.result_shape[1:], Placement(*operator.lattice))

    def _like(self) -> tuple[Picture, list[str]]:
        """Return the input, with the raw values of pixels that are kept: floats on [0, 1] do not hold all of a wide type."""
        read = self.measured.read
        like, raw = read.picture, read.input.values() if self.kept is not None else None
        if self.kept is None or raw is None:
            return self._sized(like)
        if read.box is not None:
            top, left, height, width = read.box
            raw = raw[:, top : top + height, left : left + width]
        where = self.kept.all(0).cpu().numpy() | (False if like.empty is None else like.empty.where)
        return replace(like, empty=parts_of(np.asarray(where), raw, None)), []

    def _record(self, result: Restoration, target: Path, written: list[Path]) -> dict[str, Any]:
        task, read = self.task, self.measured.read
        flips = 1 if task.flips == 1 else task.flips
        return {
            **head(),
            "input": read.input.record(),
            **record_of(self.measured, task),
            **task.record(),
            "steps": len(result.settings["sigmas"]) - 1,
            **result.settings,
            "flips": task.flips,
            "nfe": result.nfe * flips,
            "seconds": round(result.seconds, 2),
            "range_out": written_as(target, read.picture).span,
            "outputs": checksums(written),
            "orientation": read.picture.info.get("orientation", 1),
            "no_data": 0.0 if read.empty is None else round(float(read.empty.mean()), 6),
        }
