"""A posterior sampler of your own, and how far it is from the exact posterior.

From the command line: restorekit restore IN OUT --solver examples/own_solver.py:Langevin:repeats=20 ...
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit import Denoiser, Gaussian, Problem, Solver, Step, restore
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import log_uniform
from restorekit.operators import Inpaint
from restorekit.priors.analytic import GaussianPrior


@dataclass(frozen=True, eq=False)
class Langevin(Solver):
    """Annealed Langevin: Jalal et al., "Robust Compressed Sensing MRI with Deep Generative Priors", NeurIPS 2021, eq 4."""

    step: float = 0.3  # in units of sigma^2; stable below 1 where |A| <= 1
    repeats: int = 8  # Langevin steps, hence network calls, at each noise level

    needs = "a linear operator and Gaussian noise"

    def check(self, problem: Problem) -> None:
        problem.least_squares("langevin")

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        return log_uniform(steps or self.default_steps, 1.0, 0.01)

    def calls(self, sigmas: Sequence[float]) -> int:
        return (len(sigmas) - 1) * self.repeats

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        operator, y, sigma_y = problem.least_squares("langevin")
        for sigma in sigmas[:-1]:
            for _ in range(self.repeats):
                x0 = denoise(x, sigma)
                score = (x0 - x) / sigma**2 + operator.adjoint(y - operator(x)) / (sigma_y**2 + sigma**2)
                x = x + self.step * sigma**2 * score + math.sqrt(2 * self.step) * sigma * rng.normal(x)
                yield Step(x, x0, sigma)


if __name__ == "__main__":
    prior = GaussianPrior.smooth((1, 16, 16))
    rng = torch.Generator().manual_seed(0)
    operator, noise = Inpaint((1, 16, 16), (torch.rand(1, 16, 16, generator=rng) < 0.5).double()), Gaussian(0.05)
    y = noise.sample(operator(prior.sample(1, rng)), rng)
    mean, covariance = prior.posterior(operator, y, 0.05)
    std = covariance.diagonal().clamp(min=0).sqrt().view(1, 16, 16)

    result = restore(Problem(y, operator, noise), prior, Langevin(), samples=100)

    error = ((result.mean - mean[0]) / std).square().mean().sqrt()
    print(f"{result.nfe} network calls per sample, {result.seconds:.1f} s")
    print(f"error of the mean {error:.2f} posterior deviations (0.10 is what 100 exact samples give)")
    print(f"spread {(result.std / std).mean():.2f} of the exact one")
