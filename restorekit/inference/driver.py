"""The one driver of every solver: seeds, progress, counting of network calls, a stop at the first NaN."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from restorekit.errors import BadInput, Unsupported
from restorekit.inference.denoiser import Denoiser, Latent
from restorekit.inference.likelihood import Likelihood
from restorekit.inference.problem import Problem
from restorekit.inference.restoration import Restoration
from restorekit.inference.rng import Streams, streams
from restorekit.inference.schedule import below
from restorekit.inference.solver import Solver, Step
from restorekit.inference.units import Units, denoiser_in, problem_in, units_of
from restorekit.operators.latent import Decoded

Progress = Callable[[int, int, Step], None]  # (calls done, calls in all, the step)


class Counted:
    """A denoiser that counts its calls and the vector-Jacobian products through it."""

    def __init__(self, denoise: Denoiser):
        self.denoise, self.calls, self.vjps = denoise, 0, 0

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        self.calls += 1
        x0 = self.denoise(x, sigma)
        if x0.requires_grad:
            x0.register_hook(self._product)
        return x0

    def _product(self, gradient: Tensor) -> None:
        self.vjps += 1


def checked(denoise: Denoiser, solver: str) -> Denoiser:
    """The same denoiser, refused in one line where it gives something else than a picture like x, or no graph for a gradient."""

    def call(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        try:
            x0 = denoise(x, sigma)
        except RuntimeError as error:
            if "dtype" not in str(error) and "type" not in str(error).split():
                raise
            why = str(error).splitlines()[0]
            raise BadInput(f"the denoiser does not take {x.dtype} ({why}); give y in its dtype, or cast it") from error
        if not isinstance(x0, Tensor) or x0.shape != x.shape or x0.dtype != x.dtype:
            given = f"{x0.dtype} {tuple(x0.shape)}" if isinstance(x0, Tensor) else type(x0).__name__
            raise BadInput(f"the denoiser gives {given} for {x.dtype} {tuple(x.shape)}; it must give a picture like x")
        if torch.is_grad_enabled() and x.requires_grad and not x0.requires_grad:
            raise Unsupported(
                f"{solver} needs the gradient of the denoiser, which gives none (no_grad, detach or numpy inside); mend it, "
                "or use `solver=diffpir` or pnpdm"
            )
        return x0

    return call


def _check_shape(problem: Problem) -> None:
    """Refuse a measurement that the operator does not give: broadcasting would hide it, as promotion would a dtype."""
    y, operator = problem.y, problem.operator
    name, cast = type(operator).__name__, f"operator.to({y.dtype}), or y in its dtype"
    try:
        given = operator(y.new_zeros((1, *operator.image_shape)))
    except RuntimeError as error:
        if "dtype" not in str(error) and "type" not in str(error).split():
            raise
        raise BadInput(f"{name} does not take {y.dtype} ({str(error).splitlines()[0]}); take {cast}") from error
    if tuple(y.shape) != tuple(given.shape):
        raise BadInput(f"y is {tuple(y.shape)}, {name} gives {tuple(given.shape)}; reshape y or mend image_shape")
    if given.dtype != y.dtype:
        raise BadInput(f"y is {y.dtype}, {name} gives {given.dtype} of such pictures; take {cast}")


def _check_values(problem: Problem) -> None:
    """Refuse what is no number, and a law of one's own that does not give a number for each value."""
    y, law = problem.y, problem.likelihood
    if bad := int((~torch.isfinite(y)).sum()):
        raise BadInput(
            f"y holds NaN or infinity, {bad} of {y.numel()} values; fill them, or mask them: Problem(mask=...)"
        )
    with torch.enable_grad():
        mean = y.detach().clone().requires_grad_(True)
        terms: dict[str, Any] = {"unit_nll": law.unit_nll(y.detach(), mean)}
    with suppress(Unsupported):
        terms["information"] = law.information(y)
    for name, found in terms.items():
        if not isinstance(found, Tensor) or found.shape != y.shape or found.dtype != y.dtype:
            given = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise BadInput(
                f"{name} of {law.title} gives {given} for {y.dtype} {tuple(y.shape)}; it must give a number for each value of y"
            )
    if not terms["unit_nll"].requires_grad and type(law).gradient is Likelihood.gradient:
        raise BadInput(f"unit_nll of {law.title} has no gradient (detach or numpy inside); write it in torch")


def _started(levels: Sequence[float], start: float, problem: Problem) -> list[float]:
    """The levels from `start` on. Refused below the noise of the measurement, where some solvers have done with it."""
    least = max(problem.picture_noise(), levels[-2])
    if least >= levels[0]:
        raise BadInput(
            f"start={start:g}: the solver begins at {levels[0]:.3g}, the noise of the measurement; leave start out, or take a "
            "sampler such as mmps"
        )
    if not least < start <= levels[0]:  # False for NaN too
        raise BadInput(
            f"start={start:g} must lie between {least:.3g}, the noise of the measurement or the last level of the solver, and "
            f"its first, {levels[0]:.3g}"
        )
    return below(levels, start)


def in_latents(problem: Problem, prior: Latent) -> Problem:
    """The same measurement, as one of the latent: A(decode(z)), cut to the size of the picture."""
    operator = problem.operator
    _, height, width = operator.image_shape
    probe = problem.y.new_full((1, *operator.image_shape), 0.5)
    with torch.no_grad():
        c, h, w = prior.encode(probe).shape[1:]

    def decode(z: Tensor) -> Tensor:
        return prior.decode(z)[..., :height, :width]

    return replace(problem, operator=Decoded((c, h, w), operator, decode, prior.encode, gain=1.0))


def as_seen(problem: Problem, prior: Denoiser | Latent) -> Problem:
    """The problem that a solver is given with this prior: of latents, or in the units of the prior."""
    if isinstance(prior, Latent):
        return in_latents(problem, prior)
    units = units_of(prior)
    return problem if units is None else problem_in(units, problem)


@torch.no_grad()
def decoded(prior: Latent, z: Tensor, height: int, width: int) -> Tensor:
    """Pictures (N, C, H, W) of latents (N, c, h, w), one at a time: a decoder needs more memory than what it gives."""
    return torch.cat([prior.decode(one)[..., :height, :width] for one in z.split(1)])


def _restore_latent(
    problem: Problem, prior: Latent, solver: Solver, batch: int | None, begin: Tensor | None, **rest: Any
) -> Restoration:
    bands, height, width = problem.operator.image_shape
    prior, batch = prior.for_bands(bands), batch or max(1, 2**20 // (height * width))
    with torch.no_grad():
        begin = None if begin is None else prior.encode(begin.to(problem.y))
    found = restore(in_latents(problem, prior), prior.denoise, solver, batch=batch, begin=begin, **rest)
    began = time.perf_counter()
    samples = decoded(prior, found.samples, height, width)
    return replace(found, samples=samples, seconds=found.seconds + time.perf_counter() - began)


def _restore_in(
    units: Units, problem: Problem, denoise: Denoiser, solver: Solver, begin: Tensor | None, progress: Progress | None,
    **rest: Any,
) -> Restoration:  # fmt: skip
    found = restore(
        problem_in(units, problem), denoiser_in(units, denoise), solver, begin=None if begin is None else units.of(begin),
        progress=progress and (lambda done, total, step: progress(done, total, units.step(step))), **rest,
    )  # fmt: skip
    return replace(
        found, samples=units.back(found.samples), settings=found.settings | {"units": dataclasses.asdict(units)}
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
) -> Restoration:
    """Restore one measurement, `problem.y` of shape (1, ...).

    steps: noise levels of the solver's own schedule; or give `sigmas`, falling and ending in 0. samples: independent
    draws (optimisers give one). batch: draws at a time (default: as many as fit 2^20 pixels); it changes memory, not
    the result. With a prior of latents the solver works on latents, of which A(decode(z)) was measured, so that it has to
    be one that takes operators that are not linear: the steps that `progress` sees are latents, the samples are pictures.
    begin: a picture per sample (samples, C, H, W) to start from at the first level, instead of the solver's own estimate.
    start: the noise level to begin at, instead of the first of the schedule, whose levels above it are left out, for any solver
    (Chung, Sim, Ye, "Come-Closer-Diffuse-Faster", CVPR 2022): the picture to start from, noised so far. The lower,
    the fewer calls are made, and the more of that picture stays.
    rng: where the noise comes from, `streams` if not told.
    With a prior that knows other numbers than pictures on [0, 1] the solver, `sigmas` and `start`, work in its units (`units.py`).
    Raises `Unsupported` where solver and problem do not fit or a denoiser has no gradient that is needed; `BadInput` where what is
    given is no solver, no denoiser or no number, where shapes or dtypes do not fit, also of what the denoiser gives, and where the
    run diverges.
    """
    if not isinstance(solver, Solver):
        what = f"the class {solver.__name__}" if isinstance(solver, type) else f"a {type(solver).__name__}"
        raise BadInput(f"solver is {what}; make one, such as DiffPIR()")
    if not callable(denoise) and not isinstance(denoise, Latent):
        raise BadInput(f"the denoiser is a {type(denoise).__name__}; give a prior, such as load_prior({denoise!r})")
    if len(problem.y) != 1:
        raise BadInput(
            f"restore takes one measurement of shape (1, ...), got a batch of {len(problem.y)}; loop over them"
        )
    if steps is not None and steps < 1:
        raise BadInput(f"steps={steps}: at least one noise level is needed")
    if batch is not None and batch < 1:
        raise BadInput(f"batch={batch}: at least one sample at a time")
    if samples < 1:
        raise BadInput(f"samples={samples}: at least one")
    if samples > 1 and not solver.samples:
        name = type(solver).__name__
        raise BadInput(
            f"{name} is an optimiser: one answer, no samples; leave out `samples` or take a sampler such as mmps"
        )
    _check_shape(problem)
    _check_values(problem)
    if begin is not None and not isinstance(begin, Tensor):
        raise BadInput(f"begin is a {type(begin).__name__}; make it a tensor: torch.as_tensor(begin)")
    if begin is not None and tuple(begin.shape) != (samples, *problem.operator.image_shape):
        raise BadInput(f"begin is {tuple(begin.shape)}, expected {(samples, *problem.operator.image_shape)}")
    if isinstance(denoise, Latent):
        return _restore_latent(
            problem, denoise, solver, batch, begin, steps=steps, sigmas=sigmas, samples=samples, seed=seed,
            progress=progress, start=start, rng=rng,
        )  # fmt: skip
    units = units_of(denoise)
    if units is not None:
        return _restore_in(
            units, problem, denoise, solver, begin, progress,
            steps=steps, sigmas=sigmas, samples=samples, seed=seed, batch=batch, start=start, rng=rng,
        )  # fmt: skip
    solver.check(problem)
    if samples > 1:
        solver.check_draws(problem)
    levels = list(sigmas) if sigmas is not None else solver.schedule(problem, steps)
    falls = all(a > b for a, b in zip(levels, levels[1:]))  # False for NaN too
    if len(levels) < 2 or levels[-1] != 0 or not falls or math.isinf(levels[0]):
        raise BadInput(f"sigmas must fall strictly and end in 0, got {levels[:3]} ... {levels[-2:]}")
    if start is not None:
        levels = _started(levels, start, problem)
    pixels = int(np.prod(problem.operator.image_shape[1:]))
    batch = batch or max(1, 2**20 // pixels)
    counted, began, done = Counted(checked(denoise, type(solver).__name__)), time.perf_counter(), []
    total = solver.calls(levels) * -(-samples // batch)
    for first in range(0, samples, batch):
        count = min(batch, samples - first)
        part = replace(problem, y=problem.y.expand(count, *problem.y.shape[1:]))
        drawn = (rng or streams)(seed, first, count)
        at = () if begin is None else (begin[first : first + count].to(part.y),)
        x = solver.start(part, levels[0], drawn, *at)
        for step in solver(part, counted, levels, x, drawn):
            x = step.x
            if not math.isfinite(float(x.sum())):  # one pass; infinities of both signs sum to NaN
                hint = "lower its step or scale, or take more steps"
                raise BadInput(f"{type(solver).__name__} diverged at sigma {step.sigma:.3g} (not a number); {hint}")
            if progress is not None:
                progress(counted.calls, total, step)
        done.append(x)
    settings: dict[str, Any] = {"solver": type(solver).__name__, **solver.settings()}
    settings |= {"sigmas": levels, "samples": samples, "seed": seed}
    return Restoration(torch.cat(done), counted.calls // -(-samples // batch), time.perf_counter() - began, settings)
