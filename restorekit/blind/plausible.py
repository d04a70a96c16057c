"""A kernel is plausible by the spectrum of the picture, and by the picture that it leaves when it is taken out.

The spectrum (`Whittle`) integrates the picture out, but holds no phases: a kernel turned by half is the same to it. What is left with a
wrong kernel has ripples or misses the measurement, which the best picture under a sparse prior tells; its energy alone likes no blur best.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from restorekit.blind.marginal import Frames
from restorekit.blind.pyramid import Pyramid
from restorekit.blind.spectrum import Array, Whittle

FITTED = 30  # iterations of a fit of the spectrum
POWER, SLOPE = 0.8, 0.03  # of the prior |grad x|^POWER, and the slope at which it is as steep as a Laplacian
STRENGTH = 30.0  # of the prior, in variances of the noise
TURNS = 40  # of the alternating directions
PENALTY, PENALTY_SLOPES = 0.3, 40.0  # of these, the second in strengths of the prior
TEMPERATURE = 40.0  # energy of a pixel's mean in ln p: as much as tells a kernel from itself turned; more likes kernels that are too short


@dataclass(frozen=True, eq=False)
class Plausible:
    """The scores of kernels for a picture, in ln p, the lower the more plausible."""

    picture: Pyramid
    sigma_y: float

    @cached_property
    def _spectrum(self) -> Whittle:
        return Whittle(self.picture.y.double().numpy()[None], self.sigma_y)

    @cached_property
    def _begin(self) -> Array:
        return self._spectrum.fit(np.ones((1, 1)), self._spectrum.start(), FITTED)[1]

    def spectral(self, kernel: Array) -> float:
        """Return -ln p of the power spectrum, up to a constant that is the same for all kernels."""
        return self._spectrum.fit(kernel, self._begin, FITTED)[0]

    def score(self, kernel: Array) -> float:
        """Return that and the energy of what the kernel leaves."""
        return self.spectral(kernel) + TEMPERATURE * self.energy(kernel)

    def energy(self, kernel: Array) -> float:
        """Return the mean of |k * x - y|^2 / (2 sigma_y^2) and of the prior over pixels, at the best x."""
        return self.sharp(kernel)[1]

    def sharp(self, kernel: Array, strength: float = STRENGTH, turns: int = TURNS) -> tuple[Array, float]:
        """Return the best x (H, W) where y lies, and its energy. strength: of the prior, in variances of the noise.

        Alternating directions with the measurement as a mask (Almeida and Figueiredo, IEEE TIP 22, 2013).
        """
        y, seen, k = self.picture.y, self.picture.seen, torch.from_numpy(np.ascontiguousarray(kernel)).float()
        frames = Frames((y.shape[0], y.shape[1]), (k.shape[0], k.shape[1]))
        (h, w), grid, steep = k.shape, frames.grid, strength * self.sigma_y**2
        otf, at = frames.spectrum(k), np.s_[h - 1 : h - 1 + y.shape[0], w - 1 : w - 1 + y.shape[1]]
        steps = torch.zeros(2, *grid)
        steps[:, 0, 0] = -1
        steps[0, 0, -1] = steps[1, -1, 0] = 1
        slope = torch.fft.rfft2(steps)
        mask, known = torch.zeros(grid), torch.zeros(grid)
        mask[at], known[at] = seen, y * seen
        penalty = PENALTY_SLOPES * steep
        inverse = 1 / (PENALTY * otf.abs() ** 2 + penalty * (slope.abs() ** 2).sum(0) + 1e-8)

        def back(spectrum: torch.Tensor) -> torch.Tensor:
            return torch.fft.irfft2(spectrum, s=grid)

        grown = frames.grown(y)[None, None]
        over = (0, grid[1] - grown.shape[3], 0, grid[0] - grown.shape[2])
        x = torch.fft.rfft2(torch.nn.functional.pad(grown, over, mode="replicate")[0, 0])
        blurred, slopes = back(otf * x), back(slope * x)
        off, off_slopes = torch.zeros_like(blurred), torch.zeros_like(slopes)
        for _ in range(turns):
            u = (known + PENALTY * (blurred - off)) / (mask + PENALTY)
            z = slopes - off_slopes
            v = torch.sign(z) * (z.abs() - steep / penalty * (z.abs().clamp(min=1e-4) / SLOPE) ** (POWER - 1)).clamp(
                min=0
            )
            x = PENALTY * otf.conj() * torch.fft.rfft2(u + off)
            x = inverse * (x + penalty * (slope.conj() * torch.fft.rfft2(v + off_slopes)).sum(0))
            blurred, slopes = back(otf * x), back(slope * x)
            off, off_slopes = off + u - blurred, off_slopes + v - slopes
        # where y lies; further out x is hardly known
        fit = ((blurred - known)[at].square() * seen).sum() / seen.sum() / (2 * self.sigma_y**2)
        top, left = h - 1 - h // 2, w - 1 - w // 2
        middle = np.s_[..., top : top + y.shape[0], left : left + y.shape[1]]
        rough = (slopes[middle].abs() ** POWER).sum() * SLOPE ** (1 - POWER) / POWER / y.numel()
        return back(x)[middle].double().numpy(), float(fit + strength * rough)
