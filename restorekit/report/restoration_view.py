"""A `Restoration` as a notebook shows it, and as a figure."""

from __future__ import annotations

from typing import Any

import numpy as np

from restorekit.errors import Unsupported
from restorekit.inference.restoration import Restoration
from restorekit.report import template
from restorekit.report.pictures import PageFigure, Scale, map_uri, picture_uri, shown_bands

SAMPLES = 4  # shown of many
LARGEST = 384  # longer side in pixels, of the pictures in a notebook
SMALLEST = 128  # to which small ones are enlarged


def _arrays(restoration: Restoration) -> tuple[np.ndarray, np.ndarray | None, tuple[float, float]]:
    """(samples (N, C, H, W), deviation (H, W) over all bands or None of one sample, values of black and white)."""
    samples = restoration.samples.detach().float().cpu().numpy()
    std = None if len(samples) < 2 else np.sqrt(samples.var(0, ddof=1).mean(0))
    if "units" not in restoration.settings:
        return samples, std, (0.0, 1.0)
    low, high = (float(v) for v in np.percentile(samples, (1, 99)))  # of other numbers than pictures
    return samples, std, (low, high if high > low else low + 1.0)


def _panels(restoration: Restoration) -> tuple[list[tuple[str, np.ndarray]], np.ndarray | None, tuple[float, float]]:
    samples, std, span = _arrays(restoration)
    many = len(samples) > 1
    panels = [("mean", samples.mean(0))] if many else []
    panels += [(f"sample {i + 1}" if many else "result", x) for i, x in enumerate(samples[:SAMPLES])]
    return [(name, (x - span[0]) / (span[1] - span[0])) for name, x in panels], std, span


def html(restoration: Restoration) -> str:
    """Return HTML for a notebook: mean, standard deviation and samples as PNG in data URIs, the line of its repr and its notes."""
    panels, std, span = _panels(restoration)
    size = (int(restoration.samples.shape[-1]), int(restoration.samples.shape[-2]))
    figures = [PageFigure(picture_uri(x, LARGEST), name, size, name) for name, x in panels]
    if std is not None:
        scale = Scale.of([std], "in the unit of the picture")
        caption = f"standard deviation, 0 dark to {scale.top:.3g} light"
        figures.insert(1, PageFigure(map_uri(std, scale.top, LARGEST), "standard deviation", size, caption))
    lines = [repr(restoration), *restoration.notes]
    lines += [f"black is {span[0]:.4g}, white {span[1]:.4g}"] if span != (0.0, 1.0) else []
    left = shown_bands(int(restoration.samples.shape[1]))
    lines += [left] if left is not None else []
    return template.render("restoration.html", figures=figures, lines=lines, scale=max(1, -(-SMALLEST // max(size))))


def figure(restoration: Restoration) -> Any:
    """Return a `matplotlib.figure.Figure` of the same panels. Raises `Unsupported` where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure  # type: ignore[import-not-found]
    except ImportError as error:
        raise Unsupported(
            "plot needs matplotlib, which is not installed: pip install matplotlib; save(path) writes a picture without it"
        ) from error
    panels, std, _ = _panels(restoration)
    count = len(panels) + (std is not None)
    drawn = Figure(figsize=(3 * count, 3.4), layout="constrained")
    axes = list(drawn.subplots(1, count, squeeze=False)[0])
    for axis, (name, x) in zip(axes, panels):
        shown = x if len(x) in (1, 3) else x[: 3 if len(x) > 3 else 1]
        axis.imshow(np.clip(shown.transpose(1, 2, 0), 0, 1).squeeze(), cmap="gray", vmin=0, vmax=1)
        axis.set_title(name)
    if std is not None:
        held = axes[-1].imshow(std, cmap="viridis", vmin=0)
        axes[-1].set_title("standard deviation")
        drawn.colorbar(held, ax=axes[-1])
    for axis in axes:
        axis.set_axis_off()
    return drawn
