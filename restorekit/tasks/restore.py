"""One restoration from file to file."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restorekit.cli.progress import restore_with_bar
from restorekit.errors import BadInput, Unsupported
from restorekit.files.atomic import check_target, together
from restorekit.files.formats import FORMATS, LOSSY
from restorekit.files.overwrite import separate
from restorekit.files.picture import check_writable, write_json, write_picture
from restorekit.files.record import head, outputs, read_file
from restorekit.inference.driver import as_seen
from restorekit.inference.problem import Problem
from restorekit.inference.restoration import Restoration
from restorekit.inference.solver import Solver
from restorekit.inference.units import units_of
from restorekit.priors.cascade import Cascade
from restorekit.priors.find import Prior
from restorekit.priors.prior import LatentPrior
from restorekit.report.progress import bar
from restorekit.tasks import error_bars
from restorekit.tasks.coarse import restore_from_coarse
from restorekit.tasks.measurement import Measured
from restorekit.text.names import files_of, notes_of, solver_of
from restorekit.uncertainty.calibration import Found

MISFIT = 1.5  # above this many deviations of the noise, on the root mean square, something is wrong


@dataclass(frozen=True, kw_only=True)
class Job(Measured):
    solver: str
    samples: int
    steps: int | None
    coarse: bool = False
    start: float | None = None
    begin: Path | None = None
    interval_level: float | None = None  # 0.9, where none is asked for
    calibration: str | None = None  # auto
    assumed: bool = False  # --noise: nobody gave it

    def run(self) -> None:
        """Everything that can be refused is refused before the network runs; files are written at the end."""
        one = self.samples == 1
        asked = [
            name for name, value in (("--level", self.interval_level), ("--calibration", self.calibration)) if value
        ]
        if one and asked:
            raise BadInput(
                f"{' and '.join(asked)}: one sample has no intervals; give --samples 2 or more, or leave it out"
            )
        if self.coarse and not (self.start is None and self.begin is None):
            raise BadInput("--coarse begins where its low stage ends; leave --start and --begin out")
        outputs = [self.target, *self.outputs, *([] if one else self._error_bars), self._record_file]
        separate(self.opened, outputs)
        bands = self.operator.image_shape[0]
        warnings = check_writable(self.target, bands, self.picture.alpha is not None)
        task = self.task
        for path in outputs:
            check_target(path)
        solver = solver_of((task.solver if one else task.sampler) if self.solver == "auto" else self.solver)
        auto_steps = task.steps if one else task.sampler_steps
        steps = self.steps or (auto_steps if self.solver == "auto" else None)
        prior, problem = self.loaded, self._taken(solver)
        self.say_transfer()
        if self.assumed:
            print(
                f"noise: {self.noise} is assumed; give what {self.source.name} has, as --noise gaussian:0.05, or --noise auto "
                "to have it measured",
                file=sys.stderr,
            )
        counted = None if units_of(self.denoiser) is not None else problem.raised(solver.least_noise)
        if counted is not None:
            warnings.append(
                f"--noise {self.noise_used} counts as {counted:.3g}, the least that {type(solver).__name__} knows"
            )
        warnings += notes_of(self.op) + self._doubts()
        if problem is not self.problem:
            warnings.append(f"{type(solver).__name__} takes values at white as measured; hqs, diffpir and mmps do not")
        bars = None if one else self._intervals(solver, steps)
        warnings += [bars.note] if bars is not None and bars.note else []
        if bars is not None and FORMATS[self.target.suffix.lower()] in LOSSY:
            warnings.append(
                f"{self.target}: its compression moves OUT_low and OUT_high; .png and .tif hold them as they are"
            )
        settings: dict[str, Any] = {"steps": steps, "samples": self.samples, "seed": self.seed}
        if self._untouched:
            print(
                f"denoise: there is nothing to take out, {self.target.name} has the values of {self.source.name}",
                file=sys.stderr,
            )
            settings |= {"solver": "none", "sigmas": [0.0]}
            result = Restoration(problem.y, 0, 0.0, settings)
        elif self.coarse:
            stages = self._stages
            with bar(type(solver).__name__) as show:
                result = restore_from_coarse(
                    problem,
                    stages,
                    solver,
                    low_steps=steps,
                    progress=lambda done, total, _: show(done, total),
                    **settings,
                )
        else:
            result = restore_with_bar(
                problem, self.denoiser, solver, **settings, start=self.start, begin=self._begun(problem)
            )
        doubt = solver.doubts(problem, result.settings["sigmas"])
        warnings += [doubt] if doubt and not self._untouched else []
        misfit = problem.misfit(result.samples[:1].to(self.place))
        misfit *= 1 if counted is None else problem.noise_level() / counted
        result = replace(result, samples=self.coded(problem.operator.inside(result.samples)))
        if misfit > MISFIT:
            warnings.append(
                f"the result misses the measurement by {misfit:.1f} times the noise; check --op, --noise and --range, whether "
                f"--prior {self.prior} knows such pictures, or take more --steps"
            )
        extra: dict[str, Any] = {"noise_assumed": self.assumed, "noise_counted": counted}
        extra |= {"device": str(self.place), "precision": prior.precision, "misfit": round(misfit, 3)}
        ceiling = prior.codec_psnr if isinstance(prior, LatentPrior) else None
        if ceiling is not None:
            extra["codec_psnr"] = ceiling
            warnings.append(f"training pictures of {prior.spec.name} keep {ceiling:g} dB through its codec alone")
        for warning in dict.fromkeys(warnings + self._write(result, prior, self.noise_used, extra, bars)):
            print(f"restorekit: note: {warning}", file=sys.stderr)

    def _begun(self, problem: Problem) -> Tensor | None:
        """--begin for each sample (samples, C, H, W); beyond the frame, where an operator knows more, the first estimate."""
        if self.begin is None:
            return None
        pixels = torch.from_numpy(self.as_result(self.begin, "give a picture of that size")).to(problem.y)
        picture = problem.estimate()[0]
        number = torch.arange(picture.numel(), device=picture.device, dtype=torch.float64).view(1, *picture.shape)
        places = problem.operator.inside(number).flatten().long()
        picture = picture.flatten().index_copy(0, places, pixels.flatten()).view_as(picture)
        return picture.expand(self.samples, *picture.shape)

    def _intervals(self, solver: Solver, steps: int | None) -> Found:
        impulses = self.impulses is not None
        refused = error_bars.refusal(
            self.loaded,
            self.noise_used,
            self.flips,
            self.coarse,
            self.start is not None or self.begin is not None,
            impulses,
        )
        wanted = error_bars.conditions(
            self.op, self.noise_used, self.as_read, self.response.curve.name, solver, steps, self.samples
        )
        level = 0.9 if self.interval_level is None else self.interval_level
        return error_bars.found_for(self.calibration or "auto", level, self.loaded, wanted, refused)

    def _taken(self, solver: Solver) -> Problem:
        """The problem, values at white as measured where the solver cannot treat it else."""
        problem = self.problem
        try:
            solver.check(as_seen(problem, self.denoiser))
            return problem
        except Unsupported:
            if problem.likelihood is self.law:
                raise
            plain = replace(problem, likelihood=self.law)
            solver.check(as_seen(plain, self.denoiser))
            return plain

    @property
    def _untouched(self) -> bool:
        """Whether no noise was found, and no solver was asked for: a network only makes such a picture worse."""
        found = self.noise_found
        plain = self.operation == "denoise" and self.solver == "auto" and self.samples == 1 and not self.coarse
        return plain and found is not None and found.floor and self.impulses is None

    @property
    def _stages(self) -> Cascade:
        cascade, bands = self.loaded.cascade, self.operator.image_shape[0]
        if cascade is None or self.flips != 1 or bands not in self.loaded.spec.bands:
            raise BadInput(
                f"--coarse needs a cascade such as mamba-cascade, pictures of its bands, and no --flips; {self.prior} "
                f"{'is none' if cascade is None else f'was given {bands} bands and {self.flips} flips'}"
            )
        if units_of(self.denoiser) is not None:
            raise BadInput(f"--coarse is for pictures, and {self.prior} knows other numbers; leave it out")
        return cascade

    def _beside(self, what: str, suffix: str | None = None) -> Path:
        return self.target.with_name(f"{self.target.stem}_{what}{suffix or self.target.suffix}")

    @property
    def opened(self) -> list[Path]:
        """Files that are read, and must not be written over."""
        begin = [] if self.begin is None else [self.begin]
        named = [] if self.calibration in (None, "auto", "none") else [Path(self.calibration)]
        return [self.source, *begin, *files_of(self.op, self.solver, self.prior), *named]

    @property
    def _record_file(self) -> Path:
        return self.target.with_name(self.target.name + ".json")

    @property
    def outputs(self) -> list[Path]:
        """What is written beside OUT, its error bars and its record."""
        return []

    def _doubts(self) -> list[str]:
        """What speaks against the options, as far as the file can tell before anything is restored."""
        return []

    @property
    def asides(self) -> list[Path]:
        """All that other options would have written beside OUT."""
        return self.outputs

    def _write_more(self) -> tuple[list[Path], dict[str, Any]]:
        """Writes `outputs`; (those written, what the record says of them)."""
        return [], {}

    @property
    def _error_bars(self) -> list[Path]:
        return error_bars.files(self.target)

    def _write(
        self, result: Restoration, prior: Prior, noise: str, extra: dict[str, Any], bars: Found | None
    ) -> list[str]:
        # All or none: OUT.json comes last, so that who finds it finds the files whose hashes it holds.
        with together() as waiting:
            warnings = self._write_all(result, prior, noise, extra, bars)
        low = f" and {result.settings['low_nfe']} of the low stage" if self.coarse else ""
        print(
            f"{self.target}  ({result.nfe} network calls{low}, {result.seconds:.1f} s, "
            f"{len(waiting.moves) - 1} picture(s) and .json)"
        )
        return warnings

    def _write_all(
        self,
        result: Restoration,
        prior: Prior,
        noise: str,
        extra: dict[str, Any],
        bars: Found | None,
    ) -> list[str]:
        like, written = self.picture, [self.target]
        warnings = write_picture(self.target, result.samples[0].float().cpu().numpy(), like)
        if bars is not None:
            extra |= error_bars.write(self.target, result, bars, like, self.operator)
            written += self._error_bars
        more, said = self._write_more()
        written, extra = written + more, extra | said
        if stale := [p.name for p in [*self._error_bars, *self.asides] if p not in written and p.exists()]:
            warnings.append(f"{', '.join(stale)}: of an earlier run, not of this one")
        record = {
            **head(self.source),
            "operator": self.op,
            "noise": noise,
            "noise_measured": self.noise == "auto",
            "noise_found": self.noise_found and self.noise_found.record(),
            "range": like.span,
            **self.transfer_record,
            "coarse": self.coarse,
            "start": self.start,
            "begin": self.begin and read_file(self.begin),
            "prior": {"name": prior.spec.name, "sha256": prior.sha256},
            "steps": len(result.settings["sigmas"]) - 1,
            **result.settings,
            "tile": prior.tile,
            "flips": self.flips,
            "nfe": result.nfe * (1 if self.flips == 1 else self.flips),
            "seconds": round(result.seconds, 2),
            "outputs": outputs(written),
            "orientation": like.info.get("orientation", 1),
            "no_data": 0.0 if like.empty is None else round(float(like.empty.where.mean()), 6),
            **extra,
        }
        record["input"] |= self.reading.record()
        write_json(self._record_file, record)
        return warnings
