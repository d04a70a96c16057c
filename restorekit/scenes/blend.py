"""Finished blocks put together: squares of the scene, in the numbers of the file they came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.despeckling.block import Job
from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.files.geotiff import as_type
from restorekit.files.scene import Reads
from restorekit.sar.looks import Array
from restorekit.scenes.block_store import Layers, Store
from restorekit.scenes.grid import Grid


@dataclass(frozen=True, eq=False)
class Blocks:
    """Layers of a band, those of the rows of squares that are at work kept in memory."""

    store: Store
    band: int
    held: dict[tuple[int, int], Layers] = field(default_factory=dict)

    def __call__(self, i: int, j: int) -> Layers:
        for old in [key for key in self.held if key[0] < i - 2]:
            del self.held[old]
        if (i, j) not in self.held:
            found = self.store.get((self.band, i, j))
            if found is None:
                raise BadInput(f"{self.store.folder} lost a finished block; run the same command again")
            self.held[i, j] = found
        return self.held[i, j]


def blended(grid: Grid, blocks: Blocks, at: tuple[int, int], core: Window, layer: str) -> Array:
    """(h, w) of a part of a square: the blocks that reach into it, weighted; always added up in the same order."""
    total = np.zeros((core.height, core.width))
    weights = np.zeros_like(total)
    for i, j in grid.touching(*at):
        kept = grid.kept(i, j)
        common = kept.common(core)
        found = None if common is None else blocks(i, j).get(layer)
        if found is None or common is None:
            continue
        weight = grid.weights(i, j)[common.inside(kept)]
        total[common.inside(core)] += weight * found[common.inside(kept)]
        weights[common.inside(core)] += weight
    return np.divide(total, weights, out=total, where=weights > 0)


@dataclass(frozen=True)
class Form:
    """Of a file that is written."""

    dtype: str
    nodata: float | None


@dataclass(frozen=True, eq=False)
class Result:
    """A scene whose blocks are all there."""

    job: Job
    store: Store
    part: Window | None = None  # of the scene, where not all of it was treated

    def kept(self, band: int) -> int:
        """Pixels of point targets, which are as they were measured."""
        grid, blocks, count = self.job.grid, Blocks(self.store, band), 0
        for i, j in grid:
            core = grid.core(i, j) if self.part is None else grid.core(i, j).common(self.part)
            if core is not None and (kept := blocks(i, j).get("kept")) is not None:
                count += int(kept[core.inside(grid.kept(i, j))].sum())
        return count

    def squares(self, source: Reads, band: int, layer: str, form: Form) -> Iterator[tuple[Window, NDArray[Any] | None]]:
        """Square by square what to write; None where all of it is no data, or 0 where no value means that.

        layer: "mean", or "std". Pixels that were not measured are `form.nodata`, or as they were; those without a signal,
        of which the blocks say nothing, have the floor, and no deviation.
        """
        grid, (of, facts) = self.job.grid, self.job.bands[band]
        blocks = Blocks(self.store, band)
        for i, j in grid:
            core = grid.core(i, j) if self.part is None else grid.core(i, j).common(self.part)
            if core is None:
                continue
            raw, _, there, signal = of.read(source, core)
            empty = nothing(raw, form)
            if not there.any() and (form.nodata is not None or not empty.any()):
                yield core, None
                continue
            if layer == "std":
                there = signal | (there & (blended(grid, blocks, (i, j), core, "mean") > 0))
            found = blended(grid, blocks, (i, j), core, layer)
            if layer == "mean":
                found = of.numbers(np.where(found > 0, found * facts.median, facts.floor))
            values = _nudged(as_type(found, form.dtype), form.nodata, there)
            yield core, np.where(there, values, empty)


def nothing(raw: NDArray[Any], form: Form) -> NDArray[Any]:
    """What to write where nothing was measured, (h, w)."""
    if form.nodata is not None:
        return np.full(raw.shape, form.nodata, form.dtype)
    return magnitude(raw).astype(form.dtype)


def magnitude(raw: NDArray[Any]) -> NDArray[Any]:
    """Of complex numbers; others are themselves."""
    return np.abs(raw) if raw.dtype.kind == "c" else raw


def _nudged(x: NDArray[Any], nodata: float | None, where: NDArray[np.bool_]) -> NDArray[Any]:
    """x in which measured pixels that happen to have the value of no data take its neighbour."""
    if nodata is None or np.isnan(nodata):
        return x
    value = np.asarray(nodata).astype(x.dtype)
    hit = where & (x == value)
    if x.dtype.kind in "iu":
        other = value + 1 if value < np.iinfo(x.dtype).max else value - 1
    else:
        other = np.nextafter(value, np.asarray(np.inf, x.dtype))
    return np.where(hit, np.asarray(other, x.dtype), x)
