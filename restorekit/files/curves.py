"""A curve says which light values of a file stand for. Each rises over all real numbers, and can be undone exactly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput

Array = NDArray[np.floating[Any]]
_ALIKE = 0.5 / 255  # in values of the file, by which a curve may differ from sRGB to be it: what 8 bits do not show
_NEAR_BLACK = 1e-12  # light below which the slope of a pure power, infinite at 0, grows no further
_JUMP = 2e-3  # light by which two parts of a curve may miss each other, as rounded constants make them
_FLATTEST = 1 / 16  # share of the codes that one amount of light may take up


class Curve(ABC):
    """A curve between coded values and light, white 1 in both; arrays (..., C, H, W)."""

    name: str

    @abstractmethod
    def decode(self, coded: Array) -> Array:
        """Return the light of coded values."""

    @abstractmethod
    def encode(self, light: Array) -> Array:
        """Return the coded values of light; the inverse of `decode`, on all real numbers."""

    @abstractmethod
    def slope(self, light: Array) -> Array:
        """Return d coded / d light: what a small error of the light is in values of the file."""

    @abstractmethod
    def record(self) -> Any:
        """Return what a record keeps of the curve, plain numbers; `curve_of` reads it back."""

    def fits(self, bands: int) -> bool:
        """Return True where the curve is one of pictures of so many bands."""
        return True


@dataclass(frozen=True)
class Linear(Curve):
    """The curve of values that are taken as they are."""

    name = "linear"

    def decode(self, coded: Array) -> Array:
        return coded

    def encode(self, light: Array) -> Array:
        return light

    def slope(self, light: Array) -> Array:
        return np.ones_like(light)

    def record(self) -> Any:
        return self.name


@dataclass(frozen=True)
class Power(Curve):
    """A pure power, light = (gain coded)^gamma, odd about 0. Raises BadInput for a gamma or a gain that is not above 0."""

    gamma: float
    gain: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.gamma < np.inf and 0 < self.gain < np.inf):
            raise BadInput(f"a curve of gamma {self.gamma:g} and gain {self.gain:g} does not rise")

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"gamma:{self.gamma:.6g}"

    def decode(self, coded: Array) -> Array:
        v = np.asarray(coded, np.float64)
        return np.sign(v) * (self.gain * np.abs(v)) ** self.gamma

    def encode(self, light: Array) -> Array:
        v = np.asarray(light, np.float64)
        return np.sign(v) * np.abs(v) ** (1 / self.gamma) / self.gain

    def slope(self, light: Array) -> Array:
        v = np.maximum(np.abs(np.asarray(light, np.float64)), _NEAR_BLACK)
        return v ** (1 / self.gamma - 1) / (self.gamma * self.gain)

    def record(self) -> Any:
        return {"gamma": self.gamma, "gain": self.gain}


@dataclass(frozen=True)
class Toe(Curve):
    """A power with a straight toe: light = (a coded + b)^gamma + e from the value `start` on, else slope coded + f.

    Both parts meet at `start`. Below it the straight part goes on for ever, above 1 the power.
    """

    name: str
    gamma: float
    a: float
    b: float
    slope_: float
    start: float
    e: float = 0.0
    f: float = 0.0

    @staticmethod
    def meeting(
        name: str, gamma: float, a: float, b: float, slope: float, start: float, e: float = 0.0, f: float = 0.0
    ) -> Toe:
        """Return the curve of constants that were rounded, with the toe turned until it meets the power.

        Raises BadInput where the two are further apart than rounding explains, or do not rise.
        """
        light = (a * start + b) ** gamma + e if a > 0 and a * start + b > 0 else np.nan
        if not (start > 0 and gamma > 0 and abs(slope * start + f - light) <= _JUMP and light > f):
            raise BadInput(f"{name}: its curve jumps or does not rise")
        return Toe(name, gamma, a, b, (light - f) / start, start, e, f)

    @property
    def _corner(self) -> float:
        return (self.a * self.start + self.b) ** self.gamma + self.e

    def decode(self, coded: Array) -> Array:
        v = np.asarray(coded, np.float64)
        above = (self.a * np.maximum(v, self.start) + self.b) ** self.gamma + self.e
        return np.where(v < self.start, self.slope_ * v + self.f, above)

    def encode(self, light: Array) -> Array:
        v = np.asarray(light, np.float64)
        above = ((np.maximum(v, self._corner) - self.e) ** (1 / self.gamma) - self.b) / self.a
        return np.where(v < self._corner, (v - self.f) / self.slope_, above)

    def slope(self, light: Array) -> Array:
        v = np.asarray(light, np.float64)
        above = (np.maximum(v, self._corner) - self.e) ** (1 / self.gamma - 1) / (self.gamma * self.a)
        return np.where(v < self._corner, 1 / self.slope_, above)

    def record(self) -> Any:
        return {
            "name": self.name, "gamma": self.gamma, "a": self.a, "b": self.b, "slope": self.slope_,
            "start": self.start, "e": self.e, "f": self.f,
        }  # fmt: skip


class SRGB(Toe):
    """The curve of sRGB (IEC 61966-2-1). Below 0 its linear part goes on, above 1 its power.

    The standard rounds where its two parts meet, which leaves light of 1e-9 without a value; here they meet.
    """

    def __init__(self) -> None:
        super().__init__("srgb", 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.040448236277107696)

    def record(self) -> Any:
        return self.name


# ITU-R BT.709 with the constants of BT.2020 for 12 bits, of which the two parts meet.
BT709 = Toe("bt709", 1 / 0.45, 1 / 1.09929682680944, 0.09929682680944 / 1.09929682680944, 1 / 4.5, 4.5 * 0.018053968510807)  # fmt: skip


@dataclass(frozen=True)
class Sampled(Curve):
    """A curve given at points, straight between them and, with its end pieces, beyond them: rising codes and their light."""

    name: str
    codes: tuple[float, ...]
    light: tuple[float, ...]

    @staticmethod
    def of(name: str, light: Array) -> Sampled:
        """Return the curve of light (n,) at n codes from 0 to 1, which may be rounded: what is flat counts as its middle.

        Raises BadInput where it falls, or is flat over more than a sixteenth of the codes.
        """
        values = np.asarray(light, np.float64)
        if len(values) < 2 or not np.isfinite(values).all() or (np.diff(values) < 0).any() or values[0] == values[-1]:
            raise BadInput(f"{name}: its curve does not rise")
        first = np.flatnonzero(np.diff(values, prepend=-np.inf) > 0)
        last = np.append(first[1:], len(values)) - 1
        middle = (first + last) / 2
        middle[0], middle[-1] = 0, len(values) - 1
        if ((last - first) / (len(values) - 1)).max() > _FLATTEST:
            raise BadInput(f"{name}: its curve is flat in part, where values say nothing of the light")
        return Sampled(name, tuple(middle / (len(values) - 1)), tuple(values[first]))

    @cached_property
    def _pieces(self) -> tuple[Array, Array, Array]:
        codes, light = np.asarray(self.codes), np.asarray(self.light)
        return codes, light, np.diff(light) / np.diff(codes)

    def _piece(self, v: Array, ends: Array) -> NDArray[np.intp]:
        return np.searchsorted(ends[1:-1], v, side="right")

    def decode(self, coded: Array) -> Array:
        codes, light, steep = self._pieces
        v = np.asarray(coded, np.float64)
        i = self._piece(v, codes)
        return light[i] + steep[i] * (v - codes[i])

    def encode(self, light: Array) -> Array:
        codes, at, steep = self._pieces
        v = np.asarray(light, np.float64)
        i = self._piece(v, at)
        return codes[i] + (v - at[i]) / steep[i]

    def slope(self, light: Array) -> Array:
        _, at, steep = self._pieces
        return 1 / steep[self._piece(np.asarray(light, np.float64), at)]

    def record(self) -> Any:
        return {"name": self.name, "codes": list(self.codes), "light": list(self.light)}


@dataclass(frozen=True)
class PerBand(Curve):
    """A curve for each band of arrays (..., C, H, W)."""

    curves: tuple[Curve, ...]

    @property
    def name(self) -> str:  # type: ignore[override]
        return ",".join(dict.fromkeys(curve.name for curve in self.curves))

    def fits(self, bands: int) -> bool:
        return bands == len(self.curves)

    def _each(self, what: str, x: Array) -> Array:
        planes = np.moveaxis(np.asarray(x), -3, 0)
        return np.stack([getattr(c, what)(v) for c, v in zip(self.curves, planes, strict=True)], -3)

    def decode(self, coded: Array) -> Array:
        return self._each("decode", coded)

    def encode(self, light: Array) -> Array:
        return self._each("encode", light)

    def slope(self, light: Array) -> Array:
        return self._each("slope", light)

    def record(self) -> Any:
        return [curve.record() for curve in self.curves]


CURVES: dict[str, Curve] = {"srgb": SRGB(), "linear": Linear()}


def joined(curves: Sequence[Curve]) -> Curve:
    """Return the curve of bands that have these: one, where all are the same but for their names."""
    plain = [known(curve) for curve in curves]
    return plain[0] if all(curve == plain[0] for curve in plain) else PerBand(tuple(plain))


def known(curve: Curve) -> Curve:
    """Return sRGB or the linear curve where 8 bits do not tell it from this one, else the curve itself."""
    codes = np.arange(256) / 255
    light = curve.decode(codes[:, None, None])[:, 0, 0]
    if np.abs(light - codes).max() <= _ALIKE:
        return CURVES["linear"]
    return CURVES["srgb"] if np.abs(CURVES["srgb"].encode(light) - codes).max() <= _ALIKE else curve


def curve_of(record: Any) -> Curve:
    """Return the curve that `record` tells of. Raises BadInput where that is no record of a curve."""
    try:
        if isinstance(record, str):
            return CURVES[record]
        if isinstance(record, list):
            return PerBand(tuple(curve_of(one) for one in record))
        if "codes" in record:
            pieces = Sampled(str(record["name"]), *(tuple(map(float, record[k])) for k in ("codes", "light")))
            if not all((np.diff(v) > 0).all() and len(v) > 1 for v in (pieces.codes, pieces.light)):
                raise ValueError
            return pieces
        if "slope" in record:
            given = [float(record[k]) for k in ("gamma", "a", "b", "slope", "start", "e", "f")]
            return Toe.meeting(str(record["name"]), *given)
        return Power(float(record["gamma"]), float(record["gain"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput("no record of a curve") from error
