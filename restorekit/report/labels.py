"""Names of a plot are placed beside their points, over no other point and no other name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Anchor = Literal["start", "middle", "end"]
_MARK = 7.0  # pixels around a point that belong to it
_WIDE = 0.56  # width of a letter over its height, on average


class Box(NamedTuple):
    """A rectangle on the plot."""

    left: float
    top: float
    right: float
    bottom: float

    def shared(self, other: Box) -> float:
        """Return the area in common."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        tall = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, wide) * max(0.0, tall)

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.bottom - self.top)


@dataclass(frozen=True)
class Placed:
    """It says where a name is written, with the line to its point where it is not beside it."""

    x: float
    y: float
    anchor: Anchor
    lead: tuple[float, float, float, float] | None


def _candidates(spot: tuple[float, float], wide: float, tall: float) -> list[tuple[Box, Placed, float]]:
    """Return places around a point and what each costs if it is free: first beside it, then further away with a line."""
    x, y = spot
    found = []
    for rank, distance in enumerate((9.0, 20.0, 34.0, 50.0, 68.0)):
        for turn, (dx, dy) in enumerate([(1, 0), (0, -1), (0, 1), (-1, 0), (1, -1), (1, 1), (-1, -1), (-1, 1)]):
            slant = 0.75 if dx and dy else 1.0
            cx, cy = x + dx * distance * slant, y + dy * (distance * slant + 0.35 * tall)
            left = cx if dx > 0 else cx - wide if dx < 0 else cx - wide / 2
            anchor: Anchor = "start" if dx > 0 else "end" if dx < 0 else "middle"
            lead = (x, y, round(cx, 1), round(cy, 1)) if rank else None
            placed = Placed(round(cx, 1), round(cy + 0.35 * tall, 1), anchor, lead)
            found.append((Box(left, cy - tall / 2, left + wide, cy + tall / 2), placed, 30.0 * rank + turn))
    return found


def place(
    names: Sequence[str],
    spots: Sequence[Sequence[tuple[float, float]]],
    frame: Box,
    font: float,
    lines: Sequence[tuple[float, float]] = (),
) -> list[Placed]:
    """Return a place for each name beside one of its `spots` (the first is liked best), inside `frame`, all in pixels.

    `lines` are points along lines, which are better left free too.
    Names whose points are crowded choose first. Where no place is free, the one that covers least.
    """
    marks = [Box(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for points in spots for x, y in points]
    strokes = [Box(x - 1.5, y - 1.5, x + 1.5, y + 1.5) for x, y in lines]

    def crowd(i: int) -> int:
        x, y = spots[i][0]
        around = Box(x - 60, y - 30, x + 120, y + 30)
        return -sum(around.shared(m) > 0 for m in marks)

    taken: list[Box] = []
    chosen: dict[int, Placed] = {}
    for i in sorted(range(len(names)), key=crowd):
        wide, tall = _WIDE * font * len(names[i]) + 8, 1.2 * font
        best: tuple[float, Box, Placed] | None = None
        for order, spot in enumerate(spots[i]):
            for box, placed, cost in _candidates(spot, wide, tall):
                outside = box.area - box.shared(frame)
                cost += (
                    12 * order
                    + 20 * outside
                    + sum(2 * box.shared(m) for m in marks)
                    + sum(8 * box.shared(t) for t in taken)
                )
                cost += sum(1.2 * box.shared(s) for s in strokes)
                if best is None or cost < best[0]:
                    best = cost, box, placed
        assert best is not None
        taken.append(best[1])
        chosen[i] = best[2]
    return [chosen[i] for i in range(len(names))]
