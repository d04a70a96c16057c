"""Polarisations of one date are despeckled together, block by block.

They have one set of looks and one grain, and edges in common, in each with its own contrast. So they are restored as one picture of
several bands, under the prior of the principal components of their logarithms (`restorekit.sar.polarisations`): each band has its
own likelihood, and what the prior takes for an edge is one in all of them. A pixel that is a point target in one of them is kept in
all, and what left the picture is told by the ratio images of all together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from restorekit.despeckling.block import BlockDespeckling
from restorekit.despeckling.kept import with_structure_of_all
from restorekit.despeckling.methods import despeckled_together
from restorekit.sar.polarisations import Components
from restorekit.sar.structure import RatioTest
from restorekit.scenes.block_store import Layers
from restorekit.scenes.operation import BlockPixels


@dataclass(frozen=True, eq=False)
class PolarisedDespeckling:
    """Despeckle one block of all polarisations; gives the layers of `BlockDespeckling` for each.

    A block in which one of them has no signal is despeckled band by band."""

    single: BlockDespeckling  # whose detectors share one rate of false alarms
    components: Components
    structure: RatioTest | None  # of all polarisations; None: nothing is given back

    @property
    def margin(self) -> int:
        """Return the pixels around a block that it needs."""
        return self.single.margin

    def __call__(self, blocks: Sequence[BlockPixels]) -> list[Layers]:
        """Return the layers of each polarisation, (h, w) float32 of `block.kept`; {} where it has no signal."""
        found = [self.single.read(block) for block in blocks]
        reads = [read for read in found if read is not None]
        if len(reads) < len(blocks):
            return [self.single(block) if read is not None else {} for block, read in zip(blocks, found, strict=True)]
        targets = np.logical_or.reduce([read.targets for read in reads])
        reads = [replace(read, targets=targets & read.signal[read.around.inside(read.block.window)]) for read in reads]
        speckled = [self.single.cleared(read) for read in reads]
        draws = despeckled_together(self.single.method, speckled, self.components)
        mended = with_structure_of_all(self.structure, draws, speckled)
        return [
            self.single.layers(read, block, x, returned)
            for read, block, (x, returned) in zip(reads, speckled, mended, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class Alone:
    """Despeckle a band that has none beside it."""

    single: BlockDespeckling

    @property
    def margin(self) -> int:
        """Return the pixels around a block that it needs."""
        return self.single.margin

    def __call__(self, blocks: Sequence[BlockPixels]) -> list[Layers]:
        """Return the layers of each band."""
        return [self.single(block) for block in blocks]
