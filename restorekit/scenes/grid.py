"""Blocks of a scene: squares of a fixed grid, each treated with a margin, faded into each other where they meet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restorekit.files.bands import Window


@dataclass(frozen=True)
class Grid:
    """Squares of `side` pixels from the upper left corner of a scene (height, width).

    A block sees `halo + fade` pixels more on each side. The outermost `halo` of what it gives is thrown away; over
    2 `fade` pixels neighbours fade into each other.
    """

    height: int
    width: int
    side: int = 512
    halo: int = 64
    fade: int = 32

    def __post_init__(self) -> None:
        if self.side < 2 * max(1, self.fade) or min(self.halo, self.fade) < 0:
            raise ValueError(f"side={self.side} must be at least twice fade={self.fade}, halo={self.halo} at least 0")

    @property
    def rows(self) -> int:
        return -(-self.height // self.side)

    @property
    def columns(self) -> int:
        return -(-self.width // self.side)

    def __len__(self) -> int:
        return self.rows * self.columns

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield (row, column) of each block."""
        return ((i, j) for i in range(self.rows) for j in range(self.columns))

    def core(self, i: int, j: int) -> Window:
        """Return the square itself, cut off at the border of the scene."""
        top, left = i * self.side, j * self.side
        return Window(top, left, min(self.side, self.height - top), min(self.side, self.width - left))

    def kept(self, i: int, j: int) -> Window:
        """Return the window of a block's result that counts: the square and what fades into its neighbours."""
        return self.core(i, j).padded(self.fade, self.height, self.width)

    def seen(self, i: int, j: int) -> Window:
        """Return the window that a block is computed from."""
        return self.core(i, j).padded(self.fade + self.halo, self.height, self.width)

    def weights(self, i: int, j: int) -> NDArray[np.float64]:
        """Return the weights (h, w) of the pixels of `kept`; those of all blocks add up to 1."""
        core, kept = self.core(i, j), self.kept(i, j)
        down = self._ramp(core.top, core.height, kept.top, kept.height, self.height)
        return down[:, None] * self._ramp(core.left, core.width, kept.left, kept.width, self.width)

    def _ramp(self, start: int, size: int, first: int, count: int, end: int) -> NDArray[np.float64]:
        at = np.arange(first, first + count) + 0.5
        weight, span = np.ones(count), 2 * max(1, self.fade)
        if start > 0 and self.fade:
            weight = np.minimum(weight, (at - (start - self.fade)) / span)
        if start + size < end and self.fade:
            weight = np.minimum(weight, (start + size + self.fade - at) / span)
        return weight

    def touching(self, i: int, j: int) -> Iterator[tuple[int, int]]:
        """Return the blocks that count for the pixels of a square: itself and, where they fade, those around it."""
        near = 1 if self.fade else 0
        return (
            (a, b)
            for a in range(max(0, i - near), min(self.rows, i + near + 1))
            for b in range(max(0, j - near), min(self.columns, j + near + 1))
        )
