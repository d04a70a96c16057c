"""`paper=True` is the paper: its levels, its number of calls, the weight of one step, worked out in the paper's coordinates.

Papers work on [-1, 1] and, most of them, with a state x_net = sqrt(a) (2 x - 1), a = 1 / (1 + (2 sigma)^2). Without noise (`Silent`)
a step is its mean, which is what its weights decide.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from restorekit import operators as ops
from restorekit.inference.likelihood import Gamma, Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.solver import Solver
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import (
    DAPS,
    DDRM,
    DPS,
    DSG,
    GDP,
    ILVR,
    MCG,
    MPGD,
    SARDPS,
    SITCOM,
    SNIPS,
    SOLVERS,
    TMPD,
    VDS,
    DDNMPlus,
    DiffPIR,
    EnKG,
    FlowDPS,
    PiGDM,
    PnPDM,
    PnPFlow,
)
from restorekit.solvers.parts.conditional import conditional

SHAPE = (1, 4, 4)
PRIOR = GaussianPrior.smooth(SHAPE)
MASK = (torch.arange(16) % 3 > 0).double().view(SHAPE)
ALPHA_BAR = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)  # Ho et al. 2020, section 4
DDPM = ((1 - ALPHA_BAR) / ALPHA_BAR).sqrt()  # noise over signal on [-1, 1]
SIGMA, FOLLOWING, SIGMA_Y = 0.7, 0.4, 0.05


class Silent(Rng):
    def normal(self, like: Tensor) -> Tensor:
        return torch.zeros_like(like)


def measured(operator: ops.LinearOperator | None = None, sigma_y: float = SIGMA_Y) -> Problem:
    operator = operator or ops.Inpaint(SHAPE, MASK)
    g = torch.Generator().manual_seed(0)
    return Problem(operator(PRIOR.sample(1, g)), operator, Gaussian(sigma_y))


def state() -> Tensor:
    return torch.randn(1, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def step(solver: Solver, problem: Problem) -> Tensor:
    return next(iter(solver(problem, PRIOR, [SIGMA, FOLLOWING, 0.0], state(), Silent([0])))).x


def root(sigma: float) -> float:
    """sqrt(alpha_bar)."""
    return 1 / math.sqrt(1 + (2 * sigma) ** 2)


def net(x: Tensor, sigma: float) -> Tensor:
    return (2 * x - 1) * root(sigma)


def ancestral(x: Tensor, x0: Tensor) -> Tensor:
    """The mean of Ho et al. 2020, eq 7, of states on [-1, 1]."""
    a, b = root(SIGMA) ** 2, root(FOLLOWING) ** 2
    alpha = a / b
    return (math.sqrt(b) * (1 - alpha) / (1 - a)) * x0 + (math.sqrt(alpha) * (1 - b) / (1 - a)) * x


def uniform(count: int) -> list[int]:
    return [round(i * 999 / (count - 1)) for i in reversed(range(count))]


# (solver, levels on [-1, 1], network calls), and where the paper says so.
GRIDS: dict[str, tuple[Solver, list[float], int]] = {
    # Section 5: 20 NFEs, uniformly spaced times; eta = 0.85, eta_b = 1.
    "ddrm": (DDRM(paper=True), [float(DDPM[t]) for t in uniform(20)], 20),
    # Section 4: 100 sampling steps, eta = 0.85.
    "ddnm+": (DDNMPlus(paper=True), [float(DDPM[t]) for t in uniform(100)], 100),
    # Section 4: 100 steps, eta = 1.
    "pigdm": (PiGDM(paper=True), [float(DDPM[t]) for t in uniform(100)], 100),
    # Appendix on hyper-parameters: 1000 reverse steps.
    "mcg": (MCG(paper=True), [float(s) for s in DDPM.flip(0)], 1000),
    "dps": (DPS(paper=True), [float(s) for s in DDPM.flip(0)], 1000),
    "vds": (VDS(paper=True), [float(s) for s in DDPM.flip(0)], 1000),
    # Section 4: 100 NFE; skip_type "quad" of its configuration, T sqrt(k / 99) from the top.
    "diffpir": (DiffPIR(paper=True), [float(DDPM[max(0, 999 - int(1000 * math.sqrt(k / 99)))]) for k in range(100)], 100),
    # Appendix: 200 annealing steps from 100 to 0.1 with rho = 7 (Karras et al., eq 5), an ODE of 5 steps in each.
    "daps": (DAPS(paper=True), [(100 ** (1 / 7) + i / 199 * (0.1 ** (1 / 7) - 100 ** (1 / 7))) ** 7 for i in range(200)], 1000),
    # Appendix: rho_k = max(0.9^k 10, 0.3), 100 iterations; the number of levels of its inner process is ours (6).
    "pnpdm": (PnPDM(paper=True), [max(10 * 0.9**k, 0.3) for k in range(35)], 100 * 11),
    # The settings of the published code, one weight of a step of each in tests/solvers/test_newer_samplers.py, test_flows.py, test_gdp.py, test_enkg.py.
    "tmpd": (TMPD(paper=True), [float(s) for s in DDPM.flip(0)], 1000),
    "mpgd": (MPGD(paper=True), [float(DDPM[t]) for t in uniform(100)], 100),
    "dsg": (DSG(paper=True), [float(DDPM[t]) for t in uniform(100)], 100),
    "ilvr": (ILVR(paper=True), [float(DDPM[t]) for t in uniform(100)], 100),
    "sitcom": (SITCOM(paper=True), [float(DDPM[t]) for t in uniform(20)], 20 * 21),  # N = 20 levels, K = 20 steps of Adam
    "snips": (SNIPS(paper=True), [180 * (0.01 / 90) ** (i / 499) for i in range(500)], 500 * 5 + 1),  # on [0, 1]: 90 to 0.01
    "flowdps": (FlowDPS(paper=True), [4 * t / (1 - t) for t in (min(0.999, 1 - i / 28) for i in range(28))], 28),  # shift 4
    "gdp": (GDP("gain", paper=True), [float(s) for s in DDPM.flip(0)], 1000),
    "pnpflow": (PnPFlow(paper=True), [(101 - i) / i for i in range(1, 101)], 100 * 5),  # t = i / 101, 5 draws of the noise
    "enkg": (EnKG(paper=True), [2 * (40 ** (1 / 7) + i / 79 * (0.001 ** (1 / 7) - 40 ** (1 / 7))) ** 7 for i in range(80)],
             80 + 2 * sum(min(1 + (80 - i) // 4, 20) for i in range(5, 76))),  # two corrections a level, none at both ends
}  # fmt: skip


def test_every_solver_with_a_paper_mode_is_here() -> None:
    """But sar-dps, whose paper prints no schedule."""
    having = {name for name, solver in SOLVERS.items() if any(f.name == "paper" for f in fields(solver))}
    assert having - set(GRIDS) == {"sar-dps"}


@pytest.mark.parametrize("name", GRIDS)
def test_levels_and_calls_are_those_of_the_paper(name: str) -> None:
    solver, levels, calls = GRIDS[name]
    found = solver.schedule(measured(), None)
    assert [2 * s for s in found[:-1]] == pytest.approx(levels, rel=1e-9)
    assert found[-1] == 0
    assert solver.calls(found) == calls


@pytest.mark.parametrize(("sigma_y", "solver"), [(s, make) for s in (0.02, 0.6) for make in (DDRM, DDNMPlus)])
def test_a_step_by_singular_values(sigma_y: float, solver: type[DDRM | DDNMPlus]) -> None:
    """Kawar et al. 2022, eq 8 (eta = 0.85, eta_b = 1), in its coordinates x = x_net / sqrt(a); Wang et al. 2023, appendix I."""
    problem = measured(sigma_y=sigma_y)
    x, x0, y = state(), PRIOR(state(), SIGMA), problem.y
    keep = math.sqrt(1 - 0.85**2) * FOLLOWING
    blind = x0 + keep * (x - x0) / SIGMA
    seen = x0 + keep * (y - x0) / sigma_y if sigma_y > FOLLOWING else y
    torch.testing.assert_close(step(solver(paper=True), problem), torch.where(MASK > 0, seen, blind))


def test_the_step_of_pigdm() -> None:
    """Algorithm 1: the ancestral step plus sqrt(a) r^2 J' A' (r^2 A A' + sigma_y^2)^-1 (y - A x0), r^2 = 1 - a (VP)."""
    problem, a = measured(), root(SIGMA) ** 2
    leaf = net(state(), SIGMA).requires_grad_(True)
    x0 = 2 * PRIOR((leaf / root(SIGMA) + 1) / 2, SIGMA) - 1
    residual = MASK * ((2 * problem.y - 1) - x0.detach())
    r2 = 1 - a
    (guidance,) = torch.autograd.grad(x0, leaf, residual / (r2 + (2 * SIGMA_Y) ** 2))
    expected = ancestral(leaf.detach(), x0.detach()) + math.sqrt(a) * r2 * guidance
    torch.testing.assert_close(net(step(PiGDM(paper=True), problem), FOLLOWING), expected)


def test_the_step_of_mcg() -> None:
    """Eqs 14 and 15 with alpha = 1: an ancestral step, the gradient of ||A+ (y - A x0)||, the measured part replaced."""
    problem = measured(sigma_y=1e-3)
    leaf = net(state(), SIGMA).requires_grad_(True)
    x0 = 2 * PRIOR((leaf / root(SIGMA) + 1) / 2, SIGMA) - 1
    (g,) = torch.autograd.grad((MASK * ((2 * problem.y - 1) - x0)).norm(), leaf)
    free = ancestral(leaf.detach(), x0.detach()) - g
    expected = torch.where(MASK > 0, net(problem.y, FOLLOWING), free)
    torch.testing.assert_close(net(step(MCG(paper=True), problem), FOLLOWING), expected)


def test_the_step_of_dps() -> None:
    """Algorithm 1 with its step 1 / ||y - A x0|| of grad ||y - A x0||^2, half of it by the published code (a norm, of step 1)."""
    problem = measured()
    leaf = net(state(), SIGMA).requires_grad_(True)
    x0 = 2 * PRIOR((leaf / root(SIGMA) + 1) / 2, SIGMA) - 1
    (g,) = torch.autograd.grad((MASK * ((2 * problem.y - 1) - x0)).norm(), leaf)
    expected = ancestral(leaf.detach(), x0.detach()) - g
    torch.testing.assert_close(net(step(DPS(paper=True), problem), FOLLOWING), expected)


def test_the_step_of_diffpir() -> None:
    """Algorithm 1: rho = lambda sigma_n^2 / sigma_t^2 with lambda = 1, sigma_n on [0, 1] and sigma_t on [-1, 1]; zeta = 0.1."""
    problem = measured()
    x, x0 = state(), PRIOR(state(), SIGMA)
    rho = SIGMA_Y**2 / (2 * SIGMA) ** 2
    xh = torch.where(MASK > 0, (problem.y + rho * x0) / (1 + rho), x0)
    noise = (net(x, SIGMA) - root(SIGMA) * (2 * xh - 1)) / math.sqrt(1 - root(SIGMA) ** 2)
    b = root(FOLLOWING) ** 2
    expected = math.sqrt(b) * (2 * xh - 1) + math.sqrt(1 - b) * math.sqrt(1 - 0.1) * noise
    torch.testing.assert_close(net(step(DiffPIR(paper=True), problem), FOLLOWING), expected)


def test_the_steps_of_daps() -> None:
    """Algorithm 1: an ODE to x0, then the mean of p(y | z) N(z; x0, sigma^2) with tau = 0.01; appendix."""
    problem = measured()
    one = replace(DAPS(paper=True), inner=1)
    x0 = PRIOR(state(), SIGMA)
    rho = (0.01 / (2 * SIGMA)) ** 2
    expected = torch.where(MASK > 0, (problem.y + rho * x0) / (1 + rho), x0)
    torch.testing.assert_close(step(one, problem), expected)


def test_the_step_of_pnpdm() -> None:
    """Algorithm 1, its likelihood step: N(P^-1 (A' y / sigma_y^2 + x / rho^2), P^-1), P = A'A / sigma_y^2 + I / rho^2 (eq 8)."""
    problem, x = measured(), state()
    precision = MASK / SIGMA_Y**2 + 1 / SIGMA**2
    expected = (MASK * problem.y / SIGMA_Y**2 + x / SIGMA**2) / precision
    torch.testing.assert_close(conditional(problem)(x, SIGMA, Silent([0])), expected)


def test_the_step_of_vds() -> None:
    """Algorithm 1 with lambda = 0.25: (1 / m) A'(A mu - y) + lambda (1 / n) sigma (eps - e), then Adam of rate 0.1."""
    operator = ops.BlockAverage(SHAPE, 2)
    problem, solver = measured(operator), VDS(paper=True)
    x, x0 = state(), PRIOR(state(), SIGMA)
    m, n = 4, 16
    expected = operator.adjoint(operator(x) - problem.y) / m + 0.25 / n * (x - x0)
    data = operator.adjoint(operator(x) - problem.y) / SIGMA_Y**2
    found = data + solver.weight(problem, x, SIGMA) * (x - x0)
    torch.testing.assert_close(found / expected, torch.full_like(x, m / SIGMA_Y**2))
    moved = 2 * step(solver, problem) - 2 * x
    torch.testing.assert_close(moved, -0.1 * expected.sign())  # Adam's first step has the length of its rate
    second = list(solver(problem, PRIOR, [SIGMA, FOLLOWING, 0.2, 0.0], x, Silent([0])))
    assert len(second) == 3


def test_the_step_of_sar_dps() -> None:
    """Wang, Wu, Li, Yang 2025, eqs 23 and 24: x0 + sigma^2 J' R', R' = L (y - x) / x^2 by x, L (y e^-u - 1) by u = ln x."""
    law, operator = Gamma(4.0, "log"), ops.Identity(SHAPE)
    problem = Problem(torch.full((1, *SHAPE), 0.3, dtype=torch.float64), operator, law)
    leaf = state().requires_grad_(True)
    x0 = PRIOR(leaf, SIGMA)
    score = 4 * ((problem.y - x0.detach()).exp() - 1)
    (pulled,) = torch.autograd.grad(x0, leaf, score.clamp(max=5 * 4**0.5))  # 5 deviations at most: data_step.py
    solver = SARDPS(paper=True, sampler="ddpm")
    found = next(iter(solver(problem, PRIOR, [SIGMA, 0.0], state(), Silent([0])))).x
    torch.testing.assert_close(found, x0.detach() + SIGMA**2 * pulled)
