"""The level of an answer in logarithms lies below the mean in linear power; it is mended by what was measured nearby."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from restorekit.sar.looks import Array, Mask


@dataclass(frozen=True)
class Level:
    """It corrects the level around every pixel by c = sum w y x^-p / sum w x^(1-p), w Gaussian: an answer x to
    intensities y becomes c x.

    p = 0 keeps the mean intensity (MoI), p = 1 makes the mean of the ratio y / x one (MoR). A posterior mean has the mean of what
    was measured, and so it has in all pixels of one level; its MoR is below 1, as it follows some of its own speckle, and is 1
    against a measurement of other speckle (`restorekit.sar.splitting`; benchmarks/remote_sensing/held_out.py). Hence the default. Values of y above `most` times x count as that, so that one bright target
    does not lift all that lies around it.
    """

    sigma: float = 32.0  # of the weights, pixels
    power: float = 0.0
    most: float = 10.0

    def __call__(self, y: Array, x: Array, signal: Mask) -> Array:
        """Return c (h, w), positive; y and x (h, w) are intensities, of which those without a signal do not count."""
        x = np.where(signal, x, 1.0)
        y = np.where(signal, np.minimum(y, self.most * x), 0.0)
        measured = self._around(y * x**-self.power)
        found = self._around(np.where(signal, x ** (1 - self.power), 0.0))
        return np.divide(measured, found, out=np.ones_like(measured), where=(measured > 0) & (found > 0))

    def _around(self, x: Array) -> Array:
        return scipy.ndimage.gaussian_filter(x, self.sigma, mode="constant", truncate=3)
