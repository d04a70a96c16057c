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
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.sar.looks import Array, Mask

SIDES = (1, 4, 16, 64)  # of cells, pixels
TENTHS = 10
GROUP = 32  # pixels, side of the squares that errors are estimated from: wider than the grain of any product
SAME = 1e-3  # relative rounding of a scene that is a function of another
SHIFTS = 3  # pixels by which a level may lie off
CUT = 1024  # side of the part that a shift is looked for in, pixels
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


def check_speckle(level: Array, others: dict[str, Array], valid: Mask) -> None:
    """Raise BadInput where a level (H, W), by which scenes would be sorted, is one of these by name, in its unit or another: its
    speckle is then theirs, which moves dark and bright tenths by up to several dB."""
    for name, other in others.items():
        both = valid & (level > 0) & (other > 0)
        a, b = level[both], other[both]
        if a.size < 2 or a.max() == a.min() or b.max() <= (1 + SAME) * b.min():  # of which one has no speckle
            continue
        rising = b[np.lexsort((b, a))]
        if (rising[1:] >= (1 - SAME) * rising[:-1]).all():
            raise BadInput(
                f"`by` is {name} itself, or a function of it, and has its speckle; give a scene of another polarisation, date or half of the looks, "
                "or leave `by` out",
                argument="by",
            )


def shift_of(level: Array, restored: Array, valid: Mask) -> tuple[int, int] | None:
    """Return by how many rows and columns a level (H, W) should be moved to lie on `restored`, each at most `SHIFTS`; None where it
    lies on it best as it is, or no shift is clearly better.

    The logarithms' differences between neighbours are correlated, whose peak is sharp. A shift is clear that is better by three times
    what chance makes of a correlation of so many pixels, ten of which may know of each other.
    """
    top, left = (max(0, (n - CUT) // 2) for n in valid.shape)
    part = (slice(top, top + CUT), slice(left, left + CUT))
    there = valid[part] & (level[part] > 0) & (restored[part] > 0)
    if there.sum() < 1000 or min(there.shape) <= 4 * SHIFTS:
        return None
    steps = [_steps(x[part], there) for x in (level, restored)]
    norm = math.sqrt(math.prod(float((np.abs(s) ** 2).sum()) for s in steps))
    if not norm:
        return None
    a, b = (np.fft.fft2(s, [n + SHIFTS for n in s.shape]) for s in steps)
    found = np.fft.ifft2(np.conj(a) * b).real / norm
    near = range(-SHIFTS, SHIFTS + 1)
    best = max(((i, j) for i in near for j in near), key=lambda at: float(found[at]))
    clear = found[best] - found[0, 0] > 3 * math.sqrt(10 / float(there.sum()))
    return best if clear else None


def _steps(x: Array, there: Mask) -> NDArray[np.complexfloating]:
    """Return the differences of ln x to the next row, real, and the next column, imaginary; 0 where either is not there."""
    logs = np.log(np.where(there, x, 1.0))
    inside = there[:-1, :-1] & there[1:, :-1] & there[:-1, 1:]
    down, across = (np.where(inside, d, 0.0) for d in (logs[1:, :-1] - logs[:-1, :-1], logs[:-1, 1:] - logs[:-1, :-1]))
    return down + 1j * across


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
