"""Values may be logarithms though nothing says so: the spread of speckle is then the same at every level.

Speckle multiplies. Of intensities and amplitudes the deviation grows with the mean, d ln(deviation) / d ln(mean) = 1; of
logarithms, stretched to bytes or not, it does not, and the slope is 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 8  # of a cell, pixels
FEW = 64  # cells, of which nothing is told
RATIO = 1.3  # of the means at the ends of the range, below which no slope is told
CUT = 0.05  # share of a cell that may be at the least or the largest value, which are cut off
UNSURE = 0.2  # standard error of a slope from which on none is told
FLAT = 0.3  # slope below which values are taken for logarithms
BINS = 6  # of levels


def spread_slope(parts: Iterable[tuple[NDArray[np.floating], NDArray[np.bool_]]]) -> float | None:
    """Return d ln(deviation) / d ln(mean) over cells of the values (h, w) of parts of a scene, where all of a cell is
    valid and hardly any of it is cut off; None where levels are too much alike to tell.

    Of the cells of one level the flattest third counts, as edges and texture have a spread of their own.
    """
    kept = [(np.asarray(x, np.float64), there) for x, there in parts if there.any()]
    if not kept:
        return None
    low, high = min(x[t].min() for x, t in kept), max(x[t].max() for x, t in kept)
    means, spreads = list[NDArray[np.floating]](), list[NDArray[np.floating]]()
    for x, there in kept:
        cells, cut, valid = (_cells(a) for a in (x, (x <= low) | (x >= high), there))
        whole = valid.all(1) & (cut.mean(1) <= CUT)
        means.append(cells[whole].mean(1))
        spreads.append(cells[whole].std(1))
    mean, spread = np.concatenate(means), np.concatenate(spreads)
    usable = (mean > 0) & (spread > 0)
    mean, spread = mean[usable], spread[usable]
    if len(mean) < FEW:
        return None
    order = np.argsort(mean, kind="stable")
    level, width = list[float](), list[float]()
    for part in np.array_split(order, BINS):
        flattest = part[np.argsort(spread[part] / mean[part], kind="stable")[: max(1, len(part) // 3)]]
        level.append(float(np.log(mean[flattest]).mean()))
        width.append(float(np.log(spread[flattest]).mean()))
    if level[-1] - level[0] < np.log(RATIO):
        return None
    (slope, _), spread_of = np.polyfit(level, width, 1, cov=True)
    return float(slope) if float(np.sqrt(spread_of[0, 0])) < UNSURE else None


def _cells(x: NDArray[Any]) -> NDArray[Any]:
    """Return (N, SIDE * SIDE), the squares of x (h, w) that lie beside each other."""
    h, w = (n // SIDE for n in x.shape)
    whole = x[: h * SIDE, : w * SIDE].reshape(h, SIDE, w, SIDE)
    return whole.swapaxes(1, 2).reshape(-1, SIDE * SIDE)
