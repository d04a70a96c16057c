"""Priors of other numbers than pictures on [0, 1] are seen by solvers in units of mean 0.5 and spread 0.25, as
pictures have.

Levels and settings of solvers are made for these. Logarithms of intensities have a spread of 1.3.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.inference.censored import Censored
from restorekit.inference.coding import CodedPictures, Coding
from restorekit.inference.denoiser import Denoiser, Latent
from restorekit.inference.derived_laws import Joint, Moved
from restorekit.inference.likelihood import Gaussian, Likelihood
from restorekit.inference.problem import Problem
from restorekit.inference.solver import Solver, Step
from restorekit.operators.base import LinearOperator, Operator
from restorekit.operators.coded import Coded, LightCurve
from restorekit.operators.latent import Decoded

MEAN, SPREAD = 0.5, 0.25  # of pictures on [0, 1]


@dataclass(frozen=True)
class Units:
    """Units make values x of this mean and spread look like pictures: u = 0.5 + (x - mean) / gain, gain = spread /
    0.25."""

    mean: float
    spread: float

    def __post_init__(self) -> None:
        if not self.spread > 0:
            raise ValueError(f"spread={self.spread:g} must be above 0")

    @property
    def gain(self) -> float:
        """Return the size of a unit in the numbers of the prior."""
        return self.spread / SPREAD

    def of(self, x: Tensor) -> Tensor:
        """Return values x of the prior, of any shape, in these units."""
        return MEAN + (x - self.mean) / self.gain

    def back(self, u: Tensor) -> Tensor:
        """Return u, of any shape, in the numbers of the prior."""
        return self.mean + (u - MEAN) * self.gain

    def step(self, step: Step) -> Step:
        """Return a step of a solver in the numbers of the prior."""
        return Step(self.back(step.x), self.back(step.x0), step.sigma * self.gain)

    def record(self) -> dict[str, Any]:
        """Return what the record of a run says of these units."""
        return asdict(self)


@runtime_checkable
class OwnUnits(Protocol):
    """A denoiser that names its `units`; None stands for pictures on [0, 1]."""

    @property
    def units(self) -> Units | Coding | None:
        """Return the units of the denoiser, None for pictures on [0, 1]."""


def units_of(denoise: object) -> Units | Coding | None:
    """Return the units of a denoiser: None for pictures on [0, 1], and for denoisers that do not say."""
    return denoise.units if isinstance(denoise, OwnUnits) else None


def of_coded_pictures(denoise: Denoiser | Latent, curve: LightCurve, solver: Solver, a: Operator) -> Denoiser | Latent:
    """Return a denoiser of pictures coded by `curve` as one for problems of light with the operator `a`; the same where
    `solver` does not go along."""
    fits = solver.relinearises and isinstance(a, LinearOperator)
    if not fits or isinstance(denoise, Latent) or units_of(denoise) is not None:
        return denoise
    return CodedPictures(denoise, curve)


def denoiser_in(units: Units | Coding, denoise: Denoiser) -> Denoiser:
    """Return the denoiser of u that belongs to one of the prior's own numbers."""
    if isinstance(units, Coding):  # the prior's own numbers are those of the solver
        return denoise.denoise if isinstance(denoise, CodedPictures) else denoise
    return lambda u, sigma: units.of(denoise(units.back(u), sigma * units.gain))


def problem_in(units: Units | Coding, problem: Problem) -> Problem:
    """Return the same measurement as one of u. A linear operator stays what it is, and its measurement moves along."""
    a, y = problem.operator, problem.y
    if isinstance(units, Coding):
        if not isinstance(a, LinearOperator):
            raise Unsupported(f"pictures of {units.curve.name} values need a linear operator of light, got {a.title}")
        return replace(problem, operator=Coded(a.image_shape, a, units.curve))
    if not isinstance(a, LinearOperator):
        # An operator that has no estimate of its own says grey, of pictures on [0, 1].
        own = type(a).estimate is not Operator.estimate
        encode = units.of if own else lambda x: torch.full_like(x, MEAN)
        return replace(problem, operator=Decoded(a.image_shape, a, units.back, encode, of=""))
    offset = a(y.new_full((1, *a.image_shape), units.mean - MEAN * units.gain))
    law = _moved(problem.likelihood, units.gain, offset)
    return replace(problem, y=(y - offset) / units.gain, likelihood=law)


def _moved(law: Likelihood, gain: float, offset: Tensor) -> Likelihood:
    if isinstance(law, Gaussian):
        return Gaussian(law.sigma / gain)
    if isinstance(law, Censored):
        noise, black, white = Gaussian(law.sigma / gain), (law.black - offset) / gain, (law.white - offset) / gain
        return Censored(noise, law.low, law.high, black, white)
    if isinstance(law, Joint):
        pieces = offset.split(law.sizes, -1)
        return Joint(tuple(_moved(part, gain, o) for part, o in zip(law.parts, pieces)), law.sizes)
    return Moved(law, gain, offset)
