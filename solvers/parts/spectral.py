"""DDRM and DDNM+ share one reverse step in the singular basis.

With eta_b = 1 the DDRM step of Kawar et al. 2022 and the DDNM+ step of Wang et al. 2023 are the same map of state and
noise (both papers write it in different letters); the solvers differ in where they start and in time travel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from restorekit.inference.problem import Problem
from restorekit.operators.base import SVDOperator


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A measurement as the singular basis sees it: V'x is (B, n); `y` is U'y / s where s > 0, `nsr` = sigma_y / s,
    else infinite."""

    operator: SVDOperator
    y: Tensor  # (B, n)
    nsr: Tensor  # (n,)

    @cached_property
    def snr(self) -> Tensor:
        """Return s / sigma_y (n,), 0 where nothing is measured."""
        return 1 / self.nsr

    @cached_property
    def unmeasured(self) -> Tensor:
        """Return 1 where nothing is measured, else 0, (n,)."""
        return torch.isinf(self.nsr).to(self.nsr)

    @staticmethod
    def of(problem: Problem, solver: str) -> Spectrum:
        """Return the spectrum of a problem. Raises `Unsupported` in the name of `solver` where there are no singular
        values."""
        operator, sigma_y = problem.spectral(solver)
        _, measured, _ = problem.least_squares(solver)  # unequal noise folded in, as in the operator
        n = math.prod(operator.image_shape)
        inverse = operator._fit(operator.inverse_singulars.to(problem.y)[None], n)[0]
        y = operator._fit(operator.ut(measured), n) * inverse
        # A perfect measurement has nsr 0 where it says something, and infinity where it says nothing.
        nsr = torch.where(inverse > 0, sigma_y * inverse, math.inf)
        return Spectrum(operator, y, nsr)

    def start(self, sigma: float, z: Tensor) -> Tensor:
        """Return the coefficients (B, n) at the first level (Kawar et al. 2022, eq 7): what is measured well starts at
        its measurement.

        z (B, n): white noise.
        """
        spread = (sigma**2 - self.nsr**2).clamp(min=0).sqrt()
        return torch.where(self.nsr < sigma, self.y + spread * z, sigma * z)

    def step(
        self, c: Tensor, c0: Tensor, z: Tensor, sigma: float, sigma_next: float, eta: float, eta_b: float, pull: bool
    ) -> Tensor:
        """Return the coefficients (B, n) at level `sigma_next` > 0 from those at `sigma`, each by its own weights; c =
        V'x, c0 = V'x0, z white.

        With `pull`, eq 8 of Kawar et al. 2022 in variance-exploding coordinates. There every step draws what is noisier
        than the level to y once more, so that more steps draw harder. Without, y is a point of the diffusion itself, x0
        + nsr n: the step that passes nsr starts from it, and those below are ancestral and have no further use for it.
        """
        keep = math.sqrt(1 - eta**2) * sigma_next
        if pull:
            wc, wy, wz = self.unmeasured * (keep / sigma), keep * self.snr, eta * sigma_next
        else:
            below = (self.nsr > sigma).to(c)
            level = self.nsr.clamp(max=sigma)  # that of the state or of y, whichever is nearer
            share = torch.where(self.unmeasured > 0, keep / sigma, (sigma_next / level) ** 2)
            wz = (sigma_next**2 - (share * level) ** 2).clamp(min=0).sqrt()
            wc, wy = share * below, share * (1 - below)
        noisy = self.nsr > sigma_next
        wy = torch.where(noisy, wy, eta_b)
        wz = torch.where(noisy, wz, (sigma_next**2 - eta_b**2 * self.nsr.square()).clamp_(min=0).sqrt_())
        return torch.addcmul(c0, torch.where(noisy, wc, 0.0), c - c0).addcmul_(wy, self.y - c0).addcmul_(wz, z)

    def back(self, c: Tensor, z: Tensor, low: float, high: float) -> Tensor:
        """Return coefficients at level `low` noised up to `high`, given y as a point of the diffusion: a Brownian
        bridge leads to it."""
        rise = high**2 - low**2
        share = (rise / (self.nsr.square() - low**2)).where(self.nsr > high, torch.ones_like(self.nsr))
        spread = torch.where(self.nsr > high, rise * (1 - share), high**2 - self.nsr.square()).clamp(min=0).sqrt()
        return torch.lerp(c, self.y, share).addcmul_(spread, z)


def ancestral(sigma: float, sigma_next: float) -> float:
    """Return the eta with which unmeasured coefficients keep the variance of ancestral (DDPM) sampling."""
    return math.sqrt(max(0.0, 1 - (sigma_next / sigma) ** 2))


def check_eta(eta: float | None) -> None:
    """Raise ValueError for an eta outside 0 to 1; None stands for ancestral."""
    if not (eta is None or 0 <= eta <= 1):
        raise ValueError(f"eta={eta:g} must lie in 0..1, or none for ancestral")
