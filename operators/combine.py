"""This module makes operators of operators: composition, stacking, weighting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from restorekit.operators.base import Lattice, LinearOperator, Operator
from restorekit.operators.diagonal import Identity, Inpaint
from restorekit.operators.mosaic import Mosaic


def _after(outer: Operator, inner: Operator) -> Lattice:
    rows, columns = (
        (step * far, start + step * beyond) for (far, beyond), (step, start) in zip(outer.lattice, inner.lattice)
    )
    return rows, columns


@dataclass(frozen=True, eq=False)
class Compose(LinearOperator):
    """Apply one linear operator after another: y = outer(inner(x))."""

    outer: LinearOperator
    inner: LinearOperator

    @property
    def lattice(self) -> Lattice:
        return _after(self.outer, self.inner)

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.outer(self.inner(x))

    def adjoint(self, y: Tensor, /) -> Tensor:
        return self.inner.adjoint(self.outer.adjoint(y))


@dataclass(frozen=True, eq=False)
class ComposeNonlinear(Operator):
    """Apply one operator after another, y = outer(inner(x)), where one of them is not linear."""

    outer: Operator
    inner: Operator

    @property
    def surrogate_gradient(self) -> bool:  # type: ignore[override]
        return self.outer.surrogate_gradient or self.inner.surrogate_gradient

    @property
    def lattice(self) -> Lattice:
        return _after(self.outer, self.inner)

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.outer(self.inner(x))

    def estimate(self, y: Tensor) -> Tensor:
        return self.inner.estimate(self.outer.estimate(y))


def compose(outer: Operator, inner: Operator) -> Operator:
    """Return the operator that applies `outer` after `inner`, linear if both are."""
    if isinstance(outer, LinearOperator) and isinstance(inner, LinearOperator):
        return Compose(inner.image_shape, outer, inner)
    return ComposeNonlinear(inner.image_shape, outer, inner)


@dataclass(frozen=True, eq=False)
class Stack(LinearOperator):
    """Measure one picture with several sensors: y holds their measurements, flattened and joined, (B, m1 + m2 + ...)."""

    parts: tuple[LinearOperator, ...]

    def __call__(self, x: Tensor, /) -> Tensor:
        return torch.cat([part(x).flatten(1) for part in self.parts], 1)

    def split(self, y: Tensor) -> list[Tensor]:
        """Return the joined measurement (B, m1 + m2 + ...) as its parts, each (B, ...) in its own shape."""
        if not self._shapes:
            probe = y.new_zeros((1, *self.image_shape))
            self._shapes.extend(part(probe).shape[1:] for part in self.parts)
        pieces = y.split([shape.numel() for shape in self._shapes], 1)
        return [piece.unflatten(1, shape) for piece, shape in zip(pieces, self._shapes)]

    @cached_property
    def _shapes(self) -> list[torch.Size]:
        """Return the shape of each part's measurement, without the batch; the first `split` fills the list, as it
        knows the device."""
        return []

    def adjoint(self, y: Tensor, /) -> Tensor:
        return torch.stack([part.adjoint(piece) for part, piece in zip(self.parts, self.split(y))]).sum(0)

    def to(self, *args: object, **kwargs: object) -> Stack:
        return Stack(self.image_shape, tuple(part.to(*args, **kwargs) for part in self.parts))


@dataclass(frozen=True, eq=False)
class Weighted(LinearOperator):
    """Weight what another operator measures, y = weight * inner(x): this is how masks and unequal noise enter a
    least-squares problem."""

    inner: LinearOperator
    weight: Tensor
    typical: float | None = None  # square of a weight, for the preconditioner; None: their mean

    @staticmethod
    def of(inner: LinearOperator, weight: Tensor, typical: float | None = None) -> LinearOperator:
        """Return the weighted operator in its best form; weight (B, ...) or (...) broadcasts to its measurement.

        A weighted mask, the same for all pictures, is a mask, and has an SVD. typical: the square of a weight, where each
        picture has weights of its own and what is iterated shall not depend on the others.
        """
        weight = weight[0] if weight.ndim == 4 and len(weight) == 1 else weight
        if isinstance(inner, Identity | Inpaint) and weight.ndim <= 3:
            mask = weight * (inner.mask if isinstance(inner, Inpaint) else 1.0)
            return Inpaint(inner.image_shape, mask.expand(inner.image_shape))
        if isinstance(inner, Mosaic) and weight.ndim <= 3:
            return inner.weighted(weight)
        return Weighted(inner.image_shape, inner, weight, typical)

    @property
    def lattice(self) -> Lattice:
        return self.inner.lattice

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.weight * self.inner(x)

    def adjoint(self, y: Tensor, /) -> Tensor:
        return self.inner.adjoint(self.weight * y)

    def normal_solve(self, b: Tensor, rho: float, x: Tensor | None = None, tolerance: float | None = None) -> Tensor:
        if isinstance(self.inner, Identity | Inpaint):  # diagonal: no iteration
            size = self.weight * (self.inner.mask if isinstance(self.inner, Inpaint) else 1.0)
            return b / (size**2 + rho)
        return super().normal_solve(b, rho, x, tolerance)

    def precondition(self, r: Tensor, rho: float) -> Tensor:
        if self.typical is None:
            return self.inner.precondition_weighted(r, self.weight.square(), rho)
        size = max(self.typical, 1e-30)  # as if all weights were alike
        return self.inner.precondition(r / size, rho / size)
