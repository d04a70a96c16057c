"""A calibration of error bars from clean pictures: drawn, gone on with, judged and written."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import restorekit
from restorekit.errors import BadInput
from restorekit.files.atomic import check_target
from restorekit.files.lock import alone_with
from restorekit.files.overwrite import inside, separate
from restorekit.inference.solver import Solver
from restorekit.notes import Notes
from restorekit.priors.find import Precision, device_of, load_prior, of_pictures
from restorekit.priors.prior import Prior
from restorekit.report.text_tables import markdown
from restorekit.tasks.calibration_rows import LEVEL, Drawn, SplitPictures, rows_of, run
from restorekit.tasks.calibration_table import HEADER, entries, other_versions, table
from restorekit.tasks.inputs import Source
from restorekit.tasks.task_settings import CalibrationSettings
from restorekit.text.degradation import Degradation
from restorekit.text.names import files_of, solver_of
from restorekit.uncertainty.calibration import WHITE_LEFT_OUT, Calibration, Entry
from restorekit.uncertainty.conformal import check_count, least_pictures

Pictures = str | os.PathLike[str] | Sequence[Source]
Show = Callable[[int, int], None]  # (restorations done, in all)


@dataclass(frozen=True, eq=False, repr=False)
class Calibrated:
    """The result of a calibration. calibration: all that its file holds. entries: those of this run, one for each noise
    and number of samples. judging: pictures that did not calibrate, 0 where no entry could be judged. notes: what a
    reader should know.
    """

    calibration: Calibration
    entries: tuple[Entry, ...]
    judging: int
    journal: Path | None  # the table of rows, of a run with `out`
    notes: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """Return how often intervals of 0.9 hold on the pictures that judge, in Markdown; "" where no entry could be judged."""
        judged = table(self.entries)
        return markdown(HEADER, judged) if judged else ""

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the file that `calibration=` of a restoration takes, whole or not at all; returns its path.

        Raises `BadInput` for a name that is not .json, and where the disk refuses.
        """
        check_json(Path(path))
        self.calibration.write(Path(path))
        return [Path(path)]

    def __repr__(self) -> str:
        levels = ", ".join(dict.fromkeys(f"{e.conditions.task} {e.conditions.noise}" for e in self.entries))
        kept = self.entries[0].pictures if self.entries else 0
        return f"Calibrated({self.calibration.prior}: {levels}; {kept} pictures calibrate, {self.judging} judge)"


@dataclass(frozen=True, kw_only=True)
class Calibrating(CalibrationSettings):
    """A calibration; the call draws for every picture and noise.

    task: the forward model. noise: laws, between which factors are interpolated. prior, solver: what draws.
    """

    task: str
    noise: Sequence[str]
    prior: str | os.PathLike[str] | Prior = "natural"
    solver: str | Solver = "mmps"

    def __call__(
        self,
        data: Pictures,
        out: str | os.PathLike[str] | None = None,
        *,
        notes: Notes | None = None,
        progress: Show | None = None,
    ) -> Calibrated:
        """Calibrate on a folder or zip, or on a list of pictures, half of which calibrates while the other half judges.

        The two halves are told apart by name in a folder or zip, by position in a list: even positions calibrate, odd
        ones judge. out: the JSON file, begun or added to; its table of rows lies beside it, and a run goes on where it
        stopped. progress: is told (restorations done, in all). Raises `BadInput` where settings, pictures and the file
        do not fit.
        """
        notes, target = Notes() if notes is None else notes, None if out is None else Path(out)
        drawn, tasks, held, journal = self._ready(data, target)
        some = held.some(self.pictures)
        kept = sum(truth.half == "calibrate" for truth in some)
        with nullcontext() if target is None else alone_with(target):
            known = _known(target, drawn.prior)
            rows = rows_of(journal)
            if journal is not None and "power" in rows.lacking:
                notes(
                    f"{journal.name} is of an earlier version: all rows are drawn with `power=1`; give another `out` for others"
                )
                drawn = replace(drawn, power=1.0)
            if journal is not None and "clipped" in rows.lacking:
                older = "measured" if drawn.transfer == "linear" else WHITE_LEFT_OUT
                drawn = replace(drawn, clipped=older)
                notes(
                    f"{journal.name} is of an earlier version: all rows are drawn with clipped values {older}; give another `out` for others"
                )
            if journal is not None and "digest" in rows.lacking:
                notes(
                    f"{journal.name} is of an earlier version, which told pictures apart by their names alone, and no `precision`; "
                    "where either has changed, give another `out`"
                )
            if journal is not None and (others := other_versions(drawn, tasks, held.name, rows, held.pictures)):
                notes(
                    f"{journal.name} has rows of restorekit {', '.join(others)}, which are taken as those of "
                    f"{restorekit.__version__}; give another `out` to draw them anew"
                )
            notes(_enough(kept, self.pictures))  # before the work, which may be in vain
            run(drawn, tasks, held, self.pictures, rows, progress or (lambda done, total: None))
            found = entries(drawn, tasks, held.name, rows, held.pictures)
            made = replace(known.joined(found), version=restorekit.__version__)
            if target is not None:
                made.write(target)
        judged = table(found)
        if len(judged) < len(found):
            notes(
                f"{len(found) - len(judged)} of {len(found)} entries were not judged: that is done at {LEVEL:g}, which they "
                "cannot guarantee"
            )
        return Calibrated(made, tuple(found), len(some) - kept if judged else 0, journal, tuple(notes.texts))

    def check(self, data: Pictures, out: str | os.PathLike[str] | None = None) -> None:
        """Raise `BadInput` for what the call refuses before anything is drawn."""
        self._ready(data, None if out is None else Path(out))

    def _ready(
        self, data: Pictures, target: Path | None
    ) -> tuple[Drawn, list[Degradation], SplitPictures, Path | None]:
        """Return what draws, for which tasks, of which pictures, and where the rows are, once nothing of it is to be refused."""
        source = Path(data) if isinstance(data, str | os.PathLike) else data
        journal = None if target is None else self._journal(source, target)
        drawn = self._drawn()
        _known(target, drawn.prior)
        tasks = [Degradation(self.task.strip(), n.strip()) for n in dict.fromkeys(self.noise)]
        held = SplitPictures(source, self.crop)
        some = held.some(self.pictures)
        check_count(sum(truth.half == "calibrate" for truth in some), 0.5, "data")
        for one in tasks:
            problem = drawn.problem(one, some[0])
            drawn.solver.check(problem)
            drawn.solver.check_draws(problem)
        return drawn, tasks, held, journal

    def _journal(self, source: Path | Sequence[Source], target: Path) -> Path:
        """Return where the rows are written. Raises BadInput where a file could not be written, or would replace one that is read."""
        check_json(target)
        journal = target.with_name(f"{target.stem}_rows.csv")
        named = [str(setting) for setting in (self.solver, self.prior) if not isinstance(setting, Solver | Prior)]
        pictures = (
            [source] if isinstance(source, Path) else [Path(s) for s in source if isinstance(s, str | os.PathLike)]
        )
        separate([*inside(*pictures), *files_of(self.task, *named)], [target, journal])
        check_target(target)
        return journal

    def _drawn(self) -> Drawn:
        prior = self.prior
        place = device_of(self.device)
        if not isinstance(prior, Prior):
            prior = load_prior(os.fspath(prior), device=place, precision=cast(Precision, self.precision))
        return Drawn(
            prior=of_pictures(prior), solver=self.solver if isinstance(self.solver, Solver) else solver_of(self.solver),
            steps=self.steps, samples=self.samples, dtype=self.dtype, transfer=self.transfer, seed=self.seed, power=self.power,
            clipped=self.clipped, device=place,
        )  # fmt: skip


def calibrate(
    data: Pictures,
    task: str,
    noise: str | Sequence[str],
    out: str | os.PathLike[str] | None = None,
    *,
    prior: str | os.PathLike[str] | Prior = "natural",
    solver: str | Solver = "mmps",
    steps: int | None = None,
    samples: int = 8,
    dtype: str = "uint8",
    transfer: str = "linear",
    pictures: int | None = None,
    crop: int = 64,
    power: float | None = None,
    clipped: str = "censored",
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    notes: Notes | None = None,
    progress: Show | None = None,
) -> Calibrated:
    """Make error bars hold: how far the truth lies from samples, on clean pictures that trained nothing.

    data: a folder or a zip, or a list of paths, arrays (H, W) or (H, W, C), tensors (C, H, W) or `Picture`s; every second one judges.
    noise: one law or several, between which factors are interpolated. out: the file to write or to add to, `NAME.calibration.json`
    beside the weights; a run goes on where it stopped. Settings are those of `Calibrating`. Without `notes` each note is raised as a
    `RestorekitNote` warning. Raises `BadInput` where pictures, settings or the file do not fit.

        restorekit.calibrate("photos.zip", "denoise", ["gaussian:0.02", "gaussian:0.05"], prior="mine.safetensors").save("mine.calibration.json")
    """
    laws = [noise] if isinstance(noise, str) else list(noise)
    calibrating = Calibrating(
        task=task, noise=laws, prior=prior, solver=solver, steps=steps, samples=samples, dtype=dtype, transfer=transfer,
        pictures=pictures, crop=crop, power=power, clipped=clipped, seed=seed, device=device, precision=precision,
    )  # fmt: skip
    told = Notes() if notes is None else notes
    result = calibrating(data, out, notes=told, progress=progress)
    if notes is None:
        told.warn()
    return result


def check_json(out: Path) -> None:
    """Raise BadInput for a name that is not that of a calibration."""
    if out.suffix.lower() != ".json":
        raise BadInput(f"{out}: a calibration is JSON; give `out={out.stem}.calibration.json`", argument="out")


def _known(out: Path | None, prior: Prior) -> Calibration:
    """Return the calibration that `out` holds, an empty one where there is no such file. Raises `BadInput` for one of
    other weights.
    """
    known = Calibration(prior.spec.name, prior.sha256)
    known = Calibration.read(out) if out is not None and out.is_file() else known
    if known.sha256 != prior.sha256:
        raise BadInput(f"{out} is that of other weights ({known.prior} {known.sha256[:12]}); give another `out`")
    return known


def _enough(kept: int, pictures: int | None) -> str:
    """Return a note on the level that `kept` calibrating pictures guarantee, and how many 0.9 takes.

    pictures: at most so many of each half were asked for.
    """
    said = f"{kept} pictures calibrate, enough for a level of {int(100 * kept / (kept + 1)) / 100:g} at most"
    least = least_pictures(LEVEL)
    if kept >= least:
        return said
    limited = pictures is not None and pictures < least
    more = f"`pictures={least}` or more" if limited else f"{2 * least} pictures or more, of which half only judge"
    return f"{said}; {LEVEL:g} takes {least} that calibrate, {more}"
