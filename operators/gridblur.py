"""This module blurs with a kernel that changes over the picture: those of a grid, and what lies between them interpolated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from restorekit.operators.base import Lattice, LinearOperator, Shape
from restorekit.operators.blur import FreeBlur, blur_lattice
from restorekit.operators.transforms import fast_length


def _tents(count: int, size: int) -> Tensor:
    """Return (count, size) weights, linear between the middles of `count` equal cells and constant beyond the outermost;
    their sum is 1."""
    at = ((torch.arange(size, dtype=torch.float64) + 0.5) * count / size - 0.5).clamp(0, count - 1)
    return (1 - (at - torch.arange(count, dtype=torch.float64)[:, None]).abs()).clamp(min=0)


def grid_weights(rows: int, columns: int, size: tuple[int, int]) -> Tensor:
    """Return (rows * columns, H, W) float64: how much of each kernel of a grid, row by row, a pixel of a measurement of
    `size` (H, W) has.

    Bilinear between the middles of the cells; the sum over kernels is 1 at every pixel.
    """
    down, across = _tents(rows, size[0]), _tents(columns, size[1])
    return (down[:, None, :, None] * across[None, :, None, :]).reshape(rows * columns, *size)


@dataclass(frozen=True, eq=False)
class GridBlur(LinearOperator):
    """Blur with a kernel that changes over the picture, y = sum_k w_k (h_k * x), where all of the kernels lies on x.

    kernels: (K, h, w); weights: (K, H, W), of the size of y, of sum 1 at each pixel (a partition of unity), as of
    `grid_weights`. x is (h - 1, w - 1) larger than y: nothing is assumed of what lies beyond the frame. The kernel at a
    pixel of y is the mean of h_k weighted with its w_k, so that a flat picture stays flat (Nagy and O'Leary, SIAM J.
    Sci. Comput. 19, 1998; Denis et al., IJCV 115, 2015). Take it where a shake turned the camera, or where a lens is
    less sharp at the corners. Raises ValueError for weights that do not fit.
    """

    kernels: Tensor
    weights: Tensor

    def __post_init__(self) -> None:
        count, h, w = self.kernels.shape
        size = tuple(n - k + 1 for n, k in zip(self.image_shape[1:], (h, w)))
        if tuple(self.weights.shape) != (count, *size):
            raise ValueError(
                f"weights of {count} kernels {h}x{w} must be {(count, *size)}, not {tuple(self.weights.shape)}"
            )

    @property
    def title(self) -> str:
        return "a blur by a grid of kernels"

    @classmethod
    def image_shape_for(cls, measured: Shape, *, kernels: Tensor, **_: Any) -> Shape:
        """Return `measured`, enlarged by what the kernels reach beyond it."""
        return FreeBlur.image_shape_for(measured, kernel=kernels[0])

    @classmethod
    def of(cls, measured: Shape, kernels: Tensor) -> GridBlur:
        """Return the blur by a grid of kernels (rows, columns, h, w) whose measurement has the shape `measured` (C, H, W)."""
        rows, columns, h, w = kernels.shape
        flat = kernels.reshape(rows * columns, h, w)
        weights = grid_weights(rows, columns, (measured[1], measured[2])).to(flat)
        return cls(cls.image_shape_for(measured, kernels=flat), flat, weights)

    @cached_property
    def _grid(self) -> tuple[int, int]:
        """Return a size (height, width) that holds x and for which an FFT is fast."""
        h, w = (fast_length(n) for n in self.image_shape[1:])
        return h, w

    @cached_property
    def _otfs(self) -> Tensor:
        return torch.fft.rfft2(self.kernels, s=self._grid)

    @cached_property
    def _power(self) -> Tensor:
        """Return the power spectrum of the blur, the mean over the kernels as the picture is shared among them."""
        share = self.weights.mean((1, 2))
        return torch.einsum("k,khw->hw", share, self._otfs.real.square() + self._otfs.imag.square())

    @property
    def lattice(self) -> Lattice:
        return blur_lattice(torch.einsum("k,khw->hw", self.weights.mean((1, 2)), self.kernels))

    def __call__(self, x: Tensor, /) -> Tensor:
        _, h, w = self.kernels.shape
        z = torch.fft.rfft2(x, s=self._grid)
        bottom, right = self.image_shape[1:]
        parts = (
            weight * torch.fft.irfft2(otf * z, s=self._grid)[..., h - 1 : bottom, w - 1 : right]
            for otf, weight in zip(self._otfs, self.weights)
        )
        return torch.stack(list(parts)).sum(0)

    def adjoint(self, y: Tensor, /) -> Tensor:
        _, h, w = self.kernels.shape
        spectrum = torch.zeros((), dtype=self._otfs.dtype, device=y.device)
        for otf, weight in zip(self._otfs, self.weights):
            placed = torch.nn.functional.pad(weight * y, (w - 1, 0, h - 1, 0))
            spectrum = spectrum + otf.conj() * torch.fft.rfft2(placed, s=self._grid)
        return torch.fft.irfft2(spectrum, s=self._grid)[..., : self.image_shape[1], : self.image_shape[2]]

    def precondition(self, r: Tensor, rho: float) -> Tensor:
        z = torch.fft.rfft2(r, s=self._grid) / (self._power + rho)
        return torch.fft.irfft2(z, s=self._grid)[..., : self.image_shape[1], : self.image_shape[2]]

    def estimate(self, y: Tensor) -> Tensor:
        """Return y, mirrored at its edges to the size of x, (B, C, H, W)."""
        return FreeBlur(self.image_shape, self.kernels[0]).estimate(y)

    def inside(self, x: Tensor) -> Tensor:
        return FreeBlur(self.image_shape, self.kernels[0]).inside(x)
