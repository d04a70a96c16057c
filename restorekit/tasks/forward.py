"""The forward model of a measurement: the operator, the noise, and what was found of either."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.inference.likelihood import Likelihood
from restorekit.inference.problem import Problem
from restorekit.noise.level import Noise
from restorekit.notes import Notes
from restorekit.operators import Identity, Inpaint, Operator
from restorekit.tasks.observation import Observation
from restorekit.text.names import noise_of
from restorekit.text.spelling import noise_text


@dataclass(frozen=True, eq=False)
class Forward:
    """It says how the measurement came about: the operator, the noise, and what was found of either."""

    read: Observation
    operator: Operator
    noise: str | Likelihood  # as used
    found: Noise | None = None  # of `noise="auto"`

    @property
    def law(self) -> Likelihood:
        return self.noise if isinstance(self.noise, Likelihood) else noise_of(self.noise)

    @property
    def noise_text(self) -> str:
        """Return the law that is used, as text."""
        return noise_text(self.noise)

    @property
    def noise_level(self) -> float:
        """Return the deviation of the noise, a low value of it where it varies."""
        return Problem(torch.from_numpy(self.read.picture.pixels)[None], self.operator, self.law).noise_level()

    @property
    def impulses(self) -> np.ndarray | None:
        """Return (C, H, W): where values are impulses and no measurements; None where there are none, or the noise was given."""
        return None if self.found is None or not self.found.share else self.found.impulses

    def problem(self, place: torch.device, notes: Notes) -> Problem:
        """Return the measurement, values at the limits of the file taken as they are."""
        y, empty, operator = self._y(), self.read.empty, self.operator
        mask = None
        if empty is not None and empty.shape == y.shape[-2:]:
            notes(f"no data: {empty.mean():.1%} of {self.read.input.name}, left as they are")
            if not isinstance(operator, Inpaint):
                mask = torch.from_numpy(~empty)[None, None].to(place)
        if self.impulses is not None:
            told = torch.from_numpy(~self.impulses)
            if isinstance(operator, Identity):  # whose first estimate fills them
                operator = Inpaint(operator.image_shape, told.float())
            else:
                told = told[None].to(place)
                mask = told if mask is None else told & mask
        return Problem(y.to(place), operator.to(place), self.law, mask)

    def _y(self) -> Tensor:
        """Return y (1, ...) in the shape that the operator gives; files hold some measurements in another shape."""
        y, operator = torch.from_numpy(self.read.picture.pixels)[None], self.operator
        if operator.image_shape == y.shape[1:]:  # the usual case, without a needless application of A
            return y
        expected = operator(torch.zeros(1, *operator.image_shape)).shape
        if expected.numel() != y.numel():
            raise BadInput(
                f"{self.read.input.label} holds {y.numel()} values, the operator gives {expected.numel()}; check its settings"
            )
        return y.reshape(expected)
