"""The interval that several samples of a restoration get, and the way in which clipped values are taken for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from restorekit.errors import BadInput
from restorekit.inference.solver import Solver
from restorekit.tasks import error_bars
from restorekit.tasks.jpeg_forward import JPEGForward
from restorekit.tasks.measured import Measured
from restorekit.uncertainty.calibration import WHITE_LEFT_OUT, FoundInterval

if TYPE_CHECKING:
    from restorekit.tasks.restore import Restoring


def with_bars(
    settings: Restoring, measured: Measured, solver: Solver, steps: int | None
) -> tuple[Measured, FoundInterval | None]:
    """Return (the measurement with the way in which clipped values are taken, the interval of several samples).

    Where the setting leaves it open, several samples take the way of one answer, or, where error bars are calibrated
    for another alone, that one.
    """
    if settings.samples == 1:
        return measured, None
    other = WHITE_LEFT_OUT if measured.read.response.coded else "measured"
    ways = [measured.way, *(("censored", other) if settings.clipped == "auto" else ())]
    first: FoundInterval | BadInput | None = None
    for way in dict.fromkeys(ways):
        one = replace(measured, way=way)
        try:
            bars = _intervals(settings, one, solver, steps)
        except BadInput as error:  # a calibration that was asked for and fits no better
            first = first or error
            continue
        if bars.record["calibration"] != "none":
            return one, bars
        first = first or bars
    if isinstance(first, BadInput):
        raise first
    return measured, first


def _intervals(settings: Restoring, measured: Measured, solver: Solver, steps: int | None) -> FoundInterval:
    forward, prior = measured.forward, measured.prior
    started = settings.start is not None or settings.begin is not None
    refused = error_bars.refusal(prior, forward, settings.flips, settings.coarse, started)
    if refused is None and measured.way == "missing" and measured.clipped.any:
        refused = "they are for clipped values that are censored or measured, and these are missing"
    if isinstance(forward, JPEGForward):
        refused = "none are made for the bins of a JPEG"
    wanted = error_bars.conditions(settings.op_text, forward, measured.way, solver, steps, settings.samples)
    return error_bars.found_for(settings.calibration or "auto", settings.level or 0.9, prior, wanted, refused)
