"""One unit for all bands of a file: what it says of them, then what their values may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.sar.band_names import told_of
from restorekit.sar.domain import STRETCHED, WHITE, guessed
from restorekit.sar.logarithms import FLAT, spread_slope
from restorekit.sar.looks import Mask

WHOLE = 100.0  # whole numbers above which are no dB


@dataclass(frozen=True, eq=False)
class Sample:
    """It holds some windows of a band, and what the file says of it.

    parts: (h, w) numbers of the file and where they are valid. gain: (scale, offset) of the file. told: its domain, "" where
    the file says none; where: by what. weak: whether that is the name of a quantity alone, which may be in dB.
    """

    number: int  # from 1
    dtype: str
    parts: Sequence[tuple[NDArray[Any], Mask]]
    gain: tuple[float, float]
    told: str = ""
    where: str = ""
    weak: bool = False
    fill: float | None = None

    @classmethod
    def of_file(
        cls, path: Path, number: int, dtype: str, parts: Sequence[tuple[NDArray[Any], Mask]], gain: tuple[float, float],
        raster: Any = None, fill: float | None = None,
    ) -> Sample:  # fmt: skip
        """Return a sample with what the file says of the band. Raises BadInput where it contradicts itself."""
        told = None if dtype.startswith("complex") else told_of(path, number, raster)
        if told is None or not told.domain:
            return cls(number, dtype, parts, gain, fill=fill)
        return cls(number, dtype, parts, gain, told.domain, told.where, told.weak, fill)

    @property
    def values(self) -> NDArray[Any]:
        """Return the valid numbers of the file, (N,)."""
        return np.concatenate([x[valid] for x, valid in self.parts])

    @property
    def whole(self) -> bool:
        """Return True where the numbers are integers without a scale."""
        return self.dtype.startswith(("uint", "int")) and self.gain == (1.0, 0.0)

    @property
    def meant(self) -> NDArray[Any]:
        """Return what the valid numbers mean, by the scale of the file."""
        x, (scale, offset) = self.values, self.gain
        with np.errstate(over="ignore", invalid="ignore"):
            return x if x.dtype.kind == "c" or self.gain == (1.0, 0.0) else scale * x.astype(np.float64) + offset


def units_of(samples: Sequence[Sample], asked: str) -> dict[int, tuple[str, str]]:
    """Return by number (domain, what to say) of bands that are to be read together.

    asked: a domain, or "auto": what the file says; for bands of which it says nothing, the unit of those of which it does, or
    one that the values of all have. Raises BadInput where they differ, or where values look like logarithms.
    """
    if asked != "auto":
        _check_whole(samples, asked)
        return {s.number: (asked, _against(s, asked)) for s in samples}
    found: dict[int, tuple[str, str]] = {}
    for s in samples:
        if s.told and not (s.weak and not _as_told(s)):
            found[s.number] = (
                s.told,
                "" if not s.where else f"domain: {s.told}, by {s.where}; give `domain` if that is wrong",
            )
    _check_whole([s for s in samples if s.number in found], "db", {n: d for n, (d, _) in found.items()})
    rest = [s for s in samples if s.number not in found]
    told = {d for d, _ in found.values()}
    if rest and len(told) == 1:
        first = next(iter(found))
        unit = told.pop()
        return found | {
            s.number: (unit, f"domain: {unit}, as band {first} has it; give `domain` if that is wrong") for s in rest
        }
    return found | _guessed(rest)


def stretched(sample: Sample, levels: tuple[float, float]) -> tuple[float, float]:
    """Return (scale, offset) that lead from the numbers of a file to the dB that 0 and white stand for.

    Raises BadInput for numbers that have a scale, or no white.
    """
    low, high = levels
    if sample.gain != (1.0, 0.0):
        raise BadInput(f"band {sample.number} has a scale and an offset, by which its numbers are dB; give `domain=db`")
    white: float | None = WHITE.get(sample.dtype)
    if white is None and sample.dtype.startswith("float"):
        largest = float(sample.values.max()) if sample.values.size else 1.0
        white = next((w for w in (1.0, 255.0, 65535.0) if largest <= 1.05 * w), None)  # restored, a little above
    if white is None:
        raise BadInput(
            f"`domain={STRETCHED}` is of whole numbers of 8 or 16 bits from 0, or of floats from 0 to 1, 255 or 65535, and band {sample.number} "
            f"holds {sample.dtype}; give the band its scale and offset, and `domain=db`"
        )
    return (high - low) / white, low


def no_brightness(path: Path, numbers: Sequence[int], raster: Any) -> dict[int, str]:
    """Return by number what bands are that no speckle of their own is on: a ratio, an angle, a mask."""
    found = {}
    for number in numbers if raster is not None else ():
        told = told_of(path, number, raster)
        if told is not None and not told.domain:
            found[number] = f"{_an(told.what)} by {told.where}"
    return found


def _an(what: str) -> str:
    return what if what in ("coherence", "height") else f"{'an' if what[0] in 'aeiou' else 'a'} {what}"


def _as_told(sample: Sample) -> bool:
    """Return True where values may be those of a quantity that is linear by its name: floats, hardly one below 0."""
    x = sample.meant
    return sample.dtype.startswith("float") and not (x.size and float((x < 0).mean()) > 0.01)


def _against(sample: Sample, asked: str) -> str:
    kind = asked.partition(":")[0]
    if not sample.told or sample.weak or sample.told == kind:
        return ""
    return f"taken for {kind}, as `domain` says, though it is {sample.told} by {sample.where}"


def _check_whole(samples: Sequence[Sample], asked: str, domains: dict[int, str] | None = None) -> None:
    """Raise BadInput for whole numbers without a scale that are too large for dB."""
    for s in samples:
        if (domains or {}).get(s.number, asked) != "db" or not s.dtype.startswith("uint") or not s.whole:
            continue
        x = s.values
        if x.size and float(np.quantile(x, 0.99)) > WHOLE:
            white = WHITE.get(s.dtype, int(np.iinfo(s.dtype).max))
            raise BadInput(
                f"band {s.number} is in dB{f', by {s.where}' if s.where else ''}, and its numbers go to {x.max()} without a scale: say which "
                f"dB 0 and {white} stand for, as `domain=db:-25,0`, or give the band a scale and an offset (gdal_edit.py -scale -offset)",
                argument="domain",
            )


def _guessed(samples: Sequence[Sample]) -> dict[int, tuple[str, str]]:
    """Return by number (domain, what to say) of bands of which the file says nothing."""
    found, doubts = dict[int, tuple[str, str]](), dict[int, BadInput]()
    for s in samples:
        try:
            found[s.number] = guessed(s.dtype, s.meant)
        except BadInput as error:
            doubts[s.number] = error
    kinds = {name for name, _ in found.values()}
    if doubts and kinds != {"db"}:
        raise next(iter(doubts.values()))
    if len(kinds) > 1:
        each = ", ".join(f"band {n} {name} ({why})" for n, (name, why) in found.items())
        raise BadInput(
            f"by their values bands are of different units, {each}; give `domain` for all, or `bands` for those of one unit",
            argument="domain",
        )
    for s in samples:
        if s.number in found and found[s.number][0] in ("amplitude", "intensity"):
            _check_spread(s, found[s.number][0])
    found |= {n: ("db", f"band {next(iter(found))} is") for n in doubts}
    return {n: (name, f"domain: {name}, as {why}; give `domain` if that is wrong") for n, (name, why) in found.items()}


def _check_spread(sample: Sample, guess: str) -> None:
    """Raise BadInput where values are never below 0, and spread as logarithms do."""
    scale, offset = sample.gain
    slope = spread_slope([(scale * x.astype(np.float64) + offset, valid) for x, valid in sample.parts])
    if slope is None or slope >= FLAT:
        return
    white = WHITE.get(sample.dtype)
    way = (
        f"dB that were stretched to 0..{white}, give the levels of both as `domain=db:-25,0`"
        if white
        else "dB, give `domain=db`"
    )
    raise BadInput(
        f"band {sample.number}: values are spread alike at every level, as logarithms (dB) are, and not more where they are larger, as "
        f"speckle of {guess} is; if they are {way}, and `domain={guess}` if they are that",
        argument="domain",
    )
