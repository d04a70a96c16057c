"""A prior of pictures of one band is one of several bands by its denoising of their principal components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.inference.units import Units
from restorekit.priors.wrappers import Wrapper


@dataclass(frozen=True, eq=False)
class Rotated(Wrapper):
    """A denoiser of one band on the components of pictures x (B, C, H, W): each component, less the mean of its units and times
    its gain, is denoised as a picture of its own, with its noise times that gain too.

    axes: (C, C), orthonormal rows, so that white noise stays white; gains: (C,).
    """

    denoise: Denoiser
    axes: Sequence[Sequence[float]]
    gains: Sequence[float]

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        """Return E[x0 | x], (B, C, H, W), under noise of deviation sigma, a float or (B,)."""
        mean = self.units.mean if isinstance(self.units, Units) else 0.0
        axes, gains = (torch.as_tensor(a, dtype=x.dtype, device=x.device) for a in (self.axes, self.gains))
        scale = gains[:, None, None]
        parts = torch.einsum("kc,bchw->bkhw", axes, x - mean) * scale + mean
        noise = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).expand(len(x))[:, None] * gains
        found = self.denoise(parts.flatten(0, 1).unsqueeze(1), noise.flatten()).view_as(parts)
        return torch.einsum("kc,bkhw->bchw", axes, (found - mean) / scale) + mean
