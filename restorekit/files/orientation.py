"""The orientation of a picture (EXIF and TIFF tag 274) says how viewers turn or mirror the stored pixels to show them.

Values follow EXIF 2.3, section 4.6.4: 1 as stored, 2 mirrored left-right, 3 turned by 180 degrees, 4 mirrored
top-bottom, 5 transposed, 6 turned clockwise, 7 transposed across the other diagonal, 8 turned counter-clockwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.files.quiet import unwarned

TAG = 274
VALUES = range(1, 9)
_SWAPPED = (5, 6, 7, 8)  # height and width change places
_MIRRORED_ROWS = (3, 4, 7, 8)
_MIRRORED_COLUMNS = (2, 3, 6, 7)
_EXIF = b"Exif\x00\x00"


def valid(value: Any) -> int:
    """Return the orientation that `value` means; 1 for anything that the standard does not define, as viewers do."""
    return int(value) if isinstance(value, int | np.integer) and value in VALUES else 1


def as_shown(stored: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return stored pixels (..., H, W) as viewers show them."""
    x = np.swapaxes(stored, -1, -2) if orientation in _SWAPPED else stored
    return _mirrored(x, orientation in _MIRRORED_ROWS, orientation in _MIRRORED_COLUMNS)


def as_stored(shown: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return shown pixels (..., H, W) as they are stored: the inverse of `as_shown`."""
    x = _mirrored(shown, orientation in _MIRRORED_ROWS, orientation in _MIRRORED_COLUMNS)
    return np.swapaxes(x, -1, -2) if orientation in _SWAPPED else x


def mirrored_rows_columns(orientation: int) -> tuple[bool, bool, bool]:
    """Return whether an orientation exchanges rows and columns, and whether it then mirrors the rows, and the columns."""
    return orientation in _SWAPPED, orientation in _MIRRORED_ROWS, orientation in _MIRRORED_COLUMNS


def turned(
    raw: NDArray[Any],
    alpha: NDArray[Any] | None,
    info: dict[str, Any],
    turn: Callable[[NDArray[Any], int], NDArray[Any]],
) -> tuple[NDArray[Any], NDArray[Any] | None, dict[str, Any]]:
    """Return values, alpha and info with its "mask" by `turn`, one of the two above, and the orientation that `info`
    holds."""
    n, mask = info["orientation"], info.get("mask")
    more = {} if mask is None else {"mask": np.ascontiguousarray(turn(mask, n))}
    alpha = None if alpha is None else np.ascontiguousarray(turn(alpha, n))
    return np.ascontiguousarray(turn(raw, n)), alpha, {**info, **more}


def of_exif(exif: bytes) -> int:
    """Return the orientation in an EXIF block, with or without its prefix; 1 where it has none or cannot be read."""
    from PIL import Image

    try:
        with unwarned():
            found = Image.Exif()
            found.load(exif)
        return valid(found.get(TAG))
    except Exception:  # noqa: BLE001 (whatever a damaged block raises; viewers show such a picture as it is stored)
        return 1


def exif_with(exif: bytes | None, orientation: int) -> bytes:
    """Return an EXIF block that holds `orientation`: `exif` itself where it says so already. It has the prefix that
    JPEG needs."""
    from PIL import Image

    if exif and of_exif(exif) == orientation:
        return _EXIF + exif.removeprefix(_EXIF)
    block = Image.Exif()
    if exif:
        try:
            with unwarned():
                block.load(exif)
        except Exception:  # noqa: BLE001 (a damaged block holds nothing that could be kept)
            block = Image.Exif()
    block[TAG] = orientation
    return _EXIF + block.tobytes().removeprefix(_EXIF)


def otherwise_placed(picture: NDArray[Any], other: NDArray[Any], own: int, others: int) -> bool:
    """Return True where `other` resembles `picture` better in the frame of the stored pixels than as shown.

    Both are (C, H, W) as shown, by the orientations `own` and `others` of their files. A program that ignores the tag
    writes stored pixels without one; the picture is then shown turned, and only the contents tell. True where the share
    of the variance that is not explained is halved or better.
    """
    if own == others:
        return False
    alternative = as_shown(as_stored(other, others), own)
    if alternative.shape[1:] != picture.shape[1:] or picture.shape != other.shape:
        return False
    here, there = _correlation(picture, other), _correlation(picture, alternative)
    return there > 0 and 1 - there**2 < (1 - here**2) / 2


def _correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    x, y = (v.astype(np.float64).mean(0) for v in (a, b))
    x, y = np.nan_to_num(x - np.nanmean(x)), np.nan_to_num(y - np.nanmean(y))
    scale = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / scale if scale > 0 else 0.0


def _mirrored(x: NDArray[Any], rows: bool, columns: bool) -> NDArray[Any]:
    return x[..., slice(None, None, -1 if rows else 1), slice(None, None, -1 if columns else 1)]
