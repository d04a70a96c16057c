"""Deblurring with a kernel that is known, may be off, or is to be found."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import scipy
import torch
from torch import Tensor

from restorekit.blind.boundary import boundary_of
from restorekit.blind.correction import Kernel, KernelCorrection, trimmed, with_kernel
from restorekit.blind.families import Estimate, Families
from restorekit.errors import BadInput
from restorekit.files.kernel_files import kernel_file
from restorekit.files.kernel_grid import kernel_grid_files, read_kernel_grid
from restorekit.files.picture import Picture, sha256, write_picture
from restorekit.inference.denoiser import Latent
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.units import units_of
from restorekit.notes import Notes
from restorekit.operators import FreeBlur, GridBlur, Operator, blur
from restorekit.operators.base import Shape
from restorekit.operators.blur import Boundary
from restorekit.tasks.blind_kernel import SEEN, BlindKernel, blind_kernel, light_tells_it, recorded_misfit, with_misfit
from restorekit.tasks.blurred_values import BY_THE_FIT, simulated
from restorekit.tasks.kernel_doubt import doubt_of, is_plain
from restorekit.tasks.kernel_shown import kernel_picture, kernel_text
from restorekit.tasks.measurement import Forward, Measured, Progress
from restorekit.tasks.observation import Observation
from restorekit.tasks.restore import Restoring
from restorekit.tasks.saving import beside
from restorekit.text import kernels
from restorekit.text.names import files_of
from restorekit.text.spelling import noise_text

BOUNDARIES = ("auto", "free", "reflect", "circular")
FEW = 0.01  # share of impulses that may be taken for what is around them while a kernel is searched for
SEEMS_OFF = "the kernel seems to be off"
LEAST = 64  # pixels a side, of a picture whose spectrum says something
QUIETEST = 1e-6  # deviation, white 1: of a law that says less the square is 0 before long


@dataclass(frozen=True, eq=False)
class BlurForward(Forward):
    """A blur, with the kernel that was given or estimated, and the one that was found."""

    given: Tensor = field(kw_only=True)  # (h, w)
    edges: Boundary = field(kw_only=True)
    level: float = field(kw_only=True)  # sigma_y, a low value of it where it varies
    estimate: Estimate | None = None
    blind: BlindKernel | None = None
    corrected: Kernel | None = None
    seconds: float = 0.0  # that the estimate took


@dataclass(frozen=True, kw_only=True)
class Deblurring(Restoring):
    """Undo a blur.

    kernel: "auto", of any form up to 45 pixels, from the picture; "estimate", straight motion, defocus or Gaussian, from the
    picture; a file, a name as "motion:15:30", an array or a tensor (h, w), or a folder of kernels named by row and column,
    between which the blur changes gradually; the measurement is a convolution with it. kernel_error: "none", "auto", or a share up to 1 by which it may
    be off. boundary: "free" (what lies beyond the frame is not known), "reflect", "circular", or "auto", as the edges say.
    """

    op: str | Operator = "blur"
    kernel: str | os.PathLike[str] | np.ndarray | Tensor = "auto"
    kernel_error: str | float = "none"
    boundary: str = "auto"

    @property
    def kernel_text(self) -> str:
        return os.fspath(self.kernel) if isinstance(self.kernel, str | os.PathLike) else "array"

    @property
    def op_text(self) -> str:
        return f"blur:kernel={self.kernel_text}"

    @property
    def _own(self) -> str:
        return "`kernel`, "

    @property
    def estimated(self) -> bool:
        """Return True where the kernel is to be found in the picture."""
        return kernels.is_searched(self.kernel)

    @property
    def varies(self) -> bool:
        return not self.estimated and isinstance(self.kernel, str | os.PathLike) and os.path.isdir(self.kernel)

    @property
    def correction(self) -> KernelCorrection | None:
        """Return how far the kernel is searched around; None where it is taken as right. Raises `BadInput` for no
        share."""
        if self.kernel_error == "none":
            return None
        if self.kernel_error == "auto":
            return KernelCorrection(seed=self.seed)
        try:
            error = float(self.kernel_error)
        except ValueError:
            raise BadInput(
                f"kernel error {self.kernel_error!r} is not understood; give `kernel_error=auto`, none, or a share up to 1, as 0.1",
                argument="kernel_error",
            ) from None
        if not 0 < error <= 1:
            raise BadInput(
                f"`kernel_error={error:g}` must be above 0, and at 1 at most; a right kernel is none",
                argument="kernel_error",
            )
        return KernelCorrection(error, seed=self.seed)

    def opened(self) -> list[Path]:
        grid = kernel_grid_files(self.kernel_text).values() if self.varies else files_of(self.op_text)
        return [*super().opened(), *grid]

    def outputs(self, target: Path) -> list[Path]:
        return self.asides(target) if self.correction is not None or self.estimated else []

    def asides(self, target: Path) -> list[Path]:
        return [beside(target, "kernel", ".npy"), beside(target, "kernel", ".png")]

    def check_settings(self) -> None:
        """Raise `BadInput` for settings that do not go together, or are out of bounds."""
        super().check_settings()
        _ = self.correction
        if self.boundary not in BOUNDARIES:
            raise BadInput(f"boundary {self.boundary!r} is unknown; it is {', '.join(BOUNDARIES)}", argument="boundary")
        if self.varies and (self.correction is not None or self.boundary not in ("auto", "free")):
            wrong = "kernel_error" if self.correction is not None else "boundary"
            raise BadInput(
                f"`{wrong}` is for one kernel, and {self.kernel_text} is a folder of them; leave it out", argument=wrong
            )

    def _forward(self, reading: Observation, notes: Notes) -> Forward:
        """Return the forward model; of a kernel that is searched for, in light or in the values of the file, as it fits."""
        if self.varies:
            return self._varying(reading, notes)
        if not self.estimated:
            given = self._named()
            fits = self._of_values(reading, given)
            return self._of_kernel(reading.in_values(BY_THE_FIT) if fits else reading, given, notes)
        heard = Notes()
        forward = self._of_kernel(reading, None, heard)
        if self._of_values(reading, forward.given):
            more = Notes()
            of_values = self._of_kernel(reading.in_values(BY_THE_FIT), None, more)
            light, blind = forward.blind, of_values.blind
            if light is None or blind is None or not light_tells_it(light, blind):
                if light is not None and blind is not None and light.found.gain > blind.found.gain and not blind.none:
                    of_values = replace(of_values, blind=replace(blind, light_tells_more=True))
                forward, heard = of_values, more
            elif not blind.none:
                forward = replace(forward, blind=replace(light, values_fit=True))
        for text in heard.texts:
            notes(text)
        return forward

    def _of_kernel(self, reading: Observation, given: Tensor | None, notes: Notes) -> BlurForward:
        """The noise first: it is needed to say what the operator is. Of a kernel that is to be found the file alone tells."""
        valid = None if reading.empty is None else ~reading.empty[None]
        blur = None if given is None else (given.double().numpy(), 1)
        noise, found = self._noise_after(blur, reading, valid, notes)
        whole = Forward(reading, FreeBlur(_shape(reading), torch.ones(1, 1)), noise, found)
        level = max(whole.noise_level, QUIETEST)
        searched = self.estimated and reading.empty is None
        if searched and is_plain(reading.picture.pixels.astype(np.float64), level):
            raise BadInput(
                f"the blur is not known: {reading.input.label} shows no texture, nothing but a gradient and noise; give its kernel, "
                "`kernel=k.png`",
                argument="kernel",
            )
        began, estimate, blind, misfit = time.perf_counter(), None, None, 0.0
        if self.kernel_text.lower() == "auto":
            blind = self._blind(whole, level, notes)
            misfit = blind.misfit
        elif self.estimated:
            estimate = self._estimate(whole, level, notes)
        elif (file := kernel_file(self.kernel_text)) is not None and (known := recorded_misfit(file)) is not None:
            name, misfit = known
            notes(f"kernel: found by an earlier run, and as far off as {name} says")
        if (own := blind or estimate) is not None and not (blind and blind.none):
            whole = self._noise_again(whole, own.kernel, valid, notes)
            noise, found = whole.noise, whole.found
        if misfit and isinstance(whole.law, Gaussian):
            noise = with_misfit(whole.law, misfit)
            notes(f"noise: {noise_text(noise)}, with what the error of the kernel does to the picture")
        if own is not None:
            given = torch.from_numpy(np.ascontiguousarray(own.kernel)).float()
        assert given is not None
        seconds = time.perf_counter() - began if self.estimated else 0.0
        edges = self._edges(reading, given, level)
        if self.preview is not None:
            reading, found = reading.part(self.preview), self._found_in_part(found)
            edges = "free"  # what lies beyond the part is not known
        operator = _blur(_shape(reading), given, edges)
        return BlurForward(
            reading, operator, noise, found, given=given, edges=edges, level=level, estimate=estimate, blind=blind, seconds=seconds
        )  # fmt: skip

    def _noise_again(self, whole: Forward, kernel: np.ndarray, valid: np.ndarray | None, notes: Notes) -> Forward:
        """Return the same with the noise where a kernel that was found takes the picture out, if that is more: a wrong one leaves some of it."""
        if self.noise != "auto":
            return whole
        noise, found = self._noise_after((kernel, 1), whole.read, valid, Notes())
        again = replace(whole, noise=noise, found=found)
        if again.noise_level <= whole.noise_level:
            return whole
        notes(f"noise: {noise_text(noise)} where the kernel that was found takes the picture out, more than before")
        return again

    def _varying(self, reading: Observation, notes: Notes) -> Forward:
        """Return the forward model of a folder of kernels; nothing is asked of a kernel there."""
        grid = torch.from_numpy(read_kernel_grid(self.kernel_text))
        (rows, columns, h, w), shape = grid.shape, _shape(reading)
        if h > shape[1] or w > shape[2]:
            raise BadInput(
                f"the kernels of {self.kernel_text} are {h}x{w}, larger than the picture; crop them", argument="kernel"
            )
        noise, found = self._noise(reading, None if reading.empty is None else ~reading.empty[None], notes)
        notes(f"kernel: {rows}x{columns} of {h}x{w} pixels, interpolated between the middles of as many equal parts")
        return Forward(reading, GridBlur.of(shape, grid), noise, found)

    def _blind(self, forward: Forward, level: float, notes: Notes) -> BlindKernel:
        read, impulses = forward.read, forward.impulses
        if impulses is not None:
            if impulses.mean() > FEW:
                _refuse_empty("kernel=auto", forward)
            around = scipy.ndimage.median_filter(read.picture.pixels, (1, 3, 3))
            read = read.with_values(np.where(impulses, around, read.picture.pixels))
        found = blind_kernel(read, level)
        notes(f"kernel: {found.text}")
        if not found.none:
            notes("place: nobody can tell where the scene lay before the shake, so the result may lie a few pixels off")
        return found

    def _of_values(self, reading: Observation, given: Tensor) -> bool:
        """Return True where the file was to say what was blurred, light or values, and says the latter."""
        response = reading.response
        asked = self.transfer == "auto" and response.coded and not response.recorded and given.numel() > 1
        return asked and simulated(reading, given.double().numpy(), response.curve)

    def _named(self) -> Tensor:
        """Return the kernel (h, w) of the setting, sum 1. Raises `BadInput` for what is none."""
        if isinstance(self.kernel, str | os.PathLike):
            file = kernel_file(self.kernel_text)
            if file is not None and file.suffix == ".png" and recorded_misfit(file) is not None:
                file = file.with_suffix(".npy")  # OUT_kernel.png is an enlarged drawing of it
                return kernels.kernel(os.fspath(file) if file.is_file() else self.kernel_text)
            return kernels.kernel(self.kernel_text)
        values = torch.as_tensor(self.kernel, dtype=torch.float64).detach().cpu()
        if values.ndim != 2 or not values.numel() or not bool(torch.isfinite(values).all()) or float(values.min()) < 0:
            raise BadInput("a kernel is an array (h, w) of finite numbers of at least 0", argument="kernel")
        if float(values.sum()) <= 0:
            raise BadInput("the kernel is 0 everywhere; give one of sum 1", argument="kernel")
        return (values / values.sum()).float()

    def _estimate(self, forward: Forward, level: float, notes: Notes) -> Estimate:
        _refuse_empty("kernel=estimate", forward)
        found = Families()(forward.read.picture.pixels.astype(np.float64), level)
        if found.gain < SEEN:
            raise BadInput(
                f"{forward.read.input.label}: no straight motion, defocus or Gaussian blur is seen in it; give its kernel, "
                "`kernel=k.png`",
                argument="kernel",
            )
        notes(f"kernel: {found.text}, the likeliest of straight motion, defocus and Gaussian blur")
        return found

    def _edges(self, reading: Observation, given: Tensor, level: float) -> Boundary:
        if self.boundary != "auto":
            return cast(Boundary, self.boundary)
        if reading.empty is not None:
            return "free"
        return boundary_of(torch.from_numpy(reading.picture.pixels)[None], given, level)

    def _doubts(self, measured: Measured, notes: Notes) -> None:
        """Note where the spectrum says that a kernel, taken as right, is not: that costs more than a restoration
        gains."""
        if self.varies:
            return
        forward, read = _blur_of(measured), measured.read
        kernel, size = forward.given.double().numpy(), read.picture.pixels.shape[1:]
        plain = isinstance(forward.law, Gaussian) and read.empty is None and min(size) >= LEAST
        plain = plain and forward.impulses is None
        # The error of one that a run has found counts as noise already.
        plain = plain and ((file := kernel_file(self.kernel_text)) is None or recorded_misfit(file) is None)
        if self.correction is not None or self.estimated or not plain or kernel.size == 1:
            return
        if (said := doubt_of(read.picture.pixels.astype(np.float64), kernel, forward.level)) is not None:
            notes(f"{SEEMS_OFF} ({said}")

    def _last(self, measured: Measured, notes: Notes) -> list[str]:
        """Return that the kernel is doubted: it spoils more than a restoration gains, and nothing in the result shows it."""
        blind = None if self.varies else _blur_of(measured).blind
        if blind is not None:
            return [] if blind.doubt is None else [blind.doubt]
        if not any(text.startswith(SEEMS_OFF) for text in notes.texts):
            return []
        return [
            "this result was made with a kernel that seems to be off, and may be worse than the input; see the note on it"
        ]

    def _untouched(self, measured: Measured) -> str | None:
        """Say that a picture in which no blur is seen stays as it is: to take noise out of it was not asked for."""
        blind = None if self.varies else _blur_of(measured).blind
        plain = self.solver == "auto" and self.samples == 1 and not self.coarse and self.correction is None
        return f"deblur: no blur is seen in {measured.read.input.name}" if plain and blind and blind.none else None

    def _corrected(self, measured: Measured, notes: Notes, progress: Progress | None) -> tuple[Measured, float]:
        correction = self.correction
        if self.varies:
            return measured, 0.0
        forward = _blur_of(measured)
        if correction is None:
            return measured, forward.seconds
        if isinstance(measured.denoiser, Latent) or units_of(measured.denoiser) is not None:
            raise BadInput(f"`kernel_error` needs a prior of pictures, and {self.prior_name} is none; take natural")
        _refuse_empty("kernel_error", forward)
        began = time.perf_counter()

        def told(calls: int) -> None:
            if progress is not None:
                progress("kernel", calls, correction.calls)

        found = correction(measured.plain, measured.denoiser, told)
        notes(f"kernel: {kernel_text(found.record())}")
        plain = with_kernel(measured.plain, found.kernel) if found.changed else measured.plain
        measured = replace(measured, plain=plain, forward=replace(forward, corrected=found))
        return measured, forward.seconds + time.perf_counter() - began

    def write_more(self, target: Path, measured: Measured) -> tuple[list[Path], dict[str, Any]]:
        if self.varies:
            names = {path.name: sha256(path) for path in kernel_grid_files(self.kernel_text).values()}
            return [], {"boundary": "free", "kernel": {"given": self.kernel_text, "files": names}}
        forward = _blur_of(measured)
        found, estimate = forward.corrected, forward.estimate
        kernel: dict[str, Any] = {"given": self.kernel_text, "error": str(self.kernel_error)}
        if (file := kernel_file(self.kernel_text)) is not None:
            kernel["sha256"] = sha256(file)
        if estimate is not None:
            kernel["estimate"] = {"text": estimate.text, "gain": round(estimate.gain, 1)}
        if forward.blind is not None:
            kernel["estimate"] = forward.blind.record()
        if found is not None:
            kernel["found"] = found.record()
        record: dict[str, Any] = {"boundary": forward.edges, "kernel": kernel}
        if not self.outputs(target):
            return [], record
        given = forward.given.double().numpy()
        best = given if found is None or not found.changed else trimmed(found.kernel)
        file, picture = self.outputs(target)
        if self.estimated or (found is not None and found.changed):
            record["operator"] = f"blur:kernel={file.name}"  # which another run takes as it is
        write_picture(file, best[None].astype(np.float32), Picture(best[None].astype(np.float32)))
        shown = kernel_picture(*([] if found is None else [given]), best)
        write_picture(picture, shown, Picture(shown, "uint8", (0.0, 255.0)), "uint8")
        return [file, picture], record


def _blur_of(measured: Measured) -> BlurForward:
    return cast(BlurForward, measured.forward)


def _shape(reading: Observation) -> Shape:
    return cast(Shape, reading.picture.pixels.shape)


def _blur(shape: Shape, kernel: Tensor, edges: Boundary) -> Operator:
    try:
        reflecting = blur(shape, kernel)  # refuses kernels larger than the picture
        if edges == "free":
            return FreeBlur.of(shape, kernel)
        return reflecting if edges == "reflect" else blur(shape, kernel, edges)
    except BadInput:
        raise
    except ValueError as error:
        raise BadInput(f"blur: {error}", argument="kernel") from None


def _refuse_empty(setting: str, forward: Forward) -> None:
    """The spectrum and the draws of a kernel want pixels everywhere."""
    name, empty, impulses = forward.read.input.name, forward.read.empty, forward.impulses
    if empty is not None:
        raise BadInput(
            f"`{setting}` looks at all of the picture, and {empty.mean():.1%} of {name} is no data; do that on a part "
            "without, and give its OUT_kernel.npy here, `kernel=OUT_kernel.npy`"
        )
    if impulses is not None:
        raise BadInput(
            f"`{setting}` looks at all of the picture, and {impulses.mean():.1%} of the values of {name} are impulses; take "
            "them out first (restorekit denoise), or give the kernel and leave this out"
        )
