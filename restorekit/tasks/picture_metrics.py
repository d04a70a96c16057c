"""Metrics tell how close a picture is to the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from restorekit.errors import BadInput
from restorekit.files.reading import Reading
from restorekit.metrics.fidelity import compare
from restorekit.notes import Notes
from restorekit.tasks import ranges
from restorekit.tasks.inputs import Source, Span, reading_beside, take
from restorekit.tasks.unmeasured import refuse_turned, turned_size


def picture_metrics(
    picture: Source,
    truth: Source,
    *,
    names: Sequence[str] | None = None,
    crop: int = 0,
    range: Span | None = None,
    layout: str | None = None,
    page: int | None = None,
    notes: Notes | None = None,
) -> dict[str, float]:
    """Return metrics by name, of values on [0, 1]; pixels that are no data in either picture do not count.

    names: by default "psnr", "ssim", "mae" and "rmse". crop: pixels to leave out at each side. range: values of black and
    white. layout: axes of NPY files of three, "HWC" or "CHW". page: of a TIFF of several, from 1; of the truth too, if it has as
    many. Raises `BadInput` where the two are of different sizes, turned against each other, or integers that fill little of 16
    bits, whose white must be said by `range`.
    """
    notes = Notes() if notes is None else notes
    reading = Reading(layout, page)
    taken = [take(picture, range, reading=reading), take(truth, range, reading=reading_beside(truth, reading))]
    read, (one, other) = [t.picture for t in taken], [t.label for t in taken]
    if range is None:  # figures are relative to white, which the truth tells where both are of one type
        for each in taken[1:] if read[0].dtype == read[1].dtype else taken:
            ranges.check_range(each.label, each.picture)
    a, b = (p.pixels for p in read)
    refuse_turned(read[0], one, read[1], other)
    if a.shape != b.shape and (why := turned_size(*read)):
        raise BadInput(
            f"{one} is {a.shape[1]}x{a.shape[2]} pixels, {other} {b.shape[1]}x{b.shape[2]}{why}; turn one of them"
        )
    if 2 * crop >= min(a.shape[1:]):
        raise BadInput(f"`crop={crop}` leaves nothing of {a.shape[1]}x{a.shape[2]} pixels; choose a smaller one")
    inner = slice(crop, -crop or None)
    valid = None
    if a.shape == b.shape and (empty := [p.empty.where for p in read if p.empty is not None]):
        valid = ~np.logical_or.reduce(empty)[inner, inner]
        if not valid.all():
            notes(f"{(~valid).sum()} pixels are no data and left out")
    return compare(a[:, inner, inner], b[:, inner, inner], list(names) if names else None, valid)
