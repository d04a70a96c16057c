"""This module holds linear maps that treat rows and columns apart, y = R x C', by the SVD of the two small matrices."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from restorekit.operators.base import SVDOperator


class _Factors(NamedTuple):
    """R = u diag(s) v': u (m, k), s (k,), v (n, k), k = min(m, n)."""

    u: Tensor
    s: Tensor
    v: Tensor


def _factors(matrix: Tensor) -> _Factors:
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    return _Factors(u, s, vt.T.contiguous())


def _completed(thin: Tensor) -> Tensor:
    """Return an orthonormal basis (n, n) whose first columns are those of `thin` (n, k)."""
    n, k = thin.shape
    return thin if n == k else torch.cat([thin, torch.linalg.qr(thin, mode="complete").Q[:, k:]], 1)


def _corner_first(c: Tensor, h: int, w: int) -> Tensor:
    """Return coefficients (B, C, H, W) as (B, n), those of the first h rows and w columns in front."""
    return torch.cat([c[..., :h, :w].flatten(1), c[..., :h, w:].flatten(1), c[..., h:, :].flatten(1)], 1)


def _placed(c: Tensor, shape: tuple[int, int, int], h: int, w: int) -> Tensor:
    """Return coefficients (B, n) as (B, C, H, W): the inverse of `_corner_first`."""
    bands, height, width = shape
    corner, right, below = c.split([bands * h * w, bands * h * (width - w), bands * (height - h) * width], 1)
    top = torch.cat([corner.reshape(len(c), bands, h, w), right.reshape(len(c), bands, h, width - w)], -1)
    return torch.cat([top, below.reshape(len(c), bands, height - h, width)], -2)


@dataclass(frozen=True, eq=False)
class Separable(SVDOperator):
    """Apply a matrix to each column and another to each row: y = R x C', (B, C, h, w).

    A subclass gives `weights`, in float64. Its SVD is that of the two matrices, found once; solves need the part alone in which
    something is measured, so that what one costs is two products with matrices of a side each.
    """

    @property
    @abstractmethod
    def weights(self) -> tuple[Tensor, Tensor]:
        """Return R (h, H) and C (w, W), float64."""

    @cached_property
    def _small(self) -> tuple[int, int]:
        rows, columns = self.weights
        return len(rows), len(columns)

    @property
    def _corner(self) -> tuple[int, int]:  # coefficients with a singular value of the two matrices
        (height, width), (h, w) = self.image_shape[1:], self._small
        return min(h, height), min(w, width)

    @property
    def _measured_shape(self) -> tuple[int, int, int]:
        return self.image_shape[0], *self._small

    @property
    def m(self) -> int:
        return math.prod(self._measured_shape)

    @cached_property
    def _axes_svd(self) -> tuple[_Factors, _Factors]:
        rows, columns = self.weights
        first = _factors(rows)
        return first, first if columns is rows else _factors(columns)

    @cached_property
    def _bases(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return full orthonormal bases: of the rows and columns of the picture, of those of the measurement."""
        rows, columns = self._axes_svd
        return _completed(rows.v), _completed(columns.v), _completed(rows.u), _completed(columns.u)

    @cached_property
    def _grid(self) -> Tensor:  # singular values of the corner (h, w)
        rows, columns = self._axes_svd
        return rows.s[:, None] * columns.s

    @property
    def _thin(self) -> tuple[Tensor, ...]:
        rows, columns = self._axes_svd
        return rows.u, columns.u, rows.v, columns.v, self._grid

    @cached_property
    def _kept(self) -> dict[tuple[str, torch.dtype, torch.device], tuple[Tensor, ...]]:
        return {}

    def _cast(self, what: str, like: Tensor) -> tuple[Tensor, ...]:
        """Return the matrices of an attribute in the type and on the device of `like`, kept for the next time."""
        key = what, like.dtype, like.device
        if key not in self._kept:
            self._kept[key] = tuple(t.to(like) for t in getattr(self, what))
        return self._kept[key]

    @cached_property
    def singulars(self) -> Tensor:  # type: ignore[override]
        first = self._grid.expand(self.image_shape[0], -1, -1).flatten()
        count = min(math.prod(self.image_shape), self.m)
        return torch.cat([first, first.new_zeros(count - len(first))])

    def __call__(self, x: Tensor, /) -> Tensor:
        rows, columns = self._cast("weights", x)
        return rows @ x @ columns.T

    def adjoint(self, y: Tensor, /) -> Tensor:
        rows, columns = self._cast("weights", y)
        return rows.T @ y @ columns

    def pinv(self, y: Tensor, /) -> Tensor:
        u1, u2, v1, v2, s = self._cast("_thin", y)
        floor = float(self._grid.max()) * torch.finfo(y.dtype).eps * 100
        inverse = torch.where(s > floor, 1 / s.clamp(min=floor), 0.0)
        return v1 @ (inverse * (u1.T @ y @ u2)) @ v2.T

    def normal_solve(self, b: Tensor, rho: float, x: Tensor | None = None, tolerance: float | None = None) -> Tensor:
        _, _, v1, v2, s = self._cast("_thin", b)
        return _shrunk(b, v1, v2, s, rho)

    def gram_solve(self, r: Tensor, rho: float, tolerance: float | None = None) -> Tensor:
        u1, u2, _, _, s = self._cast("_thin", r)
        return _shrunk(r, u1, u2, s, rho)

    def vt(self, x: Tensor, /) -> Tensor:
        v1, v2, _, _ = self._cast("_bases", x)
        return _corner_first(v1.T @ x @ v2, *self._corner)

    def v(self, c: Tensor, /) -> Tensor:
        v1, v2, _, _ = self._cast("_bases", c)
        return v1 @ _placed(c, self.image_shape, *self._corner) @ v2.T

    def ut(self, y: Tensor, /) -> Tensor:
        _, _, u1, u2 = self._cast("_bases", y)
        return _corner_first(u1.T @ y @ u2, *self._corner)

    def u(self, c: Tensor, /) -> Tensor:
        _, _, u1, u2 = self._cast("_bases", c)
        return u1 @ _placed(c, self._measured_shape, *self._corner) @ u2.T


def _shrunk(b: Tensor, rows: Tensor, columns: Tensor, s: Tensor, rho: float) -> Tensor:
    """Return (M + rho)^-1 b for M of eigenvalues s^2 along `rows` and `columns`, and 0 elsewhere."""
    c = rows.T @ b @ columns
    return b / rho - rows @ (c * (s**2 / (rho * (s**2 + rho)))) @ columns.T
