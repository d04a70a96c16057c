"""An operation is done to every block of a scene: it takes pixels with their margin and gives layers.

An operation is any picklable object with a `margin`, a call that treats one block, and `numbers`, which makes numbers
of the file of finished blocks. A moving mean is one: block -> {"mean": uniform_filter(block.values, 5)[block.inner]},
and square, layer -> (square.blended(layer), square.valid).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from restorekit.files.bands import Window
from restorekit.files.datasets import container
from restorekit.files.reading import PLAINLY, Reading
from restorekit.files.scene import Reads, Scene
from restorekit.products.opening import scene_of
from restorekit.scenes.block_store import Key, Layers
from restorekit.scenes.grid import Grid

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class BlockPixels:
    """One band of a block as the file holds it: `values` (h, w) of `window`, and where they are measured (`valid`).

    `window` is `seen`, what the block is computed from, and the `margin` of the operation around it, within the scene;
    layers are of `kept`, what of the block's result counts.
    """

    band: int  # from 1
    window: Window
    seen: Window
    kept: Window
    values: NDArray[Any]
    valid: Mask

    @property
    def inner(self) -> tuple[slice, slice]:
        """Return the slices of `kept` in `values`."""
        return self.kept.inside(self.window)


@dataclass(frozen=True, eq=False)
class Square:
    """A square of a band whose blocks are finished: `values` (h, w) of the file there, and where they are measured.

    `blended(layer)` returns the blocks that reach into it, faded into each other, (h, w) float64; 0 where no block has that
    layer.
    """

    band: int  # from 1
    window: Window
    values: NDArray[Any]
    valid: Mask
    blended: Callable[[str], Array]


class Operation(Protocol):
    """Settings, picklable; the call treats one block. It must depend on nothing but them and the block."""

    @property
    def margin(self) -> int:
        """Return the pixels that it reads on each side beyond what a block is computed from."""
        ...

    def __call__(self, block: BlockPixels) -> Layers:
        """Return layers by name, each (h, w) of `block.kept`; {} where nothing was measured."""
        ...

    def numbers(self, square: Square, layer: str) -> tuple[Array, Mask] | None:
        """Return (numbers of the file for a layer, where they are known), each (h, w); None where nothing was measured."""
        ...


class Job(Protocol):
    """A job is done to every block of one scene, or of several; it is picklable."""

    @property
    def threads(self) -> int | None:
        """Return the threads of torch; None for as it stands."""
        ...

    def __call__(self, key: Key) -> Layers:
        """Treat one block and return its layers."""
        ...


@dataclass(frozen=True, eq=False)
class BlockJob:
    """An operation on the bands of a scene, block by block: all that a worker needs, picklable.

    scene: a path, which workers open themselves, or a scene in memory.
    """

    scene: Path | Scene
    grid: Grid
    bands: tuple[int, ...]  # from 1
    operation: Operation
    threads: int | None = 1  # of torch, whose sums may depend on it: a function of the scene alone; None: as it stands
    reading: Reading = PLAINLY  # what is stated of the file

    @property
    def keys(self) -> list[Key]:
        """Return (band, row, column) of every block."""
        return [(band, i, j) for band in self.bands for i, j in self.grid]

    def opened(self) -> AbstractContextManager[Reads]:
        """Return the scene as a context, open for reading within."""
        if isinstance(self.scene, Scene):
            return self.scene.opened()
        return _scene(self.scene, _changed(self.scene), self.reading).opened()

    def __call__(self, key: Key) -> Layers:
        """Treat one block and return its layers, of the grid's `kept` window."""
        band, i, j = key
        seen = self.grid.seen(i, j)
        window = seen.padded(self.operation.margin, self.grid.height, self.grid.width)
        with self.opened() as source:
            values, valid = source.read(window, band)
        return self.operation(BlockPixels(band, window, seen, self.grid.kept(i, j), values, valid))


@lru_cache(maxsize=2)
def _scene(path: Path, changed: int, reading: Reading) -> Scene:
    return scene_of(path, reading)


def _changed(path: Path) -> int:
    """Return when the file or folder was changed last; 0 of an address."""
    file = container(path)
    return file.stat().st_mtime_ns if file.exists() else 0
