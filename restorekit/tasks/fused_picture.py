"""A fused picture, what is written of it, and how it compares with its sources."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from restorekit.files.atomic import together
from restorekit.files.picture import write_json
from restorekit.files.record import earlier
from restorekit.files.record import outputs as checksums
from restorekit.fusion import pair_files as inputs
from restorekit.fusion.luminance import limits, recoloured
from restorekit.fusion.pair import FusionPair
from restorekit.fusion.scores import evaluate
from restorekit.inference.restoration import Restoration
from restorekit.notes import Notes
from restorekit.report.panels import Panel, Panelled
from restorekit.tasks.saving import record_file

if TYPE_CHECKING:
    from restorekit.tasks.fuse import Fusing


@dataclass(frozen=True, eq=False)
class FusedOrigin:
    """The origin of a fused picture: it writes the files of the command, in the type and with the metadata of the
    optical picture.
    """

    task: Fusing
    pair: FusionPair
    pixels: NDArray[Any]  # (C, H, W), all bands, in the type and unit of the optical picture
    record: dict[str, Any]
    files: dict[str, Path | None]  # the sources
    notes: Notes

    def save(self, fused: FusedPicture, path: str | os.PathLike[str]) -> list[Path]:
        """Write OUT and OUT.json, both or none; returns the files.

        Raises `BadInput` where OUT cannot hold the picture, would replace a source, or the disk refuses.
        """
        target = Path(path)
        self.task._separate(self.files, target)
        inputs.check_bands_writable(target, self.pair.optical)
        with together():
            line = json.dumps(self.record, ensure_ascii=False)
            for text in inputs.write(target, self.pixels, self.pair.optical, line):
                self.notes(text)
            record = self.record | {"metrics": fused.metrics, "seconds": round(fused.seconds, 2)}
            record |= {"outputs": checksums([target]), **earlier(record_file(target), [target])[1]}
            write_json(record_file(target), record)
        return [target, record_file(target)]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FusedPicture(Panelled, Restoration):
    """A fused picture, a `Restoration` of one answer: samples (1, C, H, W), all bands of the optical picture, 0 its black and 1 its white, NaN where that
    holds no data.

    pixels: (C, H, W) in the type and unit of the optical picture. metrics: what it kept of both, by name. prepared: seconds that the
    radar picture took, of `seconds`.
    """

    pixels: NDArray[Any]
    metrics: dict[str, Any]
    prepared: float

    def panels(self) -> list[Panel]:
        """Return the optical picture, the radar picture as it was matched, and the fused one, black where either is not valid."""
        pair, (low, high) = self.source.pair, self.source.pair.span
        bands = [n - 1 for n in pair.bands]
        optical, fused = ((np.where(pair.valid, x, low) - low) / (high - low) for x in (pair.seen, self.pixels[bands]))
        radar = np.where(pair.valid, pair.radar, 0.0)[None]
        return [Panel("optical", optical), Panel("radar, matched", radar), Panel("fused", fused)]


def measured(pair: FusionPair, bands: NDArray[Any]) -> dict[str, Any]:
    """Return the metrics of fused values (C, H, W) in the numbers of the optical file, over the rectangle that holds all
    pixels valid in both pictures; those in it that are not are made alike in all three."""
    rows, columns = (np.flatnonzero(pair.valid.any(axis)) for axis in (1, 0))
    inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    there = pair.valid[inside]
    fused = pair.grey(np.where(pair.valid, bands.astype(np.float64), 0.0))
    middle = float(np.median(pair.luminance[pair.valid]))
    three = (np.where(there, x[inside], middle) for x in (pair.luminance, pair.radar, fused))
    return {**evaluate(*three), "filled": round(1 - float(there.mean()), 6)}


def in_place(pair: FusionPair, fused: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return all bands of the optical file (C, H, W) in its type, those that are seen with the fused luminance."""
    low, high = pair.span
    seen = np.where(pair.valid, pair.seen, 0.0)
    least, most = limits(pair.optical.dtype, seen)
    moved, paler = recoloured(seen, fused * (high - low) + low, least, most)
    values = pair.optical.values.copy().astype(np.float64)
    for n, x in zip(pair.bands, moved):
        values[n - 1] = np.where(pair.valid, x, values[n - 1])
    copied = [n for n in range(1, len(values) + 1) if n not in pair.bands]
    return inputs.stored(values, pair.optical), {"paler": paler, "bands_copied": copied}


def words_of(said: dict[str, Any]) -> list[str]:
    notes = []
    if said["paler"]:
        notes.append(f"{said['paler']} pixels lost colour, as their new luminance leaves less room for it")
    if said["bands_copied"]:
        notes.append(f"bands {', '.join(map(str, said['bands_copied']))} are copied as they were")
    return notes
