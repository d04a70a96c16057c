"""Quality against cost as SVG: a series per solver, its name beside it, and the front that nothing beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

from restorekit.report import template
from restorekit.report.labels import Box, place

SIZE = (480, 350)  # pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 16, 50
_FONT = 13  # pixels, of names and numbers


@dataclass(frozen=True)
class Point:
    """A result of `series` at cost x > 0 with quality y, give or take `error` (NaN: not known)."""

    series: str
    x: float
    y: float
    error: float = math.nan


def pareto_front(points: Sequence[Point], best: Literal["high", "low"] = "high") -> list[Point]:
    """Return the Pareto-optimal points, by rising cost: no other is as good or better at the same or less cost."""
    sign = 1 if best == "high" else -1
    kept: list[Point] = []
    for p in sorted(points, key=lambda p: (p.x, -sign * p.y)):
        if not kept or sign * p.y > sign * kept[-1].y:
            kept.append(p)
    return kept


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers from low to high."""
    span = high - low
    ten = 10.0 ** math.floor(math.log10(span / count))
    step = next(s * ten for s in (1, 2, 2.5, 5, 10) if span / (s * ten) <= count + 1)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return numbers of one digit within low to high, of the fewest kinds that give three or more."""
    tens = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    numbers: list[float] = []
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5, 7), range(1, 10)):
        numbers = [d * 10.0**e for e in tens for d in digits if low * 0.999 <= d * 10.0**e <= high * 1.001]
        if len(numbers) >= 3:
            break
    return numbers


@dataclass(frozen=True)
class _Frame:
    """Maps values to pixels; x is logarithmic."""

    x: tuple[float, float]
    y: tuple[float, float]
    size: tuple[int, int]
    top: float

    @classmethod
    def of(cls, points: Sequence[Point], size: tuple[int, int], top: float) -> _Frame:
        xs = [math.log(p.x) for p in points]
        ends = [p.y + s * (p.error if math.isfinite(p.error) else 0) for p in points for s in (-1, 1)]
        wide, tall = max(max(xs) - min(xs), math.log(2)), max(max(ends) - min(ends), 1e-3 * abs(max(ends)), 1e-9)
        middle = (max(xs) + min(xs)) / 2
        y = (min(ends) - 0.1 * tall, max(ends) + 0.12 * tall)
        return cls((middle - 0.58 * wide, middle + 0.66 * wide), y, size, top)

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = (math.log(x) - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        left, top, right, bottom = self.box
        return round(left + across * (right - left), 1), round(bottom - up * (bottom - top), 1)

    @property
    def box(self) -> Box:
        return Box(_LEFT, self.top, self.size[0] - _RIGHT, self.size[1] - _BOTTOM)


# Of the marks of each series, so that colour is not all that tells them apart; () is a circle.
_SHAPES = (
    (),
    ((-4.2, -4.2), (4.2, -4.2), (4.2, 4.2), (-4.2, 4.2)),
    ((0, -5.5), (5.2, 4), (-5.2, 4)),
    ((0, -6), (6, 0), (0, 6), (-6, 0)),
)


def _ticks(frame: _Frame) -> dict[str, list[tuple[str, float]]]:
    """Return the numbers along both axes, each with where it stands."""
    rising = ticks(*frame.y)
    digits = max(0, -math.floor(math.log10(rising[1] - rising[0]) + 1e-9)) if len(rising) > 1 else 2
    digits += len(rising) > 1 and not math.isclose((rising[1] - rising[0]) * 10**digits % 1, 0, abs_tol=1e-6)
    left, right = (math.exp(v) for v in frame.x)
    return {
        "rising": [(f"{value:.{digits}f}", frame.at(left, value)[1]) for value in rising],
        "across": [(f"{value:.4g}", frame.at(value, frame.y[0])[0]) for value in log_ticks(left, right)],
    }


def _described(p: Point, x: str, y: str) -> str:
    error = f" ± {p.error:.3g}" if math.isfinite(p.error) else ""
    return f"{p.series}: {y} {p.y:.4g}{error}, {x} {p.x:.3g}"


def polyline(points: Sequence[tuple[float, float]]) -> str:
    """Return pixels as the attribute `points` of SVG."""
    return " ".join(f"{x},{y}" for x, y in points)


def _mark(frame: _Frame, p: Point, number: int, filled: bool, text: str) -> dict[str, Any]:
    x, y = frame.at(p.x, p.y)
    ends = [frame.at(p.x, p.y + s * p.error)[1] for s in (-1, 1)] if 0 < p.error < math.inf else []
    corners = polyline([(round(x + dx, 1), round(y + dy, 1)) for dx, dy in _SHAPES[number % 4]])
    return {"x": x, "y": y, "bar": ends, "corners": corners, "filled": filled, "text": text}


def _along(line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return points every few pixels of a line."""
    points: list[tuple[float, float]] = []
    for (x1, y1), (x2, y2) in zip(line, line[1:]):
        count = max(1, round(math.hypot(x2 - x1, y2 - y1) / 6))
        points += [(x1 + (x2 - x1) * i / count, y1 + (y2 - y1) * i / count) for i in range(1, count)]
    return points


def pareto(
    points: Sequence[Point],
    *,
    x: str,
    y: str,
    best: Literal["high", "low"] = "high",
    title: str = "",
    alone: bool = True,
    size: tuple[int, int] = SIZE,
) -> Markup:
    """Return an SVG of `points`; the axes are called x and y, and `best` says which end of y is the good one.

    On the grey band and filled: what nothing beats at its cost. Bars are `error` to either side. alone: a file by itself,
    light or dark as the reader's system is; otherwise for a page whose style holds `plot.css`. size: pixels. ValueError for no points,
    or values that cannot be drawn.
    """
    if not points or not all(math.isfinite(p.y) and 0 < p.x < math.inf for p in points):
        raise ValueError("a plot needs points with finite y and finite x above 0")
    frame = _Frame.of(points, size, _TOP + (24 if title and alone else 0))
    front = pareto_front(points, best)
    series: dict[str, list[Point]] = {p.series: [] for p in points}
    for p in sorted(points, key=lambda p: p.x):
        series[p.series].append(p)
    lines = [[frame.at(p.x, p.y) for p in ordered] for ordered in series.values()]
    steps: list[tuple[float, float]] = []
    for p in front:
        at = frame.at(p.x, p.y)
        steps += [(at[0], steps[-1][1]), at] if steps else [at]
    steps.append((frame.box.right, steps[-1][1]))
    # A name stands beside the dearest point of its series, or where there is room, then with a line to it.
    names = [name if len(name) <= 30 else f"{name[:29]}…" for name in series]
    dearest = [line[::-1] for line in lines]
    places = place(names, dearest, frame.box, _FONT, [at for line in (*dearest, steps) for at in _along(line)])
    on_front = "; ".join(_described(p, x, y) for p in front)
    return template.render_part(
        "pareto.svg", x=x, y=y, title=title, alone=alone, size=size, box=frame.box, **_ticks(frame),
        description=f"{title or y}: {y} against {x}, {best}er is better. On the front: {on_front}", front=polyline(steps),
        series=[
            (polyline(line), [_mark(frame, p, i, p in front, _described(p, x, y)) for p in ordered])
            for i, (line, ordered) in enumerate(zip(lines, series.values()))
        ], names=list(zip(names, places)),
    )  # fmt: skip
