"""Dates of one place are measured against each other: whether they lie on each other, how their levels differ, how much
their speckle has in common.

Where a date lies is read off the phase of the cross-spectrum of logarithms, of one date and the mean of the others (phase
correlation: Kuglin, Hines, 1975): speckle, independent from date to date, has no common phase, and each frequency counts by
how far both agree, gamma^2 / (1 - gamma^2), gamma being their coherence over windows and neighbouring frequencies (Carter,
Knapp, Nuttall, IEEE TAU 21, 1973).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.sar.looks import CLOSEST, Array, Grain, Mask, kappa_of_grain

NOTHING = 1e-14  # variance of q that is none but rounding
CELL = 16  # side of the squares in which levels are compared, pixels
REACH = 24  # pixels of a shift that is looked for
SMOOTH = 2.0  # frequencies over which coherence is averaged
LEAST = 0.15  # coherence, squared, that is more than chance over so many
DRIFTING = 2.0  # variance of levels of cells over that of speckle from which on they drift
SCALE = 12.0  # pixels, standard deviation of the weights with which levels are averaged
REACHES = 2.5  # such deviations
TILE = 112  # side of the windows of the spectra, pixels
GROUPS = 8  # of windows, each of which is left out in turn to see how sure a shift is
UNSURE = 0.5  # pixels, error of a shift where windows are too few to tell
SIGNIFICANT = 8.0  # standard deviations of a peak that is none of chance
SLIGHT = 0.1  # correlation of dates that is not told from none


@dataclass(frozen=True)
class Shift:
    """It says how far a date shows things further down and to the right than the others, pixels; significance is the height
    of the peak of the correlation in standard deviations of all else."""

    down: float
    right: float
    significance: float
    error: float = 0.0  # standard error of both, pixels

    @property
    def distance(self) -> float:
        """Return the length of the shift, pixels; 0 where none can be told."""
        return math.hypot(self.down, self.right) if self.significance >= SIGNIFICANT else 0.0

    def __str__(self) -> str:
        rows = f"{abs(self.down):.1f} px {'down' if self.down >= 0 else 'up'}"
        return f"{rows} and {abs(self.right):.1f} px {'right' if self.right >= 0 else 'left'}"


def shift_of(parts: Sequence[tuple[Array, Array, Mask]]) -> Shift:
    """Return how far the second picture of all parts lies beyond the first; parts are (first, second, where both count), each
    (h, w) of one size, intensities."""
    tile = TILE if max(min(a.shape) for a, _, _ in parts) >= 2 * TILE else TILE // 2
    n = scipy.fft.next_fast_len(tile + REACH, real=True)
    spectra = np.zeros((GROUPS, 3, n, n), np.complex128)
    tiles = 0
    for a, b, there in parts:
        for i, j in ((i, j) for i in range(0, a.shape[0], tile) for j in range(0, a.shape[1], tile)):
            at = slice(i, i + tile), slice(j, j + tile)
            if there[at].mean() < 0.5 or min(there[at].shape) < tile // 2:
                continue
            one, other = (_field(x[at], there[at], n) for x in (a, b))
            spectra[tiles % GROUPS] += np.stack([np.conj(one) * other, np.abs(one) ** 2, np.abs(other) ** 2])
            tiles += 1
    if tiles == 0:
        return Shift(0.0, 0.0, 0.0, UNSURE)
    whole = spectra.sum(0)
    found = _located(*whole)
    groups = min(GROUPS, tiles)
    if found.significance < SIGNIFICANT or groups < 3:
        return replace(found, error=UNSURE)
    rest = [_located(*(whole - spectra[g]), start=found) for g in range(groups)]
    spread = [np.var([getattr(s, axis) for s in rest]) * (groups - 1) for axis in ("down", "right")]  # jackknife
    return replace(found, error=float(np.sqrt(max(spread))))


def _field(x: Array, there: Mask, n: int) -> NDArray[np.complexfloating]:
    """Return the spectrum (n, n) of the logarithm of x under a window."""
    window = np.outer(*(np.hanning(k + 2)[1:-1] for k in x.shape))
    u = np.log(np.where(there, x, 1.0))
    return np.fft.fft2(np.where(there, u - u[there].mean(), 0.0) * window, (n, n))


def _located(
    cross: NDArray[np.complexfloating],
    one: NDArray[np.complexfloating],
    other: NDArray[np.complexfloating],
    start: Shift | None = None,
) -> Shift:
    """Return the shift of a cross-spectrum (n, n), of the spectra of both, near `start` where that is known."""
    n = len(cross)
    power = _smoothed(one.real) * _smoothed(other.real) + 1e-24
    frequency = np.fft.fftfreq(n)
    inner = np.maximum(np.abs(frequency[:, None]), np.abs(frequency)) < 0.4
    inner[:1, :1] = False
    c = np.fft.ifft2(np.where(inner, cross / np.sqrt(power), 0)).real
    near = np.roll(c, (REACH, REACH), (0, 1))[: 2 * REACH + 1, : 2 * REACH + 1]
    down, right = (float(int(k) - REACH) for k in np.unravel_index(int(near.argmax()), near.shape))
    at = np.arange(-REACH, REACH + 1)
    far = near[np.hypot(at[:, None] - down, at - right) > 6]
    significance = float((near.max() - far.mean()) / max(float(far.std()), 1e-12))
    fy, fx = np.meshgrid(frequency, frequency, indexing="ij")
    if start is not None:
        down, right = start.down, start.right
    for _ in range(4):  # the phase that is left, by least squares
        turned = cross * np.exp(2j * np.pi * (fy * down + fx * right))
        mean = _smoothed(turned.real) + 1j * _smoothed(turned.imag)
        coherence = np.clip(np.abs(mean) ** 2 / power, 0, 0.99)
        weight = np.where(inner & (coherence > LEAST), coherence / (1 - coherence), 0.0)
        phase = -np.angle(mean) / (2 * np.pi)
        matrix = np.array([[(weight * a * b).sum() for b in (fy, fx)] for a in (fy, fx)])
        step = np.linalg.lstsq(matrix, np.array([(weight * a * phase).sum() for a in (fy, fx)]), rcond=None)[0]
        down, right = down + float(step[0]), right + float(step[1])
        if np.abs(step).max() < 1e-3:
            break
    return Shift(down, right, significance)


def _smoothed(x: Array) -> Array:
    return scipy.ndimage.gaussian_filter(x, SMOOTH, mode="wrap")


@dataclass(frozen=True)
class Levels:
    """It holds what the dates of a stack have in common: `gains` (T,) of each over the geometric mean of all where most does
    not change, and the variance of q (`restorekit.sar.changes`) over that of independent speckle."""

    gains: tuple[float, ...]
    dispersion: float
    correlation: float = 0.0  # of the intensity of two dates, 0 where it is slight
    drift: bool = False  # whether levels change from place to place on most of the scene, more than speckle explains
    grain: Grain = (0.0, 0.0)  # correlation of q with the next row and column: that of speckle, whatever the texture

    def looks(self, looks: Sequence[float]) -> float:
        """Return the looks of the mean of dates with so many each."""
        return float(sum(looks)) / (1 + (len(looks) - 1) * self.correlation)


def levels(parts: Sequence[tuple[Array, Mask]], looks: Sequence[float]) -> Levels:
    """Return the levels of dates with so many looks, from parts (T, h, w) of the intensities and where they are measured.

    Cells of which a date holds less than all are left out.
    """
    cells, dates = [], len(looks)
    for y, there in parts:
        h, w = (k // CELL * CELL for k in y.shape[1:])
        whole = there[:, :h, :w].reshape(dates, h // CELL, CELL, w // CELL, CELL).all((0, 2, 4))
        x = y[:, :h, :w].reshape(dates, h // CELL, CELL, w // CELL, CELL).transpose(1, 3, 0, 2, 4)[whole]
        cells.append(x.reshape(-1, dates, CELL * CELL))
    every = np.concatenate(cells) if cells else np.zeros((0, dates, CELL * CELL))
    if not len(every):
        return Levels((1.0,) * dates, 1.0)
    level = np.log(np.maximum(every.mean(2), 1e-300))
    gains = np.exp(np.median(level - level.mean(1, keepdims=True), 0))
    n = np.asarray(looks, np.float64)
    power = every / gains[:, None] * n[:, None]
    q, law = power / power.sum(1, keepdims=True), n / n.sum()
    # Around the mean of each cell, so that what changes as a whole does not count.
    ratio = q.var(2, ddof=1) / (law * (1 - law) / (n.sum() + 1))
    around = (q - q.mean(2, keepdims=True)).reshape(-1, CELL, CELL)
    power = float((around**2).mean())
    if power < NOTHING:
        return Levels(tuple(float(g) for g in gains), 0.0)
    down, right = (
        float((a * b).mean()) / power
        for a, b in ((around[:, 1:], around[:, :-1]), (around[:, :, 1:], around[:, :, :-1]))
    )
    grain = min(max(down, 0.0), CLOSEST), min(max(right, 0.0), CLOSEST)
    dispersion = float(np.median(ratio))
    means = q.mean(2)
    spread = (1.4826 * np.median(np.abs(means - np.median(means, 0)), 0)) ** 2
    chance = law * (1 - law) / (n.sum() + 1) * max(dispersion, 0.2) * kappa_of_grain(grain) / CELL**2
    drifting = float(np.median(spread / chance.ravel())) > DRIFTING
    correlation = _correlation(1 - dispersion, float(np.median(n)))
    return Levels(tuple(float(g) for g in gains), dispersion, correlation, drifting, grain)


def drift(y: Array, valid: Mask, looks: Sequence[float]) -> Array:
    """Return how the level of each date, (T, h, w), differs from the mean of all around each pixel, over which change that is not
    smooth counts little.

    With q = L_t y_t / sum_u L_u y_u and q0 = L_t / M it is 1 + (mean of q / q0 - 1) (M + 1) / M, the score of the law of q
    (`restorekit.sar.changes`), taken out and measured again.
    """
    n = np.asarray(looks, np.float64)[:, None, None] * valid
    power, total = n * np.where(valid, y, 0.0), n.sum(0)
    every, known = np.maximum(total, 1e-9), valid.any(0)

    def around(x: Array) -> Array:
        return scipy.ndimage.gaussian_filter(x, SCALE, mode="constant", truncate=REACHES)

    out, weight = np.zeros(y.shape), [np.maximum(around(v.astype(np.float64)), 1e-6) for v in valid]
    for _ in range(3):
        level = power / np.exp(out)
        q = level / np.where(known, np.maximum(level.sum(0), 1e-300), 1.0)
        for t, there in enumerate(valid):
            excess = np.where(there, q[t] * every / np.maximum(n[t], 1e-9) - 1, 0.0)
            out[t] += np.log1p(np.clip(around(excess) / weight[t] * (every + 1) / every, -0.8, 4.0))
    return np.exp(out)


def _correlation(of_logs: float, looks: float) -> float:
    """Return the correlation rho of intensities whose logarithms have that one: their covariance is the sum over k of rho^k
    (k - 1)! Gamma(L) / (k Gamma(L + k)) (the Laguerre series of ln under Kibble's law of two gamma variables, Sankhya 1941),
    the variance the same of rho = 1."""
    if of_logs < SLIGHT:
        return 0.0
    k, rho = np.arange(1, 400), np.linspace(0, 0.98, 50)
    terms = np.exp(scipy.special.gammaln(k) + scipy.special.gammaln(looks) - scipy.special.gammaln(looks + k)) / k
    of_rho = (terms * rho[:, None] ** k).sum(1) / float(scipy.special.polygamma(1, looks))
    return float(np.interp(of_logs, of_rho, rho))
