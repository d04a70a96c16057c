"""Two bands of a file that hold the parts of complex numbers are read as one band of these."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.bands import Raster, Window
from restorekit.files.scene import Scene
from restorekit.products.product import BandFacts

BYTE = 2 * math.pi / 256  # of a phase in bytes, a step of the circle
SHORT = 2 * math.pi / 65536
BEYOND = 1.01  # of a circle in radians, from which on numbers are degrees


@dataclass(frozen=True, eq=False)
class ComplexPair:
    """A scene whose bands are pairs of those of `base`: real and imaginary part, or amplitude and phase.

    parts: which of both, one of `restorekit.sar.domain.PARTS`. pairs: numbers of the bands, from 1, one pair after the other.
    step: radians of one unit of a phase.
    """

    base: Scene
    parts: str
    pairs: tuple[int, ...]
    step: float = 1.0

    @classmethod
    def of(cls, base: Scene, parts: str, pairs: tuple[int, ...]) -> ComplexPair:
        """Return the pair with the unit of its phase, taken from the type of its numbers and how far they go."""
        step = 1.0
        if parts == "amplitude,phase":
            with base.opened() as source:
                at = Window(0, 0, min(base.height, 1024), min(base.width, 1024))
                x, valid = source.read(at, pairs[1])
            step = phase_step(base.path, x[valid], base.gain(pairs[1]))
        return cls(base, parts, pairs, step)

    @property
    def path(self) -> Path:
        """Return the file."""
        return self.base.path

    @property
    def count(self) -> int:
        """Return the number of pairs."""
        return len(self.pairs) // 2

    @property
    def bands(self) -> tuple[BandFacts, ...]:
        """Return the names of the pairs."""
        return tuple(BandFacts(name, "complex") for name in self._names)

    @property
    def _names(self) -> list[str]:
        names = [""] * self.base.count if self.base.raster is None else self.base.raster.descriptions
        return [re.sub(r"^i_|^(i|re|real)$", "", names[n - 1] or "", flags=re.IGNORECASE) for n in self.pairs[::2]]

    @property
    def said(self) -> tuple[str, ...]:
        """Return which bands are which parts."""
        first, second = self.parts.split(",")
        unit = {1.0: "", BYTE: ", 256 steps of a circle", SHORT: ", 65536 steps of a circle"}.get(
            self.step, ", in degrees"
        )
        return tuple(
            f"band {a} is read as {first}{' part' if first == 'real' else ''} and band {b} as {second}{' part' if first == 'real' else ''} of "
            f"complex numbers{unit}"
            for a, b in zip(self.pairs[::2], self.pairs[1::2])
        )

    def raster(self, like: Raster) -> Raster:
        """Return the metadata of the pairs, of those of the bands."""
        n = self.count
        nodata = (
            like.nodata
            if like.nodata is None or np.issubdtype(like.dtype, np.floating) or like.nodata == 0
            else math.nan
        )
        return replace(
            like, count=n, dtype="complex64", nodata=nodata, descriptions=tuple(name or None for name in self._names), units=(None,) * n,
            scales=(1.0,) * n, offsets=(0.0,) * n, colorinterp=(), band_tags=({},) * n, alpha=(),
        )  # fmt: skip

    def read(self, window: Window, band: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return (h, w) complex64 of a pair, from 1, and True where it was measured: both parts or, where the file's value of
        no data is 0, one of them, as a part may be 0."""
        with self.base.opened() as source:
            (a, there_a), (b, there_b) = (source.read(window, n) for n in self.pairs[2 * band - 2 : 2 * band])
        first, second = (self._meant(x, n) for x, n in zip((a, b), self.pairs[2 * band - 2 :]))
        with np.errstate(all="ignore"):
            z = _joined(first, second, self.parts, self.step)
        if self.base.nodata == 0:
            return z, there_a if self.parts == "amplitude,phase" else (there_a | there_b) & np.isfinite(z)
        return z, there_a & there_b

    def _meant(self, x: NDArray[Any], number: int) -> NDArray[Any]:
        scale, offset = self.base.gain(number)
        return scale * x.astype(np.float64) + offset


def _joined(first: NDArray[Any], second: NDArray[Any], parts: str, step: float) -> NDArray[Any]:
    z = first * np.exp(1j * step * second) if parts == "amplitude,phase" else first + 1j * second
    return z.astype(np.complex64)


def phase_step(path: Path, x: NDArray[Any], gain: tuple[float, float]) -> float:
    """Return the radians of one unit of a phase: bytes and 16 bits go once around, floats are radians or, beyond a circle of
    those, degrees. Raises BadInput for numbers that go further than a circle of either."""
    if gain == (1.0, 0.0) and x.dtype.kind in "iu" and x.dtype.itemsize <= 2:
        return BYTE if x.dtype.itemsize == 1 else SHORT
    meant = gain[0] * x.astype(np.float64) + gain[1]
    far = float(np.abs(meant).max()) if meant.size else 0.0
    if far <= BEYOND * 2 * math.pi:
        return 1.0
    if far <= BEYOND * 360:
        return math.pi / 180
    raise BadInput(
        f"{path}: a phase goes to {far:g}, further than a circle of radians or of degrees; give the band its scale"
    )


def pixels_of_parts(pixels: NDArray[Any], parts: str, pairs: tuple[int, ...]) -> NDArray[Any]:
    """Return (C, H, W) complex64 of pixels in memory, of the bands of `pairs`, from 1."""
    step = phase_step(Path("the scene"), pixels[pairs[1] - 1], (1.0, 0.0)) if parts == "amplitude,phase" else 1.0
    with np.errstate(all="ignore"):
        both = [_joined(pixels[a - 1], pixels[b - 1], parts, step) for a, b in zip(pairs[::2], pairs[1::2])]
    return np.stack(both)
