"""A despeckled scene is judged by bands of intensities, read as `despeckle` reads them, and figures of each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import restorekit
from restorekit.despeckling.radar_band import RadarBand, bands_of, not_bright
from restorekit.errors import BadInput
from restorekit.files.bands import Raster
from restorekit.files.datasets import container
from restorekit.files.overwrite import separate
from restorekit.files.picture import write_text
from restorekit.files.reading import PLAINLY, Reading
from restorekit.files.scene import Scene, scene_in_memory
from restorekit.fusion.common_grid import differences, placed
from restorekit.notes import Notes
from restorekit.products.opening import scene_as
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
    by: Array | None
    valid: Mask


@dataclass(frozen=True, kw_only=True)
class SpeckleAssessment:
    """Settings of the figures; the call judges.

    domain: unit of the files, "intensity", "amplitude", "db", "complex", or "auto". looks: of what was measured, by default
    measured where it is flat. window, target: (top, left, height, width) of a flat part, for ENL and C_x, and of a bright
    target, for TCR. bands: of what was measured, from 1, by default all; those of a restored scene, or a truth, of as many bands as
    these are taken in their order. product: what is taken of a product of a radar satellite that was measured, as "VV,gamma0".
    """

    domain: str = "auto"
    bands: tuple[int, ...] | None = None
    product: str | None = None
    looks: float | None = None
    window: Box | None = None
    target: Box | None = None

    def __call__(
        self,
        measured: RadarSource,
        restored: RadarSource,
        truth: RadarSource | None = None,
        *,
        by: RadarSource | None = None,
        report: Path | None = None,
        notes: Notes | None = None,
    ) -> AssessedScene:
        """Judge `restored` by `measured`, and by `truth` where there is one: files, arrays (H, W) or (H, W, C), or tensors.

        by: a scene of the same place in the same unit whose speckle is another, as the result of another polarisation or date, or of
        the other half of the looks (`restorekit.sar.splitting`): levels are sorted from dark to bright by it, and not by `restored`.

        report: where a page will be saved, so that one which cannot be is refused first; without it no pictures are kept.
        Raises `BadInput` where the sizes, the places on the map or the values do not fit.
        """
        notes = Notes() if notes is None else notes
        wanted = Wanted(self.looks, self.window, self.target)
        given = {"the measured scene": measured, "the restored scene": restored, "the truth": truth, "the levels": by}
        sources = {name: s for name, s in given.items() if s is not None}
        if report is not None:
            separate([container(Path(s)) for s in sources.values() if isinstance(s, str | os.PathLike)], [report])
        scenes = [self._scene(s, name) if s is measured else _scene(s, name) for name, s in sources.items()]
        numbers = self._numbers(scenes)
        units, found, shown = list[str](), list[tuple[str, Assessment]](), list[BandPage]()
        for band in _bands(scenes, numbers, self.domain, units, notes, [*sources]):
            try:
                assessment = assess(band.measured, band.restored, band.valid, wanted, band.truth, band.by)
            except BadInput as error:
                raise BadInput(f"{scenes[0].path}, {band.name}: {error}", argument=error.argument) from None
            found.append((band.name, assessment))
            if report is not None:
                shown.append(BandPage(band.name, band.measured, band.restored, band.valid, assessment))
        return AssessedScene(
            scenes, found, units[0], notes, shown, tuple(name.removeprefix("the ") for name in sources)
        )

    def _scene(self, source: RadarSource, name: str) -> Scene:
        """Return what was measured, of which two bands may be parts of complex numbers."""
        return _scene(source, name, self.domain, Reading(product=self.product), self.bands)

    def _numbers(self, scenes: list[Scene]) -> list[list[int]]:
        """Return the bands that are compared, of each scene. Raises BadInput where the scenes do not fit."""
        first, *others = scenes
        pair = first.reading.parts is not None
        chosen = list(first.bands if pair or self.bands is None else self.bands)
        if unknown := set(chosen) - set(first.bands):
            raise BadInput(
                f"`bands={min(unknown)}`: {first.path.name} has {', '.join(map(str, first.bands))}", argument="bands"
            )
        found = [chosen]
        for scene in others:
            same = len(scene.bands) == len(first.bands)  # `despeckle` leaves bands that were not asked for as they are
            found.append([scene.bands[first.bands.index(n)] for n in chosen] if same else list(scene.bands))
        _check_sizes(scenes, found)
        return found


@dataclass(frozen=True, eq=False)
class AssessedScene:
    """Figures of a despeckled scene, (name, assessment) of each band, and the unit that its files were taken to have."""

    scenes: list[Scene]  # measured, restored, and the truth and the levels where they are given
    bands: list[tuple[str, Assessment]]
    domain: str
    told: Notes
    shown: list[BandPage]
    names: tuple[str, ...]  # what each of the scenes is

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
        facts = [(name.removesuffix(" scene"), s.path.name) for name, s in zip(self.names, self.scenes)]
        facts += [("size", f"{w} × {h}, {bands} band{'s' if bands > 1 else ''}"), ("unit", self.domain)]
        return [*facts, ("judged by", f"restorekit {restorekit.__version__}")]


def _scene(
    source: RadarSource, name: str, domain: str = "", reading: Reading = PLAINLY, bands: tuple[int, ...] | None = None
) -> Scene:
    """Return a scene; domain, bands: of what was measured, which may be parts of complex numbers, "" and None of others."""
    path = isinstance(source, str | os.PathLike)
    made = Path(source) if path else scene_in_memory(bands_first(source)[0], name)  # type: ignore[arg-type]
    return scene_as(made, domain, reading, bands)


def _check_sizes(scenes: list[Scene], numbers: list[list[int]]) -> None:
    """Raise BadInput where the scenes are of different sizes or places."""
    first, *others = ((len(n), s.height, s.width) for s, n in zip(scenes, numbers))
    name = scenes[0].path
    for scene, shape in zip(scenes[1:], others):
        if shape != first:
            a, b = ("x".join(map(str, v)) for v in (first, shape))
            some = "; of some bands give `bands`" if shape[1:] == first[1:] else ""
            raise BadInput(
                f"{name} is {a}, {scene.path} is {b} (bands x height x width); give files of one size{some}",
                argument="bands" if some else None,
            )
        if why := _apart(scenes[0].raster, scene.raster):
            raise BadInput(
                f"{name} and {scene.path} do not lie on each other ({'; '.join(why)}); give files of one scene"
            )


def _bands(
    scenes: list[Scene], numbers: list[list[int]], domain: str, units: list[str], notes: Notes, names_of: list[str]
) -> Iterator[BandIntensities]:
    """Yield the intensities of each band of `numbers`; `units` gets its unit."""
    first, chosen = scenes[0], numbers[0]
    names = ("",) * first.count if first.raster is None else first.raster.descriptions
    read = list[dict[int, RadarBand]]()
    others = not_bright(first, chosen) if domain == "auto" else {}
    for number, what in others.items():
        notes(f"band {number} is {what}, and is left out")
    kept = [i for i, number in enumerate(chosen) if number not in others]
    if not kept:
        raise BadInput(f"{first.path}: no band is a brightness; say what they are by `domain`")
    for scene, own in zip(scenes, numbers):
        if scene is first:
            found = _read(scene, [own[i] for i in kept], domain)
            units.extend(band.domain.name for band, _ in found.values())
            for _, note in found.values():
                if note:
                    notes(note)
        else:  # all are in the unit of what was measured, and intensities where that is complex
            same = ["intensity" if u == "complex" else u if domain == "auto" else domain for u in units]
            try:
                found = dict(item for i, unit in zip(kept, same) for item in _read(scene, [own[i]], unit).items())
            except BadInput as error:
                unit = " or ".join(dict.fromkeys(same))
                raise BadInput(f"{error}; all files are to be in the unit of {first.path.name}, {unit}") from None
        read.append({number: band for number, (band, _) in found.items()})
    for i in kept:
        parts = list[tuple[Array, Mask, Mask]]()
        for scene, own, bands in zip(scenes, numbers, read):
            with scene.opened() as source:
                parts.append(bands[own[i]].read(source, scene.whole)[1:])
        if (noise := read[0][chosen[i]].noise) is not None:  # which is not in what was restored
            parts[1:] = [(x + noise(first.whole), there, signal) for x, there, signal in parts[1:]]
        valid = np.logical_and.reduce([parts[0][2], *(there for _, there, _ in parts[1:])])
        kinds = {kind: np.where(valid, intensity, 0.0) for kind, (intensity, _, _) in zip(names_of, parts)}
        y, x, truth, by = (kinds.get(f"the {what}") for what in ("measured scene", "restored scene", "truth", "levels"))
        assert y is not None
        assert x is not None
        yield BandIntensities(names[chosen[i] - 1] or f"band {chosen[i]}", y, x, truth, by, valid)


def _apart(one: Raster | None, other: Raster | None) -> list[str]:
    """Return what says that two rasters are not of one place; [] where not both say where they lie."""
    if one is None or other is None or not (placed(one) and placed(other)):
        return []
    return differences(one, other)


def _read(scene: Scene, numbers: list[int], domain: str) -> dict[int, tuple[RadarBand, str]]:
    """Return how to read bands, and what is to be said about each. Raises BadInput that names the file."""
    with scene.opened() as source:
        try:
            return bands_of(scene, source, numbers, domain)
        except BadInput as error:
            raise BadInput(f"{scene.path}: {error}") from None


def _text(name: str, a: Assessment) -> str:
    known = "given" if a.measured is None else str(a.measured)
    lines = [f"{name}: {known if a.measured is not None else f'looks {a.looks:g}, {known}'}"]
    wide = max(len(f.title) for f in a.figures)
    lines += [f"  {f.title:{wide}}  {f.text:>8}  should be {f.should}" for f in a.figures]
    lines += [
        f"  cells of {b.side}, tenths dark to bright, dB: {_signed(b.bias)}  (se {_plain(b.error)})" for b in a.levels
    ]
    return "\n".join([*lines, *(f"  note: {n}" for n in a.notes)])


def _signed(values: tuple[float, ...]) -> str:
    return " ".join(f"{v:+.2f}" for v in values)


def _plain(values: tuple[float, ...]) -> str:
    return " ".join(f"{v:.2f}" for v in values)
