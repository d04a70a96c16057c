"""Bursts of a TOPS image become one image: each line of it lies at a time, and comes from the burst that saw it best.

Two bursts see the same ground where they overlap; the seam lies in the middle of the lines that both have valid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from restorekit.products.sentinel1_annotation import NANO, Annotation, Bursts, GridPoint


@dataclass(frozen=True)
class Piece:
    """Rows first .. last - 1 of the joined image are the lines of the file from `line` on, burst number `burst`."""

    first: int
    last: int
    line: int
    burst: int


@dataclass(frozen=True, eq=False)
class JoinedImage:
    """The image as it lies on the ground; without bursts it is that of the file."""

    annotation: Annotation

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Return the rows (n,) of the first lines of bursts."""
        bursts = self._bursts
        seconds = (bursts.starts - bursts.starts[0]) * NANO
        return np.rint(seconds / self.annotation.interval).astype(np.int64)

    @property
    def _bursts(self) -> Bursts:
        assert self.annotation.bursts is not None
        return self.annotation.bursts

    @property
    def height(self) -> int:
        """Return the number of rows, from the first line of the first burst to the last of the last."""
        if self.annotation.bursts is None:
            return self.annotation.lines
        return int(self.offsets[-1]) + self._bursts.lines

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """Return what each burst gives, from top to bottom; rows of no piece were not seen."""
        if self.annotation.bursts is None:
            return (Piece(0, self.annotation.lines, 0, 0),)
        each, valid = self._bursts.lines, self._bursts.first >= 0
        seen = [n for n in range(len(valid)) if valid[n].any()]
        starts = {n: int(self.offsets[n]) for n in seen}
        lines = {n: np.flatnonzero(valid[n]) for n in seen}
        # A seam lies in the middle, between the first valid row of the lower burst and behind the last of the upper one.
        seams = [
            (starts[n] + int(lines[n][-1]) + 1 + starts[m] + int(lines[m][0]) + 1) // 2 for n, m in zip(seen, seen[1:])
        ]
        pieces = []
        for n, top, bottom in zip(seen, [0, *seams], [*seams, self.height]):
            first, last = max(top, starts[n]), min(bottom, starts[n] + each)
            if first < last:
                pieces.append(Piece(first, last, n * each + first - starts[n], n))
        return tuple(pieces)

    def within(self, top: int, height: int) -> list[Piece]:
        """Return the pieces of rows top .. top + height - 1, cut to them."""
        cut = []
        for p in self.pieces:
            first, last = max(p.first, top), min(p.last, top + height)
            if first < last:
                cut.append(Piece(first, last, p.line + first - p.first, p.burst))
        return cut

    def valid(self, piece: Piece, left: int, width: int) -> NDArray[np.bool_]:
        """Return (rows of the piece, width), True where the annotation says that samples from `left` on are valid."""
        line = piece.line - piece.burst * self._bursts.lines
        lines = slice(line, line + piece.last - piece.first)
        samples = np.arange(left, left + width)
        first, last = (x[piece.burst, lines, None] for x in (self._bursts.first, self._bursts.last))
        return (first >= 0) & (samples >= first) & (samples <= last)

    def row(self, point: GridPoint) -> float:
        """Return the row of a point of the grid of places: by its time where there are bursts, else its line."""
        if self.annotation.bursts is None:
            return point.line
        return (point.time - int(self._bursts.starts[0])) * NANO / self.annotation.interval
