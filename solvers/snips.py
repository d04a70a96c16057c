"""SNIPS: Kawar, Vaksman, Elad, "SNIPS: Solving Noisy Inverse Problems Stochastically", NeurIPS 2021, Algorithm 1: annealed
Langevin steps in the singular basis of A.

The noise of the state is taken for a part of that of y, or the other way round, so that the score given y is exact: with
r_i = sigma_y / s_i, the noise of y along direction i,

    r_i < sigma:  (y_i - x_i) / (sigma^2 - r_i^2)                       x is y with more noise, the prior has no say
    r_i > sigma:  (D(x) - x)_i / sigma^2 + (y_i - x_i) / (r_i^2 - sigma^2)

and the first term alone where nothing is measured. Steps are c times alpha_i = sigma^2 |1 - sigma^2 / r_i^2| or
sigma^2 - r_i^2, about the inverse of the curvature.
Deviation: fewer levels and longer steps, so that 250 calls are enough; paper=True: 500 levels from 90 to 0.01, with five
steps of c = 0.033 each, those of the published code for CelebA.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import log_uniform
from restorekit.inference.solver import Solver, Step
from restorekit.solvers.parts.spectral import Spectrum

PUBLISHED = (5, 0.033)  # inner, c


def score(spectrum: Spectrum, c: Tensor, c0: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Return the score of the noisy picture given y (B, n), and alpha (n,), in the singular basis: c = V'x, c0 =
    V'D(x), (B, n)."""
    s2, p2 = sigma**2, spectrum.snr.square()  # 0 where nothing is measured
    noisier = s2 * p2 < 1  # than the state, which is its measurement with less noise there
    gap = (1 / p2.clamp(min=1e-12 / s2) - s2).abs().clamp(min=1e-6 * s2)
    pull = torch.where(p2 > 0, (spectrum.y - c) / gap, 0.0)
    alpha = torch.where(noisier, s2 * (1 - s2 * p2).clamp(min=1e-6), gap)
    return torch.where(noisier, (c0 - c) / s2 + pull, pull), alpha


@dataclass(frozen=True, eq=False)
class SNIPS(Solver):
    """It makes `inner` network calls per level and one at the end, and takes no gradient of the network."""

    inner: int = 5  # Langevin steps per level
    c: float = 0.5  # their length, 1 being about the inverse of the curvature
    paper: bool = False  # the published levels, steps per level and length

    reference = "snips"
    when = (
        "Take it for draws without gradients of the network whose spread is closer than that of ddrm, at five times "
        "the calls; the operator needs an SVD."
    )
    tunable = {"c": (0.05, 1.0), "inner": (1, 8)}
    needs = "a linear operator with an SVD, Gaussian noise"
    default_steps = 50

    def __post_init__(self) -> None:
        if self.inner < 1 or not 0 < self.c <= 1:
            raise ValueError(f"inner={self.inner} must be at least 1, c={self.c:g} above 0 and at most 1")
        if self.paper:
            if (self.inner, self.c) not in ((5, 0.5), PUBLISHED):
                raise ValueError("paper=true fixes inner and c, which must be left out")
            for name, value in zip(("inner", "c"), PUBLISHED):
                object.__setattr__(self, name, value)

    def check(self, problem: Problem) -> None:
        problem.spectral("snips")

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        return log_uniform(steps or 500, 90.0, 0.01) if self.paper else super().schedule(problem, steps)

    def calls(self, sigmas: Sequence[float]) -> int:
        return (len(sigmas) - 1) * self.inner + 1

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        spectrum = Spectrum.of(problem, "snips")
        vt, v = spectrum.operator.vt, spectrum.operator.v
        for sigma in sigmas[:-1]:
            for _ in range(self.inner):
                x0 = denoise(x, sigma)
                c = vt(x)
                slope, alpha = score(spectrum, c, vt(x0), sigma)
                x = v(c + self.c * alpha * slope + (2 * self.c * alpha).sqrt() * rng.normal(c))
                yield Step(x, x0, sigma)
        x0 = denoise(x, sigmas[-2])
        yield Step(x0, x0, sigmas[-2])
