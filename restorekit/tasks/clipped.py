"""Values at black and white of a file may stand for any less or more: how a task takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from restorekit.errors import BadInput, Unsupported
from restorekit.files.transfer import without_white
from restorekit.inference.censored import Censored
from restorekit.inference.denoiser import Denoiser, Latent
from restorekit.inference.driver import as_seen
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.solver import Solver
from restorekit.operators import Identity, Inpaint
from restorekit.tasks.observation import Observation
from restorekit.uncertainty.calibration import WHITE_LEFT_OUT

WAYS = ("censored", "measured", "missing")
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


def measured_alone(problem: Problem, low: Mask, high: Mask) -> tuple[Mask, Mask]:
    """Return the masks (C, H, W) without what the operator or the mask of the problem says was not measured."""
    operator = problem.operator
    told = operator.mask.cpu().numpy() > 0 if isinstance(operator, Inpaint) else np.ones((1, 1, 1), bool)
    if problem.mask is not None and problem.mask.ndim == 4:
        told = told & (problem.mask[0].cpu().numpy() > 0)
    try:
        return low & told, high & told
    except ValueError:  # the operator gives another shape than the file has
        return low, high


@dataclass(frozen=True, eq=False)
class Limits:
    """It says where measured values y (1, C, H, W) stopped: `low` and `high`, (C, H, W), at black and white, and the stops, numbers
    or (C, 1, 1), in the unit of y. light: the values were decoded from those of a file."""

    low: Mask
    high: Mask
    black: NDArray[Any] | float
    white: NDArray[Any] | float
    light: bool = False

    def problems(self, plain: Problem, way: str) -> list[Problem]:
        """Return what to solve if clipped values are taken by `way`, what to solve instead where a solver does not take that,
        and last `plain`, in which they are as measured: alone where the law or the shape of y cannot tell them from others.
        """
        fits = isinstance(plain.likelihood, Gaussian) and plain.y.shape[1:] == self.low.shape
        if way == "measured" or not fits or not (self.low.any() or self.high.any()):
            return [plain]
        if way == "missing":
            return [_missing(plain, self.low | self.high), plain]
        # In light much more than white is usual, and a value at white far off.
        instead = [without_white(plain, self.high)] if self.light and self.high.any() else []
        law = [] if way == WHITE_LEFT_OUT else [replace(plain, likelihood=self._law(plain))]
        return [*law, *instead, plain]

    def _law(self, plain: Problem) -> Censored:
        """Return the law of `plain`, stopped."""
        law, y = plain.likelihood, plain.y
        assert isinstance(law, Gaussian)
        black, white = (torch.as_tensor(np.asarray(v)).to(y) for v in (self.black, self.white))
        masks = (torch.from_numpy(v).to(y.device)[None] for v in (self.low, self.high))
        return Censored(law, *masks, *(v[None] if v.ndim else v for v in (black, white)))


def _missing(plain: Problem, at: Mask) -> Problem:
    operator = plain.operator
    if not isinstance(operator, Identity):
        return without_white(plain, at)
    told = torch.from_numpy(~at).to(plain.y)  # whose first estimate fills them
    return replace(plain, operator=Inpaint(operator.image_shape, told))


def first_taken(problems: list[Problem], solver: Solver, denoise: Denoiser | Latent) -> Problem:
    """Return the first problem that the solver can treat with this prior. Raises `Unsupported` of the last."""
    for problem in problems[:-1]:
        try:
            solver.check(as_seen(problem, denoise))
            return problem
        except Unsupported:
            continue
    solver.check(as_seen(problems[-1], denoise))
    return problems[-1]


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
        return measured_alone(self.plain, *self.read.clipped)

    @property
    def any(self) -> bool:
        """Return True where there are such values, and the law of the noise can tell them from others."""
        return len(self.problems) > 1

    @property
    def problem(self) -> Problem:
        """Return the problem to solve; the plain one, itself, where nothing is clipped."""
        return self.problems[0]

    @cached_property
    def problems(self) -> list[Problem]:
        """Return the problem to solve, and what to solve instead where a solver does not take that; the plain one last."""
        as_read, response = self.read.as_read, self.read.response
        low, high = self.limits
        if low.shape != as_read.pixels.shape:
            return [self.plain]
        half = 0.5 / (as_read.span[1] - as_read.span[0])  # a value at a limit was rounded to it as well
        black = np.where(low, as_read.pixels, -np.inf).max((1, 2)) + half
        white = np.where(high, as_read.pixels, np.inf).min((1, 2)) - half  # of a JPEG some are beside it
        black, white = np.where(np.isinf(black), 0.0, black), np.where(np.isinf(white), 1.0, white)  # of no value
        at_black, at_white = (response.curve.decode(v[:, None, None]) for v in (black, white))
        return Limits(low, high, at_black, at_white, response.coded).problems(self.plain, self.way)

    def said(self) -> Iterator[str]:
        """Yield a line for a person, where enough values are clipped."""
        shares = [float(at.mean()) for at in self.limits]
        if not self.any or max(shares) < SAID:
            return
        said = [f"{s:.1%} at {name}" for s, name in zip(shares[::-1], ("white", "black")) if s >= SAID]
        how = "left out" if self.way == "missing" else "taken as that or beyond"
        if self.way == WHITE_LEFT_OUT:
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
        return {"clipped_as": taken}
