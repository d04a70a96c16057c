"""Two dates give a map of change: the ratio of what lies under their speckle in dB, its 90 % interval, and where it is none of
chance.

Of measured dates, y_2 / y_1 is told from speckle by the law of q = y_1 / (y_1 + y_2) (`restorekit.sar.changes`), and what is left
beside the changes is averaged over squares of `WINDOW` pixels: one step of the score of that law, u = (mean q - q0) (M + 1) / (M q0
(1 - q0)), of variance (M + 1) / (M^2 q0 (1 - q0) n) over n independent pixels, which no texture changes. Of restored dates it is the
ratio of the means, and its deviation that of both OUT_std together; what two dates that were restored together have in common does not
cancel in that, so intervals are then too wide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import scipy

from restorekit.despeckling.plan import beside
from restorekit.despeckling.radar_band import SIDE as SEEN
from restorekit.despeckling.radar_band import RadarBand, bands_of, windows
from restorekit.despeckling.same_place import LOOKED_AT, check_names, check_shifts, same_place
from restorekit.despeckling.stack import StackPlan
from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.files.record import record_beside
from restorekit.files.scene import Reads, Scene
from restorekit.products.opening import scene_of
from restorekit.sar.between_dates import Shift
from restorekit.sar.changes import ChangeTest
from restorekit.sar.looks import Array, Mask
from restorekit.sar.structure import Bar
from restorekit.scenes.grid import Grid

WINDOW = 9  # side of the squares over which what is no change is averaged, pixels
ENDS = 5  # side of the squares in which a change may end elsewhere than at its rectangle
SIDE = 512  # of the blocks, pixels
WIDTH = float(scipy.special.ndtri(0.95))  # of a 90 % interval, standard deviations on each side
DECIBEL = 10 / math.log(10)  # of a natural logarithm
RESULTS = ("change", "low", "high", "changed")  # bands of the map, for each band of the dates


@dataclass(frozen=True, eq=False)
class BlockChange:
    """The change of one block, each (h, w): ln of the second date over the first, its standard deviation, where it is called a
    change, and where both dates are measured."""

    log_ratio: Array
    deviation: Array
    changed: Mask
    known: Mask


class DatePair(Protocol):
    """Two dates that are compared block by block, band by band (`bands`, from 1)."""

    @property
    def scene(self) -> Scene: ...
    @property
    def bands(self) -> tuple[int, ...]: ...
    @property
    def margin(self) -> int: ...
    @property
    def facts(self) -> dict[str, Any]: ...
    def opened(self, files: ExitStack) -> list[Reads]: ...
    def __call__(self, sources: list[Reads], band: int, window: Window) -> BlockChange: ...


@dataclass(frozen=True, eq=False)
class MeasuredPair:
    """Two dates as measured. plan: of both, each band a group."""

    plan: StackPlan

    @property
    def scene(self) -> Scene:
        """Return the first date."""
        return self.plan.plans[0].scene

    @property
    def bands(self) -> tuple[int, ...]:
        """Return the groups."""
        return tuple(self.plan.groups)

    @property
    def margin(self) -> int:
        """Return the pixels around a block that it depends on."""
        return self.plan.together.changes.halo + WINDOW // 2

    @property
    def facts(self) -> dict[str, Any]:
        """Return what is known of each band, for the record."""
        bands = {}
        for group, slots in self.plan.groups.items():
            level, facts = self.plan.levels[group], [self.plan.plans[n].bands[b][1] for n, b in slots]
            decibels = DECIBEL * math.log(level.gains[1] / level.gains[0])
            bands[str(group)] = {
                "looks": [f.detected for f in facts], "grain": list(self.plan.grain(group)), "level_db": decibels,
                "dispersion": level.dispersion, "shift": _shift(next(iter(self.plan.shifts[group].values()))),
            }  # fmt: skip
        return {"bands": bands}

    def opened(self, files: ExitStack) -> list[Reads]:
        """Return both dates, open for as long as `files` is."""
        return [files.enter_context(made.scene.opened()) for made in self.plan.plans]

    def __call__(self, sources: list[Reads], band: int, window: Window) -> BlockChange:
        """Return the change of a window of a group."""
        slots, level = self.plan.groups[band], self.plan.levels[band]
        read = [self.plan.plans[n].bands[b][0].read(sources[n], window) for n, b in slots]
        y = np.stack([x / gain for (_, x, _, _), gain in zip(read, level.gains, strict=True)])
        signal = np.stack([there for *_, there in read])
        looks = [self.plan.plans[n].bands[b][1].detected for n, b in slots]
        test = self.plan.together.changes.fitted(looks, self.plan.grain(band), level.dispersion)
        known: Mask = np.logical_and.reduce(signal)
        log_ratio, deviation, changed = _compared(test, y, known, self.plan.grain(band))
        return BlockChange(log_ratio, deviation, changed, known)


def _compared(test: ChangeTest, y: Array, known: Mask, grain: tuple[float, float]) -> tuple[Array, Array, Mask]:
    """Return (ln of the second date over the first, its standard deviation, mask of change), each (h, w)."""
    found = test(np.where(known, y, 0.0), np.broadcast_to(known, y.shape))
    first, second = test.looks
    every, law = first + second, first / (first + second)
    one, other = (n * x / f for n, x, f in zip(test.looks, y, found.factor, strict=True))
    q = np.where(known, one / np.where(known, one + other, 1.0), 0.0)
    line = np.ones(WINDOW)

    def total(x: Array) -> Array:
        along = scipy.ndimage.correlate1d(x, line, 0, mode="constant")
        return scipy.ndimage.correlate1d(along, line, 1, mode="constant")

    count = np.maximum(total(known.astype(np.float64)), 1.0)
    u = (total(q) / count - law) * (every + 1) / (every * law * (1 - law))
    n = count * Bar(WINDOW, WINDOW).independent(grain) / WINDOW**2
    around = test.dispersion * (every + 1) / (every**2 * law * (1 - law) * n)
    # Of a ratio both parts of a change are known together.
    change = found.deviation.sum(0)
    steps = np.log(found.factor[1]) - np.log(found.factor[0])
    # Where a change ends is known to a few pixels.
    ends = scipy.ndimage.uniform_filter(steps**2, ENDS) - scipy.ndimage.uniform_filter(steps, ENDS) ** 2
    deviation = np.sqrt(around + change**2 + np.maximum(ends, 0))
    return steps - u, deviation, np.logical_or.reduce(found.mask)


def _shift(shift: Shift) -> dict[str, float] | None:
    """Return the shift of the second date and its error in pixels, for the record; None where the scene tells none."""
    if not shift.distance:
        return None
    return {"down": round(shift.down, 3), "right": round(shift.right, 3), "error": round(shift.error, 3)}


@dataclass(frozen=True, eq=False)
class RestoredPair:
    """Two dates that were despeckled, with their OUT_std. rate: of pixels that are falsely called changed."""

    scenes: tuple[Scene, Scene]
    deviations: tuple[Scene, Scene]
    read: tuple[dict[int, RadarBand], dict[int, RadarBand]]
    rate: float
    margin: int = 0
    shift: Shift | None = None  # of the second, where it was looked for

    @property
    def scene(self) -> Scene:
        """Return the first date."""
        return self.scenes[0]

    @property
    def bands(self) -> tuple[int, ...]:
        """Return the bands."""
        return tuple(self.read[0])

    @property
    def facts(self) -> dict[str, Any]:
        """Return what is known, for the record."""
        return {"restored": True, "shift": None if self.shift is None else _shift(self.shift)}

    def with_shift(self, most: float, say: Callable[[str], None]) -> RestoredPair:
        """Return the pair with its shift. Raises BadInput where the dates lie beside each other by more than `most` pixels; `say` is
        told of what is less."""
        parts, number = [], self.bands[0]
        with ExitStack() as files:
            sources = [files.enter_context(scene.opened()) for scene in self.scenes]
            every = windows(self.scene.height, self.scene.width, SEEN, 4)
            for window in every[:: max(1, len(every) // LOOKED_AT)]:
                read = [self.read[k][number].read(sources[k], window) for k in range(2)]
                parts.append((np.stack([x for _, x, _, _ in read]), np.stack([there for *_, there in read])))
        found = check_shifts(parts, [scene.path.name for scene in self.scenes], most, say)
        return replace(self, shift=next(iter(found.values())))

    def opened(self, files: ExitStack) -> list[Reads]:
        """Return both dates and the deviations of both, open for as long as `files` is."""
        return [files.enter_context(scene.opened()) for scene in (*self.scenes, *self.deviations)]

    def __call__(self, sources: list[Reads], band: int, window: Window) -> BlockChange:
        """Return the change of a window of a band."""
        logs, variance, known = [], np.zeros((window.height, window.width)), None
        for k in range(2):
            reader = self.read[k][band]
            raw, intensity, _, signal = reader.read(sources[k], window)
            std, there = sources[2 + k].read(window, band)
            own = signal & there
            known = own if known is None else known & own
            logs.append(np.log(np.where(signal, intensity, 1.0)))
            variance = variance + _relative(reader, raw, intensity, std, own) ** 2
        assert known is not None
        log_ratio, deviation = logs[1] - logs[0], np.sqrt(variance)
        limit = float(scipy.special.ndtri(1 - self.rate / 2))
        changed = known & (np.abs(log_ratio) > limit * deviation)
        return BlockChange(log_ratio, deviation, changed, known)


def _relative(band: RadarBand, raw: Array, intensity: Array, std: Array, known: Mask) -> Array:
    """Return the relative standard deviation of the intensity of which `std` is that in the numbers of the file."""
    s = np.where(known, std, 0.0).astype(np.float64) * abs(band.scale)
    if band.domain.name == "db":
        return s / DECIBEL
    x = np.where(known, intensity, 1.0)
    return 2 * s / np.sqrt(x) if band.domain.name == "amplitude" else s / x


def restored_pair(first: Path, second: Path, rate: float) -> RestoredPair | None:
    """Return two results of `restorekit despeckle`; None where one of them is none. Raises BadInput for a result without error
    bars, one of another grid, and a result beside a date as measured."""
    records = [record_beside(path, "despeckle") for path in (first, second)]
    if records == [None, None]:
        return None
    for path, record, other in ((first, records[0], second), (second, records[1], first)):
        if record is None:
            raise BadInput(
                f"{path.name} is as measured, and {other.name} despeckled; give both as measured, or both despeckled"
            )
        if not beside(path, "std").exists():
            raise BadInput(
                f"{path.name} has no {beside(path, 'std').name}, its error bar; despeckle it with samples, or give both dates as measured"
            )
    scenes = scene_of(first), scene_of(second)
    same_place(scenes)
    check_names(scenes)
    deviations = scene_of(beside(first, "std")), scene_of(beside(second, "std"))
    read = []
    for scene, record in zip(scenes, records, strict=True):
        assert record is not None
        domains = {int(n): facts["domain"] for n, facts in record[1].get("bands", {}).items()}
        with scene.opened() as source:
            read.append({
                n: bands_of(scene, source, [n], "intensity" if domain == "complex" else domain)[n][0] for n, domain in domains.items()
            })  # fmt: skip
    common = [n for n in read[0] if n in read[1]]
    if not common:
        raise BadInput(f"{first.name} and {second.name} have no band that was restored in both")
    one, other = ({n: bands[n] for n in common} for bands in read)
    return RestoredPair(scenes, deviations, (one, other), rate)


def blocks(pair: DatePair, band: int) -> Iterator[tuple[Window, BlockChange]]:
    """Yield the change of a band block by block, each with the window that it is of."""
    scene = pair.scene
    grid = Grid(scene.height, scene.width, SIDE, 0, 0)
    with ExitStack() as files:
        sources = pair.opened(files)
        for i, j in grid:
            core = grid.core(i, j)
            around = core.padded(pair.margin, scene.height, scene.width)
            found, at = pair(sources, band, around), core.inside(around)
            yield core, BlockChange(found.log_ratio[at], found.deviation[at], found.changed[at], found.known[at])
