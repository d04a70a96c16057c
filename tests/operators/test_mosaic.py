"""The mosaic of colour filters: which pixel sees which colour, and the closed solves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from restorekit import operators as ops
from restorekit.files.curves import SRGB
from restorekit.operators.coded import Coded
from restorekit.operators.mosaic import BAYER, XTRANS, name_of, sites, tile_of
from tests.support.cases import kernel, mask


@pytest.mark.parametrize("pattern", BAYER)
def test_every_pixel_sees_the_colour_that_the_pattern_names(pattern: str) -> None:
    x = torch.rand(1, 3, 5, 6)
    y = ops.Mosaic.of((3, 5, 6), pattern)(x)
    for row in range(5):
        for column in range(6):
            band = "rgb".index(pattern[2 * (row % 2) + column % 2])
            assert y[0, 0, row, column] == x[0, band, row, column]


def test_xtrans_has_every_colour_in_every_row_and_column() -> None:
    tile = tile_of("xtrans")
    assert all(set(line.tolist()) == {0, 1, 2} for line in (*tile, *tile.T))
    assert name_of(tile) == "xtrans"
    assert XTRANS.count("g") == 20
    assert sites("xtrans", 7, 13)[6, 12] == tile[0, 0]


@pytest.mark.parametrize("pattern", ["", "rgbg", "rggg", "rgb", "rggbrggb", "xyzw", "g" * 36])
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern=.* rggb, bggr, grbg, gbrg"):
        ops.Mosaic.of((3, 4, 4), pattern)


def test_it_is_of_three_colours_and_measures_one_band() -> None:
    with pytest.raises(ValueError, match="2 band"):
        ops.Mosaic.of((2, 4, 4))
    with pytest.raises(ValueError, match="demosaiced before"):
        ops.Mosaic.image_shape_for((3, 4, 4))
    with pytest.raises(ValueError, match="do not fit"):
        ops.Mosaic((3, 4, 4), torch.ones(3, 4, 5))


def test_colours_of_a_camera_are_mixed_as_its_table_says() -> None:
    table, x = kernel(3, 3), torch.rand(1, 3, 6, 6, dtype=torch.float64)
    seen = torch.einsum("ij,bjhw->bihw", table, x)
    y = ops.Mosaic.of((3, 6, 6), "gbrg", table)(x)
    assert torch.allclose(y, ops.Mosaic.of((3, 6, 6), "gbrg").to(torch.float64)(seen))


def test_a_flat_colour_is_estimated_as_it_is() -> None:
    colour = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, 9, 8)
    table = torch.eye(3, dtype=torch.float64) + 0.3 * kernel(3, 3)
    for operator in (ops.Mosaic.of((3, 9, 8), "rggb", table), ops.Mosaic.of((3, 9, 8), "xtrans", table)):
        torch.testing.assert_close(operator.estimate(operator(colour)), colour, atol=2e-3, rtol=0)


@pytest.mark.parametrize("curved", [False, True])
def test_solves_with_weights_and_a_curve_are_closed_and_right(curved: bool) -> None:
    plain = ops.Mosaic.of((3, 5, 4), "bggr", kernel(3, 3) * 3)
    operator = ops.Weighted.of(plain, 0.5 + mask(1, 5, 4))
    assert isinstance(operator, ops.Mosaic)  # so that ddrm takes unequal noise
    if curved:
        at = 0.2 + 0.6 * torch.rand(1, 3, 5, 4, dtype=torch.float64)
        operator = Coded((3, 5, 4), operator, SRGB()).linearised(at)
    b, rho = torch.rand(1, 3, 5, 4, dtype=torch.float64), 0.07
    x = operator.normal_solve(b, rho)
    torch.testing.assert_close(operator.adjoint(operator(x)) + rho * x, b)
    assert np.isfinite(x.numpy()).all()
