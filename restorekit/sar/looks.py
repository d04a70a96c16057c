"""Looks and correlation of speckle are measured where a scene is flat.

The variance of ln y is trigamma(L) where nothing but speckle varies (method of log-cumulants: Nicolas, Traitement du
Signal 2002; Anfinsen, Doulgeris, Eltoft, TGRS 2009). Windows that look flattest by chance would make L too large, so
one half of each window chooses and the other half is measured, in turn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.errors import BadInput

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]
Grain = tuple[float, float]  # correlation of intensity with the next row, the next column
LEAST, MOST = 0.05, 1000.0  # looks that are searched
SLIGHT = 0.05  # correlation that is not told from texture
CLOSEST = 0.95  # correlation of neighbours that a grain may have
MOSTLY = 0.5  # share of the variance that is texture, from which on that of the speckle is a guess
PATCHES = 0.75  # share of neighbours of one value, of constants beside each other
FAR = 6.0  # lag from which on speckle has no correlation, pixels
REPEATED = 0.05  # share of a window, of one value
TEXTURED = "no flat place: these correlations are of texture too, which makes them larger than those of the speckle"
TELLS = 0.045  # relative error: ten draws range over three of it, 14 %
DISAGREE = 0.3  # relative difference of two estimates from which on they are told apart aloud


def trigamma_inverse(variance: float) -> float:
    """Return L of trigamma(L) = variance, within LEAST and MOST."""
    if variance >= scipy.special.polygamma(1, LEAST):
        return LEAST
    if variance <= scipy.special.polygamma(1, MOST):
        return MOST
    return scipy.optimize.brentq(lambda n: float(scipy.special.polygamma(1, n)) - variance, LEAST, MOST)  # type: ignore[return-value]


@dataclass(frozen=True)
class Windows:
    """Rectangles by their upper left corners (N, 2), all of whose pixels are valid and above 0."""

    corners: NDArray[np.int64]
    height: int
    width: int

    def of(self, x: Array) -> Array:
        """Return the content (N, height, width) of the windows in y (H, W)."""
        return np.stack([x[i : i + self.height, j : j + self.width] for i, j in self.corners])


def windows(y: Array, valid: Mask, side: int = 24) -> Windows:
    """Return squares beside each other, without those of fill. Raises BadInput where there is none."""
    usable = valid & (y > 0)
    whole = [
        (i, j)
        for i in range(0, y.shape[0] - side + 1, side)
        for j in range(0, y.shape[1] - side + 1, side)
        if usable[i : i + side, j : j + side].all()
    ]
    if not whole:
        raise BadInput(f"no square of {side}x{side} valid pixels above 0 to measure looks in; give `looks`")
    corners = [(i, j) for i, j in whole if not filled(own := y[i : i + side, j : j + side]) and not in_patches(own)]
    if not corners:
        raise BadInput(
            f"in all squares of {side}x{side} valid pixels one value repeats itself, a constant, fill or a limit, and no speckle: no looks can be "
            "measured; give `looks`, or a scene with its speckle"
        )
    return Windows(np.array(corners), side, side)


def filled(y: Array) -> bool:
    """Return True where one value is that of too many pixels for a measurement: fill, or a limit at which values were
    cut.

    Numbers of few steps, as bytes, repeat themselves; floats do not.
    """
    values, counts = np.unique(y, return_counts=True)
    return bool(counts.max() > (REPEATED if len(values) > 0.5 * y.size else 0.5) * y.size)


def in_patches(y: Array) -> bool:
    """Return True where most pixels of the upper or of the lower half have the value of their neighbour: constants beside each
    other, without speckle."""
    same = y[:, 1:] == y[:, :-1]
    half = len(y) // 2
    return bool(max(same[:half].mean(), same[half:].mean()) > PATCHES)


def flattest(y: Array, where: Windows, share: float = 0.03, least: int = 8) -> Windows:
    """Return, of the `share` of windows (at least `least`, at most all) that vary least in one half, the other half."""
    half = where.height // 2
    upper, lower = where.corners, where.corners + np.array([half, 0])
    count = min(len(upper), max(least, round(share * len(upper))))
    parts = [Windows(corners, half, where.width) for corners in (upper, lower)]
    by_upper, by_lower = (np.argsort(np.log(part.of(y)).var((1, 2)), kind="stable")[:count] for part in parts)
    return Windows(np.concatenate([lower[by_upper], upper[by_lower]]), half, where.width)


@dataclass(frozen=True)
class Looks:
    """A measurement holds looks found in two ways, the windows, and how far intensities of neighbours are alike."""

    looks: float  # by the variance of logarithms
    by_moments: float  # mean^2 / variance of intensities
    count: int  # windows
    lag_one: tuple[float, float]  # correlation of intensity with the next row, the next column
    kappa: float  # sum of the correlations over all lags
    reach: int = 1  # lag from which on pixels, along rows and columns, are independent
    textured: bool = False  # texture could not be told from grain, and some of it is in the correlations
    error: float = 0.0  # relative standard error of the looks, by how far the windows differ

    @property
    def tells(self) -> bool:
        """Return True where the looks are known well enough that those of ten crops of one product lie within 15 %, as those
        of drawn speckle of one look do; of others ten crops hardly ever tell."""
        return self.error <= TELLS and self.agree and not self.textured

    @property
    def effective(self) -> float:
        """Return the looks that an average over many pixels really has, per pixel."""
        return self.looks / self.kappa

    @property
    def agree(self) -> bool:
        """Return True where both ways find about the same looks."""
        return abs(self.looks - self.by_moments) <= DISAGREE * max(self.looks, self.by_moments)

    def __str__(self) -> str:
        """Return the line to print, whatever is done with the figures."""
        rows, columns = self.lag_one
        known = f", known to {100 * self.error:.0f} %" if self.error > TELLS else ""
        text = f"looks {self.looks:.2f} (moments: {self.by_moments:.2f}) in {self.count} flat windows{known}; correlation with the next "
        text += f"row {rows:.2f}, column {columns:.2f}; {self.effective:.2f} looks effective"
        if self.textured:
            text += f"; {TEXTURED}"
        if not self.agree:
            text += "; the two disagree: texture or no gamma law; give `looks` if you know better"
        return text


def measure(
    y: Array, valid: Mask, side: int = 24, share: float = 0.03, looks: float | None = None, grain: Grain | None = None
) -> Looks:
    """Return the looks of intensities y (H, W), and the correlation of their speckle unless `grain` gives it.

    Texture is taken out: what the windows vary more than speckle of known `looks` would, or what is still alike at lags
    at which speckle is not. The first of these that leaves a correlation that speckle can have is taken, else the
    correlation as it was measured; where it is not the first, or most of the variance is texture, the result is
    `textured`. Raises BadInput where no window can be used.
    """
    parts = flattest(y, windows(y, valid, side), share).of(y).astype(np.float64)
    parts = parts / parts.mean((1, 2), keepdims=True)
    measured = correlations(parts)
    far = _far(measured)
    shares, variances = [far if far > SLIGHT else 0.0], [0.0]
    if looks is not None:
        # Of a product of texture and speckle, 1 + its variance is (1 + that of the texture) (1 + 1 / looks).
        variances.insert(0, float(np.median(parts.var((1, 2)))))
        shares.insert(0, min(max((1 - 1 / (looks * variances[0])) / (1 + 1 / looks), 0.0), 0.9))
    found = ((s, without_texture(measured, s, v)) for s, v in zip(shares, variances))
    error = 2 / math.sqrt(parts.size)
    share, correlation = next(((s, c) for s, c in found if _of_speckle(c, measured, error)), (0.0, measured))
    textured = shares[0] > SLIGHT and (share != shares[0] or share > MOSTLY)
    rows, columns = extent(correlation, parts.size)
    lag_one = _bounded(correlation[1, 0]), _bounded(correlation[0, 1])
    kappa = min(_kappa(correlation, rows, columns), kappa_of_grain(lag_one))
    reach = max(rows, columns)
    if grain is not None:
        lag_one, kappa, reach, textured = grain, kappa_of_grain(grain), reach_of_grain(grain), False
    n = parts[0].size
    free = n / max(n - kappa, 1.0)  # the mean that each part lost went with so much of its variance
    variance, moments = (float(np.median(x.var((1, 2)))) * free for x in (np.log(parts), parts))
    if looks is None:
        variance, moments = variance * (1 - share), moments * (1 - share)
    found = trigamma_inverse(variance)
    return Looks(
        found, min(1 / max(moments, 1e-30), MOST), len(parts), lag_one, kappa, reach, textured,
        _error(np.log(parts).var((1, 2)), found, n / _alike(lag_one)),
    )  # fmt: skip


def _error(each: Array, looks: float, independent: float) -> float:
    """Return the relative standard error of looks, of the variances (N,) of logarithms whose median they are of, each of so many
    independent values: by how far the variances differ, and at least as far as those of speckle alone do."""
    variance, fourth = (float(scipy.special.polygamma(k, looks)) for k in (1, 3))
    of_speckle = math.sqrt((2 + fourth / variance**2) / independent)
    spread = 1.4826 * float(np.median(np.abs(each / np.median(each) - 1)))
    error = 1.2533 * max(spread, of_speckle) / math.sqrt(len(each)) * variance  # 1.25 times that of a mean
    return (trigamma_inverse(max(variance - error, 1e-9)) - trigamma_inverse(variance + error)) / (2 * looks)


def _alike(grain: Grain) -> float:
    """Return by how many times fewer values than pixels a variance knows: the sum of the squares of the correlations."""
    return grain_of(grain[0] ** 2) * grain_of(grain[1] ** 2)


def _bounded(correlation: float) -> float:
    """Return correlations as intensities of speckle, |rho|^2 of complex numbers, can have."""
    return min(max(float(correlation), 0.0), CLOSEST)


def _of_speckle(correlation: Array, measured: Array, error: float) -> bool:
    """Return True where correlations (lags, lags) without texture may be those of speckle, to within `error` of one
    that was measured.

    Those of intensity are not below 0, and fall off from lag to lag; 2 rho(1)^2 - 1 <= rho(2), as no spectrum is
    negative. What is taken out is smoother than speckle, so that neighbours are less alike without it than `measured`
    with it.
    """
    for line, before in ((correlation[:, 0], measured[:, 0]), (correlation[0], measured[0])):
        if not -SLIGHT - error <= line[1] <= min(before[1], CLOSEST) + error:
            return False
        if not 2 * line[1] ** 2 - 1 - SLIGHT <= line[2] <= max(line[1], 0.0) + SLIGHT + error:
            return False
    return True


def correlations(parts: Array, lags: int = 8) -> Array:
    """Return the correlation (lags, lags) of intensities (N, h, w) by lag down and to the right, the median over
    parts, which texture spares.

    Each part lost its own mean, and with it kappa / (h w) of the variance at every lag, which is given back.
    """
    d = parts - parts.mean((1, 2), keepdims=True)
    _, h, w = d.shape
    each = np.array([[(d[:, i:, j:] * d[:, : h - i, : w - j]).mean((1, 2)) for j in range(lags)] for i in range(lags)])
    measured = np.median(each / np.maximum(each[0, 0], 1e-30), axis=2)
    # Over fewer pixels at larger lags the mean may be larger than that of the squares.
    measured = np.clip(measured, -1.0, 1.0)
    measured[0, 0] = 1.0
    whole = measured
    for _ in range(3):
        lost = min(kappa_of(whole, parts.size) / (h * w), 0.5)
        whole = measured * (1 - lost) + lost
    return whole


def _lag(correlation: Array) -> Array:
    down, right = np.indices(correlation.shape)
    return np.hypot(down, right)


def _far(correlation: Array) -> float:
    """Return the mean correlation at lags at which speckle has none."""
    return float(correlation[_lag(correlation) >= FAR].mean())


def without_texture(correlation: Array, share: float, variance: float = 0.0) -> Array:
    """Return the correlations (lags, lags) of speckle alone, where `share` of the variance is texture.

    The correlations of texture fall off exponentially, so fast that from lag `FAR` on they are those that were
    measured. variance: of intensities of mean 1, which are texture times speckle; 0 takes the two for a sum, as they
    nearly are where both are slight.
    """
    if share <= 0:
        return correlation
    lag = _lag(correlation)
    left = min(max(_far(correlation), 1e-3 * share), share)
    texture = share * (left / share) ** (lag / lag[lag >= FAR].mean())
    found = (correlation - texture) / (1 + variance * texture)
    return found / found[0, 0]


def extent(correlation: Array, count: int) -> tuple[int, int]:
    """Return the first lag down, and to the right, at which correlations of `count` pixels are chance, or under
    `SLIGHT`."""
    found = []
    for line in (correlation[:, 0], correlation[0]):
        # Bartlett: so far as neighbours are alike, there are fewer to average over. A median errs by a quarter more.
        error = 1.25 * np.sqrt((1 + 2 * (np.cumsum(line[1:] ** 2) - line[1:] ** 2)) / count)
        below = np.flatnonzero(line[1:] < np.maximum(2 * error, SLIGHT))
        found.append(int(below[0]) + 1 if below.size else len(line))
    return found[0], found[1]


def kappa_of(correlation: Array, count: int) -> float:
    """Return the sum over the lags of both signs up to `extent`, of correlations measured on `count` pixels; 1 for
    independent ones."""
    return _kappa(correlation, *extent(correlation, count))


def grain_of(neighbour: float) -> float:
    """Return the sum of the correlations rho^(k^2) along one axis, rho that of neighbours.

    Those of speckle fall off like that; those of texture, which are taken for speckle on rough scenes, do not.
    """
    k = np.arange(1, 30)
    return 1 + 2 * float((np.clip(neighbour, 0, CLOSEST) ** (k**2)).sum())


def kappa_of_grain(grain: Grain) -> float:
    """Return the sum of the correlations over all lags, by those of neighbours down and to the right."""
    return grain_of(grain[0]) * grain_of(grain[1])


def reach_of_grain(grain: Grain) -> int:
    """Return the first lag at which both correlations are under `SLIGHT`."""
    return next(k for k in range(1, 30) if max(grain) ** (k * k) < SLIGHT)


def _kappa(correlation: Array, rows: int, columns: int) -> float:
    weights = np.full((rows, columns), 4.0)
    weights[0, :] = weights[:, 0] = 2.0
    weights[0, 0] = 1.0
    return max(1.0, float((weights * correlation[:rows, :columns]).sum()))
