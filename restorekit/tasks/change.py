"""A map says what changed between two dates of one place, in dB with its error bar, and masks it at a stated rate of false alarms."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import restorekit
from restorekit.despeckling.change_map import (
    DECIBEL,
    RESULTS,
    WIDTH,
    BlockChange,
    DatePair,
    MeasuredPair,
    blocks,
    restored_pair,
)
from restorekit.despeckling.page import middle
from restorekit.despeckling.settings import Settings
from restorekit.despeckling.stack import Together, stack
from restorekit.errors import BadInput
from restorekit.files import geotiff
from restorekit.files.atomic import check_target, named_beside, together
from restorekit.files.bands import Raster, Window
from restorekit.files.overwrite import separate
from restorekit.files.picture import write_json, write_text
from restorekit.files.reading import PLAINLY, Reading
from restorekit.files.record import head, outputs
from restorekit.files.scene import Scene
from restorekit.notes import Notes
from restorekit.report.changed import BandChange, render
from restorekit.sar.changes import Changes, changes_of
from restorekit.sar.looks import Grain
from restorekit.scenes.outputs import TIFF, plain
from restorekit.tasks.despeckle import RadarSource, scene_in
from restorekit.tasks.task_settings import refuse_unknown

RATE = 1e-3  # of false alarms, by default
SLIGHT = 0.05  # of the logarithm of the levels of two dates that is not worth saying


@dataclass(frozen=True, kw_only=True)
class Changing:
    """Settings of a comparison of two dates. domain, looks, grain, bands, reading: of the dates as measured, as those of
    `restorekit.despeckle`; changes: the test, with its rate of false alarms; absolute: levels of the dates as a whole are compared
    too, and not taken out of both map and mask; shift: pixels by which one date may lie beside
    the other."""

    domain: str = "auto"
    looks: float | None = None
    grain: Grain | str | None = None
    bands: tuple[int, ...] | None = None
    changes: Changes = field(default_factory=lambda: Changes(false_alarms=RATE))
    absolute: bool = False
    shift: float = 0.3
    reading: Reading = PLAINLY

    def __post_init__(self) -> None:
        given = Changes(false_alarms=RATE) if self.changes in (None, "auto") else self.changes
        object.__setattr__(self, "changes", changes_of(given))

    def pair(self, first: RadarSource, second: RadarSource, notes: Notes) -> DatePair:
        """Look at both dates. Raises `BadInput` for dates of another grid, or that lie beside each other."""
        if isinstance(first, str | os.PathLike) and isinstance(second, str | os.PathLike):
            found = restored_pair(Path(first), Path(second), self.changes.false_alarms)
            if found is not None:
                for name in ("domain", "looks", "grain", "bands"):
                    if getattr(self, name) not in (None, "auto"):
                        raise BadInput(
                            f"`{name}` is for dates as measured, and both were despeckled; leave it out", argument=name
                        )
                found = found.with_shift(self.shift, notes)
                notes(
                    "both dates were despeckled: levels are compared as they are; what they have in common is in the error bar of each, so intervals are rather too wide"
                )
                return found
        settings = Settings(
            domain=self.domain, looks=self.looks, grain=self.grain, bands=self.bands, solver="lee", targets=None, reading=self.reading,
        )  # fmt: skip
        scenes = [_named(scene_in(source), f"date {n}") for n, source in enumerate((first, second), 1)]
        made = stack(scenes, [None, None], settings, Together(changes=self.changes, shift=self.shift))
        for text in made.said:
            if not (self.absolute and "taken out before" in text):
                notes(text.replace("2 dates restored together: their mean has", "2 dates compared: their mean has"))
        if self.absolute:
            one = {group: replace(level, gains=(1.0, 1.0)) for group, level in made.levels.items()}
            made = replace(made, levels=one)
        elif any(abs(math.log(level.gains[1] / level.gains[0])) > SLIGHT for level in made.levels.values()):
            notes("changes are relative to the level of the dates as a whole; `absolute` compares that too")
        return MeasuredPair(made)


def _named(scene: Path | Scene, name: str) -> Path | Scene:
    return replace(scene, path=Path(name)) if isinstance(scene, Scene) else scene


@dataclass(frozen=True, eq=False)
class ChangeMap:
    """It holds what changed from a first date to a second: `change`, `low` and `high` (C, H, W) float32 in dB, the ratio of what lies under the speckle and its 90 % interval,
    NaN where one of them was not measured; `changed` (C, H, W) where that is none of chance. They are read from `files` where those were written."""

    files: tuple[Path, ...]
    count: int  # pixels that changed
    known: int  # pixels that were measured in both
    notes: tuple[str, ...]
    values: NDArray[np.float32] | None = None  # (4 C, H, W), of a map that was not written
    names: tuple[str, str] = ("first", "second")  # of the dates
    facts: dict[str, Any] = field(
        default_factory=dict
    )  # what is known of the dates and of the test, as the record has it

    def _middle(self) -> NDArray[np.float32]:
        """Return all bands (4 C, h, w) of the middle of the map."""
        if self.values is not None:
            return self.values[(slice(None), *middle(*self.values.shape[1:]).slices)]
        from restorekit.products.opening import scene_of

        scene = scene_of(self.files[0])
        with scene.opened() as source:
            at = middle(scene.height, scene.width)
            return np.stack([source.read(at, n)[0] for n in range(1, scene.count + 1)])

    def _part(self, name: str) -> NDArray[np.float32]:
        values = self.values
        if values is None:
            from restorekit.products.opening import scene_of

            scene = scene_of(self.files[0])
            with scene.opened() as source:
                values = np.stack([source.read(scene.whole, n)[0] for n in range(1, scene.count + 1)])
        return values[RESULTS.index(name) :: len(RESULTS)]

    def save_page(self, path: Path, command: str | None = None) -> None:
        """Write a page with the map, its intervals, the mask, and what was checked before; `command` stands on it. Of a large map
        the middle is shown."""
        write_text(path, page_of(self, command))

    @property
    def change(self) -> NDArray[np.float32]:
        """Return the second date over the first in dB, (C, H, W)."""
        return self._part("change")

    @property
    def low(self) -> NDArray[np.float32]:
        """Return the lower end of the 90 % interval in dB, (C, H, W)."""
        return self._part("low")

    @property
    def high(self) -> NDArray[np.float32]:
        """Return the upper end of the 90 % interval in dB, (C, H, W)."""
        return self._part("high")

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Return where the change is none of chance, (C, H, W)."""
        return np.nan_to_num(self._part("changed")) > 0.5


def change(
    first: RadarSource,
    second: RadarSource,
    out: str | os.PathLike[str] | None = None,
    *,
    notes: Notes | None = None,
    **settings: Any,
) -> ChangeMap:
    """Compare two dates of one place, as measured or both despeckled with error bars; return a `ChangeMap`.

    out: a GeoTIFF with four bands for each band of the dates, in the place of the first: change, low and high in dB, and 1 where that is a change; it is written block by
    block. Settings are those of `Changing`. Raises `BadInput` with the way out: for dates on another grid, or that lie beside each other, with the shift.

        restorekit.change("may.tif", "june.tif", "change.tif", looks=4.4)
    """
    told = Notes() if notes is None else notes
    refuse_unknown(settings, Changing.__dataclass_fields__, "a map of change")
    task, target = Changing(**settings), None if out is None else Path(out)
    if target is not None:
        if target.suffix.lower() not in TIFF:
            raise BadInput(f"{target}: a map of change is a GeoTIFF; write .tif", argument="out")
        check_target(target)
        separate([Path(s) for s in (first, second) if isinstance(s, str | os.PathLike)], [target, record_of(target)])
    pair = task.pair(first, second, told)
    counted = {"changed": 0, "known": 0}
    if target is None:
        scene = pair.scene
        values = np.full((len(RESULTS) * len(pair.bands), scene.height, scene.width), np.nan, np.float32)
        for number, window, block in _written(pair, counted):
            values[(number - 1, *window.slices)] = block
        files: tuple[Path, ...] = ()
    else:
        values, files = None, _to_file(pair, target, task, counted, {"first": first, "second": second})
    share = counted["changed"] / max(counted["known"], 1)
    told(
        f"{counted['changed']} of {counted['known']} pixels changed ({100 * share:.2g} %; false alarms: "
        f"{task.changes.false_alarms:g} of all pixels)"
    )
    if notes is None:
        told.warn(stacklevel=3)
    facts = {"false_alarms": task.changes.false_alarms, "most_shift": task.shift, **pair.facts}
    names = _date_name(first, "first"), _date_name(second, "second")
    return ChangeMap(files, counted["changed"], counted["known"], tuple(told.texts), values, names, facts)


def _date_name(source: RadarSource, otherwise: str) -> str:
    return Path(source).name if isinstance(source, str | os.PathLike) else otherwise


def page_of(found: ChangeMap, command: str | None = None) -> str:
    """Return the page of a map of change."""
    parts = found._middle()
    of_bands = list(found.facts.get("bands", {}).items()) or [("", {})] * (len(parts) // len(RESULTS))
    pages = []
    for n, (number, known) in enumerate(of_bands):
        change, low, high, changed = parts[len(RESULTS) * n : len(RESULTS) * (n + 1)]
        shift = known.get("shift", found.facts.get("shift"))
        facts = [("shift of the second date", _shift_told(shift, found.facts["most_shift"]))]
        if "looks" in known:
            facts += [
                ("looks", ", ".join(f"{looks:.2f}" for looks in known["looks"])),
                ("level of the second date as a whole", f"{known['level_db']:+.2f} dB"),
            ]
        name = f"band {number}" if number else f"band {n + 1}"
        pages.append(BandChange(name, change, low, high, np.nan_to_num(changed) > 0.5, facts))
    first, second = found.names
    head_ = [
        ("first date", first),
        ("second date", second),
        ("false alarms", f"{found.facts['false_alarms']:g} of all pixels without a change"),
    ]
    return render(pages, name=f"{first} to {second}", facts=head_, command=command, notes=found.notes)


def _shift_told(shift: dict[str, float] | None, most: float) -> str:
    if shift is None:
        return "none that the scene tells"
    return f"{shift['down']:+.2f} px down, {shift['right']:+.2f} px right (± {shift['error']:.2f}; refused beyond {most:g})"


def record_of(target: Path) -> Path:
    """Return the record that is written beside a map of change."""
    return named_beside(target, target.name + ".json")


def _written(pair: DatePair, counted: dict[str, int]) -> Iterator[tuple[int, Window, NDArray[np.float32]]]:
    """Yield (number of the band from 1, window, values) of a map, and count its pixels."""
    for n, band in enumerate(pair.bands):
        for window, block in blocks(pair, band):
            counted["changed"] += int((block.changed & block.known).sum())
            counted["known"] += int(block.known.sum())
            for k, x in enumerate(_bands(block)):
                yield len(RESULTS) * n + k + 1, window, np.where(block.known, x, np.nan).astype(np.float32)


def _bands(block: BlockChange) -> tuple[NDArray[np.floating], ...]:
    middle, width = DECIBEL * block.log_ratio, DECIBEL * WIDTH * block.deviation
    return middle, middle - width, middle + width, block.changed.astype(np.float64)


def _to_file(
    pair: DatePair, target: Path, task: Changing, counted: dict[str, int], sources: dict[str, RadarSource]
) -> tuple[Path, ...]:
    scene = pair.scene
    like = _raster(scene, pair.bands)
    with tempfile.TemporaryDirectory(prefix=f".{target.name[:40]}.", dir=target.parent) as folder, together():
        work = Path(folder) / target.name
        with geotiff.writing(work, like, dtype="float32", nodata=float("nan")) as writer:
            for number, window, values in _written(pair, counted):
                writer.write(window, number, values)
        facts = {
            "false_alarms": task.changes.false_alarms,
            "interval": 0.9,
            "changed": counted["changed"],
            "known": counted["known"],
            **pair.facts,
        }
        paths = {name: Path(s) for name, s in sources.items() if isinstance(s, str | os.PathLike)}
        tags = {geotiff.PROVENANCE: json.dumps(facts), "TIFFTAG_SOFTWARE": f"restorekit {restorekit.__version__}"}
        geotiff.add_tags(work, tags)
        geotiff.finish(work, target, side=like.tile or geotiff.BLOCK, power=False)
        write_json(record_of(target), head(paths or None, command="change") | facts | {"outputs": outputs([target])})
    return (target,)


def _raster(scene: Scene, bands: tuple[int, ...]) -> Raster:
    """Return what the map says of itself: the place of the scene, and a name and a unit for each band."""
    like = scene.raster or plain(scene)
    names = [like.descriptions[band - 1] if len(like.descriptions) >= band else None for band in bands]
    heads = [
        f"{name or f'band {band}'} " if len(bands) > 1 or name else "" for name, band in zip(names, bands, strict=True)
    ]
    count = len(RESULTS) * len(bands)
    return replace(
        like, count=count, dtype="float32", descriptions=tuple(f"{head_}{what}" for head_ in heads for what in RESULTS),
        units=tuple(unit for _ in bands for unit in ("dB", "dB", "dB", None)), scales=(1.0,) * count, offsets=(0.0,) * count,
        colorinterp=(), band_tags=({},) * count, masked=False, alpha=(),
    )  # fmt: skip
