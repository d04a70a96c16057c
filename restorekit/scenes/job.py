"""One run over a scene: everything that a worker needs to know to treat a block, and the treatment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.ndimage import convolve

from restorekit.sar.looks import Array, Mask
from restorekit.scenes.files import Scene, scene_of
from restorekit.scenes.grid import Grid
from restorekit.scenes.methods import Block, Method
from restorekit.scenes.store import Key, Layers
from restorekit.scenes.survey import Band, Facts

NEIGHBOURS = 6  # with a signal, that make what they surround one of them


@dataclass(frozen=True, eq=False)
class Job:
    """Picklable, and all that a result depends on besides the scene itself."""

    path: Path
    grid: Grid
    bands: dict[int, tuple[Band, Facts]]  # by number, from 1
    method: Method
    threads: int | None = 1  # of torch, whose sums may depend on it: a function of the scene alone; None: as it stands

    @property
    def keys(self) -> list[Key]:
        return [(band, i, j) for band in self.bands for i, j in self.grid]

    def __call__(self, key: Key) -> Layers:
        """What the block gives, of its `kept` window, 0 where there is no signal, but for pixels `alone` in that: intensities
        over the median of the band, and deviations in the numbers of the file."""
        number, i, j = key
        band, facts = self.bands[number]
        seen = self.grid.seen(i, j)
        with _scene(self.path, self.path.stat().st_mtime_ns).opened() as source:
            raw, intensity, there, signal = band.read(source, seen)
        inner = self.grid.kept(i, j).inside(seen)
        if not signal[inner].any():
            return {}
        draws = self.method(Block(seen, number, raw, intensity, signal, facts))[(slice(None), *inner)]
        known = (signal | alone(there, signal))[inner]
        draws = np.where(known, draws, 0.0)
        layers = {"mean": (draws.mean(0) / facts.median).astype(np.float32)}
        if len(draws) > 1:
            layers["std"] = self._spread(band, draws, known)
        return layers

    @staticmethod
    def _spread(band: Band, draws: Array, known: Mask) -> np.ndarray:
        """Of the draws in the numbers of the file."""
        values = band.numbers(np.where(known, draws, 1.0))
        return np.where(known, values.std(0, ddof=1), 0.0).astype(np.float32)


def alone(there: Mask, signal: Mask) -> Mask:
    """(h, w): measured without a signal, as speckle may be, where most of the eight neighbours have one."""
    if there.all() and signal.all():
        return np.zeros_like(signal)
    beside = convolve(signal.astype(np.int8), np.ones((3, 3), np.int8), mode="constant")
    return there & ~signal & (beside >= NEIGHBOURS)


@lru_cache(maxsize=2)
def _scene(path: Path, changed: int) -> Scene:
    return scene_of(path)
