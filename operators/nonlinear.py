"""This module holds nonlinear measurements: Fourier magnitudes, saturation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from restorekit.operators.base import Operator, Shape


@dataclass(frozen=True, eq=False)
class PhaseRetrieval(Operator):
    """Measure Fourier magnitudes, y = |F(x padded with zeros)|, orthonormal, oversampled `oversample` times per axis.

    Shifts and flips of x fit as well. Raises ValueError for an oversampling below 1.
    """

    oversample: float = 2.0

    def __post_init__(self) -> None:
        if self.oversample < 1:
            raise ValueError(f"oversample={self.oversample:g} would crop the picture; it must be at least 1")

    @classmethod
    def image_shape_for(cls, measured: Shape, *, oversample: float = 2.0, **_: Any) -> Shape:
        """Return the shape of `measured`, its sides divided by the oversampling."""
        return (measured[0], round(measured[1] / oversample), round(measured[2] / oversample))

    def __call__(self, x: Tensor, /) -> Tensor:
        size = [round(n * self.oversample) for n in self.image_shape[1:]]
        z = torch.fft.fft2(x, s=size, norm="ortho")
        return (z.real.square() + z.imag.square() + 1e-12).sqrt()  # the root must have a gradient at 0


class _Ceiling(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clamp(max=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


@dataclass(frozen=True, eq=False)
class Saturate(Operator):
    """Over-expose a picture (HDR): y = min(gain x, 1).

    Its derivative is taken as `gain` above saturation too. The true one is 0 there, and an estimate that is wrongly
    saturated would never come down; where y is saturated as well, the residual is noise and hardly pulls. Raises
    ValueError for a gain that is not positive.
    """

    gain: float = 2.0
    surrogate_gradient = True

    def __post_init__(self) -> None:
        if not self.gain > 0:
            raise ValueError(f"gain={self.gain:g} must be positive")

    def __call__(self, x: Tensor, /) -> Tensor:
        return _Ceiling.apply(self.gain * x)  # type: ignore[return-value]

    def estimate(self, y: Tensor) -> Tensor:
        return y / self.gain
