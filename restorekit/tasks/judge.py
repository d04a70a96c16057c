"""The files of `metrics sar` as bands of intensities, read as `despeckle` reads them, and what is said of each."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

import restorekit
from restorekit.cli.options import check_page
from restorekit.despeckling.survey import RadarBand, band_of
from restorekit.errors import BadInput
from restorekit.files.bands import Raster
from restorekit.files.overwrite import separate
from restorekit.files.picture import json_text, write_text
from restorekit.files.scene import Scene, scene_of
from restorekit.fusion.common_grid import differences, placed
from restorekit.report.despeckled import BandPage, render
from restorekit.sar.assessment import Assessment, Box, Wanted, assess
from restorekit.sar.looks import Array, Mask


@dataclass(frozen=True)
class Judged:
    measured_file: Path
    restored_file: Path
    truth_file: Path | None
    domain: str
    looks: str
    window: str | None
    target: str | None
    as_json: bool
    report: Path | None

    def run(self) -> None:
        wanted = Wanted(_looks(self.looks), _box("--window", self.window), _box("--target", self.target))
        self._check_report()
        self._check_sizes()
        found: list[tuple[str, Assessment]] = []
        shown: list[BandPage] = []
        for name, y, x, truth, valid in self._bands():
            try:
                assessment = assess(y, x, valid, wanted, truth)
            except BadInput as error:
                raise BadInput(f"{self.measured_file}, {name}: {error}") from None
            found.append((name, assessment))
            if self.report is not None:
                shown.append(BandPage(name, y, x, valid, assessment))
        print(self._json(found) if self.as_json else "\n\n".join(_text(name, a) for name, a in found))
        if self.report is not None:
            page = render(
                shown, name=self.measured_file.name, over="restorekit metrics sar", facts=self._facts(),
                command=self._command(),
            )  # fmt: skip
            write_text(self.report, page)
            print(f"restorekit: {self.report} written ({len(page) / 1e6:.1f} MB)", file=sys.stderr)

    @cached_property
    def scenes(self) -> list[Scene]:
        """Measured, restored, and the truth where there is one."""
        files = [self.measured_file, self.restored_file, self.truth_file]
        return [scene_of(path) for path in files if path is not None]

    def _check_report(self) -> None:
        if self.report is not None:
            check_page(self.report)
            files = (self.measured_file, self.restored_file, self.truth_file)
            separate([path for path in files if path is not None], [self.report])

    def _check_sizes(self) -> None:
        first, *others = ((len(s.bands), s.height, s.width) for s in self.scenes)
        for scene, shape in zip(self.scenes[1:], others):
            if shape != first:
                a, b = ("x".join(map(str, v)) for v in (first, shape))
                raise BadInput(
                    f"{self.measured_file} is {a}, {scene.path} is {b} (bands x height x width); give files of one size"
                )
            if why := _apart(self.scenes[0].raster, scene.raster):
                raise BadInput(
                    f"{self.measured_file} and {scene.path} do not lie on each other ({'; '.join(why)}); give files of one scene"
                )

    def _bands(self) -> Iterator[tuple[str, Array, Array, Array | None, Mask]]:
        """Name, measured, restored, truth, and where all have a value and something was measured, of each band; intensities."""
        first, said = self.scenes[0], set[str]()
        names = ("",) * first.count if first.raster is None else first.raster.descriptions
        for i, number in enumerate(first.bands):
            parts, domain = list[tuple[Array, Mask, Mask]](), self.domain
            for scene in self.scenes:
                read, note = _read(scene, scene.bands[i], domain)
                if scene is first:
                    self.units.append(read.domain.name)
                    # All are in the unit of what was measured, and intensities where that is complex.
                    domain = "intensity" if read.domain.name == "complex" else read.domain.name
                    if note not in ("", *said):
                        print(f"restorekit: note: {note}", file=sys.stderr)
                        said.add(note)
                with scene.opened() as source:
                    parts.append(read.read(source, scene.whole)[1:])
            valid = np.logical_and.reduce([parts[0][2], *(there for _, there, _ in parts[1:])])
            y, x, *truth = (np.where(valid, intensity, 0.0) for intensity, _, _ in parts)
            yield names[number - 1] or f"band {number}", y, x, truth[0] if truth else None, valid

    @cached_property
    def units(self) -> list[str]:
        """Of the bands that were read so far."""
        return []

    def _json(self, found: list[tuple[str, Assessment]]) -> str:
        files = [str(s.path) for s in self.scenes]
        bands = [{"band": name, **a.plain()} for name, a in found]
        return json_text({"files": files, "domain": self.units[0], "bands": bands})

    def _facts(self) -> list[tuple[str, str]]:
        first = self.scenes[0]
        bands, h, w = len(first.bands), first.height, first.width
        names = ("measured", "restored", "truth")
        facts = [(name, s.path.name) for name, s in zip(names, self.scenes)]
        facts += [("size", f"{w} × {h}, {bands} band{'s' if bands > 1 else ''}"), ("unit", self.units[0])]
        return [*facts, ("judged by", f"restorekit {restorekit.__version__}")]

    def _command(self) -> str:
        words: list[object] = ["restorekit", "metrics", "sar", self.measured_file, self.restored_file]
        words += ["--domain", self.units[0], "--looks", self.looks]
        optional = {"--truth": self.truth_file, "--window": self.window, "--target": self.target}
        for option, value in optional.items():
            words += [] if value is None else [option, value]
        return shlex.join(str(w) for w in [*words, "--report", self.report])


def _apart(one: Raster | None, other: Raster | None) -> list[str]:
    """What says that two rasters are not of one place; [] where not both say where they lie."""
    if one is None or other is None or not (placed(one) and placed(other)):
        return []
    return differences(one, other)


def _read(scene: Scene, number: int, domain: str) -> tuple[RadarBand, str]:
    """How to read a band. BadInput names the file."""
    with scene.opened() as source:
        try:
            return band_of(scene, source, number, domain)
        except BadInput as error:
            raise BadInput(f"{scene.path}: {error}") from None


def _looks(text: str) -> float | None:
    """None for auto."""
    if text == "auto":
        return None
    try:
        looks = float(text)
    except ValueError:
        looks = math.nan
    if not 0 < looks < math.inf:
        raise BadInput(f"--looks {text!r} is not understood; give a number above 0, as --looks 4.4, or auto")
    return looks


def _box(option: str, text: str | None) -> Box | None:
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 4 or not all(p.strip().isdecimal() for p in parts):
        raise BadInput(f"{option} {text!r} is not understood; give TOP,LEFT,HEIGHT,WIDTH in pixels, as 120,80,40,40")
    top, left, height, width = (int(p) for p in parts)
    return top, left, height, width


def _text(name: str, a: Assessment) -> str:
    known = "given" if a.measured is None else str(a.measured)
    lines = [f"{name}: {known if a.measured is not None else f'looks {a.looks:g}, {known}'}"]
    wide = max(len(f.title) for f in a.figures)
    lines += [f"  {f.title:{wide}}  {f.text:>8}  should be {f.should}" for f in a.figures]
    return "\n".join([*lines, *(f"  note: {n}" for n in a.notes)])
