"""EP: Minka, "Expectation Propagation for Approximate Bayesian Inference", UAI 2001, for noise that is not Gaussian: at each
noise level every measured value becomes the Gaussian one ("site") that tells as much of it.

Given x_t alone x0 is about N(x0, V), V = sigma^2 J (Tweedie), J the Jacobian of the denoiser: of a measured value it says a
mean m_i = (A x0)_i and a variance r_i^2 = (A V A')_ii. Under the law of the noise that Gaussian becomes one of mean
m_i + r_i^2 d_i and variance v_i, integrals along a line, and so it does by a value m_i + b_i with Gaussian noise of variance
S_i, 1 / S_i = 1 / v_i - 1 / r_i^2, b_i = (r_i^2 + S_i) d_i. What these say together is the step of MMPS:

    x0_y = x0 + V A'u,    (A V A' + S) u = b

For pixels that the prior holds for independent u is d and x0_y is E[x0 | x_t, y] for any law; for neighbours that are alike
V counts once what they tell together, which `quadrature` counts once for each.

Deviations. One sweep, from sites that say nothing: the prior given x_t is their cavity. u is found in few conjugate residuals
(mmps.py), with (r_i^2 + S_i) as preconditioner. r_i^2 is |A_i|^2 times one number for the picture, from a product with random
signs, held below the s^2 sigma^2 / (s^2 + sigma^2) of white pixels: at high levels J of a network is no covariance. The
bound itself, in place of the product, would take skewed noise for scene, and put smooth parts at a wrong level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.inference.censored import Censored
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.likelihood import Likelihood
from restorekit.inference.problem import Problem
from restorekit.inference.schedule import log_uniform
from restorekit.operators.base import dot
from restorekit.operators.diagonal import Identity
from restorekit.solvers.mmps import System, WarmSolve
from restorekit.solvers.parts.data_step import gaussian
from restorekit.solvers.parts.guided import Guided, Tweedie, white_variance
from restorekit.solvers.quadrature import row_norms
from restorekit.solvers.samplers import Sampler, named

NODES = 16  # of Gauss and Hermite, about the mode
TOLERANCE = 0.01  # of the conjugate residuals
LEAST = 0.01  # share of the variance of white pixels below which r_i^2 is not taken


@dataclass(frozen=True, eq=False)
class EP(Guided):
    """It draws for speckle in the logarithm, with error bars to trust (benchmarks/remote_sensing/speckle_draws.py).

    `iterations` + 1 vector-Jacobian products per network call, `iterations` (at least 1) being those of the conjugate
    residuals. prior_std: s, the deviation of a pixel in the unit of the picture, above 0; below that of the prior,
    draws stay behind the measurement. sampler: a name of `samplers.SAMPLERS`. It takes any law of independent values
    with a proximal step; raises `Unsupported` for others, and for Gaussian noise, for which mmps needs no sites. Counts
    of 0 fit every rate below 0 alike: the prior has to keep rates above.
    """

    iterations: int = 2
    prior_std: float = 0.25
    sampler: str = "sde1"

    reference = "ep"
    when = (
        "Take it for draws with error bars to trust from counts and from speckle in the logarithm; under Gaussian "
        "noise take mmps."
    )
    needs = "a linear operator; counts, speckle in the logarithm, or a law of independent values with a proximal step"
    gradient = True
    least_steps = 6
    default_steps = 30

    def __post_init__(self) -> None:
        if self.iterations < 1 or not self.prior_std > 0:
            raise ValueError(f"iterations={self.iterations} must be at least 1, prior_std={self.prior_std:g} positive")
        named(self.sampler)

    @property
    def products(self) -> int:
        return self.iterations + 1

    def process(self) -> Sampler:
        return named(self.sampler)

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        noise = problem.picture_noise()
        if not isinstance(problem.operator, Identity):
            first = 40 * self.prior_std
        else:  # the higher, the less J is a covariance; but what is masked, or stopped, is known from its neighbours alone
            told = problem.mask is None and not isinstance(problem.likelihood, Censored)
            first = 5 * noise if told else max(5 * noise, 4 * self.prior_std)
        return log_uniform(steps or self.default_steps, first, problem.last_level(0.2, most=0.08 * self.prior_std))

    def check(self, problem: Problem) -> None:
        problem.linear("ep")
        if gaussian(problem.likelihood):
            raise Unsupported("ep is for noise other than Gaussian; use `solver=mmps`")
        try:
            problem.likelihood.prox(problem.y[:1], problem.y[:1], 1.0)
        except Unsupported as error:
            raise Unsupported(f"ep: {error}") from error

    @torch.no_grad()
    def conditional(self, problem: Problem, denoise: Denoiser, /) -> Denoiser:
        operator, y, law = problem.linear("ep"), problem.y, problem.likelihood
        valid = torch.ones_like(y[:1]) if problem.mask is None else problem.mask
        norms = valid * row_norms(operator, y)
        seen = norms > 0
        coins = torch.Generator().manual_seed(0)  # the same for every sample, so that the batch does not matter
        warm = WarmSolve(self.iterations, TOLERANCE)

        def conditional(x: Tensor, sigma: float | Tensor, /) -> Tensor:
            tweedie = Tweedie(denoise, x, sigma)

            def spread(v: Tensor) -> Tensor:
                return tweedie.covariance(operator.adjoint(v))

            m = operator(tweedie.x0)
            white = white_variance(self.prior_std, sigma)
            signs = seen * (torch.randint(2, m.shape[1:], generator=coins).to(m) * 2 - 1).expand_as(m)
            share = dot(signs, operator(spread(signs))) / (white * dot(norms, norms))
            r2 = torch.where(seen, share.clamp(LEAST, 1) * white * norms**2, white)
            d, variance = sites(law, y, m, r2)
            total = r2 + variance
            system = System(spread, lambda w: seen * operator(w), variance, lambda r: r / total)
            return warm(system, tweedie.x0, torch.where(seen, d * total, 0.0))

        return conditional


def sites(law: Likelihood, y: Tensor, m: Tensor, r2: Tensor) -> tuple[Tensor, Tensor]:
    """Return (d, S): with N(m, r2) before it, the law at y (B, ...) moves the mean by r2 d and counts as Gaussian
    noise of variance S.

    All are like y. Nodes lie about the mode, so that a likelihood far narrower than r or far off m is not missed.
    """
    if isinstance(law, Censored):  # these integrals are closed
        b, variance = law.site(y, m, r2)
        return b / (r2 + variance), variance
    mode = law.prox(y, m, 1 / r2)
    with torch.enable_grad():
        leaf = mode.detach().requires_grad_(True)
        slope = torch.autograd.grad(law.unit_nll(y, leaf).sum(), leaf, create_graph=True)[0]
        curvature = torch.autograd.grad(slope.sum(), leaf)[0] if slope.requires_grad else torch.zeros_like(leaf)
    z, w = (torch.from_numpy(t).to(m).view(-1, *[1] * m.ndim) for t in np.polynomial.hermite_e.hermegauss(NODES))
    off = mode - m + (1 / r2 + curvature.clamp(min=0)) ** -0.5 * z
    log_p = w.log() + 0.5 * z**2 - 0.5 * off**2 / r2 - law.unit_nll(y, m + off)
    p = log_p.softmax(0)
    moved = (p * off).sum(0)
    v = (p * (off - moved) ** 2).sum(0)
    told = ((r2 - v) / (r2 * v)).clamp(min=1e-6 / r2)  # 1 / S; a law that is not log-concave may say less than nothing
    return moved / r2, 1 / told
