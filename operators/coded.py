"""Light is averaged, and coded afterwards: what a linear operator sees of pictures that hold values of a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit.operators.base import Lattice, LinearOperator, Operator, conjugate_gradients
from restorekit.operators.diagonal import Identity, Inpaint
from restorekit.operators.mosaic import Mosaic, rank_one_solve

_ENOUGH = 300  # iterations of a step: the next one begins where the curve has another slope
_CLOSE = 1e-4  # in values of the file, over which no curve bends
# Least d light / d coded that a step is made for: pure powers have 0 at black, where no step would move.
_FLATTEST = 0.05


class LightCurve(Protocol):
    """A curve between coded values and light, as arrays (..., C, H, W); both functions rise."""

    @property
    def name(self) -> str:
        """Return what the curve is called."""
        ...

    def decode(self, coded: NDArray[Any]) -> NDArray[Any]:
        """Return the light of coded values."""
        ...

    def encode(self, light: NDArray[Any]) -> NDArray[Any]:
        """Return the coded values of light."""
        ...

    def slope(self, light: NDArray[Any]) -> NDArray[Any]:
        """Return d coded / d light."""
        ...


def _array(x: Tensor) -> NDArray[Any]:
    return x.detach().cpu().double().numpy()


def decoded_by(curve: LightCurve, coded: Tensor) -> Tensor:
    """Return the light of coded values (..., C, H, W), without a gradient."""
    return torch.from_numpy(np.asarray(curve.decode(_array(coded)))).to(coded)


def encoded_by(curve: LightCurve, light: Tensor) -> Tensor:
    """Return the coded values of light (..., C, H, W), without a gradient."""
    return torch.from_numpy(np.asarray(curve.encode(_array(light)))).to(light)


def slope_by(curve: LightCurve, light: Tensor) -> Tensor:
    """Return d coded / d light at light (..., C, H, W), without a gradient."""
    return torch.from_numpy(np.asarray(curve.slope(_array(light)))).to(light)


class _Decode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, coded: Tensor, curve: LightCurve) -> Tensor:
        light = curve.decode(_array(coded))
        ctx.save_for_backward(torch.from_numpy(1 / np.asarray(curve.slope(light))).to(coded))
        return torch.from_numpy(np.asarray(light)).to(coded)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.saved_tensors[0], None


@dataclass(frozen=True, eq=False)
class Coded(Operator):
    """Measure the light of coded pictures, y = A(decode(x)), y in light.

    So the prior sees pictures as it knows them, and the noise of y is that of the light. A file of coded values v is measured
    as decode(v): to first order the same as coding A(decode(x)) with the noise multiplied by the slope of the curve, and
    exact for noise that is Gaussian in light. Solvers with `relinearises` take it; others through its gradient, if at all.
    """

    inner: LinearOperator
    curve: LightCurve

    @property
    def title(self) -> str:
        return f"{self.inner.title} of {self.curve.name} values"

    @property
    def lattice(self) -> Lattice:
        return self.inner.lattice

    def inside(self, x: Tensor) -> Tensor:
        return self.inner.inside(x)

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.inner(_Decode.apply(x, self.curve))  # type: ignore[arg-type]

    def estimate(self, y: Tensor) -> Tensor:
        """Return the estimate (B, C, H, W) of the operator itself, coded; no light is below 0."""
        return encoded_by(self.curve, self.inner.estimate(y).clamp(min=0))

    def linearised(self, x0: Tensor, spread: float = 0.0) -> Tangent:
        """Return J at pictures x0 (B, C, H, W), so that A(decode(x)) is about A(decode(x0)) + J (x - x0).

        spread: how far x is from x0, of which the mean slope over x0 - spread to x0 + spread is taken; 0: the derivative.
        """
        at = _array(x0)
        if spread > _CLOSE:
            slope = (self.curve.decode(at + spread) - self.curve.decode(at - spread)) / (2 * spread)
        else:
            slope = 1 / self.curve.slope(self.curve.decode(at))
        return Tangent(self.image_shape, self.inner, torch.from_numpy(slope).to(x0).clamp(min=_FLATTEST))

    def _norm(self, like: Tensor, iterations: int) -> float:
        return self.inner.spectral_norm(like, iterations)  # a curve from 0 to 1 has a slope of 1 on the mean


@dataclass(frozen=True, eq=False)
class Tangent(LinearOperator):
    """The derivative of `Coded` at a picture: y = inner(slope x), slope (B, C, H, W) > 0."""

    inner: LinearOperator
    slope: Tensor

    @property
    def title(self) -> str:
        return self.inner.title

    def inside(self, x: Tensor) -> Tensor:
        return self.inner.inside(x)

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.inner(self.slope * x)

    def adjoint(self, y: Tensor, /) -> Tensor:
        return self.slope * self.inner.adjoint(y)

    def normal_solve(self, b: Tensor, rho: float, x: Tensor | None = None, tolerance: float | None = None) -> Tensor:
        if isinstance(self.inner, Identity | Inpaint):  # diagonal: no iteration
            size = self.slope * (self.inner.mask if isinstance(self.inner, Inpaint) else 1.0)
            return b / (size**2 + rho)
        if isinstance(self.inner, Mosaic):
            return rank_one_solve(self.slope * self.inner.rows, b, rho)
        exact = b.dtype == torch.float64
        return conjugate_gradients(
            lambda v: self.adjoint(self(v)) + rho * v, b, x, lambda r: self.precondition(r, rho),
            iterations=500 if exact else _ENOUGH, tolerance=tolerance,
        )  # fmt: skip

    @cached_property
    def usual(self) -> float:
        """Return the square of the slope at a usual pixel."""
        return math.exp(2 * float(self.slope.double().log().mean()))

    def precondition(self, r: Tensor, rho: float) -> Tensor:
        """Return that of A itself for r (B, C, H, W), with one slope for all pixels, the geometric mean; what A does not
        see is solved exactly."""
        return self.inner.precondition(r, rho / self.usual) / self.usual

    def _norm(self, like: Tensor, iterations: int) -> float:
        return self.inner.spectral_norm(like, iterations)
