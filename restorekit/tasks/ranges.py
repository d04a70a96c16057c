"""Integers that fill little of their type, as 12 bits of a camera in uint16: which value is white is not in the file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from restorekit.errors import BadInput
from restorekit.files.picture import Picture

LITTLE = 0.25  # of the type, at most, up to which the values reach
HOT = 1e-4  # share of the values, at most, that hold the largest number of the type and say nothing of what is used
NARROW = 0.1  # of the range, between the least and the largest value


def ranged(picture: Picture, span: tuple[float, float]) -> Picture:
    """Return the same picture with the file values `span` as 0 and 1."""
    (low, high), (black, white) = picture.span, span
    values = picture.pixels.astype(np.float64) * (high - low) + low
    return replace(picture, pixels=((values - black) / (white - black)).astype(np.float32), span=span)


def used(picture: Picture) -> tuple[float, float] | None:
    """Return (0, 2^n - 1), the fewest bits that hold the values of uint8 or uint16; None where they fill their type."""
    if picture.dtype not in ("uint8", "uint16") or picture.span != (0.0, float(np.iinfo(picture.dtype).max)):
        return None
    white = 2 ** max(1, _extremes(picture)[1].bit_length()) - 1
    return (0.0, float(white)) if white <= LITTLE * picture.span[1] else None


def _extremes(picture: Picture) -> tuple[int, int]:
    """Return the least and the largest value of the file, without no data and without hot pixels at the end of the type."""
    told = picture.pixels if picture.empty is None else picture.pixels[:, ~picture.empty.where]
    if not told.size:
        return 0, round(picture.span[1])
    cold = told < 1
    if cold.any() and 0 < (~cold).sum() <= max(1.0, HOT * told.size):
        told = told[cold]
    return round(float(told.min()) * picture.span[1]), round(float(told.max()) * picture.span[1])


def check_range(name: object, picture: Picture) -> None:
    """Raise BadInput where 16 bits are filled so little that white, which settings are relative to, must be another value."""
    span = used(picture)
    if span is None or picture.dtype != "uint16":
        return
    low, high = _extremes(picture)
    raise BadInput(
        f"{name} holds uint16 from {low} to {high}: say which value is white, as `range=0,{span[1]:.0f}` "
        "(`range=0,65535` for a dark picture)",
        argument="range",
    )


def hint(picture: Picture) -> str | None:
    """Return what to say where noise is below what can be told in integers of little contrast; None where they have
    enough."""
    if picture.dtype not in ("uint8", "uint16"):
        return None
    low, high = _extremes(picture)
    if high - low >= NARROW * picture.span[1]:
        return None
    return f"values lie between {low} and {high}, a small part of the range: `range={low},{high}` has noise told relative to it"
