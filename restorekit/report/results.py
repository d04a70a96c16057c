"""This module holds what a report shows of one solver on one measurement, and the figures that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import nan
from statistics import fmean
from typing import Any

import numpy as np

from restorekit.inference.residual import Unexplained
from restorekit.metrics.fidelity import coverage, psnr, spread_skill, ssim


@dataclass(frozen=True, eq=False)
class Moment:
    """The estimate x0 (C, H, W) of a solver at one network call of its first sample, at noise level `sigma`."""

    call: int
    sigma: float
    x0: np.ndarray


@dataclass(frozen=True, eq=False)
class SolverResult:
    """samples (N, C, H, W) on [0, 1] of the solver `label`; an optimiser (`draws` False) has one."""

    label: str
    draws: bool
    samples: np.ndarray
    trajectory: Sequence[Moment]
    misfit: float  # of A x from y, in deviations of the noise, mean over samples
    nfe: int  # network calls per sample
    seconds: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    residual: Unexplained | None = None  # of the first sample

    @property
    def kind(self) -> str:
        """Return the number of samples in words, or that there is one answer."""
        return f"{len(self.samples)} draw{'s' if len(self.samples) > 1 else ''}" if self.draws else "one answer"

    @cached_property
    def mean(self) -> np.ndarray:
        """Return the mean of the samples, (C, H, W)."""
        return self.samples.mean(0)

    @cached_property
    def std(self) -> np.ndarray | None:
        """Return the standard deviation over the samples, (C, H, W); None for a single answer."""
        return self.samples.std(0, ddof=1) if len(self.samples) > 1 else None

    def error(self, truth: np.ndarray) -> np.ndarray:
        """Return |mean - truth|, (C, H, W)."""
        return np.abs(self.mean - truth)

    def figures(self, truth: np.ndarray | None, clipped: bool = False) -> dict[str, float]:
        """Return the numbers of the table; NaN where there is no truth, or no spread. `clipped`: PSNR and SSIM as of whole numbers
        in a file, which end at black and white.
        """
        several = self.std is not None
        left = self.residual
        thirds = (nan, nan, nan) if left is None else left.misfits
        shared = nan if left is None else max(left.right, left.below, key=abs)
        figures = {"misfit": self.misfit, "dark": thirds[0], "bright": thirds[2], "shared": shared}
        figures |= {"std": float(self.std.mean()) if self.std is not None else nan}
        if truth is not None:
            samples, mean = (np.clip(x, 0, 1) if clipped else x for x in (self.samples, self.mean))
            figures |= {
                "psnr": fmean(psnr(s, truth) for s in samples),
                "psnr_mean": psnr(mean, truth) if several else nan,
                "ssim": fmean(ssim(s, truth) for s in samples),
                "ssim_mean": ssim(mean, truth) if several else nan,
                "spread_skill": spread_skill(self.samples, truth),
                "coverage": coverage(self.samples, truth),
            }
        return figures | {"nfe": self.nfe, "seconds": self.seconds}


@dataclass(frozen=True)
class Refusal:
    """A solver that cannot treat the problem, or diverged, and why, in one line."""

    label: str
    reason: str


@dataclass(frozen=True, eq=False)
class Comparison:
    """Solvers on one measurement. Pictures are (C, H, W) on [0, 1], all of the size of the results."""

    name: str
    command: str
    facts: Sequence[tuple[str, str]]  # what was run, as pairs of a word and its value
    measured: np.ndarray  # to look at; may be an enlargement or a first estimate, as `measured_note` says
    measured_note: str
    truth: np.ndarray | None
    outcomes: Sequence[SolverResult | Refusal]
    span: tuple[float, float] = (0.0, 1.0)  # values of the file that are black and white
    clipped: bool = True  # the file can hold nothing beyond them

    @property
    def results(self) -> list[SolverResult]:
        return [o for o in self.outcomes if isinstance(o, SolverResult)]

    @cached_property
    def figures(self) -> list[dict[str, float]]:
        """Return the numbers of each of `results`."""
        return [r.figures(self.truth, self.clipped) for r in self.results]

    @property
    def refusals(self) -> list[Refusal]:
        return [o for o in self.outcomes if isinstance(o, Refusal)]
