"""A measurement as it was read, with the prior that sees it and the problem to solve."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.inference.coloured import Coloured
from restorekit.inference.denoiser import Denoiser, Latent
from restorekit.inference.driver import as_seen, decoded
from restorekit.inference.likelihood import Gaussian, Poisson
from restorekit.inference.problem import Problem
from restorekit.inference.sensor_noise import PoissonGaussian
from restorekit.inference.solver import Solver
from restorekit.operators import JPEGAfter, Resize
from restorekit.priors.find import Prior
from restorekit.tasks import ranges
from restorekit.tasks.clipped import Clipped, first_taken
from restorekit.tasks.defaults import (
    COUNTS,
    GRAIN,
    IMPULSES,
    JPEG_AFTER,
    LOG_SPECKLE,
    OTHER,
    SAMPLED,
    SENSOR,
    SPECKLE,
    TASKS,
    Task,
)
from restorekit.tasks.forward import Forward
from restorekit.tasks.inputs import Source, Span, reading_beside, take
from restorekit.tasks.observation import Observation
from restorekit.tasks.sample import displayed
from restorekit.tasks.unmeasured import refuse_turned, turned_size


@dataclass(frozen=True, eq=False)
class Measured:
    """A measurement ready to be solved."""

    forward: Forward
    prior: Prior
    denoiser: Denoiser | Latent
    plain: Problem  # values at the limits of the file as they are
    place: torch.device
    span: Span | None = None  # as it was given
    way: str = "censored"  # how clipped values are taken

    @property
    def read(self) -> Observation:
        return self.forward.read

    @property
    def problem(self) -> Problem:
        """Return the problem to solve, values at the limits of the file taken as `clipped` says."""
        return self.clipped.problem

    @cached_property
    def clipped(self) -> Clipped:
        """Return the values at the limits of the file, and how they are taken."""
        return Clipped(self.read, self.plain, self.way)

    def taken(self, solver: Solver) -> Problem:
        """Return the problem, clipped values taken otherwise where the solver cannot treat it else. Raises `Unsupported`."""
        return first_taken(self.clipped.problems, solver, self.denoiser)

    @property
    def seen(self) -> Problem:
        """Return the problem as a solver sees it."""
        return as_seen(self.problem, self.denoiser)

    @property
    def task(self) -> Task:
        """Return the solver and the steps by default."""
        forward, logarithms = self.forward, self.read.logarithms
        if isinstance(self.prior, Latent):  # what was measured is not linear in latents
            return OTHER
        holes = forward.impulses is not None or (self.way == "missing" and self.clipped.any)
        if self.read.operation == "denoise" and holes:
            return IMPULSES
        if self.read.operation == "denoise" and isinstance(forward.law, PoissonGaussian | Coloured):
            return SENSOR if isinstance(forward.law, PoissonGaussian) else GRAIN
        if self.read.operation == "denoise" and not isinstance(forward.law, Gaussian):
            return COUNTS if isinstance(forward.law, Poisson) else LOG_SPECKLE if logarithms else SPECKLE
        if isinstance(forward.operator, JPEGAfter):
            return JPEG_AFTER
        if isinstance(forward.operator, Resize) and not forward.operator.smooths:
            return SAMPLED
        return TASKS.get(self.read.operation, OTHER)

    @property
    def result_shape(self) -> tuple[int, ...]:
        """Return the shape (C, H, W) of the result."""
        operator = self.forward.operator
        return tuple(operator.inside(torch.zeros(1, *operator.image_shape)).shape[1:])

    @property
    def range_used(self) -> Span | None:
        """Return the values of black and white, also where those of the file gave them; None for the whole of a type."""
        picture = self.read.picture
        full = np.iinfo(picture.dtype).max if picture.dtype in ("uint8", "uint16") else 1
        return self.span if self.span is not None or picture.span[1] in (1.0, full) else picture.span

    def shown(self, x: Tensor) -> Tensor:
        """Return states or estimates of a solver (N, ...) as pictures."""
        operator, prior = self.forward.operator, self.denoiser
        _, height, width = operator.image_shape
        picture = decoded(prior, x, height, width) if isinstance(prior, Latent) else x
        return self.visible(operator.inside(picture))

    def visible(self, x: Tensor) -> Tensor:
        """Return results or measurements as pictures to look at: amplitudes of logarithms, others in values of the file."""
        return displayed(x, "log-intensity") if self.read.logarithms else self.coded(x)

    def coded(self, x: Tensor) -> Tensor:
        """Return light in values of the file, float32."""
        response = self.read.response
        if not response.coded:
            return x
        coded = response.encoded(x.detach().float().cpu().numpy())
        return torch.from_numpy(coded.astype(np.float32)).to(x.device)

    def as_result(self, source: Source, advice: str) -> np.ndarray:
        """Return another picture, in light, (C, H, W) of the shape of a result: what an operator knows beyond the frame is cut off.

        Its values are read as those of the measurement. Raises `BadInput` with `advice` where it has another shape.
        """
        own, operator = self.read.picture, self.forward.operator
        same = reading_beside(source, self.read.input.reading)
        given = take(source, (0.0, 1.0) if self.read.logarithms else self.span, reading=same)
        picture = given.picture
        refuse_turned(own, self.read.input.label, picture, given.label)
        if self.span is None and picture.dtype == own.dtype and picture.span != own.span:
            picture = ranges.ranged(picture, own.span)
        pixels = self.read.response.decoded(picture).pixels
        if pixels.shape == operator.image_shape:
            pixels = operator.inside(torch.from_numpy(pixels)[None])[0].numpy()
        if self.read.box is not None and pixels.shape == self._whole:
            top, left, *_ = (side * m // n for side, m, n in zip(self.read.box, self._whole[1:] * 2, self._own[1:] * 2))
            pixels = np.ascontiguousarray(
                pixels[:, top : top + self.result_shape[1], left : left + self.result_shape[2]]
            )
        if pixels.shape != self.result_shape:
            size, expected = ("x".join(map(str, s)) for s in (pixels.shape, self.result_shape))
            raise BadInput(
                f"{given.label} is {size}, a result is {expected} (bands x height x width)"
                f"{turned_size(own, picture)}; {advice}"
            )
        return pixels

    @property
    def _own(self) -> tuple[int, ...]:
        """Return (C, H, W) of the whole input."""
        return self.read.input.picture.pixels.shape

    @property
    def _whole(self) -> tuple[int, ...]:
        """Return (C, H, W) of a result for the whole input, of a preview."""
        part = self.read.picture.pixels.shape
        return (self.result_shape[0], *(n * r // p for n, r, p in zip(self._own[1:], self.result_shape[1:], part[1:])))
