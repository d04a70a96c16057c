"""VDS, known as RED-diff: Mardani, Song, Kautz, Vahdat, "A Variational Perspective on Solving Inverse Problems with
Diffusion Models", ICLR 2024, Algorithm 1: one picture mu is fitted to the measurement and to the denoiser.

The gradient is that of the published code: that of the network is dropped, so it is not that of eq 9 of the paper.
Deviations: data and prior have the weights of Bayes, -grad log p(y | mu) and the score (mu - D) / sigma^2 at levels that fall
well below the noise, so that a Gaussian prior gives the posterior mean. With the published weights (1 / m on the data,
lambda / n on the prior, at every level) the prior is as good as wider by the noise: for m = n that mean is the one under
N(m, C + sigma_y^2 / lambda I) (paper=True). Of the noise in x_t as much is taken off the gradient as D takes off for pixels of
deviation 0.25, where the paper takes off all, and every second step has that of the one before with the other sign, which takes off
most of the rest: the mean is the same. mu starts at a damped estimate instead of A+ y, which amplifies noise.

The optimiser, which the paper leaves open: where A is linear and the noise Gaussian, steps of Nesterov's along the gradient times
the inverse of A'A / sigma_y^2 + 1 / sigma^2, the curvature of the data, and that of the prior from above, so that directions
whose precisions lie far apart arrive together. Else the paper's Adam, which goes pixel by pixel, at a rate that falls to 0: at a
constant rate it leaves jitter of that size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import CLEAN, Problem
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import log_uniform, vp_uniform
from restorekit.inference.solver import Solver, Step
from restorekit.operators import LinearOperator
from restorekit.solvers.parts.data_step import data_step, gaussian


@dataclass(frozen=True, eq=False)
class VDS(Solver):
    """An optimiser that gives one answer. It makes one network call per step and takes no gradient of the network.

    200 steps reach the mean of Gaussian posteriors to 0.05 deviations where A is linear and the noise Gaussian
    (tests/solvers/test_noise_levels.py). Elsewhere only where directions lie less than a hundred apart in precision:
    else take more steps.
    """

    lambda_: float | None = None  # weight of the prior; None: 1, that of Bayes; paper: 0.25, of its own weights
    lr: float = 0.05  # of Adam, in the unit of the picture (the paper's 0.1 on [-1, 1])
    first: float = 1.0  # noise level to start from
    prior_std: float = 0.25  # deviation of pixels, by which noise of the gradient is taken off; changes no mean
    momentum: float = 0.9  # where A is linear and the noise Gaussian
    paper: bool = False  # its weights, Adam at a constant rate and 1000 levels of the DDPM time; Gaussian noise only

    reference = "vds"
    when = (
        "Take it for one answer at the posterior mean, with any operator and noise law: of those that give one it is the "
        "nearest; it takes many more calls than hqs."
    )
    tunable = {"lambda_": (0.1, 2.0), "lr": (0.01, 0.2), "first": (0.2, 10.0)}
    is_sampler = False
    default_steps = 200
    least_steps = 100

    def __post_init__(self) -> None:
        if not ((self.lambda_ is None or self.lambda_ > 0) and min(self.lr, self.first, self.prior_std) > 0):
            raise ValueError(
                f"lambda_={self.lambda_}, lr={self.lr}, first={self.first}, prior_std={self.prior_std} must be positive"
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum={self.momentum} must be at least 0 and below 1")

    def newton(self, problem: Problem) -> bool:
        """Return True where the curvature of the data is known."""
        return not self.paper and isinstance(problem.operator, LinearOperator) and gaussian(problem.likelihood)

    def check(self, problem: Problem) -> None:
        if self.paper:
            problem.least_squares("vds with paper=True")

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        """Return levels that fall as a parabola in the logarithm.

        For Adam most lie near the last one, where mu has to settle; for the other near the first, as a step takes a
        direction that was not measured, of variance c, sigma^2 / (c + sigma^2) of its way.
        """
        if self.paper:
            return vp_uniform(steps or 1000)
        last = min(max(CLEAN, problem.last_level()), 0.5 * self.first)  # below, (mu - D) / sigma^2 is lost to rounding
        straight = log_uniform(steps or self.default_steps, 1.0, last / self.first)[:-1]
        if len(straight) == 1:
            return [last, 0.0]
        share = [i / (len(straight) - 1) for i in range(len(straight))]
        newton = self.newton(problem)
        return [*(self.first * s ** (t if newton else 2 - t) for s, t in zip(straight, share)), 0.0]

    def start(self, problem: Problem, sigma: float, rng: Rng, begin: Tensor | None = None) -> Tensor:
        return problem.estimate() if begin is None else begin

    def weight(self, problem: Problem, x: Tensor, sigma: float) -> float:
        """Return the weight of mu - D in the gradient, one number, where the data have that of -log p(y | mu)."""
        if not self.paper:
            return (self.lambda_ or 1.0) / sigma**2
        # (1 / m) A'(A mu - y) + lambda (1 / n) (mu - D), here both times m / sigma_y^2
        _, y, sigma_y = problem.least_squares("vds")
        return (self.lambda_ or 0.25) / sigma_y**2 * y[0].numel() / x[0].numel()

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        solve = data_step(problem, "vds") if self.newton(problem) else None
        mu, before, e = x, x, x
        leaf = x.clone().requires_grad_(True)  # mu, for Adam
        adam = torch.optim.Adam([leaf], lr=self.lr, betas=(0.9, 0.99), eps=1e-20)  # a larger one would have a unit
        for i, sigma in enumerate(sigmas[:-1]):
            at = mu if solve is None else mu + self.momentum * (mu - before)
            e = -e if i % 2 and not self.paper else rng.normal(x)
            x0 = denoise(at + sigma * e, sigma)
            left = 0.0 if self.paper else self.prior_std**2 / (self.prior_std**2 + sigma**2)  # of the noise
            clean, weight = x0 - left * sigma * e, self.weight(problem, x, sigma)
            if solve is not None:  # at - P (A'(A at - y) / sigma_y^2 + weight (at - clean)), P the inverse curvature
                mu, before = solve(clean, weight**-0.5), mu
            else:
                with torch.enable_grad():
                    (data,) = torch.autograd.grad(problem.nll(leaf).sum(), leaf)
                leaf.grad = data + weight * (mu - clean)  # sigma (eps(x_t) - e) = mu - D(x_t)
                if not self.paper:
                    adam.param_groups[0]["lr"] = self.lr * (1 - i / (len(sigmas) - 1))
                adam.step()
                mu = leaf.detach().clone()
            yield Step(mu, x0, sigma)
