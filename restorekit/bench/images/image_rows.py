"""One row of the image bench: a solver on one measurement, its figures, and its picture."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import fmean
from typing import Any, TypeAlias, cast

import numpy as np
import torch

from restorekit.bench import memory
from restorekit.bench.images.image_cases import Clean
from restorekit.errors import BadInput
from restorekit.files.journal import Rows
from restorekit.files.picture import write_picture
from restorekit.inference.checks import Counted
from restorekit.inference.denoiser import Denoiser, Latent
from restorekit.inference.driver import restore
from restorekit.inference.problem import Problem
from restorekit.metrics.fidelity import coverage, psnr, spread_skill, ssim
from restorekit.priors.find import Precision, Prior, load_prior
from restorekit.priors.perception.likeness import LPIPS, PriorDistance
from restorekit.priors.prior import LatentPrior
from restorekit.text.degradation import Degradation
from restorekit.text.names import solver_of

KEYS = ("op", "picture", "crop", "solver", "steps", "prior", "seed", "samples", "device")
MEASURED = ("psnr", "psnr_mean", "ssim", "ssim_mean", "prior_distance", "residual", "spread_skill", "coverage",
            "nfe", "vjps", "seconds", "memory")  # fmt: skip
OK, DIVERGED = "ok", "diverged"
Figures: TypeAlias = "tuple[dict[str, Any], np.ndarray | None]"  # values of a row; the first sample (C, H, W), None where the run diverged


def values_of(net: LPIPS | None) -> tuple[str, ...]:
    """Return the columns after `KEYS`; LPIPS has one, with the name of its network, where it is measured."""
    return (*MEASURED, *([f"lpips_{net.net}"] if net else []), "state")


@dataclass(frozen=True)
class BenchCase:
    """It says what a row is of. `prior` is the text to load it by, `label` its name and weights."""

    task: Degradation
    clean: Clean
    solver: str
    steps: int
    prior: str
    label: str
    seed: int
    samples: int
    where: str  # device and precision

    @property
    def key(self) -> tuple[Any, ...]:
        return (self.task.text, self.clean.name, self.clean.crop or "whole", self.solver, self.steps, self.label,
                self.seed, self.samples, self.where)  # fmt: skip


def picture_file(out: Path, key: tuple[Any, ...]) -> Path:
    """Return where the first sample of a row is kept, 8 bits, for the page and for distances of sets."""
    return out / "pictures" / f"{hashlib.sha256(repr([str(k) for k in key]).encode()).hexdigest()[:16]}.png"


@dataclass(frozen=True, eq=False)
class Measure:
    """Does jobs: restores, adds the row to images.csv in `out`, and answers with the row, or with the error in words."""

    out: Path
    device: str
    precision: Precision
    threads: int | None
    lpips: LPIPS | None
    _priors: dict[str, Prior] = field(default_factory=dict)
    _warm: set[tuple[Any, ...]] = field(default_factory=set)

    def maker(self) -> Callable[[], Callable[[BenchCase], dict[str, str] | str]]:
        """Return what `workers.share` calls in each process, which then loads its own priors."""
        return partial(_ready, self)

    @cached_property
    def distance(self) -> PriorDistance:
        return PriorDistance.shipped()

    @cached_property
    def rows(self) -> Rows:
        return Rows(self.out / "images.csv", KEYS, values_of(self.lpips))

    def __call__(self, job: BenchCase) -> dict[str, str] | str:
        return self.kept(job, self.measured(job))

    def measured(self, job: BenchCase) -> Figures | str:
        """Return the values of a row and its picture, or the error in words."""
        try:
            return self.figures(job)
        except (RuntimeError, MemoryError, ValueError) as error:  # no row: another run tries again
            said = " ".join(str(error).split())[:200]
            return said if isinstance(error, BadInput) else f"{type(error).__name__}: {said}"

    def kept(self, job: BenchCase, measured: Figures | str) -> dict[str, str] | str:
        """Write the picture and the row, and return the row; an error stays one."""
        if isinstance(measured, str):
            return measured
        figures, pixels = measured
        if pixels is not None:
            write_picture(
                picture_file(self.out, job.key), pixels if len(pixels) != 2 and len(pixels) <= 3 else pixels[:1]
            )
        self.rows.add(*job.key, *(figures.get(name, math.nan) for name in values_of(self.lpips)))
        return self.rows.rows[-1]

    def away(self) -> Callable[[BenchCase], Figures | str]:
        """Return what a worker on another machine does with a job, whose files are named from the root: it measures, and
        writes nothing."""
        return partial(_measured_away, self.device, self.threads, self.lpips)

    def figures(self, job: BenchCase) -> Figures:
        """Return the values of a row, and the first sample (C, H, W), None where the run diverged."""
        truth, device = job.clean.pixels, torch.device(self.device)
        cpu = job.task.measure(truth, job.clean.name, job.seed)
        problem = Problem(cpu.y.to(device), cpu.operator.to(device), cpu.likelihood)
        if job.prior not in self._priors:
            self._priors[job.prior] = load_prior(job.prior, device=device, precision=self.precision)
        counted, prior = self._counted(job, truth.shape, device)
        memory.reset(device)
        try:
            found = restore(problem, prior, solver_of(job.solver), steps=job.steps, samples=job.samples, seed=job.seed)
        except BadInput as error:
            if DIVERGED not in str(error):
                raise
            return {"state": " ".join(str(error).split())}, None
        figures: dict[str, Any] = {"memory": memory.peak(device), "seconds": found.seconds, "nfe": found.nfe}
        figures["vjps"] = counted.vjps // max(1, counted.calls // max(1, found.nfe))
        samples = found.samples.float().cpu().numpy()
        first, mean = (np.clip(x, 0, 1) for x in (samples[0], samples.mean(0)))
        figures |= {
            "psnr": psnr(first, truth),
            "ssim": ssim(first, truth),
            "prior_distance": self.distance(first, truth),
        }
        if job.samples > 1:
            figures |= {"psnr_mean": psnr(mean, truth), "ssim_mean": ssim(mean, truth)}
            figures |= {"spread_skill": spread_skill(samples, truth), "coverage": coverage(samples, truth)}
        if self.lpips is not None:
            figures[f"lpips_{self.lpips.net}"] = self.lpips(first, truth)
        figures["residual"] = fmean(problem.misfit(x[None]) for x in found.samples)
        return {**figures, "state": OK}, first

    def _counted(
        self, job: BenchCase, shape: tuple[int, ...], device: torch.device
    ) -> tuple[Counted, Denoiser | Latent]:
        """Return what counts the network calls, and the prior that makes them; called once before the clock starts, for the
        first call on a shape pays for the choice of kernels."""
        own = self._priors[job.prior].for_bands(shape[0])
        blank = torch.full((1, *shape), 0.5, device=device)
        if isinstance(own, LatentPrior):
            counted = Counted(own.network)
            own, first = replace(own, network=counted), (own.network, own.encode)
        else:
            own, first = (counted := Counted(own)), (own, lambda x: x)
        if (job.prior, shape) not in self._warm:
            with torch.no_grad():
                first[0](first[1](blank), 0.5)
            self._warm.add((job.prior, shape))
        return counted, own


_away: dict[tuple[str, str], Measure] = {}  # of a worker process: by device and precision, with priors that are loaded


def _measured_away(device: str, threads: int | None, network: LPIPS | None, job: BenchCase) -> Figures | str:
    key = device, job.where.partition("/")[2]
    if key not in _away:
        _away[key] = Measure(Path(), device, cast(Precision, key[1]), threads, network)
    return _ready(_away[key]).measured(job)


def whole_paths(job: BenchCase) -> BenchCase:
    """Return the job with the whole paths of its picture and its prior."""
    prior = os.path.abspath(job.prior) if os.path.exists(job.prior) else job.prior
    clean = Clean(job.clean.name, Path(os.path.abspath(job.clean.path)), job.clean.crop)
    return replace(job, clean=clean, prior=prior)


def _ready(measure: Measure) -> Measure:
    if measure.threads is not None:
        torch.set_num_threads(measure.threads)
    return measure
