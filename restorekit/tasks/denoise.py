"""Denoising: the noise as it is found, and how much of it is taken out."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.files.raw import is_raw
from restorekit.operators import Operator
from restorekit.tasks.inputs import Source
from restorekit.tasks.measurement import Measured
from restorekit.tasks.mosaics import MOSAIC
from restorekit.tasks.restore import Restoring


@dataclass(frozen=True, kw_only=True)
class NoiseRemoval(Restoring):
    """Take noise out. strength: the share of what was taken out that stays out, above 0 and at most 1.

    The noise is told to the prior as it is, and the answer is the same; of the difference to the input so much is
    applied, so that 0.7 leaves three tenths of the noise, as grain or against plastic surfaces. Impulses go altogether.
    """

    op: str | Operator = "denoise"
    strength: float = 1.0

    def _suited(self, source: Source) -> NoiseRemoval:
        """Of a raw file noise is taken out and the colours filled in as one."""
        if self.op == "denoise" and isinstance(source, str | os.PathLike) and is_raw(Path(source)):
            return replace(self, op=MOSAIC)
        return self

    def _finished(self, samples: Tensor, measured: Measured) -> Tensor:
        if self.strength == 1:
            return samples
        y = measured.coded(torch.from_numpy(measured.read.picture.pixels)).to(samples)
        mixed = torch.lerp(y[None], samples, self.strength)
        if measured.forward.impulses is None:
            return mixed
        return torch.where(torch.from_numpy(measured.forward.impulses).to(y.device), samples, mixed)

    def record(self) -> dict[str, Any]:
        return super().record() | {"strength": self.strength}

    def check_settings(self) -> None:
        super().check_settings()
        if self.operation == MOSAIC and self.strength != 1:
            raise BadInput(
                "`strength` leaves noise in a picture, and a mosaic is none; leave it out", argument="strength"
            )
        if not 0 < self.strength <= 1:
            raise BadInput(
                f"`strength={self.strength:g}` must be above 0 and at most 1, where all that was found is taken out; to take "
                "out more, give the noise, as `noise=gaussian:0.05`",
                argument="strength",
            )
        if self.strength != 1 and self.samples > 1:
            raise BadInput(
                "`strength` leaves noise in one answer; `samples` are draws of the picture without it: give one of them",
                argument="strength",
            )
