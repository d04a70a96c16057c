"""A card of one solver: before and after, mean, maps, samples, the way there, settings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from restorekit.metrics.fidelity import psnr
from restorekit.report.html import Html, tag
from restorekit.report.pictures import Scale, figure, image, map_uri, picture_uri
from restorekit.report.results import Comparison, Result

STRIP = 256  # pixels, longer side of the pictures of a trajectory


@dataclass(frozen=True, eq=False)
class Drawn:
    """How the pictures of this page are drawn: all at one size, all maps on one scale."""

    size: tuple[int, int]
    limit: int | None
    scale: Scale

    @classmethod
    def of(cls, c: Comparison, limit: int | None) -> Drawn:
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


def facts(pairs: Iterable[tuple[str, str]]) -> Html:
    return tag("dl", [tag("div", tag("dt", k), tag("dd", v)) for k, v in pairs], class_="facts")


def kind(r: Result) -> str:
    if not r.draws:
        return "one answer"
    return f"{len(r.samples)} draws" if len(r.samples) > 1 else "1 draw"


def _quality(pixels: np.ndarray, c: Comparison) -> Html | None:
    if c.truth is None:
        return None
    found = psnr(np.clip(pixels, 0, 1) if c.clipped else pixels, c.truth)
    return tag("span", f" · {found:.2f} dB", class_="quality")


def _maps(r: Result, c: Comparison, drawn: Drawn) -> list[Html]:
    found = []
    if r.std is not None:
        caption = (tag("b", "Mean"), f" of {len(r.samples)}", _quality(r.mean, c))
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
    return tag("details", tag("summary", "Settings"), facts(pairs))


def card(drawn: Drawn, c: Comparison, index: int) -> Html:
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
        tag("p", f"{kind(r)} · {r.nfe} network calls{' each' if len(r.samples) > 1 else ''} · misfit {r.misfit:.2f}", class_="sub"),
        tag("div", viewer, side, class_="top"),
        no_spread,
        [tag("h3", "Samples"), tag("div", *more, class_="row samples")] if more else None,
        [tag("h3", "Estimate of the clean picture, x0, over the steps"), tag("div", *strip, class_="row strip")] if strip else None,
        _settings(r),
        class_="card", id=f"solver-{number}", aria_labelledby=f"solver-{number}-name", data_solver=r.label,
    )  # fmt: skip
