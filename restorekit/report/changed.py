"""The page of a map of change: the change in dB, how sure it is, where it is none of chance, and what was checked before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restorekit.report import template
from restorekit.report.despeckled import LARGEST, block_mean
from restorekit.report.pictures import PageFigure, map_uri, picture_uri, round_up

Array = NDArray[np.floating]
LEAST = 3.0  # dB, least end of the scale of a change


@dataclass(frozen=True, eq=False)
class BandChange:
    """A band of a map: change, and the ends of its 90 % interval, (H, W) in dB, NaN where nothing is known, and where it is called a
    change; facts: what is said of the band, in pairs."""

    name: str
    change: Array
    low: Array
    high: Array
    changed: NDArray[np.bool_]
    facts: Sequence[tuple[str, str]] = ()


def render(
    bands: Sequence[BandChange],
    *,
    name: str,
    facts: Sequence[tuple[str, str]] = (),
    command: str | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Return the whole page. Maps above 1200 pixels a side are shown by means of blocks, a mask where a block holds any."""
    parts = [
        {
            "title": band.name if len(bands) > 1 else "",
            "facts": [*band.facts, *_figures(band)],
            "figures": _pictures(band),
        }
        for band in bands
    ]
    return template.render(
        "changed.html",
        name=name,
        about="change",
        over="restorekit change",
        facts=facts,
        command=command,
        notes=notes,
        bands=parts,
    )


def _figures(band: BandChange) -> list[tuple[str, str]]:
    known = np.isfinite(band.change)
    count, every = int((band.changed & known).sum()), int(known.sum())
    found = [("called changed", f"{count} of {every} pixels ({100 * count / max(every, 1):.2g} %)")]
    if every:
        width = (band.high - band.low)[known]
        found.append(("90 % interval, median width", f"{float(np.median(width)):.2f} dB"))
    return found


def _pictures(band: BandChange) -> list[PageFigure]:
    h, w = band.change.shape
    k = math.ceil(max(h, w) / LARGEST)
    known = np.isfinite(band.change)
    change, there = block_mean(np.where(known, band.change, 0.0), known, k)
    width, _ = block_mean(np.where(known, band.high - band.low, 0.0), known, k)
    marked = block_mean((band.changed & known).astype(np.float64), np.ones_like(known), k)[0] > 0
    end = max(LEAST, round_up(float(np.percentile(np.abs(change[there]), 99.5)) if there.any() else LEAST))
    top = round_up(float(np.percentile(width[there], 99.5)) if there.any() else 1.0)
    shown = f", means of {k} × {k} pixels" if k > 1 else ""
    holes = "" if known.all() else "; grey where one date was not measured"
    pictures = (
        ("Change", f"second date over first, -{end:g} dB blue to +{end:g} dB red{shown}{holes}", picture_uri(diverging(change / end, there))),
        ("Interval", f"width of its 90 % interval, 0 dark to {top:g} dB light{shown}", map_uri(np.where(there, width, 0), top)),
        ("Changed", "white: none of chance, at the stated rate", picture_uri(marked.astype(np.float64)[None])),
    )  # fmt: skip
    return [
        PageFigure(uri, f"{band.name}, {title.lower()}", (w, h), title, f" · {text}", name=title, lazy=False)
        for title, text, uri in pictures
    ]


def diverging(x: Array, there: NDArray[np.bool_]) -> Array:
    """Return x (H, W) as colours (3, H, W) in [0, 1]: -1 blue, 0 white, 1 red, each end as dark as the other; grey where not `there`."""
    x = np.clip(x, -1, 1)[None]
    blue, red = (np.array(c)[:, None, None] for c in ((0.13, 0.35, 0.68), (0.70, 0.16, 0.13)))
    colours = np.where(x < 0, 1 + x * (1 - blue), 1 - x * (1 - red))
    return np.where(there, colours, 0.5)
