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
from restorekit.fusion.luminance import brightened, limits
from restorekit.fusion.pair import FusionPair
from restorekit.fusion.purposes import Purpose
from restorekit.fusion.scores import evaluate
from restorekit.inference.restoration import Restoration
from restorekit.notes import Notes
from restorekit.report.panels import Panel, Panelled
from restorekit.tasks.saving import record_file

if TYPE_CHECKING:
    from restorekit.tasks.fuse import Fusing

UNDER_CLOUD = {  # by where its colours are from
    "grey": "under cloud stands the radar picture alone, grey",
    "made up": "under cloud colours and level are made up, continued from around it, with as much of the radar picture as goes with the "
    "clear luminance, {told:.1%} of its variance; `purpose=interpretation` shows that picture, grey",
}
ASIDES = ("added", "cloud")  # what may lie beside OUT


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
        """Write OUT, OUT_added and OUT_cloud where the settings ask for them, and OUT.json, all or none; returns the files.

        Raises `BadInput` where OUT cannot hold the picture, would replace a source, or the disk refuses.
        """
        target = Path(path)
        self.task._separate(self.files, target)
        inputs.check_bands_writable(target, self.pair.optical)
        with together():
            line = json.dumps(self.record, ensure_ascii=False)
            for text in inputs.write(target, self.pixels, self.pair.optical, line):
                self.notes(text)
            written, optical = [target], self.pair.optical
            if self.task.writes_added:
                written.append(inputs.aside(target, "added"))
                inputs.write_difference(written[-1], inputs.difference(self.pixels, optical), optical, line)
            if self.task.cloud is not None:
                written.append(inputs.aside(target, "cloud"))
                inputs.write_mask(written[-1], self.pair.cloud, optical, "cloud", line)
            record = self.record | {"metrics": fused.metrics, "seconds": round(fused.seconds, 2)}
            stale, of_stale = earlier(record_file(target), written, [inputs.aside(target, what) for what in ASIDES])
            if stale:
                self.notes(f"{', '.join(stale)}: of an earlier run, not of this one")
            write_json(record_file(target), record | {"outputs": checksums(written), **of_stale})
        return [*written, record_file(target)]


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
    pixels that are valid in both pictures and clear; those in it that are not are made alike in all three."""
    rows, columns = (np.flatnonzero(pair.clear.any(axis)) for axis in (1, 0))
    inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    there = pair.clear[inside]
    fused = pair.grey(np.where(pair.valid, bands.astype(np.float64), 0.0))
    middle = float(np.median(pair.luminance[pair.clear]))
    three = (np.where(there, x[inside], middle) for x in (pair.luminance, pair.radar, fused))
    return {**evaluate(*three), "filled": round(1 - float(there.mean()), 6)}


def in_place(
    pair: FusionPair, purpose: Purpose, fused: NDArray[Any], weight: NDArray[Any]
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return all bands of the optical file (C, H, W) in its type, those that are seen with the fused luminance where the radar
    picture has weight (H, W), and a record."""
    low, high = pair.span
    linear = not purpose.selects
    least, most = limits(pair.optical.dtype, np.where(pair.valid, pair.seen, 0.0), linear)
    whole = np.dtype(pair.optical.dtype).kind in "iu"
    moved, limited = brightened(purpose.colours(pair), fused * (high - low) + low, least, most, whole)
    values, touched = pair.optical.values.copy().astype(np.float64), pair.valid & (weight > 0)
    for n, x in zip(pair.bands, moved):
        values[n - 1] = np.where(touched, x, values[n - 1])
    copied = [n for n in range(1, len(values) + 1) if n not in pair.bands]
    share = float(touched[pair.clear].mean())
    said = {
        "linear": linear,
        "limited": int((limited & touched).sum()),
        "bands_copied": copied,
        "shown": round(share, 6),
        "unfilled": int((pair.cloud & ~pair.valid_radar).sum()),
    }
    if pair.clouded.any():
        said["under_cloud"] = {
            "pixels": int(pair.clouded.sum()),
            "colours": "grey",
            "luminance_per_db": pair.record["luminance_per_db"],
        }
        if purpose.natural:
            slope, told = purpose.told(pair, purpose.composed(pair))
            per_db = None if (gain := pair.record["luminance_per_db"]) is None else slope * gain
            said["under_cloud"] |= {"colours": "made up", "luminance_per_db": per_db, "told": round(told, 4)}
    return inputs.stored(values, pair.optical), said


def words_of(said: dict[str, Any], dtype: str) -> list[str]:
    """Return notes on what was done to the pixels."""
    notes = [f"radar is shown in {said['shown']:.1%} of the clear pixels, where speckle does not explain it"]
    if said["limited"] and said["linear"]:
        notes.append(f"{said['limited']} pixels are held at an end of {dtype}, and are not linear in decibels")
    elif said["limited"]:
        notes.append(f"{said['limited']} pixels are as bright as their colour can be, and not brighter")
    if said["bands_copied"]:
        notes.append(f"bands {', '.join(map(str, said['bands_copied']))} are copied as they were")
    if under := said.get("under_cloud"):
        notes.append(UNDER_CLOUD[under["colours"]].format(told=under.get("told")))
    if said["unfilled"]:
        notes.append(f"{said['unfilled']} pixels stay cloud, as the radar picture has no data there")
    return notes
