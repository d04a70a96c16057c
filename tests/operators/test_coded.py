"""Light measured of coded pictures: the derivative, the data step, and posteriors through a curve by quadrature."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.files.curves import BT709, SRGB, Curve, Power
from restorekit.inference.coding import CodedPictures
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian, Likelihood, Poisson
from restorekit.inference.problem import Problem
from restorekit.inference.solver import Solver
from restorekit.inference.units import of_coded_pictures
from restorekit.operators import BlockAverage, Coded, FreeBlur, Identity, Inpaint, LinearOperator, Matrix
from restorekit.operators.combine import Weighted
from restorekit.solvers.ddrm import DDRM
from restorekit.solvers.diffpir import HQS, DiffPIR
from restorekit.solvers.mmps import MMPS
from restorekit.solvers.parts.data_step import check_data_step, data_step

MEAN, SPREAD = 0.45, 0.2  # of a prior of independent Gaussian pixels
KERNEL = torch.tensor([[0.1, 0.2, 0.0], [0.1, 0.3, 0.1], [0.0, 0.1, 0.1]], dtype=torch.float64)
INNER: list[LinearOperator] = [
    Identity((2, 8, 6)), FreeBlur((2, 8, 6), KERNEL), BlockAverage((2, 8, 6), 2),
    Inpaint((2, 8, 6), (torch.arange(48).view(1, 8, 6) % 3 > 0).double()),
    Weighted((2, 8, 6), FreeBlur((2, 8, 6), KERNEL), 1 + torch.arange(48, dtype=torch.float64)[:24].view(1, 6, 4) / 24),
]  # fmt: skip
named = partial(pytest.mark.parametrize, ids=lambda v: type(v).__name__)


def gaussian(x: Tensor, sigma: float | Tensor) -> Tensor:
    """E[x0 | x] of the prior."""
    return (SPREAD**2 * x + sigma**2 * MEAN) / (SPREAD**2 + sigma**2)


def pictures(count: int = 2, seed: int = 0) -> Tensor:
    return torch.rand(count, 2, 8, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@named("inner", INNER)
@named("curve", [SRGB(), BT709, Power(2.2)])
def test_the_derivative_is_right(inner: LinearOperator, curve: Curve) -> None:
    op, x, d, h = Coded(inner.image_shape, inner, curve), 0.05 + 0.9 * pictures(), pictures(seed=1) - 0.5, 1e-6
    change = (op(x + h * d) - op(x - h * d)) / (2 * h)
    tangent = op.linearised(x)
    torch.testing.assert_close(tangent(d), change, rtol=1e-5, atol=1e-7)
    leaf = x.clone().requires_grad_(True)
    r = torch.rand_like(change)
    (gradient,) = torch.autograd.grad(op(leaf), leaf, r)
    torch.testing.assert_close(gradient, tangent.adjoint(r))
    torch.testing.assert_close((r * tangent(d)).sum(), (tangent.adjoint(r) * d).sum())


@named("inner", INNER)
def test_a_step_solves_its_linear_system(inner: LinearOperator) -> None:
    tangent = Coded(inner.image_shape, inner, SRGB()).linearised(pictures())
    b = pictures(seed=1)
    x = tangent.normal_solve(b, 1e-3, tolerance=1e-11)
    left = tangent.adjoint(tangent(x)) + 1e-3 * x - b
    assert left.norm() < 1e-6 * b.norm()


def test_far_from_a_picture_the_mean_slope_is_taken() -> None:
    op, x, t = Coded((1, 1, 3), Identity((1, 1, 3)), SRGB()), torch.tensor([[[[0.0, 0.3, 0.9]]]]).double(), 0.25
    far = op.linearised(x, t)(torch.ones_like(x))
    torch.testing.assert_close(far, (op(x + t) - op(x - t)) / (2 * t))
    near = op.linearised(x, 1e-3)(torch.ones_like(x))
    torch.testing.assert_close(near[..., 1:], op.linearised(x)(torch.ones_like(x))[..., 1:], rtol=1e-4, atol=0)


@pytest.mark.parametrize("law", [Gaussian(0.01), Gaussian(torch.full((1, 2, 6, 4), 0.01)), Poisson(1e4)], ids=str)
def test_the_data_step_comes_to_the_best_picture_near_x0(law: Likelihood) -> None:
    inner = INNER[1]
    op, x0, t = Coded(inner.image_shape, inner, SRGB()), 0.2 + 0.6 * pictures(1), 0.01
    problem = Problem(inner(torch.from_numpy(SRGB().decode((x0 + 0.02).numpy()))), op, law)
    check_data_step(problem, "hqs")
    x = data_step(problem, "hqs")(x0, t)
    leaf = x.clone().requires_grad_(True)
    energy = problem.nll(leaf).sum() + (leaf - x0).square().sum() / (2 * t**2)
    (slope,) = torch.autograd.grad(energy, leaf)
    start = x0.clone().requires_grad_(True)
    (before,) = torch.autograd.grad(problem.nll(start).sum(), start)
    assert slope.norm() < 0.05 * before.norm()


def of_one_pixel(curve: Curve, y: float, sigma: float) -> tuple[float, float, float]:
    """(mean, deviation, mode) of a pixel of the prior, given its light y + noise."""
    x = np.linspace(-1, 2, 6001)
    log = -0.5 * ((x - MEAN) / SPREAD) ** 2 - 0.5 * ((curve.decode(x) - y) / sigma) ** 2
    w = np.exp(log - log.max())
    w /= w.sum()
    mean = float(w @ x)
    return mean, float(np.sqrt(w @ (x - mean) ** 2)), float(x[log.argmax()])


@named("curve", [SRGB(), Power(2.2)])
@pytest.mark.parametrize(("value", "sigma"), [(0.1, 0.003), (0.4, 0.02), (0.8, 0.02), (0.8, 0.1)])
def test_draws_of_a_pixel_are_those_of_its_posterior_through_the_curve(
    curve: Curve, value: float, sigma: float
) -> None:
    y, shape = float(curve.decode(np.array([value]))[0]), (1, 16, 16)
    problem = Problem(torch.full((1, *shape), y, dtype=torch.float64), Identity(shape), Gaussian(sigma))
    seen = replace_operator(problem, curve)
    mean, spread, mode = of_one_pixel(curve, y, sigma)
    drawn = restore(seen, gaussian, MMPS(), steps=50, samples=4).samples
    assert float(drawn.mean()) == pytest.approx(mean, abs=0.3 * spread)
    assert float(drawn.std()) == pytest.approx(spread, rel=0.3)
    found = restore(seen, gaussian, DiffPIR(), steps=20).samples
    assert float(found.mean()) == pytest.approx(mode, abs=0.5 * spread)
    best = restore(seen, gaussian, HQS(first=0.5), steps=8).samples
    assert float(best.mean()) == pytest.approx(mode, abs=max(0.7 * spread, 0.002))


def replace_operator(problem: Problem, curve: Curve) -> Problem:
    inner = problem.operator
    assert isinstance(inner, LinearOperator)
    return Problem(problem.y, Coded(inner.image_shape, inner, curve), problem.likelihood, problem.mask)


def test_draws_of_two_pixels_whose_light_was_averaged_are_those_of_their_posterior() -> None:
    curve, sigma, y = SRGB(), 0.02, 0.25
    half = Matrix((1, 1, 2), torch.tensor([[0.5, 0.5]], dtype=torch.float64))
    problem = Problem(torch.tensor([[y]], dtype=torch.float64), Coded((1, 1, 2), half, curve), Gaussian(sigma))
    x = np.linspace(-0.6, 1.5, 701)
    a, b = np.meshgrid(x, x, indexing="ij")
    seen = 0.5 * (curve.decode(a) + curve.decode(b))
    log = -0.5 * (((a - MEAN) / SPREAD) ** 2 + ((b - MEAN) / SPREAD) ** 2 + ((seen - y) / sigma) ** 2)
    w = np.exp(log - log.max())
    w /= w.sum()
    mean = (w * a).sum()
    spread = np.sqrt((w * (a - mean) ** 2).sum())
    together = (w * (a - mean) * (b - mean)).sum() / spread**2  # about -0.96: if one was dark, the other was bright
    drawn = restore(problem, gaussian, MMPS(), steps=50, samples=600).samples.flatten(1).numpy()
    assert drawn.mean() == pytest.approx(mean, abs=0.15 * spread)
    assert drawn.std() == pytest.approx(spread, rel=0.15)
    assert np.corrcoef(drawn.T)[0, 1] == pytest.approx(together, abs=0.1)


@named("solver", [HQS(first=0.5), DiffPIR()])
def test_a_run_of_light_works_in_coded_values_and_gives_light(solver: Solver) -> None:
    inner, curve = INNER[1], SRGB()
    light = torch.from_numpy(curve.decode(pictures(1).numpy()))
    problem, seen = Problem(inner(light), inner, Gaussian(0.01)), list[float]()
    denoise = of_coded_pictures(gaussian, curve, solver, inner)
    assert isinstance(denoise, CodedPictures)
    run = restore(
        problem, denoise, solver, steps=4, progress=lambda done, total, step: seen.append(float(step.x.mean()))
    )
    direct = restore(replace_operator(problem, curve), gaussian, solver, steps=4)
    torch.testing.assert_close(run.samples, torch.from_numpy(curve.decode(direct.samples.numpy())))
    assert run.settings["units"] == {"coded": "srgb"}
    assert seen[-1] == pytest.approx(float(run.samples.mean()))
    begun = restore(problem, denoise, solver, steps=4, begin=light, start=0.2)
    assert begun.settings["sigmas"][0] <= 0.2


def test_solvers_that_do_not_gain_by_it_are_given_the_light() -> None:
    inner = INNER[1]
    assert of_coded_pictures(gaussian, SRGB(), MMPS(), inner) is gaussian
    assert of_coded_pictures(gaussian, SRGB(), DDRM(), inner) is gaussian
    coded = Coded(inner.image_shape, inner, SRGB())
    assert of_coded_pictures(gaussian, SRGB(), HQS(), coded) is gaussian
    with pytest.raises(Unsupported, match="needs a linear operator"):
        DDRM().check(Problem(torch.zeros(1, 2, 6, 4), coded.to(torch.float32), Gaussian(0.1)))
