"""Single taps of a kernel: the step, the reference that draws both blocks, and what the correction makes of a wrong kernel."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data

from restorekit.blind.correction import Corrected, KernelCorrection, checked, margins, rough_part, trimmed, with_kernel
from restorekit.blind.drawn import blurred
from restorekit.blind.families import gaussian, motion
from restorekit.blind.gibbs import Gibbs
from restorekit.blind.taps import Modes, Regression, Taps, unseen
from restorekit.errors import Unsupported
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian, Poisson
from restorekit.inference.problem import Problem
from restorekit.inference.solver import Solver
from restorekit.operators import FreeBlur, Identity, blur
from restorekit.priors.find import load_prior
from restorekit.solvers import HQS, MMPS, DiffPIR

KERNEL = np.array([[0.0, 0.1, 0.0], [0.1, 0.5, 0.1], [0.0, 0.1, 0.1]])
SIZE, SIGMA_Y, ERROR = (12, 13), 0.05, 0.3


def edges(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A covariance of pixels that are alike within a few of them."""
    i = np.indices(size).reshape(2, -1).astype(float)
    apart = np.hypot(*(i[:, :, None] - i[:, None]))
    return 0.06 * np.exp(-apart / 3) + 1e-6 * np.eye(i.shape[1])


def made(seed: int) -> tuple[Gibbs, np.ndarray, np.ndarray]:
    """(reference, y, true h) of a picture and a change drawn from its own priors."""
    rng = np.random.default_rng(seed)
    n = SIZE[0] * SIZE[1]
    g = Gibbs(SIZE, KERNEL, SIGMA_Y, np.full(n, 0.5), edges(seed), ERROR)
    k = KERNEL[tuple(g.taps.T)]
    spread = g._zero_sum @ np.linalg.inv((g._zero_sum.T / (ERROR * k) ** 2) @ g._zero_sum) @ g._zero_sum.T
    h = np.linalg.cholesky(spread + 1e-12 * np.eye(len(k))) @ rng.standard_normal(len(k))
    x = g.mean + np.linalg.cholesky(g.covariance) @ rng.standard_normal(n)
    y = np.tensordot(k + h, g.shifts, 1) @ x
    return g, y + SIGMA_Y * rng.standard_normal(y.shape), h


def test_the_shifts_of_the_reference_are_the_blur() -> None:
    g, _, _ = made(0)
    x = np.random.default_rng(0).random(SIZE)
    a = np.tensordot(KERNEL[tuple(g.taps.T)], g.shifts, 1)
    np.testing.assert_allclose((a @ x.ravel()).reshape(10, 11), blurred(x[None], KERNEL)[0], atol=1e-12)
    operator = FreeBlur((1, *SIZE), torch.from_numpy(KERNEL))
    np.testing.assert_allclose(
        operator(torch.from_numpy(x)[None, None])[0].numpy(), blurred(x[None], KERNEL), atol=1e-12
    )


def test_the_reference_holds_what_was_drawn_from_its_priors() -> None:
    """Ranks of the truth among draws of its posterior are uniform (Talts et al. 2018); here over taps and problems."""
    ranks = []
    for seed in range(24):
        g, y, h = made(seed)
        draws = g(y, 60, np.random.default_rng(100 + seed), skip=20).h
        assert np.allclose(draws.sum(1), 0, atol=1e-9)
        ranks += list((draws < h).mean(0))
    counts = np.histogram(ranks, 5, (0, 1))[0]
    expected = len(ranks) / 5
    assert ((counts - expected) ** 2 / expected).sum() < 20  # taps of a kernel are not independent
    assert 0.8 < np.mean((np.array(ranks) > 0.05) & (np.array(ranks) < 0.95)) < 0.97


@pytest.mark.parametrize("hidden", [0, 2])
def test_modes_are_independent_under_the_prior_and_show_nothing_of_what_is_unseen(hidden: int) -> None:
    rng = np.random.default_rng(0)
    columns, k = rng.standard_normal((40, 6)), rng.random(6)
    gram, k, n = columns.T @ columns, k / k.sum(), rng.standard_normal((6, hidden))
    n -= n.mean(0)
    modes = Modes.of(gram, k, n)
    assert modes.power.shape == (5 - hidden,)
    assert np.all(np.diff(modes.power) > 0)
    np.testing.assert_allclose(modes.p.sum(0), 0, atol=1e-12)
    np.testing.assert_allclose(modes.b.T @ gram @ modes.p, np.diag(modes.power), atol=1e-10)
    np.testing.assert_allclose(modes.b.T @ gram @ modes.b, np.diag(modes.power), atol=1e-10)  # noise of covariance G
    np.testing.assert_allclose(modes.b.T @ gram @ n, 0, atol=1e-10)
    z = modes.p / k[:, None]
    np.testing.assert_allclose(z.T @ z, np.eye(5 - hidden), atol=1e-10)


def test_shifts_and_blurs_of_a_kernel_are_unseen() -> None:
    kernel = ndimage.gaussian_filter(np.pad(motion(9, 30), 6), 1.0)
    taps = np.argwhere(kernel > -1)
    found = unseen(kernel, taps)
    np.testing.assert_allclose(found.sum(0), 0, atol=1e-12)

    def left(change: np.ndarray) -> float:
        change = change.ravel() - change.sum() * kernel.ravel()
        rest = change - found @ np.linalg.lstsq(found, change, rcond=None)[0]
        return float(np.linalg.norm(rest) / np.linalg.norm(change))

    assert left(ndimage.shift(kernel, (0.2, -0.3)) - kernel) < 0.15
    assert left(ndimage.gaussian_filter(kernel, 0.5) - kernel) < 0.3
    assert left(np.random.default_rng(0).standard_normal(kernel.shape) * kernel) > 0.8


def test_the_estimate_is_the_mean_of_the_reference_given_the_picture() -> None:
    """Where the picture is seen, c = 1 and gamma = 0, and pictures are as the prior says."""
    g, y, _ = made(3)
    x = g.mean + np.linalg.cholesky(g.covariance) @ np.random.default_rng(5).standard_normal(len(g.mean))
    k = KERNEL[tuple(g.taps.T)]
    columns = (g.shifts @ x).T
    modes = Modes.of(columns.T @ columns / SIGMA_Y**2, k, np.zeros((len(k), 0)))
    d = np.tile(modes.p.T @ columns.T @ (y - columns @ k) / SIGMA_Y**2, (2, 1))
    away = np.random.default_rng(2).standard_normal((2, len(k) - 1))
    a, shares, _ = Taps(ERROR, mismatch=(0.0,), bands=1)._mean(modes.power, d, modes.power * away, away)
    assert shares == pytest.approx([1])
    rng = np.random.default_rng(1)
    draws = np.array([g.change(y, x, rng) for _ in range(4000)])
    assert np.abs(draws.mean(0) - modes.p @ a).max() < 5 * draws.std(0).max() / np.sqrt(4000)


@pytest.mark.parametrize("error", [0.0, 0.1, 0.2])
def test_the_error_is_found_where_the_modes_tell_of_it(error: float) -> None:
    rng = np.random.default_rng(0)
    power, c = np.linspace(500, 5000, 400), 0.5
    a, away = error * rng.standard_normal(400), rng.standard_normal((4, 400))
    d = c * power * a + np.sqrt(power) * (np.sqrt(c) * rng.standard_normal(400) + 0.1 * rng.standard_normal((4, 400)))
    mean, shares, found = Taps()._mean(power, d, c * power * away, away)
    assert shares == pytest.approx([c, c])
    assert found == pytest.approx(error, abs=0.03)
    assert not mean[:200].any()
    if error:
        assert np.sum((mean - a)[200:] ** 2) < 0.2 * np.sum(a[200:] ** 2)
    else:
        assert np.abs(mean).max() < 1e-3


def test_the_regression_is_that_of_the_shifts() -> None:
    rng = np.random.default_rng(0)
    x, taps = rng.random((2, 14, 15)), np.argwhere(KERNEL > 0)
    changed = KERNEL.copy()
    changed[tuple(taps.T)] += [0.02, -0.01, 0.03, -0.02, -0.01, -0.01]
    found = Regression.of(blurred(x, changed), x, KERNEL, taps)
    h = np.linalg.solve(found.gram, found.right)
    np.testing.assert_allclose(h, (changed - KERNEL)[tuple(taps.T)], atol=1e-5)


def right(g: Gibbs, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return Regression.of(y.reshape(1, 10, 11), x.reshape(1, *SIZE), KERNEL, g.taps).right


def test_of_a_right_kernel_draws_find_nothing_and_the_mean_of_the_picture_does() -> None:
    """Why eq 21 as it stands makes kernels shorter: over pictures and measurements of the model, K being right."""
    rng = np.random.default_rng(0)
    g, _, _ = made(0)
    k = KERNEL[tuple(g.taps.T)]
    a, root = np.tensordot(k, g.shifts, 1), np.linalg.cholesky(g.covariance)
    gain = g.covariance @ a.T @ np.linalg.inv(a @ g.covariance @ a.T + SIGMA_Y**2 * np.eye(len(a)))
    drawn, naive = [], []
    for _ in range(300):
        y = a @ (g.mean + root @ rng.standard_normal(len(g.mean))) + SIGMA_Y * rng.standard_normal(len(a))
        x = g.picture(y, k, rng)
        again = a @ x + SIGMA_Y * rng.standard_normal(len(a))
        drawn.append(right(g, y, x) - right(g, again, g.picture(again, k, rng)))
        naive.append(right(g, y, g.mean + gain @ (y - a @ g.mean)))
    scores = [np.mean(v, 0) / np.std(v, 0) * np.sqrt(len(v)) for v in (drawn, naive)]
    assert np.abs(scores[0]).max() < 4
    assert np.abs(scores[1]).max() > 10


def test_what_draws_find_points_to_the_mean_of_the_reference() -> None:
    cosines = []
    for seed in range(5):
        g, y, _ = made(seed)
        rng, k = np.random.default_rng(seed), KERNEL[tuple(g.taps.T)]
        a = np.tensordot(k, g.shifts, 1)
        found = np.zeros(len(k))
        for _ in range(150):
            x = g.picture(y, k, rng)
            again = a @ x + SIGMA_Y * rng.standard_normal(len(a))
            found += right(g, y, x) - right(g, again, g.picture(again, k, rng))
        toward = k**2 * (found - (k**2 @ found) / (k**2).sum())  # under the prior of h, of sum 0
        exact = g(y, 1500, rng, skip=100).h.mean(0)
        cosines.append(toward @ exact / np.linalg.norm(toward) / np.linalg.norm(exact))
    assert np.mean(cosines) > 0.6


def photo(side: int = 96) -> np.ndarray:
    return data.astronaut()[40 : 40 + side + 40, 180 : 180 + side + 40].transpose(2, 0, 1) / 255


def measured(kernel: np.ndarray, side: int = 96, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x = photo(side)
    y = np.stack([ndimage.convolve(band, kernel, mode="reflect") for band in x])[:, 20:-20, 20:-20]
    return y + 0.01 * np.random.default_rng(seed).standard_normal(y.shape), x[:, 20:-20, 20:-20]


def problem(y: np.ndarray, kernel: np.ndarray) -> Problem:
    shape = (y.shape[0], y.shape[1], y.shape[2])
    operator = FreeBlur.of(shape, torch.from_numpy(kernel).float())
    return Problem(torch.from_numpy(y).float()[None], operator, Gaussian(0.01))


@pytest.mark.parametrize(
    ("solver", "steps"), [(HQS(first=0.5), 4), (DiffPIR(), 12), (MMPS(iterations=3), 8)], ids=["hqs", "diffpir", "mmps"]
)
def test_any_solver_with_a_data_step_gains(solver: Solver, steps: int) -> None:
    denoise = load_prior("natural-fast").for_bands(3)
    y, x = measured(motion(15, 30))
    p = problem(y, np.pad(motion(12, 30), 4))

    def error(solver: Solver) -> float:
        found = p.operator.inside(restore(p, denoise, solver, steps=steps).samples)[0].numpy()
        return float(np.mean((found - x) ** 2))

    corrected = Corrected(solver, KernelCorrection(draws=False))
    assert (corrected.is_sampler, corrected.products) == (solver.is_sampler, solver.products)
    assert corrected.calls([1.0, 0.5, 0.0]) == solver.calls([1.0, 0.5, 0.0])  # no draws without taps
    assert json.loads(json.dumps(corrected.settings()))["corrects"] == type(solver).__name__
    assert error(corrected) < 0.9 * error(solver)


def test_the_same_seed_gives_the_same_kernel_and_an_exact_one_hardly_moves() -> None:
    denoise = load_prior("natural-fast").for_bands(3)
    kernel = gaussian(1.2)
    y, _ = measured(kernel, 48)
    correct = KernelCorrection(0.1, steps=4)
    calls = list[int]()
    first = correct(problem(y, kernel), denoise, calls.append)
    np.testing.assert_array_equal(first.kernel, correct(problem(y, kernel), denoise).kernel)
    assert 0 < calls[-1] <= correct.calls
    assert first.kernel.shape == tuple(n + 12 for n in kernel.shape)
    assert first.kernel.min() >= 0
    assert first.kernel.sum() == pytest.approx(1)
    assert np.abs(first.kernel - np.pad(kernel, 6)).sum() < 0.15
    assert set(first.record()) == {"length", "width", "turn", "gain", "taps", "nfe"}
    assert first.nfe == calls[-1]


def test_taps_of_a_kernel_that_has_a_name_stay_unless_an_error_is_said() -> None:
    denoise = load_prior("natural-fast").for_bands(3)
    across, up = np.zeros((19, 19)), np.zeros((19, 19))
    across[9, 2:17], up[2:17, 14] = 1, 1
    curved = across + up
    for kernel, moved in ((motion(7, 30), False), (gaussian(1.2), False), (curved / curved.sum(), True)):
        y, _ = measured(kernel, 48)
        found = KernelCorrection(steps=2)(problem(y, kernel), denoise)
        assert (found.taps is not None) == moved
        if found.taps is not None:
            assert 0 < found.taps.error < 0.3
            assert found.changed
            assert found.record()["taps"]["moved"] > 0


def test_a_kernel_is_replaced_and_the_boundary_kept() -> None:
    y = torch.rand(1, 1, 20, 22, dtype=torch.float64)
    for kind in ("free", "reflect", "circular"):
        k = torch.from_numpy(motion(5, 20))
        shape = FreeBlur.of((1, 20, 22), k).image_shape if kind == "free" else (1, 20, 22)
        p = Problem(y, blur(shape, k, kind), Gaussian(0.1))  # type: ignore[arg-type]
        moved = np.roll(motion(5, 20), 1, 0)
        better, x = with_kernel(p, moved), torch.rand(1, *shape, dtype=torch.float64)
        assert type(better.operator) is type(p.operator)
        (_, h, w), (_, small, narrow) = shape, better.operator.image_shape
        top, left = (h - small) // 2, (w - narrow) // 2
        torch.testing.assert_close(
            better.operator(x[..., top : top + small, left : left + narrow]),
            blur(shape, torch.from_numpy(moved), kind)(x),  # type: ignore[arg-type]
        )


def test_a_kernel_has_room_to_grow() -> None:
    kernel, (y, _) = motion(9, 30), measured(motion(15, 30))
    kernel = kernel[np.ix_(np.flatnonzero(kernel.sum(1)), np.flatnonzero(kernel.sum(0)))]
    assert margins(kernel, y.shape[1:]) == [(6, 6), (6, 6)]
    assert margins(np.pad(kernel, 4), y.shape[1:]) == [(2, 2), (2, 2)]
    assert margins(kernel, (kernel.shape[0] + 5, 8)) == [(2, 2), (0, 0)]
    seen, correct = torch.from_numpy(y).float()[None], KernelCorrection(error=0.3, draws=False)
    denoise = load_prior("natural-fast").for_bands(3)
    tight = Problem(seen, blur((3, 96, 96), torch.from_numpy(kernel).float()), Gaussian(0.01))
    found = correct(tight, denoise)
    assert found.kernel[:, [0, -1]].sum() < 0.01
    better = with_kernel(tight, found.kernel)
    assert better.operator.image_shape == (3, 96, 96)
    free = problem(y, kernel)
    shape = with_kernel(free, found.kernel).operator.image_shape
    assert all(n > m for n, m in zip(shape[1:], free.operator.image_shape[1:]))
    with pytest.raises(Unsupported, match="pad the kernel"):  # x of a solver has the size that it was started with
        restore(free, denoise, Corrected(HQS(first=0.5), correct), steps=1)


def test_zeros_around_a_kernel_are_cut_off_and_its_middle_stays() -> None:
    kernel = np.pad(motion(9, 30), ((3, 8), (6, 1)))
    inner = trimmed(kernel)
    assert all(n < m for n, m in zip(inner.shape, kernel.shape))
    assert all(n % 2 for n in inner.shape)
    middle = [n // 2 - m // 2 for n, m in zip(kernel.shape, inner.shape)]
    np.testing.assert_allclose(
        inner, kernel[middle[0] : middle[0] + inner.shape[0], middle[1] : middle[1] + inner.shape[1]]
    )
    np.testing.assert_allclose(trimmed(inner), inner)
    even = np.ones((4, 6)) / 24
    np.testing.assert_array_equal(trimmed(even), even)


def test_what_has_no_kernel_is_refused() -> None:
    y = torch.rand(1, 1, 8, 8)
    with pytest.raises(Unsupported, match="of a blur"):
        checked(Problem(y, Identity((1, 8, 8)), Gaussian(0.1)))
    with pytest.raises(Unsupported, match="Gaussian noise"):
        checked(Problem(y, blur((1, 8, 8), torch.ones(3, 3) / 9), Poisson(50.0)))
    with pytest.raises(ValueError, match="above 0"):
        KernelCorrection(0.0)


def test_the_part_with_the_most_to_see_is_taken() -> None:
    y = np.zeros((2, 40, 50))
    y[:, 25:35, 30:45] = np.random.default_rng(0).random((2, 10, 15))
    part = rough_part(y, 16)
    assert part.shape == (2, 16, 16)
    assert np.ptp(part) > 0.5
    assert rough_part(y, 100).shape == y.shape
