"""Finished blocks put together: squares of the scene, in the numbers of the file they came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.files.geotiff import as_type
from restorekit.files.nodata import off_nodata
from restorekit.files.scene import Reads
from restorekit.scenes.block_store import BlockStore, Layers
from restorekit.scenes.grid import Grid
from restorekit.scenes.operation import Array, BlockJob, Square


@dataclass(frozen=True, eq=False)
class BandLayers:
    """Layers of a band, those of the rows of squares that are at work kept in memory."""

    store: BlockStore
    band: int
    recent: dict[tuple[int, int], Layers] = field(default_factory=dict)

    def __call__(self, i: int, j: int) -> Layers:
        """Return the layers of a block. Raises BadInput where a finished block has gone."""
        for old in [key for key in self.recent if key[0] < i - 2]:
            del self.recent[old]
        if (i, j) not in self.recent:
            layers = self.store.get((self.band, i, j))
            if layers is None:
                raise BadInput(f"{self.store} lost a finished block; run the same command again")
            self.recent[i, j] = layers
        return self.recent[i, j]


def blended(grid: Grid, blocks: BandLayers, at: tuple[int, int], core: Window, layer: str) -> Array:
    """Return (h, w) of a part of a square: the blocks that reach into it, weighted; always added up in the same order."""
    total = np.zeros((core.height, core.width))
    weights = np.zeros_like(total)
    for i, j in grid.touching(*at):
        kept = grid.kept(i, j)
        common = kept.common(core)
        values = None if common is None else blocks(i, j).get(layer)
        if values is None or common is None:
            continue
        weight = grid.weights(i, j)[common.inside(kept)]
        total[common.inside(core)] += weight * values[common.inside(kept)]
        weights[common.inside(core)] += weight
    return np.divide(total, weights, out=total, where=weights > 0)


@dataclass(frozen=True)
class Form:
    """Type and nodata value of a file that is written."""

    dtype: str
    nodata: float | None


Derived = Callable[["BlendedScene", Reads, int, str, Window], tuple[Array, NDArray[np.bool_]]]


@dataclass(frozen=True, eq=False)
class BlendedScene:
    """A scene whose blocks are all finished."""

    job: BlockJob
    store: BlockStore
    part: Window | None = None  # of the scene, where not all of it was treated
    # Of bands that follow from finished ones: (scene, source, band, layer, window) -> (numbers, where they are known), each (h, w).
    derived: Mapping[int, Derived] = field(default_factory=dict)

    def _cores(self) -> Iterator[tuple[tuple[int, int], Window]]:
        """Yield every block and its square, as far as that was asked for."""
        for i, j in self.job.grid:
            core = self.job.grid.core(i, j)
            if (core := core if self.part is None else core.common(self.part)) is not None:
                yield (i, j), core

    def count(self, band: int, layer: str) -> int:
        """Return at how many pixels a mask among the layers is set."""
        grid, blocks, count = self.job.grid, BandLayers(self.store, band), 0
        for at, core in self._cores():
            if (mask := blocks(*at).get(layer)) is not None:
                count += int(mask[core.inside(grid.kept(*at))].sum())
        return count

    def squares(self, source: Reads, band: int, layer: str, form: Form) -> Iterator[tuple[Window, NDArray[Any] | None]]:
        """Yield (window, what to write there), square by square; None where all of it is nodata.

        Pixels that the operation knows nothing of are `form.nodata`, or as they were where the file has no such value.
        """
        grid, blocks = self.job.grid, BandLayers(self.store, band)
        for at, core in self._cores():
            raw, valid = source.read(core, band)
            empty = nothing(raw, form)
            if band in self.derived:
                numbers, known = self.derived[band](self, source, band, layer, core)
                yield core, np.where(known, off_nodata(as_type(numbers, form.dtype), form.nodata, known), empty)
                continue
            square = Square(band, core, raw, valid, partial(blended, grid, blocks, at, core))
            found = self.job.operation.numbers(square, layer)
            if found is None:
                yield core, None if form.nodata is not None or not empty.any() else empty
                continue
            numbers, known = found
            values = off_nodata(as_type(numbers, form.dtype), form.nodata, known)
            yield core, np.where(known, values, empty)

    def array(self, source: Reads, band: int, layer: str, form: Form) -> NDArray[Any]:
        """Return a layer of a band (H, W) as it would be written."""
        part = self.part or Window(0, 0, self.job.grid.height, self.job.grid.width)
        out = np.full((part.height, part.width), 0 if form.nodata is None else form.nodata, form.dtype)
        for window, values in self.squares(source, band, layer, form):
            if values is not None:
                out[window.inside(part)] = values
        return out


def nothing(raw: NDArray[Any], form: Form) -> NDArray[Any]:
    """Return what to write where nothing was measured, (h, w)."""
    if form.nodata is not None:
        return np.full(raw.shape, form.nodata, form.dtype)
    return magnitude(raw).astype(form.dtype)


def magnitude(raw: NDArray[Any]) -> NDArray[Any]:
    """Return the magnitude of complex numbers, and others as they are."""
    return np.abs(raw) if raw.dtype.kind == "c" else raw
