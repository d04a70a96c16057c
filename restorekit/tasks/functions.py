"""The tasks as functions: an input and settings in, a result out that can be saved as the command saves it.

An input is a path, an array (H, W) or (H, W, C), a tensor (C, H, W), or a `Picture`: see `restorekit.tasks.inputs`. A tensor
(B, C, H, W) holds B measurements, and gives a list of B results: see `restorekit.tasks.each`. Settings are those of the command, and have its tuned defaults: `restorekit.tasks.defaults`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import numpy as np
from torch import Tensor

from restorekit.files.picture import PathLike
from restorekit.inference.likelihood import Likelihood
from restorekit.inference.restoration import Restoration
from restorekit.inference.solver import Solver
from restorekit.notes import Notes, RestorekitNote
from restorekit.operators import Operator
from restorekit.priors.prior import Prior
from restorekit.report.progress import watched
from restorekit.simulation.camera import Camera
from restorekit.solvers.samplers import Sampler
from restorekit.tasks.compare import Comparing, ComparisonResult
from restorekit.tasks.deblur import Deblurring
from restorekit.tasks.degrade import Degraded, Degrading
from restorekit.tasks.dejpeg import JPEGRestoring
from restorekit.tasks.denoise import NoiseRemoval
from restorekit.tasks.each import each_measurement
from restorekit.tasks.filling import Filling
from restorekit.tasks.inpaint import Inpainting
from restorekit.tasks.inputs import Source, Span
from restorekit.tasks.measurement import Measurement, Progress
from restorekit.tasks.observation import Box
from restorekit.tasks.restore import Restoring
from restorekit.tasks.sample import Sampling
from restorekit.tasks.sample_files import draw_samples
from restorekit.tasks.task_settings import refuse_unknown
from restorekit.tasks.upscale import FILTER, Upscaling, made_smaller

if TYPE_CHECKING:
    from typing_extensions import Unpack


class RestorationSettings(TypedDict, total=False):
    """RestorationSettings that all restorations share; `Measurement` and `Restoring` say what they mean, and their defaults."""

    noise: str | Likelihood | None
    solver: str | Solver
    prior: PathLike | Prior
    samples: int
    steps: int | None
    seed: int
    device: str
    tile: int | None
    precision: str
    flips: int
    range: Span | None
    transfer: str
    clipped: str
    preview: Box | None
    layout: str | None
    page: int | None
    level: float | None
    calibration: PathLike | None
    out: PathLike | None
    notes: Notes | None
    progress: Progress | bool | None
    record: bool


def run_task(task: Restoring, source: Source, run: dict[str, Any]) -> Restoration:
    """Call the task. Without `notes` in `run`, each note is raised as a `RestorekitNote` warning, those of saving too."""
    told = run["notes"]
    notes = Notes() if told is None else told
    with watched(run["progress"]) as progress:
        result = task(source, out=run["out"], notes=notes, progress=progress, record=bool(run["record"]))
    if told is not None:
        return result
    Notes(texts=list(result.notes)).warn(stacklevel=5)
    notes.heard = _warn
    return result


def _split(settings: RestorationSettings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (settings of the task, what its call takes). Raises BadInput for a name that is no setting."""
    refuse_unknown(settings, RestorationSettings.__annotations__, "a restoration")
    run = {name: settings.get(name) for name in ("out", "notes", "progress", "record")}
    return {name: value for name, value in settings.items() if name not in run}, run


def _warn(text: str) -> None:
    warnings.warn(text, RestorekitNote, stacklevel=5)  # the caller of `save`


Function = TypeVar("Function", bound=Callable[..., Any])


def listed(task: type[Restoring]) -> Callable[[Function], Function]:
    """Write out `**settings` in the signature that `help` shows, with the defaults of the task."""

    def given(function: Function) -> Function:
        defaults = {f.name: f.default for f in fields(task)} | {"record": False}
        own = [p for p in signature(function).parameters.values() if p.name != "settings"]
        shared = [
            Parameter(
                name,
                Parameter.KEYWORD_ONLY,
                default=defaults.get(name),
                annotation=getattr(kind, "__forward_arg__", kind),
            )
            for name, kind in RestorationSettings.__annotations__.items()
        ]
        function.__dict__["settings_class"] = task
        function.__signature__ = Signature([*own, *shared], return_annotation="Restoration")  # type: ignore[attr-defined]
        return function

    return given


@each_measurement
@listed(NoiseRemoval)
def denoise(source: Source, *, strength: float = 1.0, **settings: Unpack[RestorationSettings]) -> Restoration:
    """Remove noise; `noise` is measured unless it is given: its level, how it grows with brightness, and its grain.

    strength: the share of what was found that is taken out, above 0 and at most 1. Returns a `Restoration`, samples (N, C, H, W) on [0, 1], whose `save(path)` writes what the command writes. Raises
    `BadInput` with the way out.

        restorekit.denoise("noisy.png", noise="gaussian:0.1").save("clean.png")
    """
    own, run = _split(settings)
    return run_task(NoiseRemoval(strength=strength, **own), source, run)


@each_measurement
@listed(Inpainting)
def inpaint(source: Source, mask: Source, **settings: Unpack[RestorationSettings]) -> Restoration:
    """Fill missing pixels; `mask` is as large as the picture, white (1) = measured.

    Measured pixels stay as they are, unless `noise` is given, which is then taken out of them. Returns a `Restoration`.
    Raises `BadInput` with the way out.

        restorekit.inpaint(picture, mask, samples=4)
    """
    own, run = _split(settings)
    return run_task(Inpainting(mask=mask, **own), source, run)


@each_measurement
@listed(Deblurring)
def deblur(
    source: Source,
    kernel: PathLike | np.ndarray | Tensor = "auto",
    *,
    kernel_error: str | float = "none",
    boundary: str = "auto",
    **settings: Unpack[RestorationSettings],
) -> Restoration:
    """Undo a blur whose kernel is known, nearly known, or to be found.

    kernel: "auto", of any form up to 45 pixels, from the picture; "estimate", straight motion, defocus or Gaussian; a file,
    "gaussian:SIGMA", "motion:LENGTH:DEGREES", "disc:RADIUS", "uniform:SIZE", an array (h, w), or a folder of files named by row
    and column; the picture is a convolution with it, its centre at (h // 2, w // 2). kernel_error: "none", "auto", or a share up to 1.
    boundary: "auto", "free" (what lies beyond the frame is not known), "reflect", "circular". Returns a `Restoration`.
    Raises `BadInput` with the way out.

        restorekit.deblur("blurred.png").save("sharp.png")
        restorekit.deblur("blurred.tif", kernel="k.png", kernel_error="auto").save("sharp.tif")
    """
    own, run = _split(settings)
    return run_task(Deblurring(kernel=kernel, kernel_error=kernel_error, boundary=boundary, **own), source, run)


@listed(JPEGRestoring)
def dejpeg(source: PathLike, **settings: Unpack[RestorationSettings]) -> Restoration:
    """Find the picture that was written as the JPEG `source`: its coefficients lie in the bins that the file states.

    noise: of the picture before it was a JPEG; none is assumed, so that its grain stays. The bins are read by the extra `jpeg`; without it
    they are told from decoded pixels, up to quality 87. Returns a `Restoration` in the values of the file. Raises `BadInput` with the way
    out, for other kinds of files and arrays too.

        restorekit.dejpeg("photo.jpg").save("photo.png")
    """
    own, run = _split(settings)
    return run_task(JPEGRestoring(**own), source, run)


@each_measurement
@listed(Upscaling)
def upscale(
    source: Source,
    factor: float | None = None,
    *,
    filter: str = FILTER,
    like: str = "auto",
    kernel: PathLike | None = None,
    align: str = "centre",
    size: Sequence[int] | None = None,
    **settings: Unpack[RestorationSettings],
) -> Restoration:
    """Enlarge `factor` times, 2 by default, what a resizer made smaller: with antialiased bicubic, unless something else is said.

    filter: "bicubic", "lanczos", "bilinear", "box", or "area", the mean of blocks. like: the library that made it, "pillow",
    "torch", "torch-antialias", "opencv", "skimage" or "matlab"; "auto" is Pillow, and exact means for area. kernel: instead of a
    filter, the blur of which a pixel of each block was kept, as of `deblur`; align: the middle of the block, "centre", or its first
    pixel, "corner". size: (H, W) of the result, where it is not the factor times the input, or instead of the factor.

    Returns a `Restoration`. Raises `BadInput` with the way out.

        restorekit.upscale("small.png", 4, like="opencv").save("large.png")
    """
    own, run = _split(settings)
    op = made_smaller(factor, filter, like, kernel, align, size)
    return run_task(Upscaling(op=op, **own), source, run)


@each_measurement
@listed(Filling)
def colorize(source: Source, **settings: Unpack[RestorationSettings]) -> Restoration:
    """Find colours for a grey picture, whose luma stays what was measured.

    Returns a `Restoration` of three bands; several `samples` show how little grey tells of colours. Raises `BadInput`.
    """
    own, run = _split(settings)
    return run_task(Filling(op="grey", **own), source, run)


@each_measurement
def compare(
    source: Source,
    op: str | Operator,
    *,
    noise: str | Likelihood = "auto",
    solvers: Sequence[str | Solver] = (),
    steps: int | None = None,
    samples: int = 4,
    truth: Source | None = None,
    trajectory: int = 8,
    prior: PathLike | Prior = "natural",
    seed: int = 0,
    device: str = "auto",
    tile: int | None = None,
    precision: str = "auto",
    range: Span | None = None,
    transfer: str = "auto",
    clipped: str = "auto",
    preview: Box | None = None,
    layout: str | None = None,
    page: int | None = None,
    out: PathLike | None = None,
    notes: Notes | None = None,
    progress: Progress | bool | None = None,
) -> ComparisonResult:
    """Run several solvers on one measurement; `save("page.html")` writes them side by side.

    solvers: names with settings or solvers, a few that suit the task by default. trajectory: estimates on the way that are
    kept of each. A solver that cannot treat the problem is in the result with its reason. Raises `BadInput` where none can.
    """
    measurement = Measurement(
        op=op, noise=noise, prior=prior, seed=seed, device=device, tile=tile, precision=precision, range=range,
        transfer=transfer, clipped=clipped, preview=preview, layout=layout, page=page,
    )  # fmt: skip
    task = Comparing(measurement, tuple(solvers), steps, samples, truth, trajectory)
    told = Notes() if notes is None else notes
    with watched(progress) as shown:
        result = task(source, out=out, notes=told, progress=shown)
    if notes is None:
        told.warn(stacklevel=4)
    return result


def sample(
    prior: PathLike | Prior,
    n: int = 16,
    *,
    solver: str | Sampler = "dpm++",
    steps: int = 50,
    size: tuple[int, int] | None = None,
    bands: int | None = None,
    seed: int = 0,
    label: int | None = None,
    guidance: float | None = None,
    eta: float | None = None,
    relay: bool = True,
    batch: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    folder: PathLike | None = None,
    out: PathLike | None = None,
    notes: Notes | None = None,
    progress: Progress | bool | None = None,
) -> Restoration:
    """Draw `n` samples of a prior, without any measurement; `save(path)` writes a grid, and each sample in `folder`.

    `Sampling` says what the settings mean. Returns samples (n, C, H, W) in the domain of the prior. Raises `BadInput`.
    """
    task = Sampling(
        prior=prior, n=n, solver=solver, steps=steps, size=size, bands=bands, seed=seed, label=label, guidance=guidance,
        eta=eta, relay=relay, batch=batch, device=device, precision=precision,
    )  # fmt: skip
    told, place = Notes() if notes is None else notes, None if folder is None else Path(folder)
    with watched(progress) as shown:
        result = draw_samples(task, folder=place, out=out, notes=told, progress=shown)
    if notes is None:
        told.warn()
        told.heard = _warn
    return replace(result, notes=tuple(told.texts))


@each_measurement
def degrade(
    source: Source,
    op: str | Operator = "denoise",
    *,
    noise: str | Likelihood | None = None,
    correlated: str | None = None,
    seed: int = 0,
    dtype: str | None = None,
    range: Span | None = None,
    transfer: str | None = None,
    camera: str | Camera | None = None,
    clip_truth: bool = False,
    layout: str | None = None,
    page: int | None = None,
    out: PathLike | None = None,
    notes: Notes | None = None,
) -> Degraded:
    """Make a test measurement of a clean picture: `measurement` is what a task takes, `truth` what it is to find.

    `save(path)` writes both, and a record by which a restoration knows the curve. transfer: "linear", the default, takes the values as they are;
    "auto" blurs photographs in light, as the command does, and so do "srgb", "gamma:2.2" and "FILE.icc". noise: None adds
    gaussian:0.01, and says so.
    camera: "phone", "still" or "off" with settings, as "phone:jpeg=off,shutter=motion:15:30", or a `Camera`, photographs the picture in the place
    of `op` and `noise`, from its light by `transfer`, "auto" by default; clip_truth: cut its truth at black and white. Raises `BadInput` where the operator, the noise, the curve or the type do not fit.
    """
    task = Degrading(
        op=op, noise=noise, correlated=correlated, seed=seed, dtype=dtype, range=range, transfer=transfer, camera=camera,
        clip_truth=clip_truth, layout=layout, page=page,
    )  # fmt: skip
    told = Notes() if notes is None else notes
    made = task(source, out=out, notes=told)
    if notes is None:
        told.warn(stacklevel=4)
        told.heard = _warn
    return made
