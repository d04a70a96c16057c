"""The noise that a picture had before it became a JPEG is read off the coefficients of the file, by frequency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.files.jpeg_file import StoredJPEG
from restorekit.noise.blocks import RADIUS, SIDE

Array = NDArray[np.floating[Any]]
_EDGES = (1.9, 3.2, 4.3, 5.4, 6.5, 7.7, 10.0)  # radii between which a ring of coefficients lies
_RINGS = tuple((low <= RADIUS) & (high > RADIUS) for low, high in zip(_EDGES, _EDGES[1:]))
_EVEN = np.add.outer(np.arange(SIDE), np.arange(SIDE)) % 2 == 0
_DEVIATIONS = np.geomspace(0.2, 80, 100)  # in values of 0 to 255, that are tried
ENOUGH = 5  # rings, of fewer nothing is said of their fall
FLAT = 0.75  # `fall` above which noise is white: of cameras it is .74 at most, on ten pictures that do not judge
LEVEL = 0.85  # the same of `end`: .83 at most
EVENLY = 1.28  # `even` up to which it is noise; of 40 photographs and 36 of Kodak and McMaster those that are clean have 1.3 and more
SHARED = (0.006, 0.04)  # level of the coarsest ring of a camera's noise; texture that is everywhere has more
_MOST = 6  # levels from which on all count as one
_QUARTERS = (0.1, 0.25, 0.5, 0.75)  # shares of the blocks, flattest first, whose levels are compared


@dataclass(frozen=True)
class BeforeJPEG:
    """The standard deviation of what flat blocks hold beside their plane, in luma before its rounding, white = 1.

    `rings`: (6,), from coarse to fine coefficients, NaN where too few of a ring are other than 0 to tell. White noise of luma has
    the same in all; that of a camera, which neighbours share, falls; texture falls faster. `halved`: the file keeps the mean of
    several pixels of chroma. `even`: level of the flatter half of the blocks over that of their flattest tenth, and of three quarters
    over that of one, geometric mean over the three coarsest rings; noise that is everywhere has 1, and NaN is where they do not tell.
    """

    rings: tuple[float, ...]
    halved: bool = False
    even: float = float("nan")

    @property
    def shared(self) -> bool:
        """Return True for noise that neighbours share: as strong in half of the blocks as in the flattest, and weaker at fine coefficients."""
        low, high = SHARED
        told = [v for v in self.rings[:3] if np.isfinite(v)]
        return bool(self.even < EVENLY and low < self.rings[0] < high and told[-1] <= told[0] and not self.white)

    @property
    def finest(self) -> float:
        """Return the deviation at the finest ring that tells; NaN for none."""
        told = [v for v in self.rings if np.isfinite(v)]
        return told[-1] if told else float("nan")

    @property
    def fall(self) -> float:
        """Return the deviation at the finest ring that tells over that at the second, 1 for white noise; NaN where fewer than
        five tell."""
        told = [v for v in self.rings if np.isfinite(v)]
        return told[-1] / told[1] if len(told) >= ENOUGH else float("nan")

    @property
    def end(self) -> float:
        """Return the deviation at the finest ring over that two rings before, where texture has little; NaN where it tells not."""
        return self.rings[-1] / self.rings[-3]

    @property
    def white(self) -> bool:
        """Return True where the noise is as strong at fine coefficients as at others, beyond what texture and demosaicing do."""
        return bool(self.fall > FLAT or self.end > LEVEL)


@dataclass(frozen=True)
class JPEGSpectrum:
    """It measures the noise before a JPEG, of which that kept whole steps of each coefficient.

    A coefficient of noise is normal, of deviation s, and was rounded to a multiple k of its step q: P(k) = Phi((k + 1/2) q / s) -
    Phi((k - 1/2) q / s), which is largest, over all coefficients of a ring and the blocks that count, at the s to find: also where
    most of them are 0. As in `GrainSpectrum`, one half of the coefficients, as on a chessboard, chooses the flattest blocks for the
    other. Take it for files as they came out of a camera or an editor; of a second compression it sees what the first one left.
    """

    flat: float = 0.2  # share of the blocks that count
    least: int = 40  # blocks, of fewer nothing is said
    most: int = 20000  # blocks that are looked at
    told: float = 0.01  # share of coefficients other than 0, at least, of a ring that tells
    clear: float = 20.0  # of 255, from black and from white: nearer noise is cut off

    def __call__(self, stored: StoredJPEG) -> BeforeJPEG | None:
        """Return the noise in the luma of a file; None where its bins are not known, or it has too few blocks."""
        if not stored.binned:
            return None
        steps = stored.steps[0]
        levels = np.rint(stored.levels[0].reshape(-1, SIDE, SIDE)).astype(np.int64)
        levels = levels[:: max(1, len(levels) // self.most)]
        mean = levels[:, 0, 0] * steps[0, 0] / SIDE + 128
        inside = (mean > self.clear) & (mean < 255 - self.clear)
        levels = levels[inside] if inside.sum() >= self.least else levels
        if len(levels) < self.least:
            return None
        best, there = self._deviations(levels, steps, self.flat, _RINGS)
        rings = tuple(float(v) if s >= self.told else float("nan") for v, s in zip(best / 255, there))
        return BeforeJPEG(rings, len(set(stored.sampling)) > 1, self._evenness(levels, steps))

    def _evenness(self, levels: NDArray[np.integer[Any]], steps: Array) -> float:
        """Return `BeforeJPEG.even`; NaN where fewer than two rings tell."""
        found = [self._deviations(levels, steps, share, _RINGS[:3])[0] for share in _QUARTERS]
        told = np.min(found, 0) > _DEVIATIONS[0]
        if told.sum() < 2:
            return float("nan")
        tenth, quarter, half, most = (np.log(v[told]).mean() for v in found)
        return float(np.exp((half - tenth + most - quarter) / 2))

    def _deviations(
        self, levels: NDArray[np.integer[Any]], steps: Array, share: float, rings: tuple[Array, ...]
    ) -> tuple[Array, Array]:
        """Return (deviation in values of 0 to 255, share of coefficients other than 0) of each ring, of the flattest `share` of blocks."""
        power = np.square(levels * steps)
        likely, there = np.zeros((len(rings), len(_DEVIATIONS))), np.zeros(len(rings))
        for half in (_EVEN, ~_EVEN):
            rough = power[:, ~half & (_EDGES[0] <= RADIUS)].sum(1) + 1e-6 * power[:, RADIUS > 0].sum(1)
            flattest = np.argsort(rough, kind="stable")[: max(self.least, int(share * len(rough)))]
            for ring, at in enumerate(rings):
                found = np.minimum(np.abs(levels[flattest][:, at & half]), _MOST)
                likely[ring] += sum(_likelihood(k, step) for k, step in zip(found.T, steps[at & half]))
                there[ring] += float((found > 0).mean()) / 2
        return _DEVIATIONS[likely.argmax(1)], there


def _likelihood(levels: NDArray[np.integer[Any]], step: float) -> Array:
    """Return the logarithm of the probability of `levels` (N,), at most _MOST and not negative, for each of _DEVIATIONS."""
    counts = np.bincount(levels, minlength=_MOST + 1)
    k, scaled = np.arange(_MOST + 1), step / _DEVIATIONS[:, None]
    outside = 2 * scipy.special.ndtr(-(k - 0.5) * scaled)  # |k| or more
    share = outside - np.concatenate([outside[:, 1:], np.zeros((len(scaled), 1))], 1)
    share[:, 0] = 1 - outside[:, 1]
    return np.log(np.maximum(share, 1e-12)) @ counts
