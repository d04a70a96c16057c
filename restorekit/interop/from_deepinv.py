"""Operators are made of deepinv's physics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from restorekit.errors import BadInput
from restorekit.operators.base import LinearOperator, Operator
from restorekit.priors.perception.vision import mend_torchvision


def import_deepinv() -> Any:
    """Return deepinv, also beside a CPU-only torch. Raises `BadInput` where it is not installed."""
    mend_torchvision()
    try:
        import deepinv
    except (ImportError, RuntimeError) as error:
        torch_here = torch.__version__.partition("+")[0]  # named, or pip would exchange it for the newest
        raise BadInput(
            f'deepinv cannot be imported ({str(error).splitlines()[0]}): pip install "torch=={torch_here}" "restorekit[deepinv]"'
        ) from None
    return deepinv


def as_real(y: Tensor) -> Tensor:
    """Return complex measurements as pairs of real numbers, in a last axis of 2."""
    return torch.view_as_real(y.resolve_conj()) if y.is_complex() else y


def _move(physics: nn.Module, like: Tensor) -> nn.Module:
    """Return a copy on the device and in the precision of `like`; complex buffers stay complex."""
    twin = {torch.float32: torch.complex64, torch.float64: torch.complex128}.get(like.dtype, torch.complex64)

    def move(t: Tensor) -> Tensor:
        if t.is_complex():
            return t.to(like.device, twin)
        return t.to(like.device, like.dtype) if t.is_floating_point() else t.to(like.device)

    copy: nn.Module = physics.clone()  # type: ignore[operator,assignment]  # knows about random generators, unlike deepcopy
    return copy._apply(move)


def _like(physics: nn.Module) -> Tensor:
    """Return a number in the precision and on the device of a physics."""
    known = [t for t in physics.buffers() if t.is_floating_point()]
    return torch.zeros_like(max(known, key=Tensor.numel).flatten()[:1]) if known else torch.zeros(1)


def _moved(operator: Any, args: Any, kwargs: Any) -> Any:
    return type(operator)(operator.image_shape, _move(operator.physics, _like(operator.physics).to(*args, **kwargs)))


@dataclass(frozen=True, eq=False)
class Physics(Operator):
    """The measurement y = A(x) of any deepinv physics; autograd gives its gradients."""

    physics: Any

    def __call__(self, x: Tensor, /) -> Tensor:
        return as_real(self.physics.A(x))

    def to(self, *args: Any, **kwargs: Any) -> Any:
        return _moved(self, args, kwargs)


@dataclass(frozen=True, eq=False)
class LinearPhysics(LinearOperator):
    """The measurement y = A x of a deepinv LinearPhysics. Complex measurements are pairs of real numbers (B, ..., 2).

    Its adjoint is used as it is, its pseudo-inverse only where it comes from singular values: the others are a few
    iterations (1e-3 off), or not one at all (filtered back-projection, Brovey). There ours iterates until it is solved.
    """

    physics: Any

    def __call__(self, x: Tensor, /) -> Tensor:
        return as_real(self.physics.A(x))

    def adjoint(self, y: Tensor, /) -> Tensor:
        x = self.physics.A_adjoint(self._native(y))
        return x.real if x.is_complex() else x

    def pinv(self, y: Tensor, /) -> Tensor:
        if not self._spectral:
            return super().pinv(y)
        x = self.physics.A_dagger(self._native(y))
        return x.real if x.is_complex() else x

    def normal_solve(self, b: Tensor, rho: float, x: Tensor | None = None, tolerance: float | None = None) -> Tensor:
        if not self._spectral:
            return super().normal_solve(b, rho, x, tolerance)
        coefficients = self.physics.V_adjoint(b)
        square = self.physics.mask.abs().square()
        solved = self.physics.V(coefficients / (square + rho))
        if (
            coefficients.numel() < b.numel()
        ):  # V is not complete (Decolorize): what it leaves out is only divided by rho
            solved = solved + (b - self.physics.V(coefficients)) / rho
        return solved

    def to(self, *args: Any, **kwargs: Any) -> Any:
        return _moved(self, args, kwargs)

    @property
    def _spectral(self) -> bool:
        return isinstance(self.physics, import_deepinv().physics.DecomposablePhysics)

    @cached_property
    def _complex(self) -> bool:
        """Return True where the measurement of the physics is complex. Found out once, on a picture of zeros."""
        return self.physics.A(torch.zeros((1, *self.image_shape)).to(_like(self.physics))).is_complex()

    def _native(self, y: Tensor) -> Tensor:
        return torch.view_as_complex(y.contiguous()) if self._complex else y
