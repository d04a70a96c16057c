"""The page of a comparison: header, table, pictures side by side, and a card per solver."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from restorekit.metrics import psnr
from restorekit.report.html import Html, join, tag
from restorekit.report.page import document
from restorekit.report.pictures import Scale, figure, image, map_uri, picture_uri, shown_bands
from restorekit.report.results import Comparison, Result
from restorekit.report.table import Column, Row, table

LARGEST = 20_000_000  # bytes of a page that a phone still opens
STRIP = 256  # pixels, longer side of the pictures of a trajectory
_DENSITY = 3.0  # bytes of page per pixel and band: a generous guess of what a noisy photograph takes

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
    drawn = _Drawn.of(c, limit)
    h, w = c.measured.shape[1:]
    parts = [_header(c, drawn), _table(c), _inputs(c, drawn), *[_card(drawn, c, i) for i in range(len(c.results))]]
    # The one number that the layout needs of the pictures: their shape.
    return document(f"{c.name}: solvers compared", parts, css=f":root {{ --aspect: {w / h:.4f}; }}\n")


@dataclass(frozen=True, eq=False)
class _Drawn:
    """How the pictures of this page are drawn: all at one size, all maps on one scale."""

    size: tuple[int, int]
    limit: int | None
    scale: Scale

    @classmethod
    def of(cls, c: Comparison, limit: int | None) -> _Drawn:
        h, w = c.measured.shape[1:]
        maps = [r.std.mean(0) for r in c.results if r.std is not None]
        maps += [r.error(c.truth).mean(0) for r in c.results] if c.truth is not None else []
        low, high = c.span
        unit = "as a fraction of white" + (
            "" if (low, high) == (0.0, 1.0) else f", which is {high - low:g} in the file"
        )
        return cls((w, h), limit, Scale.of(maps, unit))

    def picture(self, pixels: np.ndarray, name: str, key: str | None = None, limit: int | None = None) -> Html:
        """`key`: how the menus of the page call it; without one they leave it out."""
        limits = [n for n in (self.limit, limit) if n is not None]
        return image(picture_uri(pixels, min(limits, default=None)), name, self.size, data_name=key)

    def map(self, values: np.ndarray, name: str) -> Html:
        return image(map_uri(values.mean(0), self.scale.top, self.limit), name, self.size)


def _facts(pairs: Iterable[tuple[str, str]]) -> Html:
    return tag("dl", [tag("div", tag("dt", k), tag("dd", v)) for k, v in pairs], class_="facts")


def _words(command: str) -> Html:
    """A command that is broken between its words."""
    first, *rest = (tag("span", word) for word in command.split(" "))
    return join(first, [join(" ", word) for word in rest])


def _header(c: Comparison, drawn: _Drawn) -> Html:
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
        _facts(c.facts),
        tag("div", tag("pre", tag("code", _words(c.command)), tabindex=0), class_="command"),
        [tag("p", n, class_="hint") for n in notes],
    )  # fmt: skip


def _kind(r: Result) -> str:
    if not r.draws:
        return "one answer"
    return f"{len(r.samples)} draws" if len(r.samples) > 1 else "1 draw"


def _table(c: Comparison) -> Html:
    keys = [k for k in COLUMNS if c.truth is not None or k not in _NEEDS_TRUTH]
    rows = []
    for i, r in enumerate(c.results):
        figures = r.figures(c.truth, c.clipped) | {"levels": max(0, len(r.settings.get("sigmas", ())) - 1)}
        rows.append(Row([r.label, _kind(r), *[figures[k] for k in keys]], link=f"#solver-{i + 1}"))
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


def _inputs(c: Comparison, drawn: _Drawn) -> Html:
    figures = [
        figure(drawn.picture(c.measured, "Measurement", "Measurement"), tag("b", "Measurement"), f" {c.measured_note}")
    ]
    if c.truth is not None:
        figures.append(figure(drawn.picture(c.truth, "Truth", "Truth"), tag("b", "Truth")))
    return tag("section", tag("h2", "Side by side"), tag("div", *figures, class_="beside"), class_="inputs")


def _quality(pixels: np.ndarray, c: Comparison) -> str:
    if c.truth is None:
        return ""
    return f" · {psnr(np.clip(pixels, 0, 1) if c.clipped else pixels, c.truth):.2f} dB"


def _maps(r: Result, c: Comparison, drawn: _Drawn) -> list[Html]:
    found = []
    if r.std is not None:
        caption = (tag("b", "Mean"), f" of {len(r.samples)}{_quality(r.mean, c)}")
        found.append(figure(drawn.picture(r.mean, f"{r.label}, mean of the samples", f"{r.label}: mean"), *caption))
        found.append(figure(drawn.map(r.std, f"{r.label}, standard deviation"), tag("b", "Std"), " over the samples"))
    if c.truth is not None:
        what = "mean" if r.std is not None else "sample" if r.draws else "answer"
        caption = (tag("b", "Error"), f" |{what} − truth|")
        found.append(figure(drawn.map(r.error(c.truth), f"{r.label}, absolute error of the {what}"), *caption))
    return found


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _settings(r: Result) -> Html:
    pairs = [(k, _value(v)) for k, v in r.settings.items() if k != "sigmas"]
    sigmas = list(r.settings.get("sigmas", ()))
    if sigmas:
        pairs.append(("sigmas", f"{len(sigmas) - 1} levels, " + ", ".join(f"{s:.3g}" for s in sigmas)))
    return tag("details", tag("summary", "Settings"), _facts(pairs))


def _card(drawn: _Drawn, c: Comparison, index: int) -> Html:
    r, number = c.results[index], index + 1
    first = "Sample 1" if r.draws else "Answer"
    stage = tag(
        "div", drawn.picture(r.samples[0], f"{r.label}, {first.lower()}", f"{r.label}: {first.lower()}"), class_="stage"
    )
    viewer = tag("div", stage, tag("p", tag("b", first), _quality(r.samples[0], c), class_="under"), class_="viewer")
    maps = _maps(r, c, drawn)
    side = tag("div", *maps, drawn.scale.bar(), class_="maps") if maps else None
    no_spread = None
    if len(r.samples) == 1:
        why = "One draw" if r.draws else "An optimiser: one answer"
        no_spread = tag("p", f"{why}, hence no mean and no standard deviation.", class_="hint")
    more = [
        figure(
            drawn.picture(s, f"{r.label}, sample {i}", f"{r.label}: sample {i}"),
            tag("b", f"Sample {i}"), _quality(s, c),
        )
        for i, s in enumerate(r.samples[1:], 2)
    ]  # fmt: skip
    strip = [
        figure(
            drawn.picture(m.x0, f"{r.label}, x0 at call {m.call}", limit=STRIP),
            tag("b", f"σ {m.sigma:.3g}"),
            f" call {m.call}",
        )
        for m in r.trajectory
    ]
    return tag(
        "article",
        tag("h2", r.label, id=f"solver-{number}-name"),
        tag("p", f"{_kind(r)} · {r.nfe} network calls each · misfit {r.misfit:.2f}", class_="sub"),
        tag("div", viewer, join(side) if side else None, class_="top"),
        no_spread,
        [tag("h3", "Samples"), tag("div", *more, class_="row samples")] if more else None,
        [tag("h3", "Estimate of the clean picture, x0, over the steps"), tag("div", *strip, class_="row strip")] if strip else None,
        _settings(r),
        class_="card", id=f"solver-{number}", aria_labelledby=f"solver-{number}-name", data_solver=r.label,
    )  # fmt: skip
