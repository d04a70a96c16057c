"""Denoising: the noise as it is found, and how much of it is taken out."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from restorekit.errors import BadInput
from restorekit.files.raw import is_raw
from restorekit.inference.restoration import Restoration
from restorekit.notes import Notes
from restorekit.operators import Operator
from restorekit.tasks.inputs import Source
from restorekit.tasks.measurement import Progress
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

    def __call__(
        self,
        source: Source,
        *,
        out: str | os.PathLike[str] | None = None,
        notes: Notes | None = None,
        progress: Progress | None = None,
        record: bool = False,
    ) -> Restoration:
        raw = self.op == "denoise" and isinstance(source, str | os.PathLike) and is_raw(Path(source))
        if raw:  # noise is taken out and the colours filled in as one
            return replace(self, op=MOSAIC)(source, out=out, notes=notes, progress=progress, record=record)
        if self.operation == MOSAIC and self.strength != 1:
            raise BadInput(
                "`strength` leaves noise in a picture, and a mosaic is none; leave it out", argument="strength"
            )
        result = super().__call__(source, out=out, notes=notes, progress=progress, record=record)
        if self.strength == 1 or result.source is None:
            return result
        measured = result.source.measured  # type: ignore[attr-defined]
        y = measured.coded(torch.from_numpy(measured.read.picture.pixels)).to(result.samples)
        samples = torch.lerp(y[None], result.samples, self.strength)
        if measured.forward.impulses is not None:
            samples = torch.where(torch.from_numpy(measured.forward.impulses).to(y.device), result.samples, samples)
        return replace(result, samples=samples)

    def record(self) -> dict[str, Any]:
        return super().record() | {"strength": self.strength}

    def check_settings(self) -> None:
        super().check_settings()
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
