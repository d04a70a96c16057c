"""One restoration: denoising, inpainting, enlarging, colours, or any forward model."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.files.picture import check_writable
from restorekit.files.record import read_file
from restorekit.inference.driver import as_seen, restore
from restorekit.inference.likelihood import Likelihood
from restorekit.inference.problem import Problem
from restorekit.inference.residual import residual_of
from restorekit.inference.restoration import Restoration
from restorekit.inference.solver import Solver
from restorekit.inference.units import units_of
from restorekit.noise.level import Noise
from restorekit.notes import Notes
from restorekit.priors.cascade import Cascade
from restorekit.tasks.calibrated import with_bars
from restorekit.tasks.coarse import restore_from_coarse
from restorekit.tasks.decoded_jpeg import note_of
from restorekit.tasks.doubts import ceiling_of, changes
from restorekit.tasks.inputs import Source
from restorekit.tasks.measured import Measured
from restorekit.tasks.measurement import Measurement, Progress
from restorekit.tasks.noise_found import law_as_found
from restorekit.tasks.observation import Observation
from restorekit.tasks.saving import Origin, check_names
from restorekit.tasks.windows import counted
from restorekit.text.names import files_of, notes_of, solver_of
from restorekit.uncertainty.calibration import FoundInterval

COLOURS = (
    "colours are made up: a prior of textures, as the shipped ones, knows no colours of objects; sky, skin and grass may get "
    "any, or hardly any"
)
LONG = 2**24  # pixels that the network sees, in all its calls: a minute or more on one core
MISFIT = 1.5  # above this many deviations of the noise, on the root mean square, something is wrong


@dataclass(frozen=True, kw_only=True)
class Restoring(Measurement):
    """Settings of a restoration; the call restores.

    solver: a name with settings, as "diffpir:zeta=0.5", or a `Solver`; "auto" and no steps: what the task was tuned at.
    samples: more than one also give a mean, a deviation and intervals. coarse: begin with the low stage of a cascade.
    start, begin: the noise level to begin at, and a picture to begin from. level: the share of true values within the
    intervals, 0.9. calibration: a file that makes them hold, "none", or "auto" for the one beside the prior.
    """

    solver: str | Solver = "auto"
    samples: int = 1
    steps: int | None = None
    coarse: bool = False
    start: float | None = None
    begin: Source | None = None
    level: float | None = None
    calibration: str | os.PathLike[str] | None = None

    def __call__(
        self,
        source: Source,
        *,
        out: str | os.PathLike[str] | None = None,
        notes: Notes | None = None,
        progress: Progress | None = None,
        record: bool = False,
    ) -> Restoration:
        """Restore `source`; samples (N, C, H, W) in the values of the input, white = 1.

        out: where the result will be saved, so that what cannot be written there is refused before the network runs.
        notes: is told what a reader of the result should know; the result has the same. progress: is told (what runs,
        network calls done, in all). record: keep the steps of the run as `trajectory`, in the unit in which the solver works: light,
        with what an operator knows beyond the frame. Raises `BadInput` for settings and inputs that do not fit, with the way out.
        """
        notes = Notes() if notes is None else notes
        if (suited := self._suited(source)) is not self:
            return suited(source, out=out, notes=notes, progress=progress, record=record)
        self.check_settings()
        if isinstance(source, str | os.PathLike) and os.path.isdir(source):
            raise BadInput(
                f"{os.fspath(source)} is a folder; many pictures take `out=FOLDER`, in Python `restorekit.Batch`"
            )
        if out is not None:
            check_names(self, Path(source) if isinstance(source, str | os.PathLike) else None, Path(out))
            check_writable(out, 1, False)  # `Origin.check` knows more, once the measurement is read
        measured = self.measure(source, notes)
        solver, steps = self._solver(measured)
        if self.samples > 1 and not solver.is_sampler:
            raise BadInput(
                f"{type(solver).__name__} is an optimiser: one answer, no samples; leave out `samples` or take a sampler, "
                "`solver=mmps`",
                argument="samples",
            )
        measured, bars = with_bars(self, measured, solver, steps)
        taken = measured.taken(solver)
        if self.samples > 1:
            solver.check_draws(as_seen(taken, measured.denoiser))
        origin = Origin(self, measured, bars, {}, notes)
        if out is not None:
            origin.check(Path(out))
        self._say(measured, solver, taken, bars, notes)
        long = self._is_long(measured, taken, solver, steps)
        if long:
            self._doubts(measured, notes)
        measured, seconds = self._corrected(measured, notes, progress)
        taken = measured.taken(solver)
        result = self._run(measured, taken, solver, steps, notes, progress, record)
        if not long:
            self._doubts(measured, notes)
        if doubt := None if result.nfe == 0 else solver.doubts(taken, result.settings["sigmas"]):
            notes(doubt)
        counted = self._counted(measured, taken, solver)
        misfit = taken.misfit(result.samples[:1].to(measured.place))
        residual = residual_of(taken, result.samples[:1].to(measured.place))
        misfit *= 1 if counted is None else taken.noise_level() / counted
        samples = measured.coded(taken.operator.inside(result.samples))
        kept, estimate = self._kept(measured), None
        if kept is not None:
            y = torch.from_numpy(measured.read.picture.pixels).to(samples)
            estimate = torch.where(kept.to(samples.device), y, samples.mean(0))
            if self.samples == 1:  # several are left as they were drawn: their spread is the error bar there too
                samples, estimate = estimate[None], None
        facts: dict[str, Any] = {
            "noise_assumed": self.noise is None,
            "noise_counted": counted,
            "misfit": round(misfit, 3),
            "residual": None if residual is None else residual.record(),
        }
        if (ceiling := ceiling_of(measured, notes)) is not None:
            facts["codec_psnr"] = ceiling
        doubts = [*self._misses(misfit, notes), *changes(measured, samples, MISFIT), *self._last(measured, notes)]
        facts["doubts"] = doubts
        origin = Origin(self, measured, bars, facts, notes, kept)
        samples = self._finished(samples, measured)
        return replace(
            result, samples=samples, seconds=seconds + result.seconds, notes=(*notes.texts, *doubts), source=origin,
            estimate=estimate, residual=residual,
        )  # fmt: skip

    def _suited(self, source: Source) -> Restoring:
        """Return the settings that this file needs."""
        return self

    def _finished(self, samples: Tensor, measured: Measured) -> Tensor:
        """Return samples (N, C, H, W), in the values of the input, as the result holds them."""
        return samples

    def opened(self) -> list[Path]:
        named = [] if self.calibration in (None, "auto", "none") else [Path(os.fspath(self.calibration or ""))]
        begin = [Path(self.begin)] if isinstance(self.begin, str | os.PathLike) else []
        return [*begin, *super().opened(), *files_of(self.solver if isinstance(self.solver, str) else None), *named]

    def outputs(self, target: Path) -> list[Path]:
        """Return what is written beside OUT, its error bars and its record."""
        return []

    def asides(self, target: Path) -> list[Path]:
        """Return all that other settings would have written beside OUT."""
        return self.outputs(target)

    def write_more(self, target: Path, measured: Measured) -> tuple[list[Path], dict[str, Any]]:
        """Write `outputs`; (those written, what the record says of them)."""
        return [], {}

    def record(self) -> dict[str, Any]:
        """Return what the record says of these settings."""
        begin: Any = self.begin
        if isinstance(begin, str | os.PathLike):
            begin = read_file(Path(begin))
        elif begin is not None:
            begin = {"path": None}
        return {"coarse": self.coarse, "start": self.start, "begin": begin}

    def check_settings(self) -> None:
        """Raise `BadInput` for settings that do not go together, or are out of bounds."""
        asked = [name for name in ("level", "calibration") if getattr(self, name)]
        if self.samples == 1 and asked:
            names = " and ".join(f"`{name}`" for name in asked)
            raise BadInput(f"{names}: one sample has no intervals; give `samples=2` or more, or leave it out")
        if self.coarse and not (self.start is None and self.begin is None):
            raise BadInput("`coarse` begins where its low stage ends; leave `start` and `begin` out")
        for name, value in (("samples", self.samples), ("steps", self.steps)):
            if value is not None and value < 1:
                raise BadInput(f"`{name}={value}`: at least 1", argument=name)
        if self.level is not None and not 0.5 <= self.level <= 0.99:
            raise BadInput(f"`level={self.level:g}` must lie between 0.5 and 0.99", argument="level")

    def _solver(self, measured: Measured) -> tuple[Solver, int | None]:
        """Return the solver and its steps, those of the task where nothing else is asked for."""
        if isinstance(self.solver, Solver):
            return self.solver, self.steps
        task, one = measured.task, self.samples == 1
        if self.solver != "auto":
            return solver_of(self.solver), self.steps
        return solver_of(task.solver if one else task.sampler), self.steps or (
            task.steps if one else task.sampler_steps
        )

    def _counted(self, measured: Measured, problem: Problem, solver: Solver) -> float | None:
        """Return what less noise than the solver knows counts as."""
        return None if units_of(measured.denoiser) is not None else problem.raised(solver.least_noise)

    def _say(
        self, measured: Measured, solver: Solver, taken: Problem, bars: FoundInterval | None, notes: Notes
    ) -> None:
        """All that can be known before the network runs."""
        read, name = measured.read, type(solver).__name__
        for line in (*read.response.said(read.input.name), *measured.clipped.said()):
            notes(line)
        if self.operation == "grey":
            notes(COLOURS)
        if self.noise is None:
            notes(f"noise: {measured.forward.noise_text} is assumed{self._said_of_noise(read.input.name)}")
        if (counted := self._counted(measured, taken, solver)) is not None:
            notes(f"`noise={measured.forward.noise_text}` counts as {counted:.3g}, the least that {name} knows")
        for line in notes_of(self.op_text):
            notes(line)
        if self.operation in ("denoise", "resize") and (line := note_of(read)) is not None:
            notes(line)
        if taken is measured.plain and measured.problem is not measured.plain:
            notes(f"{name} takes clipped values as measured; hqs, diffpir and mmps do not")
        if bars is not None and bars.note:
            notes(bars.note)

    def _said_of_noise(self, name: str) -> str:
        """Return what to say of noise that nobody gave, after its law."""
        return f"; give what {name} has, as `noise=gaussian:0.05`, or `noise=auto` to have it measured"

    def _doubts(self, measured: Measured, notes: Notes) -> None:
        """Note what in the file speaks against the settings. It may take seconds: only before long work is it looked for first."""

    def _is_long(self, measured: Measured, problem: Problem, solver: Solver, steps: int | None) -> bool:
        """Return True where the network has so much to do that whoever waits should hear of doubts before."""
        calls = solver.calls(solver.schedule(as_seen(problem, measured.denoiser), steps))
        return self.samples * calls * math.prod(problem.operator.image_shape[1:]) > LONG

    def _corrected(self, measured: Measured, notes: Notes, progress: Progress | None) -> tuple[Measured, float]:
        """Return (the measurement with what has to be found before it can be solved, seconds that this took)."""
        return measured, 0.0

    def _run(
        self, measured: Measured, problem: Problem, solver: Solver, steps: int | None, notes: Notes,
        progress: Progress | None, record: bool,
    ) -> Restoration:  # fmt: skip
        settings: dict[str, Any] = {"steps": steps, "samples": self.samples, "seed": self.seed}
        if (why := self._untouched(measured)) is not None:
            notes(f"{why}, the result has the values of {measured.read.input.name}")
            return Restoration(problem.y, 0, 0.0, settings | {"solver": "none", "sigmas": [0.0]})
        label = type(solver).__name__
        if self.coarse:
            told = None if progress is None else lambda done, total, _: progress(label, done, total)
            return restore_from_coarse(
                problem, self._stages(measured), solver, low_steps=steps, progress=told, record=record, **settings
            )
        begin = self._begun(measured, problem)
        denoise = measured.read.seen_by(solver, measured.denoiser, problem.operator)
        calls = solver.calls(solver.schedule(as_seen(problem, denoise), steps))
        with counted(measured, progress, label, calls) as told:
            return restore(
                problem, denoise, solver, **settings, start=self.start, begin=begin, progress=told, record=record
            )

    def _begun(self, measured: Measured, problem: Problem) -> Tensor | None:
        """Return `begin` for each sample (samples, C, H, W); beyond the frame, where an operator knows more, the first estimate."""
        if self.begin is None:
            return None
        pixels = torch.from_numpy(measured.as_result(self.begin, "give a picture of that size")).to(problem.y)
        picture = problem.estimate()[0]
        number = torch.arange(picture.numel(), device=picture.device, dtype=torch.float64).view(1, *picture.shape)
        places = problem.operator.inside(number).flatten().long()
        picture = picture.flatten().index_copy(0, places, pixels.flatten()).view_as(picture)
        return picture.expand(self.samples, *picture.shape)

    def _untouched(self, measured: Measured) -> str | None:
        """Say that no noise was found, and no solver asked for: a network only makes such a picture worse."""
        forward = measured.forward
        plain = self.operation == "denoise" and self.solver == "auto" and self.samples == 1 and not self.coarse
        clean = plain and forward.found is not None and forward.found.floor and forward.impulses is None
        return "denoise: there is nothing to take out" if clean else None

    def _kept(self, measured: Measured) -> Tensor | None:
        """Return (C, H, W): pixels of the result that stay what was measured; None where noise is to be taken out."""
        return None

    def _law(self, found: Noise, reading: Observation) -> str | Likelihood:
        """Return the law of the noise as it is, where one answer is asked for, of no certain solver."""
        plain = self.operation == "denoise" and self.solver == "auto" and self.samples == 1 and not self.coarse
        if plain and not reading.response.coded:
            return law_as_found(found, reading.empty is not None)
        return super()._law(found, reading)

    def _stages(self, measured: Measured) -> Cascade:
        cascade, bands = measured.prior.cascade, measured.forward.operator.image_shape[0]
        if cascade is None or self.flips != 1 or bands not in measured.prior.spec.bands:
            raise BadInput(
                f"`coarse` needs a cascade such as mamba-cascade, pictures of its bands, and no `flips`; {self.prior_name} "
                f"{'is none' if cascade is None else f'was given {bands} bands and {self.flips} flips'}"
            )
        if units_of(measured.denoiser) is not None:
            raise BadInput(f"`coarse` is for pictures, and {self.prior_name} knows other numbers; leave it out")
        return cascade

    @property
    def _own(self) -> str:
        """Return the settings that a misfit is to be blamed on, beside the noise."""
        return "" if self.operation == "denoise" else "`op`, "

    def _last(self, measured: Measured, notes: Notes) -> list[str]:
        """Return what to say last of all, where what is assumed of the measurement spoils the result."""
        return []

    def _misses(self, misfit: float, notes: Notes) -> list[str]:
        """Return what to say, after all else, where the result does not explain the measurement."""
        if misfit <= MISFIT:
            return []
        text = (
            f"the result misses the measurement by {misfit:.1f} times the noise; check {self._own}`noise` and `range`, whether "
            f"`prior={self.prior_name}` knows such pictures, or take more `steps`"
        )
        return [text]
