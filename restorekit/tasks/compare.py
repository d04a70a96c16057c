"""Solvers side by side on one measured file, into one page."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

import restorekit
from restorekit.cli.progress import Watch, restore_with_bar
from restorekit.errors import BadInput, Unsupported
from restorekit.files.atomic import check_target, together
from restorekit.files.overwrite import separate
from restorekit.files.picture import write_json, write_text
from restorekit.files.record import head, outputs, read_file
from restorekit.inference.denoiser import Denoiser, Latent
from restorekit.inference.problem import Problem
from restorekit.inference.solver import Solver
from restorekit.priors.prior import LatentPrior
from restorekit.report.comparison import render
from restorekit.report.measurement_view import measurement_shown
from restorekit.report.results import Comparison, Refusal, Result
from restorekit.tasks.measurement import Measured
from restorekit.text.names import NO_PICTURE, files_of, solver_of

# Beside the two that a task was tuned with, the first of these that take the problem, cheap ones first.
FURTHER = ("ddrm", "pigdm", "quadrature", "mmps", "vds", "daps")
FURTHER_COUNT = 2


@dataclass(frozen=True, eq=False)
class Contestant:
    text: str
    solver: Solver
    steps: int | None


@dataclass(frozen=True, kw_only=True)
class Contest(Measured):
    solvers: Sequence[str]
    steps: int | None
    samples: int
    truth_file: Path | None
    moments: int

    def run(self) -> None:
        """Everything that can be refused is refused before the network runs; the page is written at the end."""
        self._check_target()
        problem, truth = self.seen, self.truth
        fits, outcomes = list[Contestant](), dict[str, Result | Refusal]()
        for one in self.contestants:
            try:
                self._check(one.solver, problem)
                fits.append(one)
            except BadInput as error:
                outcomes[one.text] = Refusal(one.text, _line(error))
        if fits:
            self.say_transfer()
        said = set[str]()
        for one in fits:
            outcomes[one.text] = self._outcome(one, self.denoiser)
            # Once there will be a page, reasons are notes; until then they may yet become the error.
            if any(isinstance(o, Result) for o in outcomes.values()):
                self._say(outcomes.values(), said)
        refusals = [f"{o.label}: {o.reason}" for o in outcomes.values() if isinstance(o, Refusal)]
        if len(refusals) == len(outcomes):
            raise BadInput(f"no solver gave a result, nothing was written ({'; '.join(refusals)})")
        self._write([outcomes[one.text] for one in self.contestants], truth)

    def _check(self, solver: Solver, problem: Problem) -> None:
        """Raise `Unsupported` where the solver does not take the problem, or not for so many samples."""
        solver.check(problem)
        if self.samples > 1 and solver.samples:
            solver.check_draws(problem)

    def _say(self, outcomes: Iterable[Result | Refusal], said: set[str]) -> None:
        """On stderr, what refused and has not been `said` yet."""
        for outcome in outcomes:
            if isinstance(outcome, Refusal) and outcome.label not in said:
                print(f"restorekit: note: {outcome.label} refused: {outcome.reason}", file=sys.stderr)
                said.add(outcome.label)

    def _outcome(self, one: Contestant, denoise: Denoiser | Latent) -> Result | Refusal:
        """Samples and figures of a solver, or that it diverged."""
        problem, solver = self.problem, one.solver
        try:
            watch = Watch(solver.calls(solver.schedule(self.seen, one.steps)), self.moments, self.shown)
            found = restore_with_bar(
                problem, denoise, solver, steps=one.steps, samples=self.samples if solver.samples else 1,
                seed=self.seed, label=one.text, watch=watch,
            )  # fmt: skip
        except BadInput as error:
            return Refusal(one.text, _line(error))
        doubt = solver.doubts(problem, found.settings["sigmas"])
        if doubt:
            print(f"restorekit: note: {doubt}", file=sys.stderr)
        misfit = float(np.mean([problem.misfit(x[None]) for x in found.samples]))
        samples = self.visible(problem.operator.inside(found.samples).float().cpu()).numpy()
        return Result(
            one.text, solver.samples, samples, watch.moments, misfit, found.nfe, found.seconds, found.settings
        )

    @cached_property
    def contestants(self) -> list[Contestant]:
        """The solvers asked for, or the two of the task and others that apply."""
        if self.solvers:
            return [Contestant(text, solver_of(text), self.steps) for text in dict.fromkeys(self.solvers)]
        task = self.task
        chosen = {task.solver: task.steps}
        chosen.setdefault(task.sampler, task.sampler_steps)
        found = [Contestant(text, solver_of(text), self.steps or steps) for text, steps in chosen.items()]
        for text in (text for text in FURTHER if text not in chosen):
            one = Contestant(text, solver_of(text), self.steps)
            try:
                self._check(one.solver, self.seen)
                found.append(one)
            except Unsupported:
                continue
            if len(found) == len(chosen) + FURTHER_COUNT:
                break
        return found

    @cached_property
    def truth(self) -> np.ndarray | None:
        """(C, H, W) of --truth, of the shape of a result: what an operator knows beyond the frame is cut off."""
        if self.truth_file is None:
            return None
        pixels = self.as_result(self.truth_file, "give its own truth")
        return self.visible(torch.from_numpy(pixels)).numpy()

    @cached_property
    def ceiling(self) -> float | None:
        """Of a prior of latents: PSNR of the truth through its codec. None for other priors, or without a truth."""
        prior = self.loaded
        if self.truth is None or not isinstance(prior, LatentPrior):
            return None
        return prior.ceiling(torch.from_numpy(self.truth).to(self.place))

    @property
    def record_file(self) -> Path:
        return self.target.with_name(self.target.name + ".json")

    def _check_target(self) -> None:
        if self.target.suffix.lower() not in (".html", ".htm"):
            raise BadInput(f"{self.target}: a comparison is a page; give OUT as {self.target.stem or 'out'}.html")
        truth = [] if self.truth_file is None else [self.truth_file]
        opened = [self.source, *truth, *files_of(self.op, self.prior, *self.solvers)]
        separate(opened, [self.target, self.record_file])
        for path in (self.target, self.record_file):
            check_target(path)

    def command(self) -> str:
        """The command that makes the page again, for a shell; the noise is the one that was used."""
        words = ["restorekit", "compare", self.source, self.target, "--op", self.op, "--noise", self.noise_used]
        for text in self.solvers:
            words += ["--solver", text]
        words += ["--prior", self.prior, "--samples", self.samples, "--seed", self.seed]
        optional = {"--steps": self.steps, "--truth": self.truth_file, "--range": self.range_used}
        optional["--transfer"] = None if self.transfer == "auto" else self.transfer
        usual = {"--trajectory": (self.moments, 8), "--tile": (self.tile, None), "--device": (self.device, "auto")}
        usual |= {"--precision": (self.precision, "auto")}
        for name, value in optional.items():
            words += [] if value is None else [name, value]
        for name, (value, default) in usual.items():
            words += [] if value == default else [name, value]
        return shlex.join(str(w) for w in words)

    def _facts(self) -> list[tuple[str, str]]:
        bands, h, w = self.result_shape
        low, high = self.picture.span
        found = self.noise_found
        measured = "" if found is None else " (a floor)" if found.floor else " (measured in the file)"
        facts = [
            ("operator", self.op),
            ("noise", self.noise_used + measured),
            ("prior", f"{self.loaded.spec.name} ({self.loaded.sha256[:8]})"),
            ("result", f"{w} × {h}, {bands} band{'s' if bands > 1 else ''}"),
            ("file", f"{self.picture.dtype}, {low:g} to {high:g}"),
            ("samples", f"{self.samples} per sampler, seed {self.seed}"),
        ]
        facts += [("truth", self.truth_file.name)] if self.truth_file is not None else []
        if self.response.coded:
            facts += [("restored in", "linear light, decoded from sRGB; figures are of the file's values")]
        facts += [("shown and measured", "amplitudes, exp(u / 2), of logarithms u")] if self.logarithms else []
        facts += [("codec PSNR", f"{self.ceiling:.2f} dB, the truth through the codec alone")] if self.ceiling else []
        return [*facts, ("run on", f"{self.place}, {self.loaded.precision}, restorekit {restorekit.__version__}")]

    def _write(self, outcomes: list[Result | Refusal], truth: np.ndarray | None) -> None:
        measured, note = measurement_shown(self.problem, self.operation in NO_PICTURE)
        measured = self.visible(torch.from_numpy(measured)).numpy()
        comparison = Comparison(
            self.source.name,
            self.command(),
            self._facts(),
            measured,
            note,
            truth,
            outcomes,
            self.picture.span,
            clipped=not self.picture.dtype.startswith("float"),
        )
        page = render(comparison)
        with together():
            write_text(self.target, page)
            write_json(self.record_file, self._record(comparison))
        print(f"{self.target}  ({len(comparison.results)} solver(s), {len(page) / 1e6:.1f} MB, and .json)")

    def _record(self, comparison: Comparison) -> dict[str, Any]:
        truth = self.truth_file
        return {
            **head(self.source, command=comparison.command),
            "truth": truth and read_file(truth),
            "operator": self.op,
            "noise": self.noise_used,
            "noise_measured": self.noise == "auto",
            "noise_found": self.noise_found and self.noise_found.record(),
            "range": self.picture.span,
            **self.transfer_record,
            "prior": {"name": self.loaded.spec.name, "sha256": self.loaded.sha256},
            "device": str(self.place),
            "precision": self.loaded.precision,
            "tile": self.loaded.tile,
            "codec_psnr": self.ceiling,
            "solvers": [
                {"label": r.label, **r.settings, **figures}
                for r, figures in zip(comparison.results, comparison.figures)
            ],
            "refused": {r.label: r.reason for r in comparison.refusals},
            "outputs": outputs([self.target]),
        }


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
