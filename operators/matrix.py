"""This module takes a matrix as an operator, for small problems and for whatever has no faster form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from restorekit.operators.base import SVDOperator


@dataclass(frozen=True, eq=False)
class Matrix(SVDOperator):
    """Multiply the flattened picture by a matrix M (m, n): y = M x, (B, m).

    The SVD is computed once, with full bases: n up to about 4000. Raises ValueError where n is not the size of the
    picture.
    """

    matrix: Tensor

    def __post_init__(self) -> None:
        c, h, w = self.image_shape
        if self.matrix.ndim != 2 or self.matrix.shape[1] != c * h * w:
            raise ValueError(
                f"the matrix is {tuple(self.matrix.shape)}, pictures {self.image_shape} need {c * h * w} columns"
            )

    @cached_property
    def _svd(self) -> tuple[Tensor, Tensor, Tensor]:
        u, s, vt = torch.linalg.svd(self.matrix, full_matrices=True)
        return u, s, vt

    @property
    def singulars(self) -> Tensor:
        return self._svd[1]

    @property
    def m(self) -> int:
        return len(self.matrix)

    def __call__(self, x: Tensor, /) -> Tensor:
        return x.flatten(1) @ self.matrix.T

    def adjoint(self, y: Tensor, /) -> Tensor:
        return (y @ self.matrix).view(-1, *self.image_shape)

    def ut(self, y: Tensor, /) -> Tensor:
        return y @ self._svd[0]

    def u(self, c: Tensor, /) -> Tensor:
        return c @ self._svd[0].T

    def vt(self, x: Tensor, /) -> Tensor:
        return x.flatten(1) @ self._svd[2].T

    def v(self, c: Tensor, /) -> Tensor:
        return (c @ self._svd[2]).view(-1, *self.image_shape)
