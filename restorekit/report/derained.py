"""The page of a deraining: the pictures side by side, what was repaired, and by how much it changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from restorekit.report.cards import facts as fact_list
from restorekit.report.comparison import command_line
from restorekit.report.html import tag
from restorekit.report.page import document
from restorekit.report.pictures import Scale, figure, image, map_uri, picture_uri

LARGEST = 1200  # pixels, longer side of a picture in the page


def render(
    name: str, pictures: Mapping[str, np.ndarray], change: np.ndarray, facts: Sequence[tuple[str, str]], command: str
) -> str:
    """pictures and change (C, H, W) of one size, white = 1. The page fetches nothing."""
    h, w = change.shape[1:]
    figures = [
        figure(image(picture_uri(x, LARGEST), title, (w, h), data_name=title), tag("b", title))
        for title, x in pictures.items()
    ]
    moved = np.abs(change).mean(0)
    scale = Scale.of([moved], "as a fraction of white")
    figures.append(
        figure(
            image(map_uri(moved, scale.top, LARGEST), "Change", (w, h)),
            tag("b", "Change"),
            f" up to {scale.top:g} of white",
        )
    )
    header = tag(
        "header", tag("p", "restorekit derain", class_="over"), tag("h1", name), fact_list(facts), command_line(command)
    )
    body = tag("section", tag("h2", "Side by side"), tag("div", *figures, class_="beside"), class_="inputs")
    return document(f"{name}: derained", header, body, css=f":root {{ --aspect: {w / h:.4f}; }}\n")
