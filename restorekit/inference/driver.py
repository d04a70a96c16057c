"""The one loop around every solver owns seeds, batches, progress, the count of network calls and the stop at the first
NaN."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.inference.checks import Counted, check_shape, check_values, checked, started
from restorekit.inference.coding import Coding
from restorekit.inference.coloured import whitened
from restorekit.inference.denoiser import Denoiser, Latent
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.precision import in_double, in_own, step_in, widened
from restorekit.inference.problem import Problem
from restorekit.inference.restoration import Restoration
from restorekit.inference.rng import JoinedRng, Rng, Streams, streams
from restorekit.inference.solver import Solver, Step
from restorekit.inference.units import Units, denoiser_in, problem_in, units_of
from restorekit.operators.latent import Decoded

Progress = Callable[[int, int, Step], None]  # (calls done, calls in all, the step)


def in_latents(problem: Problem, prior: Latent) -> Problem:
    """Return the same measurement as one of the latent: A(decode(z)), cut to the size of the picture."""
    operator = problem.operator
    _, height, width = operator.image_shape
    probe = problem.y.new_full((1, *operator.image_shape), 0.5)
    with torch.no_grad():
        c, h, w = prior.encode(probe).shape[1:]

    def decode(z: Tensor) -> Tensor:
        return prior.decode(z)[..., :height, :width]

    return replace(problem, operator=Decoded((c, h, w), operator, decode, prior.encode, gain=1.0))


def as_seen(problem: Problem, prior: Denoiser | Latent) -> Problem:
    """Return the problem that a solver is given with this prior: its noise white, of latents, or in the units of the
    prior."""
    problem = whitened(problem)
    if isinstance(prior, Latent):
        return in_latents(problem, prior)
    units = units_of(prior)
    return problem if units is None else problem_in(units, problem)


@torch.no_grad()
def decoded(prior: Latent, z: Tensor, height: int, width: int) -> Tensor:
    """Return the pictures (N, C, H, W) of latents (N, c, h, w), decoded one at a time: a decoder needs more memory
    than its result."""
    return torch.cat([prior.decode(one)[..., :height, :width] for one in z.split(1)])


@dataclass(frozen=True, eq=False)
class _Run:
    """The settings of a run, beside problem, prior and solver; one seed for each measurement."""

    seeds: Sequence[int]
    samples: int
    steps: int | None
    sigmas: Sequence[float] | None
    batch: int | None
    progress: Progress | None
    begin: Tensor | None  # (measurements times samples, C, H, W), the samples of one measurement together
    start: float | None
    rng: Streams
    record: bool

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise BadInput(f"steps={self.steps}: at least one noise level is needed")
        if self.batch is not None and self.batch < 1:
            raise BadInput(f"batch={self.batch}: at least one sample at a time")
        if self.samples < 1:
            raise BadInput(f"samples={self.samples}: at least one")

    @property
    def count(self) -> int:
        """Return the number of pictures in all."""
        return len(self.seeds) * self.samples

    def drawn(self, first: int, count: int) -> Rng:
        """Return the random streams of pictures first .. first + count - 1."""
        parts: list[Rng] = []
        while count > 0:
            which, sample = divmod(first, self.samples)
            here = min(count, self.samples - sample)
            parts.append(self.rng(self.seeds[which], sample, here))
            first, count = first + here, count - here
        return parts[0] if len(parts) == 1 else JoinedRng(parts)

    def measured(self, y: Tensor, first: int, count: int) -> Tensor:
        """Return the measurements (count, ...) that belong to these pictures."""
        if len(y) == 1:
            return y.expand(count, *y.shape[1:])
        return y[torch.arange(first, first + count, device=y.device) // self.samples]


def _check_kinds(denoise: object, solver: object) -> None:
    if not isinstance(solver, Solver):
        what = f"the class {solver.__name__}" if isinstance(solver, type) else f"a {type(solver).__name__}"
        raise BadInput(f"solver is {what}; make one, such as DiffPIR()")
    if not callable(denoise) and not isinstance(denoise, Latent):
        raise BadInput(f"the denoiser is a {type(denoise).__name__}; give a prior, such as load_prior({denoise!r})")


def _check_begin(problem: Problem, begin: object, count: int) -> None:
    if begin is not None and not isinstance(begin, Tensor):
        raise BadInput(f"begin is a {type(begin).__name__}; make it a tensor: torch.as_tensor(begin)")
    if begin is not None and tuple(begin.shape) != (count, *problem.operator.image_shape):
        raise BadInput(f"begin is {tuple(begin.shape)}, expected {(count, *problem.operator.image_shape)}")


def _restored_latent(problem: Problem, prior: Latent, solver: Solver, run: _Run) -> list[Restoration]:
    bands, height, width = problem.operator.image_shape
    prior, batch = prior.for_bands(bands), run.batch or max(1, 2**20 // (height * width))
    with torch.no_grad():
        begin = None if run.begin is None else prior.encode(run.begin.to(problem.y))
    found = _restored(in_latents(problem, prior), prior.denoise, solver, replace(run, batch=batch, begin=begin))
    pictures = []
    for one in found:
        began = time.perf_counter()
        samples = decoded(prior, one.samples, height, width)
        pictures.append(replace(one, samples=samples, seconds=one.seconds + time.perf_counter() - began))
    return pictures


def _restored_in(
    units: Units | Coding, problem: Problem, denoise: Denoiser, solver: Solver, run: _Run
) -> list[Restoration]:
    told = run.progress
    inside = replace(
        run, begin=None if run.begin is None else units.of(run.begin),
        progress=told and (lambda done, total, step: told(done, total, units.step(step))),
    )  # fmt: skip
    return [
        replace(
            one, samples=units.back(one.samples), settings=one.settings | {"units": units.record()},
            trajectory=tuple(units.step(step) for step in one.trajectory),
        )
        for one in _restored(problem_in(units, problem), denoiser_in(units, denoise), solver, inside)
    ]  # fmt: skip


def _restored_in_double(
    wide: Problem, dtype: torch.dtype, denoise: Denoiser, solver: Solver, run: _Run
) -> list[Restoration]:
    told = run.progress
    inside = replace(
        run, begin=None if run.begin is None else run.begin.to(wide.y.dtype), rng=widened(run.rng, dtype),
        progress=told and (lambda done, total, step: told(done, total, step_in(dtype, step))),
    )  # fmt: skip
    return [
        replace(
            one, samples=one.samples.to(dtype), trajectory=tuple(step_in(dtype, step) for step in one.trajectory)
        )
        for one in _restored(wide, in_own(denoise, dtype, type(solver).__name__), solver, inside)
    ]  # fmt: skip


def _restored(problem: Problem, denoise: Denoiser | Latent, solver: Solver, run: _Run) -> list[Restoration]:
    """Return a restoration for each measurement. More than one have to be alike in all but y."""
    if run.samples > 1 and not solver.is_sampler:
        name = type(solver).__name__
        raise BadInput(
            f"{name} is an optimiser: one answer, no samples; leave out `samples` or take a sampler such as mmps"
        )
    check_shape(problem)
    check_values(problem)
    _check_begin(problem, run.begin, run.count)
    problem = whitened(problem)
    if isinstance(denoise, Latent):
        return _restored_latent(problem, denoise, solver, run)
    units = units_of(denoise)
    if units is not None:
        return _restored_in(units, problem, denoise, solver, run)
    solver.check(problem)
    if run.samples > 1:
        solver.check_draws(problem)
    if (wide := in_double(problem, solver)) is not None:
        return _restored_in_double(wide, problem.y.dtype, denoise, solver, run)
    levels = list(run.sigmas) if run.sigmas is not None else solver.schedule(problem, run.steps)
    falls = all(a > b for a, b in zip(levels, levels[1:]))  # False for NaN too
    if len(levels) < 2 or levels[-1] != 0 or not falls or math.isinf(levels[0]):
        raise BadInput(f"sigmas must fall strictly and end in 0, got {levels[:3]} ... {levels[-2:]}")
    if run.start is not None:
        levels = started(levels, run.start, problem)
    pixels = math.prod(problem.operator.image_shape[1:])
    batch = run.batch or max(1, 2**20 // pixels)
    counted, began = Counted(checked(denoise, type(solver).__name__)), time.perf_counter()
    parts = -(-run.count // batch)
    total = solver.calls(levels) * parts
    done: list[Tensor] = []
    seen: list[list[Step]] = []
    for first in range(0, run.count, batch):
        count = min(batch, run.count - first)
        part, drawn = replace(problem, y=run.measured(problem.y, first, count)), run.drawn(first, count)
        at = () if run.begin is None else (run.begin[first : first + count].to(part.y),)
        x = solver.start(part, levels[0], drawn, *at)
        seen.append([])
        for step in solver(part, counted, levels, x, drawn):
            x = step.x
            if not math.isfinite(float(x.sum())):  # one pass; infinities of both signs sum to NaN
                hint = "lower its step or scale, or take more steps"
                raise BadInput(f"{type(solver).__name__} diverged at sigma {step.sigma:.3g} (not a number); {hint}")
            if run.record:
                seen[-1].append(_kept(step))
            if run.progress is not None:
                run.progress(counted.calls, total, step)
        done.append(x)
    seconds, nfe = (time.perf_counter() - began) / len(run.seeds), counted.calls // parts
    settings: dict[str, Any] = {"solver": type(solver).__name__, **solver.settings()}
    settings |= {"sigmas": levels, "samples": run.samples}
    return [
        Restoration(own, nfe, seconds, settings | {"seed": seed}, trajectory=_trajectory(seen, batch, at, run.samples))
        for own, seed, at in zip(torch.cat(done).split(run.samples), run.seeds, range(0, run.count, run.samples))
    ]


def _kept(step: Step) -> Step:
    """Return a copy on the CPU, which no later step writes to."""
    x, x0 = (v.detach().to("cpu", copy=True) for v in (step.x, step.x0))
    return Step(x, x0, float(step.sigma))


def _trajectory(seen: list[list[Step]], batch: int, first: int, count: int) -> tuple[Step, ...]:
    """Return the steps of pictures first .. first + count - 1, out of those of batches of `batch` pictures each."""
    parts: list[list[Step]] = []
    for i in range(first // batch, (first + count - 1) // batch + 1):
        low, high = max(first - i * batch, 0), min(first + count - i * batch, batch)
        parts.append([Step(step.x[low:high], step.x0[low:high], step.sigma) for step in seen[i]])
    return tuple(
        Step(torch.cat([s.x for s in steps]), torch.cat([s.x0 for s in steps]), steps[0].sigma)
        for steps in zip(*parts, strict=True)
    )


def restore(
    problem: Problem,
    denoise: Denoiser | Latent,
    solver: Solver,
    *,
    steps: int | None = None,
    sigmas: Sequence[float] | None = None,
    samples: int = 1,
    seed: int = 0,
    batch: int | None = None,
    progress: Progress | None = None,
    begin: Tensor | None = None,
    start: float | None = None,
    rng: Streams | None = None,
    record: bool = False,
) -> Restoration:
    """Restore one measurement and return a `Restoration`; `tasks.solve.restore`, the public one, documents the arguments.

    `progress` is a function here, called with (calls done, calls in all, `Step`), or None.
    """
    _check_kinds(denoise, solver)
    if len(problem.y) != 1:
        raise BadInput(
            f"restore takes one measurement of shape (1, ...), got a batch of {len(problem.y)}; use `restore_each`"
        )
    run = _Run([seed], samples, steps, sigmas, batch, progress, begin, start, rng or streams, record)
    return _restored(problem, denoise, solver, run)[0]


def restore_each(
    problem: Problem,
    denoise: Denoiser | Latent,
    solver: Solver,
    *,
    steps: int | None = None,
    sigmas: Sequence[float] | None = None,
    samples: int = 1,
    seed: int = 0,
    batch: int | None = None,
    progress: Progress | None = None,
    begin: Tensor | None = None,
    start: float | None = None,
    rng: Streams | None = None,
    record: bool = False,
) -> list[Restoration]:
    """Restore a batch of measurements and return a `Restoration` for each; see `tasks.solve.restore_each`."""
    _check_kinds(denoise, solver)
    count = len(problem.y)
    if count < 1:
        raise BadInput("y holds no measurement; give (B, ...), B at least 1")
    _check_begin(problem, begin, count)
    begins = None if begin is None else begin.repeat_interleave(samples, 0)
    seeds = range(seed, seed + count)
    run = _Run(seeds, samples, steps, sigmas, batch, progress, begins, start, rng or streams, record)
    if _alike(problem):
        return _restored(problem, denoise, solver, run)
    found: list[Restoration] = []
    for i, one in enumerate(problem.split()):
        own = begins if begins is None else begins[i * samples : (i + 1) * samples]
        part = replace(run, seeds=[seeds[i]], begin=own, progress=progress and _shifted(progress, i, count))
        found += _restored(one, denoise, solver, part)
    return found


def _alike(problem: Problem) -> bool:
    """Return True where the measurements of a batch share noise and mask, and nothing that a solver derives depends on
    y."""
    law = problem.likelihood
    held = [problem.mask, law.sigma if isinstance(law, Gaussian) else None]
    own = any(isinstance(v, Tensor) and v.ndim == problem.y.ndim and len(v) > 1 for v in held)
    return isinstance(law, Gaussian) and not own


def _shifted(progress: Progress, before: int, count: int) -> Progress:
    """Return the progress of one of `count` runs, of which `before` are done."""
    return lambda done, total, step: progress(before * total + done, count * total, step)
