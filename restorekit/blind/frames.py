"""A picture, a kernel and what is measured of both have sizes that belong together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from restorekit.operators.transforms import fast_length


@dataclass(frozen=True, eq=False)
class Frames:
    """Measurements (H, W), all of a kernel (h, w) on the picture, which is (H + h - 1, W + w - 1)."""

    measured: tuple[int, int]
    kernel: tuple[int, int]

    @cached_property
    def grid(self) -> tuple[int, int]:
        """Return a size that holds the picture, of which FFTs are fast."""
        sides = (m + k - 1 for m, k in zip(self.measured, self.kernel))
        height, width = (fast_length(n) for n in sides)
        return height, width

    def spectrum(self, x: Tensor) -> Tensor:
        """Return the transform of pictures or kernels (.., a, b) on the grid, (.., height, width // 2 + 1)."""
        return torch.fft.rfft2(x, s=self.grid)

    def grown(self, y: Tensor) -> Tensor:
        """Return a measurement (H, W), its edges repeated to the size of the picture."""
        h, w = self.kernel
        after, across = h - 1 - h // 2, w - 1 - w // 2
        return torch.nn.functional.pad(y[None, None], (across, w // 2, after, h // 2), mode="replicate")[0, 0]
