"""Pictures from JPEG files: what blocks, steps of colour and halos hide, as far as the bins of the file allow it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from restorekit.inference.problem import Problem
from restorekit.inference.restoration import Restoration
from restorekit.inference.solver import Solver
from restorekit.notes import Notes
from restorekit.operators import Operator
from restorekit.tasks.filling import Filling
from restorekit.tasks.jpeg_forward import JPEGForward
from restorekit.tasks.measured import Measured
from restorekit.tasks.measurement import Progress
from restorekit.tasks.observation import Observation
from restorekit.text.jpeg_last import NAME

CLEAN = "gaussian:0.001"  # noise of a picture before it was a JPEG, where nobody gave it


@dataclass(frozen=True, kw_only=True)
class JPEGRestoring(Filling):
    """Find the picture that was written as a JPEG, whose coefficients lie in the bins of the file.

    noise: of the picture before; None: none to speak of, and grain stays. op: "jpeg", or what came before, as "blur:kernel=k.png|jpeg".
    """

    op: str | Operator = NAME

    def _assumed(self, reading: Observation) -> str:
        return CLEAN

    def _untouched(self, measured: Measured) -> str | None:
        forward = measured.forward
        fine = isinstance(forward, JPEGForward) and forward.untouched and self.samples == 1 and self.noise is None
        return (
            "jpeg: there is nothing to gain, the tables of the file say that it lost no more than rounding"
            if fine
            else None
        )

    def _run(
        self, measured: Measured, problem: Problem, solver: Solver, steps: int | None, notes: Notes,
        progress: Progress | None, record: bool,
    ) -> Restoration:  # fmt: skip
        if (why := self._untouched(measured)) is None:
            return super()._run(measured, problem, solver, steps, notes, progress, record)
        notes(f"{why}; the result has the values of {measured.read.input.name}")
        settings: dict[str, Any] = {"steps": steps, "samples": 1, "seed": self.seed, "solver": "none", "sigmas": [0.0]}
        pixels = torch.from_numpy(measured.read.picture.pixels)[None].to(problem.y)
        return Restoration(pixels if self.preview is None else problem.estimate(), 0, 0.0, settings)

    def _said_of_noise(self, name: str) -> str:
        return " of the picture before it was a JPEG, none to speak of: grain stays; `noise=auto` has it measured and taken out"

    @property
    def _own(self) -> str:
        return ""
