"""The page of a comparison: header, table, pictures side by side, and a card per solver."""

from __future__ import annotations

import math

from restorekit.report import template
from restorekit.report.cards import Card, PictureStyle
from restorekit.report.pictures import shown_bands
from restorekit.report.results import Comparison
from restorekit.report.table import PageTable, TableColumn, TableRow

LARGEST = 20_000_000  # bytes of a page that a phone still opens
_DENSITY = 1.2  # bytes of page per pixel and band: what noisy photographs take as PNG in base64

COLUMNS = {
    "levels": TableColumn("levels", "noise levels of the schedule", digits=0),
    "psnr": TableColumn("sample", "of one sample or answer against the truth, mean over samples", best="high", group="PSNR, dB"),
    "psnr_mean": TableColumn("mean", "of the mean of the samples", best="high", group="PSNR, dB"),
    "ssim": TableColumn("sample", "of one sample or answer, mean over samples", 3, "high", "SSIM"),
    "ssim_mean": TableColumn("mean", "of the mean of the samples", 3, "high", "SSIM"),
    "misfit": TableColumn("all", "of A x from y in deviations of the noise; expected 1", best=1.0, group="Misfit"),
    "dark": TableColumn("dark", "of the darkest third of the values; expected 1", best=1.0, group="Misfit"),
    "bright": TableColumn("bright", "of the brightest third of the values; expected 1", best=1.0, group="Misfit"),
    "shared": TableColumn("neighbours", "correlation of what is left unexplained with its neighbours; expected 0, more is structure that was lost", best=0.0, group="Misfit"),
    "std": TableColumn("std", "over the samples, mean over pixels, white = 1", 4, group="Spread of the samples"),
    "spread_skill": TableColumn("std / error", "against the error of their mean; 1 if calibrated, below: too sure", best=1.0, group="Spread of the samples"),
    "coverage": TableColumn("coverage", "share of the truth in 90 % intervals; expected 0.90", best=0.9, group="Spread of the samples"),
    "nfe": TableColumn("calls", "network calls per sample", digits=0),
    "seconds": TableColumn("seconds", "for all samples", digits=1, best="low", name="seconds"),
}  # fmt: skip
_NEEDS_TRUTH = ("psnr", "psnr_mean", "ssim", "ssim_mean", "spread_skill", "coverage")


def render(comparison: Comparison, largest: int = LARGEST) -> str:
    """Return the page, with pictures shrunk as far as it takes to stay below `largest` bytes."""
    longest = max(comparison.measured.shape[1:])
    limit = _first_limit(comparison, largest)
    while True:
        text = _page(comparison, limit)
        if len(text) <= largest or (limit or longest) <= 32:
            return text
        limit = int((limit or longest) * min(0.9, math.sqrt(largest / len(text))))


def _first_limit(c: Comparison, largest: int) -> int | None:
    """Return the longer side of the pictures if they are likely to need less than their own; None for full size."""
    bands, h, w = c.measured.shape
    planes = sum((len(r.samples) + 1) * min(3, r.samples.shape[1]) + 1 for r in c.results) + 2 * min(3, bands)
    scale = math.sqrt(largest / (_DENSITY * planes * h * w))
    return None if scale >= 1 else max(32, int(max(h, w) * scale))


def _page(c: Comparison, limit: int | None) -> str:
    style = PictureStyle.of(c, limit)
    w, h = style.size
    inputs = [
        style.picture(c.measured, "Measurement", "Measurement", text=f" {c.measured_note}", name="Measurement"),
        *([] if c.truth is None else [style.picture(c.truth, "Truth", "Truth", name="Truth")]),
    ]
    return template.render(
        "comparison.html", name=c.name, about="solvers compared", over="restorekit compare", facts=c.facts,
        command=c.command, notes=_notes(c, style), aspect=f"{w / h:.4f}", table=_table(c), has_truth=c.truth is not None,
        inputs=inputs, cards=[Card(style, c, r) for r in c.results], scale=style.scale,
    )  # fmt: skip


def _notes(c: Comparison, style: PictureStyle) -> list[str]:
    w, h = style.size
    notes = []
    if style.limit is not None and style.limit < max(w, h):
        share = style.limit / max(w, h)
        notes.append(f"Pictures are shown at {share:.0%} of their {w} × {h} pixels; the figures are of the whole ones.")
    if left_out := shown_bands(len(c.results[0].mean)):
        notes.append(f"Of every picture {left_out}.")
    return notes


def _table(c: Comparison) -> PageTable:
    keys = [k for k in COLUMNS if c.truth is not None or k not in _NEEDS_TRUTH]
    rows = []
    for i, r in enumerate(c.results):
        figures = c.figures[i] | {"levels": max(0, len(r.settings.get("sigmas", ())) - 1)}
        rows.append(TableRow([r.label, r.kind, *[figures[k] for k in keys]], link=f"#solver-{i + 1}"))
    rows += [TableRow([f.label], note=f"refused: {f.reason}") for f in c.refusals]
    columns = [
        TableColumn("solver", digits=None),
        TableColumn("gives", "samples of the posterior, or one optimum", None),
        *[COLUMNS[k] for k in keys],
    ]
    return PageTable(columns, rows, "Figures of each solver")
