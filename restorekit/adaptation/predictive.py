"""A prior is judged without clean data: what it restores from one half of a measurement foretells the other half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from restorekit.adaptation.speckled_tiles import SpeckledTile
from restorekit.despeckling.methods import TUNED, PosteriorMethod, SpeckledBlock
from restorekit.despeckling.survey import BandStatistics
from restorekit.files.bands import Window
from restorekit.sar.looks import Array

QUICK = PosteriorMethod(*TUNED["hqs"][:1], steps=TUNED["hqs"][1], samples=1, precision="fp32")


def restored(method: PosteriorMethod, prior: Path, y: Array, looks: float) -> NDArray[np.float64]:
    """Return (draws, h, w) intensities under y (h, w), white speckle of so many looks, by a prior in a file."""
    facts = BandStatistics(0.0, looks, 1.0, None)
    block = SpeckledBlock(Window(0, 0, *y.shape), 1, y, y, np.ones(y.shape, np.bool_), facts)
    return replace(method, prior=str(prior))(block)


@dataclass(frozen=True)
class Predictive:
    """It scores a prior on tiles that did not teach it, lower being better.

    The score of a tile is the mean of L' (ln x + z / x), the negative log-likelihood of gamma speckle of L' looks up to
    what does not depend on x: x is restored from one half of the measurement, z is the other half, which is independent
    of it under the speckle, so no noise that x follows is rewarded.
    """

    method: PosteriorMethod = QUICK

    def __call__(self, prior: Path, tiles: Sequence[SpeckledTile]) -> NDArray[np.float64]:
        """Return the score of every tile (N,)."""
        scores = []
        for tile in tiles:
            y, z, looks, other = tile.halves()
            x = restored(self.method, prior, y, looks).mean(0)
            scores.append(other * float((np.log(x) + z / x).mean()))
        return np.array(scores)


def gain(old: NDArray[np.float64], new: NDArray[np.float64]) -> tuple[float, float]:
    """Return by how much scores fell on the mean, and the standard error of that over the tiles."""
    fell = old - new
    return float(fell.mean()), float(fell.std(ddof=1) / np.sqrt(len(fell))) if len(fell) > 1 else float("inf")
