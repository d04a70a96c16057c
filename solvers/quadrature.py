"""Guidance by an integrated likelihood, for counts and speckle: p(y | x_t) = prod_i E[p(y_i | a_i + r_t |A_i| z)], z ~ N(0, 1),
a = A x0, by Gauss-Hermite nodes per measured value.

It is to any noise law what PiGDM (Song et al. 2023, eq 7) is to Gaussian noise, with the diagonal of A A' in place of A A':
exact in that law for denoising and masks, an approximation where measurements share pixels. DPS puts all weight on z = 0
and is over-confident as long as x0 is uncertain. As that of PiGDM its length is limited to where the fit would be perfect:
one deviation for all directions overshoots where the prior has a larger one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.inference.censored import Censored
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.operators.base import LinearOperator
from restorekit.solvers.parts.guided import Guided
from restorekit.solvers.samplers import Sampler, named


def row_norms(operator: LinearOperator, like: Tensor, probes: int = 32) -> Tensor:
    """Return |A_i| of every measured value, (1, ...), by random signs; exact where a value sees one pixel.

    like: a measurement, whose dtype and device are taken.
    """
    g = torch.Generator().manual_seed(0)
    signs = torch.randint(2, (probes, *operator.image_shape), generator=g).to(like) * 2 - 1
    return operator(signs).square().mean(0, keepdim=True).sqrt()


@dataclass(frozen=True, eq=False)
class Quadrature(Guided):
    """It takes one vector-Jacobian product per network call."""

    prior_std: float = 0.25  # s per pixel, in the unit of the picture: r_t^2 = s^2 sigma^2 / (s^2 + sigma^2)
    nodes: int = 40
    sampler: str = "sde"

    reference = "pigdm"
    when = (
        "Take it for counts and speckle of values that are independent of each other, such as points; it is too sure "
        "on scenes, where ep is not."
    )
    tunable = {"prior_std": (0.05, 0.5)}
    needs = "a linear operator; counts, speckle or another law of independent values, but not Gaussian noise"
    amplifies = True
    gradient = True
    default_steps = 50
    least_steps = 8

    def __post_init__(self) -> None:
        if self.prior_std <= 0 or self.nodes < 2:
            raise ValueError(f"prior_std={self.prior_std} must be positive, nodes={self.nodes} at least 2")
        named(self.sampler)

    def process(self) -> Sampler:
        return named(self.sampler)

    def check(self, problem: Problem) -> None:
        if not isinstance(problem.operator, LinearOperator):
            raise Unsupported(f"quadrature needs a linear operator, got {problem.operator.title}; use `solver=dps`")
        if isinstance(problem.likelihood, Gaussian | Censored):
            raise Unsupported("quadrature is for noise other than Gaussian; use `solver=pigdm` or mmps")

    @torch.no_grad()
    def conditional(self, problem: Problem, denoise: Denoiser, /) -> Denoiser:
        operator, y = problem.operator, problem.y
        norms = row_norms(operator, y)  # type: ignore[arg-type]
        z, w = (torch.from_numpy(t).to(y) for t in np.polynomial.hermite_e.hermegauss(self.nodes))
        z, log_w = (t.view(-1, *[1] * y.ndim) for t in (z, w.log()))

        def twisted(mean: Tensor, r: float | Tensor) -> Tensor:
            """log E[p(y | mean + r |A_i| z)] per measured value, up to a constant of y."""
            nll = problem.likelihood.unit_nll(y, mean + r * norms * z)  # (nodes, B, ...)
            log_p = torch.logsumexp(log_w - nll, 0)
            return log_p if problem.mask is None else log_p * problem.mask

        def conditional(x: Tensor, sigma: float | Tensor, /) -> Tensor:
            r = self.prior_std * sigma / (self.prior_std**2 + sigma**2) ** 0.5
            with torch.enable_grad():
                leaf = x.detach().requires_grad_(True)
                x0 = denoise(leaf, sigma)
                log_p = twisted(operator(x0), r)
                (score,) = torch.autograd.grad(log_p.sum(), leaf)
            missing = (twisted(y, r) - log_p).detach().flatten(1).sum(1).clamp(min=0)  # of about a perfect fit
            limit = 2 * missing / (sigma**2 * score.square().flatten(1).sum(1)).clamp(min=1e-30)
            return x0.detach() + sigma**2 * limit.clamp(max=1).view(-1, 1, 1, 1) * score

        return conditional
