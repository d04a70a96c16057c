"""The page of a despeckled scene: what was measured and restored, their ratio, its histogram, and figures with what each should be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from restorekit.report.cards import facts as fact_list
from restorekit.report.comparison import command_line
from restorekit.report.density import CSS as DENSITY_CSS
from restorekit.report.density import density
from restorekit.report.html import Html, tag
from restorekit.report.page import document
from restorekit.report.pictures import figure, image, map_uri, picture_uri, round_up
from restorekit.report.plot import PAGE_CSS
from restorekit.report.table import Column, Row, table
from restorekit.sar.assessment import Assessment, Wanted, assess
from restorekit.sar.looks import Array, Mask
from restorekit.sar.quality import Pair

LARGEST = 1200  # pixels, longer side of the pictures
EAGER = {"loading": None, "decoding": None}  # a few pictures that are in the page already
DRAWN = 2_000_000  # values of the ratio that its histogram is made of
CSS = """
.scene { display: grid; gap: 16px 14px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); }
.below { display: grid; gap: 12px 32px; grid-template-columns: minmax(0, 3fr) minmax(280px, 2fr); align-items: start; margin-top: 20px; }
.below h3 { margin-top: 8px; }
.below td { white-space: normal; } .below tbody th { white-space: normal; font-weight: 400; min-width: 180px; }
.below td:nth-child(2) { font-weight: 600; white-space: nowrap; }
.note { max-width: 92ch; }
@media (min-width: 700px) { .scene:has(> :nth-child(4):last-child) { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
@media (max-width: 900px) { .below { grid-template-columns: minmax(0, 1fr); } }
"""


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


def page(
    measured: Array,
    restored: Array,
    valid: Mask,
    looks: float | None,
    std: Array | None = None,
    facts: Mapping[str, str] | None = None,
    name: str = "Despeckled scene",
) -> str:
    """The page of one band (H, W) of intensities. looks: None to measure them, BadInput where that is not possible."""
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
    """The whole page, which fetches nothing. Scenes above 1200 pixels a side are shown by means of blocks of intensity."""
    header = tag(
        "header", tag("p", over, class_="over"), tag("h1", name), fact_list(facts),
        command_line(command) if command else None,
    )  # fmt: skip
    parts = [_band(b, alone=len(bands) == 1 and b.name == name) for b in bands]
    return document(f"{name}: despeckled", header, parts, css=CSS + PAGE_CSS + DENSITY_CSS)


def _band(b: BandPage, *, alone: bool) -> Html:
    found, looks = b.assessment.measured, b.assessment.looks
    speckle = [("looks", f"{looks:.2f}, {'measured' if found is not None and looks == found.looks else 'given'}")]
    if found is not None:
        down, across = found.lag_one
        speckle += [] if looks == found.looks else [("looks measured", f"{found.looks:.2f}")]
        speckle += [
            ("looks by moments", f"{found.by_moments:.2f}"),
            ("correlation with the next row, column", f"{down:.2f}, {across:.2f}"),
            ("looks effective", f"{found.effective:.2f}"),
        ]
    rows = [Row([f.title, f.text, f.should]) for f in b.assessment.figures]
    columns = [Column("figure", digits=None), Column("here", digits=None), Column("should be", digits=None)]
    left = tag("div", tag("h3", "Figures"), table(columns, rows, f"Figures of {b.name}"))
    right = tag("div", tag("h3", "Measured / restored, its density"), _histogram(b))
    notes = [tag("p", n, class_="hint note") for n in b.assessment.notes]
    return tag(
        "section", None if alone else tag("h2", b.name), tag("div", *_pictures(b), class_="scene"), fact_list(speckle),
        notes or None, tag("div", left, right, class_="below"),
    )  # fmt: skip


def block_mean(x: Array, valid: Mask, k: int) -> tuple[Array, Mask]:
    """Means of the valid pixels of blocks of k x k, those at the edge cut off, and which blocks have any."""
    if k == 1:
        return np.where(valid, x, 0.0), valid
    rows, columns = (np.arange(0, n, k) for n in x.shape)

    def total(a: Array) -> Array:
        return np.add.reduceat(np.add.reduceat(a, rows, axis=0), columns, axis=1)

    count = total(valid.astype(np.float64))
    return total(np.where(valid, x, 0.0)) / np.maximum(count, 1), count > 0


def _pictures(b: BandPage) -> list[Html]:
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
    found = [
        figure(
            image(picture_uri(np.where(there, a, 0)[None]), f"{b.name}, {title.lower()}", (w, h), data_name=title, **EAGER),
            tag("b", title), f" · {text}",
        )
        for title, text, a in texts
    ]  # fmt: skip
    if b.std is not None:
        std, _ = block_mean(b.std, b.valid, k)
        end = round_up(float(np.percentile(std[there], 99.5)))
        picture = image(
            map_uri(np.where(there, std, 0), end), f"{b.name}, standard deviation", (w, h), data_name="Std", **EAGER
        )
        found.append(figure(picture, tag("b", "Std"), f" · of the restored {b.std_of}, 0 dark to {end:.3g} light"))
    return found


def _histogram(b: BandPage) -> Html:
    ratio = Pair(b.measured, b.restored, b.valid).ratio[b.valid & (b.restored > 0)]
    return density(ratio[:: max(1, ratio.size // DRAWN)], b.assessment.looks)
