"""Blocks of several dates, or of several polarisations of one, are treated at once, and kept as the blocks of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from restorekit.scenes.block_store import BlockStore, Key, Layers
from restorekit.scenes.grid import Grid
from restorekit.scenes.operation import BlockJob, BlockPixels

Slot = tuple[int, int]  # (number of the file from 0, band from 1) of a date or a polarisation


class SharedOperation(Protocol):
    """Settings, picklable; the call treats a block of several bands at once."""

    @property
    def margin(self) -> int:
        """Return the pixels that it reads on each side beyond what a block is computed from."""
        ...

    def __call__(self, blocks: Sequence[BlockPixels]) -> list[Layers]:
        """Return the layers of each band."""
        ...


@dataclass(frozen=True, eq=False)
class JointJob:
    """Blocks of all dates, or of all polarisations of one: all that a worker needs, picklable."""

    jobs: tuple[BlockJob, ...]  # of each file
    groups: dict[int, tuple[Slot, ...]]  # dates of what is restored together, by its number from 1
    operations: Mapping[int, SharedOperation]
    grid: Grid
    threads: int | None = 1

    def __call__(self, key: Key) -> Layers:
        """Treat one block of all dates of a group and return their layers, each named by its date (`layer_of`)."""
        group, i, j = key
        operation, seen, kept = self.operations[group], self.grid.seen(i, j), self.grid.kept(i, j)
        window = seen.padded(operation.margin, self.grid.height, self.grid.width)
        blocks = []
        with ExitStack() as files:
            sources = [files.enter_context(job.opened()) for job in self.jobs]
            for number, band in self.groups[group]:
                values, valid = sources[number].read(window, band)
                blocks.append(BlockPixels(band, window, seen, kept, values, valid))
        return {layer_of(t, name): x for t, found in enumerate(operation(blocks)) for name, x in found.items()}


def layer_of(date: int, name: str) -> str:
    """Return the name of a layer of a date, from 0, among those of all."""
    return f"{date}_{name}"


@dataclass(frozen=True, eq=False)
class DateStore:
    """The finished blocks of one file among those of a stack, which are not put there."""

    store: BlockStore
    slots: dict[int, tuple[int, int]]  # (group, date) of each band

    def put(self, key: Key, layers: Layers) -> None:
        """Refuse: blocks come of all dates at once."""
        raise NotImplementedError

    def get(self, key: Key) -> Layers | None:
        """Return the layers of a block of a band, None where it is not finished."""
        group, date = self.slots[key[0]]
        found = self.store.get((group, *key[1:]))
        prefix = layer_of(date, "")
        return None if found is None else {k[len(prefix) :]: x for k, x in found.items() if k.startswith(prefix)}

    def finished(self) -> set[Key]:
        """Return the blocks that are kept."""
        of_group = self.store.finished()
        return {(band, i, j) for band, (group, _) in self.slots.items() for g, i, j in of_group if g == group}
