"""The page of a despeckled scene: what was measured and restored, their ratio, its histogram, and figures with what each should be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.report import template
from restorekit.report.density import density
from restorekit.report.pictures import PageFigure, map_uri, picture_uri, round_up
from restorekit.report.table import PageTable, TableColumn, TableRow
from restorekit.sar.assessment import Assessment, Wanted, assess
from restorekit.sar.looks import Array, Mask
from restorekit.sar.quality import Pair

LARGEST = 1200  # pixels, longer side of the pictures
DRAWN = 2_000_000  # values of the ratio that its histogram is made of


@dataclass(frozen=True, eq=False)
class BandPage:
    """Intensities (H, W) of a band, measured and restored, where they are valid; `std` of restored, in its unit."""

    name: str
    measured: Array
    restored: Array
    valid: Mask
    assessment: Assessment
    std: Array | None = None
    std_of: str = "intensity"
    mask: NDArray[np.uint8] | None = None  # 1 where a target was kept, 2 where structure was given back


def page(
    measured: Array,
    restored: Array,
    valid: Mask,
    looks: float | None,
    std: Array | None = None,
    facts: Mapping[str, str] | None = None,
    name: str = "Despeckled scene",
) -> str:
    """Return the page of one band (H, W) of intensities. looks: None to measure them; BadInput where that is not possible."""
    band = BandPage(name, measured, restored, valid, assess(measured, restored, valid, Wanted(looks)), std)
    return render([band], name=name, facts=list((facts or {}).items()))


def render(
    bands: Sequence[BandPage],
    *,
    name: str,
    facts: Sequence[tuple[str, str]] = (),
    over: str = "restorekit despeckle",
    command: str | None = None,
) -> str:
    """Return the whole page. Scenes above 1200 pixels a side are shown by means of blocks of intensity."""
    return template.render(
        "despeckled.html", name=name, about="despeckled", over=over, facts=facts, command=command, notes=(),
        bands=[_part(b, alone=len(bands) == 1 and b.name == name) for b in bands],
    )  # fmt: skip


def _part(b: BandPage, *, alone: bool) -> dict[str, Any]:
    """Return what the template shows of a band; alone: its name is that of the page."""
    measured, looks = b.assessment.measured, b.assessment.looks
    given = measured is None or looks != measured.looks
    speckle = [("looks", f"{looks:.2f}, {'given' if given else 'measured'}")]
    if measured is not None:
        down, across = measured.lag_one
        speckle += [("looks measured", f"{measured.looks:.2f}")] if given else []
        speckle += [
            ("looks by moments", f"{measured.by_moments:.2f}"),
            ("correlation with the next row, column", f"{down:.2f}, {across:.2f}"),
            ("looks effective", f"{measured.effective:.2f}"),
        ]
    ratio = Pair(b.measured, b.restored, b.valid).ratio[b.valid & (b.restored > 0)]
    rows = [TableRow([f.title, f.text, f.should]) for f in b.assessment.figures]
    columns = [TableColumn(label, digits=None) for label in ("figure", "here", "should be")]
    return {
        "title": "" if alone else b.name, "figures": _pictures(b), "speckle": speckle, "notes": b.assessment.notes,
        "table": PageTable(columns, rows, f"Figures of {b.name}"), 
        "levels": _levels(b), "histogram": density(ratio[:: max(1, ratio.size // DRAWN)], looks),
    }  # fmt: skip


def _levels(b: BandPage) -> PageTable | None:
    """Return the bias of each tenth, with its standard error, for each size of cells; None without any."""
    if not b.assessment.levels:
        return None
    columns = [TableColumn("cells", digits=None), *(TableColumn(str(n), digits=None) for n in range(1, 11))]
    rows = [
        TableRow([f"{bias.side}x{bias.side}", *(f"{v:+.2f} ± {e:.2f}" for v, e in zip(bias.bias, bias.error))])
        for bias in b.assessment.levels
    ]
    return PageTable(columns, rows, f"Levels of {b.name}")


def block_mean(x: Array, valid: Mask, k: int) -> tuple[Array, Mask]:
    """Return means of the valid pixels of blocks of k x k, those at the edge cut off, and which blocks have any."""
    if k == 1:
        return np.where(valid, x, 0.0), valid
    rows, columns = (np.arange(0, n, k) for n in x.shape)

    def total(a: Array) -> Array:
        return np.add.reduceat(np.add.reduceat(a, rows, axis=0), columns, axis=1)

    count = total(valid.astype(np.float64))
    return total(np.where(valid, x, 0.0)) / np.maximum(count, 1), count > 0


def _pictures(b: BandPage) -> list[PageFigure]:
    h, w = b.measured.shape
    k = math.ceil(max(h, w) / LARGEST)
    (y, there), (x, _), (ratio, _) = (
        block_mean(a, b.valid, k) for a in (b.measured, b.restored, Pair(b.measured, b.restored, b.valid).ratio)
    )
    amplitudes = [np.sqrt(np.maximum(a, 0)) for a in (y, x)]
    low, high = (float(v) for v in np.percentile(np.stack([a[there] for a in amplitudes]), (1, 99)))
    span = max(high - low, 1e-30)
    spread = 3 / math.sqrt(b.assessment.looks * k**2)  # what is left of speckle in a mean of k x k pixels
    bottom, top = (math.sqrt(max(0.0, 1 + s * spread)) for s in (-1, 1))
    shown = f" of blocks of {k} × {k} pixels" if k > 1 else ""
    holes = "" if b.valid.all() else "; black too where nothing is valid"
    texts = (
        ("Measured", f"amplitude{shown}, {low:.3g} black to {high:.3g} white{holes}", (amplitudes[0] - low) / span),
        ("Restored", "the same scale", (amplitudes[1] - low) / span),
        (
            "Ratio",
            f"√(measured / restored){shown}, {bottom:.2f} black to {top:.2f} white; nothing of the scene should be seen",
            (np.sqrt(np.maximum(ratio, 0)) - bottom) / (top - bottom),
        ),
    )
    figures = [
        PageFigure(
            picture_uri(np.where(there, a, 0)[None]), f"{b.name}, {title.lower()}", (w, h), title, f" · {text}",
            name=title, lazy=False,
        )
        for title, text, a in texts
    ]  # fmt: skip
    if b.mask is not None:
        shown_mask = np.clip((amplitudes[1] - low) / span, 0, 1) * np.where(there, 0.7, 0)
        marks = [block_mean((b.mask == value).astype(np.float64), b.valid, k)[0] > 0 for value in (1, 2)]
        coloured = np.stack([np.where(marks[0] | marks[1], 0.0, shown_mask)] * 3)
        coloured[0][marks[0]], coloured[1][marks[0]] = 1.0, 0.35
        coloured[1][marks[1]], coloured[2][marks[1]] = 0.75, 1.0
        text = " · orange: point targets, as measured; blue: structure that the solver took for speckle, given back"
        uri = picture_uri(coloured)
        figures.append(PageFigure(uri, f"{b.name}, kept and given back", (w, h), "Kept", text, name="Kept", lazy=False))
    if b.std is not None:
        std, _ = block_mean(b.std, b.valid, k)
        end = round_up(float(np.percentile(std[there], 99.5)))
        uri, text = map_uri(np.where(there, std, 0), end), f" · of the restored {b.std_of}, 0 dark to {end:.3g} light"
        figures.append(PageFigure(uri, f"{b.name}, standard deviation", (w, h), "Std", text, name="Std", lazy=False))
    return figures
