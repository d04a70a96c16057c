"""Filling missing pixels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from restorekit.notes import Notes
from restorekit.operators import Inpaint, Operator
from restorekit.operators.base import Shape
from restorekit.tasks.filling import Filling
from restorekit.tasks.inputs import Source, take_mask
from restorekit.tasks.measured import Measured
from restorekit.text.generated_masks import generated_mask
from restorekit.text.names import files_of


@dataclass(frozen=True, kw_only=True)
class Inpainting(Filling):
    """Fill missing pixels. mask: as large as the input, white = measured.

    Where nobody gave the noise, measured pixels stay as they are, in the estimate and in the files of pictures; samples vary there as
    far as the noise that is assumed lets them, which is the error bar of a measured value.
    """

    op: str | Operator = "inpaint"
    mask: Source

    @property
    def op_text(self) -> str:
        named = isinstance(self.mask, str | os.PathLike)
        return f"inpaint:mask={os.fspath(self.mask)}" if named else "inpaint"  # type: ignore[arg-type]

    def opened(self) -> list[Path]:
        return [*super().opened(), *files_of(self.op_text)]

    def _operator(self, measured: Shape) -> Operator:
        if isinstance(self.mask, str) and (made := generated_mask(self.mask, measured[1:])) is not None:
            return Inpaint(measured, made)
        return Inpaint(measured, torch.from_numpy(take_mask(self.mask, measured[1:])))

    def _kept(self, measured: Measured) -> Tensor | None:
        operator = measured.forward.operator
        if self.noise is not None or not isinstance(operator, Inpaint):
            return None
        return (operator.mask == 1).expand(operator.image_shape)

    def _doubts(self, measured: Measured, notes: Notes) -> None:
        if self.samples > 1 and self._kept(measured) is not None:
            notes(f"measured pixels are kept as they are; their deviation is that of {measured.forward.noise_text}")

    @property
    def _own(self) -> str:
        return "`mask`, "

    def _misses(self, misfit: float, notes: Notes) -> list[str]:
        texts = super()._misses(misfit, notes)
        if texts and self.noise is None:  # what was measured is in the result all the same
            notes(
                "the measured pixels, which are kept, have more noise than was assumed; `noise=auto` takes it out of them"
            )
            return []
        return texts
