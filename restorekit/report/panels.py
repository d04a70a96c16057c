"""Results show themselves as pictures side by side: in a notebook, and as a figure of matplotlib."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from restorekit.errors import Unsupported
from restorekit.report import template
from restorekit.report.pictures import PageFigure, map_uri, picture_uri, round_up

LARGEST = 384  # longer side in pixels, of the pictures in a notebook
SMALLEST = 128  # to which small ones are enlarged


@dataclass(frozen=True, eq=False)
class Panel:
    """A picture (C, H, W), 0 black and 1 white, NaN black; or a map (H, W) of numbers above 0, in colours with a scale."""

    name: str
    values: np.ndarray

    @property
    def is_map(self) -> bool:
        return self.values.ndim == 2

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) in pixels."""
        return self.values.shape[-1], self.values.shape[-2]

    def page_figure(self) -> PageFigure:
        """Return it as a PNG in a data URI with its caption."""
        if not self.is_map:
            return PageFigure(picture_uri(self.values, LARGEST), self.name, self.size, self.name)
        values = np.nan_to_num(self.values)
        top = round_up(float(np.percentile(values, 99.5)))
        caption = f"{self.name}, 0 dark to {top:.3g} light"
        return PageFigure(map_uri(values, top, LARGEST), self.name, self.size, caption)


class Panelled(ABC):
    """A result that shows itself as pictures: a subclass gives `panels`, and its `notes` are read below them."""

    notes: tuple[str, ...]

    @abstractmethod
    def panels(self) -> list[Panel]:
        """Return the pictures that are shown, one after the other."""

    def plot(self) -> Any:
        """Return a figure of matplotlib with the pictures. Raises `Unsupported` where matplotlib is not installed."""
        return figure(self.panels())

    def _repr_html_(self) -> str:
        return html(self.panels(), [repr(self), *self.notes])


def html(panels: Sequence[Panel], lines: Sequence[str]) -> str:
    """Return HTML for a notebook: the panels as PNG in data URIs, with lines of text below."""
    largest = max((max(panel.size) for panel in panels), default=SMALLEST)
    figures = [panel.page_figure() for panel in panels]
    return template.render("restoration.html", figures=figures, lines=lines, scale=max(1, -(-SMALLEST // largest)))


def figure(panels: Sequence[Panel]) -> Any:
    """Return a `matplotlib.figure.Figure` of the panels. Raises `Unsupported` where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure  # type: ignore[import-not-found]
    except ImportError as error:
        raise Unsupported(
            "plot needs matplotlib, which is not installed: pip install matplotlib; save(path) writes a picture without it"
        ) from error
    drawn = Figure(figsize=(3 * max(1, len(panels)), 3.4), layout="constrained")
    for axis, panel in zip(drawn.subplots(1, max(1, len(panels)), squeeze=False)[0], panels):
        x = panel.values
        if panel.is_map:
            drawn.colorbar(axis.imshow(x, cmap="viridis", vmin=0), ax=axis, shrink=0.8)
        else:
            seen = np.clip(np.nan_to_num(x if len(x) in (1, 3) else x[: 3 if len(x) > 3 else 1]), 0, 1)
            axis.imshow(seen[0] if len(seen) == 1 else seen.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=1)
        axis.set_title(panel.name)
        axis.set_axis_off()
    return drawn
