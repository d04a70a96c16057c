"""Impulses are judged a second time, by the picture that a prior makes of the values beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
import torch

from restorekit.inference.denoiser import Denoiser

Array = np.ndarray
NORMAL = 0.6745  # median of |x| of a standard normal x


@dataclass(frozen=True)
class Verified:
    """It finds the impulses of (C, H, W) on [0, 1] among all values at the ends of the range, once some were found.

    A value of a dark place that salt and pepper made black stands out by no rule of neighbours, and a highlight does. So
    where a `share` of the values that are exactly an end were found to be impulses, all of them are taken out, but for
    areas in which most values are at that end; a prior fills them in (Tirer and Giryes, IEEE TIP 28, 2019, with
    the measured values put back before each step); and those that differ from what it says are impulses.
    """

    share: float = 0.25  # of the values at an end, which were found
    sides: tuple[int, int] = (3, 7)  # pixels, squares both of which are mostly at the end in a clipped area
    different: float = 0.05  # from what the prior says, white = 1
    deviations: float = 4.0  # of the noise, where that is more
    levels: int = 6  # calls of the network
    first: float = 0.3  # level of the first one
    rounds: int = 2

    def __call__(
        self, pixels: Array, impulses: Array, known: Array, denoise: Denoiser, sigma: float
    ) -> tuple[Array, Array]:
        """Return (impulses, bool like pixels, the picture with values of the prior in their place).

        impulses, known: bool (C, H, W), as they were found and what was measured at all. sigma: of the noise beside them.
        """
        candidates = impulses | self._at_ends(pixels, impulses, known)
        found, clean = candidates, pixels
        for _ in range(self.rounds):
            kept = known & ~found
            clean = self._filled(pixels, kept, denoise, sigma)
            off = np.abs(pixels - clean)
            sigma = min(sigma, float(np.median(off[kept])) / NORMAL) if kept.any() else sigma
            found = candidates & (off > max(self.different, self.deviations * sigma))
        return found, np.where(found, clean, pixels)

    def _at_ends(self, pixels: Array, impulses: Array, known: Array) -> Array:
        """Return the values at an end of their band that may be impulses, bool (C, H, W)."""
        found = np.zeros_like(impulses)
        for x, hit, ok, out in zip(pixels, impulses, known, found):
            for end in {float(x[ok].min()), float(x[ok].max())} if ok.any() else ():
                same = ok & (x == end)
                if hit[same].mean() >= self.share:
                    around = [scipy.ndimage.uniform_filter(same.astype(np.float32), side) for side in self.sides]
                    out |= same & (np.min(around, 0) < 0.5)
        return found

    def _filled(self, pixels: Array, kept: Array, denoise: Denoiser, sigma: float) -> Array:
        """Return the picture that a prior makes of the values `kept`."""
        y, mask = torch.from_numpy(_from_neighbours(pixels, kept))[None], torch.from_numpy(kept)[None]
        x = y
        with torch.no_grad():
            for level in np.geomspace(self.first, max(sigma, 0.01), self.levels):
                x = denoise(torch.where(mask, y, x), float(level)).cpu()
        return x[0].numpy().astype(pixels.dtype)


def _from_neighbours(pixels: Array, kept: Array) -> Array:
    """Return pixels (C, H, W) with the mean of the values `kept` around them in place of the others, float32."""
    out, missing = np.where(kept, pixels, 0).astype(np.float32), ~kept
    values, weights = out.copy(), kept.astype(np.float32)
    for side in (3, 5, 9, 17, 33):
        if not missing.any():
            break
        share = scipy.ndimage.uniform_filter(weights, (1, side, side))
        fill = missing & (share > 0.5 / side**2)
        out[fill] = scipy.ndimage.uniform_filter(values, (1, side, side))[fill] / share[fill]
        missing &= ~fill
    out[missing] = 0.5
    return out
