"""azula (Rozet et al., MIT licence): its guided denoisers, each followed by one of its samplers.

Facts about azula are those of version 0.11.1. A guided sampler is a denoiser that wraps a denoiser there; the noise
schedule and the sampler are the user's choice, and `VESchedule()` with 64 steps are what its classes have without being
told. Pictures are on [-1, 1] there: the problem is stated in that unit, and the samples are given back on [0, 1].
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal

import torch
from torch import Tensor

from restorekit.bench.peers.peer import Peer, white
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import Problem
from restorekit.priors.perception.vision import mend_torchvision

FIRST = 10.0  # on [0, 1]: where the grid "ours" begins, as our solvers do


@cache
def _azula() -> Any:
    mend_torchvision()
    for name in ("denoise", "guidance", "linalg.covariance", "noise", "sample"):
        import_module(f"azula.{name}")
    return import_module("azula")


@cache
def _wrapper() -> type:
    """Return a restorekit denoiser as one of azula's: the class is made when azula is first needed."""
    known = _azula().denoise

    class Wrapped(known.Denoiser):
        def __init__(self, denoise: Denoiser, schedule: Any):
            super().__init__()
            self.denoise, self.schedule = denoise, schedule

        def forward(self, x_t: Tensor, t: Tensor, **_: Any) -> Any:
            alpha, sigma = (float(v) for v in self.schedule(t))
            x0 = self.denoise((x_t / alpha + 1) / 2, sigma / alpha / 2)
            return known.DiracPosterior(mean=2 * x0 - 1)

    return Wrapped


@dataclass(frozen=True)
class Azula(Peer):
    """grid: "own" is `VESchedule()`, levels from 1000 to 0.001 on [-1, 1]; "ours" runs from where `mmps` begins to where it
    ends, log-uniform like the other. sampler: `azula.sample.<sampler>Sampler`, at its defaults."""

    steps: int = 64
    grid: Literal["own", "ours"] = "own"
    sampler: Literal["DDPM", "DDIM", "Heun", "Ito"] = "DDPM"

    library = "azula"
    licence = "MIT"

    @classmethod
    def load(cls) -> Any:
        return _azula()

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise ValueError(f"steps={self.steps} must be at least 2")

    def check(self, problem: Problem) -> None:
        white(problem, "azula")

    @abstractmethod
    def guided(self, denoiser: Any, y: Tensor, a: Callable[[Tensor], Tensor], var_y: float) -> Any:
        """Return the guided denoiser: y (B, m), a from pictures (B, C, H, W) to (B, m), var_y the variance of the noise."""

    def sample(self, problem: Problem, denoise: Denoiser, count: int, seed: int) -> Tensor:
        operator, y, sigma_y = white(problem, "azula")
        known, shape = _azula(), (count, *operator.image_shape)
        # x = (u + 1) / 2, u on [-1, 1]: 2 y - A 1 = A u + 2 sigma_y n.
        shifted = (2 * y - operator(y.new_ones((1, *operator.image_shape)))).flatten(1).expand(count, -1)
        schedule = known.noise.VESchedule()
        if self.grid == "ours":
            schedule = known.noise.VESchedule(2 * problem.last_level(0.1), 2 * FIRST)
        denoiser = self.guided(
            _wrapper()(denoise, schedule), shifted, lambda u: operator(u).flatten(1), (2 * sigma_y) ** 2
        )
        sampler = getattr(known.sample, f"{self.sampler}Sampler")(
            denoiser, steps=self.steps, silent=True, dtype=torch.float64
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # azula draws from torch's global stream
            u = sampler(sampler.init(shape, dtype=y.dtype))
        return (u.detach().to(y.dtype) + 1) / 2


@dataclass(frozen=True)
class AzulaMMPS(Azula):
    """`MMPSDenoiser`: moment matching with the Jacobian of the denoiser. Three iterations, as in the paper; its class has one."""

    iterations: int = 3
    solver: Literal["gmres", "cg"] = "gmres"

    def guided(self, denoiser: Any, y: Tensor, a: Callable[[Tensor], Tensor], var_y: float) -> Any:
        known = _azula()
        noise = known.linalg.covariance.IsotropicCovariance(var_y)
        return known.guidance.MMPSDenoiser(denoiser, y, a, noise, solver=self.solver, iterations=self.iterations)


@dataclass(frozen=True)
class AzulaTMPD(Azula):
    """`TMPDenoiser`: the covariance of the measured values by the sums of its rows."""

    def guided(self, denoiser: Any, y: Tensor, a: Callable[[Tensor], Tensor], var_y: float) -> Any:
        return _azula().guidance.TMPDenoiser(denoiser, y, a, var_y)


@dataclass(frozen=True)
class AzulaDiffPIR(Azula):
    """`DiffPIRDenoiser` at its own strength and its one iteration."""

    lambda_: float = 10.0
    iterations: int = 1

    def guided(self, denoiser: Any, y: Tensor, a: Callable[[Tensor], Tensor], var_y: float) -> Any:
        return _azula().guidance.DiffPIRDenoiser(denoiser, y, a, var_y, lmbda=self.lambda_, iterations=self.iterations)
