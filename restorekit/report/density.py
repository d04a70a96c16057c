"""Histogram of a ratio as SVG, over the density of the gamma law that speckle has."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from restorekit.report.html import Html, join, tag
from restorekit.report.plot import ticks

SIZE = (480, 300)  # pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 44
BINS = 64
CSS = ".plot .under { fill: currentColor; fill-opacity: 0.16; } .plot .law { stroke-width: 2; }\n"  # beside `PAGE_CSS`
Place = Callable[[float, float], tuple[float, float]]


def density(values: np.ndarray, looks: float) -> Html:
    """An SVG of the histogram of `values` (N,), mean 1 if all is well, and of Gamma(looks), for a page that holds the CSS of plots and this."""
    spread = 1 / math.sqrt(looks)
    low, high = max(0.0, 1 - 4 * spread), 1 + 5 * spread
    counts, edges = np.histogram(values, BINS, (low, high))
    bars = counts / max(values.size, 1) / (edges[1] - edges[0])
    at = np.linspace(low, high, 257)[1:]  # the law of few looks has no finite density at 0
    law = stats.gamma.pdf(at, looks, scale=1 / looks)
    top = 1.08 * max(float(bars.max()), min(float(law.max()), 2 * float(stats.gamma.pdf(1, looks, scale=1 / looks))))
    outside = 1 - counts.sum() / max(values.size, 1)

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = (x - low) / (high - low), min(y / top, 1.0)
        width, height = SIZE[0] - _LEFT - _RIGHT, SIZE[1] - _TOP - _BOTTOM
        return round(_LEFT + across * width, 1), round(_TOP + (1 - up) * height, 1)

    steps = [place(x, y) for i, y in enumerate(bars) for x in (edges[i], edges[i + 1])]
    ground = [place(high, 0), place(low, 0)]
    said = f"Histogram of measured / restored, mean {values.mean() if values.size else math.nan:.3f}, beside the density of Gamma({looks:.3g})"
    legend = (SIZE[0] - _RIGHT - 8, _TOP + 14)
    body = join(
        tag("title", said),
        _axes(place, low, high, top),
        tag("polygon", points=_points([*steps, *ground]), class_="under s0"),
        tag("polyline", points=_points(steps), class_="series s0"),
        tag("polyline", points=_points([place(float(x), float(y)) for x, y in zip(at, law)]), class_="series law s1"),
        tag("text", "this scene", x=legend[0], y=legend[1], text_anchor="end", class_="s0"),
        tag("text", f"speckle of {looks:.3g} looks", x=legend[0], y=legend[1] + 18, text_anchor="end", class_="s1"),
        tag("text", f"{outside:.1%} beyond", x=legend[0], y=legend[1] + 36, text_anchor="end", class_="axis") if outside >= 5e-4 else None,
    )  # fmt: skip
    return tag("svg", body, viewBox=f"0 0 {SIZE[0]} {SIZE[1]}", class_="plot", role="img", aria_label=said)


def _points(line: list[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in line)


def _axes(place: Place, low: float, high: float, top: float) -> list[Html]:
    parts = []
    for value in ticks(0, top, 4):
        (left, y), (right, _) = place(low, value), place(high, value)
        parts.append(tag("line", x1=left, x2=right, y1=y, y2=y, class_="grid"))
        parts.append(tag("text", f"{value:.3g}", x=left - 6, y=y + 4.5, text_anchor="end", class_="axis"))
    for value in ticks(low, high, 6):
        x, y = place(value, 0)
        parts.append(tag("line", x1=x, x2=x, y1=y, y2=y + 4, class_="grid"))
        parts.append(tag("text", f"{value:.3g}", x=x, y=y + 19, text_anchor="middle", class_="axis"))
    middle = (_LEFT + SIZE[0] - _RIGHT) / 2
    parts.append(tag("text", "measured / restored", x=middle, y=SIZE[1] - 8, text_anchor="middle", class_="axis"))
    return parts
