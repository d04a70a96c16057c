"""Operators made of operators: composition, stacking, weighting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from restorekit.operators.base import LinearOperator, Operator


@dataclass(frozen=True, eq=False)
class Compose(LinearOperator):
    """y = outer(inner(x)), both linear."""

    outer: LinearOperator
    inner: LinearOperator

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.outer(self.inner(x))

    def adjoint(self, y: Tensor, /) -> Tensor:
        return self.inner.adjoint(self.outer.adjoint(y))


@dataclass(frozen=True, eq=False)
class ComposeNonlinear(Operator):
    """y = outer(inner(x)), where one of them is not linear."""

    outer: Operator
    inner: Operator

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.outer(self.inner(x))

    def estimate(self, y: Tensor) -> Tensor:
        return self.inner.estimate(self.outer.estimate(y))


def compose(outer: Operator, inner: Operator) -> Operator:
    """outer after inner, linear if both are."""
    if isinstance(outer, LinearOperator) and isinstance(inner, LinearOperator):
        return Compose(inner.image_shape, outer, inner)
    return ComposeNonlinear(inner.image_shape, outer, inner)


@dataclass(frozen=True, eq=False)
class Stack(LinearOperator):
    """Several sensors on one picture: y = the measurements, flattened and joined, (B, m1 + m2 + ...)."""

    parts: tuple[LinearOperator, ...]

    def __call__(self, x: Tensor, /) -> Tensor:
        return torch.cat([part(x).flatten(1) for part in self.parts], 1)

    @cached_property
    def shapes(self) -> list[torch.Size]:
        """The shape of each part's measurement, without the batch."""
        reference = next((t for t in vars(self.parts[0]).values() if isinstance(t, Tensor)), torch.zeros(1))
        probe = reference.new_zeros((1, *self.image_shape))
        return [part(probe).shape[1:] for part in self.parts]

    def split(self, y: Tensor) -> list[Tensor]:
        """The joined measurement as its parts, each in its own shape."""
        pieces = y.split([shape.numel() for shape in self.shapes], 1)
        return [piece.unflatten(1, shape) for piece, shape in zip(pieces, self.shapes)]

    def adjoint(self, y: Tensor, /) -> Tensor:
        return torch.stack([part.adjoint(piece) for part, piece in zip(self.parts, self.split(y))]).sum(0)

    def to(self, *args: object, **kwargs: object) -> Stack:
        return Stack(self.image_shape, tuple(part.to(*args, **kwargs) for part in self.parts))


@dataclass(frozen=True, eq=False)
class Weighted(LinearOperator):
    """y = weight * inner(x): how masks and unequal noise levels enter a least-squares problem."""

    inner: LinearOperator
    weight: Tensor

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.weight * self.inner(x)

    def adjoint(self, y: Tensor, /) -> Tensor:
        return self.inner.adjoint(self.weight * y)
