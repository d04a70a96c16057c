"""Nonlinear measurements: Fourier magnitudes, saturation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.operators.base import Operator


@dataclass(frozen=True, eq=False)
class PhaseRetrieval(Operator):
    """y = |F(x padded with zeros)|, oversampled `oversample` times per axis; centred on grey 0.5."""

    oversample: float = 2.0

    def __call__(self, x: Tensor, /) -> Tensor:
        size = [round(n * self.oversample) for n in self.image_shape[1:]]
        z = torch.fft.fft2(x, s=size, norm="ortho")
        return (z.real.square() + z.imag.square() + 1e-12).sqrt()  # the root must have a gradient at 0


@dataclass(frozen=True, eq=False)
class Saturate(Operator):
    """y = clip(gain x, 0, 1): an over-exposed picture (HDR)."""

    gain: float = 2.0

    def __call__(self, x: Tensor, /) -> Tensor:
        return (self.gain * x).clamp(0, 1)

    def estimate(self, y: Tensor) -> Tensor:
        return y / self.gain
