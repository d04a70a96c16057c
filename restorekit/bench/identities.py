"""`restorekit check` asks identities of a noise law, a solver or a prior, with both sides, as `operators.check` has
them.

Each function returns a list of `Check`, to be shown by `operators.report`. Random numbers come from `seed` alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian, Likelihood
from restorekit.inference.problem import CLEAN, Problem
from restorekit.inference.solver import Solver
from restorekit.operators import Identity, Inpaint
from restorekit.operators.verify import Check
from restorekit.priors.analytic import GaussianPrior
from restorekit.priors.prior import Prior

DRAWS = 200_000
LARGEST = 5.0  # deviations that a mean of draws may be off: once in two million by chance
SAMPLES = 48
NOISE = 0.05


def _within(name: str, left: float, right: float, limit: float) -> Check:
    error = abs(left - right)
    return Check(name, left, right, error, error <= limit)  # a NaN fails


def check_noise(law: Likelihood, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[Check]:
    """Check a noise law at means from 0.05 to 1: unit_nll, its gradient, draws against score and information, and prox."""
    return list(_noise(law, dtype, seed))


def _noise(law: Likelihood, dtype: torch.dtype, seed: int) -> Iterator[Check]:
    rng = torch.Generator().manual_seed(seed)
    mean = torch.linspace(0.05, 1, 64, dtype=dtype).view(1, 1, 8, 8)
    y = law.sample(mean, rng)
    fit = law.unit_nll(mean, mean)
    yield _within("unit_nll(mean, mean) = 0", float(fit.abs().max()), 0.0, 1e-5)
    yield _within("unit_nll >= 0", min(0.0, float(law.unit_nll(y, mean).min())), 0.0, 1e-5)
    again = law.sample(mean, torch.Generator().manual_seed(seed))
    yield _within("same generator, same noise", float((again - y).abs().max()), 0.0, 0.0)
    step = 1e-5 if dtype == torch.float64 else 1e-3
    differences = (law.unit_nll(y, mean + step) - law.unit_nll(y, mean - step)) / (2 * step)
    gradient = law.gradient(y, mean)
    scale = max(float(gradient.abs().max()), 1.0)
    far = float((gradient - differences).abs().median())  # a law may have a corner somewhere
    yield _within("gradient = differences, median", far / scale, 0.0, 1e-4 if dtype == torch.float64 else 3e-2)
    edge = law.within(torch.zeros(3, dtype=dtype), torch.tensor([-0.1, 0.0, 1e-3], dtype=dtype))
    values = (law.unit_nll(torch.zeros_like(edge), edge), law.gradient(torch.zeros_like(edge), edge))
    finite = all(bool(torch.isfinite(v).all()) for v in values)
    yield Check("finite at y = 0 and means around 0", float(finite), 1.0, float(not finite), finite)
    for level in (0.1, 0.5):
        yield from _drawn(law, torch.full((DRAWS,), level, dtype=dtype), rng)
    yield from _proximal(law, y, mean)


def _mean(name: str, values: Tensor, expected: float, scale: float) -> Check:
    """Compare the mean of draws with what it should be, in units of `scale`, within what chance allows."""
    chance = float(values.std()) / math.sqrt(len(values)) / scale
    return _within(name, float(values.mean()) / scale, expected / scale, LARGEST * chance + 1e-6)


def _drawn(law: Likelihood, mean: Tensor, rng: torch.Generator) -> Iterator[Check]:
    y, level = law.sample(mean, rng), float(mean[0])
    if law.unbiased or type(law).centred is not Likelihood.centred:
        yield _mean(f"mean of draws at {level:g}", law.centred(y), level, level)
    score = law.gradient(y, mean)
    spread = max(float(score.std()), 1e-12)
    yield _mean(f"mean of the score at {level:g}, deviations", score, 0.0, spread)
    try:
        information = float(law.information(mean)[0])
    except Unsupported:
        return
    yield _mean(f"score^2 = information at {level:g}", score.square(), information, information)


def _proximal(law: Likelihood, y: Tensor, mean: Tensor) -> Iterator[Check]:
    weight = 20.0
    try:
        x = law.prox(y, mean, weight)
    except Unsupported:
        return

    def cost(at: Tensor) -> Tensor:
        return law.unit_nll(y, at) + weight / 2 * (at - mean).square()

    least = torch.stack([cost(law.within(y, x + step)) for step in torch.linspace(-0.5, 0.5, 2001).tolist()]).amin(0)
    found = cost(x)
    excess = float(((found - least) / (1 + least.abs())).max())
    yield Check("prox is the minimum", float(found.sum()), float(least.sum()), max(excess, 0.0), excess <= 1e-4)


def check_solver(solver: Solver, seed: int = 0, steps: int | None = None) -> list[Check]:
    """Check a solver on an 8x8 Gaussian prior with half of the pixels measured at noise 0.05, or all where it takes no mask; without noise
    where it is for clean measurements.

    Raises `Unsupported`, with the reason of the solver, where it takes neither: `restorekit bench posterior` has problems of
    other noise laws.
    """
    prior = GaussianPrior.smooth((1, 8, 8))
    rng = torch.Generator().manual_seed(seed)
    mask = (torch.rand(1, 8, 8, generator=rng) < 0.5).double()
    truth = prior.sample(1, rng)
    first: Unsupported | None = None
    for operator in (Inpaint((1, 8, 8), mask), Identity((1, 8, 8))):
        noise = Gaussian(CLEAN if solver.exact else NOISE)
        problem = Problem(noise.sample(operator(truth), rng), operator, noise)
        try:
            solver.check(problem)
        except Unsupported as error:
            first = first or error
        else:
            return list(_solved(solver, problem, prior, seed, steps))
    assert first is not None
    raise first


def _solved(solver: Solver, problem: Problem, prior: GaussianPrior, seed: int, steps: int | None) -> Iterator[Check]:
    before, several = problem.y.clone(), solver.is_sampler and not solver.exact
    result = restore(problem, prior, solver, steps=steps, samples=SAMPLES if several else 1, seed=seed)
    one = restore(problem, prior, solver, steps=steps, samples=1, seed=seed)
    again = restore(problem, prior, solver, steps=steps, samples=1, seed=seed)
    yield _within("y unchanged", float((problem.y - before).abs().max()), 0.0, 0.0)
    yield _within("same seed, same result", float((one.samples - again.samples).abs().max()), 0.0, 0.0)
    if several:
        apart = float((one.samples[0] - result.samples[0]).abs().max())
        yield _within("sample independent of batch", apart, 0.0, 1e-4)
    declared = solver.calls(solver.schedule(problem, steps))
    held = 0 < one.nfe <= declared
    yield Check("network calls, at most as declared", one.nfe, declared, max(0, one.nfe - declared), held)
    mean, covariance = prior.posterior(problem.operator, problem.y, problem.likelihood.sigma)  # type: ignore[arg-type, attr-defined]
    deviation = covariance.diagonal().clamp(min=1e-12).sqrt().view_as(mean[0])
    off = float(((result.mean - mean[0]) / deviation).square().mean().sqrt())
    yield _within("mean, posterior deviations off", off, 0.0, 1.0)
    if several:
        spread = float((result.std / deviation).square().mean().sqrt())
        yield Check("spread / exact, 0.5 to 1.3", spread, 1.0, abs(spread - 1), 0.5 <= spread <= 1.3)


@torch.no_grad()
def check_prior(prior: Prior, shape: tuple[int, int, int] = (3, 20, 16), seed: int = 0) -> list[Check]:
    """Check a prior on a smooth picture (C, H, W): shapes, batches, and what it does with little, some and much noise."""
    return list(_denoised(prior, shape, seed))


def _denoised(prior: Prior, shape: tuple[int, int, int], seed: int) -> Iterator[Check]:
    bands, height, width = shape
    denoise, rng = prior.for_bands(bands), torch.Generator().manual_seed(seed)
    units = prior.units
    centre, unit = (0.5, 1.0) if units is None else (units.mean, units.gain)
    ramp = torch.linspace(-0.4, 0.4, width) + torch.linspace(-0.1, 0.1, height)[:, None]
    clean = (centre + unit * ramp).expand(2, bands, height, width).contiguous()
    noisy = clean + 0.1 * unit * torch.randn(clean.shape, generator=rng)
    kept = noisy.clone()
    x0 = denoise(noisy, 0.1 * unit)
    same = x0.shape == noisy.shape
    yield Check("shape of D(x, sigma) = shape of x", x0.numel(), noisy.numel(), float(not same), same)
    if not same:
        return
    yield _within("x unchanged", float((noisy - kept).abs().max()), 0.0, 0.0)
    levels = torch.full((2,), 0.1 * unit)
    yield _within("sigma as a number = as a tensor", float((denoise(noisy, levels) - x0).abs().max()) / unit, 0.0, 1e-2)
    alone = float((denoise(noisy[:1], 0.1 * unit) - x0[:1]).abs().max()) / unit
    yield _within("item independent of batch", alone, 0.0, 1e-2)
    left, right = (float((a - clean).square().mean().sqrt()) / unit for a in (x0, noisy))
    yield Check("error of D(x, 0.1) < noise of x", left, right, left / right, left < right)
    little = denoise(clean, 0.002 * unit)
    yield _within("D(x, 0.002) = x", float((little - clean).square().mean().sqrt()) / unit, 0.0, 0.02)
    much = denoise(clean + 50 * unit * torch.randn(clean.shape, generator=rng), 50 * unit)
    yield _within("D(x, 50) has no noise left", float(much.std()) / unit, 0.0, 1.0)
