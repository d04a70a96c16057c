"""Folders of kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from restorekit.errors import BadInput
from restorekit.files.kernel_grid import read_kernel_grid


def fill(folder: Path, *names: str, side: int = 3) -> None:
    for n, name in enumerate(names):
        k = np.zeros((side, side))
        k[side // 2, n % side] = 2.0
        np.save(folder / name, k)


def test_rows_and_columns_are_in_the_names(tmp_path: Path) -> None:
    fill(tmp_path, "psf_1_1.npy", "psf_1_2.npy", "psf_2_1.npy", "psf_2_2.npy")
    (tmp_path / "readme.txt").write_text("of a lens")
    np.save(tmp_path / "psf_2_2.npy", np.ones((5, 4)))
    grid = read_kernel_grid(tmp_path)
    assert grid.shape == (2, 2, 5, 5)
    np.testing.assert_allclose(grid.sum((-2, -1)), 1, rtol=1e-6)
    assert grid[0, 1, 2, 2] == 1  # the middle of 3x3 stays the middle
    assert (grid[1, 1, :, 4] == 0).all()  # of an even side h // 2 is the middle


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "no kernels named by row and column"),
        (("0_0.npy", "1_1.npy"), "lacks row 0, column 1"),
        (("0_0.npy", "a_0_0.npy"), "are both row 0, column 0"),
        (("5_5.npy",), "counted from 0 or 1"),
    ],
)
def test_what_is_no_grid_is_refused(tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    fill(tmp_path, *names)
    with pytest.raises(BadInput, match=said):
        read_kernel_grid(tmp_path)


def test_a_kernel_of_zeros_is_refused_by_its_name(tmp_path: Path) -> None:
    np.save(tmp_path / "0_0.npy", np.zeros((3, 3)))
    with pytest.raises(BadInput, match=r"0_0\.npy: .*all zero"):
        read_kernel_grid(tmp_path)
