"""`restore` and `restore_each` as Python calls them: the loop of `inference.driver`, with a bar for who waits."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from restorekit.inference import driver
from restorekit.inference.denoiser import Denoiser, Latent
from restorekit.inference.problem import Problem
from restorekit.inference.restoration import Restoration
from restorekit.inference.rng import Streams
from restorekit.inference.solver import Solver
from restorekit.report.progress import shown


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
    progress: driver.Progress | bool | None = None,
    begin: Tensor | None = None,
    start: float | None = None,
    rng: Streams | None = None,
    record: bool = False,
) -> Restoration:
    """Restore one measurement, `problem.y` of shape (1, ...), and return a `Restoration` of `samples` pictures (N, C, H, W).

    steps: noise levels of the solver's own schedule; or give `sigmas`, falling and ending in 0. samples: independent
    draws (optimisers give one). batch: draws at a time (default: as many as fit 2^20 pixels); it changes memory, not
    the result. With a prior of latents the solver works on latents, of which A(decode(z)) was measured, so that it has to
    be one that takes operators that are not linear: the steps that `progress` sees are latents, the samples are pictures.
    begin: a picture per sample (samples, C, H, W) to start from at the first level, instead of the solver's own estimate.
    start: the noise level to begin at, instead of the first of the schedule, whose levels above it are left out, for any solver
    (Chung, Sim, Ye, "Come-Closer-Diffuse-Faster", CVPR 2022): the picture to start from, noised so far. The lower,
    the fewer calls are made, and the more of that picture stays.
    rng: where the noise comes from, `streams` if not told.
    progress: None shows a bar on a terminal and in a notebook and nothing elsewhere, True always, False never; a function is called
    with (calls done, calls in all, `Step`) in its place.
    record: keep the step after every network call in `Restoration.trajectory`, on the CPU: the state and the clean estimate of
    every sample, so that 8 samples of 3x256x256 in float32 take 12.6 MB a step, 630 MB in 50; of a prior of latents, latents.
    With a prior that knows other numbers than pictures on [0, 1] the solver, `sigmas` and `start`, work in its units (`units.py`).

    Raises `Unsupported` where solver and problem do not fit or a denoiser has no gradient that is needed; `BadInput` where what is
    given is no solver, no denoiser or no number, where shapes or dtypes do not fit, also of what the denoiser gives, and where the
    run diverges.
    """
    with shown(progress, type(solver).__name__) as told:
        return driver.restore(
            problem, denoise, solver, steps=steps, sigmas=sigmas, samples=samples, seed=seed, batch=batch, progress=told,
            begin=begin, start=start, rng=rng, record=record,
        )  # fmt: skip


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
    progress: driver.Progress | bool | None = None,
    begin: Tensor | None = None,
    start: float | None = None,
    rng: Streams | None = None,
    record: bool = False,
) -> list[Restoration]:
    """Restore a batch of measurements, `problem.y` of shape (B, ...), and return a `Restoration` for each, in their order.

    The one of measurement b is what `restore` gives of `problem.split()[b]` with the seed `seed` + b, to rounding, so that noise
    is independent between measurements and each can be made again alone. Under Gaussian noise and a mask that are the same for all,
    as many pictures go through the network together as `batch` says, of whichever measurement; in all other cases, where
    levels and settings of solvers depend on y, one measurement follows the other.
    begin: a picture per measurement (B, C, H, W), for all its samples. `seconds` is the share of each, and `nfe` counts the calls
    for all that went together, of which a solver that stops by itself, such as sitcom, makes as many as the longest takes. All else,
    and what is raised, as of `restore`.
    """
    with shown(progress, type(solver).__name__) as told:
        return driver.restore_each(
            problem, denoise, solver, steps=steps, sigmas=sigmas, samples=samples, seed=seed, batch=batch, progress=told,
            begin=begin, start=start, rng=rng, record=record,
        )  # fmt: skip
