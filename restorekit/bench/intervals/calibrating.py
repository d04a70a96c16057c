"""A calibration of error bars from a folder of clean pictures: drawn, gone on with, judged and written."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import restorekit
from restorekit.bench.images.image_cases import Degradation
from restorekit.bench.intervals.coverage import LEVEL, Drawn, SplitPictures, rows_of, run
from restorekit.bench.intervals.coverage_table import HEADER, entries, other_versions, table
from restorekit.bench.journal import markdown
from restorekit.errors import BadInput
from restorekit.files.atomic import check_target
from restorekit.files.lock import alone_with
from restorekit.files.overwrite import inside, separate
from restorekit.notes import Notes
from restorekit.priors.find import Precision, device_of, load_prior, of_pictures
from restorekit.priors.prior import Prior
from restorekit.text.names import files_of, solver_of
from restorekit.uncertainty.calibration import Calibration
from restorekit.uncertainty.conformal import check_count, least_pictures


@dataclass(frozen=True)
class Calibrated:
    """It holds what a run wrote: the file, its entries, and how they do on the pictures that did not calibrate."""

    path: Path
    journal: Path
    entries: int
    judging: int  # pictures; 0 where no entry could be judged
    table: str  # Markdown, "" where no entry could be judged


@dataclass(frozen=True, kw_only=True)
class Calibrating:
    """Settings of a calibration; the call draws for every picture and noise, and writes.

    task: the forward model. noise: laws, between which factors are interpolated. samples: draws per picture. dtype, transfer:
    of the measured files. pictures: at most so many for each half. crop: the side of the centre crops, pixels.
    """

    task: str
    noise: Sequence[str]
    prior: str = "natural"
    solver: str = "mmps"
    steps: int | None = None
    samples: int = 8
    dtype: str = "uint8"
    transfer: str = "linear"
    pictures: int | None = None
    crop: int = 64
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"

    def __call__(
        self,
        data: str | os.PathLike[str],
        out: str | os.PathLike[str],
        *,
        notes: Notes | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Calibrated:
        """Calibrate on the folder or zip `data`: by name, pictures at even positions calibrate, those at odd ones judge.

        out: the JSON file, begun or added to; its table of rows lies beside it, and a run goes on where it stopped.
        progress: is told (restorations done, in all). Raises `BadInput` where settings, pictures and the file do not fit.
        """
        notes, data, out = Notes() if notes is None else notes, Path(data), Path(out)
        if out.suffix.lower() != ".json":
            raise BadInput(f"{out}: a calibration is JSON; give `out={out.stem}.calibration.json`", argument="out")
        journal = out.with_name(f"{out.stem}_rows.csv")
        separate([*inside(data), *files_of(self.task, self.solver, self.prior)], [out, journal])
        check_target(out)
        drawn = self._drawn()
        network = drawn.prior
        _known(out, network)
        tasks = [Degradation(self.task.strip(), n.strip()) for n in dict.fromkeys(self.noise)]
        held = SplitPictures(data, self.crop)
        some = held.some(self.pictures)
        kept = sum(truth.half == "calibrate" for truth in some)
        check_count(kept, 0.5, "data")
        for one in tasks:
            problem = drawn.problem(one, some[0])
            drawn.solver.check(problem)
            drawn.solver.check_draws(problem)
        with alone_with(out):
            known = _known(out, network)
            rows = rows_of(journal)
            if "digest" in rows.lacking:
                notes(
                    f"{journal.name} is of an earlier version, which told pictures apart by their names alone, and no `precision`; "
                    "where either has changed, give another `out`"
                )
            if others := other_versions(drawn, tasks, held.name, rows, held.pictures):
                notes(
                    f"{journal.name} has rows of restorekit {', '.join(others)}, which are taken as those of "
                    f"{restorekit.__version__}; give another `out` to draw them anew"
                )
            notes(_enough(kept, self.pictures))  # before the work, which may be in vain
            run(drawn, tasks, held, self.pictures, rows, progress or (lambda done, total: None))
            found = entries(drawn, tasks, held.name, rows, held.pictures)
            replace(known.joined(found), version=restorekit.__version__).write(out)
        judged = table(found)
        if len(judged) < len(found):
            notes(
                f"{len(found) - len(judged)} of {len(found)} entries were not judged: that is done at {LEVEL:g}, which they "
                "cannot guarantee"
            )
        shown = markdown(HEADER, judged) if judged else ""
        return Calibrated(out, journal, len(found), len(some) - kept if judged else 0, shown)

    def _drawn(self) -> Drawn:
        place = device_of(self.device)
        prior = of_pictures(load_prior(self.prior, device=place, precision=cast(Precision, self.precision)))
        return Drawn(
            prior=prior, solver=solver_of(self.solver), steps=self.steps, samples=self.samples, dtype=self.dtype,
            transfer=self.transfer, seed=self.seed, device=place,
        )  # fmt: skip


def _known(out: Path, prior: Prior) -> Calibration:
    """Return the calibration in `out`, an empty one where it is not there. Raises `BadInput` where it is that of other
    weights."""
    known = Calibration.read(out) if out.is_file() else Calibration(prior.spec.name, prior.sha256)
    if known.sha256 != prior.sha256:
        raise BadInput(f"{out} is that of other weights ({known.prior} {known.sha256[:12]}); give another `out`")
    return known


def _enough(kept: int, pictures: int | None) -> str:
    """Return what `kept` pictures that calibrate guarantee; `pictures`: at most so many of each half were asked for."""
    said = f"{kept} pictures calibrate, enough for a level of {int(100 * kept / (kept + 1)) / 100:g} at most"
    least = least_pictures(LEVEL)
    if kept >= least:
        return said
    limited = pictures is not None and pictures < least
    return f"{said}; {LEVEL:g} takes {f'`pictures={least}`' if limited else f'{2 * least} pictures'} or more"
