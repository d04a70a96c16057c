"""Masks and pixels without data of pictures whose size changes by steps that are not whole."""

from __future__ import annotations

import numpy as np
import pytest

from restorekit.files.nodata import Empty
from restorekit.files.place import Placement
from restorekit.files.resizing import Blocks, Gathered, resized


@pytest.mark.parametrize(
    ("old", "new", "step"), [((6, 9), (3, 5), 0.5), ((3, 5), (6, 9), 2.0), ((7, 8), (3, 3), 1 / 3)]
)
def test_whole_steps_are_taken_as_whole_blocks_are(old: tuple[int, int], new: tuple[int, int], step: float) -> None:
    grid = Placement.enlarged(step, step)
    x = np.random.default_rng(0).random((2, *old))
    blocks, gathered = Blocks.between(old, new, grid), Gathered.between(old, new, grid)
    assert blocks is not None
    assert gathered is not None
    np.testing.assert_array_equal(gathered(x), blocks(x))


def test_a_smaller_pixel_has_no_data_where_any_that_it_covers_has_none() -> None:
    where = np.zeros((75, 6), bool)
    where[7, 2] = True
    held = np.array([[-9.0]])
    step = 22 / 75
    (_, _, empty), said = resized(
        (75, 6), (22, 2), (None, {}, Empty(where, held, -9.0)), Placement((step, (step - 1) / 2), (1 / 3, -1 / 3))
    )
    assert said == []
    assert empty is not None
    assert np.argwhere(empty.where).tolist() == [[2, 0]]  # row 2 covers 6.8 to 10.2
    assert empty.held.tolist() == [[-9.0]]


def test_a_larger_pixel_is_the_nearest() -> None:
    mask = np.arange(22)[:, None].repeat(4, 1) % 2 == 0
    step = 75 / 22
    (_, info, _), said = resized(
        (22, 4), (75, 4), (None, {"mask": mask}, None), Placement((step, (step - 1) / 2), (1.0, 0.0))
    )
    assert said == ["written with its mask enlarged"]
    nearest = ((np.arange(75) + 0.5) / step).astype(int)
    np.testing.assert_array_equal(info["mask"], mask[nearest])


def test_another_frame_is_not_followed() -> None:
    mask = np.ones((20, 20), bool)
    for new, grid in (((50, 50), Placement.enlarged(1.5, 1.5)), ((30, 30), Placement((1.5, 9.0), (1.5, 9.0)))):
        (_, info, _), said = resized((20, 20), new, (None, {"mask": mask}, None), grid)
        assert info == {}
        assert said == ["written without its mask"]
