"""Histogram of a ratio as SVG, over the density of the gamma law that speckle has."""

from __future__ import annotations

import math

import numpy as np
import scipy
from markupsafe import Markup

from restorekit.report import template
from restorekit.report.labels import Box
from restorekit.report.plot import polyline, ticks

SIZE = (480, 300)  # pixels
BOX = Box(44.0, 12, 468.0, 256)  # of the axes
BINS = 64


def density(values: np.ndarray, looks: float) -> Markup:
    """Return an SVG of the histogram of `values` (N,), mean 1 if all is well, and of Gamma(looks), for a page whose style
    holds `plot.css` and `despeckled.css`.
    """
    spread = 1 / math.sqrt(looks)
    low, high = max(0.0, 1 - 4 * spread), 1 + 5 * spread
    counts, edges = np.histogram(values, BINS, (low, high))
    bars = counts / max(values.size, 1) / (edges[1] - edges[0])
    at = np.linspace(low, high, 257)[1:]  # the law of few looks has no finite density at 0
    law = scipy.stats.gamma.pdf(at, looks, scale=1 / looks)
    top = 1.08 * max(
        float(bars.max()), min(float(law.max()), 2 * float(scipy.stats.gamma.pdf(1, looks, scale=1 / looks)))
    )
    outside = 1 - counts.sum() / max(values.size, 1)

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = (x - low) / (high - low), min(y / top, 1.0)
        left, upper, right, lower = BOX
        return round(left + across * (right - left), 1), round(upper + (1 - up) * (lower - upper), 1)

    steps = [place(x, y) for i, y in enumerate(bars) for x in (edges[i], edges[i + 1])]
    mean = values.mean() if values.size else math.nan
    legend = [("this scene", "s0"), (f"speckle of {looks:.3g} looks", "s1")]
    legend += [(f"{outside:.1%} beyond", "axis")] if outside >= 5e-4 else []
    return template.render_part(
        "density.svg", size=SIZE, box=BOX, legend=legend,
        description=f"Histogram of measured / restored, mean {mean:.3f}, beside the density of Gamma({looks:.3g})",
        rising=[(f"{value:.3g}", place(low, value)[1]) for value in ticks(0, top, 4)],
        across=[(f"{value:.3g}", place(value, 0)[0]) for value in ticks(low, high, 6)],
        area=polyline([*steps, place(high, 0), place(low, 0)]), steps=polyline(steps),
        law=polyline([place(float(x), float(y)) for x, y in zip(at, law)]),
    )  # fmt: skip
