"""A blur by a grid of kernels, beside sums of plain blurs; the identities of every operator are in `test_operators`."""

from __future__ import annotations

import pytest
import torch

from restorekit.operators import FreeBlur, GridBlur
from restorekit.operators.gridblur import grid_weights

F64 = torch.float64


def kernels(rows: int, columns: int, h: int, w: int) -> torch.Tensor:
    k = torch.rand(rows, columns, h, w, generator=torch.Generator().manual_seed(0), dtype=F64)
    return k / k.sum((-2, -1), keepdim=True)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 3), (4, 2)])
def test_weights_are_a_partition_of_unity(rows: int, columns: int) -> None:
    weights = grid_weights(rows, columns, (13, 17))
    assert weights.shape == (rows * columns, 13, 17)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(0), torch.ones(13, 17, dtype=F64))


def test_in_the_middle_of_a_cell_its_kernel_alone_counts() -> None:
    weights = grid_weights(3, 2, (15, 10)).view(3, 2, 15, 10)
    for i in range(3):
        for j in range(2):
            assert weights[i, j, 2 + 5 * i, 2 + 5 * j] == pytest.approx(1, abs=0.11)  # even cells: half a pixel off
            assert weights[i, j, 2 + 5 * i].max() == 1


def test_alike_kernels_are_one_blur() -> None:
    k = kernels(1, 1, 5, 4)
    x = torch.rand(1, 2, 20, 22, dtype=F64)
    one, grid = FreeBlur.of((2, 16, 19), k[0, 0]), GridBlur.of((2, 16, 19), k.expand(3, 3, 5, 4))
    torch.testing.assert_close(grid(x), one(x))
    assert grid.inside(x).shape == one.inside(x).shape


def test_each_pixel_has_the_interpolated_kernel() -> None:
    k = kernels(2, 3, 3, 5)
    grid = GridBlur.of((1, 9, 12), k)
    x = torch.rand(1, 1, 11, 16, dtype=F64)
    y = grid(x)
    for i, j in ((0, 0), (4, 7), (8, 11)):
        own = torch.einsum("k,khw->hw", grid.weights[:, i, j], grid.kernels).flip(0, 1)
        assert float(y[0, 0, i, j]) == pytest.approx(float((own * x[0, 0, i : i + 3, j : j + 5]).sum()))


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="weights of 2 kernels"):
        GridBlur((1, 9, 9), torch.ones(2, 3, 3), torch.ones(2, 9, 9))
