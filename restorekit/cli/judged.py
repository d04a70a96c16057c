"""The files of `metrics sar` as bands of intensities, and what is said of each."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import restorekit
from restorekit import io
from restorekit.errors import BadInput
from restorekit.raster.source import describe, opened
from restorekit.report.despeckled import Band, render
from restorekit.sar.assessment import Assessment, Box, Wanted, assess
from restorekit.sar.domain import Domain, domain_of
from restorekit.sar.looks import Array, Mask

SAMPLE = 1_000_000  # values that a unit is guessed from


@dataclass(frozen=True, eq=False)
class Scene:
    """A file: its size, and what its bands are called."""

    path: Path
    shape: tuple[int, int, int]  # bands, height, width
    dtype: str
    names: tuple[str, ...]
    picture: io.Picture | None  # None for rasters, whose bands are read one by one

    def band(self, number: int) -> tuple[NDArray[Any], Mask]:
        """(H, W) from 0, as in the file, and where it has a value."""
        if self.picture is not None:
            x, alpha = self.picture.pixels[number], self.picture.alpha
            return x, np.isfinite(x) & (alpha > 0 if alpha is not None else True)
        raster = describe(self.path)
        with opened(raster) as reader:
            return reader.read(raster.whole, number + 1)


def scene(path: Path) -> Scene:
    """GeoTIFF and TIFF as rasters, the rest as pictures with their own numbers. BadInput for what is neither."""
    if path.suffix.lower() in (".tif", ".tiff"):
        r = describe(path)
        names = tuple(text or f"band {i}" for i, text in enumerate(r.descriptions, 1))
        return Scene(path, (r.count, r.height, r.width), r.dtype, names, None)
    picture = io.read(path, (0.0, 1.0), holes=True)
    bands, h, w = picture.pixels.shape
    return Scene(path, (bands, h, w), picture.dtype, tuple(f"band {i}" for i in range(1, bands + 1)), picture)


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
        shown: list[Band] = []
        for name, y, x, truth, valid in self._bands():
            try:
                assessment = assess(y, x, valid, wanted, truth)
            except BadInput as error:
                raise BadInput(f"{self.measured_file}, {name}: {error}") from None
            found.append((name, assessment))
            if self.report is not None:
                shown.append(Band(name, y, x, valid, assessment))
        print(self._json(found) if self.as_json else "\n\n".join(_text(name, a) for name, a in found))
        if self.report is not None:
            page = render(
                shown, name=self.measured_file.name, over="restorekit metrics sar", facts=self._facts(),
                command=self._command(),
            )  # fmt: skip
            io.write_text(self.report, page)
            print(f"restorekit: {self.report} written ({len(page) / 1e6:.1f} MB)", file=sys.stderr)

    @cached_property
    def scenes(self) -> list[Scene]:
        """Measured, restored, and the truth where there is one."""
        files = [self.measured_file, self.restored_file, self.truth_file]
        return [scene(path) for path in files if path is not None]

    def _check_report(self) -> None:
        if self.report is None:
            return
        if self.report.suffix.lower() not in (".html", ".htm"):
            raise BadInput(f"{self.report}: a report is a page; give --report {self.report.stem or 'quality'}.html")
        io.check_target(self.report)

    def _check_sizes(self) -> None:
        first = self.scenes[0]
        for other in self.scenes[1:]:
            if other.shape != first.shape:
                a, b = ("x".join(map(str, s.shape)) for s in (first, other))
                raise BadInput(
                    f"{first.path} is {a}, {other.path} is {b} (bands x height x width); give files of one size"
                )

    @cached_property
    def domains(self) -> list[Domain]:
        """Of each file: all are in the unit of what was measured, and intensities where that is complex."""
        first = self.scenes[0]
        domain, said = domain_of(self.domain, first.dtype, _sample(first))
        if said:
            print(f"restorekit: note: {said}", file=sys.stderr)
        others = "intensity" if domain.name == "complex" else domain.name
        found = [domain]
        for s in self.scenes[1:]:
            try:
                found.append(domain_of(others, s.dtype, _sample(s))[0])
            except BadInput as error:
                raise BadInput(f"{s.path}: {error}") from None
        return found

    def _bands(self) -> Iterator[tuple[str, Array, Array, Array | None, Mask]]:
        """Name, measured, restored, truth and where all have a value, of each band; intensities, 0 elsewhere."""
        domains = self.domains
        for i, name in enumerate(self.scenes[0].names):
            raw = [s.band(i) for s in self.scenes]
            valid = np.logical_and.reduce([v for _, v in raw])
            parts = [d.intensity(np.where(valid, x, x.dtype.type(0))) for d, (x, _) in zip(domains, raw)]
            valid &= np.logical_and.reduce([np.isfinite(x) for x in parts])
            y, x, *truth = (np.where(valid, x, 0.0) for x in parts)
            yield name, y, x, truth[0] if truth else None, valid

    def _json(self, found: list[tuple[str, Assessment]]) -> str:
        files = [str(s.path) for s in self.scenes]
        bands = [{"band": name, **a.plain()} for name, a in found]
        return io.json_text({"files": files, "domain": self.domains[0].name, "bands": bands})

    def _facts(self) -> list[tuple[str, str]]:
        bands, h, w = self.scenes[0].shape
        names = ("measured", "restored", "truth")
        facts = [(name, s.path.name) for name, s in zip(names, self.scenes)]
        facts += [("size", f"{w} × {h}, {bands} band{'s' if bands > 1 else ''}"), ("unit", self.domains[0].name)]
        return [*facts, ("judged by", f"restorekit {restorekit.__version__}")]

    def _command(self) -> str:
        words: list[object] = ["restorekit", "metrics", "sar", self.measured_file, self.restored_file]
        words += ["--domain", self.domains[0].name, "--looks", self.looks]
        optional = {"--truth": self.truth_file, "--window": self.window, "--target": self.target}
        for option, value in optional.items():
            words += [] if value is None else [option, value]
        return shlex.join(str(w) for w in [*words, "--report", self.report])


def _sample(s: Scene) -> NDArray[Any]:
    x, valid = s.band(0)
    found = x[valid]
    return found[:: max(1, found.size // SAMPLE)]


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
