"""DDRM: Kawar, Elad, Ermon, Song, "Denoising Diffusion Restoration Models", NeurIPS 2022, eqs 7 and 8.

Deviation: coefficients noisier than the level are not pulled to y at every step (spectral.py). paper=True pulls, and loses
variance, the more the more steps are taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import vp_uniform
from restorekit.inference.solver import Solver, Step
from restorekit.solvers.parts.spectral import Spectrum, ancestral, check_eta


@dataclass(frozen=True, eq=False)
class DDRM(Solver):
    """It takes a step per singular value. eta=None keeps the variance of what is not measured, and the bias next to
    holes."""

    eta: float | None = 0.85  # share of fresh noise in what is not measured; None: ancestral
    eta_b: float = 1.0  # weight of the measurement where it is clearer than the current level
    paper: bool = False  # coefficients noisier than the level are pulled to y at every step; 20 levels of the DDPM time

    reference = "ddrm"
    when = (
        "Take it where many draws have to be cheap and the operator has an SVD: no gradients, few calls, a spread "
        "that is right to about a fifth."
    )
    least_steps = 13
    tunable = {"eta": (0.0, 1.0)}
    needs = "a linear operator with an SVD, Gaussian noise"

    def __post_init__(self) -> None:
        check_eta(self.eta)
        if not 0 <= self.eta_b <= 1:
            raise ValueError(f"eta_b={self.eta_b:g} must lie in 0..1")

    def check(self, problem: Problem) -> None:
        problem.spectral("ddrm")

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        return vp_uniform(steps or 20) if self.paper else super().schedule(problem, steps)

    def start(self, problem: Problem, sigma: float, rng: Rng, begin: Tensor | None = None) -> Tensor:
        if begin is not None:
            return super().start(problem, sigma, rng, begin)
        spectrum = Spectrum.of(problem, "ddrm")
        return spectrum.operator.v(spectrum.start(sigma, rng.normal(spectrum.y)))

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        spectrum = Spectrum.of(problem, "ddrm")
        vt, v = spectrum.operator.vt, spectrum.operator.v
        c = vt(x)
        for sigma, sigma_next in zip(sigmas, sigmas[1:]):
            x0 = denoise(x, sigma)
            if sigma_next == 0:
                yield Step(x0, x0, sigma)
                return
            eta = ancestral(sigma, sigma_next) if self.eta is None else self.eta
            c = spectrum.step(c, vt(x0), rng.normal(c), sigma, sigma_next, eta, self.eta_b, self.paper)
            x = v(c)
            yield Step(x, x0, sigma)
