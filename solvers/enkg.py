"""EnKG: Zheng, Chu, Wang, Kovachki, Baptista, Yue, "Ensemble Kalman Diffusion Guidance: A Derivative-free Method for Inverse
Problems", arXiv 2409.20175, 2024, Algorithm 1: the operator is only ever called, never differentiated.

A population of states goes down the levels together. At each, every state gives a clean picture, and the covariances of
pictures and of their measurements over the population stand for the gradient of the operator.
Deviations: the paper moves the states along C_xG Gamma^-1 (y - G), by a step of a set length, so that the population closes in on
one picture (paper=True: that, for 2048 particles of 80 levels). Here the clean picture is a draw x0 of the prior given its state, and
becomes one given y by the Kalman gain with a perturbed measurement (Evensen, Ocean Dynamics 2003), as in daps:
    z = x0 + C_xG (C_GG + Gamma)^-1 (y + n - G(x0)),
C the covariances of x0 - D(x) and of G(x0) - G(D(x)), which for a Gaussian prior and a linear operator become those of p(x0 | x), and
z a draw from the posterior, as the population grows. A population spans as many directions as it has particles: what a picture
has beyond is hardly moved. So: small pictures, or few measured values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import karras, log_uniform
from restorekit.inference.solver import Solver, Step
from restorekit.solvers.parts.data_step import working_residual
from restorekit.solvers.samplers import DDIM, SDE

UPDATES, LENGTH, IDLE = (
    2,
    2.0,
    0.05,
)  # published: corrections per level, their length, share of levels without, at both ends


@dataclass(frozen=True, eq=False)
class Population(Rng):
    """The streams of `rng`, each of which draws for all particles of one sample."""

    rng: Rng
    size: int

    def normal(self, like: Tensor) -> Tensor:
        return self.rng.normal(like.unflatten(0, (-1, self.size))).flatten(0, 1)


def kalman(dx: Tensor, dg: Tensor, r: Tensor) -> Tensor:
    """Return C_xG (C_GG + I)^-1 r (B, N, n) of an ensemble: dx (B, N, n) and dg (B, N, m) are deviations, r (B, N, m)
    residuals.

    A system of the size N is solved, whatever n and m; in float64, as with little noise it is close to singular.
    """
    n, wide, r = dg.shape[1], dg.double(), r.double()
    system = wide @ wide.mT + n * torch.eye(n, dtype=wide.dtype, device=wide.device)
    return torch.linalg.solve(system, wide @ r.mT).mT.to(dx) @ dx


@dataclass(frozen=True, eq=False)
class EnKG(Solver):
    """It makes 2 `inner` - 1 network calls per level for all `particles` of a sample at once; the first of them is the
    sample.

    An operator without autograd is an `Operator`, or a `LinearOperator` whose adjoint is written out.
    """

    particles: int = 128
    inner: int = 8  # levels of the reverse process, from the state to a clean picture
    paper: bool = False  # the published correction, schedule and number of particles

    reference = "enkg"
    when = (
        "Take it where the operator is a program without a gradient and the picture small: it only calls the "
        "operator, with a population of states."
    )
    tunable = {"inner": (3, 12)}
    needs = "any operator, even without a gradient; a noise law that says how noisy it is; a small picture"
    default_steps = 15

    def __post_init__(self) -> None:
        if self.particles < 2 or self.inner < 2:
            raise ValueError(f"particles={self.particles} and inner={self.inner} must be at least 2")
        if self.paper and self.particles == 128:
            object.__setattr__(self, "particles", 2048)

    def check(self, problem: Problem) -> None:
        problem.likelihood.information(problem.y[:1])

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        return karras(steps or 80, 40.0, 0.001) if self.paper else super().schedule(problem, steps)

    def calls(self, sigmas: Sequence[float]) -> int:
        levels = len(sigmas) - 1
        if not self.paper:
            return levels * SDE().calls(self.inner)
        return levels + sum(UPDATES * self._published_inner(i, levels) for i in range(levels))

    def start(self, problem: Problem, sigma: float, rng: Rng, begin: Tensor | None = None) -> Tensor:
        return problem.y.new_full((len(problem.y), *problem.operator.image_shape), 0.5) if begin is None else begin

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        n, many = self.particles, Population(rng, self.particles)
        part = replace(problem, y=problem.y.repeat_interleave(n, 0))
        x = x.repeat_interleave(n, 0)
        x = x + sigmas[0] * many.normal(x)
        for i, (sigma, sigma_next) in enumerate(zip(sigmas, sigmas[1:])):
            if self.paper:
                for step in self._published(part, denoise, sigmas, x, many, i):
                    x = step.x
                    yield Step(x[::n], step.x0[::n], step.sigma)
                continue
            steps, mean = SDE()(denoise, log_uniform(self.inner, sigma, 0.5 * sigmas[-2]), x, many), x
            for call in range(SDE().calls(self.inner) - 1):
                step = next(steps)
                mean = mean if call else step.x0  # D(x)
                yield Step(step.x[::n], step.x0[::n], step.sigma)
            z, _, level = next(steps)
            g = part.operator(z)
            residual, weight = self._whitened(part, g, many)
            dx, dg = (z - mean).unflatten(0, (-1, n)), ((g - part.operator(mean)) * weight).unflatten(0, (-1, n))
            z = z + kalman(dx.flatten(2), dg.flatten(2), residual.unflatten(0, (-1, n)).flatten(2)).view_as(z)
            x = z if sigma_next == 0 else z + sigma_next * many.normal(z)
            yield Step(x[::n], z[::n], level)

    def _whitened(self, problem: Problem, g: Tensor, rng: Rng | None) -> tuple[Tensor, Tensor]:
        """Return (y - g, 1 / deviation of the noise), 0 where nothing was measured; with `rng` y is perturbed by its
        own noise."""
        residual, variance, _ = working_residual(problem, g)
        residual = residual if rng is None else residual + variance.sqrt() * rng.normal(g)
        one = variance.unflatten(0, (-1, self.particles)).mean(1).rsqrt().repeat_interleave(self.particles, 0)
        one = one if problem.mask is None else one * problem.mask
        return residual * one, one

    def _published_inner(self, i: int, levels: int) -> int:
        """Return the number of steps of the flow to a clean picture at level i; 0 where nothing is corrected."""
        busy = IDLE * levels < i < levels - int(IDLE * levels)
        return min(1 + (levels - i) // 4, 20) if busy else 0

    def _published(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, i: int
    ) -> Iterator[Step]:
        sigma, inner, n = sigmas[i], self._published_inner(i, len(sigmas) - 1), self.particles
        for _ in range(UPDATES if inner else 0):
            below = karras(inner, sigma, sigma if inner == 1 else 0.5 * sigmas[-2])
            clean = x
            for step in DDIM()(denoise, below, x, rng):
                clean = step.x
                yield step
            g = problem.operator(clean)
            residual, weight = self._whitened(problem, g, None)
            dx, dg = ((v.unflatten(0, (-1, n)).flatten(2)) for v in (x, g * weight))
            dx, dg = dx - dx.mean(1, keepdim=True), dg - dg.mean(1, keepdim=True)
            coupling = residual.unflatten(0, (-1, n)).flatten(2) @ dg.mT
            length = LENGTH / torch.linalg.matrix_norm(coupling).clamp(min=1e-30)
            x = x + (length.view(-1, 1, 1) * (coupling @ dx)).view_as(x)
        x0 = denoise(x, sigma)
        yield Step(torch.lerp(x0, x, sigmas[i + 1] / sigma), x0, sigma)
