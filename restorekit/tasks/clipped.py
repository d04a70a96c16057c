"""Values at black and white of a file may stand for any less or more: how a task takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.transfer import without_white
from restorekit.inference.censored import Censored
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.operators import Identity, Inpaint
from restorekit.tasks.observation import Observation

WAYS = ("censored", "measured", "missing")
CALIBRATED = "as calibrated"  # of several samples: white in light is next to not measured, all others are as measured
SAID = 5e-4  # share of the values from which on clipped ones are worth a note
Mask = NDArray[np.bool_]


def way_of(setting: str, assumed: bool, coded: bool) -> str:
    """Return one of WAYS by the setting `clipped`. auto: censored, but for noise that is `assumed` and values that are no
    light (`coded` says that they are decoded): there pictures were clipped before they were made smaller, if ever, and
    white is white.

    Raises BadInput for another setting.
    """
    if setting == "auto":
        return "measured" if assumed and not coded else "censored"
    if setting not in WAYS:
        raise BadInput(f"`clipped={setting}` is unknown; it is auto, {', '.join(WAYS)}", argument="clipped")
    return setting


@dataclass(frozen=True, eq=False)
class Clipped:
    """The values of a measurement at the limits of its file, and the problems that follow. way: one of WAYS.

    Of Gaussian noise alone, and where what was measured has the shape of the file; else every value is as measured.
    """

    read: Observation
    plain: Problem  # all values as measured
    way: str = "censored"

    @cached_property
    def limits(self) -> tuple[Mask, Mask]:
        """Return (black, white), (C, H, W): measured values at the limits."""
        low, high = self.read.clipped
        operator = self.plain.operator
        told = operator.mask.cpu().numpy() > 0 if isinstance(operator, Inpaint) else np.ones((1, 1, 1), bool)
        if self.plain.mask is not None and self.plain.mask.ndim == 4:
            told = told & (self.plain.mask[0].cpu().numpy() > 0)
        try:
            return low & told, high & told
        except ValueError:  # the operator gives another shape than the file has
            return low, high

    @property
    def any(self) -> bool:
        """Return True where there are such values, and the law of the noise can tell them from others."""
        plain = self.plain
        fits = isinstance(plain.likelihood, Gaussian) and plain.y.shape[1:] == self.limits[0].shape
        return self.way != "measured" and fits and bool(self.limits[0].any() or self.limits[1].any())

    @property
    def problem(self) -> Problem:
        """Return the problem to solve; the plain one, itself, where nothing is clipped."""
        return self.problems[0]

    @cached_property
    def problems(self) -> list[Problem]:
        """Return the problem to solve, and what to solve instead where a solver does not take that; the plain one last."""
        if not self.any:
            return [self.plain]
        low, high = self.limits
        if self.way == "missing":
            return [self._missing(low | high), self.plain]
        # In light much more than white is usual, and a value at white far off.
        instead = [without_white(self.plain, high)] if self.read.response.coded and high.any() else []
        law = [] if self.way == CALIBRATED else [replace(self.plain, likelihood=self._law())]
        return [*law, *instead, self.plain]

    def _missing(self, at: Mask) -> Problem:
        plain, operator = self.plain, self.plain.operator
        if not isinstance(operator, Identity):
            return without_white(plain, at)
        told = torch.from_numpy(~at).to(plain.y)  # whose first estimate fills them
        return replace(plain, operator=Inpaint(operator.image_shape, told))

    def _law(self) -> Censored:
        """A value at a limit was rounded to it as well: it stops half a step before."""
        as_read, curve, y = self.read.as_read, self.read.response.curve, self.plain.y
        low, high = self.limits
        half = 0.5 / (as_read.span[1] - as_read.span[0])
        black = np.where(low, as_read.pixels, np.inf).min((1, 2)) + half
        white = np.where(high, as_read.pixels, -np.inf).max((1, 2)) - half
        black, white = np.where(np.isinf(black), 0.0, black), np.where(np.isinf(white), 1.0, white)  # of no value
        stops = (torch.from_numpy(curve.decode(v[:, None, None])).to(y)[None] for v in (black, white))
        law = self.plain.likelihood
        assert isinstance(law, Gaussian)
        masks = (torch.from_numpy(v).to(y.device)[None] for v in (low, high))
        return Censored(law, *masks, *stops)

    def said(self) -> Iterator[str]:
        """Yield a line for a person, where enough values are clipped."""
        shares = [float(at.mean()) for at in self.limits]
        if not self.any or max(shares) < SAID:
            return
        said = [f"{s:.1%} at {name}" for s, name in zip(shares[::-1], ("white", "black")) if s >= SAID]
        how = "left out" if self.way == "missing" else "taken as that or beyond"
        if self.way == CALIBRATED:
            if len(self.problems) > 1:
                yield f"clipped: of the values of {self.read.input.name} {shares[1]:.1%} at white are next to not measured"
            return
        yield (
            f"clipped: of the values of {self.read.input.name} {' and '.join(said)} are {how}; `clipped=measured` takes them "
            "as they are"
        )

    def record(self) -> dict[str, Any]:
        """Return how clipped values are taken."""
        taken = self.way if len(self.problems) > 1 else "measured"
        return {"clipped_as": "white left out" if taken == CALIBRATED else taken}
