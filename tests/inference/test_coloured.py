"""Noise that neighbours share: the law, its sampling, and the equal problem with white noise against exact posteriors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.inference.coloured import Coloured, whitened
from restorekit.inference.driver import as_seen, restore
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.operators import BlockAverage, Identity, Inpaint, Saturate
from restorekit.operators.base import LinearOperator
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import HQS, MMPS
from restorekit.text.names import noise_of

SHAPE = (1, 8, 8)
F64 = torch.float64
LAW = Coloured(Coloured.grain(0.2, 0.6).covariance.double())
PRIOR = GaussianPrior.smooth(SHAPE)


def dense(linear: object, columns: int = 64) -> Tensor:
    eye = torch.eye(columns, dtype=F64).view(columns, *SHAPE)
    return linear(eye).flatten(1).T  # type: ignore[operator]


def covariance(law: Coloured) -> Tensor:
    """(64, 64), of a torus."""
    spectrum = law.spectrum(8, 8).double()
    eye = torch.eye(64, dtype=F64).view(64, *SHAPE)
    return torch.fft.irfft2(spectrum * torch.fft.rfft2(eye), s=(8, 8)).flatten(1).T


def test_samples_have_the_covariance() -> None:
    law = Coloured.grain(0.1, 1.0)
    n = law.sample(torch.zeros(40, 1, 64, 64, dtype=F64), torch.Generator().manual_seed(0))
    middle = law.covariance.shape[0] // 2
    for rows, columns in ((0, 0), (0, 1), (1, 1), (2, 0)):
        seen = float((n * n.roll((rows, columns), (2, 3))).mean())
        assert seen == pytest.approx(float(law.covariance[middle + rows, middle + columns]), abs=2e-4)


def test_the_density_is_that_of_the_covariance() -> None:
    g = torch.Generator().manual_seed(1)
    y, mean = torch.randn(2, *SHAPE, generator=g, dtype=F64), torch.randn(2, *SHAPE, generator=g, dtype=F64)
    off = (y - mean).flatten(1)
    exact = 0.5 * (off @ torch.linalg.inv(covariance(LAW)) * off).sum(1)
    torch.testing.assert_close(LAW.unit_nll(y, mean).flatten(1).sum(1), exact)
    h = 1e-5 * torch.randn(2, *SHAPE, generator=g, dtype=F64)
    slope = (LAW.gradient(y, mean) * h).sum()
    torch.testing.assert_close(
        slope, (LAW.unit_nll(y, mean + h) - LAW.unit_nll(y, mean - h)).sum() / 2, rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("operator", [Identity(SHAPE), BlockAverage(SHAPE, 2)], ids=["denoise", "means"])
def test_the_posterior_is_the_exact_one(operator: Identity | BlockAverage) -> None:
    """Of a Gaussian prior, by dense matrices: mean by one step of the exact denoiser, and the precision of the problem."""
    a = dense(operator)
    side = round(a.shape[0] ** 0.5)
    shape = (1, side, side)
    eye = torch.eye(a.shape[0], dtype=F64).view(-1, *shape)
    c = torch.fft.irfft2(LAW.spectrum(side, side).double() * torch.fft.rfft2(eye), s=(side, side)).flatten(1).T
    y = torch.randn(1, *shape, generator=torch.Generator().manual_seed(2), dtype=F64)
    white = whitened(Problem(y, operator, LAW))
    w = dense(white.operator)
    torch.testing.assert_close(w.T @ w, a.T @ torch.linalg.inv(c) @ a)
    torch.testing.assert_close(w.T @ white.y.flatten(), a.T @ torch.linalg.inv(c) @ y.flatten())
    assert isinstance(white.likelihood, Gaussian)
    assert isinstance(white.operator, LinearOperator)
    torch.testing.assert_close(white.operator.adjoint(white.y), (w.T @ white.y.flatten()).view(1, *SHAPE))


def test_a_sampler_draws_from_the_exact_posterior() -> None:
    x = PRIOR.sample(1, torch.Generator().manual_seed(3))
    y = LAW.sample(x, torch.Generator().manual_seed(4))
    draws = restore(
        Problem(y, Identity(SHAPE), LAW), PRIOR, MMPS(iterations=30), samples=150, steps=60
    ).samples.flatten(1)
    eye = torch.eye(64, dtype=F64).view(64, *SHAPE)
    zero = torch.zeros(1, *SHAPE, dtype=F64)
    # The denoiser of a Gaussian prior is linear: (P + s^2)^-1 P (x - m) + m.
    s = 1.0
    d = (PRIOR(eye, s) - PRIOR(zero, s)).flatten(1).T
    p = s**2 * torch.linalg.inv(torch.eye(64, dtype=F64) - d) @ d
    m = (torch.linalg.inv(torch.eye(64, dtype=F64) - d) @ PRIOR(zero, s).flatten()).flatten()
    gain = p @ torch.linalg.inv(p + covariance(LAW))
    mean, spread = m + gain @ (y.flatten() - m), (p - gain @ p).diagonal().sqrt()
    off = (draws.mean(0) - mean) / spread
    assert float(off.square().mean().sqrt()) < 0.25  # 1 / sqrt(150) is 0.08
    assert float((draws.std(0) / spread).mean()) == pytest.approx(1, abs=0.12)


def test_white_noise_told_as_coloured_changes_nothing() -> None:
    flat = torch.zeros(3, 3, dtype=F64)
    flat[1, 1] = 0.01
    y = PRIOR.sample(1, torch.Generator().manual_seed(5))
    found = [
        restore(Problem(y, Identity(SHAPE), law), PRIOR, HQS(), steps=4).samples
        for law in (Coloured(flat), Gaussian(0.1))
    ]
    torch.testing.assert_close(*found, atol=1e-6, rtol=0)


def test_the_unit_does_not_matter() -> None:
    y = PRIOR.sample(1, torch.Generator().manual_seed(5))
    problem = as_seen(Problem(y, Identity(SHAPE), LAW), PRIOR)
    assert problem.noise_level() == 1
    assert problem.estimate().sub(y).abs().max() < 1e-9
    scaled = whitened(Problem(3 * y, Identity(SHAPE), Coloured(9 * LAW.covariance)))
    torch.testing.assert_close(scaled.y, problem.y)


def test_operators_that_are_not_linear() -> None:
    problem = Problem(torch.rand(1, *SHAPE, dtype=F64), Saturate(SHAPE, 2.0), LAW)
    white = whitened(problem)
    x = torch.rand(1, *SHAPE, dtype=F64)
    torch.testing.assert_close(white.nll(x), problem.nll(x))


@pytest.mark.parametrize(
    "covariance",
    [
        torch.zeros(3, 3),
        torch.ones(2, 3),
        torch.tensor([[2.0, 1.0, 2.0]]),
        torch.tensor([[0.5, 1.0, 0.1]]),
        torch.ones(3),
    ],
)
def test_what_is_no_covariance_is_refused(covariance: Tensor) -> None:
    with pytest.raises(ValueError, match="covariance of coloured noise"):
        Coloured(covariance)


def test_missing_values_and_numbers_that_are_no_picture_are_refused() -> None:
    y = torch.rand(1, *SHAPE)
    with pytest.raises(Unsupported, match="missing values"):
        whitened(Problem(y, Identity(SHAPE), LAW, torch.ones(1, *SHAPE)))
    with pytest.raises(Unsupported, match="missing values"):
        whitened(Problem(y, Inpaint(SHAPE, torch.ones(SHAPE)), LAW))
    with pytest.raises(Unsupported, match="of pictures"):
        LAW.unit_nll(torch.rand(1, 20), torch.rand(1, 20))


def test_text() -> None:
    law = noise_of("grain:0.05,1.2")
    assert isinstance(law, Coloured)
    assert law.sigma == pytest.approx(0.05)
    with pytest.raises(ValueError, match="WIDTH of 0 to 16"):
        Coloured.grain(0.1, 40)
