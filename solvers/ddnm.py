"""DDNM and DDNM+: Wang, Yu, Zhang, "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model", ICLR 2023.

DDNM is Algorithm 1 (eq 13), DDNM+ the general form of appendix I with the time travel of Algorithm 2. The published
simplified code confuses alpha_bar with its root and scales the noise twice; the singular-value form is used here.
Deviation of DDNM+: coefficients noisier than the level are not pulled to y at every step, and time travel goes back on a
bridge to y (spectral.py); paper=True pulls, and loses variance, the more the more steps are taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import CLEAN, Problem
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import vp_uniform
from restorekit.inference.solver import Solver, Step
from restorekit.solvers.parts.spectral import Spectrum, ancestral, check_eta


def refuse_amplified_noise(problem: Problem, solver: str) -> None:
    """Raise `Unsupported` where A+ would multiply the noise by more than 30 times what the largest gain makes of it."""
    operator, y, sigma_y = problem.least_squares(solver)
    gain = operator.spectral_norm(y)
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype).to(y.device)
    if sigma_y > CLEAN * gain and float(operator.pinv(noise).norm() / noise.norm()) * gain > 30:
        raise Unsupported(
            f"{solver} would amplify the noise more than 30 times here; use `solver=ddnm+`, ddrm or diffpir"
        )


@dataclass(frozen=True, eq=False)
class DDNM(Solver):
    """It meets clean measurements exactly: x0 - A+(A x0 - y), so that A x = y; noise in y goes into the result."""

    eta: float | None = 0.85  # share of fresh noise; None: ancestral

    reference = "ddnm"
    when = (
        "Take it for one answer that agrees with a clean measurement exactly, such as holes in a picture without "
        "noise; noise goes into the result."
    )
    exact = True
    least_steps = 16
    tunable = {"eta": (0.0, 1.0)}
    needs = "a linear operator whose pseudo-inverse is stable, (nearly) no noise"

    def __post_init__(self) -> None:
        check_eta(self.eta)

    def check(self, problem: Problem) -> None:
        refuse_amplified_noise(problem, "ddnm")

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        operator, y, _ = problem.least_squares("ddnm")
        for sigma, sigma_next in zip(sigmas, sigmas[1:]):
            x0 = denoise(x, sigma)
            xh = x0 - operator.pinv(operator(x0) - y)  # eq 13
            eta = ancestral(sigma, sigma_next) if self.eta is None else self.eta
            keep = sigma_next / sigma * math.sqrt(1 - eta**2)  # of the network's noise, not recomputed from xh
            x = torch.add(xh, x - x0, alpha=keep).add_(rng.normal(x), alpha=sigma_next * eta)
            yield Step(x, xh, sigma)


@dataclass(frozen=True, eq=False)
class DDNMPlus(Solver):
    """It is DDNM with noise, by singular values; `travel` = (length, repeats) goes back `length` levels and down
    again."""

    eta: float | None = 0.85  # share of fresh noise in what is not measured; None: ancestral
    travel: tuple[int, int] = (1, 1)  # (1, 1): off; (10, 3) helps large holes
    paper: bool = (
        False  # coefficients noisier than the level are pulled to y at every step; 100 levels of the DDPM time
    )

    reference = "ddnm"
    when = "Take it as ddrm, whose step it shares, where going back some levels (`travel`) helps; `derain` uses it."
    least_steps = 13
    tunable = {"eta": (0.0, 1.0)}
    needs = "a linear operator with an SVD, Gaussian noise"

    def __post_init__(self) -> None:
        check_eta(self.eta)
        if len(self.travel) != 2 or min(self.travel) < 1:
            raise ValueError(f"travel={self.travel}: length and repeats must be at least 1")

    def check(self, problem: Problem) -> None:
        problem.spectral("ddnm+")

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        return vp_uniform(steps or 100) if self.paper else super().schedule(problem, steps)

    def calls(self, sigmas: Sequence[float]) -> int:
        return (len(sigmas) - 1) * self.travel[1]

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        spectrum = Spectrum.of(problem, "ddnm+")
        vt, v = spectrum.operator.vt, spectrum.operator.v
        length, repeats = self.travel
        last, c = len(sigmas) - 1, vt(x)
        for top in range(0, last, length):
            bottom = min(top + length, last)
            for turn in range(repeats):
                if turn:  # x_(t+l) ~ q(x_(t+l) | x_t)
                    z, low, high = rng.normal(c), sigmas[bottom], sigmas[top]
                    c = c + math.sqrt(high**2 - low**2) * z if self.paper else spectrum.back(c, z, low, high)
                    x = v(c)
                for sigma, sigma_next in zip(sigmas[top:bottom], sigmas[top + 1 : bottom + 1]):
                    x0 = denoise(x, sigma)
                    if sigma_next == 0:
                        c, x = vt(x0), x0
                    else:
                        eta = ancestral(sigma, sigma_next) if self.eta is None else self.eta
                        c = spectrum.step(c, vt(x0), rng.normal(c), sigma, sigma_next, eta, 1.0, self.paper)
                        x = v(c)
                    yield Step(x, x0, sigma)
