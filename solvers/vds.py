"""VDS, known as RED-diff: Mardani, Song, Kautz, Vahdat, "A Variational Perspective on Solving Inverse Problems with
Diffusion Models", ICLR 2024, Algorithm 1: one picture mu is fitted to the measurement and to the denoiser.

The gradient is that of the published code: that of the network is dropped, so it is not that of eq 9 of the paper.
Deviations: the data term has its Bayesian weight, 1 / sigma_y^2 for Gaussian noise, and the levels end where the prior
term has its own, at sigma_y / sqrt(lambda), so that a Gaussian prior gives the posterior mean; the paper's weights (1 / m
on the data, 1 / n on the prior) depend on the number of measurements (paper=True). The rate falls to 0: at a constant
rate Adam leaves jitter of that size. mu starts at a damped estimate instead of A+ y, which amplifies noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.likelihood import Gaussian
from restorekit.schedule import log_uniform, vp_uniform
from restorekit.types import Denoiser, Problem, Rng, Solver, Step


@dataclass(frozen=True, eq=False)
class VDS(Solver):
    """An optimiser: one answer. One network call per step and no gradient of the network."""

    lambda_: float = 0.25  # weight of the prior
    lr: float = 0.05  # of Adam, in the unit of the picture (the paper's 0.1 on [-1, 1])
    paper: bool = False  # its weights, constant rate and schedule; Gaussian noise only

    reference = "vds"
    tunable = {"lambda_": (0.1, 2.0), "lr": (0.01, 0.2)}
    samples = False
    default_steps = 200

    def __post_init__(self) -> None:
        if not (self.lambda_ > 0 and self.lr > 0):
            raise ValueError(f"lambda_={self.lambda_} and lr={self.lr} must be positive")

    def check(self, problem: Problem) -> None:
        if self.paper:
            problem.least_squares("vds with paper=True")

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        if self.paper:
            return vp_uniform(steps or 1000)
        return log_uniform(steps or self.default_steps, 10.0, min(10.0, self._last(problem)))

    def _last(self, problem: Problem) -> float:
        """The level at which the prior has the weight of Bayes; 0.05 where noise has no sigma_y."""
        law = problem.likelihood
        sigma = float(torch.as_tensor(law.sigma).min()) if isinstance(law, Gaussian) else 0.025
        return max(1e-3, sigma) / self.lambda_**0.5

    def start(self, problem: Problem, sigma: float, rng: Rng, begin: Tensor | None = None) -> Tensor:
        return problem.estimate() if begin is None else begin

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        mu = x.clone().requires_grad_(True)
        adam = torch.optim.Adam([mu], lr=self.lr, betas=(0.9, 0.99), eps=1e-20)  # a larger one would have a unit
        # paper: (1/m) A'(A mu - y) + lambda (1/n) (mu - D), here both times m / sigma_y^2
        prior = 1 / self._last(problem) ** 2 * (problem.y[0].numel() / x[0].numel() if self.paper else 1.0)
        for i, sigma in enumerate(sigmas[:-1]):
            with torch.enable_grad():
                (data,) = torch.autograd.grad(problem.nll(mu).sum(), mu)
            x0 = denoise(mu + sigma * rng.normal(x), sigma)
            mu.grad = data + prior * (mu - x0)  # sigma (eps(x_t) - e) = mu - D(x_t)
            if not self.paper:
                adam.param_groups[0]["lr"] = self.lr * (1 - i / (len(sigmas) - 1))
            adam.step()
            yield Step(mu.detach().clone(), x0, sigma)
