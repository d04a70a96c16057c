"""A batch runs one task on many pictures: it loads the prior once, keeps results that are there, and goes on after failures."""

from __future__ import annotations

import csv
import inspect
import io
import os
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from restorekit.errors import OUT_OF_MEMORY, BadInput, is_want_of_memory
from restorekit.files.atomic import together
from restorekit.files.lock import alone
from restorekit.files.overwrite import may_overwrite, overwriting
from restorekit.files.picture import write_text
from restorekit.files.session import session
from restorekit.notes import Notes
from restorekit.priors.find import kept_priors
from restorekit.scenes.execute import on_cluster
from restorekit.tasks.batch_inputs import COMPANIONS, SUMMARY, PictureJob, jobs_of
from restorekit.tasks.batch_journal import Journal, digests, key_of
from restorekit.tasks.sound import check_settings
from restorekit.tasks.written import written_by
from restorekit.text.names import files_of
from restorekit.text.spelling import located

COLUMNS = ("picture", "result", "state", "calls", "seconds", "misfit", "notes", "error")
DONE, THERE, FAILED = "done", "there already", "failed"
Progress = Callable[[str, float, int], None]  # (what runs, pictures done, in all)


@dataclass(frozen=True)
class PictureOutcome:
    """The outcome of one picture. state: `DONE`, `THERE` (made by an earlier run, and still valid) or `FAILED`."""

    job: PictureJob
    state: str
    calls: int | None = None  # of the network
    seconds: float = 0.0
    misfit: float | None = None  # of the measurement, in deviations of the noise
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()  # what was found wrong with the result as a whole
    error: str = ""  # one line
    trace: str = ""  # of an error that nobody foresaw, its traceback
    read: dict[str, str] = field(default_factory=dict)  # checksums by place
    written: dict[str, str] = field(default_factory=dict)  # checksums by name in the folder
    scores: dict[str, float] = field(default_factory=dict)  # against the truth, where there is one, by name

    def row(self) -> dict[str, Any]:
        """Return the row of the summary, by `COLUMNS` and the names of `scores`."""
        return {
            "picture": str(self.job.source), "result": "" if self.state == FAILED else self.job.target.name, "state": self.state,
            "calls": "" if self.calls is None else self.calls, "seconds": f"{self.seconds:.2f}" if self.seconds else "",
            "misfit": "" if self.misfit is None else f"{self.misfit:.3g}", "notes": len(self.notes) + len(self.doubts) or "",
            "error": self.error, **{name: f"{score:.4f}" for name, score in self.scores.items()},
        }  # fmt: skip


@dataclass(frozen=True)
class BatchResult:
    """Outcomes of a batch in the order of its pictures; `summary` is the table of them in the folder, a CSV file."""

    folder: Path
    outcomes: tuple[PictureOutcome, ...]
    unwritten: str = ""  # why the summary could not be written; "" where it was
    notes: tuple[str, ...] = ()  # what a reader of all results should know

    @property
    def summary(self) -> Path:
        """Return the path of `summary.csv` in the folder."""
        return self.folder / SUMMARY

    @property
    def failed(self) -> tuple[PictureOutcome, ...]:
        """Return the outcomes of the pictures without a result, each with its `error`."""
        return tuple(o for o in self.outcomes if o.state == FAILED)

    @property
    def counts(self) -> str:
        """Return the number of pictures in each state, as "3 done, 1 failed"."""
        found = Counter(outcome.state for outcome in self.outcomes)
        return ", ".join(f"{count} {state}" for state, count in found.items())

    def __repr__(self) -> str:
        return f"BatchResult({str(self.folder)!r}, {self.counts})"


@dataclass(frozen=True)
class Batch:
    """Settings of a task for many pictures; the call treats them.

    task: a function such as `restorekit.denoise`, or a class of settings such as `Restoring`. settings: what it takes. Of
    mask, kernel, derained, rain, truth, begin, sar and cloud a folder holds one file for each picture, by its stem; a file is for
    all. suffix: of the results, ".png"; by default that of each picture. pages: of files of several, as "1,4-6" or "all".
    scheduler: address of a dask cluster, whose workers see the same folders; it is trusted, and runs code. overwrite: whether files
    in the folder are replaced that are no results of restorekit.
    """

    task: Callable[..., Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    suffix: str | None = None
    pages: str | None = None
    scheduler: str | None = None
    overwrite: bool = True

    def __call__(
        self,
        places: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
        out: str | os.PathLike[str],
        *,
        notes: Notes | None = None,
        heard: Callable[[PictureOutcome], None] | None = None,
        progress: Progress | None = None,
    ) -> BatchResult:
        """Treat the pictures that files, folders and globs name, and write each result into the folder `out`.

        A picture whose result is there, made by the same version with the same settings from the same files, is not made
        again. One that fails is in the result with its error, and the others go on. Of folders, globs and several files, those that records
        beside them name as written beside a result, as OUT_std, are left out; notes: is told how many. heard: is told each outcome as it
        comes. progress: is told (what runs, pictures done, in all). Raises `BadInput`, before anything runs, where two
        results would have one name, one would replace an input, another run has the folder, or a setting suits no picture.
        """
        folder = Path(out)
        notes = Notes() if notes is None else notes
        with session(Notes()), overwriting(self.overwrite):
            given = [places] if isinstance(places, str | os.PathLike) else list(places)
            jobs = jobs_of(
                given,
                folder,
                self.settings,
                self.suffix,
                self.pages,
                partial(written_by, self.task),
                notes,
                self._products,
            )
            if folder.exists() and not folder.is_dir():
                raise BadInput(f"{folder} is a file; `out` takes a folder", argument="out")
            _check_summary(folder / SUMMARY)
            check_settings(self.task, self.settings)
            with alone(folder):
                journal = Journal(folder)
                found = self._there(jobs, journal)
                for outcome in found.values():
                    _tell(heard, outcome)
                try:
                    for outcome in self._outcomes([job for job in jobs if job.target not in found], progress):
                        found[outcome.job.target] = outcome
                        self._record(journal, outcome)
                        _tell(heard, outcome)
                finally:
                    outcomes = tuple(found[job.target] for job in jobs if job.target in found)
                    unwritten = _written(folder / SUMMARY, outcomes)
                if not unwritten:
                    unwritten = _tidied(journal)
        return BatchResult(folder, outcomes, unwritten, tuple(notes.texts))

    @property
    def _products(self) -> bool:
        """Return True for the task that opens products of radar satellites, of which some are folders."""
        kind = getattr(self.task, "settings_class", self.task)
        return getattr(kind, "__name__", "") in ("despeckle", "Despeckling")

    def _there(self, jobs: Sequence[PictureJob], journal: Journal) -> dict[Path, PictureOutcome]:
        """Return outcomes of pictures that need not be made again, or cannot be begun."""
        entries, found = journal.entries(), {}
        for job in jobs:
            entry = entries.get(job.target.name)
            if job.error:
                found[job.target] = PictureOutcome(job, FAILED, error=job.error)
            elif entry is not None and journal.holds(entry, key_of(self.task, self.settings, job)):
                calls, seconds, misfit = (entry.get(name) for name in ("calls", "seconds", "misfit"))
                notes, doubts = (tuple(entry.get(name, ())) for name in ("notes", "doubts"))
                found[job.target] = PictureOutcome(
                    job, THERE, calls, seconds or 0.0, misfit, notes, doubts, scores=entry.get("scores", {})
                )
        return found

    def _record(self, journal: Journal, outcome: PictureOutcome) -> None:
        if outcome.state != DONE or (key := key_of(self.task, self.settings, outcome.job)) is None:
            return
        facts = {name: getattr(outcome, name) for name in ("calls", "seconds", "misfit", "notes", "doubts", "scores")}
        journal.add({"result": outcome.job.target.name, "key": key, **facts, "read": outcome.read, "written": outcome.written})  # fmt: skip

    def _outcomes(self, jobs: Sequence[PictureJob], progress: Progress | None) -> Iterator[PictureOutcome]:
        tell, count = progress or (lambda *_: None), len(jobs)
        if not jobs:
            return
        tell(jobs[0].name if self.scheduler is None else "on the cluster", 0, count)
        if self.scheduler is not None:
            work, own = (
                partial(_on_worker, self.task, _absolute(self.settings), overwrite=may_overwrite()),
                {job.target.name: job for job in jobs},
            )
            for number, (job, answer) in enumerate(on_cluster(self.scheduler, work, [_away(job) for job in jobs]), 1):
                mine = own[job.target.name]
                if isinstance(answer, BaseException):
                    yield _lost(mine, answer)
                else:
                    error = answer.error.replace(str(job.source), str(mine.source))
                    yield replace(answer, job=mine, error=error)
                tell("on the cluster", number, count)
            return
        with kept_priors():
            for number, job in enumerate(jobs):

                def told(what: str, done: int, total: int | None, number: int = number, job: PictureJob = job) -> None:
                    part = min(done / total, 0.999) if total else 0.0
                    tell(f"{job.name}  {what} {done}/{total or '?'}", number + part, count)

                yield outcome_of(self.task, self.settings, job, told)
                tell(job.name, number + 1, count)


def outcome_of(
    task: Callable[..., Any], settings: Mapping[str, Any], job: PictureJob, progress: Any = None
) -> PictureOutcome:
    """Run a task on one picture and write its result; an error becomes the outcome."""
    notes, began, trace = Notes(), time.perf_counter(), ""
    try:
        with session(notes) as files:
            run = {"out": job.target, "notes": notes, "progress": progress}
            result = call_task(task, job.source, {**settings, **job.own}, run)
            with together() as waiting:
                written = [Path(path) for path in result.save(job.target)]
                names = {path.name for path in (*written, *waiting.moves)}
                if taken := sorted(names & set(job.rivals)):
                    raise BadInput(f"{taken[0]} beside this result would replace that of another picture; rename one")
        made = digests(written)
        return PictureOutcome(
            job, DONE, getattr(result, "nfe", None), getattr(result, "seconds", None) or time.perf_counter() - began,
            getattr(getattr(result, "source", None), "facts", {}).get("misfit"), tuple(notes.texts),
            tuple(text for text in texts_of(result) if text not in notes.texts), read=digests([*files.read, *([job.source] if job.source.is_dir() else [])]),
            written={os.path.relpath(path, os.path.realpath(job.target.parent)): made[path] for path in made},
            scores=dict(getattr(result, "scores", {})),
        )  # fmt: skip
    except (BadInput, OSError) as error:
        line = str(error)
    except Exception as error:  # noqa: BLE001 (the other pictures go on)
        line = OUT_OF_MEMORY
        if not is_want_of_memory(error):
            line, trace = f"{type(error).__name__}: {error}", traceback.format_exc()
    return PictureOutcome(
        job, FAILED, seconds=time.perf_counter() - began, notes=tuple(notes.texts), error=_one_line(line), trace=trace
    )


def call_task(
    task: Callable[..., Any], source: str | os.PathLike[str], settings: Mapping[str, Any], run: Mapping[str, Any]
) -> Any:
    """Call a task as `Batch` describes it; of `run`, which are "out", "notes" and "progress", it is given what it takes."""
    called: Any = task
    if inspect.isclass(task):
        called = called(**settings)
        return called(source, **run)
    taken = inspect.signature(task).parameters
    every = any(p.kind is p.VAR_KEYWORD for p in taken.values())
    return called(source, **settings, **{name: value for name, value in run.items() if every or name in taken})


_PRIORS: dict[Any, Any] = {}  # of a worker process, which outlives its pictures


def _on_worker(
    task: Callable[..., Any], settings: Mapping[str, Any], job: PictureJob, *, overwrite: bool
) -> PictureOutcome:
    with kept_priors(_PRIORS), overwriting(overwrite):
        return outcome_of(task, settings, job)


def _away(job: PictureJob) -> PictureJob:
    """Return the job with whole paths, for a process that runs in another folder."""
    return replace(job, source=Path(os.path.abspath(job.source)), target=Path(os.path.abspath(job.target)), own=_absolute(job.own))  # fmt: skip


def _absolute(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with the whole path of every file and folder here that they name."""

    def whole(name: str, value: Any) -> Any:
        if isinstance(value, Path):
            return value.absolute()
        if isinstance(value, str) and name in COMPANIONS and os.path.isdir(value):  # a word, but of a folder
            return os.path.abspath(value)
        if isinstance(value, str) and name == "op":
            value = located(value)
        if not isinstance(value, str) or not ("." in value or os.sep in value):  # a word, such as the name of a prior
            return value
        if os.path.exists(value):
            return os.path.abspath(value)
        for file in files_of(value):
            value = value.replace(str(file), os.path.abspath(file))
        return value

    return {name: whole(name, value) for name, value in settings.items()}


def _lost(job: PictureJob, error: BaseException) -> PictureOutcome:
    why = type(error).__name__ if type(error).__name__ == "KilledWorker" else f"{type(error).__name__}: {error}"
    what = f"no worker of the cluster gave an answer ({why}); had they enough memory?"
    return PictureOutcome(job, FAILED, error=_one_line(what))


def _check_summary(path: Path) -> None:
    """Raise BadInput where the name of the summary is that of another file of the user's."""
    if not path.is_file():
        return
    head = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    if head.split(",")[: len(COLUMNS)] != list(COLUMNS):  # names of scores follow
        raise BadInput(f"{path} is no summary of restorekit, and would be replaced; give `out` another folder")


def _written(path: Path, outcomes: Sequence[PictureOutcome]) -> str:
    """Write the summary; return why it could not be, which must not hide what became of the pictures."""
    try:
        if outcomes:
            write_text(path, _table(outcomes))
    except (BadInput, OSError) as error:
        return _one_line(str(error))
    return ""


def _tidied(journal: Journal) -> str:
    try:
        journal.tidy()
    except (BadInput, OSError) as error:
        return _one_line(str(error))
    return ""


def _table(outcomes: Sequence[PictureOutcome]) -> str:
    text = io.StringIO()
    columns = dict.fromkeys([*COLUMNS, *(name for outcome in outcomes for name in outcome.scores)])
    table: csv.DictWriter[str] = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(outcome.row() for outcome in outcomes)
    return text.getvalue()


def _tell(heard: Callable[[PictureOutcome], None] | None, outcome: PictureOutcome) -> None:
    if heard is not None:
        heard(outcome)


def texts_of(result: Any) -> tuple[str, ...]:
    """Return the notes of a result of any task."""
    notes = getattr(result, "notes", ())
    return tuple(notes.texts if isinstance(notes, Notes) else notes)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:400]
