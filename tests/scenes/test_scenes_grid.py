"""Blocks of a scene and the noise of its pixels: what a block sees depends on its place alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from restorekit.files.bands import Window
from restorekit.scenes.field_noise import CELL, SceneRng, cell, field
from restorekit.scenes.grid import Grid

GRIDS = [Grid(100, 130, 32, 8, 4), Grid(64, 64, 64, 16, 8), Grid(65, 33, 32, 5, 16), Grid(1, 300, 64, 8, 8), Grid(70, 70, 32, 3, 0)]  # fmt: skip
every = pytest.mark.parametrize("grid", GRIDS, ids=lambda g: f"{g.height}x{g.width}-{g.side}-{g.fade}")


@every
def test_squares_cover_the_scene_once(grid: Grid) -> None:
    count = np.zeros((grid.height, grid.width), int)
    for i, j in grid:
        count[grid.core(i, j).slices] += 1
    assert (count == 1).all()
    assert len(list(grid)) == len(grid)


@every
def test_weights_add_up_to_one(grid: Grid) -> None:
    total = np.zeros((grid.height, grid.width))
    for i, j in grid:
        weight = grid.weights(i, j)
        assert weight.min() > 0
        total[grid.kept(i, j).slices] += weight
    np.testing.assert_allclose(total, 1, atol=1e-12)  # sums of four products of numbers below 1


@every
def test_a_square_is_touched_by_exactly_the_blocks_that_reach_into_it(grid: Grid) -> None:
    for i, j in grid:
        core = grid.core(i, j)
        reaching = {at for at in grid if grid.kept(*at).common(core)}
        assert reaching <= set(grid.touching(i, j))
        assert grid.kept(i, j).within(grid.height, grid.width)
        seen, kept = grid.seen(i, j), grid.kept(i, j)
        assert seen.common(kept) == kept
        # As much as is asked for on each side, or up to the border.
        assert kept.top - seen.top == min(grid.halo, kept.top)
        assert kept.left - seen.left == min(grid.halo, kept.left)


def test_impossible_grids_are_refused() -> None:
    with pytest.raises(ValueError, match="at least twice"):
        Grid(10, 10, 16, 4, 9)
    with pytest.raises(ValueError, match="halo=-1"):
        Grid(10, 10, 16, -1, 4)


def test_a_window_has_the_noise_of_its_pixels() -> None:
    whole = field(7, 3, Window(0, 0, 2 * CELL + 40, CELL + 90))
    for window in (Window(0, 0, 5, 5), Window(CELL - 3, 11, 9, CELL + 20), Window(2 * CELL, CELL, 40, 90)):
        np.testing.assert_array_equal(field(7, 3, window), whole[window.slices])


def test_noise_is_normal_and_independent_of_key_draw_and_cell() -> None:
    cells = [cell(k, d, i, j) for k, d, i, j in ((1, 0, 0, 0), (2, 0, 0, 0), (1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1))]
    n = CELL**2
    for x in cells:  # five standard errors: 1 / sqrt(n) of a mean, sqrt(2 / n) of a variance
        assert abs(float(x.mean())) < 5 / n**0.5
        assert abs(float(x.var()) - 1) < 5 * (2 / n) ** 0.5
    for a, b in pairwise(cells):
        assert abs(float((a * b).mean())) < 5 / n**0.5


def test_streams_belong_to_samples_and_bands() -> None:
    like, at = torch.zeros(2, 2, 20, 30), Window(100, 50, 20, 30)
    rng = SceneRng(0, range(2), at)
    first, second = rng.normal(like), rng.normal(like)
    assert not torch.equal(first, second)
    flat = first.flatten(0, 1)
    assert len({tuple(x.flatten()[:4].tolist()) for x in flat}) == 4
    # The second sample alone, its second band alone: the same numbers.
    alone = SceneRng(0, range(1, 2), at).normal(like[:1])
    assert torch.equal(alone[0], first[1])
    assert torch.equal(SceneRng(0, range(1, 2), at, band=1).normal(like[:1, :1])[0, 0], first[1, 1])
    assert not torch.equal(SceneRng(1, range(2), at).normal(like), first)


def test_a_wrong_number_of_pictures_is_refused() -> None:
    with pytest.raises(ValueError, match="2 streams"):
        SceneRng(0, range(2), Window(0, 0, 4, 4)).normal(torch.zeros(3, 1, 4, 4))
