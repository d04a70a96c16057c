"""The restored level of a scene is compared with the measured one, from dark to bright, with standard errors.

Cells of a size are sorted by a level into tenths; the bias of a tenth is 10 lg(mean restored / mean measured). What they are sorted by
must not know of the speckle that they are judged by. Sorted by a result of the same measurement, cells whose speckle happened to
be bright are among the bright ones, and a result that followed the speckle more would be judged better; the level of another
polarisation or date, or a result of the other half of the looks (`restorekit.sar.splitting`), has speckle of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from restorekit.sar.looks import Array, Mask

SIDES = (1, 4, 16, 64)  # of cells, pixels
TENTHS = 10
GROUP = 32  # pixels, side of the squares that errors are estimated from: wider than the grain of any product
LEAST = 4  # groups of a tenth without which it has no error


@dataclass(frozen=True)
class LevelBias:
    """The bias of each tenth of the cells, dark to bright, dB, and its standard error; NaN where there is nothing to compare."""

    side: int
    bias: tuple[float, ...]
    error: tuple[float, ...]

    def beyond(self, allowed: float = 0.15) -> list[int]:
        """Return the tenths, from 1, whose bias is more than `allowed` dB and more than two standard errors."""
        pairs = enumerate(zip(self.bias, self.error), 1)
        return [n for n, (b, e) in pairs if abs(b) > max(allowed, 2 * e)]

    @property
    def worst(self) -> tuple[int, float, float]:
        """Return (tenth from 1, bias, error) of the largest bias; (0, NaN, NaN) without any."""
        known = [(n, b, e) for n, (b, e) in enumerate(zip(self.bias, self.error), 1) if math.isfinite(b)]
        return max(known, key=lambda row: abs(row[1]), default=(0, math.nan, math.nan))


def level_bias(
    measured: Array, restored: Array, valid: Mask, side: int = 1, sorted_by: Array | None = None
) -> LevelBias | None:
    """Return the bias of restored (H, W) against measured intensities by tenths of the cells of `side` pixels, None where
    there are fewer than two cells a tenth.

    sorted_by: (H, W), the level by whose mean the cells are sorted, None for `restored`. Cells count that are at least half valid. The error is
    that of a ratio of sums over squares of at least `GROUP` pixels (linearised; Cochran, Sampling Techniques, section 6.4).
    """
    key = restored if sorted_by is None else sorted_by
    y, x, k, weight = (_sums(np.where(valid, a, 0.0), side) for a in (measured, restored, key, valid))
    there = weight >= 0.5 * side**2
    if there.sum() < 2 * TENTHS:
        return None
    rows, columns = np.nonzero(there)
    each = max(1, GROUP // side)
    group = rows // each * (there.shape[1] // each + 1) + columns // each
    order = np.argsort(k[there] / weight[there], kind="stable")
    found = [_ratio(y[there][part], x[there][part], group[part]) for part in np.array_split(order, TENTHS)]
    bias, error = zip(*found)
    return LevelBias(side, bias, error)


def _sums(x: Array | Mask, side: int) -> Array:
    """Return sums over cells (H // side, W // side); what is left at the edges is left out."""
    h, w = (n // side for n in x.shape)
    return x[: h * side, : w * side].reshape(h, side, w, side).sum((1, 3), dtype=np.float64)


def _ratio(y: Array, x: Array, group: Array) -> tuple[float, float]:
    """Return 10 lg(sum x / sum y) and its standard error."""
    if not (y.sum() > 0 and x.sum() > 0):
        return math.nan, math.nan
    ratio = float(x.sum() / y.sum())
    _, index = np.unique(group, return_inverse=True)
    left = np.bincount(index, x - ratio * y)
    n = len(left)
    error = math.sqrt(n / (n - 1) * float((left**2).sum())) / float(x.sum()) if n >= LEAST else math.nan
    return 10 * math.log10(ratio), 10 / math.log(10) * error
