"""Values in text: pairs, sizes, boxes, looks and lists of bands. Each returns None for None, which stands for nothing given.

`argument` is the setting that the text is of; messages name it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from restorekit.errors import BadInput

if TYPE_CHECKING:
    from restorekit.sar.changes import Changes
    from restorekit.sar.structure import Structure
    from restorekit.sar.targets import Targets


def _refused(text: str, argument: str, advice: str) -> BadInput:
    return BadInput(f"`{argument}` {text!r} is not understood; give {advice}", argument=argument)


def _whole(text: str) -> int:
    """Return a whole number from 0, or -1 for what is none, or is larger than anything that is counted here."""
    return int(text) if text.isdecimal() and len(text) < 19 else -1


def numbers(text: str | None, argument: str = "bands") -> tuple[int, ...] | None:
    """Return whole numbers from 1, such as those of bands.

    >>> numbers("4,3,2")
    (4, 3, 2)
    """
    if text is None:
        return None
    found = tuple(_whole(p.strip()) for p in text.split(","))
    if min(found) < 1:
        raise _refused(text, argument, f"numbers from 1, as `{argument}=1,2`")
    return found


def span(text: str | None, argument: str = "range") -> tuple[float, float] | None:
    """Return (low, high), two finite numbers that rise.

    >>> span("0,4095")
    (0.0, 4095.0)
    """
    if text is None:
        return None
    try:
        low, high = (float(v) for v in text.split(","))
    except ValueError:
        raise _refused(text, argument, f"two numbers, as `{argument}=0,4095`") from None
    if not low < high:
        raise BadInput(f"`{argument}` {text!r}: the first number must be the smaller one", argument=argument)
    return low, high


def size(text: str | None, argument: str = "size") -> tuple[int, int] | None:
    """Return (height, width) in pixels; one number is a square.

    >>> size("64x96")
    (64, 96)
    """
    if text is None:
        return None
    found = [_whole(p) for p in text.lower().split("x")]
    if len(found) > 2 or min(found) < 1:
        raise _refused(text, argument, f"height and width in pixels, as `{argument}=64x96`")
    return found[0], found[-1]


def shape(text: str, argument: str = "size") -> tuple[int, int, int]:
    """Return (bands, height, width), each at least 1.

    >>> shape("3x20x16")
    (3, 20, 16)
    """
    found = [_whole(p) for p in text.split("x")]
    if len(found) != 3 or min(found) < 1:
        raise _refused(text, argument, f"bands, height and width, as `{argument}=3x20x16`")
    return found[0], found[1], found[2]


def levels(text: str | None, argument: str = "sigmas") -> tuple[float, ...] | None:
    """Return noise levels, rising, each once; none of them for "none".

    >>> levels("0.1,0.05")
    (0.05, 0.1)
    """
    if text is None or text == "none":
        return None if text is None else ()
    try:
        return tuple(dict.fromkeys(sorted(float(s) for s in text.split(","))))
    except ValueError:
        raise _refused(text, argument, "numbers, as 0.05,0.1,0.2, or none") from None


def box(text: str | None, argument: str) -> tuple[int, int, int, int] | None:
    """Return (top, left, height, width) in pixels.

    >>> box("120,80,40,40", "region")
    (120, 80, 40, 40)
    """
    if text is None:
        return None
    found = [_whole(p.strip()) for p in text.split(",")]
    if len(found) != 4 or min(found) < 0:
        raise _refused(text, argument, "TOP,LEFT,HEIGHT,WIDTH in pixels, as 120,80,40,40")
    top, left, height, width = found
    return top, left, height, width


def looks(text: str | None, argument: str = "looks") -> float | None:
    """Return the number of looks of speckle, above 0; None for "auto" as well, where they are to be measured.

    >>> looks("4.4")
    4.4
    """
    if text is None or text == "auto":
        return None
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise _refused(text, argument, f"a number above 0, as `{argument}=4.4`, or auto")
    return found


def grain(text: str | None, argument: str = "grain") -> tuple[float, float] | str | None:
    """Return (down, across): the correlation of intensity with the next row and the next column; or the name of a product
    of which it is known.

    >>> grain("0.65,0.6"), grain("Sentinel-1-IW-GRD")
    ((0.65, 0.6), 'sentinel-1-iw-grd')
    """
    from restorekit.sar.known import known_product

    if text is None:
        return None
    if any(c.isalpha() for c in text) and "," not in text:
        known_product(text)
        return text.lower()
    try:
        down, across = (float(v) for v in text.split(","))
    except ValueError:
        advice = "RHO_ROW,RHO_COL, the correlation of intensity with the next row and the next column, as 0.65,0.6, or the name of a product"
        raise _refused(text, argument, advice) from None
    return down, across


def level(text: str | None, argument: str = "sigma") -> float | Literal["none"] | None:
    """Return a noise level above 0, or "none".

    >>> level("0.05"), level("None")
    (0.05, 'none')
    """
    if text is None or text.lower() == "none":
        return None if text is None else "none"
    try:
        sigma = float(text)
    except ValueError:
        sigma = math.nan
    if not 0 < sigma < math.inf:
        raise _refused(text, argument, "a number above 0, as 0.05, or none")
    return sigma


def targets(text: str, argument: str = "targets") -> Targets | None:
    """Return the test for point targets: "auto", None for "off", or that of a rate of false alarms per pixel."""
    from restorekit.sar.targets import Targets

    if text in ("auto", "off"):
        return Targets() if text == "auto" else None
    try:
        return Targets(false_alarms=float(text))
    except ValueError:
        advice = f"auto, off, or a false-alarm rate per pixel up to {Targets.beside:g}, as 1e-5"
        raise _refused(text, argument, advice) from None


def structure(text: str, argument: str = "structure") -> Structure | None:
    """Return the test of the ratio image: "auto", None for "off", or that of a rate of false alarms per pixel."""
    from restorekit.sar.structure import Structure

    if text in ("auto", "off"):
        return Structure() if text == "auto" else None
    try:
        return Structure(false_alarms=float(text))
    except ValueError:
        advice = f"auto, off, or a false-alarm rate per pixel up to {Structure.beside:g}, as 1e-5"
        raise _refused(text, argument, advice) from None


def changes(text: str, argument: str = "changes") -> Changes:
    """Return the test for changes between dates: "auto", or that of a share of the pixels that are falsely called changed."""
    from restorekit.sar.changes import Changes

    if text == "auto":
        return Changes()
    try:
        return Changes(false_alarms=float(text))
    except ValueError:
        advice = "auto, or the share of pixels without a change that are called changed, up to 0.1, as 1e-3"
        raise _refused(text, argument, advice) from None
