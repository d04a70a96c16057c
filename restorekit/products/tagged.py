"""GeoTIFF and HDF5 of ICEYE and Capella: what their tags say of the numbers.

ICEYE (product documentation, radiometric calibration): sigma0 = CF |DN|^2 of amplitude images, beta0 = CF |DN|^2 of complex ones, CF the
`calibration_factor`; an `amplitude_mapping` says that DN = (scale amplitude)^exponent. Capella (product format specification): DN times `scale_factor` is the
root of sigma0 or what else `radiometry` names; its JSON stands in the description of the TIFF.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.bands import Raster, Window
from restorekit.files.scene import Scene
from restorekit.products.containers import StoredArray, entries, read
from restorekit.products.product import BandFacts
from restorekit.products.tagged_speckle import ICEYE, iceye_grain, number, stated_grain, stated_looks

NOUGHT = {"sigma_nought": "sigma0", "beta_nought": "beta0", "gamma_nought": "gamma0"}
ICEYE_PARTS = ("s_i", "s_q")


@dataclass(frozen=True)
class Factor:
    """Numbers of a file, to the power `power`, times `scale` are the root of a quantity; power: 1, unless they were mapped."""

    maker: str
    quantity: str
    scale: float
    power: float = 1.0
    looks: float | None = None  # of the speckle of detected images
    grain: tuple[float, float] | None = None  # correlation of intensity with the next row, the next column

    @property
    def said(self) -> str:
        """Return what was done, in words."""
        mapped = "" if self.power == 1 else f", mapped back by the power {self.power:g}"
        return f"{self.maker}: calibrated to {self.quantity} by the factor of its tags{mapped}"


def factor_of(scene: Scene) -> Factor | None:
    """Return how the numbers of a GeoTIFF are calibrated by its tags, None where they do not say. Raises BadInput where they are mapped in a
    way that is not known, or hold a phase, so that they are no amplitudes."""
    if scene.raster is None:
        return None
    said = dict(_said(scene.raster.tags))
    scale = number(said.get("scale_factor"))
    quantity = NOUGHT.get(str(said.get("radiometry", "")).lower())
    if scale is not None and quantity is not None and "capella" in _words(said):
        return Factor("Capella", quantity, scale, **_speckle(said, scene.complex))
    factor = number(said.get("calibration_factor"))
    if factor is None or "iceye" not in f"{_words(said)} {scene.path.name.lower()}":
        return None
    kinds = (str(said.get(key, "")).upper() for key in ("sar:product_type", "product_type", "product_level"))
    if not scene.complex and any(kind.startswith("SLC") for kind in kinds):
        raise BadInput(
            f"{scene.path}: amplitude and phase of a complex product of ICEYE in a GeoTIFF, which is not read; take its HDF5 or SICD, or "
            "`product=dn` for the numbers of the file",
            argument="product",
        )
    return Factor(
        "ICEYE",
        "beta0" if scene.complex else "sigma0",
        *_mapped(scene.path, said, factor**0.5),
        **_speckle(said, scene.complex),
    )


def _speckle(said: Mapping[str, Any], complex_values: bool) -> dict[str, Any]:
    return {"looks": None if complex_values else stated_looks(said), "grain": stated_grain(said, complex_values)}


def _mapped(path: Path, said: Mapping[str, Any], scale: float) -> tuple[float, float]:
    mapping = said.get("amplitude_mapping")
    if not isinstance(mapping, dict):
        return scale, 1.0
    parameters = mapping.get("parameters") or {}
    exponent, inner = number(parameters.get("exponent")), number(parameters.get("scale", 1))
    if mapping.get("function") == "power" and exponent is not None and inner is not None:
        return scale / inner, 1 / exponent
    raise BadInput(
        f"{path}: its amplitudes are mapped by {mapping.get('function')!r}, which is not known; undo that first"
    )


def _said(tags: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, Any]]:
    """Yield (name in small letters, value) of tags, and of what is inside of those that hold JSON; names of ICEYE without their
    prefix."""
    for space in tags.values():
        for key, value in space.items():
            yield _short(key), value
            if value.lstrip().startswith("{"):
                try:
                    yield from _inside(json.loads(value))
                except ValueError:
                    continue


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield _short(key), inner
        if _short(key) not in ("amplitude_mapping", "calibration"):
            yield from _inside(inner)


def _short(key: str) -> str:
    return key.lower().removeprefix("iceye:").removeprefix("iceye_")


def _words(said: Mapping[str, Any]) -> str:
    keys = ("platform", "constellation", "satellite_name", "satellite", "product_name", "product_file")
    return " ".join(str(said.get(key, "")) for key in keys).lower()


@dataclass(frozen=True, eq=False)
class Tagged:
    """A GeoTIFF whose numbers are calibrated by its tags: power of detected ones, and complex ones times the root."""

    base: Scene
    factor: Factor

    framed = True  # zeros around the image

    @property
    def dtype(self) -> str:
        """Return complex64, or float32 for power."""
        return "complex64" if self.base.complex else "float32"

    @property
    def bands(self) -> tuple[BandFacts, ...]:
        """Return the bands, complex ones of one look, with looks and grain as tags state them."""
        names = ("",) * self.base.count if self.base.raster is None else self.base.raster.descriptions
        kind = ("complex", 1.0) if self.base.complex else ("intensity", self.factor.looks)
        return tuple(BandFacts(name or "", *kind, self.factor.grain, self.factor.quantity) for name in names)

    @property
    def said(self) -> tuple[str, ...]:
        """Return what was calibrated."""
        return (self.factor.said,)

    def raster(self, like: Raster) -> Raster:
        """Return the metadata, of those of the file."""
        n = like.count
        return replace(
            like,
            dtype=self.dtype,
            nodata=float("nan"),
            units=(self.factor.quantity,) * n,
            scales=(1.0,) * n,
            offsets=(0.0,) * n,
        )

    def read(self, window: Window, band: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return (h, w) of a band, from 1, calibrated, and True where the file says that it was measured."""
        with self.base.opened() as source:
            x, valid = source.read(window, band)
        if self.base.complex:
            return (x * np.float32(self.factor.scale)).astype(np.complex64), valid
        amplitude = self.factor.scale * x.astype(np.float64) ** self.factor.power
        return np.square(amplitude).astype(np.float32), valid


@dataclass(frozen=True, eq=False)
class IceyeComplex:
    """A complex product of ICEYE in HDF5: `s_i` and `s_q`, times the root of the calibration factor. It has no place on a map here."""

    path: Path
    quantity: str = ""

    count = 1
    dtype = "complex64"
    crs = transform = gcps_crs = None
    gcps = ()

    def __post_init__(self) -> None:
        if self.quantity not in ("", "beta0", "dn"):
            raise BadInput(
                f"{self.path}: `product={self.quantity}` is none of beta0, which its factor gives, and dn, the numbers of the file",
                argument="product",
            )
        one, other = (self.arrays[name] for name in ICEYE_PARTS)
        if len(one.shape) != 2 or one.shape != other.shape:
            raise BadInput(
                f"{self.path}: s_i and s_q are {one.shape} and {other.shape}, and not of one picture; get a fresh copy"
            )

    @cached_property
    def arrays(self) -> Mapping[str, StoredArray]:
        """Return the arrays of the file."""
        return entries(self.path)

    @property
    def height(self) -> int:
        """Return the number of rows."""
        return self.arrays["s_i"].shape[0]

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return self.arrays["s_i"].shape[1]

    @cached_property
    def factor(self) -> float | None:
        """Return the calibration factor, None without one or where the numbers of the file are asked for."""
        if self.quantity == "dn" or "calibration_factor" not in self.arrays:
            return None
        return number(np.ravel(read(self.path, "calibration_factor", ()))[0])

    @property
    def bands(self) -> tuple[BandFacts, ...]:
        """Return the band, of one look and of the grain of its bandwidths."""
        said = {
            name: self._scalar(name)
            for name in (
                *ICEYE,
                "window_function_range",
                "window_function_azimuth",
                "number_of_range_samples",
                "number_of_azimuth_samples",
                "polarization",
            )
            if name in self.arrays
        }
        grain = iceye_grain(said, self.height, self.width)
        unit = "beta0" if self.factor else ""
        return (BandFacts(str(said.get("polarization", "")), "complex", 1.0, grain, unit),)

    def _scalar(self, name: str) -> Any:
        found = np.ravel(read(self.path, name, ()))
        value = found[0] if found.size else ""
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    @property
    def said(self) -> tuple[str, ...]:
        """Return what was calibrated."""
        done = "calibrated to beta0 by calibration_factor" if self.factor else "not calibrated: the numbers of the file"
        return (f"ICEYE, s_i and s_q as one complex band, {done}",)

    def read(self, window: Window, band: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return (h, w) complex64, and True where both parts are finite."""
        i, q = (read(self.path, name, window.slices).astype(np.float32) for name in ICEYE_PARTS)
        z = ((i + 1j * q) * np.float32(1 if self.factor is None else self.factor**0.5)).astype(np.complex64)
        return z, np.isfinite(z)


def is_iceye(names: Mapping[str, StoredArray]) -> bool:
    """Return True for arrays of a complex product of ICEYE."""
    return all(name in names for name in ICEYE_PARTS)
