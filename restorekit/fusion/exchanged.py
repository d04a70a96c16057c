"""Two pictures may be given the wrong way round: the optical one as the radar picture, and the other way about."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.fusion.pair_files import Bands
from restorekit.sar.looks import Looks, measure

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]
FEW = 12.0  # looks below which a picture may be one with speckle
TIMES = 2.0  # as many looks as the other picture has, from which on that is the one with speckle
SIDE = 1024  # pixels of the middle that are looked at


def coloured(bands: Bands) -> bool:
    """Return True where bands (C, H, W) are colours: three or more of integers, the first three not the same."""
    values = bands.values[:3]
    return len(values) == 3 and values.dtype.kind == "u" and not (values == values[:1]).all()


def speckle_of(
    optical: Bands, seen: Array, valid: Mask, intensity: Array, measured: Mask
) -> tuple[Looks, Looks] | None:
    """Return the looks of an optical picture, as if it were one of amplitudes, and of intensities, where the first has the
    speckle and the second has not; else None.

    seen: (H, W), the mean of its bands, in numbers of the file.
    """
    try:
        power = seen**2 if seen[valid].min() >= 0 else 10 ** (seen / 10)
        one, other = (measure(*_middle(x, m & (x > 0))) for x, m in ((power, valid), (intensity, measured)))
    except BadInput:  # too small to tell
        return None
    return (one, other) if one.looks <= FEW and one.looks * TIMES < other.looks else None


def _middle(x: Array, mask: Mask) -> tuple[Array, Mask]:
    top, left = (max(0, (n - SIDE) // 2) for n in x.shape)
    part = slice(top, top + SIDE), slice(left, left + SIDE)
    return x[part], mask[part]


def refuse_exchanged(
    optical: Bands, seen: Array, valid: Mask, radar: Bands, intensity: Array, measured: Mask, stated: bool
) -> str | None:
    """Return what to say where the two pictures are likely to be exchanged, else None.

    radar: all its bands. stated: whether what it holds was given, not guessed. Raises BadInput where nothing was stated, the
    radar picture has colours, and the optical one has none but decibels or speckle.
    """
    decibels = optical.dtype.startswith("float") and float(np.median(seen[valid])) < 0
    found = None if decibels else speckle_of(optical, seen, valid, intensity, measured)
    if not decibels and found is None:
        return None
    why = "values below 0, as decibels have them" if found is None else f"speckle of {found[0].looks:.1f} looks"
    text = (
        f"{optical.path} shows {why}, and {radar.path} is the {'one in colours' if coloured(radar) else 'smoother one'}"
    )
    if coloured(radar) and not coloured(optical) and not stated:
        raise BadInput(
            f"{text}: they look exchanged, it is OPTICAL SAR OUT; where they are not, say what SAR holds, `domain=amplitude`"
        )
    if found is None and not coloured(radar):
        return None
    return f"{text}; are they exchanged? It is OPTICAL SAR OUT"
