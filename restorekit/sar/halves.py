"""A band may hold half of complex numbers: a real or imaginary part, a magnitude or a phase.

Only both halves together are a measurement. A phase has no brightness, and a part that is as often below 0 as above is
neither dB nor an intensity. Bands are told by what the file says of them (NITF_ISUBCAT, which a SICD has:
MIL-STD-2500C, table A-3; names of bands as SNAP writes them), else by their values: parts of single-look data are
symmetric around 0 everywhere, of one variance, and know nothing of each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.drivers import typed

Values = NDArray[Any]

SUBCATEGORIES = {"I": "real part", "Q": "imaginary part", "M": "magnitude", "P": "phase"}
NAMES = (
    ("real part", r"(i_.+|real|re)"),
    ("imaginary part", r"(q_.+|imag|imaginary|im)"),
    ("phase", r"phase([ _].*)?"),
)
FEW = 1000  # values, of which nothing is told
BLOCK = 64  # values beside each other
MOST = 2**21  # values that are looked at


@dataclass(frozen=True)
class Band:
    """It holds what a file says of a band: number from 1, tags by namespace, description, and whether its numbers are
    bytes."""

    path: Path
    number: int
    tags: Mapping[str, Mapping[str, str]]
    description: str | None = None
    bytes: bool = False
    bands_first: bool = False  # of an array in an NPY file
    paired: bool = False  # whether who reads it takes two bands as parts of complex numbers
    unit: str | None = None

    @property
    def subcategory(self) -> str:
        """Return I, Q, M, P, or something else."""
        return next((t["NITF_ISUBCAT"].strip() for t in self.tags.values() if "NITF_ISUBCAT" in t), "")

    @property
    def part(self) -> str:
        """Return I or Q where the file says that the band is a real or an imaginary part, "" else."""
        halves = {"real part": "I", "imaginary part": "Q"}
        unit = {"real": "I", "imaginary": "Q", "imag": "Q"}.get((self.unit or "").strip().lower(), "")
        letter = (self.description or "").strip().upper()  # counts only where both are there, as I may be an intensity
        letter = letter if letter in ("I", "Q") else ""
        return self.subcategory if self.subcategory in ("I", "Q") else unit or halves.get(self.named, "") or letter

    @property
    def called(self) -> str:
        """Return the name of both parts: i_IW1_VV and q_IW1_VV are called iw1_vv."""
        name = (self.description or "").strip().lower()
        return re.sub(r"^(i|q)_|^(real|re|imaginary|imag|im|i|q)$", "", name)

    @property
    def named(self) -> str:
        """Return the half that its description speaks of, "" for none."""
        name = (self.description or "").strip().lower()
        return next((half for half, pattern in NAMES if re.fullmatch(pattern, name)), "")

    def check(self, domain: str, values: Values, others: Callable[[], Iterable[tuple[int, Values]]]) -> None:
        """Raise BadInput where the band is half of a complex number.

        domain: as asked; what a band is called, and its values alone, count where that is "auto". values: valid ones,
        in the order of the rows; others: number and values of the same pixels of other bands.
        """
        half = SUBCATEGORIES.get(self.subcategory, "")
        if half and (half != "magnitude" or domain != "amplitude"):
            raise BadInput(self._refusal(half, f"NITF_ISUBCAT {self.subcategory}"))
        if half or values.dtype.kind == "c" or values.size < FEW:
            return
        if self.named and domain == "auto":
            raise BadInput(self._refusal(self.named, "its description"))
        x = _some(values)
        if domain == "auto" and _radians(x):
            raise BadInput(self._refusal("phase", "values from one end of a circle to the other"))
        if not symmetric(x):
            return
        if pair := next((n for n, y in others() if _of_one_number(x, _some(y))), None):
            why = f"like band {pair} symmetric around 0, of one variance"
            raise BadInput(self._refusal("real part" if self.number < pair else "imaginary part", why, pair))
        if domain == "auto":
            raise BadInput(
                f"band {self.number} is as often below 0 as above: dB, of which `domain=db` says so, or the real or imaginary "
                "part of complex numbers, which has to be put together with the other one first, x + 1j * y"
            )

    def _refusal(self, half: str, why: str, pair: int | None = None) -> str:
        """Return the message, with a command that makes complex numbers of the two bands; pair: the other one, else
        the one beside it."""
        first = half in ("real part", "magnitude")
        pair = pair or self.number + (1 if first else -1)
        a, b = (self.number, pair) if first else (pair, self.number)
        polar = half in ("magnitude", "phase")
        said = f"band {self.number} is the {half} of complex numbers ({why}), and no brightness; "
        if a < 1:
            return f"{said}put it together with the other half first, {'r * np.exp(1j * p)' if polar else 'x + 1j * y'}"
        if self.paired:
            alone = f"; `bands={a}` with `domain=amplitude` takes the magnitude alone" if polar else ""
            parts = "amplitude,phase" if polar else "real,imaginary"
            return f"{said}`domain={parts}` with `bands={a},{b}` reads both as one complex band{alone}"
        array = self.path.suffix.lower() == ".npy"
        at = "d[{}]" if self.bands_first else "d[...,{}]"
        one, two = (at.format(n - 1) if array else f"d.read({n})" for n in (a, b))
        both = f"{one}*np.exp({'2j*np.pi/256' if self.bytes else '1j'}*{two})" if polar else f"{one}+1j*{two}"
        library, reader = ("numpy as np", "np.load") if array else ("numpy as np,rasterio", "rasterio.open")
        target = f"{self.path.stem}_complex.npy"
        code = f"import {library}; d={reader}({typed(self.path)!r}); np.save({target!r},({both}).astype('complex64'))"
        alone = f"; `bands={a}` with `domain=amplitude` takes the magnitude alone" if polar else ""
        return f'{said}make real and imaginary one complex band: python -c "{code}", and take {target}{alone}'


def told(
    path: Path, number: int, dtype: str, raster: Any = None, layout: str | None = None, paired: bool = False
) -> Band:
    """Return what a file says of a band, from 1; `source` may be a raster (`restorekit.files.bands.Raster`) or an
    array of a `layout`. paired: whether who reads it takes two bands as parts of complex numbers."""
    if raster is None:
        return Band(path, number, {}, None, dtype == "uint8", layout == "CHW", paired)
    tags, name, unit = (x[number - 1] for x in (raster.band_tags, raster.descriptions, raster.units))
    return Band(path, number, tags, name, dtype == "uint8", paired=paired, unit=unit)


def pairs_of(bands: Sequence[Band]) -> tuple[int, ...]:
    """Return the numbers of real and imaginary part, one pair after the other, of bands that a file calls so, all of them:
    by NITF_ISUBCAT, by their unit, or by names that are alike but for it; () where some are something else."""
    left, found = list(bands), list[int]()
    while left:
        first = left.pop(0)
        match = next((b for b in left if {b.part, first.part} == {"I", "Q"} and b.called == first.called), None)
        if match is None:
            return ()
        left.remove(match)
        found += (first.number, match.number) if first.part == "I" else (match.number, first.number)
    return tuple(found)


def _some(x: Values) -> Values:
    """Return the middle ones of many."""
    start = max(0, (x.size - MOST) // 2)
    return x.ravel()[start : start + MOST].astype(np.float64)


def symmetric(x: Values) -> bool:
    """Return True where values (N,), beside each other in a picture, are symmetric around 0, without a mean of their
    own anywhere."""
    x = x[np.isfinite(x)]
    if x.size < FEW or abs(float((x < 0).mean() + 0.5 * (x == 0).mean()) - 0.5) > 0.05:
        return False
    for share in (0.75, 0.9, 0.99):
        low, high = np.quantile(x, (1 - share, share))
        if not high > low or abs(low + high) > 0.1 * (high - low):
            return False
    # Signs, as a bright target would count for all in values. Neighbours alike in an oversampled picture leave 0.04.
    signs = np.sign(x[: x.size // BLOCK * BLOCK]).reshape(-1, BLOCK).mean(1)
    return float((signs**2).mean()) < 0.08


def _of_one_number(x: Values, y: Values) -> bool:
    """Return True where two symmetric bands may be parts of the same numbers."""
    if x.shape != y.shape or not symmetric(y):
        return False
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    width = [float(np.subtract(*np.quantile(v, (0.9, 0.1)))) for v in (x, y)]
    alike = float(np.mean(np.sign(x) * np.sign(y)))
    return 0.8 < width[0] / width[1] < 1.25 and abs(alike) < 0.1


def _radians(x: Values) -> bool:
    """Return True where values fill a circle, from -pi or from 0, and nothing beyond it."""
    x = x[np.isfinite(x)]
    low, high = (float(v) for v in np.quantile(x, (0.001, 0.999))) if x.size else (0.0, 0.0)
    for start in (-np.pi, 0.0):
        inside = x.min() >= start - 1e-3 and x.max() <= start + 2 * np.pi + 1e-3
        shares = np.quantile((x - start) / (2 * np.pi), (0.25, 0.5, 0.75)) if inside else np.zeros(3)
        if (
            inside
            and abs(low - start) < 0.1
            and abs(start + 2 * np.pi - high) < 0.1
            and (np.abs(shares - (0.25, 0.5, 0.75)) < 0.1).all()
        ):
            return True
    return False
