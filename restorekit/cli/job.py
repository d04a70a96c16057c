"""One restoration from file to file."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

import restorekit
from restorekit import io, spec
from restorekit.cli.options import different, span
from restorekit.cli.tasks import NOT_GAUSSIAN, OTHER, TASKS, Task
from restorekit.driver import restore
from restorekit.errors import BadInput
from restorekit.likelihood import Gaussian, Likelihood
from restorekit.metrics import estimate_sigma
from restorekit.operators import Inpaint, Operator
from restorekit.priors.library import Precision, Prior, load_prior
from restorekit.priors.wrappers import EnsembleFlip
from restorekit.solvers.from_text import solver as solver_of
from restorekit.types import Denoiser, Problem, Restoration, Solver, Step

SMALLEST = 4  # pixels per side
MISFIT = 1.5  # above this many deviations of the noise, on the root mean square, something is wrong


def device_of(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        raise BadInput(f"device {name!r} cannot be used here; leave out --device or use --device cpu") from None
    return device


@dataclass(frozen=True)
class Job:
    source: Path
    target: Path
    op: str
    noise: str
    solver: str
    prior: str
    samples: int
    steps: int | None
    seed: int
    device: str
    tile: int | None
    precision: str
    flips: int
    range: str | None

    @property
    def operation(self) -> str:
        return self.op.partition(":")[0]

    @cached_property
    def picture(self) -> io.Picture:
        different(self.source, self.target)
        coefficients = self.operation in spec.NO_PICTURE
        values = (0.0, 1.0) if coefficients and self.range is None else span(self.range)
        picture = io.read(self.source, values, holes=self.operation == "inpaint")
        _, height, width = picture.pixels.shape
        if coefficients and picture.dtype not in ("float32", "float64", "float16"):
            raise BadInput(
                f"{self.source} holds {picture.dtype}; a measurement of {self.operation} is no picture: give floats (NPY, TIFF)"
            )
        if not coefficients and min(height, width) < SMALLEST:
            raise BadInput(
                f"{self.source} is {height}x{width} pixels; at least {SMALLEST}x{SMALLEST} are needed to restore anything"
            )
        if float(np.ptp(picture.pixels)) == 0:
            level = float(picture.pixels.flat[0])
            raise BadInput(
                f"{self.source} is constant (every value is {level:g}): there is nothing to restore; check the file"
            )
        return picture

    def task(self, law: Likelihood) -> Task:
        if self.operation == "denoise" and not isinstance(law, Gaussian):
            return NOT_GAUSSIAN
        return TASKS.get(self.operation, OTHER)

    def fill(self, operator: Operator) -> None:
        """Values behind a mask may be NaN: they become 0. Elsewhere they are refused."""
        pixels = self.picture.pixels
        bad = ~np.isfinite(pixels)
        if not isinstance(operator, Inpaint):
            return
        mask = operator.mask.numpy()
        if bad.any():
            if (bad & (mask > 0)).any():
                count = int((bad & (mask > 0)).any(0).sum())
                raise BadInput(
                    f"{self.source}: {count} pixels that the mask calls measured hold NaN or infinity; mask them too"
                )
            pixels[bad] = 0
        print(f"mask: {float((mask > 0).mean()):.1%} measured", file=sys.stderr)

    def noise_text(self, operator: Operator) -> str:
        """--noise as given, or Gaussian noise of the level measured in the picture, which is said aloud."""
        if self.noise != "auto":
            return self.noise
        valid = operator.mask.numpy() if isinstance(operator, Inpaint) else None
        sigma = max(0.002, estimate_sigma(self.picture.pixels, valid))
        print(
            f"noise: gaussian:{sigma:.4f}, measured in {self.source.name}; give --noise if you know better",
            file=sys.stderr,
        )
        return f"gaussian:{sigma:.4f}"

    def measurement(self, operator: Operator) -> Tensor:
        """y (1, ...) in the shape that the operator gives; files hold some measurements in another shape."""
        y = torch.from_numpy(self.picture.pixels)[None]
        if operator.image_shape == y.shape[1:]:  # the usual case, without a needless application of A
            return y
        expected = operator(torch.zeros(1, *operator.image_shape)).shape
        if expected.numel() != y.numel():
            raise BadInput(
                f"{self.source} holds {y.numel()} values, the operator gives {expected.numel()}; check its settings"
            )
        return y.reshape(expected)

    def denoiser(self, prior: Prior, bands: int) -> Denoiser:
        denoise = prior.for_bands(bands)
        return denoise if self.flips == 1 else spec.build(EnsembleFlip, "flips", [str(self.flips)], {}, denoise=denoise)

    def run(self) -> None:
        """Everything that can be refused is refused before the network runs; files are written at the end."""
        picture = self.picture
        measured = cast(spec.Shape, picture.pixels.shape)
        operator = spec.operator(self.op, measured=measured)
        self.fill(operator)
        bands = operator.image_shape[0]
        warnings = io.check_writable(self.target, bands, picture.alpha is not None)
        noise = self.noise_text(operator)
        law = spec.likelihood(noise)
        task, one = self.task(law), self.samples == 1
        solver = solver_of((task.solver if one else task.sampler) if self.solver == "auto" else self.solver)
        auto_steps = task.steps if one else task.sampler_steps
        steps = self.steps or (auto_steps if self.solver == "auto" else None)
        device = device_of(self.device)
        if self.precision not in ("auto", "bf16", "fp32"):
            raise BadInput(f"--precision {self.precision!r} is unknown; it is auto, bf16 or fp32")
        precision = cast(Precision, self.precision)
        prior = load_prior(self.prior, device=device, precision=precision, tile=self.tile or "auto")
        problem = Problem(self.measurement(operator).to(device), operator.to(device), law)
        result = self._with_progress(problem, self.denoiser(prior, bands), solver, steps)
        misfit = problem.misfit(result.samples[:1].to(device))
        if misfit > MISFIT:
            warnings.append(
                f"the result misses the measurement by {misfit:.1f} times the noise; check --op and --noise, or take more --steps"
            )
        extra = {"device": str(device), "precision": prior.precision, "misfit": round(misfit, 3)}
        for warning in dict.fromkeys(warnings + self._write(result, prior, noise, extra)):
            print(f"restorekit: note: {warning}", file=sys.stderr)

    def _with_progress(self, problem: Problem, denoise: Denoiser, solver: Solver, steps: int | None) -> Restoration:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} network calls"),
        )
        columns += (TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            line = bar.add_task(type(solver).__name__, total=None)

            def update(done: int, total: int, step: Step) -> None:
                bar.update(line, completed=done, total=total)

            return restore(
                problem, denoise, solver, steps=steps, samples=self.samples, seed=self.seed, progress=update
            )  # fmt: skip

    def _beside(self, what: str, suffix: str | None = None) -> Path:
        return self.target.with_name(f"{self.target.stem}_{what}{suffix or self.target.suffix}")

    @property
    def _error_bars(self) -> list[Path]:
        return [self._beside("mean"), self._beside("std", ".tif"), self._beside("std", ".png")]

    def _write(self, result: Restoration, prior: Prior, noise: str, extra: dict[str, Any]) -> list[str]:
        like, written = self.picture, []
        pixels = result.samples.float().cpu()
        warnings = io.write(self.target, pixels[0].numpy(), like)
        written.append(self.target)
        stale = [p.name for p in self._error_bars if p.exists()] if self.samples == 1 else []
        if stale:
            warnings.append(f"{', '.join(stale)}: of an earlier run, not of this one")
        if self.samples > 1:
            low, high = like.span
            std = (result.std.float().cpu().numpy() * (high - low)).astype(np.float32)
            mean, std_file, std_png = self._error_bars
            io.write(mean, result.mean.float().cpu().numpy(), like)
            io.write(std_file, std, io.Picture(std, "float32", (0.0, 1.0)))
            white = float(std.mean(0).max()) or 1.0
            shown = std.mean(0, keepdims=True) / white
            io.write(std_png, shown, io.Picture(shown, "uint8", (0.0, 255.0)), "uint8")
            written += self._error_bars
            extra |= {"std_unit": f"file values over {low:g}..{high:g}", "std_png_white": white}
        record = {
            "restorekit": restorekit.__version__,
            "torch": torch.__version__,
            "input": {"path": str(self.source), "sha256": io.sha256(self.source)},
            "operator": self.op,
            "noise": noise,
            "noise_measured": self.noise == "auto",
            "prior": {"name": prior.spec.name, "sha256": prior.sha256},
            "steps": len(result.settings["sigmas"]) - 1,
            **result.settings,
            "tile": prior.tile,
            "flips": self.flips,
            "nfe": result.nfe * (1 if self.flips == 1 else self.flips),
            "seconds": round(result.seconds, 2),
            "outputs": {str(p): io.sha256(p) for p in written},
            **extra,
        }
        io.write_json(self.target.with_name(self.target.name + ".json"), record)
        print(
            f"{self.target}  ({result.nfe} network calls, {result.seconds:.1f} s, {len(written)} picture(s) and .json)"
        )
        return warnings
