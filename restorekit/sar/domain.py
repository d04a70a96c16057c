"""A domain leads from the unit of a file to the logarithm of intensity that priors know, and back again.

amplitude a: I = a^2        dB d: I = 10^(d / 10)        complex z: I = |z|^2        u = ln(I / scale)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.sar.looks import Array

LN10 = math.log(10)
LESS = 0.05  # share of values below 0 from which on what is left is too bright
FILLS = (-9999.0, -32768.0, -32767.0, -99999.0, -999.0, float(np.finfo(np.float32).min))


@dataclass(frozen=True)
class Domain:
    """A domain turns values of a file into intensities, and results of a despeckler into values of the file."""

    name: str
    intensity: Callable[[NDArray[Any]], Array]
    value: Callable[[Array], Array]  # of an intensity
    signed: bool = False  # whether values below 0 mean anything

    def deviation(self, intensity: Array, looks: float) -> Array:
        """Return the standard deviation of values under speckle of `looks` looks and mean `intensity`, in the unit of
        the file."""
        if self.name == "db":
            return np.full(np.shape(intensity), 10 / LN10 * math.sqrt(float(scipy.special.polygamma(1, looks))))
        if self.name == "amplitude":
            mean = math.exp(float(scipy.special.gammaln(looks + 0.5) - scipy.special.gammaln(looks))) / math.sqrt(looks)
            return np.sqrt(intensity * (1 - mean**2))
        return intensity / math.sqrt(looks)

    def least(self, scale: float = 1.0) -> float:
        """Return the intensity of a whole number that was rounded to 0: it lay between 0 and a half."""
        return float(self.intensity(np.array(0.25 * scale)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by name."""
        return _named, (self.name,)


def _named(name: str) -> Domain:
    return DOMAINS[name]


def _positive(x: Array) -> Array:
    return np.maximum(x, 1e-300)


DOMAINS = {
    "intensity": Domain("intensity", lambda x: x.astype(np.float64), lambda i: i),
    "amplitude": Domain("amplitude", lambda x: np.square(x.astype(np.float64)), np.sqrt),
    "db": Domain("db", lambda x: 10.0 ** (x.astype(np.float64) / 10), lambda i: 10 / LN10 * np.log(_positive(i)), signed=True),
    # What comes back from complex data is an intensity: a phase is not restored.
    "complex": Domain("complex", lambda x: np.square(np.abs(x.astype(np.complex128))), lambda i: i),
}  # fmt: skip


PARTS = ("real,imaginary", "amplitude,phase")  # of complex numbers, in two bands
STRETCHED = "db:LO,HI"
WHITE = {"uint8": 255, "uint16": 65535}  # the number that stands for HI


def check_domain(name: str) -> None:
    """Raise BadInput for a name that is no domain, no pair of parts, no range of dB and not `auto`."""
    if name not in (*DOMAINS, *PARTS, "auto") and stretch(name) is None:
        raise BadInput(f"unknown domain {name!r}; known: {', '.join(DOMAINS)}, {STRETCHED}, {', '.join(PARTS)}, auto")


def stretch(name: str) -> tuple[float, float] | None:
    """Return the dB that 0 and white stand for, of `db:LO,HI`; None for other domains. Raises BadInput for no range.

    >>> stretch("db:-25,0")
    (-25.0, 0.0)
    """
    kind, colon, text = name.partition(":")
    if kind != "db" or not colon:
        return None
    try:
        low, high = (float(v) for v in text.split(","))
    except ValueError:
        low = high = math.nan
    if not -200 <= low < high <= 200:
        raise BadInput(
            f"`domain={name}`: two levels in dB, the lower one first, of which 0 and the largest number stand for, as `domain=db:-25,0`",
            argument="domain",
        )
    return low, high


def domain_of(name: str, dtype: str, sample: NDArray[Any]) -> tuple[Domain, str]:
    """Return the domain by name, or guessed by `auto` from the type and some valid values; and what to say about it
    ("" if asked).

    Raises BadInput where what was said cannot be: logarithms given as intensities, real numbers as complex ones.
    """
    is_complex = dtype.startswith("complex")
    if name not in (*DOMAINS, "auto"):
        check_domain(name)
        raise BadInput(f"`domain={name}` is for despeckle and metrics sar; write the scene in another unit first")
    if name == "auto":
        guess, why = guessed(dtype, sample)
        return DOMAINS[guess], f"domain: {guess}, as {why}; give `domain` if that is wrong"
    if is_complex != (name == "complex"):
        raise BadInput(
            f"`domain={name}`, but the file holds {dtype}; give `domain={'complex' if is_complex else 'auto'}`"
        )
    below = 0.0 if is_complex or not sample.size else float((sample < 0).mean())
    if DOMAINS[name].signed:
        _check_decibels(sample)
    elif below > 0.5 and _size_of_decibels(sample):
        raise BadInput(
            f"`domain={name}`, but {below:.0%} of the values are below 0, as those of dB are; give `domain=db`, or, of real and "
            "imaginary parts, put them together first, x + 1j * y"
        )
    return DOMAINS[name], "" if DOMAINS[name].signed else below_zero(below)


def below_zero(share: float) -> str:
    """Return what to say of the share of values below 0 of an intensity or an amplitude, "" for none.

    >>> below_zero(0.015)
    '1.50% of the values are below 0, and count as no signal'
    """
    if not share:
        return ""
    said = f"{share:.2%} of the values are below 0, and count as no signal"
    if share <= LESS:
        return said
    return f"{said}: less their noise, they have no law of speckle, so that those above 0 come out too bright and the others stay; take the power with its noise where it can be had"


def fill_of(sample: NDArray[Any]) -> float | None:
    """Return a number that stands for no measurement though the file does not say so: one of FILLS, far below all
    others; else None."""
    if sample.dtype.kind == "c":
        return None
    for fill in FILLS:
        with np.errstate(over="ignore"):  # of float16
            here = sample == fill
        rest = sample[~here]
        if here.sum() > 1 and rest.size and float(rest.min()) > 0.2 * fill:
            return fill
    return None


def _size_of_decibels(sample: NDArray[Any]) -> bool:
    """Return True for values (N,) of the size that dB have, from 1 to 200: powers less their noise are far below that, or far above."""
    return bool(sample.size) and 1 <= float(np.quantile(np.abs(sample), 0.9)) <= 200


def _check_decibels(sample: NDArray[Any]) -> None:
    if sample.size and (far := float(np.quantile(np.abs(sample), 0.9))) > 200:
        raise BadInput(
            f"values as {far:.0f} are no dB; of numbers in a smaller unit give the band its scale, as gdal_edit.py -scale 0.01, of "
            f"bytes that are stretched `domain={STRETCHED}`"
        )


def guessed(dtype: str, sample: NDArray[Any]) -> tuple[str, str]:
    """Return the name of a domain that values may have, and why. Raises BadInput where they may have several."""
    if dtype.startswith("complex"):
        return "complex", "the values are complex"
    if dtype.startswith(("uint", "int")) and not (sample.size and (sample < 0).any()):
        return "amplitude", f"the values are whole numbers ({dtype})"
    below = float((sample < 0).mean()) if sample.size else 0.0
    if 0.01 < below <= 0.5:
        raise BadInput(
            f"{below:.0%} of the values are below 0: dB, or intensities less their noise; give `domain=db` or `domain=intensity`, or, "
            "of real and imaginary parts, put them together first, x + 1j * y"
        )
    if below > 0.5:
        _check_decibels(sample)
        if not _size_of_decibels(sample):
            raise BadInput(
                f"{below:.0%} of the values are below 0, and all are so small as dB of a scene are not: intensities less their noise; give "
                "`domain=intensity`, or `domain=db`",
                argument="domain",
            )
        return "db", "values are below 0"
    return "intensity", "no value is below 0"
