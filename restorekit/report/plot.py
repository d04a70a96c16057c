"""Quality against cost as SVG: a series per solver, its name beside it, and the front that nothing beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from restorekit.report.html import Html, join, tag
from restorekit.report.labels import Box, place

SIZE = (480, 350)  # pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 16, 50
_FONT = 13  # pixels, of names and numbers
# Dark enough for text on white, light enough for text on black: at least 4.5 : 1 on the grounds of the reports.
_LIGHT = ("#1f55b5", "#b0430c", "#1a7040", "#7a3fb0", "#0b6c80", "#ad1f66", "#7a5800", "#4d5560")
_DARK = ("#8fb4f5", "#f2a477", "#74cf92", "#cba8f4", "#62c8dc", "#f392c0", "#dcbd5f", "#b6bcc4")
SERIES = len(_LIGHT)

CSS = "".join(
    [
        ".plot { display: block; width: 100%; height: auto; max-width: 540px; overflow: visible; }\n",
        ".plot text { font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif; fill: currentColor; }\n",
        ".plot .name { paint-order: stroke; stroke: var(--behind, var(--ground)); stroke-width: 3px; stroke-linejoin: round; }\n",
        ".plot .axis { color: var(--muted); } .plot .grid { stroke: var(--line); stroke-width: 1; }\n",
        ".plot .front { fill: none; stroke: var(--muted); stroke-width: 5; stroke-opacity: 0.28; stroke-linejoin: round; }\n",
        ".plot .series { fill: none; stroke: currentColor; stroke-width: 1.5; stroke-opacity: 0.75; }\n",
        ".plot .error { stroke: currentColor; stroke-width: 1; stroke-opacity: 0.6; }\n",
        ".plot .mark { fill: var(--sheet); stroke: currentColor; stroke-width: 1.8; } .plot .on { fill: currentColor; }\n",
        ".plot .lead { stroke: currentColor; stroke-width: 0.8; stroke-opacity: 0.7; }\n",
        *(f".plot .s{i} {{ color: var(--s{i}); }}\n" for i in range(SERIES)),
    ]
)


def _variables(colours: Sequence[str]) -> str:
    return " ".join(f"--s{i}: {c};" for i, c in enumerate(colours))


# In a page: its script may set the theme against the wish of the system, as page.css knows.
PAGE_CSS = (
    (
        f":root {{ {_variables(_LIGHT)} }}\n"
        f'@media screen and (prefers-color-scheme: dark) {{ :root:not([data-theme="light"]) {{ {_variables(_DARK)} }} }}\n'
        f'@media screen {{ :root[data-theme="dark"] {{ {_variables(_DARK)} }} }}\n'
    )
    + CSS
    + "@media (max-width: 640px) { .plot text { font-size: 15px; } }\n"
)
# By itself: without a ground of its own, so that it sits on that of the page it is put in.
_ALONE = (
    f"svg {{ --muted: #57606a; --line: #d8dee4; --sheet: #ffffff; --behind: #ffffff; --ink: #1f2328; color: var(--ink); {_variables(_LIGHT)} }}\n"
    "@media (prefers-color-scheme: dark) { svg { --muted: #9aa4af; --line: #30363d; --sheet: #0d1117; --behind: #0d1117; --ink: #e6edf3; "
    f"{_variables(_DARK)} }} }}\n.plot .title {{ font-weight: 600; font-size: 15px; }}\n"
) + CSS


@dataclass(frozen=True)
class Point:
    """A result of `series` at cost x > 0 with quality y, give or take `error` (NaN: not known)."""

    series: str
    x: float
    y: float
    error: float = math.nan


def front(points: Sequence[Point], best: Literal["high", "low"] = "high") -> list[Point]:
    """Those that no other beats or equals in quality at the same or less cost, by rising cost."""
    sign = 1 if best == "high" else -1
    kept: list[Point] = []
    for p in sorted(points, key=lambda p: (p.x, -sign * p.y)):
        if not kept or sign * p.y > sign * kept[-1].y:
            kept.append(p)
    return kept


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers from low to high."""
    span = high - low
    ten = 10.0 ** math.floor(math.log10(span / count))
    step = next(s * ten for s in (1, 2, 2.5, 5, 10) if span / (s * ten) <= count + 1)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Numbers of one digit within low to high, the fewest kinds of which give three or more."""
    tens = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5, 7), range(1, 10)):
        found = [d * 10.0**e for e in tens for d in digits if low * 0.999 <= d * 10.0**e <= high * 1.001]
        if len(found) >= 3:
            break
    return found


@dataclass(frozen=True)
class _Frame:
    """From values to pixels; x is logarithmic."""

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


def _mark(kind: int, x: float, y: float, filled: bool, said: str) -> Html:
    """A shape of its own for each series, so that colour is not all that tells them apart."""
    classes, title = "mark on" if filled else "mark", tag("title", said)
    if kind % 4 == 0:
        return tag("circle", title, cx=x, cy=y, r=4.5, class_=classes)
    corners = {
        1: ((-4.2, -4.2), (4.2, -4.2), (4.2, 4.2), (-4.2, 4.2)),
        2: ((0, -5.5), (5.2, 4), (-5.2, 4)),
        3: ((0, -6), (6, 0), (0, 6), (-6, 0)),
    }[kind % 4]
    path = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return tag("polygon", title, points=path, class_=classes)


def _axes(frame: _Frame, x: str, y: str) -> list[Html]:
    parts, box = [], frame.box
    rising = ticks(*frame.y)
    digits = max(0, -math.floor(math.log10(rising[1] - rising[0]) + 1e-9)) if len(rising) > 1 else 2
    digits += len(rising) > 1 and not math.isclose((rising[1] - rising[0]) * 10**digits % 1, 0, abs_tol=1e-6)
    for value in rising:
        _, at = frame.at(math.exp(frame.x[0]), value)
        parts.append(tag("line", x1=box.left, x2=box.right, y1=at, y2=at, class_="grid"))
        parts.append(tag("text", f"{value:.{digits}f}", x=box.left - 8, y=at + 4.5, text_anchor="end", class_="axis"))
    for value in log_ticks(*(math.exp(v) for v in frame.x)):
        at, _ = frame.at(value, frame.y[0])
        parts.append(tag("line", x1=at, x2=at, y1=box.bottom, y2=box.bottom + 4, class_="grid"))
        parts.append(tag("text", f"{value:.4g}", x=at, y=box.bottom + 19, text_anchor="middle", class_="axis"))
    parts.append(tag("line", x1=box.left, x2=box.right, y1=box.bottom, y2=box.bottom, class_="grid"))
    parts.append(tag("text", x, x=(box.left + box.right) / 2, y=frame.size[1] - 8, text_anchor="middle", class_="axis"))
    middle = (box.top + box.bottom) / 2
    parts.append(
        tag("text", y, x=14, y=middle, text_anchor="middle", transform=f"rotate(-90 14 {middle:g})", class_="axis")
    )
    return parts


def _said(p: Point, x: str, y: str) -> str:
    error = f" ± {p.error:.3g}" if math.isfinite(p.error) else ""
    return f"{p.series}: {y} {p.y:.4g}{error}, {x} {p.x:.3g}"


def _series(frame: _Frame, points: Sequence[Point], number: int, fronts: set[Point], x: str, y: str) -> Html:
    ordered = sorted(points, key=lambda p: p.x)
    line = " ".join("{},{}".format(*frame.at(p.x, p.y)) for p in ordered)
    parts = [tag("polyline", points=line, class_="series")] if len(ordered) > 1 else []
    for p in ordered:
        px, py = frame.at(p.x, p.y)
        if math.isfinite(p.error) and p.error > 0:
            ends = [frame.at(p.x, p.y + s * p.error)[1] for s in (-1, 1)]
            parts.append(tag("line", x1=px, x2=px, y1=ends[0], y2=ends[1], class_="error"))
        parts.append(_mark(number, px, py, p in fronts, _said(p, x, y)))
    return tag("g", *parts, class_=f"s{number % SERIES}")


def _along(line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points every few pixels."""
    found: list[tuple[float, float]] = []
    for (x1, y1), (x2, y2) in zip(line, line[1:]):
        count = max(1, round(math.hypot(x2 - x1, y2 - y1) / 6))
        found += [(x1 + (x2 - x1) * i / count, y1 + (y2 - y1) * i / count) for i in range(1, count)]
    return found


def _names(
    frame: _Frame, series: Sequence[tuple[str, Sequence[Point]]], step: Sequence[tuple[float, float]]
) -> list[Html]:
    """Beside the dearest point of each, or where there is room, then with a line to it."""
    spots = [[frame.at(p.x, p.y) for p in sorted(ps, key=lambda p: -p.x)] for _, ps in series]
    shown = [name if len(name) <= 30 else f"{name[:29]}…" for name, _ in series]
    lines = [at for line in (*spots, step) for at in _along(line)]
    parts = []
    for i, (name, found) in enumerate(zip(shown, place(shown, spots, frame.box, _FONT, lines))):
        if found.lead is not None:
            x1, y1, x2, y2 = found.lead
            parts.append(tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=f"lead s{i % SERIES}"))
        parts.append(tag("text", name, x=found.x, y=found.y, text_anchor=found.anchor, class_=f"name s{i % SERIES}"))
    return parts


def pareto(
    points: Sequence[Point],
    *,
    x: str,
    y: str,
    best: Literal["high", "low"] = "high",
    title: str = "",
    alone: bool = True,
    size: tuple[int, int] = SIZE,
) -> Html:
    """An SVG of `points`; the axes are called x and y, and `best` says which end of y is the good one.

    On the grey band and filled: what nothing beats at its cost. Bars are `error` to either side. alone: a file by itself,
    light or dark as the reader's system is; otherwise for a page whose style holds `PAGE_CSS`. size: pixels. ValueError for no points,
    or values that cannot be drawn.
    """
    if not points or not all(math.isfinite(p.y) and 0 < p.x < math.inf for p in points):
        raise ValueError("a plot needs points with finite y and finite x above 0")
    frame = _Frame.of(points, size, _TOP + (24 if title and alone else 0))
    fronts = front(points, best)
    names = list(dict.fromkeys(p.series for p in points))
    series = [(n, [p for p in points if p.series == n]) for n in names]
    corners: list[tuple[float, float]] = []
    for p in fronts:
        at = frame.at(p.x, p.y)
        corners += [(at[0], corners[-1][1]), at] if corners else [at]
    corners.append((frame.box.right, corners[-1][1]))
    said = f"{title or y}: {y} against {x}, {best}er is better. On the front: " + "; ".join(
        _said(p, x, y) for p in fronts
    )
    body = join(
        tag("title", title or f"{y} against {x}"),
        tag("desc", said),
        Html(f"<style>{_ALONE}</style>") if alone else None,
        tag("text", title, x=_LEFT, y=22, class_="title") if title and alone else None,
        _axes(frame, x, y),
        tag("polyline", points=" ".join(f"{a},{b}" for a, b in corners), class_="front"),
        [_series(frame, ps, i, set(fronts), x, y) for i, (_, ps) in enumerate(series)],
        _names(frame, series, corners),
    )
    names_space = {"xmlns": "http://www.w3.org/2000/svg"} if alone else {}
    return tag("svg", body, viewBox=f"0 0 {size[0]} {size[1]}", class_="plot", role="img", aria_label=said,
               **({"width": size[0], "height": size[1]} if alone else {}), **names_space)  # fmt: skip
