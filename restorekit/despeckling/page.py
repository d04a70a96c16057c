"""The page of a despeckling shows what was measured and restored, their ratio, and figures with what each should be."""

from __future__ import annotations

import json

import numpy as np

from restorekit.despeckling.kept import MASK
from restorekit.despeckling.methods import PosteriorMethod
from restorekit.despeckling.plan import DespecklePlan, beside
from restorekit.despeckling.radar_band import RadarBand
from restorekit.errors import BadInput
from restorekit.files.atomic import named_beside
from restorekit.files.bands import Window
from restorekit.files.scene import scene_of
from restorekit.report.despeckled import BandPage, render
from restorekit.sar.assessment import Wanted, assess
from restorekit.sar.looks import Array

LARGEST = 4096  # pixels, side of the middle of a scene that is shown and judged


def middle(height: int, width: int, side: int = LARGEST) -> Window:
    """Return the window in the middle of height x width, at most `side` pixels wide."""
    h, w = min(height, side), min(width, side)
    return Window((height - h) // 2, (width - w) // 2, h, w)


def page_of(plan: DespecklePlan, command: str) -> str:
    """Return the page of a plan that was run. Raises BadInput where no band has a flat window to judge it by."""
    part = plan.preview or plan.scene.whole
    at = middle(part.height, part.width)
    there = Window(part.top + at.top, part.left + at.left, at.height, at.width)
    bands = [_band_page(plan, number, there, at) for number in plan.bands]
    s, where = (
        plan.settings,
        "" if (at.height, at.width) == (part.height, part.width) else f"the middle {at.height} x {at.width} of ",
    )
    facts = [
        ("scene", f"{where}{part.height} x {part.width} pixels"), ("solver", s.text),
        *_of_polarisations(plan),
        *_counts(plan),
        *([("prior", s.method.prior), ("samples", str(s.draws)), ("seed", str(s.seed))] if isinstance(s.method, PosteriorMethod) else []),
    ]  # fmt: skip
    return render(bands, name=plan.scene.path.name, facts=facts, command=command)


def _band_page(plan: DespecklePlan, number: int, there: Window, at: Window) -> BandPage:
    read, facts = plan.bands[number]
    with plan.scene.opened() as source:
        _, y, _, signal = read.read(source, there)
    x = read.back(_written(plan, number, at, "mean"), there)
    std = _written(plan, number, at, "std") if plan.settings.draws > 1 else None
    mask = _written(plan, number, at, MASK).astype(np.uint8) if plan.settings.mask else None
    descriptions = () if plan.scene.raster is None else plan.scene.raster.descriptions
    name = (descriptions[number - 1] if descriptions else None) or f"band {number}"
    # After whitening the looks of the facts are those of another grid.
    looks = (
        facts.looks if facts.remedy not in ("whiten", "subsample") or facts.measured is None else facts.measured.looks
    )
    assessment = assess(y, np.where(signal, x, 0.0), signal, Wanted(looks))
    return BandPage(name, y, np.where(signal, x, 0.0), signal, assessment, std, unit_of(read), mask)


def _of_polarisations(plan: DespecklePlan) -> list[tuple[str, str]]:
    """Return which bands are restored together, with what looks, and what a covariance is known by."""
    found, one, of = [], plan.polarised, plan.covariance
    if of is not None:
        found.append(
            ("covariance", f"squared coherence of C11 and C22 {of.squared:.2f}; restored {plan.settings.polarisations}")
        )
    if one is not None:
        names = () if plan.scene.raster is None else plan.scene.raster.descriptions
        which = " and ".join((names[n - 1] if names else None) or f"band {n}" for n in one.numbers)
        facts = plan.bands[one.numbers[0]][1]
        found.append(
            (
                "polarisations",
                f"{which} restored together, {facts.detected:.2f} looks; correlation of their speckle {one.correlation:.2f}",
            )
        )
    return found


def _counts(plan: DespecklePlan) -> list[tuple[str, str]]:
    """Return how many pixels were not left to the solver, as the record has it."""
    assert plan.target is not None
    record = json.loads(named_beside(plan.target, plan.target.name + ".json").read_text())
    names = (("targets_kept", "pixels kept as measured"), ("structure_returned", "pixels given back"))
    return [(name, str(sum(record[key].values()))) for key, name in names if record.get(key)]


def _written(plan: DespecklePlan, number: int, at: Window, layer: str) -> Array:
    assert plan.target is not None
    path = plan.target if layer == "mean" else beside(plan.target, layer)
    with scene_of(path).opened() as source:
        x, valid = source.read(at, number)
    return np.where(valid, x, 0.0).astype(np.float64)


def unit_of(band: RadarBand) -> str:
    """Return the unit of a band in words."""
    return {"db": "value in dB", "complex": "intensity"}.get(band.domain.name, band.domain.name)


def judged(plan: DespecklePlan, command: str) -> tuple[str | None, str]:
    """Return (page, ""), or (None, why there is none)."""
    try:
        return page_of(plan, command), ""
    except BadInput as error:
        return None, f"no report: {error}"
