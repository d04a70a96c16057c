"""One deblurring from file to file, with a kernel that may be off, or unknown."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from restorekit.blind.boundary import boundary_of, unexplained
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
from restorekit.noise.level import estimate_sigma
from restorekit.operators import FreeBlur, Operator, blur
from restorekit.operators.blur import Boundary
from restorekit.report.progress import bar
from restorekit.tasks.restore import Job
from restorekit.text import kernels

BOUNDARIES = ("auto", "free", "reflect", "circular")
SEEN = 24.0  # gain of ln p below which no blur is seen at all
LEAST = 64  # pixels a side, of a picture whose spectrum says something
SHOWN = 240  # pixels, the side of a kernel in the picture of it
SEEN_SIDE = 512  # pixels, of the part of a picture that says whether its light was blurred or its values
OVEREXPOSED = 1e-3  # share of values at white from which on that is not asked
LIKELIER = 1.05  # misfit of the light over that of the values, between files of either kind
SIMULATED = (
    "the kernel fits the values of the file better than the light: the blur seems to have been simulated in them; "
    "try --transfer linear"
)


@dataclass(frozen=True, kw_only=True)
class Deblurring(Job):
    kernel: str
    kernel_error: str
    boundary: str

    @property
    def operation(self) -> str:
        return "blur"

    @property
    def _valid(self) -> np.ndarray | None:
        """By the file alone: the noise is needed to say what the operator is."""
        return None if self.picture.empty is None else ~self.picture.empty.where[None]

    def _refuse_empty(self, option: str) -> None:
        """The spectrum and the draws of a kernel want pixels everywhere."""
        if self.picture.empty is not None:
            raise BadInput(
                f"{option} looks at all of the picture, and {self.picture.empty.where.mean():.1%} of {self.source.name} is no "
                "data; do that on a part without, and give its OUT_kernel.npy here by --kernel"
            )
        if self.impulses is not None:
            raise BadInput(
                f"{option} looks at all of the picture, and {self.impulses.mean():.1%} of the values of {self.source.name} are "
                "impulses; take them out first (restorekit denoise), or give the kernel and leave this out"
            )

    @cached_property
    def correction(self) -> KernelCorrection | None:
        if self.kernel_error == "none":
            return None
        if self.kernel_error == "auto":
            return KernelCorrection(seed=self.seed)
        try:
            error = float(self.kernel_error)
        except ValueError:
            raise BadInput(
                f"--kernel-error {self.kernel_error!r} is not understood; give auto, none, or a share up to 1, as 0.1"
            ) from None
        if not 0 < error <= 1:
            raise BadInput(
                f"--kernel-error {self.kernel_error} must be above 0, and at 1 at most; a right kernel is none"
            )
        return KernelCorrection(error, seed=self.seed)

    @cached_property
    def level(self) -> float:
        """sigma_y, a low value of it where it varies."""
        y = torch.from_numpy(self.picture.pixels)[None]
        return Problem(y, FreeBlur(self._shape, torch.ones(1, 1)), self.law).noise_level()

    @property
    def _shape(self) -> tuple[int, int, int]:
        c, h, w = self.picture.pixels.shape
        return c, h, w

    @property
    def estimated(self) -> bool:
        return self.kernel.lower() == "estimate"

    @cached_property
    def given(self) -> Tensor:
        """(h, w) as the option says, or as the picture does."""
        if not self.estimated:
            return kernels.kernel(self.kernel)
        return torch.from_numpy(self.estimate.kernel).float()

    @cached_property
    def estimate(self) -> Estimate:
        self._refuse_empty("--kernel estimate")
        found = Families()(self.picture.pixels.astype(np.float64), self.level)
        if found.gain < SEEN:
            raise BadInput(
                f"{self.source}: no straight motion, defocus or Gaussian blur is seen in it; give its kernel, --kernel k.png"
            )
        print(f"kernel: {found.text}, the likeliest of straight motion, defocus and Gaussian blur", file=sys.stderr)
        return found

    def _doubts(self) -> list[str]:
        """Whether the spectrum says that a kernel, taken as right, is not: that costs more than a restoration gains."""
        kernel, law = self.given.double().numpy(), self.law
        plain = isinstance(law, Gaussian) and self.picture.empty is None and min(self._shape[1:]) >= LEAST
        plain = plain and self.impulses is None
        if self.correction is not None or self.estimated or not plain or kernel.size == 1:
            return []
        if self.response.coded and self._simulated(kernel):
            return [SIMULATED]
        found = Stretch(gate_round=Stretch.gate)(self.picture.pixels.astype(np.float64), kernel, self.level)
        if not found.theta.any():
            return []
        return [f"the kernel seems to be off ({_said(Kernel(kernel, found).record())}); try --kernel-error auto"]

    def _simulated(self, kernel: np.ndarray) -> bool:
        """Whether the kernel explains the values of the file better than the light, away from values at white."""
        reach = (1, *(2 * n + 1 for n in kernel.shape))
        near = np.asarray(ndimage.maximum_filter(self.clipped[1], reach), bool)
        top, left = (max(0, n - SEEN_SIDE) // 2 for n in near.shape[1:])
        part = np.s_[:, top : top + SEEN_SIDE, left : left + SEEN_SIDE]
        where = torch.from_numpy(~near[part])[None]
        overexposed = float(self.clipped[1].mean()) > OVEREXPOSED or float(where.double().mean()) < 0.25
        if overexposed or any(3 * k > n for k, n in zip(kernel.shape, where.shape[2:])):
            return False
        told, of_file = [], max(0.002, estimate_sigma(self.as_read.pixels, ~self.clipped[1]))
        of_light = max(
            0.002, estimate_sigma(self.picture.pixels, ~self.clipped[1]), self.response.in_light(of_file, self.picture)
        )
        for values, level in ((self.picture.pixels, of_light), (self.as_read.pixels, of_file)):
            told.append(unexplained(torch.from_numpy(values[part])[None], torch.from_numpy(kernel), level, where))
        return told[0] > LIKELIER * told[1]

    @cached_property
    def edges(self) -> Boundary:
        if self.boundary not in BOUNDARIES:
            raise BadInput(f"--boundary {self.boundary!r} is unknown; it is {', '.join(BOUNDARIES)}")
        if self.boundary != "auto":
            return self.boundary  # type: ignore[return-value]
        if self.picture.empty is not None:
            return "free"
        return boundary_of(torch.from_numpy(self.picture.pixels)[None], self.given, self.level)

    @cached_property
    def operator(self) -> Operator:
        """With the kernel that was given."""
        try:
            blur(self._shape, self.given)  # refuses kernels larger than the picture
            if self.edges == "free":
                return FreeBlur.of(self._shape, self.given)
            return blur(self._shape, self.given, self.edges)
        except BadInput:
            raise
        except ValueError as error:
            raise BadInput(f"blur: {error}") from None

    @cached_property
    def found(self) -> Kernel | None:
        if self.correction is None:
            return None
        if isinstance(self.denoiser, Latent) or units_of(self.denoiser) is not None:
            raise BadInput(f"--kernel-error needs a prior of pictures, and {self.prior} is none; take natural")
        self._refuse_empty("--kernel-error")
        correction = self.correction
        with bar("kernel") as show:
            return correction(self.plain, self.denoiser, lambda calls: show(calls, correction.calls))

    @cached_property
    def problem(self) -> Problem:
        found = self.found
        plain = with_kernel(self.plain, found.kernel) if found is not None and found.changed else self.plain
        return self.censored(plain)

    @property
    def asides(self) -> list[Path]:
        return [self._beside("kernel", ".npy"), self._beside("kernel", ".png")]

    @property
    def outputs(self) -> list[Path]:
        """Beside OUT, where a kernel is looked for."""
        return self.asides if self.correction is not None or self.estimated else []

    def _write_more(self) -> tuple[list[Path], dict[str, Any]]:
        kernel: dict[str, Any] = {"given": self.kernel, "error": self.kernel_error}
        if (file := kernel_file(self.kernel)) is not None:
            kernel["sha256"] = sha256(file)
        if self.estimated:
            kernel["estimate"] = {"text": self.estimate.text, "gain": round(self.estimate.gain, 1)}
        if self.found is not None:
            kernel["found"] = self.found.record()
            print(f"kernel: {_said(kernel['found'])}", file=sys.stderr)
        record = {"boundary": self.edges, "kernel": kernel}
        if not self.outputs:
            return [], record
        found = self.found
        best = self.given.double().numpy() if found is None or not found.changed else trimmed(found.kernel)
        file, picture = self.outputs
        write_picture(file, best[None].astype(np.float32), Picture(best[None].astype(np.float32)))
        shown = _shown(*([] if found is None else [self.given.double().numpy()]), best)
        write_picture(picture, shown, Picture(shown, "uint8", (0.0, 255.0)), "uint8")
        return self.outputs, record


def _said(record: dict[str, Any]) -> str:
    """What was found, for a person."""
    said = []
    if record["length"] != 1 or record["width"] != 1 or record["turn"] != 0:
        said.append(
            f"{record['length']:.3g} times as long, {record['width']:.3g} as wide, turned by {record['turn']:.2g} degrees"
        )
    if record.get("taps", {}).get("moved", 0) > 0.005:
        said.append(f"single taps moved, by {record['taps']['moved']:.1%} of the kernel")
    return "; ".join(said) or "nothing says that it is wrong"


def _shown(*kernels: np.ndarray) -> np.ndarray:
    """(1, h, w): kernels side by side, each as large as the largest, enlarged."""
    sides = np.max([k.shape for k in kernels], 0)
    times = max(1, SHOWN // int(max(sides)))
    panels = []
    for k in kernels:
        before = (sides // 2) - np.array(k.shape) // 2
        grown = np.pad(k / k.max(), [(b, s - n - b) for b, s, n in zip(before, sides, k.shape)])
        panels.append(np.pad(np.kron(grown, np.ones((times, times))), 2, constant_values=0.5))
    return np.concatenate(panels, 1)[None].astype(np.float32)
