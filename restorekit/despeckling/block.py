"""One run over a scene: everything that a worker needs to know to treat a block, and the treatment."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.ndimage import convolve

from restorekit.despeckling.methods import Block, Method
from restorekit.despeckling.survey import Band, Facts
from restorekit.files.bands import Window
from restorekit.files.datasets import container
from restorekit.files.reading import PLAINLY, Reading
from restorekit.files.scene import Reads, Scene, scene_of
from restorekit.sar.looks import Array, Mask
from restorekit.sar.targets import Detector, clutter
from restorekit.scenes.block_store import Key, Layers
from restorekit.scenes.grid import Grid

NEIGHBOURS = 6  # with a signal, that make what they surround one of them


@dataclass(frozen=True, eq=False)
class Job:
    """Picklable, and all that a result depends on besides the scene itself."""

    path: Path
    grid: Grid
    bands: dict[int, tuple[Band, Facts]]  # by number, from 1
    method: Method
    threads: int | None = 1  # of torch, whose sums may depend on it: a function of the scene alone; None: as it stands
    detectors: dict[int, Detector] = field(default_factory=dict)  # of point targets, by band; without one none are kept
    reading: Reading = PLAINLY

    @property
    def keys(self) -> list[Key]:
        return [(band, i, j) for band in self.bands for i, j in self.grid]

    def __call__(self, key: Key) -> Layers:
        """What the block gives, of its `kept` window, 0 where there is no signal, but for pixels `alone` in that: intensities
        over the median of the band, and deviations in the numbers of the file."""
        number, i, j = key
        band, facts = self.bands[number]
        seen = self.grid.seen(i, j)
        with _scene(self.path, _changed(self.path), self.reading).opened() as source:
            raw, intensity, there, signal = band.read(source, seen)
            inner = self.grid.kept(i, j).inside(seen)
            if not signal[inner].any():
                return {}
            targets, level = self._targets(source, number, seen)
        cleared = np.where(targets, level, intensity)
        if raw.dtype.kind == "c":
            raw = np.where(targets, raw * np.sqrt(cleared / np.where(targets, intensity, 1.0)), raw)
        draws = self.method(Block(seen, number, raw, cleared, signal, facts, targets))[(slice(None), *inner)]
        known = (signal | alone(there, signal))[inner]
        draws = np.where(known, draws, 0.0)
        kept, intensity = targets[inner], intensity[inner]
        layers: Layers = {"mean": (np.where(kept, intensity, draws.mean(0)) / facts.median).astype(np.float32)}
        if len(draws) > 1:
            std = self._spread(band, draws, known)
            layers["std"] = np.where(kept, band.deviation(intensity, facts.detected), std).astype(np.float32)
        return layers | ({"kept": kept} if kept.any() else {})

    def _targets(self, source: Reads, number: int, seen: Window) -> tuple[Mask, Array]:
        """Point targets (h, w) and the level of clutter there, the same for a pixel whatever the block that it is seen in."""
        detector, (band, facts) = self.detectors.get(number), self.bands[number]
        nothing = np.zeros((seen.height, seen.width))
        if detector is None:
            return nothing > 0, nothing
        around = seen.padded(detector.halo, self.grid.height, self.grid.width)
        _, intensity, _, signal = band.read(source, around)
        found, inner = detector(intensity / facts.median, signal), seen.inside(around)
        if not found[inner].any():
            return nothing > 0, nothing
        return found[inner], clutter(intensity, signal & ~found, facts.median)[inner]

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
def _scene(path: Path, changed: int, reading: Reading) -> Scene:
    return scene_of(path, reading)


def _changed(path: Path) -> int:
    """When the file was changed last; 0 of an address."""
    file = container(path)
    return file.stat().st_mtime_ns if file.is_file() else 0
