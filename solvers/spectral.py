"""One reverse step in the singular basis, shared by DDRM and DDNM+.

With eta_b = 1 the DDRM step of Kawar et al. 2022 and the DDNM+ step of Wang et al. 2023 are the same map of state and
noise (both papers write it in different letters); the solvers differ in where they start and in time travel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from restorekit.operators.base import SVDOperator
from restorekit.types import Problem


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A measurement in the singular basis: V' x is (B, n); `y` is U'y / s where s > 0, `nsr` = sigma_y / s, else infinite."""

    operator: SVDOperator
    y: Tensor  # (B, n)
    nsr: Tensor  # (n,)

    @cached_property
    def snr(self) -> Tensor:
        return 1 / self.nsr

    @cached_property
    def blind(self) -> Tensor:
        """1 where nothing is measured, else 0."""
        return torch.isinf(self.nsr).to(self.nsr)

    @staticmethod
    def of(problem: Problem, solver: str) -> Spectrum:
        operator, sigma_y = problem.spectral(solver)
        n = math.prod(operator.image_shape)
        inverse = operator._fit(operator.inverse_singulars.to(problem.y)[None], n)[0]
        y = operator._fit(operator.ut(problem.y), n) * inverse
        # A perfect measurement has nsr 0 where it says something, and infinity where it says nothing.
        nsr = torch.where(inverse > 0, sigma_y * inverse, math.inf)
        return Spectrum(operator, y, nsr)

    def start(self, sigma: float, z: Tensor) -> Tensor:
        """Kawar et al. 2022, eq 7 at the first level: what is measured well starts at its measurement. z (B, n)."""
        spread = (sigma**2 - self.nsr**2).clamp(min=0).sqrt()
        return torch.where(self.nsr < sigma, self.y + spread * z, sigma * z)

    def step(
        self, c: Tensor, c0: Tensor, z: Tensor, sigma: float, following: float, eta: float, eta_b: float
    ) -> Tensor:
        """Kawar et al. 2022, eq 8, in variance-exploding coordinates: from level `sigma` to `following` > 0.

        c = V'x, c0 = V'x0, z white; all (B, n). Each coefficient has its own weights.
        """
        keep = math.sqrt(1 - eta**2) * following
        noisy = self.nsr > following
        wy = torch.where(noisy, keep * self.snr, eta_b)  # blind: 0
        wz = torch.where(noisy, eta * following, (following**2 - eta_b**2 * self.nsr.square()).clamp_(min=0).sqrt_())
        return torch.addcmul(c0, self.blind, c - c0, value=keep / sigma).addcmul_(wy, self.y - c0).addcmul_(wz, z)


def ancestral(sigma: float, following: float) -> float:
    """The eta with which unmeasured coefficients keep the variance of ancestral (DDPM) sampling."""
    return math.sqrt(max(0.0, 1 - (following / sigma) ** 2))


def check_eta(eta: float | None) -> None:
    if not (eta is None or 0 <= eta <= 1):
        raise ValueError(f"eta={eta:g} must lie in 0..1, or none for ancestral")
