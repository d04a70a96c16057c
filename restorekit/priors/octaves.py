"""Noise that neighbours share is taken out octave by octave, coarse ones first."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.priors.wrappers import Wrapper


@dataclass(frozen=True, eq=False)
class Octaves(Wrapper):
    """It lends a denoiser of white noise to noise whose coarse parts are as strong as its fine ones, as that of cameras' JPEG.

    White noise averaged over 2x2 pixels has half its level; noise of several pixels' width keeps it, and a denoiser takes
    what is left for structure, unless it is told a level that takes fine texture with it. So the picture is denoised at a
    quarter of its size first, what that changed is enlarged and applied, then at half, then whole: each time with the
    share of sigma in `levels`. The answer is the mean of that and of one call with the share `alone`, which is nearer where the noise
    is white, and on cameras' pictures as near as the octaves: their errors differ. Four calls cost 2.3 times as much as one. The shares were chosen on the pairs of three cameras (Canon 5D2, Canon 600D,
    Sony) of benchmarks/restoration/noise_level.py.
    """

    denoise: Denoiser
    levels: tuple[float, float, float] = (0.22, 0.33, 0.55)  # of a quarter of the size, a half, the whole
    alone: float = 0.82  # share of sigma of the call without octaves; 0 for none

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        if self.alone == 0:
            return self._octaves(x, sigma)
        return (self._octaves(x, sigma) + self.denoise(x, self.alone * sigma)) / 2

    def _octaves(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        for factor, level in zip((4, 2), self.levels):
            x = x + self._change(x, level * sigma, factor)
        return self.denoise(x, self.levels[2] * sigma)

    def _change(self, x: Tensor, sigma: float | Tensor, factor: int) -> Tensor:
        """Return what denoising at a size smaller by `factor` does, like x."""
        height, width = x.shape[-2:]
        if min(height, width) < 8 * factor:
            return x.new_zeros(x.shape)
        whole = F.pad(x, (0, -width % factor, 0, -height % factor), mode="replicate")
        small = F.avg_pool2d(whole, factor)
        change = F.interpolate(
            self.denoise(small, sigma) - small, scale_factor=factor, mode="bicubic", align_corners=False
        )
        return change[..., :height, :width]
