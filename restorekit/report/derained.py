"""The page of a deraining: the pictures side by side, what was repaired, and by how much it changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from restorekit.report import template
from restorekit.report.pictures import PageFigure, Scale, map_uri, picture_uri

LARGEST = 1200  # pixels, longer side of a picture in the page


def render(
    name: str, pictures: Mapping[str, np.ndarray], change: np.ndarray, facts: Sequence[tuple[str, str]], command: str
) -> str:
    """Return the page. pictures and change (C, H, W) of one size, white = 1."""
    size = (change.shape[2], change.shape[1])
    figures = [PageFigure(picture_uri(x, LARGEST), title, size, title, name=title) for title, x in pictures.items()]
    difference = np.abs(change).mean(0)
    end = Scale.of([difference], "").top
    figures.append(PageFigure(map_uri(difference, end, LARGEST), "Change", size, "Change", f" up to {end:g} of white"))
    return template.render(
        "derained.html", name=name, about="derained", over="restorekit derain", facts=facts, command=command, notes=(),
        aspect=f"{size[0] / size[1]:.4f}", pictures=figures,
    )  # fmt: skip
