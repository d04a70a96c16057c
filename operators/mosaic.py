"""A sensor behind a mosaic of colour filters measures one colour at each pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.operators.base import Shape, SVDOperator, conjugate_gradients

BAYER = ("rggb", "bggr", "grbg", "gbrg")
XTRANS = "ggrggb" + "ggbggr" + "brgrbg" + "ggbggr" + "ggrggb" + "rbgbrg"
_COLOURS = "rgb"
_OF_COLOUR, _OF_MEAN = 0.1, 0.01  # weights of what bends in a first estimate, beside the values, which have 1
_ITERATIONS = 80  # of that, at most: colours are known within a few pixels


def tile_of(pattern: str) -> Tensor:
    """Return the colours (p, p) of a pattern, 0 red, 1 green, 2 blue, as they repeat from the top left pixel on.

    pattern: one of BAYER, "xtrans", or 4 or 36 letters r, g and b, row by row. Raises ValueError for any other, and for one that
    leaves a colour out.
    """
    letters = XTRANS if pattern.lower() == "xtrans" else pattern.lower()
    side = math.isqrt(len(letters))
    if side not in (2, 6) or side**2 != len(letters) or set(letters) != set(_COLOURS):
        raise ValueError(f"pattern={pattern!r} is unknown; it is {', '.join(BAYER)}, xtrans, or 36 letters r, g and b")
    if side == 2 and letters not in BAYER:
        raise ValueError(f"pattern={pattern!r} is no Bayer pattern; it is {', '.join(BAYER)}")
    return torch.tensor([_COLOURS.index(letter) for letter in letters]).view(side, side)


def name_of(tile: Tensor) -> str:
    """Return the pattern of the colours (p, p): the letters, row by row, or "xtrans"."""
    letters = "".join(_COLOURS[int(colour)] for colour in tile.flatten())
    return "xtrans" if letters == XTRANS else letters


def sites(pattern: str, height: int, width: int) -> Tensor:
    """Return the colour (H, W) that each pixel of a sensor sees: 0 red, 1 green, 2 blue. Raises ValueError as `tile_of`."""
    tile = tile_of(pattern)
    p = len(tile)
    return tile.repeat(-(-height // p), -(-width // p))[:height, :width]


@dataclass(frozen=True, eq=False)
class Mosaic(SVDOperator):
    """Measure one weighted sum of the bands at each pixel, y = sum_c rows_c x_c, (B, 1, H, W).

    rows: (C, H, W), what the filter of each pixel passes of each band; 1 of one band and 0 of the others for plain filters,
    see `of`. V reflects the bands of each pixel so that its row comes first (Householder), and everything is closed.
    Raises ValueError where rows do not fit.
    """

    rows: Tensor

    def __post_init__(self) -> None:
        if self.rows.shape != self.image_shape or not self.rows.is_floating_point():
            raise ValueError(
                f"rows {tuple(self.rows.shape)} of {self.rows.dtype} do not fit pictures {self.image_shape}"
            )

    @classmethod
    def of(cls, image_shape: Shape, pattern: str = "rggb", colours: Tensor | None = None) -> Mosaic:
        """Return the mosaic of a pattern (`tile_of`) over RGB pictures (3, H, W).

        colours: (3, 3), what each filter, red, green and blue, passes of each band of the picture: white balance and
        colours of a camera. Default: one band each. Raises ValueError for another pattern or number of bands.
        """
        if image_shape[0] != 3:
            raise ValueError(f"a mosaic has three colours, and the picture {image_shape[0]} band(s)")
        table = torch.eye(3) if colours is None else colours
        rows = table[sites(pattern, *image_shape[1:]).to(table.device)]  # (H, W, 3)
        return cls(image_shape, rows.permute(2, 0, 1).contiguous())

    @classmethod
    def image_shape_for(cls, measured: Shape, **_: Any) -> Shape:
        """Return the shape of RGB pictures. Raises ValueError for a measurement of more than one band."""
        if measured[0] != 1:
            raise ValueError(
                f"a mosaic has one value at each pixel, and the measurement {measured[0]} bands; it was demosaiced before, give the raw "
                "file, or take another operator, as denoise"
            )
        return (3, *measured[1:])

    @cached_property
    def _lengths(self) -> Tensor:
        return self.rows.norm(dim=0)

    @cached_property
    def singulars(self) -> Tensor:  # type: ignore[override]
        return self._lengths.flatten()

    @cached_property
    def _mirror(self) -> Tensor:
        """Return the unit vectors (C, H, W) along which bands are reflected; 0 where the row is the first band already."""
        tiny = torch.finfo(self.rows.dtype).tiny
        off = self.rows / self._lengths.clamp(min=tiny)
        first = torch.zeros_like(off)
        first[0] = 1.0
        off = torch.where(self._lengths > 0, off - first, 0.0)
        size = off.norm(dim=0)
        return torch.where(size > 1e-6, off / size.clamp(min=tiny), 0.0)

    def _reflected(self, x: Tensor) -> Tensor:
        mirror = self._mirror.to(x)
        return x - 2 * mirror * (mirror * x).sum(1, keepdim=True)

    def __call__(self, x: Tensor, /) -> Tensor:
        return (self.rows * x).sum(1, keepdim=True)

    def adjoint(self, y: Tensor, /) -> Tensor:
        return self.rows * y

    def normal_solve(self, b: Tensor, rho: float, x: Tensor | None = None, tolerance: float | None = None) -> Tensor:
        return rank_one_solve(self.rows, b, rho)

    def weighted(self, weight: Tensor) -> Mosaic:
        """Return the mosaic with each value multiplied by a weight (1, H, W) or (H, W)."""
        return Mosaic(self.image_shape, self.rows * weight)

    def estimate(self, y: Tensor) -> Tensor:
        """Return the picture (B, C, H, W) that explains y and bends least: its mean over the bands little (`_OF_MEAN`), the difference
        of each band from that less (`_OF_COLOUR`), as edges of pictures lie at one place in all bands."""
        tiny = torch.finfo(y.dtype).tiny
        weight = 1 / self._lengths.clamp(min=tiny) * (self._lengths > 0)  # every value counts alike
        rows = self.rows * weight

        def apply(x: Tensor) -> Tensor:
            mean = x.mean(1, keepdim=True)
            bent = _OF_COLOUR * _laplacian(_laplacian(x - mean)) + _OF_MEAN * _laplacian(_laplacian(mean))
            return torch.addcmul(bent, rows, (rows * x).sum(1, keepdim=True))

        start = (weight * y).expand(-1, self.image_shape[0], -1, -1)
        return conjugate_gradients(apply, rows * (weight * y), start, iterations=_ITERATIONS, tolerance=1e-4)

    def vt(self, x: Tensor, /) -> Tensor:
        return self._reflected(x).flatten(1)

    def v(self, c: Tensor, /) -> Tensor:
        return self._reflected(c.view(-1, *self.image_shape))

    def ut(self, y: Tensor, /) -> Tensor:
        return y.flatten(1)

    def u(self, c: Tensor, /) -> Tensor:
        return c.view(-1, 1, *self.image_shape[1:])


def rank_one_solve(rows: Tensor, b: Tensor, rho: float) -> Tensor:
    """Return (r r' + rho)^-1 b at each pixel, rows r and b (..., C, H, W), by the formula of Sherman and Morrison."""
    along = (rows * b).sum(-3, keepdim=True) / (rows.square().sum(-3, keepdim=True) + rho)
    return (b - rows * along) / rho


def _laplacian(x: Tensor) -> Tensor:
    """Return minus the sum of second differences of planes (..., H, W), the edge mirrored: symmetric, 0 of what is flat."""
    down, right = x.diff(dim=-2), x.diff(dim=-1)
    return F.pad(-down, (0, 0, 0, 1)) + F.pad(down, (0, 0, 1, 0)) + F.pad(-right, (0, 1)) + F.pad(right, (1, 0))
