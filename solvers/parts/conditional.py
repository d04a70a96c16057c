"""Draws given y and an x0, at a distance t: the data step of the samplers that split prior and likelihood.

`conditional` draws from p(y | z) N(z; x0, t^2 I) (PnP-DM, and DAPS as published). Exact for linear Gaussian problems (perturb the right-hand side and solve: Papandreou and Yuille, NeurIPS 2010) and for
noise that is independent from pixel to pixel under an operator that is 1 (the quantile function on a grid); otherwise
by Langevin steps.

`updated` turns x0, itself a draw from a prior of covariance t^2 I, into a draw given y: the measurement is perturbed by its
own noise, and z fits it as closely as x0 allows. For Gaussian problems that is Matheron's rule, and exact; otherwise the
randomised maximum likelihood of Oliver, He, Reynolds, ECMOR 1996.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.sited import Sited
from restorekit.operators.base import LinearOperator, near
from restorekit.operators.diagonal import Identity
from restorekit.solvers.parts.data_step import check_data_step, data_step

Draw = Callable[[Tensor, float, Rng], Tensor]


def conditional(problem: Problem, langevin: int = 100, tau: float | None = None) -> Draw:
    """Return a function (x0, t, rng) -> z ~ p(y | z) N(z; x0, t^2 I), all pictures (B, C, H, W).

    tau replaces sigma_y where it is given; langevin: the number of steps where only those are left.
    """
    if isinstance(problem.operator, Identity) and problem.mask is None:
        try:
            problem.least_squares("")
        except Unsupported:
            return by_quantile(problem)
    try:
        return by_perturbation(problem, tau)
    except Unsupported:
        return by_langevin(problem, langevin)


def by_perturbation(problem: Problem, tau: float | None) -> Draw:
    """Return the exact draw of a linear Gaussian problem. Raises `Unsupported` for others."""
    operator, y, sigma_y = problem.least_squares("an exact draw")
    s = tau or sigma_y

    def draw(x0: Tensor, t: float, rng: Rng) -> Tensor:
        rho = (s / t) ** 2
        right = operator.adjoint(y + s * rng.normal(y)) + rho * (x0 + t * rng.normal(x0))
        return operator.normal_solve(right, rho, x0, tolerance=near(x0))

    return draw


def by_quantile(problem: Problem, nodes: int = 64, zooms: int = 4) -> Draw:
    """Return the draw by the quantile function of each pixel.

    The cumulative sum is inverted on a grid that closes in on the mass, linear between the nodes; a pixel has one mode.
    """

    def draw(x0: Tensor, t: float, rng: Rng) -> Tensor:
        u = 0.5 * (1 + torch.erf(rng.normal(x0) / math.sqrt(2)))
        unit = torch.linspace(0, 1, nodes, dtype=x0.dtype, device=x0.device).view(-1, *[1] * x0.ndim)

        def density(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
            z = low + (high - low) * unit
            log = -problem.likelihood.unit_nll(problem.y.expand_as(z), z) - 0.5 * ((z - x0) / t) ** 2
            return z, log - log.amax(0)

        z, log = density(x0 - 6 * t, x0 + 6 * t)
        for _ in range(zooms):  # to where the density is above e^-15 of its top, and one node more
            near = (log > -15).to(z)
            first, last = near.argmax(0, keepdim=True), nodes - 1 - near.flip(0).argmax(0, keepdim=True)
            z, log = density(z.gather(0, (first - 1).clamp(min=0))[0], z.gather(0, (last + 1).clamp(max=nodes - 1))[0])
        mass = log.exp()
        cumulative = torch.cat([torch.zeros_like(mass[:1]), (0.5 * (mass[1:] + mass[:-1])).cumsum(0)])
        goal = u * cumulative[-1]
        i = (cumulative < goal).sum(0, keepdim=True).clamp(1, nodes - 1)
        below, above = cumulative.gather(0, i - 1)[0], cumulative.gather(0, i)[0]
        share = ((goal - below) / (above - below).clamp(min=1e-30)).clamp(0, 1)
        return torch.lerp(z.gather(0, i - 1)[0], z.gather(0, i)[0], share)

    return draw


def by_langevin(problem: Problem, steps: int) -> Draw:
    """Return the draw by unadjusted Langevin steps from x0, each a tenth of the inverse curvature."""
    return lambda x0, t, rng: _walk(problem, x0, t, steps, rng)


def _walk(problem: Problem, x0: Tensor, t: float, steps: int, rng: Rng | None) -> Tensor:
    """Take Langevin steps, or without `rng` a descent; the curvature of the data is estimated as |g|^2 / (2 nll)."""
    z, curvature = x0, torch.zeros(len(x0), *[1] * (x0.ndim - 1), dtype=x0.dtype, device=x0.device)
    for _ in range(steps):
        with torch.enable_grad():
            leaf = z.detach().requires_grad_(True)
            nll = problem.nll(leaf)
            (g,) = torch.autograd.grad(nll.sum(), leaf)
        size = g.square().flatten(1).sum(1) / (2 * nll.detach()).clamp(min=1e-12)
        curvature = torch.maximum(curvature, size.view_as(curvature))
        h = 0.1 / (1 / t**2 + curvature)
        z = z - h * (g + (z - x0) / t**2)
        z = z if rng is None else z + (2 * h).sqrt() * rng.normal(z)
    return z


def updated(problem: Problem, steps: int = 100) -> Draw:
    """Return a function (x0, t, rng) -> z, a draw given y where x0 is one without.

    steps: of descent where the operator is not linear, or the law neither says how noisy it is nor has a proximal step.
    """
    linear = isinstance(problem.operator, LinearOperator)
    try:
        check_data_step(problem, "this draw")
    except Unsupported:
        linear = False

    def draw(x0: Tensor, t: float, rng: Rng) -> Tensor:
        # y + noise would be biased once more, and is no other stop
        if linear and (not problem.likelihood.unbiased or isinstance(problem.likelihood, Sited)):
            return data_step(problem, "this draw", rng)(x0, t)
        mine = perturbed(problem, rng)
        if linear:
            return data_step(mine, "this draw")(x0, t)
        return _walk(mine, x0, t, steps, None)

    return draw


def perturbed(problem: Problem, rng: Rng) -> Problem:
    """Return the problem with y + n, n as large as the noise of y: drawn by the law at y where it does not say how
    noisy it is."""
    law, y = problem.likelihood, problem.y
    try:
        return replace(problem, y=law.perturbed(y, rng.normal(y)))
    except Unsupported:
        drawn = [law.sample(one, generator) for one, generator in zip(y.split(1), rng.generators, strict=True)]
        return replace(problem, y=torch.cat(drawn))
