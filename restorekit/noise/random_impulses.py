"""Impulses of any value stand out of all their neighbours, in smooth places as often as in rough ones, in each band by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

Array = np.ndarray
_SCALE = 1.4826  # standard deviation over the median absolute one of normal numbers


@dataclass(frozen=True)
class RandomImpulses:
    """It finds values of (C, H, W) on [0, 1] that an impulse put in place of the picture, whatever value it has.

    A value is odd where all but `alike` of its eight neighbours differ from it, and it from their median, by more than `deviations`
    of their spread (the rank-ordered differences of Garnett et al., IEEE TIP 14, 2005). Texture, letters and highlights are odd as
    well, but in rough places and in all bands at once. So nothing is found unless odd values are as frequent in the
    smoother half of the picture as in the rougher, up to a factor, and in three bands seldom odd in two of them at one pixel; of one
    band, of which only their frequency tells, they must be more. Take it where none were found at the ends of the range.
    """

    deviations: float = 6.0
    contrast: float = 0.1  # differs by at least this, white = 1
    alike: int = 2  # neighbours that may be as it is
    least: tuple[float, float] = (0.003, 0.006)  # share of the smoother half that is odd, of three bands and of one
    even: float = 0.6  # share of odd values there over that in the rougher half, at least
    together: float = 0.1  # of the pixels with an odd value, in two bands or more, at most
    side: int = 7  # pixels, over which roughness is told

    def __call__(self, pixels: Array, valid: Array) -> Array:
        """Return where impulses are, bool (C, H, W), nowhere where what is odd may be the picture. valid (C, H, W): values that
        were measured."""
        nothing = np.zeros(pixels.shape, bool)
        if min(pixels.shape[1:]) < 3 * self.side:
            return nothing
        odd = np.zeros(pixels.shape, bool)
        rates = np.zeros(2)
        for x, ok, out in zip(pixels, valid, odd):
            out[:], spread = self._odd(x)
            out &= ok
            rough = scipy.ndimage.uniform_filter(scipy.ndimage.median_filter(spread, 5), self.side)
            smooth = rough <= np.median(rough)
            rates += [out[smooth].mean(), out[~smooth].mean() if not smooth.all() else out.mean()]
        smoother, rougher = rates / len(pixels)
        if len(pixels) == 2 or smoother < self.least[int(len(pixels) == 1)] or smoother < self.even * rougher:
            return nothing
        at = odd.sum(0)
        if len(pixels) > 1 and (at > 1).sum() > self.together * (at > 0).sum():
            return nothing
        return odd

    def _odd(self, x: Array) -> tuple[Array, Array]:
        """Return where (H, W) is odd, and the spread of the eight neighbours."""
        around = np.pad(x.astype(np.float32), 1, mode="reflect")
        h, w = x.shape
        near = np.stack([around[i : i + h, j : j + w] for i in range(3) for j in range(3) if (i, j) != (1, 1)])
        middle = np.median(near, 0)
        spread = _SCALE * np.median(np.abs(near - middle), 0)
        off = np.partition(np.abs(near - x), self.alike, 0)[self.alike]
        usual = _SCALE * float(np.median(np.abs(x - middle)))
        limit = np.maximum(self.contrast, self.deviations * np.maximum(spread, usual))
        return (off > limit) & (np.abs(x - middle) > limit), spread
