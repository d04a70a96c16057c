"""Deblurring with a kernel that is known, may be off, or is to be found."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from restorekit.blind.boundary import boundary_of
from restorekit.blind.correction import Kernel, KernelCorrection, trimmed, with_kernel
from restorekit.blind.families import Estimate, Families
from restorekit.blind.stretch import Stretch
from restorekit.errors import BadInput
from restorekit.files.kernel_files import kernel_file
from restorekit.files.picture import Picture, sha256, write_picture
from restorekit.inference.denoiser import Latent
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.units import units_of
from restorekit.notes import Notes
from restorekit.operators import FreeBlur, Operator, blur
from restorekit.operators.base import Shape
from restorekit.operators.blur import Boundary
from restorekit.tasks.blurred_values import BY_THE_FIT, simulated
from restorekit.tasks.measurement import Forward, Measured, Progress
from restorekit.tasks.observation import Observation
from restorekit.tasks.restore import Restoring
from restorekit.tasks.saving import beside
from restorekit.text import kernels
from restorekit.text.names import files_of

BOUNDARIES = ("auto", "free", "reflect", "circular")
SEEN = 24.0  # gain of ln p below which no blur is seen at all
LEAST = 64  # pixels a side, of a picture whose spectrum says something
SHOWN = 240  # pixels, the side of a kernel in the picture of it


@dataclass(frozen=True, eq=False)
class BlurForward(Forward):
    """A blur, with the kernel that was given or estimated, and the one that was found."""

    given: Tensor = field(kw_only=True)  # (h, w)
    edges: Boundary = field(kw_only=True)
    level: float = field(kw_only=True)  # sigma_y, a low value of it where it varies
    estimate: Estimate | None = None
    corrected: Kernel | None = None
    seconds: float = 0.0  # that the estimate took


@dataclass(frozen=True, kw_only=True)
class Deblurring(Restoring):
    """Undo a blur.

    kernel: a file, a name as "motion:15:30", an array or a tensor (h, w), or "estimate": straight motion, defocus or Gaussian,
    from the picture; the measurement is a convolution with it. kernel_error: "none", "auto", or a share up to 1 by which it may
    be off. boundary: "free" (what lies beyond the frame is not known), "reflect", "circular", or "auto", as the edges say.
    """

    op: str | Operator = "blur"
    kernel: str | os.PathLike[str] | np.ndarray | Tensor
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
        return self.kernel_text.lower() == "estimate"

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
        return [*super().opened(), *files_of(self.op_text)]

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

    def _forward(self, reading: Observation, notes: Notes) -> Forward:
        """The noise first, by the file alone: it is needed to say what the operator is."""
        given = None if self.estimated else self._named()
        if given is not None and self._of_values(reading, given):
            reading = reading.in_values(BY_THE_FIT)
        noise, found = self._noise(reading, None if reading.empty is None else ~reading.empty[None], notes)
        whole = Forward(reading, FreeBlur(_shape(reading), torch.ones(1, 1)), noise, found)
        level = Problem(torch.from_numpy(reading.picture.pixels)[None], whole.operator, whole.law).noise_level()
        began, estimate = time.perf_counter(), self._estimate(whole, level, notes)
        if estimate is not None:
            given = torch.from_numpy(estimate.kernel).float()
        assert given is not None
        seconds = time.perf_counter() - began if estimate is not None else 0.0
        edges = self._edges(reading, given, level)
        if self.preview is not None:
            reading, found = reading.part(self.preview), self._found_in_part(found)
            edges = "free"  # what lies beyond the part is not known
        operator = _blur(_shape(reading), given, edges)
        return BlurForward(
            reading, operator, noise, found, given=given, edges=edges, level=level, estimate=estimate, seconds=seconds
        )

    def _of_values(self, reading: Observation, given: Tensor) -> bool:
        """Return True where the file was to say what was blurred, light or values, and says the latter."""
        response = reading.response
        asked = self.transfer == "auto" and response.coded and not response.recorded and given.numel() > 1
        return asked and simulated(reading, given.double().numpy(), response.curve)

    def _named(self) -> Tensor:
        """Return the kernel (h, w) of the setting, sum 1. Raises `BadInput` for what is none."""
        if isinstance(self.kernel, str | os.PathLike):
            return kernels.kernel(self.kernel_text)
        values = torch.as_tensor(self.kernel, dtype=torch.float64).detach().cpu()
        if values.ndim != 2 or not values.numel() or not bool(torch.isfinite(values).all()) or float(values.min()) < 0:
            raise BadInput("a kernel is an array (h, w) of finite numbers of at least 0", argument="kernel")
        if float(values.sum()) <= 0:
            raise BadInput("the kernel is 0 everywhere; give one of sum 1", argument="kernel")
        return (values / values.sum()).float()

    def _estimate(self, forward: Forward, level: float, notes: Notes) -> Estimate | None:
        if not self.estimated:
            return None
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
        forward, read = _blur_of(measured), measured.read
        kernel, size = forward.given.double().numpy(), read.picture.pixels.shape[1:]
        plain = isinstance(forward.law, Gaussian) and read.empty is None and min(size) >= LEAST
        plain = plain and forward.impulses is None
        if self.correction is not None or self.estimated or not plain or kernel.size == 1:
            return
        found = Stretch(gate_round=Stretch.gate)(read.picture.pixels.astype(np.float64), kernel, forward.level)
        if found.theta.any():
            said = _said(Kernel(kernel, found).record())
            notes(f"the kernel seems to be off ({said}); try `kernel_error=auto`")

    def _corrected(self, measured: Measured, notes: Notes, progress: Progress | None) -> tuple[Measured, float]:
        forward, correction = _blur_of(measured), self.correction
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
        notes(f"kernel: {_said(found.record())}")
        plain = with_kernel(measured.plain, found.kernel) if found.changed else measured.plain
        measured = replace(measured, plain=plain, forward=replace(forward, corrected=found))
        return measured, forward.seconds + time.perf_counter() - began

    def write_more(self, target: Path, measured: Measured) -> tuple[list[Path], dict[str, Any]]:
        forward = _blur_of(measured)
        found, estimate = forward.corrected, forward.estimate
        kernel: dict[str, Any] = {"given": self.kernel_text, "error": str(self.kernel_error)}
        if (file := kernel_file(self.kernel_text)) is not None:
            kernel["sha256"] = sha256(file)
        if estimate is not None:
            kernel["estimate"] = {"text": estimate.text, "gain": round(estimate.gain, 1)}
        if found is not None:
            kernel["found"] = found.record()
        record = {"boundary": forward.edges, "kernel": kernel}
        if not self.outputs(target):
            return [], record
        given = forward.given.double().numpy()
        best = given if found is None or not found.changed else trimmed(found.kernel)
        file, picture = self.outputs(target)
        write_picture(file, best[None].astype(np.float32), Picture(best[None].astype(np.float32)))
        shown = _shown(*([] if found is None else [given]), best)
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


def _said(record: dict[str, Any]) -> str:
    """Return what was found, for a person."""
    said = []
    if record["length"] != 1 or record["width"] != 1 or record["turn"] != 0:
        said.append(
            f"{record['length']:.3g} times as long, {record['width']:.3g} as wide, turned by {record['turn']:.2g} degrees"
        )
    if record.get("taps", {}).get("moved", 0) > 0.005:
        said.append(f"single taps moved, by {record['taps']['moved']:.1%} of the kernel")
    return "; ".join(said) or "nothing says that it is wrong"


def _shown(*kernels: np.ndarray) -> np.ndarray:
    """Return (1, h, w): kernels side by side, each as large as the largest, enlarged."""
    sides = np.max([k.shape for k in kernels], 0)
    times = max(1, SHOWN // int(max(sides)))
    panels = []
    for k in kernels:
        before = (sides // 2) - np.array(k.shape) // 2
        grown = np.pad(k / k.max(), [(b, s - n - b) for b, s, n in zip(before, sides, k.shape)])
        panels.append(np.pad(np.kron(grown, np.ones((times, times))), 2, constant_values=0.5))
    return np.concatenate(panels, 1)[None].astype(np.float32)
