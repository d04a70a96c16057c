"""Arrays of a container as the bands of a scene: NISAR by its layout, other HDF5, netCDF and Zarr by names.

NISAR (JPL D-102274 and D-105010, product specifications of GSLC and GCOV): `science/LSAR/GCOV/grids/frequencyA/HHHH` holds gamma0 as power, `GSLC/.../HH`
complex values, which may be pairs of floats of 16 bits; `mask` is 0 or 255 where nothing was measured, and numberOfLooks counts samples.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.products.containers import StoredArray, entries, kind_of, read
from restorekit.products.eopf import MEASURED, TABLES, table_of
from restorekit.products.grid_place import place
from restorekit.products.product import BandFacts
from restorekit.products.sentinel1_tables import VectorTable
from restorekit.sar import halves
from restorekit.sar.band_names import words_of

NISAR = re.compile(r"science/[LS]SAR/(GCOV|GSLC|RSLC|SLC)/(?:grids|swaths)/(frequency[AB])/([HVLR]{2}|[HV]{4})")
POLARISATION = re.compile(r"(^|[^a-z])(vv|vh|hh|hv)([^a-z]|$)")
SHOWN = 8
FREQUENCIES = ("frequencyA", "frequencyB")
LEAST = 16  # rows and columns of a picture
MOST = 64  # pictures of an array of three dimensions


@dataclass(frozen=True, eq=False)
class Gridded:
    """Arrays of HDF5, netCDF 3 or Zarr, of one size, as bands.

    words: what to take, names of arrays, their last parts or polarisations, "frequencyB"; () for all polarisations of a product, or the
    one array that there is. Of EOPF also the quantity, sigma0 (without a word), beta0, gamma0, or dn for the numbers as they are.
    """

    path: Path
    words: tuple[str, ...] = ()

    gcps = ()
    gcps_crs = None

    @cached_property
    def entries(self) -> Mapping[str, StoredArray]:
        """Return the arrays of the container, by path."""
        return entries(self.path)

    @cached_property
    def chosen(self) -> tuple[tuple[StoredArray, int | None], ...]:
        """Return the bands: an array, and which of its pictures where it has several. Raises BadInput where the choice is open."""
        found = self._nisar() or self._named()
        shapes = {(e.shape[-2:], e.complex) for e in found}
        if len(shapes) > 1:
            sizes = ", ".join(f"{e.name} {e.shape}{' complex' if e.complex else ''}" for e in found[:SHOWN])
            raise BadInput(
                f"{self.path}: arrays of one size and kind are read together, and these differ: {sizes}; give one by `product`",
                argument="product",
            )
        return tuple((e, i) for e in found for i in _pictures(e))

    @property
    def count(self) -> int:
        """Return the number of bands."""
        return len(self.chosen)

    @property
    def height(self) -> int:
        """Return the number of rows."""
        return self.chosen[0][0].shape[-2]

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return self.chosen[0][0].shape[-1]

    @property
    def dtype(self) -> str:
        """Return complex64, float32, or the type of whole numbers without a scale."""
        first = self.chosen[0][0]
        if first.complex:
            return "complex64"
        if self._calibrated:
            return "float32"
        plain = all(e.dtype.kind in "iu" and e.dtype == first.dtype and _gain(e) == (1.0, 0.0) for e, _ in self.chosen)
        return first.dtype.newbyteorder("=").name if plain and first.dtype.itemsize <= 4 else "float32"

    @property
    def bands(self) -> tuple[BandFacts, ...]:
        """Return the names, and the domain of products of a known layout."""
        return tuple(self._facts(e, i) for e, i in self.chosen)

    @property
    def tags(self) -> tuple[dict[str, dict[str, str]], ...]:
        """Return what attributes say of each band."""
        keys = ("long_name", "standard_name", "description")
        return tuple({"": {k: e.text(k) for k in keys if e.text(k)}} for e, _ in self.chosen)

    @cached_property
    def placed(self) -> tuple[Any, Any]:
        """Return (coordinate system, transform), None for what the container does not say."""
        return place(self.path, self.chosen[0][0], self.entries)

    @property
    def crs(self) -> Any:
        """Return the coordinate system."""
        return self.placed[0]

    @property
    def transform(self) -> Any:
        """Return the affine transform."""
        return self.placed[1]

    @property
    def said(self) -> tuple[str, ...]:
        """Return which arrays were taken, and what a known product says of them."""
        first, kind = self.chosen[0][0], kind_of(self.path)
        if (match := NISAR.fullmatch(first.name)) is None:
            names = f"{kind}: {', '.join(dict.fromkeys(e.name or self.path.name for e, _ in self.chosen))}"
            if not first.group.endswith(MEASURED):
                return (names,)
            if not self._calibrated:
                return names, "numbers as they are stored: calibration and noise beside them are not applied"
            power = "complex values over A" if first.complex else "|DN|^2 over A^2"
            table = TABLES[self._quantity]
            return (
                names,
                f"{self._quantity}: {power}, A of quality/calibration/{table}; thermal noise is not subtracted",
            )
        said = [f"NISAR {match[1]}, {match[2]}: {', '.join(e.own for e, _ in self.chosen)}"]
        said.append("calibrated to gamma0 by its maker" if match[1] == "GCOV" else "complex values as they are")
        if f"{first.group}/numberOfLooks" in self.entries:
            said.append("numberOfLooks of the product counts samples, which know of each other: looks are measured")
        return tuple(said)

    def read(self, window: Window, band: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return (h, w) of a band, from 1, times its scale, and True where it is finite, no fill, and not masked."""
        entry, picture = self.chosen[band - 1]
        lead = (0 if picture is None else picture,) if len(entry.shape) == 3 else ()
        raw = read(self.path, entry.name, (*lead, *window.slices))
        valid = np.isfinite(raw)
        for key in ("_FillValue", "missing_value"):
            fill = entry.attributes.get(key)
            if (
                fill is not None
                and np.size(fill) == 1
                and np.asarray(fill).dtype.kind in "iuf"
                and raw.dtype.kind != "c"
            ):
                valid &= raw != np.asarray(fill).astype(raw.dtype).reshape(())[()]
        if (mask := self._mask(entry)) is not None:
            seen = read(self.path, mask, window.slices)
            valid &= (seen != 0) & (seen != 255)
        scale, offset = _gain(entry)
        if raw.dtype.kind != "c" and (scale, offset) != (1.0, 0.0):
            raw = scale * raw.astype(np.float64) + offset
        table = self._tables[band - 1] if self._calibrated else None
        if table is None:
            return raw.astype(self.dtype), valid
        a = table.at(*(np.arange(s.start, s.stop, dtype=np.float64) for s in window.slices))
        wide = raw / a if raw.dtype.kind == "c" else (raw / a) ** 2
        return wide.astype(self.dtype), valid & (raw != 0)  # 0: nothing was measured

    @property
    def _quantity(self) -> str:
        return next((w for w in self.words if w in TABLES), "sigma0")

    @cached_property
    def _tables(self) -> tuple[VectorTable | None, ...]:
        """Return the calibration of each band, None of what is not calibrated."""
        return tuple(table_of(self.path, e, self.entries, self._quantity) for e, _ in self.chosen)

    @property
    def _calibrated(self) -> bool:
        return all(table is not None for table in self._tables)

    def _facts(self, entry: StoredArray, picture: int | None) -> BandFacts:
        match = NISAR.fullmatch(entry.name)
        if match is not None:
            return (
                BandFacts(match[3], "complex", 1.0)
                if entry.complex
                else BandFacts(match[3], "intensity", unit="gamma0")
            )
        found = (
            POLARISATION.search(re.sub(r"[_/]", " ", entry.group.lower())) if entry.group.endswith(MEASURED) else None
        )
        name = (found[2].upper() if found else entry.own or self.path.stem) + (
            "" if picture is None else f"[{picture}]"
        )
        if self._calibrated:
            kind: tuple[str, float | None] = ("complex", 1.0) if entry.complex else ("intensity", None)
            return BandFacts(name, *kind, unit=self._quantity)
        return BandFacts(name, "complex" if entry.complex else "", unit=entry.text("units", "unit"))

    def _mask(self, entry: StoredArray) -> str | None:
        mask = self.entries.get(f"{entry.group}/mask")
        return mask.name if mask is not None and NISAR.fullmatch(entry.name) and mask.shape == entry.shape else None

    def _nisar(self) -> list[StoredArray]:
        """Return the arrays of NISAR that are asked for; without words all powers, or all polarisations, of the first
        frequency. [] of what is no product of NISAR."""
        layers = [(e, m) for e in self.entries.values() if len(e.shape) == 2 and (m := NISAR.fullmatch(e.name))]
        if not layers:
            return []
        frequency = next((w for w in self.words if w in FREQUENCIES), min(m[2] for _, m in layers))
        there = [(e, m[3]) for e, m in layers if m[2] == frequency]
        kept: list[StoredArray] = []
        for word in [w.strip("/") for w in self.words if w not in FREQUENCIES] or [""]:
            found = [e for e, _ in layers if e.name == word]
            found = found or [e for e, term in there if _brightness(term) and word in ("", term, term[:2])]
            found = found or [e for e, term in there if term == word]  # of GCOV the product of two polarisations
            if not found:
                raise self._unknown([e for e, _ in layers])
            _refuse_covariance(self.path, found, [term for _, term in there if _brightness(term)])
            kept += found
        return list(dict.fromkeys(kept))

    def _named(self) -> list[StoredArray]:
        """Return the arrays by the names that are given, or all polarisations, or the only one."""
        grids = [
            e for e in self.entries.values() if e.numbers and len(e.shape) in (2, 3) and min(e.shape[-2:]) >= LEAST
        ]
        grids = [e for e in grids if len(e.shape) == 2 or e.shape[0] <= MOST]
        if not grids:
            raise BadInput(f"{self.path} holds no array of two dimensions that may be a picture; give a file that does")
        measured = [e for e in grids if e.group.rpartition("/")[2] == MEASURED]
        words = [w for w in self.words if not measured or w not in TABLES]
        if words:
            found = [e for w in words for e in _called(grids, w) or _polarised(measured, w)]
            if len({e.name for e in found}) < len(words):
                raise self._unknown(grids)
            return list(dict.fromkeys(found))
        if len(grids) == 1:
            return grids
        if measured and len({(e.own, e.shape, e.dtype) for e in measured}) == 1:
            return measured
        if parts := self._parts(grids):
            return parts
        named = [(e, POLARISATION.search(re.sub(r"_", " ", e.own.lower()))) for e in grids]
        polarised = {match[2]: e for e, match in named if match is not None}
        once = len(polarised) == sum(match is not None for _, match in named)  # else several quantities are there
        return list(polarised.values()) if polarised and once and _alike([*polarised.values()]) else self._open(grids)

    def _parts(self, grids: Sequence[StoredArray]) -> list[StoredArray]:
        """Return the arrays that are called real and imaginary parts, [] where not all of these are pairs."""
        told = [(e, halves.Band(self.path, n, {}, e.own, unit=e.text("units", "unit"))) for n, e in enumerate(grids)]
        both = [(e, t) for e, t in told if t.part]
        found = [e for e, _ in both]
        return found if found and _alike(found) and halves.pairs_of([t for _, t in both]) else []

    def _open(self, grids: Sequence[StoredArray]) -> list[StoredArray]:
        raise BadInput(
            f"{self.path} holds {len(grids)} arrays; say which by `product`, several of one size between commas: {_listed(grids)}",
            argument="product",
        )

    def _unknown(self, grids: Sequence[StoredArray]) -> BadInput:
        return BadInput(
            f"{self.path}: `product={','.join(self.words)}` is not in it; there are {_listed(grids)}",
            argument="product",
        )


def holds_nisar(arrays: Mapping[str, StoredArray]) -> bool:
    """Return True for arrays that are laid out as a product of NISAR."""
    return any(NISAR.fullmatch(name) for name in arrays)


def _refuse_covariance(path: Path, found: Sequence[StoredArray], bright: Sequence[str]) -> None:
    """Raise BadInput for a term of the covariance of two polarisations, which has another law than speckle of a brightness."""
    for entry in found:
        match = NISAR.fullmatch(entry.name)
        if match is not None and match[1] == "GCOV" and not _brightness(match[3]):
            raise BadInput(
                f"{path}: {entry.own} is the covariance of {match[3][:2]} and {match[3][2:]}, complex and no brightness that speckle multiplies; "
                f"give those of one polarisation by `product`: {', '.join(bright) or 'this file holds none'}",
                argument="product",
            )


def _brightness(term: str) -> bool:
    """Return True for HH and HHHH, False for HHHV, a product of two polarisations."""
    return len(term) == 2 or term[:2] == term[2:]


def _called(grids: Sequence[StoredArray], word: str) -> list[StoredArray]:
    """Return arrays by their path or, where that is none's, by its last part or a word of that."""
    word = word.strip("/")
    for fits in (lambda e: e.name == word, lambda e: e.own == word, lambda e: word.lower() in words_of(e.own)):
        if found := [e for e in grids if fits(e)]:
            return found if _alike(found) else found[:1]
    return []


def _polarised(measured: Sequence[StoredArray], word: str) -> list[StoredArray]:
    """Return the arrays of measurements of EOPF whose product is called after a polarisation."""
    found = [(e, POLARISATION.search(re.sub(r"[_/]", " ", e.group.lower()))) for e in measured]
    return [e for e, match in found if match is not None and match[2] == word.lower()]


def _alike(found: Sequence[StoredArray]) -> bool:
    return len({(e.group, e.shape, e.complex) for e in found}) == 1


def _listed(grids: Sequence[StoredArray]) -> str:
    """Return the names of arrays, the largest first."""
    names = [shlex.quote(e.name) for e in sorted(grids, key=lambda e: -int(np.prod(e.shape)))]
    return ", ".join(names[:SHOWN]) + (f" ... {names[-1]}" if len(names) > SHOWN else "")


def _pictures(entry: StoredArray) -> list[int | None]:
    return [None] if len(entry.shape) == 2 or entry.shape[0] == 1 else list(range(entry.shape[0]))


def _gain(entry: StoredArray) -> tuple[float, float]:
    """Return (scale, offset) by the CF conventions, section 8.1."""
    values = (entry.attributes.get(key, default) for key, default in (("scale_factor", 1.0), ("add_offset", 0.0)))
    scale, offset = (float(np.ravel(v)[0]) for v in values)
    return scale, offset
