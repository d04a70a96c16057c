"""Screens of print and weaves are periodic: their spectrum has lines, where that of noise is smooth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

Array = np.ndarray


@dataclass(frozen=True)
class Periodic:
    """It finds how much of the fine detail of a picture repeats itself, as dots of a halftone and threads of a weave do.

    The periodogram is averaged over windowed tiles (Welch, IEEE Trans. Audio Electroacoustics 15, 1967), and a line is what stands
    out of the median of the frequencies around it. Take it where a prior reads so much that it may not know the picture: noise that
    neighbours share, of whatever colour, has no lines.
    """

    side: int = 32  # pixels, of a tile
    around: int = 9  # frequencies, whose median a line stands out of
    contrast: float = 6.0  # times it, at least
    lowest: float = 0.11  # cycles per pixel, below which all pictures are strong

    def __call__(self, grey: Array) -> float:
        """Return the share, 0 to 1, of the power of (H, W) above `lowest` that is in lines; 0 of less than one tile."""
        if min(grey.shape) < self.side:
            return 0.0
        window = np.outer(*[np.hanning(self.side + 2)[1:-1]] * 2)
        tiles = np.lib.stride_tricks.sliding_window_view(grey.astype(np.float64), (self.side, self.side))
        tiles = tiles[:: self.side // 2, :: self.side // 2]
        even = tiles - tiles.mean((-2, -1), keepdims=True)
        power = np.square(np.abs(np.fft.fft2(even * window))).mean((0, 1))
        at = np.fft.fftfreq(self.side)
        fine = np.hypot(at[:, None], at) >= self.lowest
        lines = fine & (power > self.contrast * scipy.ndimage.median_filter(power, self.around, mode="wrap"))
        return float(power[lines].sum() / max(power[fine].sum(), 1e-12))
