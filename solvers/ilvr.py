"""ILVR: Choi, Kim, Jeong, Gwon, Yoon, "ILVR: Conditioning Method for Denoising Diffusion Probabilistic Models", ICCV 2021,
Algorithm 1: x_s = phi(y_s) + (I - phi) x', x' an unconditional step to level s, y_s the reference noised to that level.

phi = A+ A, the low-pass of the paper where A is `average`: what was measured is put in, the rest is drawn.
Deviations: the paper's reference is a clean picture. Here y brings noise r_i = sigma_y / s_i along singular direction i, so that
only what is missing to s is added, and below r_i the direction is left alone: its range of conditioning steps, set by the
noise. What is not measured keeps hardly any of its noise: ancestral steps spread it too far. paper=True: y taken for clean,
down to the last level, and ancestral steps, on the 100 levels uniform in the DDPM time of the published code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import vp_uniform
from restorekit.inference.solver import Solver, Step
from restorekit.solvers.ddnm import refuse_amplified_noise
from restorekit.solvers.parts.spectral import Spectrum, check_eta
from restorekit.solvers.samplers import reverse

CLEAN = 1e-3  # noise of a measurement that counts as clean, in the unit of the picture


@dataclass(frozen=True, eq=False)
class ILVR(Solver):
    """It makes one network call per step and takes no gradient of the network."""

    eta: float = 0.95  # share of fresh noise in what is not measured
    paper: bool = False

    reference = "ilvr"
    when = "Take it to compare with its paper, on means of blocks and masks; ddrm takes the same problems."
    tunable = {"eta": (0.0, 1.0)}
    needs = "a linear operator with an SVD, Gaussian noise"

    def __post_init__(self) -> None:
        check_eta(self.eta)

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        return vp_uniform(steps or 100) if self.paper else super().schedule(problem, steps)

    def check(self, problem: Problem) -> None:
        problem.spectral("ilvr")
        if self.paper:
            refuse_amplified_noise(problem, "ilvr with paper=true")
            if problem.picture_noise() > CLEAN:
                raise Unsupported(
                    "ilvr with paper=true takes y for clean, noise included; use `solver=ilvr` without it, or ddrm"
                )

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        spectrum = Spectrum.of(problem, "ilvr")
        vt, v, unmeasured = spectrum.operator.vt, spectrum.operator.v, spectrum.unmeasured > 0
        r = torch.where(unmeasured, math.inf, 0.0) if self.paper else spectrum.nsr
        for sigma, sigma_next in zip(sigmas, sigmas[1:]):
            x0 = denoise(x, sigma)
            c, c0, z = vt(x), vt(x0), rng.normal(spectrum.y)
            step = reverse(c, c0, sigma, sigma_next, rng)
            if not self.paper:
                kept = torch.lerp(c0, c, sigma_next / sigma * math.sqrt(1 - self.eta**2))
                step = torch.where(unmeasured, kept + self.eta * sigma_next * z, step)
            noised = spectrum.y + (sigma_next**2 - r.square()).clamp(min=0).sqrt() * z  # phi(y_s)
            x = v(torch.where(r <= sigma_next, noised, step))
            yield Step(x, x0, sigma)
