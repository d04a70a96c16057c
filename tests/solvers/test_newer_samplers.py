"""TMPD, MPGD, DSG, SITCOM, ILVR and SNIPS: what their papers prove, or one step worked out by hand; and their refusals."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from restorekit import operators as ops
from restorekit.bench.posterior.exam_gaussian import GaussianExam
from restorekit.errors import BadInput, Unsupported
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.solver import Solver, Step
from restorekit.operators.combine import Stack
from restorekit.priors.analytic import GaussianPrior, dense, from_basis, to_basis
from restorekit.solvers import DSG, ILVR, MPGD, SITCOM, SNIPS, TMPD
from restorekit.solvers.parts.gains import evenness
from restorekit.solvers.parts.spectral import Spectrum
from restorekit.solvers.snips import score
from tests.support.cases import gaussian
from tests.support.oracle import ORACLES, Stream

SHAPE = (1, 6, 6)
F64 = torch.float64


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def first(solver: Solver, problem: Problem, prior: Denoiser, levels: list[float], x: Tensor, seed: int = 0) -> Step:
    return next(iter(solver(problem, prior, levels, x, Stream(seed))))


# --- TMPD ---


def exact_conditional(
    prior: GaussianPrior, operator: ops.LinearOperator, sigma_y: float, y: Tensor, x: Tensor, s: float
) -> Tensor:
    """E[x0 | x_t, y]"""
    return GaussianExam(operator, sigma_y, prior).conditioned(y)(x, s)


@pytest.mark.parametrize("sigma", [0.02, 0.3, 5.0])
@pytest.mark.parametrize("paper", [False, True])
def test_tmpd_is_exact_where_covariance_and_operator_are_diagonal(paper: bool, sigma: float) -> None:
    prior = GaussianPrior(uniform(*SHAPE), 0.01 + 0.2 * uniform(*SHAPE, seed=1), "pixel")
    operator = ops.Inpaint(SHAPE, uniform(*SHAPE, seed=2).round() * 0.7)
    y, x = uniform(1, *SHAPE, seed=3), sigma * uniform(1, *SHAPE, seed=4)
    problem = Problem(y, operator, Gaussian(0.05))
    found = first(TMPD("ddim", paper), problem, prior, [sigma, 0.0], x).x
    torch.testing.assert_close(found, exact_conditional(prior, operator, 0.05, problem.y, x, sigma), rtol=0, atol=1e-10)


def test_tmpd_takes_the_diagonal_in_the_singular_basis() -> None:
    """A blur and a stationary prior are diagonal together, but not in pixels."""
    prior = GaussianPrior(torch.full(SHAPE, 0.5, dtype=F64), 0.01 + 0.2 * uniform(*SHAPE, seed=1), "fft")
    operator = ops.CircularBlur(SHAPE, gaussian(5, 0.8))
    y, x = uniform(1, *SHAPE, seed=3), uniform(1, *SHAPE, seed=4)
    expected = exact_conditional(prior, operator, 0.02, y, x, 0.3)
    off = [
        float(
            (first(TMPD("ddim", paper), Problem(y, operator, Gaussian(0.02)), prior, [0.3, 0.0], x).x - expected).norm()
        )
        for paper in (False, True)
    ]
    assert off[0] < 1e-9
    assert off[1] > 0.1


def test_a_step_of_tmpd_solves_the_exact_system_along_its_direction() -> None:
    """u'(b - (A V A' + sigma_y^2 I) u) = 0 for u = alpha d; here A A' = I / 9, so that u = 9 A V^-1 (x0_y - x0)."""
    oracle = ORACLES["average"]()
    y, x = oracle.draw(1, 0)[1], uniform(1, 1, 12, 12, seed=5)
    x0 = oracle.prior(x, 0.3)
    moved = first(TMPD("ddim"), oracle.problem(y), oracle.prior, [0.3, 0.0], x).x - x0
    inverse = 1 / oracle.prior.variances + 1 / 0.3**2  # of V, in the basis of the prior
    u = 9 * oracle.operator(from_basis(inverse * to_basis(moved, "dct"), "dct"))
    left = y - oracle.operator(x0 + moved) - oracle.sigma_y**2 * u
    assert float((u * left).sum().abs()) < 1e-9 * float(u.norm() * (y - oracle.operator(x0)).norm())
    assert float(left.norm()) > 1e-3 * float((y - oracle.operator(x0)).norm())  # it is no solution, only along d


# --- MPGD ---


@dataclass(frozen=True, eq=False)
class Alone:
    """A denoiser that refuses to be differentiated."""

    prior: GaussianPrior
    calls: list[float] = field(default_factory=list)

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        assert not torch.is_grad_enabled()
        assert not x.requires_grad
        self.calls.append(float(sigma))
        return self.prior(x, sigma)


@pytest.mark.parametrize("paper", [False, True])
def test_mpgd_takes_its_gradient_at_x0_and_none_through_the_network(paper: bool) -> None:
    oracle = ORACLES["inpaint"]()
    alone = Alone(oracle.prior)
    found = restore(oracle.problem(oracle.draw(1, 0)[1]), alone, MPGD(paper=paper), steps=6)
    assert len(alone.calls) == found.nfe == 6


@pytest.mark.parametrize("sigma", [0.03, 0.4])
def test_mpgd_is_exact_for_white_pictures(sigma: float) -> None:
    """With the identity, and pixels that are independent and of the deviation that it assumes."""
    prior = GaussianPrior(torch.full(SHAPE, 0.5, dtype=F64), torch.full(SHAPE, 0.3**2, dtype=F64), "pixel")
    y, x, operator = uniform(1, *SHAPE), uniform(1, *SHAPE, seed=1), ops.Identity(SHAPE)
    found = first(MPGD(prior_std=0.3), Problem(y, operator, Gaussian(0.1)), prior, [sigma, 0.0], x).x0
    torch.testing.assert_close(found, exact_conditional(prior, operator, 0.1, y, x, sigma), rtol=0, atol=1e-12)


def test_mpgd_takes_the_published_step() -> None:
    """On [-1, 1] and in variance-preserving coordinates x0 moves by 4 / sqrt(alpha_bar) grad ||y - A x0||, DDIM with 0.5."""
    oracle = ORACLES["average"]()
    y, x, z = oracle.draw(1, 0)[1], uniform(1, 1, 12, 12), uniform(1, 1, 12, 12, seed=1)
    sigma, sigma_next = 0.7, 0.4
    step = next(iter(MPGD(paper=True)(oracle.problem(y), oracle.prior, [sigma, sigma_next], x, _Fixed(z))))
    net = (2 * oracle.prior(x, sigma) - 1).requires_grad_(True)
    (g,) = torch.autograd.grad(((2 * y - 1) - (2 * oracle.operator((net + 1) / 2) - 1)).norm(), net)
    alpha, alpha_next = (1 / (1 + 4 * s**2) for s in (sigma, sigma_next))
    x0 = net.detach() - 4 / math.sqrt(alpha) * g
    eps = ((2 * x - 1) * math.sqrt(alpha) - math.sqrt(alpha) * net.detach()) / math.sqrt(1 - alpha)
    up = 0.5 * math.sqrt((1 - alpha_next) / (1 - alpha) * (1 - alpha / alpha_next))
    expected = math.sqrt(alpha_next) * x0 + math.sqrt(1 - alpha_next - up**2) * eps + up * z
    torch.testing.assert_close((2 * step.x - 1) * math.sqrt(alpha_next), expected, rtol=0, atol=1e-7)
    torch.testing.assert_close(2 * step.x0 - 1, x0, rtol=0, atol=1e-7)


class _Fixed(Stream):
    def __init__(self, z: Tensor):
        super().__init__(0)
        self.z = z

    def normal(self, like: Tensor) -> Tensor:
        return self.z.view_as(like)


# --- DSG ---


@pytest.mark.parametrize("paper", [False, True])
def test_a_step_of_dsg_ends_on_the_sphere_of_the_noise(paper: bool) -> None:
    oracle, sigma, sigma_next = ORACLES["inpaint"](), 0.5, 0.3
    y, x = oracle.draw(4, 0)[1], 0.5 + 0.5 * Stream(7).normal(torch.zeros(4, 1, 12, 12, dtype=F64))
    x0 = oracle.prior(x, sigma)
    mean = x0 + (sigma_next / sigma) ** 2 * (x - x0)
    up = sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2)
    step = first(DSG(paper=paper), oracle.problem(y), oracle.prior, [sigma, sigma_next], x)
    length = (step.x - mean).flatten(1).norm(dim=1)
    torch.testing.assert_close(length, torch.full_like(length, math.sqrt(144) * up))
    plain = mean + up * Stream(0).normal(x)  # of the same noise
    fit = [oracle.problem(y).nll(oracle.prior(t, sigma_next)) for t in (plain, step.x)]
    assert bool((fit[1] < fit[0]).all())


def test_dsg_mixes_noise_and_steepest_descent_by_the_published_rate() -> None:
    oracle, sigma, sigma_next = ORACLES["average"](), 0.5, 0.3
    y, x, z = oracle.draw(1, 0)[1], uniform(1, 1, 12, 12), Stream(2).normal(torch.zeros(1, 1, 12, 12, dtype=F64))
    step = next(iter(DSG(paper=True)(oracle.problem(y), oracle.prior, [sigma, sigma_next], x, _Fixed(z))))
    leaf = x.clone().requires_grad_(True)
    x0 = oracle.prior(leaf, sigma)
    (g,) = torch.autograd.grad((y - oracle.operator(x0)).norm(), leaf)
    up = sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2)
    d = 0.8 * up * z - 0.2 * 12 * up * g / g.norm()
    mean = x0.detach() + (sigma_next / sigma) ** 2 * (x - x0.detach())
    torch.testing.assert_close(step.x, mean + 12 * up * d / d.norm(), rtol=0, atol=1e-12)


# --- SITCOM ---


def test_the_three_consistencies_of_sitcom() -> None:
    oracle = ORACLES["inpaint"]()
    truth, y = oracle.draw(1, 0)
    problem = oracle.problem(y)
    outputs: list[Tensor] = []

    def watched(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        outputs.append(oracle.prior(x, sigma))
        return outputs[-1]

    solver, levels, z = SITCOM(inner=100, lambda_=0.0), [0.1, 0.05, 0.03, 0.0], uniform(1, 1, 12, 12, seed=9)
    steps = list(solver(problem, watched, levels, truth + 0.1 * z, _Fixed(z)))
    ends = [i for i, step in enumerate(steps) if i + 1 == len(steps) or steps[i + 1].sigma != step.sigma]
    assert [steps[i].sigma for i in ends] == levels[:-1]
    for i, sigma_next in zip(ends, levels[1:]):
        torch.testing.assert_close(
            steps[i].x0, outputs[i].detach(), rtol=0, atol=0
        )  # backward: an output of the network
        assert problem.misfit(steps[i].x0) <= 1  # measurement: as near to y as its noise
        assert problem.misfit(steps[i - 1].x0) > 1  # and no nearer than it takes
        torch.testing.assert_close(steps[i].x, steps[i].x0 + sigma_next * z, rtol=0, atol=1e-12)  # forward
    assert len(steps) < solver.calls(levels)


def test_sitcom_fits_the_input_of_the_network_to_both_terms() -> None:
    """Both are quadratic here, so that v is known; and one optimum is no sample."""
    prior = GaussianPrior(torch.full(SHAPE, 0.5, dtype=F64), 0.01 + 0.2 * uniform(*SHAPE, seed=1), "pixel")
    y, x, sigma = uniform(1, *SHAPE, seed=2), uniform(1, *SHAPE, seed=3), 0.3
    problem, seen = Problem(y, ops.Identity(SHAPE), Gaussian(0.1)), list[Tensor]()

    def watched(v: Tensor, sigma: float | Tensor, /) -> Tensor:
        seen.append(v.detach().clone())
        return prior(v, sigma)

    list(SITCOM(inner=1500, lr=0.003, stop=0.0)(problem, watched, [sigma, 0.0], x, Stream(0)))
    j = prior.variances / (prior.variances + sigma**2)  # D(v) = 0.5 + j (v - 0.5)
    expected = (j * (y - 0.5 + j * 0.5) / 0.1**2 + x / sigma**2) / (j**2 / 0.1**2 + 1 / sigma**2)
    assert float((seen[0] - expected).abs().max()) > 0.3
    torch.testing.assert_close(seen[-1], expected, rtol=0, atol=5e-3)
    with pytest.raises(BadInput, match="optimiser"):
        restore(problem, prior, SITCOM(), samples=2)


# --- ILVR ---


def test_the_low_pass_of_ilvr_is_that_of_the_reference() -> None:
    oracle = ORACLES["average"]()
    reference, _ = oracle.draw(1, 0)
    y = oracle.operator(reference)
    steps = list(
        ILVR(paper=True)(oracle.problem(y), oracle.prior, [3.0, 1.0, 0.2, 0.0], 3 * uniform(1, 1, 12, 12), Stream(0))
    )
    torch.testing.assert_close(oracle.operator(steps[-1].x), y, rtol=0, atol=1e-12)
    whole = oracle.operator.pinv(oracle.operator(steps[-1].x))  # phi
    torch.testing.assert_close(whole, oracle.operator.pinv(oracle.operator(reference)), rtol=0, atol=1e-12)
    with pytest.raises(Unsupported, match="without it, or ddrm"):
        restore(oracle.problem(y), oracle.prior, ILVR(paper=True), steps=3)


def test_ilvr_adds_only_the_noise_that_a_measurement_lacks() -> None:
    """Means of 3x3 pixels with sigma_y 0.05 are singular coefficients with 0.15: at 0.3 they are y, and what is missing."""
    oracle = ORACLES["average"]()
    y = oracle.draw(1, 0)[1]
    problem = oracle.problem(y.expand(4000, -1, -1, -1))
    x = uniform(1, 1, 12, 12).expand(4000, -1, -1, -1)
    seen, above, below = (
        oracle.operator(first(ILVR(), problem, oracle.prior, [0.5, s], x).x) for s in (1e-9, 0.3, 0.1)
    )
    missing = math.sqrt(0.3**2 - 0.15**2) / 3  # the gain is 1/3
    assert float((above.mean(0) - y[0]).abs().max()) < 5 * missing / 4000**0.5
    assert float((above.std(0) / missing - 1).abs().max()) < 5 / 8000**0.5
    drawn = oracle.operator(oracle.prior(x[:1], 0.5))  # below its noise y has no say: an ancestral step from x
    kept = (0.1 / 0.5) ** 2
    mean = drawn + kept * (oracle.operator(x[:1]) - drawn)
    assert float((below.mean(0) - mean[0]).abs().max()) < 5 * 0.1 / 3 / 4000**0.5
    assert float((seen.mean(0) - drawn[0]).abs().max()) < 1e-6


# --- SNIPS ---


def test_the_score_of_snips_is_that_of_the_noisy_picture_given_y() -> None:
    """One coefficient: (x + sigma n, x + r n') where the smaller noise is a part of the larger, x ~ N(0.4, c)."""
    c, sigma, x, y = 0.09, 0.2, 0.7, 0.1
    for r in (0.05, 0.5, math.inf):
        spectrum = Spectrum(ops.Identity((1, 1, 1)), torch.tensor([[y]], dtype=F64), torch.tensor([r], dtype=F64))
        c0 = 0.4 + c / (c + sigma**2) * (x - 0.4)
        slope, alpha = score(spectrum, torch.tensor([[x]], dtype=F64), torch.tensor([[c0]], dtype=F64), sigma)
        variance, mean = c + sigma**2, 0.4
        if r == math.inf:
            expected = -(x - mean) / variance
        elif r < sigma:  # x = y + sqrt(sigma^2 - r^2) n
            expected = (y - x) / (sigma**2 - r**2)
        else:  # joint covariance ((c + sigma^2, c + sigma^2), (c + sigma^2, c + r^2))
            gain = variance / (c + r**2)
            expected = -(x - mean - gain * (y - mean)) / (variance - gain * variance)
        assert float(slope) == pytest.approx(expected, rel=1e-9)
        assert float(alpha) > 0


def test_langevin_steps_of_snips_keep_the_distribution_of_a_level() -> None:
    """Started from draws of p(x + sigma n | y), short steps leave their mean and variance."""
    prior = GaussianPrior(torch.full((1, 1, 3), 0.5, dtype=F64), torch.full((1, 1, 3), 0.04, dtype=F64), "pixel")
    operator = ops.Inpaint((1, 1, 3), torch.tensor([1.0, 0.2, 0.0], dtype=F64).view(1, 1, 3))
    y, sigma, n = torch.tensor([0.8, 0.05, 0.0], dtype=F64).view(1, 1, 1, 3), 0.1, 20_000
    problem = Problem(y.expand(n, -1, -1, -1), operator, Gaussian(0.05))
    r = torch.tensor([0.05, 0.25, math.inf], dtype=F64)
    total = 0.04 + sigma**2
    gain = torch.where(r > sigma, total / (0.04 + r**2), 0.0)
    point = torch.tensor([0.8, 0.25, 0.5], dtype=F64)
    mean = torch.where(r > sigma, 0.5 + gain * (point - 0.5), point)
    variance = torch.where(r > sigma, total * (1 - gain), sigma**2 - r**2)
    x = mean + variance.sqrt() * Stream(1).normal(torch.zeros(n, 1, 1, 3, dtype=F64))
    steps = list(SNIPS(inner=30, c=0.05)(problem, prior, [sigma, 0.0], x, Stream(2)))
    end = steps[-2].x.flatten(1)
    assert float((end.mean(0) - mean).abs().max()) < 5 * float(variance.max().sqrt()) / n**0.5
    torch.testing.assert_close(end.var(0) / variance, torch.ones(3, dtype=F64), rtol=0, atol=5 * (2 / n) ** 0.5 + 0.026)


# --- gains ---


def test_evenness_is_that_of_the_singular_values() -> None:
    shape = (1, 24, 24)
    blur = ops.CircularBlur(shape, gaussian(5, 0.8))
    s2 = torch.linalg.svdvals(dense(blur, torch.zeros(shape, dtype=F64))) ** 2
    exact = float(s2.sum() ** 2 / (len(s2) * s2.square().sum()))
    assert evenness(blur, torch.zeros(1, *shape, dtype=F64)) == pytest.approx(exact, rel=0.1)
    for even in (ops.Identity(shape), ops.BlockAverage(shape, 4), ops.Inpaint(shape, uniform(*shape).round())):
        y = even(torch.zeros(1, *shape, dtype=F64))
        assert evenness(even, y) == pytest.approx(1)


@pytest.mark.parametrize("solver", [MPGD(), DSG()], ids=["mpgd", "dsg"])
def test_uneven_gains_are_refused_at_low_noise_alone(solver: Solver) -> None:
    blur = ops.CircularBlur((1, 24, 24), gaussian(5, 0.8))
    y = torch.full((1, 1, 24, 24), 0.5, dtype=F64)
    solver.check(Problem(y, blur, Gaussian(0.05)))
    solver.check(Problem(y, ops.Identity((1, 24, 24)), Gaussian(0.001)))
    solver.check(Problem(y, ops.PhaseRetrieval((1, 24, 24)), Gaussian(0.001)))
    with pytest.raises(Unsupported, match=r"CircularBlur at noise below .*`solver=diffpir` or mmps"):
        solver.check(Problem(y, blur, Gaussian(0.002)))


def test_tmpd_refuses_uneven_gains_only_without_an_svd() -> None:
    blur = ops.CircularBlur((1, 24, 24), gaussian(5, 0.8))
    y = torch.full((1, 1, 24, 24), 0.5, dtype=F64)
    TMPD().check(Problem(y, blur, Gaussian(0.002)))
    stack = Stack((1, 24, 24), (blur,))
    with pytest.raises(Unsupported, match="mmps"):
        TMPD().check(Problem(y.flatten(1), stack, Gaussian(0.002)))


# --- as printed ---


def test_the_published_levels_of_snips() -> None:
    problem, solver = ORACLES["inpaint"]().problem(torch.zeros(1, 1, 12, 12, dtype=F64)), SNIPS(paper=True)
    levels = solver.schedule(problem, None)
    assert (len(levels) - 1, levels[0], levels[-2], levels[-1]) == pytest.approx((500, 90, 0.01, 0))
    assert (solver.inner, solver.c, solver.calls(levels)) == (5, 0.033, 2501)
    with pytest.raises(ValueError, match="must"):
        SNIPS(c=0.2, paper=True)
