"""Some solvers let rounding grow: they run in double precision, and ask the network in its own.

A step whose length is a quotient of small numbers, a Langevin chain or an ancestor that is drawn by its weight carries the last
digit of y - A x0 into the picture: two runs on the same draws, one in single precision, end apart after four levels, though
rounding y and the answers of the network alone hardly moves either (tests/solvers/test_invariance.py). So state, operator and noise
law are of double precision there (`Solver.amplifies`); the network costs what it did, and random numbers are those of the precision of y.
Many levels at low noise are another matter: there `dps` and `dsg` let the rounding of y itself grow, in
double precision too, which no precision of a step can mend.
"""

from __future__ import annotations

import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.inference.checks import check_shape, check_values, checked
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng, Streams
from restorekit.inference.solver import Solver, Step

WITHOUT = ("mps",)  # kinds of devices that have no double precision


def in_double(problem: Problem, solver: Solver) -> Problem | None:
    """Return the problem in double precision; None where the solver has no need of it, or operator, law or device do not
    take it."""
    if not solver.amplifies or problem.y.dtype != torch.float32 or problem.y.device.type in WITHOUT:
        return None
    try:
        wide = problem.to(torch.float64)
        check_shape(wide)
        check_values(wide)
    except (BadInput, RuntimeError, TypeError, ValueError):  # such as a network that decodes latents
        return None
    return wide


def in_own(denoise: Denoiser, dtype: torch.dtype, solver: str) -> Denoiser:
    """Return the denoiser for pictures of any precision, asked in `dtype`."""
    own = checked(denoise, solver)

    def call(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        level = sigma.to(dtype) if isinstance(sigma, Tensor) else sigma
        return own(x.to(dtype), level).to(x.dtype)

    return call


class Widened(Rng):
    """It draws the numbers of `inner` as for `dtype`, whatever the precision of what asks."""

    def __init__(self, inner: Rng, dtype: torch.dtype):
        self.inner, self.dtype, self.generators = inner, dtype, inner.generators

    def normal(self, like: Tensor) -> Tensor:
        return self.inner.normal(torch.empty_like(like, dtype=self.dtype)).to(like.dtype)


def widened(made: Streams, dtype: torch.dtype) -> Streams:
    """Return the same random streams, as `Widened`."""
    return lambda seed, first, count: Widened(made(seed, first, count), dtype)


def step_in(dtype: torch.dtype, step: Step) -> Step:
    """Return the step in another precision."""
    return Step(step.x.to(dtype), step.x0.to(dtype), step.sigma)
