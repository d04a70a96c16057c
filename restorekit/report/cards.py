"""A card of one solver: before and after, mean, maps, samples, the way there, settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from restorekit.metrics.fidelity import psnr
from restorekit.report.pictures import PageFigure, Scale, map_uri, picture_uri, shown_residual
from restorekit.report.results import Comparison, SolverResult

STRIP = 256  # pixels, longer side of the pictures of a trajectory


@dataclass(frozen=True, eq=False)
class PictureStyle:
    """The pictures of a page are drawn in one style: all at one size, all maps on one scale."""

    size: tuple[int, int]
    limit: int | None
    scale: Scale

    @classmethod
    def of(cls, c: Comparison, limit: int | None) -> PictureStyle:
        """Return the style of a comparison; limit: the most pixels of a side."""
        h, w = c.measured.shape[1:]
        maps = [r.std.mean(0) for r in c.results if r.std is not None]
        maps += [r.error(c.truth).mean(0) for r in c.results] if c.truth is not None else []
        low, high = c.span
        unit = "as a fraction of white" + (
            "" if (low, high) == (0.0, 1.0) else f", which is {high - low:g} in the file"
        )
        return cls((w, h), limit, Scale.of(maps, unit))

    def picture(self, pixels: np.ndarray, alt: str, title: str, *, limit: int | None = None, **more: Any) -> PageFigure:
        """Return a picture (C, H, W) as a figure of the page."""
        limits = [n for n in (self.limit, limit) if n is not None]
        return PageFigure(picture_uri(pixels, min(limits, default=None)), alt, self.size, title, **more)

    def map(self, values: np.ndarray, alt: str, title: str, text: str) -> PageFigure:
        return PageFigure(map_uri(values.mean(0), self.scale.top, self.limit), alt, self.size, title, text)


@dataclass(frozen=True, eq=False)
class Card:
    """A card shows the solver `r` on the page."""

    style: PictureStyle
    c: Comparison
    r: SolverResult

    @property
    def answer(self) -> PageFigure:
        return self._sample("Sample 1" if self.r.draws else "Answer", self.r.samples[0])

    @property
    def samples(self) -> list[PageFigure]:
        """Return all but the first."""
        return [self._sample(f"Sample {i}", s) for i, s in enumerate(self.r.samples[1:], 2)]

    def _sample(self, title: str, pixels: np.ndarray) -> PageFigure:
        name = title.lower()
        return self._picture(pixels, f"{self.r.label}, {name}", title, name=f"{self.r.label}: {name}")

    def _picture(self, pixels: np.ndarray, alt: str, title: str, **more: Any) -> PageFigure:
        """Return a result with its PSNR."""
        if self.c.truth is not None:
            decibels = psnr(np.clip(pixels, 0, 1) if self.c.clipped else pixels, self.c.truth)
            more["quality"] = f" · {decibels:.2f} dB"
        return self.style.picture(pixels, alt, title, **more)

    @property
    def maps(self) -> list[PageFigure]:
        """Return the mean, the spread and the error, those that there are."""
        r, figures = self.r, []
        if r.std is not None:
            text, name = f" of {len(r.samples)}", f"{r.label}: mean"
            figures.append(self._picture(r.mean, f"{r.label}, mean of the samples", "Mean", text=text, name=name))
            figures.append(self.style.map(r.std, f"{r.label}, standard deviation", "Std", " over the samples"))
        if self.c.truth is not None:
            what = "mean" if r.std is not None else "sample" if r.draws else "answer"
            alt = f"{r.label}, absolute error of the {what}"
            figures.append(self.style.map(r.error(self.c.truth), alt, "Error", f" |{what} − truth|"))
        if r.residual is not None:
            shown = shown_residual(r.residual.deviations.cpu().numpy())
            alt, text = f"{r.label}, what is left unexplained", " y − A x, −3 to 3 deviations"
            figures.append(self.style.picture(shown, alt, "Residual", text=text))
        return figures

    @property
    def trajectory(self) -> list[PageFigure]:
        """Return the estimates on the way, a figure each."""
        return [
            self.style.picture(
                m.x0, f"{self.r.label}, x0 at call {m.call}", f"σ {m.sigma:.3g}", text=f" call {m.call}", limit=STRIP
            )
            for m in self.r.trajectory
        ]

    @property
    def settings(self) -> list[tuple[str, str]]:
        """Return the settings as pairs of name and text."""
        settings = dict(self.r.settings)
        sigmas = list(settings.pop("sigmas", ()))
        pairs = [(k, f"{v:.4g}" if isinstance(v, float) else str(v)) for k, v in settings.items()]
        levels = ", ".join(f"{s:.3g}" for s in sigmas)
        return [*pairs, ("sigmas", f"{len(sigmas) - 1} levels, {levels}")] if sigmas else pairs
