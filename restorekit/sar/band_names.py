"""Names, units and tags say what a band holds, before anything is guessed from its values.

Bands of SNAP are called after their quantity (`Amplitude_VV`, `Intensity_VH`, `Sigma0_VV`, `Sigma0_VV_db`), units are
"dB", "amplitude" or "intensity", and many files say dB in their own name alone. A ratio of polarisations, an angle or a
coherence is no brightness, whatever its unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restorekit.errors import BadInput

# By the words of a text; where several units are named, it tells none, but dB goes before what it is the logarithm of.
DECIBELS = {"db", "decibel", "decibels", "logarithm", "logarithmic"}
AMPLITUDE = {"amplitude", "amplitudes", "magnitude", "magnitudes"}
INTENSITY = {"intensity", "intensities", "power"}
LINEAR = {"sigma0", "gamma0", "beta0", "sigma", "gamma", "beta", "sigmanaught", "gammanaught", "linear", "m2/m2"}
SHORT = {"amp": "amplitude", "ampl": "amplitude", "mag": "amplitude", "pow": "intensity", "int": "intensity"}
OTHERS = {
    "angle": {"angle", "angles", "incidence", "incidenceangle", "localincidenceangle", "lia", "degree", "degrees", "deg"},
    "coherence": {"coherence", "coh"},
    "mask": {"mask", "layover", "shadow"},
    "height": {"dem", "elevation", "height", "altitude"},
    "place": {"latitude", "longitude", "lat", "lon"},
    "ratio": {"ratio", "crossratio", "rvi", "dprvi"},
}  # fmt: skip
NEVER = ("coherence", "ratio")  # a brightness, though it may be in dB or have a magnitude
_POLARISATION = r"(?:(?:sigma|gamma|beta)0[_ ]?)?(?:vv|vh|hh|hv)(?:[_ ]?db)?"
RATIO = re.compile(
    rf"(?<![a-z]){_POLARISATION}\s*(?:-|/|_div_|_minus_|_over_|\bminus\b|\bover\b)\s*{_POLARISATION}(?![a-z])"
)
KEYS = {
    "unit", "units", "quantity", "description", "long_name", "standard_name", "name", "radiometry", "band_name", "bandname",
    "scale_type", "domain", "measurement", "layer", "calibration", "backscatter", "tifftag_imagedescription",
}  # fmt: skip
LONGEST = 120  # characters of a tag that is looked at: longer ones are histories, and name more than they mean
OWN = ("RESTOREKIT", "TIFFTAG_SOFTWARE", "TIFFTAG_DATETIME", "TIFFTAG_COPYRIGHT")


@dataclass(frozen=True)
class Told:
    """It holds what a text says of a band.

    domain: "db", "amplitude" or "intensity", "" for what is no brightness. what: that, in a word: a ratio, an angle.
    where: the text, in words. weak: whether it names a quantity alone, as sigma0, which may be linear or in dB.
    """

    domain: str
    where: str
    what: str = ""
    weak: bool = False


def words_of(text: str) -> set[str]:
    """Return the words of a text, in small letters; those of Sigma0_VV_dB are sigma0, vv, db.

    >>> sorted(words_of("localIncidenceAngle"))
    ['angle', 'incidence', 'local', 'localincidenceangle']
    """
    found = {w.lower() for w in re.split(r"[^A-Za-z0-9/^]+", text) if w}
    pieces = {w.lower() for w in re.findall(r"[A-Z]?[a-z]{2,}", text)}
    return found | pieces | ({"db"} if re.search(r"dB(?![a-zA-Z])", text) else set())


def told_by(text: str | None, where: str, *, sure: bool = True) -> Told | None:
    """Return what a text says, None where it says nothing or several things. sure: whether it is a unit or a name of a
    band, so that short words count, and what is no brightness is named."""
    if not text:
        return None
    words = words_of(text)
    if sure and RATIO.search(text.lower()):
        return Told("", where, "ratio")
    bright = words & (DECIBELS | AMPLITUDE | INTENSITY | LINEAR)  # as in sigma0 by the projected angle of incidence
    others = (what for what, those in OTHERS.items() if words & those and (what in NEVER or not bright))
    if sure and (other := next(others, None)):
        return Told("", where, other)
    if words & DECIBELS:
        return Told("db", where)
    named = {"amplitude"} if words & AMPLITUDE else set[str]()
    named |= {"intensity"} if words & INTENSITY else set()
    named |= {SHORT[w] for w in words & SHORT.keys()} if sure else set()
    if len(named) == 1:
        return Told(named.pop(), where)
    weak = sure and bool(words & LINEAR)
    return Told("intensity", where, weak=True) if weak and not named else None


def told_of(path: Path, number: int, raster: Any = None) -> Told | None:
    """Return what a file says of a band, from 1: by its unit, its name, tags, or the name of the file, in this order;
    None where it says nothing. raster: a `restorekit.files.bands.Raster`, None for an array.

    Raises BadInput where two of them say different things.
    """
    said = [t for t in _all(path, number, raster) if t is not None]
    other = next((t for t in said if not t.domain), None)
    if other is not None:
        return other
    firm = [t for t in said if not t.weak]
    if len({t.domain for t in firm}) > 1:
        a, b = firm[0], next(t for t in firm if t.domain != firm[0].domain)
        raise BadInput(
            f"band {number} is {a.domain} by {a.where}, and {b.domain} by {b.where}; say which by `domain={a.domain}` or "
            f"`domain={b.domain}`",
            argument="domain",
        )
    return (firm or said or [None])[0]


def _all(path: Path, number: int, raster: Any) -> Iterator[Told | None]:
    """Yield what texts say; a file's own name counts only where nothing in it says more."""
    found: list[Told] = []
    if raster is not None:
        if unit := raster.units[number - 1]:
            found += _some(told_by(unit, f"its unit {unit!r}"))
        if name := raster.descriptions[number - 1]:
            found += _some(told_by(name, f"its name {name!r}"))
        found += _some(_by_tags(raster.band_tags[number - 1], "its"))
        if not [t for t in found if not t.weak]:
            found += _some(_by_tags(raster.tags, "the file's"))
    if not [t for t in found if not t.weak]:
        found += _some(told_by(_stem(path), "the name of the file", sure=False))
    yield from found


def _stem(path: Path) -> str:
    return re.sub(r"\.(tiff?|npy|png|img|nc|h5|ntf)$", "", path.name, flags=re.IGNORECASE)


def _some(told: Told | None) -> list[Told]:
    return [] if told is None else [told]


def _by_tags(tags: Mapping[str, Mapping[str, str]], whose: str) -> Told | None:
    """Return what tags say; those that have the name of a unit or of a quantity go before others."""
    for keyed in (True, False):
        found = [
            told
            for space in tags.values()
            for key, value in space.items()
            if (key.lower() in KEYS) == keyed and len(value) <= LONGEST and not key.upper().startswith(OWN)
            if (told := told_by(value, f"{whose} tag {key}={value!r}", sure=False)) is not None
        ]
        if len({t.domain for t in found}) == 1:
            return found[0]
    return None
