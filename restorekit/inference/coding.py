"""A prior knows pictures as they are coded; where light was measured, a solver works in coded values all the same.

To the outside, such a run is one of light: problem, first estimate, samples and steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.inference.solver import Step
from restorekit.operators.coded import LightCurve, decoded_by, encoded_by


@dataclass(frozen=True)
class Coding:
    """The units of a solver that works in values of a file, of pictures whose light is asked for."""

    curve: LightCurve
    gain = 1.0  # levels are those of coded values

    def of(self, x: Tensor) -> Tensor:
        """Return light x (..., C, H, W) in coded values."""
        return encoded_by(self.curve, x)

    def back(self, u: Tensor) -> Tensor:
        """Return coded values u (..., C, H, W) as light."""
        return decoded_by(self.curve, u)

    def step(self, step: Step) -> Step:
        """Return a step of a solver in light; its level stays that of coded values."""
        return Step(self.back(step.x), self.back(step.x0), step.sigma)

    def record(self) -> dict[str, str]:
        """Return what the record of a run says of these units."""
        return {"coded": self.curve.name}


@dataclass(frozen=True, eq=False)
class CodedPictures:
    """A denoiser of coded pictures, for problems whose operator measures light: y = A(decode(x)), solved for x.

    denoise: of pictures (B, C, H, W) coded by `curve`. The call is that of `denoise`. Give it to `restore` in the place of
    the prior, with a problem whose y, and whose pictures, are light; the samples are light as well.
    """

    denoise: Denoiser
    curve: LightCurve

    @property
    def units(self) -> Coding:
        """Return the units that a solver works in."""
        return Coding(self.curve)

    def __call__(self, x: Tensor, sigma: float | torch.Tensor, /) -> Tensor:
        return self.denoise(x, sigma)
