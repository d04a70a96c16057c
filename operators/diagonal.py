"""This module holds the operators that act on each value alone: denoising and inpainting."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.operators.base import SVDOperator


@dataclass(frozen=True, eq=False)
class Identity(SVDOperator):
    """Measure the picture itself, y = x: denoising."""

    @property
    def singulars(self) -> Tensor:
        return torch.ones(math.prod(self.image_shape))

    def __call__(self, x: Tensor, /) -> Tensor:
        return x

    def adjoint(self, y: Tensor, /) -> Tensor:
        return y

    pinv = adjoint

    def estimate(self, y: Tensor) -> Tensor:
        return y

    def normal_solve(self, b: Tensor, rho: float, x: Tensor | None = None, tolerance: float | None = None) -> Tensor:
        return b / (1 + rho)

    def vt(self, x: Tensor, /) -> Tensor:
        return x.flatten(1)

    def v(self, c: Tensor, /) -> Tensor:
        return c.view(-1, *self.image_shape)

    ut, u = vt, v


def _fill(x: Tensor, known: Tensor) -> Tensor:
    """Return x where known, elsewhere the fill of the picture of half the size, whose pixels are means over known
    ones."""
    if min(x.shape[-2:]) <= 1 or bool(known.all()):
        mean = (x * known).sum((-1, -2), keepdim=True) / known.sum((-1, -2), keepdim=True).clamp(min=1)
        return torch.where(known > 0, x, mean)
    count = F.avg_pool2d(known, 2, ceil_mode=True)
    half = F.avg_pool2d(x * known, 2, ceil_mode=True) / count.clamp(min=1e-8)
    coarse = _fill(half, (count > 0).to(x))
    return torch.where(known > 0, x, F.interpolate(coarse, size=x.shape[-2:], mode="bilinear", align_corners=False))


@dataclass(frozen=True, eq=False)
class Inpaint(SVDOperator):
    """Mask a picture, y = mask * x, y as large as x. mask (1 or C, H, W) >= 0: 1 measured, 0 missing; other values
    weight a pixel.

    Raises ValueError for a mask that is negative or does not fit.
    """

    mask: Tensor

    def __post_init__(self) -> None:
        if not self.mask.is_floating_point():  # bytes would overflow in the square, booleans have no product
            object.__setattr__(self, "mask", self.mask.float())
        if (
            self.mask.ndim != 3
            or self.mask.shape[1:] != self.image_shape[1:]
            or self.mask.shape[0] not in (1, self.image_shape[0])
        ):
            raise ValueError(f"mask {tuple(self.mask.shape)} does not fit pictures of {self.image_shape}")
        if bool((self.mask < 0).any()):
            raise ValueError("a mask must not be negative")

    @cached_property
    def singulars(self) -> Tensor:  # type: ignore[override]
        return self.mask.expand(self.image_shape).flatten()

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.mask * x

    adjoint = __call__

    def pinv(self, y: Tensor, /) -> Tensor:
        return y * self.inverse_singulars.view(self.image_shape).to(y)

    def normal_solve(self, b: Tensor, rho: float, x: Tensor | None = None, tolerance: float | None = None) -> Tensor:
        return b / (self.mask**2 + rho)

    def estimate(self, y: Tensor) -> Tensor:
        """Return y (B, C, H, W) with its holes filled from averages of what is known around them, wider and wider."""
        return _fill(self.pinv(y), (self.mask > 0).to(y).expand(y.shape))

    def vt(self, x: Tensor, /) -> Tensor:
        return x.flatten(1)

    def v(self, c: Tensor, /) -> Tensor:
        return c.view(-1, *self.image_shape)

    ut, u = vt, v
