"""A stack of dates is looked at, refused where its dates do not lie on each other, and despeckled as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from restorekit.despeckling.block import BlockDespeckling
from restorekit.despeckling.joint_block import JointDespeckling
from restorekit.despeckling.plan import DespecklePlan, plan
from restorekit.despeckling.same_place import check_different, check_names, check_shifts, intensities, same_place
from restorekit.despeckling.settings import Settings
from restorekit.despeckling.shared_blocks import DateStore, JointJob, Slot
from restorekit.despeckling.survey import CORRELATED, BandStatistics
from restorekit.errors import BadInput
from restorekit.files.atomic import named_beside
from restorekit.files.bands import Window
from restorekit.files.scene import Scene
from restorekit.products.opening import scene_as
from restorekit.sar.between_dates import REACHES, SCALE, Levels, Shift, levels
from restorekit.sar.changes import Changes
from restorekit.sar.looks import Grain, kappa_of_grain
from restorekit.scenes.blend import BlendedScene
from restorekit.scenes.block_store import BlockStore, Key, MemoryStore, Store, opened
from restorekit.scenes.execute import Executor, Serial
from restorekit.scenes.operation import BlockJob

Way = Literal["change", "ratio"]
WAYS = get_args(Way)
LEVEL = 0.2  # dB by which the level of a date differs before it is said


@dataclass(frozen=True, kw_only=True)
class Together:
    """Settings of what dates have in common. by: "change", where a date differs from the mean of all only where it changed, or
    "ratio", its ratio to the mean restored (`restorekit.despeckling.joint_block`). changes: the test of "change". shift: pixels by
    which a date may lie beside the others."""

    by: Way = "change"
    changes: Changes = field(default_factory=Changes)
    shift: float = 0.3

    def __post_init__(self) -> None:
        if self.by not in WAYS:
            raise BadInput(f"`joint_by={self.by}` is unknown; known: {', '.join(WAYS)}", argument="joint_by")


@dataclass(frozen=True, eq=False)
class StackPlan:
    """A stack that was looked at. plans: of each file by itself; groups: dates restored together; levels: of each group."""

    plans: tuple[DespecklePlan, ...]
    together: Together
    groups: dict[int, tuple[Slot, ...]]
    levels: dict[int, Levels]
    said: list[str]
    preview: Window | None = None
    keep_draws: bool = False
    shifts: dict[int, dict[str, Shift]] = field(default_factory=dict)  # of the dates of each group, by name

    @cached_property
    def job(self) -> JointJob:
        """Return everything that a worker needs."""
        jobs = tuple(made.job for made in self.plans)
        operations = {group: self._operation(group, jobs) for group in self.groups}
        return JointJob(jobs, self.groups, operations, jobs[0].grid, 1 if len(self.keys) > 1 else None)

    @property
    def timed(self) -> BlockJob:
        """Return the blocks by which a run is timed beforehand: those of one date, as all are restored once."""
        return self.plans[0].job

    @property
    def target(self) -> Path | None:
        """Return the first file to write; None where the results stay in memory."""
        return self.plans[0].target

    @cached_property
    def keys(self) -> list[Key]:
        """Return the blocks that count for what is asked."""
        grid = self.plans[0].job.grid
        return [
            (group, i, j) for group in self.groups for i, j in grid
            if self.preview is None or grid.kept(i, j).common(self.preview)
        ]  # fmt: skip

    def facts(self, group: int) -> BandStatistics:
        """Return what is known of the mean of the dates of a group."""
        found, level = self._facts(group), self.levels[group]
        looks = level.looks([facts.detected for facts in found])
        own = found[0]
        middle = float(np.median([f.middle - np.log(g) for f, g in zip(found, level.gains, strict=True)]))
        kappa = kappa_of_grain(self.grain(group))
        remedy = "temper" if kappa > CORRELATED and self.plans[0].settings.remedy != "none" else "none"
        return replace(own, middle=middle, looks=looks, kappa=kappa, remedy=remedy, whitening=None, before=None)

    def grain(self, group: int) -> Grain:
        """Return the correlation of intensity with the next row and column: as it is known of the product or given, else
        that of the dates against each other, which texture does not change, the mean of all bands of the same files."""
        number, band = self.groups[group][0]
        product = self.plans[number].scene.product
        own = None if product is None else product.bands[band - 1]
        settings = self.plans[number].settings
        known = settings.speckle() if own is None else settings.speckle(own.looks, own.grain)
        if known.grain is not None:
            return known.grain
        # Polarisations of one file have one grain.
        alike = list(self.levels.values()) if len(self.plans) > 1 else [self.levels[group]]
        down, across = (float(np.mean(axis)) for axis in zip(*(level.grain for level in alike), strict=True))
        return down, across

    def _facts(self, group: int) -> list[BandStatistics]:
        return [self.plans[number].bands[band][1] for number, band in self.groups[group]]

    def _operation(self, group: int, jobs: tuple[BlockJob, ...]) -> JointDespeckling:
        settings, facts, slots = self.plans[0].settings, self.facts(group), self.groups[group]
        dates = [jobs[number].operation for number, _ in slots]
        singles = tuple(date for date in dates if isinstance(date, BlockDespeckling))
        grain, targets, structure = (
            self.grain(group),
            settings.targets,
            settings.structure if settings.structured else None,
        )
        detector = None if targets is None else targets.fitted(facts.looks, grain)
        looks, level = [f.detected for f in self._facts(group)], self.levels[group]
        changes = None
        if self.together.by == "change":
            changes = self.together.changes.fitted(looks, grain, level.dispersion)
        halos = [0 if detector is None else detector.halo, 0 if changes is None else changes.settings.halo]
        halos[1] += math.ceil(SCALE * REACHES) if level.drift else 0
        return JointDespeckling(
            singles, tuple(band for _, band in slots), level.gains, settings.method, facts, changes, detector,
            None if structure is None else structure.fitted(facts.looks, grain),
            level.drift, max(*halos, *(single.margin for single in singles)), self.keep_draws,
        )  # fmt: skip

    @property
    def folder(self) -> Path:
        """Return the folder of unfinished work."""
        assert self.target is not None
        return named_beside(self.target, f".{self.target.name}.joint.work")

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Return all that must be the same for the work of one run to be of use to another."""
        return {"dates": [made.identity for made in self.recorded]}

    @cached_property
    def recorded(self) -> tuple[DespecklePlan, ...]:
        """Return the plans with what their results depend on besides: the other dates."""
        names, inputs = [made.scene.path.name for made in self.plans], [made.identity["input"] for made in self.plans]
        by, test = self.together.by, asdict(self.together.changes)
        common = {"by": by, **({"changes": test} if by == "change" else {}), "names": names, "inputs": inputs}
        common["groups"] = {str(group): {"looks": self.facts(group).looks, **asdict(level)} for group, level in self.levels.items()}  # fmt: skip
        return tuple(replace(made, joint=common) for made in self.plans)

    def finished(self) -> set[Key]:
        """Return the blocks that an interrupted run of the same settings left."""
        return Store(self.folder).finished() & set(self.keys) if self.folder.is_dir() else set()

    def run(
        self,
        executor: Executor | None = None,
        *,
        tile: int = 0,
        restart: bool = False,
        progress: Callable[[int, int], None] | None = None,
        snap: bool = False,
        say: Callable[[str], None] | None = None,
    ) -> list[list[Path]]:
        """Treat what is not yet treated, write the files of all dates, and return their paths. What is interrupted goes on when
        run again."""
        outputs = []
        for made in self.recorded:
            assert made.target is not None
            outputs.append(made.outputs(made.target, snap))
        with opened(self.folder, self.identity, restart=restart) as store:
            scenes = self._treated(store, executor, progress, say)
            for made, out, scene in zip(self.recorded, outputs, scenes, strict=True):
                made.write(out, scene, store.folder)
            store.drop()
        return [made.results(out) for made, out in zip(self.recorded, outputs, strict=True)]

    def in_memory(
        self,
        executor: Executor | None = None,
        *,
        tile: int = 0,
        progress: Callable[[int, int], None] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> list[BlendedScene]:
        """Treat all blocks and return them, a scene for each file; nothing is written."""
        return self._treated(MemoryStore(), executor, progress, say)

    def _treated(
        self,
        store: BlockStore,
        executor: Executor | None,
        progress: Callable[[int, int], None] | None,
        say: Callable[[str], None] | None,
    ) -> list[BlendedScene]:
        done = store.finished() & set(self.keys)
        tasks = [[key] for key in self.keys if key not in done]
        for key, layers in (executor or Serial())(self.job, tasks):
            store.put(key, layers)
            done.add(key)
            if progress is not None:
                progress(len(done), len(self.keys))
        scenes = []
        for number, made in enumerate(self.recorded):
            slots = {
                band: (g, t) for g, every in self.groups.items() for t, (n, band) in enumerate(every) if n == number
            }
            scene = BlendedScene(made.job, DateStore(store, slots), self.preview)
            scenes.append(scene)
            for text in [] if say is None else made.counted.said(scene):
                say(text if len(self.plans) == 1 else f"{made.scene.path.name}: {text}")  # type: ignore[misc]
        return scenes


def stack(
    sources: Sequence[Path | Scene],
    targets: Sequence[Path | None],
    settings: Settings,
    joint: Together,
    preview: Window | None = None,
) -> StackPlan:
    """Look at the dates, several files or one whose bands they are, and return what is to be done. Raises BadInput for what a
    single scene is refused for, and for dates that do not lie on each other, with the shift that was found."""
    if settings.covariance:
        raise BadInput(
            "`covariance` is of one date: C12 of several is not restored; leave out `joint`, and dates are restored one by one",
            argument="covariance",
        )
    if settings.decorrelate in ("whiten", "subsample"):
        raise BadInput(
            f"`decorrelate={settings.decorrelate}` is for one date; several are restored with auto or none, complex ones by their intensities",
            argument="decorrelate",
        )
    if settings.method.text.startswith("sar-dps:paper"):
        raise BadInput(
            "`solver=paper` takes pictures, one date at a time; take ep or hqs for several", argument="solver"
        )
    if len(sources) == 1:  # its bands are dates
        settings = replace(settings, polarisations="apart")
    scenes = [scene_as(source, settings.domain, settings.reading, settings.bands) for source in sources]
    same_place(scenes)
    check_names(scenes)
    made = [plan(source, target, settings, preview) for source, target in zip(sources, targets, strict=True)]
    said = _told(made)
    if empty := [one.scene.path.name for one in made if not one.bands]:
        raise BadInput(f"{empty[0]}: nothing that can be a radar intensity was measured in this date; leave it out")
    if len(made) == 1:
        slots = [(0, band) for band in made[0].bands]
        groups = {1: tuple(slots)} if slots else {}
        names = [f"band {band}" for _, band in slots]
    else:
        numbers = sorted({band for one in made for band in one.bands})
        groups = {b: tuple((n, b) for n, one in enumerate(made) if b in one.bands) for b in numbers}
        names = [one.scene.path.name for one in made]
    if not groups or min(len(slots) for slots in groups.values()) < 2:
        raise BadInput(
            "`joint` restores several dates together, and there is one; give more files, or one whose bands are the dates",
            argument="joint",
        )
    found: dict[int, Levels] = {}
    shifts: dict[int, dict[str, Shift]] = {}
    for group, slots in groups.items():
        who = names if len(made) == 1 else [names[number] for number, _ in slots]
        parts = intensities(made, slots)
        check_different(parts, who)
        shifts[group] = check_shifts(parts, who, joint.shift, said.append)
        looks = [made[number].bands[band][1].detected for number, band in slots]
        found[group] = levels(parts, looks)
        said.extend(_levels_told(found[group], who, looks, "" if len(groups) == 1 else f"band {group}: "))
    return StackPlan(tuple(made), joint, groups, found, said, preview, shifts=shifts)


def _told(made: Sequence[DespecklePlan]) -> list[str]:
    if len(made) == 1:
        return list(made[0].said)
    return [f"{one.scene.path.name}: {text}" for one in made for text in one.said]


def _levels_told(level: Levels, names: Sequence[str], looks: Sequence[float], head: str) -> list[str]:
    said = []
    decibels = 10 * np.log10(level.gains)
    if np.abs(decibels).max() > LEVEL:
        of_dates = ", ".join(f"{name} {db:+.1f}" for name, db in zip(names, decibels, strict=True))
        said.append(f"{head}levels of the dates as a whole, dB: {of_dates}; taken out before dates are compared")
    total, mean = sum(looks), level.looks(looks)
    if level.correlation:
        said.append(
            f"{head}dates differ less than speckle of {total / len(looks):.3g} looks does: its correlation from date to date is "
            f"{level.correlation:.2f}, or looks are more and are to be given; their mean is taken to have {mean:.3g} looks, and not {total:.3g}"
        )
    else:
        said.append(f"{head}{len(looks)} dates restored together: their mean has {mean:.3g} looks")
    said[-1] += (
        f"; correlation of their differences with the next row {level.grain[0]:.2f}, column {level.grain[1]:.2f}"
    )
    if level.drift:
        said.append(
            f"{head}levels of the dates drift from place to place; what is smooth of that is taken out before dates are compared, and put back"
        )
    if level.dispersion > 1.3:
        said.append(
            f"{head}dates differ {level.dispersion:.1f} times as much as speckle explains, everywhere; smaller changes are not told from that"
        )
    return said
