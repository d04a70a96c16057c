"""The page of a comparison: header, table, pictures side by side, and a card per solver."""

from __future__ import annotations

import math

from restorekit.report.cards import Drawn, card, facts, kind
from restorekit.report.html import Html, join, tag
from restorekit.report.page import document
from restorekit.report.pictures import figure, shown_bands
from restorekit.report.results import Comparison
from restorekit.report.table import Column, Row, table

LARGEST = 20_000_000  # bytes of a page that a phone still opens
_DENSITY = 1.2  # bytes of page per pixel and band: what noisy photographs take as PNG in base64

COLUMNS = {
    "levels": Column("levels", "noise levels of the schedule", digits=0),
    "psnr": Column("sample", "of one sample or answer against the truth, mean over samples", best="high", group="PSNR, dB"),
    "psnr_mean": Column("mean", "of the mean of the samples", best="high", group="PSNR, dB"),
    "ssim": Column("sample", "of one sample or answer, mean over samples", 3, "high", "SSIM"),
    "ssim_mean": Column("mean", "of the mean of the samples", 3, "high", "SSIM"),
    "misfit": Column("misfit", "of A x from y in deviations of the noise; expected 1", best=1.0),
    "std": Column("std", "over the samples, mean over pixels, white = 1", 4, group="Spread of the samples"),
    "spread_skill": Column("std / error", "against the error of their mean; 1 if calibrated, below: too sure", best=1.0, group="Spread of the samples"),
    "coverage": Column("coverage", "share of the truth in 90 % intervals; expected 0.90", best=0.9, group="Spread of the samples"),
    "nfe": Column("calls", "network calls per sample", digits=0),
    "seconds": Column("seconds", "for all samples", digits=1, best="low", name="seconds"),
}  # fmt: skip
_NEEDS_TRUTH = ("psnr", "psnr_mean", "ssim", "ssim_mean", "spread_skill", "coverage")


def render(comparison: Comparison, largest: int = LARGEST) -> str:
    """The page, with pictures shrunk as far as it takes to stay below `largest` bytes."""
    longest = max(comparison.measured.shape[1:])
    limit = _first_limit(comparison, largest)
    while True:
        text = _page(comparison, limit)
        if len(text) <= largest or (limit or longest) <= 32:
            return text
        limit = int((limit or longest) * min(0.9, math.sqrt(largest / len(text))))


def _first_limit(c: Comparison, largest: int) -> int | None:
    """Longer side of the pictures if they are likely to need less than their own; None for full size."""
    bands, h, w = c.measured.shape
    planes = sum((len(r.samples) + 1) * min(3, r.samples.shape[1]) + 1 for r in c.results) + 2 * min(3, bands)
    scale = math.sqrt(largest / (_DENSITY * planes * h * w))
    return None if scale >= 1 else max(32, int(max(h, w) * scale))


def _page(c: Comparison, limit: int | None) -> str:
    drawn = Drawn.of(c, limit)
    h, w = c.measured.shape[1:]
    parts = [_header(c, drawn), _table(c), _inputs(c, drawn), *[card(drawn, c, i) for i in range(len(c.results))]]
    # The one number that the layout needs of the pictures: their shape.
    return document(f"{c.name}: solvers compared", parts, css=f":root {{ --aspect: {w / h:.4f}; }}\n")


def command_line(command: str) -> Html:
    """A command to copy, broken between its words."""
    first, *rest = (tag("span", word) for word in command.split(" "))
    words = join(first, [join(" ", word) for word in rest])
    return tag("div", tag("pre", tag("code", words), tabindex=0), class_="command")


def _header(c: Comparison, drawn: Drawn) -> Html:
    w, h = drawn.size
    notes = []
    if drawn.limit is not None and drawn.limit < max(w, h):
        share = drawn.limit / max(w, h)
        notes.append(f"Pictures are shown at {share:.0%} of their {w} × {h} pixels; the figures are of the whole ones.")
    if left_out := shown_bands(len(c.results[0].mean)):
        notes.append(f"Of every picture {left_out}.")
    return tag(
        "header",
        tag("p", "restorekit compare", class_="over"),
        tag("h1", c.name),
        facts(c.facts),
        command_line(c.command),
        [tag("p", n, class_="hint") for n in notes],
    )  # fmt: skip


def _table(c: Comparison) -> Html:
    keys = [k for k in COLUMNS if c.truth is not None or k not in _NEEDS_TRUTH]
    rows = []
    for i, r in enumerate(c.results):
        figures = c.figures[i] | {"levels": max(0, len(r.settings.get("sigmas", ())) - 1)}
        rows.append(Row([r.label, kind(r), *[figures[k] for k in keys]], link=f"#solver-{i + 1}"))
    rows += [Row([f.label], note=f"refused: {f.reason}") for f in c.refusals]
    columns = [
        Column("solver", digits=None),
        Column("gives", "samples of the posterior, or one optimum", None),
        *[COLUMNS[k] for k in keys],
    ]
    hint = "Misfit: how far A x is from y, in deviations of the noise; 1 is expected. "
    if c.truth is not None:
        hint += (
            "Std / error: 1 where the samples are as far from their mean as the truth is; below 1 a sampler is too "
            "sure. Coverage: share of the truth inside the samples' 90 % intervals, 0.90 is expected. "
        )
    hint += "An optimiser gives one answer and no spread. The best of a column is marked."
    return tag(
        "section", tag("h2", "Figures"), table(columns, rows, "Figures of each solver"), tag("p", hint, class_="hint")
    )


def _inputs(c: Comparison, drawn: Drawn) -> Html:
    figures = [
        figure(drawn.picture(c.measured, "Measurement", "Measurement"), tag("b", "Measurement"), f" {c.measured_note}")
    ]
    if c.truth is not None:
        figures.append(figure(drawn.picture(c.truth, "Truth", "Truth"), tag("b", "Truth")))
    return tag("section", tag("h2", "Side by side"), tag("div", *figures, class_="beside"), class_="inputs")
