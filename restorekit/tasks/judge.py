"""A despeckled scene is judged by bands of intensities, read as `despeckle` reads them, and figures of each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import restorekit
from restorekit.despeckling.survey import RadarBand, band_of
from restorekit.errors import BadInput
from restorekit.files.bands import Raster
from restorekit.files.datasets import container
from restorekit.files.overwrite import separate
from restorekit.files.picture import write_text
from restorekit.files.scene import Scene, scene_in_memory, scene_of
from restorekit.fusion.common_grid import differences, placed
from restorekit.notes import Notes
from restorekit.report.despeckled import BandPage, render
from restorekit.sar.assessment import Assessment, Box, Wanted, assess
from restorekit.sar.looks import Array, Mask
from restorekit.tasks.despeckle import RadarSource
from restorekit.tasks.inputs import bands_first


class BandIntensities(NamedTuple):
    """One band of all files, (H, W) each; `valid`: where all have a value and something was measured."""

    name: str
    measured: Array
    restored: Array
    truth: Array | None
    valid: Mask


@dataclass(frozen=True, kw_only=True)
class SpeckleAssessment:
    """Settings of the figures; the call judges.

    domain: unit of the files, "intensity", "amplitude", "db", "complex", or "auto". looks: of what was measured, by default
    measured where it is flat. window, target: (top, left, height, width) of a flat part, for ENL and C_x, and of a bright
    target, for TCR.
    """

    domain: str = "auto"
    looks: float | None = None
    window: Box | None = None
    target: Box | None = None

    def __call__(
        self,
        measured: RadarSource,
        restored: RadarSource,
        truth: RadarSource | None = None,
        *,
        report: Path | None = None,
        notes: Notes | None = None,
    ) -> AssessedScene:
        """Judge `restored` by `measured`, and by `truth` where there is one: files, arrays (H, W) or (H, W, C), or tensors.

        report: where a page will be saved, so that one which cannot be is refused first; without it no pictures are kept.
        Raises `BadInput` where the sizes, the places on the map or the values do not fit.
        """
        notes = Notes() if notes is None else notes
        wanted = Wanted(self.looks, self.window, self.target)
        sources = [s for s in (measured, restored, truth) if s is not None]
        if report is not None:
            separate([container(Path(s)) for s in sources if isinstance(s, str | os.PathLike)], [report])
        scenes = [
            _scene(s, name) for s, name in zip(sources, ("the measured scene", "the restored scene", "the truth"))
        ]
        _check_sizes(scenes)
        units, found, shown = list[str](), list[tuple[str, Assessment]](), list[BandPage]()
        for band in _bands(scenes, self.domain, units, notes):
            try:
                assessment = assess(band.measured, band.restored, band.valid, wanted, band.truth)
            except BadInput as error:
                raise BadInput(f"{scenes[0].path}, {band.name}: {error}") from None
            found.append((band.name, assessment))
            if report is not None:
                shown.append(BandPage(band.name, band.measured, band.restored, band.valid, assessment))
        return AssessedScene(scenes, found, units[0], notes, shown)


@dataclass(frozen=True, eq=False)
class AssessedScene:
    """Figures of a despeckled scene, (name, assessment) of each band, and the unit that its files were taken to have."""

    scenes: list[Scene]  # measured, restored, and the truth where there is one
    bands: list[tuple[str, Assessment]]
    domain: str
    told: Notes
    shown: list[BandPage]

    @property
    def notes(self) -> tuple[str, ...]:
        """Return texts that a reader of the figures should know."""
        return tuple(self.told.texts)

    def plain(self) -> dict[str, Any]:
        """Return all figures as plain values, for JSON."""
        bands = [{"band": name, **assessment.plain()} for name, assessment in self.bands]
        return {"files": [str(s.path) for s in self.scenes], "domain": self.domain, "bands": bands}

    def __str__(self) -> str:
        return "\n\n".join(_text(name, assessment) for name, assessment in self.bands)

    def save(self, path: str | os.PathLike[str], command: str = "") -> list[Path]:
        """Write the page of a call that was given `report`, with `command` on it; returns its path."""
        page = render(
            self.shown, name=self.scenes[0].path.name, over="restorekit metrics sar", facts=self._facts(),
            command=command,
        )  # fmt: skip
        write_text(path, page)
        return [Path(path)]

    def _facts(self) -> list[tuple[str, str]]:
        first = self.scenes[0]
        bands, h, w = len(first.bands), first.height, first.width
        names = ("measured", "restored", "truth")
        facts = [(name, s.path.name) for name, s in zip(names, self.scenes)]
        facts += [("size", f"{w} × {h}, {bands} band{'s' if bands > 1 else ''}"), ("unit", self.domain)]
        return [*facts, ("judged by", f"restorekit {restorekit.__version__}")]


def _scene(source: RadarSource, name: str) -> Scene:
    if isinstance(source, str | os.PathLike):
        return scene_of(Path(source))
    return scene_in_memory(bands_first(source)[0], name)


def _check_sizes(scenes: list[Scene]) -> None:
    """Raise BadInput where the scenes are of different sizes or places."""
    first, *others = ((len(s.bands), s.height, s.width) for s in scenes)
    name = scenes[0].path
    for scene, shape in zip(scenes[1:], others):
        if shape != first:
            a, b = ("x".join(map(str, v)) for v in (first, shape))
            raise BadInput(f"{name} is {a}, {scene.path} is {b} (bands x height x width); give files of one size")
        if why := _apart(scenes[0].raster, scene.raster):
            raise BadInput(
                f"{name} and {scene.path} do not lie on each other ({'; '.join(why)}); give files of one scene"
            )


def _bands(scenes: list[Scene], domain: str, units: list[str], notes: Notes) -> Iterator[BandIntensities]:
    """Yield the intensities of each band; `units` gets its unit."""
    first = scenes[0]
    names = ("",) * first.count if first.raster is None else first.raster.descriptions
    for i, number in enumerate(first.bands):
        parts, wanted = list[tuple[Array, Mask, Mask]](), domain
        for scene in scenes:
            read, note = _read(scene, scene.bands[i], wanted)
            if scene is first:
                units.append(read.domain.name)
                # All are in the unit of what was measured, and intensities where that is complex.
                wanted = "intensity" if read.domain.name == "complex" else read.domain.name
                if note:
                    notes(note)
            with scene.opened() as source:
                parts.append(read.read(source, scene.whole)[1:])
        valid = np.logical_and.reduce([parts[0][2], *(there for _, there, _ in parts[1:])])
        y, x, *truth = (np.where(valid, intensity, 0.0) for intensity, _, _ in parts)
        yield BandIntensities(names[number - 1] or f"band {number}", y, x, truth[0] if truth else None, valid)


def _apart(one: Raster | None, other: Raster | None) -> list[str]:
    """Return what says that two rasters are not of one place; [] where not both say where they lie."""
    if one is None or other is None or not (placed(one) and placed(other)):
        return []
    return differences(one, other)


def _read(scene: Scene, number: int, domain: str) -> tuple[RadarBand, str]:
    """Return how to read a band, and what is to be said about it. Raises BadInput that names the file."""
    with scene.opened() as source:
        try:
            return band_of(scene, source, number, domain)
        except BadInput as error:
            raise BadInput(f"{scene.path}: {error}") from None


def _text(name: str, a: Assessment) -> str:
    known = "given" if a.measured is None else str(a.measured)
    lines = [f"{name}: {known if a.measured is not None else f'looks {a.looks:g}, {known}'}"]
    wide = max(len(f.title) for f in a.figures)
    lines += [f"  {f.title:{wide}}  {f.text:>8}  should be {f.should}" for f in a.figures]
    return "\n".join([*lines, *(f"  note: {n}" for n in a.notes)])
