"""White noise is in every block: those that show the least fine detail bound its level, however much texture is elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from restorekit.noise.blocks import RADIUS, SIDE, transformed

Array = np.ndarray
_FINEST = RADIUS >= 7.7


@dataclass(frozen=True)
class QuietBlocks:
    """It finds the most white noise that (C, H, W) on [0, 1] can have.

    The squares of n fine coefficients of white noise sum to its variance times chi^2 of n degrees, so that the `share` of the 8x8
    blocks that has least says its level; texture only adds. Noise may grow with brightness, so it is asked of blocks from dark to
    bright by themselves, and what dark ones say is raised by what photons would. Take it where flat blocks and a prior both take fine
    random texture, as grass, for noise. Blocks lie on the grid of the picture, so that what a JPEG left empty before is seen.
    """

    share: float = 0.1
    groups: int = 3  # of brightness
    least: int = 40  # blocks of one
    clear: float = 0.02  # from the limits of the range, where noise is cut

    def __call__(self, pixels: Array, told: Array) -> float:
        """Return the level, where values `told` (C, H, W); infinity where too few blocks tell."""
        bands, height, width = pixels.shape
        rows, columns = height // SIDE, width // SIDE
        shape = (bands, rows, SIDE, columns, SIDE)
        kept, ok = (v[:, : rows * SIDE, : columns * SIDE].reshape(shape) for v in (pixels, told))
        blocks = kept.transpose(1, 3, 0, 2, 4).reshape(-1, bands, SIDE, SIDE)[ok.all((0, 2, 4)).ravel()]
        means = blocks.mean((1, 2, 3))
        inside = (means > self.clear) & (means < 1 - self.clear)
        blocks, means = blocks[inside], means[inside]
        if len(blocks) < self.least:
            return float("inf")
        fine = np.square(transformed(blocks)[..., _FINEST]).sum((1, 2))
        expected = 2 * float(scipy.special.gammaincinv(bands * int(_FINEST.sum()) / 2, self.share))  # of chi^2
        parts = np.array_split(np.argsort(means), max(1, min(self.groups, len(means) // self.least)))
        variances = [
            float(np.quantile(fine[part], self.share)) / expected * max(1.0, float(means.mean() / means[part].mean()))
            for part in parts
        ]
        return min(variances) ** 0.5
