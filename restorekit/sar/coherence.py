"""The grain of complex speckle shows in phases, which texture and bright targets leave alone.

Of circular Gaussian numbers whose neighbours have the correlation rho, the mean of exp(i (phase - phase of the neighbour)) has
the modulus (pi / 4) |rho| 2F1(1/2, 1/2; 2; |rho|^2) (Lee, Hoppel, Mango, Miller, TGRS 32, 1994), whatever the brightness of
either. It is taken by windows, as the phase of rho turns with the Doppler centroid. Intensities correlate as |rho|^2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.sar.looks import CLOSEST, Grain, Mask

Complex = NDArray[np.complexfloating]
WINDOW = 16  # pixels a side
FEWEST = 4  # windows that a grain is told by


def phase_coherence(rho: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return |E exp(i phase difference)| of circular Gaussian numbers of correlation |rho|, 0 to 1.

    >>> phase_coherence(np.array([0.0, 1.0])).round(6).tolist()
    [0.0, 1.0]
    """
    return math.pi / 4 * rho * scipy.special.hyp2f1(0.5, 0.5, 2, rho**2)


def coherent_grain(parts: Iterable[tuple[Complex, Mask]]) -> Grain | None:
    """Return the correlation of intensity with the next row and column, by the phases of complex pixels (h, w).

    A mask says where a pixel counts. It is the median over windows of 16 pixels a side without a gap; None where fewer than
    four are found.
    """
    found: list[tuple[float, float]] = []
    for z, counts in parts:
        tops, lefts = (range(0, n - WINDOW, WINDOW) for n in z.shape)
        found += [
            squares
            for i in tops
            for j in lefts
            if counts[(own := np.s_[i : i + WINDOW + 1, j : j + WINDOW + 1])].all()
            and (squares := _squares(z[own])) is not None
        ]
    if len(found) < FEWEST:
        return None
    down, across = (_intensity(float(np.median(values))) for values in zip(*found))
    return down, across


def _squares(z: Complex) -> tuple[float, float] | None:
    """Return |mean|^2 of the phase differences down and to the right."""
    size = np.abs(z)
    if not size.all():
        return None
    phase = z / size
    down, across = (phase[1:, :-1] * phase[:-1, :-1].conj()).mean(), (phase[:-1, 1:] * phase[:-1, :-1].conj()).mean()
    return float(np.abs(down) ** 2), float(np.abs(across) ** 2)


def _intensity(square: float) -> float:
    """Return |rho|^2 of the median of |mean|^2, less what it has where there is no correlation: ln 2 / n."""
    chance = math.log(2) / WINDOW**2
    coherence = math.sqrt(max(square - chance, 0.0) / (1 - chance))
    rho = np.linspace(0, 1, 512)
    return min(float(np.interp(coherence, phase_coherence(rho), rho)) ** 2, CLOSEST)
