"""PnP-Flow: Martin, Gagneux, Hagemann, Steidl, "PnP-Flow: Plug-and-Play Image Restoration with Flow Matching", ICLR 2025: a
gradient step on the data, noise mixed in to get back onto the path of the flow, one denoising step. An optimiser: one answer.

The paper's t is 1 at the picture, x_t = t x1 + (1 - t) n, its denoiser D_t(x) = x + (1 - t) v_t(x) = E[x1 | x_t = x], so that
D_t((1 - t) n + t z) is the denoiser at z + sigma n, sigma = (1 - t) / t: any denoiser will do. The gradient step is
lr (1 - t)^alpha sigma_y^2 times that of -log p(y | x), sigma_y over the gain of the operator, which the paper takes for 1.
Deviations: that gain, and Polyak's 2 nll / |grad nll|^2 as the longest step, which leaves linear problems with Gaussian noise alone
and keeps others stable; alpha = 0.2 and levels that end where data and denoiser pull as Bayes would have them,
sigma^2 / (1 - t)^alpha = lr sigma_y^2. One draw of the noise per level leaves jitter in the answer, more draws
less: 0.3 to 1.1 posterior deviations where all gains are alike (benchmarks/results/posterior.md). A small gain is followed slowly,
by gradient steps: behind a blur or dense sums the answer is up to 8.9 deviations off at noise 0.002, about 1 at 0.05; take `hqs`
there. paper=True: alpha = 0.5, 5 draws of the noise, t uniform (without t = 0, which is noise alone).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import LEAST, Problem
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import log_uniform
from restorekit.inference.solver import Solver, Step
from restorekit.solvers.flowdps import flow_time


@dataclass(frozen=True, eq=False)
class PnPFlow(Solver):
    """It makes `draws` network calls per level, and takes no gradient of the network."""

    lr: float = 1.0  # of the data, in units of the noise
    alpha: float = 0.2  # how fast steps on the data fall with the level
    draws: int = 1  # of the noise per level, whose answers are averaged
    span: float = 2.0  # of the flow's own numbers over those of the picture: 2 for [-1, 1]
    paper: bool = False  # the published alpha, draws, and levels uniform in t

    reference = "pnpflow"
    when = "Take it to compare with its paper; for one answer hqs is closer to the posterior mean in fewer calls."
    tunable = {"lr": (0.2, 1.5), "alpha": (0.0, 1.0)}
    is_sampler = False
    default_steps = 100

    def __post_init__(self) -> None:
        if not (0 < self.lr < 2 and self.alpha >= 0 and self.draws >= 1 and self.span > 0):
            raise ValueError(
                f"lr={self.lr:g} must be between 0 and 2, alpha={self.alpha:g} >= 0, draws={self.draws} >= 1, "
                f"span={self.span:g} > 0"
            )
        if self.paper:
            if (self.alpha, self.draws) not in ((0.2, 1), (0.5, 5)):
                raise ValueError("paper=true fixes alpha and draws, which must be left out")
            object.__setattr__(self, "alpha", 0.5)
            object.__setattr__(self, "draws", 5)

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        n = steps or self.default_steps
        if self.paper:  # (1 - t) / t at t = i / (n + 1)
            return [(n + 1 - i) / (i * self.span) for i in range(1, n + 1)] + [0.0]
        last = (self.lr * problem.picture_noise() ** 2 * self.span**self.alpha) ** (1 / max(1.0, 2 - self.alpha))
        return log_uniform(n, 10.0, min(1.0, max(LEAST, last)))

    def calls(self, sigmas: Sequence[float]) -> int:
        return (len(sigmas) - 1) * self.draws

    def start(self, problem: Problem, sigma: float, rng: Rng, begin: Tensor | None = None) -> Tensor:
        return problem.estimate() if begin is None else begin

    @torch.no_grad()
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        noise = problem.picture_noise()
        for sigma in sigmas[:-1]:
            with torch.enable_grad():
                leaf = x.detach().requires_grad_(True)
                nll = problem.nll(leaf)
                (g,) = torch.autograd.grad(nll.sum(), leaf)
            polyak = 2 * nll.detach() / g.square().flatten(1).sum(1).clamp(min=1e-30)
            length = polyak.clamp(max=self.lr * flow_time(sigma, self.span) ** self.alpha * noise**2)
            z, mean = x - length.view(-1, 1, 1, 1) * g, torch.zeros_like(x)
            for i in range(self.draws):
                x0 = denoise(z + sigma * rng.normal(x), sigma)
                mean = mean + (x0 - mean) / (i + 1)
                yield Step(mean, x0, sigma)
            x = mean
