"""Restoration that begins with the low stage of a cascade."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restorekit import operators as ops
from restorekit.errors import BadInput, Unsupported
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng, low_stage_seed
from restorekit.inference.schedule import below
from restorekit.inference.solver import Step
from restorekit.priors.cascade import Cascade, down, up
from restorekit.tasks.coarse import enlarge_to, reduced, restore_from_coarse
from restorekit.text.names import solver_of

SHAPE, MEAN, SPREAD = (1, 8, 12), 0.5, 0.2


def low(x: Tensor, sigma: float | Tensor, /) -> Tensor:
    """E[x0 | x] for white pictures N(MEAN, SPREAD^2)."""
    s = torch.as_tensor(sigma, dtype=x.dtype).view(-1, 1, 1, 1) ** 2
    return (MEAN * s + SPREAD**2 * x) / (s + SPREAD**2)


def high(x: Tensor, sigma: float | Tensor, /) -> Tensor:
    """The same of pictures that are constant over blocks of 2 x 2: exact at every level."""
    return up(low(down(x, 2), torch.as_tensor(sigma) / 2), 2)


CASCADE = Cascade(low, high, relay=0.3, factor=2)


def problem(sigma_y: float = 0.1) -> Problem:
    rng = torch.Generator().manual_seed(0)
    truth = up(MEAN + SPREAD * torch.randn(1, 1, 4, 6, generator=rng), 2)
    return Problem(truth + sigma_y * torch.randn(truth.shape, generator=rng), ops.Identity(SHAPE), Gaussian(sigma_y))


def test_enlarge_and_its_adjoint() -> None:
    rng = torch.Generator().manual_seed(1)
    for height, width in ((12, 20), (9, 18), (12, 17)):
        enlarge = enlarge_to((2, height, width), 4)
        assert enlarge.image_shape == (2, 3, 5)
        x, y = torch.randn(1, 2, 3, 5, generator=rng), torch.randn(1, 2, height, width, generator=rng)
        torch.testing.assert_close((enlarge(x) * y).sum(), (x * enlarge.adjoint(y)).sum())
        assert torch.equal(enlarge(x)[..., 3, 7], x[..., 0, 1])


def test_the_reduced_problem_measures_the_enlarged_picture() -> None:
    z = torch.rand(1, 1, 4, 6)
    mask = torch.ones(SHAPE)
    mask[:, 2] = 0
    whole = Problem(torch.zeros(1, *SHAPE), ops.Inpaint(SHAPE, mask), Gaussian(0.1))
    torch.testing.assert_close(reduced(whole, 2).operator(z), whole.operator(up(z, 2)))
    assert reduced(whole, 5).operator.image_shape == (1, 2, 3)


@pytest.mark.parametrize("name", ["mmps", "dps:scale=1", "diffpir:zeta=0.3"])
def test_the_posterior_of_the_high_resolution_is_reached_with_fewer_calls(name: str) -> None:
    given = problem()
    found = restore_from_coarse(given, CASCADE, solver_of(name), steps=30, low_steps=30, samples=32, seed=0)
    precision = 1 / SPREAD**2 + 4 / 0.1**2  # four pixels of each block were measured
    mean = (MEAN / SPREAD**2 + 4 * down(given.y, 2)[0] / 0.1**2) / precision
    whole = restore(given, CASCADE, solver_of(name), steps=30, samples=32, seed=0)
    assert found.nfe < whole.nfe
    levels = solver_of(name).schedule(given, 30)
    assert found.nfe == solver_of(name).calls(below(levels, 0.3))
    assert found.settings["low_nfe"] == solver_of(name).calls(levels)
    assert found.settings["low_sigmas"] == solver_of(name).schedule(reduced(given, 2), 30)
    error, usual = (float((down(r.mean[None], 2)[0] - mean).square().mean().sqrt()) for r in (found, whole))
    assert error < 1.2 * usual + 0.2 * precision**-0.5


def test_each_sample_begins_with_its_own_coarse_one(monkeypatch: pytest.MonkeyPatch) -> None:
    given, seen = problem(), []
    kind = type(solver_of("mmps"))
    plain = kind.start

    def watched(self, part: Problem, sigma: float, rng: object, *begin: Tensor) -> Tensor:
        seen.append((sigma, *begin))
        return plain(self, part, sigma, rng, *begin)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "start", watched)
    restore_from_coarse(given, CASCADE, solver_of("mmps"), samples=3, seed=5, steps=4, low_steps=4, batch=2)
    coarse = restore(reduced(given, 2), low, solver_of("mmps"), samples=3, seed=low_stage_seed(5), steps=4).samples
    begins = [s for s in seen if len(s) == 2]
    assert [s[0] for s in begins] == [0.3, 0.3]
    torch.testing.assert_close(torch.cat([s[1] for s in begins]), up(coarse, 2))


def test_the_noise_of_the_stages_is_not_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Tensor] = []
    plain = Rng.normal
    monkeypatch.setattr(Rng, "normal", lambda self, like: drawn.append(plain(self, like)) or drawn[-1])
    restore_from_coarse(problem(), CASCADE, solver_of("mmps"), steps=4, low_steps=4, seed=1)
    first = [x.flatten()[:20] for x in drawn]
    assert len(first) > 4
    assert all(not torch.equal(a, b) for i, a in enumerate(first) for b in first[:i])


@pytest.mark.parametrize("batch", [None, 2])
def test_any_size_and_calls_of_both_stages_counted(batch: int | None) -> None:
    rng = torch.Generator().manual_seed(2)
    given = Problem(torch.rand(1, 1, 7, 11, generator=rng), ops.Identity((1, 7, 11)), Gaussian(0.1))
    seen: list[tuple[int, int]] = []
    shapes = set()

    def watch(done: int, total: int, step: Step) -> None:
        seen.append((done, total))
        shapes.add((*step.x.shape[1:], *step.x0.shape[1:]))

    found = restore_from_coarse(
        given, CASCADE, solver_of("mmps"), steps=5, low_steps=5, samples=3, batch=batch, progress=watch
    )
    assert found.samples.shape == (3, 1, 7, 11)
    total = (found.nfe + found.settings["low_nfe"]) * (2 if batch else 1)
    assert seen == [(i, total) for i in range(1, total + 1)]
    assert shapes == {(1, 7, 11, 1, 7, 11)}


def test_an_optimiser_begins_without_noise() -> None:
    given = problem()
    found = restore_from_coarse(given, CASCADE, solver_of("hqs:first=1"), steps=4, low_steps=4)
    assert found.samples.shape == (1, *SHAPE)
    with pytest.raises(
        Unsupported, match=r"for the low stage ddrm needs .*SVD.* or with `coarse` dps"
    ):  # the low stage sees no SVD: another solver for it
        restore_from_coarse(given, CASCADE, solver_of("ddrm"))
    mixed = restore_from_coarse(given, CASCADE, solver_of("ddrm"), low_solver=solver_of("mmps"), steps=4, low_steps=4)
    assert mixed.settings["low_solver"] == "MMPS"


def test_levels_below_the_relay_are_refused() -> None:
    given = problem(0.05)
    with pytest.raises(BadInput, match=r"begin at 0.2, below 0.3, .* leave `coarse` out"):
        restore_from_coarse(given, CASCADE, solver_of("hqs:first=0.2"), steps=4)


def test_a_beginning_of_another_shape_is_refused() -> None:
    with pytest.raises(BadInput, match=r"begin is \(1, 1, 8, 8\), expected \(1, 1, 8, 12\)"):
        restore(problem(), CASCADE, solver_of("mmps"), begin=torch.zeros(1, 1, 8, 8))
