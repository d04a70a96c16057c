"""A `Restoration` as a notebook shows it, and as a figure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from restorekit.inference.residual import Unexplained
from restorekit.inference.restoration import Restoration
from restorekit.report import panels
from restorekit.report.panels import Panel
from restorekit.report.pictures import shown_bands, shown_residual

SAMPLES = 4  # shown of many


def _span(restoration: Restoration) -> tuple[float, float]:
    """Return the values of black and white; of other numbers than pictures, their first and their last hundredth."""
    if "units" not in restoration.settings:
        return 0.0, 1.0
    low, high = (float(v) for v in np.nanpercentile(restoration.samples.detach().float().cpu().numpy(), (1, 99)))
    return low, high if high > low else low + 1.0


def _panels(restoration: Restoration) -> list[Panel]:
    low, high = _span(restoration)
    samples = restoration.samples.detach().float().cpu().numpy()
    mean = restoration.mean.detach().float().cpu().numpy()
    many = len(samples) > 1
    shown = [Panel("mean", (mean - low) / (high - low))] if many else []
    if many:
        shown += [Panel("standard deviation", np.sqrt(samples.var(0, ddof=1).mean(0)))]
    names = (f"sample {i + 1}" if many else "result" for i in range(SAMPLES))
    shown += [Panel(name, (x - low) / (high - low)) for name, x in zip(names, samples)]
    left = restoration.residual
    return (
        shown
        if left is None
        else [*shown, Panel("residual, -3 to 3 deviations", shown_residual(left.deviations.cpu().numpy()))]
    )


def _of_residual(residual: Unexplained) -> str:
    """Return the figures of a residual in words."""
    texts = ["?" if math.isnan(v) else f"{v:.2f}" for v in (*residual.misfits, residual.right, residual.below)]
    dark, middle, bright, right, below = texts
    return f"residual, in deviations of the noise: {dark} dark, {middle}, {bright} bright; neighbours share {right} right, {below} below"


def html(restoration: Restoration) -> str:
    """Return HTML for a notebook: mean, standard deviation and samples as PNG in data URIs, the line of its repr and its notes."""
    low, high = _span(restoration)
    lines = [repr(restoration), *restoration.notes]
    lines += [] if restoration.residual is None else [_of_residual(restoration.residual)]
    lines += [f"black is {low:.4g}, white {high:.4g}"] if (low, high) != (0.0, 1.0) else []
    left = shown_bands(int(restoration.samples.shape[1]))
    return panels.html(_panels(restoration), lines + ([left] if left is not None else []))


def figure(restoration: Restoration) -> Any:
    """Return a `matplotlib.figure.Figure` of the same panels. Raises `Unsupported` where matplotlib is not installed."""
    return panels.figure(_panels(restoration))
