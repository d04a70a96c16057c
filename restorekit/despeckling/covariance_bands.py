"""A scene of the covariance of two polarisations: bands C11, C22, and the real and the imaginary part of C12.

C11 and C22 are restored as the intensities that they are, C12 by one average of the whole matrix with weights of both
(`restorekit.sar.covariance`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from restorekit.despeckling.radar_band import windows
from restorekit.despeckling.settings import Settings
from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.files.scene import Reads, Scene
from restorekit.sar.band_names import told_of
from restorekit.sar.covariance import OffDiagonal, semidefinite
from restorekit.sar.looks import Array, Mask
from restorekit.sar.polarisations import SHARED
from restorekit.scenes.blend import BlendedScene, Form

NAMES = (re.compile(r"c11"), re.compile(r"c22"), re.compile(r"c12_?re(al)?"), re.compile(r"c12_?im(ag)?"))
WORDS = ("C11", "C22", "C12_re", "C12_im")
TO_POWER = "convert it to power first (10 ** (dB / 10), amplitude ** 2)"
UNITS = {"db": "in dB", "amplitude": "an amplitude"}  # that are no power
FEW = 1e-3  # share of pixels whose matrix may be none of a covariance
CELL = 24  # side of the squares in which that is measured, pixels


@dataclass(frozen=True)
class CovarianceBands:
    """Numbers of the bands, from 1: of C11 and C22, and of the real and the imaginary part of C12. squared: their squared coherence,
    the median over the scene."""

    diagonal: tuple[int, int]
    parts: tuple[int, int]
    squared: float = 0.0
    average: OffDiagonal = field(default_factory=OffDiagonal)

    def __call__(self, scene: BlendedScene, source: Reads, band: int, layer: str, at: Window) -> tuple[Array, Mask]:
        """Return the restored real or imaginary part of C12 (h, w) in a window of a scene whose C11 and C22 are finished, and where
        it is known."""
        grid = scene.job.grid
        around = at.padded(self.average.radius, grid.height, grid.width)
        inner = at.inside(around)
        read = [source.read(around, number) for number in (*self.diagonal, *self.parts)]
        x = [
            replace(scene, part=around, derived={}).array(source, n, layer, Form("float64", np.nan))
            for n in self.diagonal
        ]
        valid = np.logical_and.reduce([there & np.isfinite(c) for c, there in read])
        valid &= np.logical_and.reduce([np.isfinite(one) & (one > 0) for one in x])
        c11, c22, real, imaginary = (np.where(valid, c, 0).astype(np.float64) for c, _ in read)
        found = self.average(c11, c22, real + 1j * imaginary, x[0], x[1], valid)[inner]
        return found.real if band == self.parts[0] else found.imag, valid[inner]


def covariance_bands(scene: Scene) -> CovarianceBands:
    """Return the bands of a scene by their names (C11, C22, C12_re, C12_im), or in this order where there are four without such
    names. Raises BadInput for other bands, and for complex or whole numbers."""
    names = _names(scene)
    found = [[n for n, name in enumerate(names, 1) if pattern.fullmatch(name.lower())] for pattern in NAMES]
    if not all(len(numbers) == 1 for numbers in found):
        if any(found):
            wanted = ", ".join(f"{word} {_count(numbers)}" for word, numbers in zip(WORDS, found) if len(numbers) != 1)
            named = [n for numbers in found for n in numbers]
            others = [f"band {n} is called {name}" for n, name in enumerate(names, 1) if name and n not in named]
            raise BadInput(
                f"{scene.path.name}: a covariance has one band each called {', '.join(WORDS)}; {wanted}{'; ' * bool(others)}"
                f"{', '.join(others[:4])}: name the bands after what they hold",
                argument="covariance",
            )
        if scene.count != len(NAMES):
            raise BadInput(
                f"{scene.path.name}: a covariance has four bands, C11, C22, C12_re and C12_im by their names or in this order; it has {scene.count}",
                argument="covariance",
            )
        found = [[n] for n in range(1, len(NAMES) + 1)]
    if not scene.dtype.startswith("float"):
        raise BadInput(
            f"{scene.path.name}: a covariance is of floats, with the real and the imaginary part of C12 as bands of their own, and not of {scene.dtype}",
            argument="covariance",
        )
    one, two, real, imaginary = (numbers[0] for numbers in found)
    return CovarianceBands((one, two), (real, imaginary))


def _names(scene: Scene) -> list[str]:
    return [""] * scene.count if scene.raster is None else [name or "" for name in scene.raster.descriptions]


def _count(numbers: list[int]) -> str:
    return "is none" if not numbers else f"are bands {' and '.join(map(str, numbers))}"


def as_covariance(scene: Scene, settings: Settings, say: Callable[[str], None]) -> tuple[Settings, CovarianceBands]:
    """Return the settings for the intensities of a covariance, and its bands with their squared coherence; `say` is told whether its
    intensities are restored together. Raises BadInput for settings of another unit or of some bands, and for matrices that are no
    covariances in linear power."""
    if settings.domain not in ("auto", "intensity"):
        raise BadInput(
            f"`covariance` takes C11 and C22 as powers, and not {settings.domain}; {TO_POWER}, and leave out `domain`",
            argument="domain",
        )
    if settings.bands is not None:
        raise BadInput("`covariance` says what the bands are; leave out `bands`", argument="bands")
    bands = covariance_bands(scene)
    if settings.domain == "auto":
        for number in bands.diagonal:
            told = told_of(scene.path, number, scene.raster)
            if told is not None and told.domain in UNITS:
                raise BadInput(
                    f"{scene.path.name}: band {number} is {UNITS[told.domain]} by {told.where}, and a covariance is of powers; {TO_POWER}, or give "
                    "`domain=intensity` if that is wrong",
                    argument="covariance",
                )
    squared = _checked(scene, bands)
    way = settings.polarisations
    if way == "auto":
        way = "together" if squared <= SHARED else "apart"
        independent = "independent enough" if way == "together" else "not independent"
        say(f"squared coherence of C11 and C22 {squared:.2f}: their speckle is {independent}; they are restored {way}")
    settings = replace(settings, domain="intensity", bands=bands.diagonal, polarisations=way)
    return settings, replace(bands, squared=squared)


def _checked(scene: Scene, bands: CovarianceBands) -> float:
    """Return the median over squares of the squared coherence, of windows spread over the scene; 0 where nothing is known. Raises
    BadInput where powers are below 0, or matrices are not positive semidefinite."""
    found, count, none = [], 0, 0
    below = [0, 0]
    with scene.opened() as source:
        for window in windows(scene.height, scene.width, most=4):
            read = [source.read(window, n) for n in (*bands.diagonal, *bands.parts)]
            valid = np.logical_and.reduce([there & np.isfinite(c) for c, there in read])
            values = [np.where(valid, c, 0).astype(np.float64) for c, _ in read]
            count += int(valid.sum())
            below = [n + int((c < 0).sum()) for n, c in zip(below, values[:2], strict=True)]
            none += int((~semidefinite(*values)).sum())
            for i in range(0, window.height - CELL + 1, CELL):
                for j in range(0, window.width - CELL + 1, CELL):
                    one, two, real, imaginary = (float(v[i : i + CELL, j : j + CELL].sum()) for v in values)
                    if one > 0 and two > 0:
                        found.append((real**2 + imaginary**2) / (one * two))
    named = all(
        pattern.fullmatch(_names(scene)[n - 1].lower()) for pattern, n in zip(NAMES, (*bands.diagonal, *bands.parts))
    )
    order = (
        ""
        if named
        else f"; bands without these names are taken for {', '.join(WORDS)}: write them in this order, or name them"
    )
    for word, number, n in zip(WORDS, bands.diagonal, below):
        if n > FEW * count:
            raise BadInput(
                f"{scene.path.name}: band {number}, {word}, is below 0 in {100 * n / count:.3g} % of the pixels, and a power is not; if it is in dB, "
                f"{TO_POWER}{order}",
                argument="covariance",
            )
    if none > FEW * count:
        raise BadInput(
            f"{scene.path.name}: |C12|^2 is above C11 C22 in {100 * none / count:.3g} % of the pixels, which no covariance has; give C11, C22 and C12 of one "
            f"average, in linear power{order}",
            argument="covariance",
        )
    return float(np.median(found)) if found else 0.0
