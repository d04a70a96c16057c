"""Solvers side by side on one measurement, in one page."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import restorekit
from restorekit.errors import BadInput, Unsupported
from restorekit.files.atomic import check_target, together
from restorekit.files.overwrite import overwriting, separate
from restorekit.files.picture import write_json, write_text
from restorekit.files.record import earlier, head, outputs, read_file
from restorekit.inference.driver import as_seen, restore
from restorekit.inference.problem import Problem
from restorekit.inference.residual import residual_of
from restorekit.inference.solver import Solver, Step
from restorekit.notes import Notes
from restorekit.priors.prior import LatentPrior
from restorekit.report.cards import STRIP
from restorekit.report.comparison import render
from restorekit.report.measurement_view import measurement_shown
from restorekit.report.panels import Panel, Panelled
from restorekit.report.pictures import shrunk
from restorekit.report.results import Comparison, Moment, Refusal, SolverResult
from restorekit.tasks.inputs import Source, take
from restorekit.tasks.measured import Measured
from restorekit.tasks.measurement import Measurement, Progress, record_of
from restorekit.tasks.saving import record_file
from restorekit.text.names import NO_PICTURE, files_of, solver_of
from restorekit.text.spelling import solver_text

# Beside the two that a task was tuned with, the first of these that take the problem, cheap ones first.
FURTHER = ("ddrm", "pigdm", "quadrature", "mmps", "vds", "daps")
FURTHER_COUNT = 2


class Watch:
    """Keeps the estimate x0 of the first sample at `count` network calls, spread evenly over a run of `calls`."""

    def __init__(self, calls: int, count: int, shown: Callable[[Tensor], Tensor] = lambda x0: x0):
        """shown: estimates as pictures."""
        self.calls, self.moments, self.shown = calls, list[Moment](), shown
        self.wanted = sorted({round(float(c)) for c in np.linspace(1, calls, min(count, calls))}, reverse=True)

    def __call__(self, done: int, total: int, step: Step) -> None:
        if not self.wanted or done < self.wanted[-1] or done > self.calls:
            return
        while self.wanted and self.wanted[-1] <= done:
            self.wanted.pop()
        x0 = shrunk(self.shown(step.x0[:1].detach())[0].float().cpu().numpy(), STRIP)
        self.moments.append(Moment(done, float(step.sigma), x0))


@dataclass(frozen=True, eq=False)
class Contestant:
    """A solver that takes part, as text and with its levels."""

    text: str
    solver: Solver
    steps: int | None


@dataclass(frozen=True, eq=False)
class Comparing:
    """Settings of a comparison; the call runs the solvers, one after the other.

    measurement: what was measured. solvers: names with settings, or solvers; none: a few that suit the task. samples: of each
    sampler. truth: the clean picture. moments: estimates on the way that are shown of each solver.
    """

    measurement: Measurement
    solvers: Sequence[str | Solver] = ()
    steps: int | None = None
    samples: int = 4
    truth: Source | None = None
    moments: int = 8

    def __call__(
        self,
        source: Source,
        *,
        out: str | os.PathLike[str] | None = None,
        notes: Notes | None = None,
        progress: Progress | None = None,
    ) -> ComparisonResult:
        """Compare on `source`. A solver that cannot treat the problem is in the result with its reason.

        out: the page that will be saved. Raises `BadInput` where no solver gives a result.
        """
        notes = Notes() if notes is None else notes
        if self.samples < 1 or (self.steps is not None and self.steps < 1):
            raise BadInput("`samples` and `steps` must be at least 1")
        if out is not None:
            self.check(source, Path(out))
        measured = self.measurement.measure(source, notes)
        truth = self._truth(measured)
        contestants, fits = self._contestants(measured), list[Contestant]()
        outcomes = dict[str, SolverResult | Refusal]()
        for one in contestants:
            try:
                self._check(one.solver, measured)
                fits.append(one)
            except BadInput as error:
                outcomes[one.text] = Refusal(one.text, _line(error))
        if fits:
            for line in (*measured.read.response.said(measured.read.input.name), *measured.clipped.said()):
                notes(line)
        for one in fits:
            outcomes[one.text] = self._outcome(one, measured, notes, progress)
            # Once there will be a page, reasons are notes; until then they may yet become the error.
            if any(isinstance(o, SolverResult) for o in outcomes.values()):
                _say(outcomes.values(), notes)
        refusals = [f"{o.label}: {o.reason}" for o in outcomes.values() if isinstance(o, Refusal)]
        if len(refusals) == len(outcomes):
            raise BadInput(f"no solver gave a result, nothing was written ({'; '.join(refusals)})")
        return ComparisonResult(self, measured, [outcomes[one.text] for one in contestants], truth, tuple(notes.texts))

    def check(self, source: Source, target: Path) -> None:
        """Raise `BadInput` where `target` is no page, cannot be written, or would replace what is read."""
        if target.suffix.lower() not in (".html", ".htm"):
            raise BadInput(f"{target}: a comparison is a page; give {target.stem or 'out'}.html")
        files = [Path(s) for s in (source, self.truth) if isinstance(s, str | os.PathLike)]
        named = files_of(*(s for s in self.solvers if isinstance(s, str)))
        separate([*files, *self.measurement.opened(), *named], [target, record_file(target)])
        for path in (target, record_file(target)):
            check_target(path)

    def _check(self, solver: Solver, measured: Measured) -> None:
        """Raise `Unsupported` where the solver does not take the problem, or not for so many samples."""
        problem = self._taken(solver, measured)
        if self.samples > 1 and solver.is_sampler:
            solver.check_draws(as_seen(problem, measured.denoiser))

    def _taken(self, solver: Solver, measured: Measured) -> Problem:
        """Return the problem of a solver, clipped values taken as `restore` takes them for one answer."""
        return measured.taken(solver)

    def _outcome(
        self, one: Contestant, measured: Measured, notes: Notes, progress: Progress | None
    ) -> SolverResult | Refusal:
        """Return the samples and figures of a solver, or that it diverged."""
        solver = one.solver
        problem = self._taken(solver, measured)

        def told(done: int, total: int, step: Step) -> None:
            if progress is not None:
                progress(one.text, done, total)
            watch(done, total, step)

        try:
            samples = self.samples if solver.is_sampler else 1
            denoise = measured.read.seen_by(solver, measured.denoiser, problem.operator)
            seen = as_seen(problem, denoise)
            watch = Watch(solver.calls(solver.schedule(seen, one.steps)), self.moments, measured.shown)
            result = restore(
                problem, denoise, solver, steps=one.steps, samples=samples, seed=self.measurement.seed, progress=told,
            )  # fmt: skip
        except BadInput as error:
            return Refusal(one.text, _line(error))
        if doubt := solver.doubts(problem, result.settings["sigmas"]):
            notes(doubt)
        misfit = float(np.mean([problem.misfit(x[None]) for x in result.samples]))
        residual = residual_of(problem, result.samples[:1].to(measured.place))
        shown = measured.visible(problem.operator.inside(result.samples).float().cpu()).numpy()
        return SolverResult(
            one.text,
            solver.is_sampler,
            shown,
            watch.moments,
            misfit,
            result.nfe,
            result.seconds,
            result.settings,
            residual,
        )

    def _contestants(self, measured: Measured) -> list[Contestant]:
        """Return the solvers asked for, or the two of the task and others that apply."""
        if self.solvers:
            texts = {solver_text(s): s for s in self.solvers}
            return [Contestant(t, s if isinstance(s, Solver) else solver_of(s), self.steps) for t, s in texts.items()]
        task = measured.task
        chosen = {task.solver: task.steps}
        chosen.setdefault(task.sampler, task.sampler_steps)
        found = [Contestant(text, solver_of(text), self.steps or steps) for text, steps in chosen.items()]
        for text in (text for text in FURTHER if text not in chosen):
            one = Contestant(text, solver_of(text), self.steps)
            try:
                self._check(one.solver, measured)
                found.append(one)
            except Unsupported:
                continue
            if len(found) == len(chosen) + FURTHER_COUNT:
                break
        return found

    def _truth(self, measured: Measured) -> np.ndarray | None:
        """Return (C, H, W) of the truth, of the shape of a result: what an operator knows beyond the frame is cut off."""
        if self.truth is None:
            return None
        return measured.visible(torch.from_numpy(measured.as_result(self.truth, "give its own truth"))).numpy()


@dataclass(frozen=True, eq=False, repr=False)
class ComparisonResult(Panelled):
    """A comparison holds what solvers made of one measurement: `outcomes`, in the order of the solvers; `save` writes
    the page.

    truth: the clean picture (C, H, W) where it was given. notes: what a reader should know, a line each.
    """

    task: Comparing
    measured: Measured
    outcomes: list[SolverResult | Refusal]
    truth: np.ndarray | None
    notes: tuple[str, ...] = ()

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> list[Path]:
        """Write the page, which needs no network, and its record beside it; returns both.

        overwrite: whether files are replaced that are no results of restorekit. Raises `BadInput`.
        """
        target, task = Path(path), self.task
        given = self.measured.read.input.path
        with overwriting(overwrite):
            task.check(given if given is not None else self.measured.read.picture, target)
        comparison = self.comparison(target)
        page = render(comparison)
        with together():
            write_text(target, page)
            write_json(record_file(target), self._record(comparison, target))
        return [target, record_file(target)]

    @property
    def results(self) -> list[SolverResult]:
        """Return the outcomes that are results."""
        return [o for o in self.outcomes if isinstance(o, SolverResult)]

    def panels(self) -> list[Panel]:
        """Return the measurement, the truth where there is one, and the mean of each solver, under its name and figures."""
        read = self.measured.read
        shown, _ = measurement_shown(self.measured.problem, read.operation in NO_PICTURE)
        panels = [Panel("measurement", self.measured.visible(torch.from_numpy(shown)).numpy())]
        panels += [] if self.truth is None else [Panel("truth", self.truth)]
        return panels + [Panel(self._titled(result), result.mean) for result in self.results]

    @cached_property
    def scores(self) -> dict[str, float]:
        """Return "psnr SOLVER" in dB and "ssim SOLVER" of each result, of the mean where there are several samples; empty without a truth."""
        scores = dict[str, float]()
        for result in self.results if self.truth is not None else ():
            figures = result.figures(self.truth, clipped=not self.measured.read.picture.dtype.startswith("float"))
            several = "_mean" if len(result.samples) > 1 else ""
            scores |= {f"{name} {result.label}": figures[name + several] for name in ("psnr", "ssim")}
        return scores

    def _titled(self, result: SolverResult) -> str:
        psnr = self.scores.get(f"psnr {result.label}")
        return f"{result.label}, misfit {result.misfit:.2f}" if psnr is None else f"{result.label}, {psnr:.2f} dB"

    def __repr__(self) -> str:
        refused = [o.label for o in self.outcomes if isinstance(o, Refusal)]
        more = [f"refused: {', '.join(refused)}"] if refused else []
        noise, size = self.measured.forward.noise_text, "x".join(map(str, self.measured.result_shape))
        parts = [size, self.task.measurement.op_text, noise, ", ".join(r.label for r in self.results), *more]
        return f"ComparisonResult({'; '.join(parts)})"

    def ceiling(self) -> float | None:
        """Return the PSNR of the truth through the codec of a prior of latents. None for other priors, or without a
        truth."""
        prior = self.measured.prior
        if self.truth is None or not isinstance(prior, LatentPrior):
            return None
        return prior.ceiling(torch.from_numpy(self.truth).to(self.measured.place))

    def comparison(self, target: Path) -> Comparison:
        """Return what the page shows."""
        read = self.measured.read
        shown, note = measurement_shown(self.measured.problem, read.operation in NO_PICTURE)
        return Comparison(
            read.input.name,
            self.command(target),
            self._facts(),
            self.measured.visible(torch.from_numpy(shown)).numpy(),
            note,
            self.truth,
            self.outcomes,
            read.picture.span,
            clipped=not read.picture.dtype.startswith("float"),
        )

    def command(self, target: Path) -> str:
        """Return the command that makes the page again, for a shell; the noise is the one that was used."""
        task, m, span = self.task, self.task.measurement, self.measured.range_used
        words = ["restorekit", "compare", self.measured.read.input.label, target]
        given: list[tuple[str, object]] = [("op", m.op_text), ("noise", self.measured.forward.noise_text)]
        given += [("solver", solver_text(solver)) for solver in task.solvers]
        given += [("prior", m.prior_name), ("samples", task.samples), ("seed", m.seed)]
        optional = {"steps": task.steps, "truth": self._truth_name()}
        optional["range"] = None if span is None else f"{span[0]:g},{span[1]:g}"
        optional["transfer"] = None if m.transfer == "auto" else m.transfer
        optional |= {"layout": m.layout, "pages": m.page}
        optional["preview"] = None if m.preview is None else ",".join(map(str, m.preview))
        usual = {"trajectory": (task.moments, 8), "tile": (m.tile, None), "device": (m.device, "auto")}
        usual |= {"precision": (m.precision, "auto")}
        given += [(name, value) for name, value in optional.items() if value is not None]
        given += [(name, value) for name, (value, default) in usual.items() if value != default]
        words += [word for name, value in given for word in (f"--{name}", value)]
        return shlex.join(str(w) for w in words)

    def _truth_name(self) -> str | None:
        truth = self.task.truth
        return os.fspath(truth) if isinstance(truth, str | os.PathLike) else None if truth is None else "the picture"

    def _facts(self) -> list[tuple[str, str]]:
        measured, task, m = self.measured, self.task, self.task.measurement
        (bands, h, w), (low, high) = measured.result_shape, measured.read.picture.span
        found, prior, truth = measured.forward.found, measured.prior, self._truth_name()
        how = "" if found is None else " (a floor)" if found.floor else " (measured in the file)"
        facts = [
            ("operator", m.op_text),
            ("noise", measured.forward.noise_text + how),
            ("prior", f"{prior.spec.name} ({prior.sha256[:8]})"),
            ("result", f"{w} × {h}, {bands} band{'s' if bands > 1 else ''}"),
            ("file", f"{measured.read.picture.dtype}, {low:g} to {high:g}"),
            ("samples", f"{task.samples} per sampler, seed {m.seed}"),
        ]
        facts += [] if truth is None else [("truth", Path(truth).name)]
        if measured.read.response.coded:
            facts += [
                (
                    "restored in",
                    f"linear light, decoded from {measured.read.response.curve.name}; figures are of the file's values",
                )
            ]
        if measured.read.logarithms:
            facts += [("shown and measured", "amplitudes, exp(u / 2), of logarithms u")]
        if (ceiling := self.ceiling()) is not None:
            facts += [("codec PSNR", f"{ceiling:.2f} dB, the truth through the codec alone")]
        return [*facts, ("run on", f"{measured.place}, {prior.precision}, restorekit {restorekit.__version__}")]

    def _record(self, comparison: Comparison, target: Path) -> dict[str, Any]:
        truth, values = self.task.truth, None
        if isinstance(truth, str | os.PathLike):
            values = read_file(Path(truth))
        elif truth is not None:
            values = take(truth, (0.0, 1.0)).record()
        return {
            **head(command=comparison.command),
            "input": self.measured.read.input.record(),
            "truth": values,
            **record_of(self.measured, self.task.measurement),
            "codec_psnr": self.ceiling(),
            "solvers": [
                {"label": r.label, **r.settings, **figures}
                for r, figures in zip(comparison.results, comparison.figures)
            ],
            "refused": {r.label: r.reason for r in comparison.refusals},
            "outputs": outputs([target]),
            **earlier(record_file(target), [target])[1],
        }


def _say(outcomes: Iterable[SolverResult | Refusal], notes: Notes) -> None:
    for outcome in outcomes:
        if isinstance(outcome, Refusal):
            notes(f"{outcome.label} refused: {outcome.reason}")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
