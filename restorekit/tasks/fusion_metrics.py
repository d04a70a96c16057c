"""A fused picture is compared with its sources, the radar picture made ready as a fusion does."""

from __future__ import annotations

from typing import Any, NamedTuple

from restorekit.errors import BadInput
from restorekit.files.reading import Reading
from restorekit.fusion import pair_files as inputs
from restorekit.fusion.pair import FusionPair
from restorekit.notes import Notes
from restorekit.tasks.fuse import Fusing, bands_of
from restorekit.tasks.fused_picture import measured
from restorekit.tasks.inputs import Source, reading_beside


class FusionMetrics(NamedTuple):
    """Metrics of a fused picture by name, and the pair that it was compared with."""

    metrics: dict[str, Any]
    pair: FusionPair


def fusion_metrics(
    optical: Source, sar: Source, fused: Source, *, notes: Notes | None = None, **settings: Any
) -> FusionMetrics:
    """Compare a fused picture with its sources, the radar picture made ready as `fuse` does; settings are those of `Fusing`.

    Raises `BadInput` where `fused` has another size or type than the optical picture. Without `notes` each note is raised as a
    `RestorekitNote` warning.
    """
    told = Notes() if notes is None else notes
    task = Fusing(**{"trust_grid": True, **settings})
    pairing = task.pairing(told)
    read = task.read(pairing, optical, sar, told)
    found, own = (
        inputs.read(bands_of(fused, "fused", reading_beside(fused, Reading(task.layout, task.page)))),
        read.optical,
    )
    if found.size != own.size:
        raise BadInput(
            f"{found.path} is {found.size[0]}x{found.size[1]} pixels and {own.path} {own.size[0]}x{own.size[1]}; compare "
            "pictures of one size"
        )
    if found.dtype != own.dtype:
        raise BadInput(f"{found.path} holds {found.dtype} and {own.path} {own.dtype}; their numbers are not the same")
    values = found.values if len(found.values) == 1 else found.select(read.bands).values
    pair = pairing.matched(read, told)
    if notes is None:
        told.warn()
    return FusionMetrics(measured(pair, values), pair)
