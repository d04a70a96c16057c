"""Metrics tell how close a picture is to the truth, or each picture of a folder to its own."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from restorekit.errors import BadInput
from restorekit.files.reading import Reading
from restorekit.files.session import session
from restorekit.files.stored import check_source
from restorekit.metrics.fidelity import compare, known
from restorekit.notes import Notes
from restorekit.tasks import ranges
from restorekit.tasks.batch import FAILED, PictureOutcome, Progress, outcome_of
from restorekit.tasks.batch_inputs import pairs_of
from restorekit.tasks.inputs import Source, Span, reading_beside, take
from restorekit.tasks.unmeasured import refuse_turned, turned_size


def picture_metrics(
    picture: Source,
    truth: Source,
    *,
    names: Sequence[str] | None = None,
    crop: int = 0,
    range: Span | None = None,
    layout: str | None = None,
    page: int | None = None,
    notes: Notes | None = None,
) -> dict[str, float]:
    """Return metrics by name, of values on [0, 1]; pixels that are no data in either picture do not count.

    names: by default "psnr", "ssim", "mae" and "rmse". crop: pixels to leave out at each side. range: values of black and
    white. layout: axes of NPY files of three, "HWC" or "CHW". page: of a TIFF of several, from 1; of the truth too, if it has as
    many. Raises `BadInput` where the two are of different sizes, turned against each other, or integers that fill little of 16
    bits, whose white must be said by `range`.
    """
    notes = Notes() if notes is None else notes
    reading = Reading(layout, page)
    taken = [take(picture, range, reading=reading), take(truth, range, reading=reading_beside(truth, reading))]
    read, (one, other) = [t.picture for t in taken], [t.label for t in taken]
    if range is None:  # figures are relative to white, which the truth tells where both are of one type
        for each in taken[1:] if read[0].dtype == read[1].dtype else taken:
            ranges.check_range(each.label, each.picture)
        if read[0].dtype == read[1].dtype and read[0].span != read[1].span:
            spans = [f"{low:g} to {high:g}" for low, high in (each.span for each in read)]
            notes(
                f"black to white is {spans[0]} in {one} and {spans[1]} in {other}; `range=LO,HI` says what it is in both"
            )
    a, b = (p.pixels for p in read)
    refuse_turned(read[0], one, read[1], other)
    if a.shape != b.shape and (why := turned_size(*read)):
        raise BadInput(
            f"{one} is {a.shape[1]}x{a.shape[2]} pixels, {other} {b.shape[1]}x{b.shape[2]}{why}; turn one of them"
        )
    if 2 * crop >= min(a.shape[1:]):
        raise BadInput(f"`crop={crop}` leaves nothing of {a.shape[1]}x{a.shape[2]} pixels; choose a smaller one")
    inner = slice(crop, -crop or None)
    valid = None
    if a.shape == b.shape and (empty := [p.empty.where for p in read if p.empty is not None]):
        valid = ~np.logical_or.reduce(empty)[inner, inner]
        if not valid.all():
            notes(f"{(~valid).sum()} pixels are no data and left out")
    return compare(a[:, inner, inner], b[:, inner, inner], list(names) if names else None, valid)


@dataclass(frozen=True)
class MetricsTable:
    """Metrics `names` of many pictures, one outcome for each in their order: its `scores`, or its `error`."""

    names: tuple[str, ...]
    outcomes: tuple[PictureOutcome, ...]

    @property
    def scores(self) -> dict[str, dict[str, float]]:
        """Return the metrics by the path of each picture that has them."""
        return {str(o.job.source): o.scores for o in self.outcomes if o.state != FAILED}

    @property
    def mean(self) -> dict[str, float]:
        """Return the mean of each metric over the pictures that have them, of "psnr" in dB; empty where none has."""
        scores = list(self.scores.values())
        return {name: fmean(each[name] for each in scores) for name in self.names} if scores else {}

    @property
    def failed(self) -> tuple[PictureOutcome, ...]:
        """Return the outcomes without metrics, each with its `error`."""
        return tuple(o for o in self.outcomes if o.state == FAILED)

    def csv(self) -> str:
        """Return the table as CSV: a row for each picture, and at the end that of the mean."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["picture", *self.names, "error"])
        rows = [(str(o.job.source), o.scores, o.error) for o in self.outcomes]
        for picture, scores, error in [*rows, ("mean", self.mean, "")]:
            table.writerow([picture, *(f"{scores[n]:.4f}" if n in scores else "" for n in self.names), error])
        return text.getvalue()

    def plain(self) -> dict[str, Any]:
        """Return {"pictures", "mean", "failed"}, as JSON takes it once infinity is a text."""
        return {"pictures": self.scores, "mean": self.mean, "failed": {str(o.job.source): o.error for o in self.failed}}


def folder_metrics(
    pictures: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
    truth: str | os.PathLike[str],
    *,
    names: Sequence[str] | None = None,
    crop: int = 0,
    range: Span | None = None,
    layout: str | None = None,
    page: int | None = None,
    heard: Callable[[PictureOutcome], None] | None = None,
    progress: Progress | None = None,
) -> MetricsTable:
    """Return the metrics of each picture that files, folders and globs name, as `picture_metrics` gives them.

    truth: a folder with the truth of each, as NAME or NAME_truth of any suffix, or one file for all. A pair that fails stops
    no other. What was written beside results, such as OUT_std and OUT_truth, is left out unless it is named. Raises `BadInput` for
    an unknown name, and where there is no picture or no truth at all.
    """
    if not os.path.isdir(truth):
        check_source(Path(truth))
    given = [pictures] if isinstance(pictures, str | os.PathLike) else list(pictures)
    wanted, outcomes = known(names), list[PictureOutcome]()
    settings: dict[str, Any] = {"truth": os.fspath(truth), "names": wanted, "crop": crop, "range": range, "layout": layout, "page": page}  # fmt: skip
    with session(Notes()):
        jobs = pairs_of(given, settings)
        for number, job in enumerate(jobs):
            if progress is not None:
                progress(job.name, number, len(jobs))
            failed = PictureOutcome(job, FAILED, error=job.error)
            outcomes.append(failed if job.error else outcome_of(_scored, settings, job))
            if heard is not None:
                heard(outcomes[-1])
    return MetricsTable(tuple(wanted), tuple(outcomes))


@dataclass(frozen=True)
class _Scored:
    """Metrics as a task of a batch gives its result: there is nothing to save."""

    scores: dict[str, float]

    def save(self, path: Path) -> list[Path]:
        return []


def _scored(source: Source, *, out: Path, progress: None, **settings: Any) -> _Scored:
    return _Scored(picture_metrics(source, **settings))
