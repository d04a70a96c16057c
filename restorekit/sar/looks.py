"""Looks and correlation of speckle, measured where a scene is flat.

The variance of ln y is trigamma(L) where nothing but speckle varies (method of log-cumulants: Nicolas, Traitement du Signal
2002; Anfinsen, Doulgeris, Eltoft, TGRS 2009). Windows that look flattest by chance would make L too large, so one half of
each window chooses and the other half is measured, in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from restorekit.errors import BadInput

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]
LEAST, MOST = 0.05, 1000.0  # looks that are searched
DISAGREE = 0.3  # relative difference of two estimates from which on they are told apart aloud


def trigamma_inverse(variance: float) -> float:
    """L of trigamma(L) = variance, within LEAST and MOST."""
    if variance >= special.polygamma(1, LEAST):
        return LEAST
    if variance <= special.polygamma(1, MOST):
        return MOST
    return optimize.brentq(lambda n: float(special.polygamma(1, n)) - variance, LEAST, MOST)  # type: ignore[return-value]


@dataclass(frozen=True)
class Windows:
    """Upper left corners (N, 2) of squares of `side` pixels, all of whose pixels are valid and above 0."""

    corners: NDArray[np.int64]
    side: int

    def of(self, x: Array) -> Array:
        """(N, side, side): their content."""
        return np.stack([x[i : i + self.side, j : j + self.side] for i, j in self.corners])


def windows(y: Array, valid: Mask, side: int = 24) -> Windows:
    """Squares beside each other. BadInput where there is none."""
    usable = valid & (y > 0)
    corners = [
        (i, j)
        for i in range(0, y.shape[0] - side + 1, side)
        for j in range(0, y.shape[1] - side + 1, side)
        if usable[i : i + side, j : j + side].all()
    ]
    if not corners:
        raise BadInput(f"no square of {side}x{side} valid pixels to measure looks in; give --looks")
    return Windows(np.array(corners), side)


def flattest(y: Array, where: Windows, share: float, least: int = 8) -> tuple[Sequence[int], Sequence[int]]:
    """Numbers of the `share` of windows (at least `least`, at most all) whose upper, and whose lower half varies least."""
    logs, half = np.log(where.of(y)), where.side // 2
    count = min(len(logs), max(least, round(share * len(logs))))
    upper, lower = (np.argsort(part.var((1, 2)))[:count] for part in (logs[:, :half], logs[:, half:]))
    return upper.tolist(), lower.tolist()


@dataclass(frozen=True)
class Looks:
    """What was measured: looks two ways, the windows, and how far intensities of neighbours are alike."""

    looks: float  # by the variance of logarithms
    by_moments: float  # mean^2 / variance of intensities
    count: int  # windows
    lag_one: tuple[float, float]  # correlation of intensity with the next row, the next column
    kappa: float  # sum of the correlations over all lags

    @property
    def effective(self) -> float:
        """Looks that an average over many pixels really has, per pixel."""
        return self.looks / self.kappa

    @property
    def agree(self) -> bool:
        return abs(self.looks - self.by_moments) <= DISAGREE * max(self.looks, self.by_moments)

    def __str__(self) -> str:
        """The line to print, whatever is done with the figures."""
        rows, columns = self.lag_one
        text = f"looks {self.looks:.2f} (moments: {self.by_moments:.2f}) in {self.count} flat windows; correlation with the next "
        text += f"row {rows:.2f}, column {columns:.2f}; {self.effective:.2f} looks effective"
        return (
            text
            if self.agree
            else text + "; the two disagree: texture or no gamma law; give --looks if you know better"
        )


def measure(y: Array, valid: Mask, side: int = 24, share: float = 0.03) -> Looks:
    """Looks of intensities y (H, W). BadInput where no window can be used."""
    where = windows(y, valid, side)
    upper, lower = flattest(y, where, share)
    blocks, half = where.of(y).astype(np.float64), side // 2
    parts = np.concatenate([blocks[upper][:, half:], blocks[lower][:, :half]])  # what did not choose
    parts = parts / parts.mean((1, 2), keepdims=True)
    n = parts[0].size
    variance = float(np.median(np.log(parts).var((1, 2)))) * n / (n - 1)
    moments = 1 / (float(np.median(parts.var((1, 2)))) * n / (n - 1))
    correlation = correlations(parts)
    return Looks(
        trigamma_inverse(variance), moments, len(parts), (float(correlation[1, 0]), float(correlation[0, 1])),
        kappa_of(correlation),
    )  # fmt: skip


def correlations(parts: Array, lags: int = 5) -> Array:
    """(lags, lags): of intensities (N, h, w) of mean 1, by lag down and to the right."""
    d = parts - parts.mean((1, 2), keepdims=True)
    _, h, w = d.shape
    found = np.array([[(d[:, i:, j:] * d[:, : h - i, : w - j]).mean() for j in range(lags)] for i in range(lags)])
    return found / found[0, 0]


def kappa_of(correlation: Array, least: float = 0.03) -> float:
    """Sum over all lags of both signs, of what is above chance; 1 for independent pixels."""
    kept = np.where(correlation > least, correlation, 0.0)
    kept[0, 0] = 1.0
    weights = np.full(kept.shape, 4.0)
    weights[0, :] = weights[:, 0] = 2.0
    weights[0, 0] = 1.0
    return float((weights * kept).sum())
