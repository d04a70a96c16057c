"""Noise has another colour in each place, where texture has that of its surroundings: what a prior takes out of a picture shows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.inference.denoiser import Denoiser

LUMA = (0.299, 0.587, 0.114)
_BLUE, _RED = 0.5 / (1 - LUMA[2]), 0.5 / (1 - LUMA[0])  # of the differences to luma, as JFIF scales them


@dataclass(frozen=True)
class NoiseColour:
    """It finds how coloured what a prior takes out of a picture is, for noise that every filter of a sensor has by itself.

    Take it where flat blocks and levels leave open whether what neighbours share is noise: stripes, letters, grass and stone have
    the colour of their surroundings, so that what is taken out of them is a multiple of its own luma. At half size, as cameras and
    JPEG smooth colours.
    """

    level: float = 0.045  # of the call, white = 1: that which takes out what cameras leave
    local: int = 17  # pixels, over whose mean the residue counts
    side: int = 8  # pixels at half size, of a block

    def __call__(self, y: Tensor, denoise: Denoiser) -> float:
        """Return the deviation of the two differences of colour that luma does not explain over that of luma, of the middle block
        of each of (N, 3, H, W) on [0, 1]; nan where not one block fits.

        White noise that is independent between bands has 1.5 and more, cameras after a JPEG 0.3 to 1, clean pictures of few colours 0.2
        to 0.9; of many colours that a prior smooths, as much as noise.
        """
        if min(y.shape[-2:]) < 2 * self.side or y.shape[1] != 3:
            return float("nan")
        with torch.no_grad():
            rest = y - denoise(y, self.level).to(y)
        near = F.avg_pool2d(rest, self.local, 1, self.local // 2, count_include_pad=False)
        half = F.avg_pool2d((rest - near).double().cpu(), 2)
        luma = (half * half.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
        power = self._means(luma.square())
        left = torch.zeros_like(power)
        for band, scale in ((2, _BLUE), (0, _RED)):
            colour = scale * (half[:, band : band + 1] - luma)
            left += self._means(colour.square()) - self._means(colour * luma).square() / (power + 1e-12)
        return float(np.sqrt(max(float(left.median()), 0.0) / max(float(power.median()), 1e-12)))

    def _means(self, x: Tensor) -> Tensor:
        """Return the means of blocks."""
        return F.avg_pool2d(x, self.side)
