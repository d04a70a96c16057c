"""Masks in files: what says of every pixel whether it is measured. What is no mask is refused, not taken for one."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.formats import FORMATS
from restorekit.files.reading import Reading, mapped
from restorekit.files.stored import PathLike, check_source, stored_values

WHITES = (1, 255, 65535)  # of masks of integers, of whatever type, beside the largest of their type
FLAT = 8 / 255  # spread of values that one flat colour may have after JPEG, white = 1
FEW = 0.25  # share of measured pixels below which a mask may well be inverted


def read_mask(path: PathLike, shape_hw: tuple[int, int]) -> np.ndarray:
    """Return a mask (1 or C, H, W) float32, 1 = measured, 0 = missing; floats between 0 and 1 stay, and weight a pixel.

    One band, or several that are equal and become one; an array (H, W, C), or a TIFF of bands that are no colours, may say
    of each band where it is measured. BadInput for what `mask_values` refuses, for floats outside [0, 1], and where nothing
    is measured or nothing is missing.
    """
    raw = mask_values(path, shape_hw)
    if raw.dtype.kind == "f" and (raw.min() < 0 or raw.max() > 1):
        raise BadInput(
            f"{path}: {raw.dtype} mask with values from {raw.min():g} to {raw.max():g}; use 0 (missing) and 1 (measured)"
        )
    mask = (raw if raw.dtype.kind == "f" else raw > 0).astype(np.float32)
    if not mask.any():
        raise BadInput(f"{path}: the mask is zero everywhere, so nothing is measured; 1 (white) marks measured pixels")
    if (mask == 1).all():
        raise BadInput(
            f"{path}: the mask is white everywhere: all is measured, and nothing is to be filled; 0 (black) marks missing pixels"
        )
    return np.ascontiguousarray(mask[:1] if (mask == mask[:1]).all() else mask)


def mask_values(path: PathLike, shape_hw: tuple[int, int], holes: bool = False) -> np.ndarray:
    """Return the values (C, H, W) of a mask in the type of its file; of integers 0 and one white, 1 or the largest of 8 or 16 bits or of
    the type.

    The axes of an NPY of three are those that fit the size. BadInput for another size, colours, transparency, a mask of its
    own, integers of more than two values, and for NaN and infinity without `holes`.
    """
    path, size = Path(path), tuple(int(n) for n in shape_hw)
    raw, alpha, info = stored_values(path, holes, _reading(path, size))
    if raw.shape[1:] != size:
        way = (
            "one of them lies on its side: draw the mask on the picture as viewers show it, turned by its EXIF orientation"
            if raw.shape[1:] == size[::-1]
            else "resize it"
        )
        raise BadInput(f"{path}: the mask is {_size(raw.shape[1:])}, the picture {_size(size)} (height x width); {way}")
    _check_one_band(path, raw, alpha, info)
    if raw.dtype.kind in "iu":
        _check_two_values(path, raw)
    return raw


def _reading(path: Path, size: tuple[int, ...]) -> Reading:
    check_source(path)
    if FORMATS.get(path.suffix.lower()) == "NPY":
        try:
            shape = mapped(path).shape
        except Exception:  # noqa: BLE001 - of the header, which is parsed as Python; said by who reads it
            return Reading()
        if len(shape) == 3:
            return Reading(layout="HWC" if shape[:2] == size or shape[1:] != size else "CHW")
    return Reading()


def _check_one_band(path: Path, raw: NDArray[Any], alpha: NDArray[Any] | None, info: dict[str, Any]) -> None:
    name, other = shlex.quote(str(path)), shlex.quote(f"{path.stem}_mask.png")
    if alpha is not None and (alpha != (1 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max)).any():
        raise BadInput(
            f"{path}: partly transparent (alpha), and a mask is told by its values; save the one that is meant: "
            f"magick {name} -alpha extract {other}, or -alpha off"
        )
    if "mask" in info and not info["mask"].all():
        raise BadInput(
            f"{path}: a mask that has a mask of its own, and which is meant is not said; save one: gdal_translate "
            f"-b 1 -mask none {name} {shlex.quote(path.stem + '_mask.tif')}"
        )
    by_band = "axes" in info or info.get("photometric") == "minisblack"
    if not by_band and (raw != raw[:1]).any():
        some = raw.reshape(len(raw), -1)
        count = np.unique(some[:, :: max(1, some.shape[1] // 65536)], axis=1).shape[1]
        what = "a photograph" if count > 16 else f"{count} colours, as of labels"
        raise BadInput(
            f"{path}: its bands differ ({what}), and a mask is black (missing) and white (measured); save one band: "
            f"magick {name} -colorspace gray -threshold 0 {other}, where all that is not black is white"
        )


def _check_two_values(path: Path, raw: NDArray[Any]) -> None:
    low, high = int(raw.min()), int(raw.max())
    whites = {*WHITES, int(np.iinfo(raw.dtype).max)}
    between = (raw != 0) & (raw != high)
    if low < 0 or (high and high not in whites) or between.any():
        found = np.unique(raw)
        values = ", ".join(map(str, found[:4])) + (f", ... {found[-1]}" if len(found) > 4 else "")
        top = 255 if raw.dtype.itemsize == 1 else 65535
        raise BadInput(
            f"{path}: {len(found)} value(s), {values}, and a mask has two, 0 and {top} (or 1); where it is a mask with soft or "
            f"compressed edges: magick {shlex.quote(str(path))} -threshold 50% {shlex.quote(path.stem + '_mask.png')}; floats "
            "(.npy, .tif) between 0 and 1 weight a pixel"
        )


def inverted(mask: NDArray[np.floating], pixels: NDArray[np.floating]) -> str | None:
    """Return what speaks for a mask (1 or C, H, W) whose black and white are exchanged, of a picture (C, H, W), white
    = 1; or None.

    It does where less than a quarter is measured and lies in whole patches, as what is to be filled mostly does
    (scattered pixels are samples), or where less than half is and it is one flat colour, while what is called missing
    is not.
    """
    seen = np.asarray((mask > 0).any(0))
    share = float(seen.mean())
    if not 0 < share < 0.5:
        return None
    said = "white marks what is measured, black what is to be filled; if it is the other way, invert the mask"
    if _flat(pixels[:, seen]) and not _flat(pixels[:, ~seen]):
        return f"the mask calls {share:.1%} measured, which is one flat colour, and all else missing: {said}"
    inner = seen[1:-1, 1:-1] & seen[:-2, 1:-1] & seen[2:, 1:-1] & seen[1:-1, :-2] & seen[1:-1, 2:]
    if share < FEW and inner.sum() > 0.5 * seen.sum():
        return f"the mask calls no more than {share:.1%} measured: {said}"
    return None


def _flat(values: NDArray[np.floating]) -> bool:
    """Return True where nearly all of (C, n) is one colour; what is not finite is no colour."""
    told = values[:, np.isfinite(values).all(0)]
    if not told.size:
        return True
    return bool((np.abs(told - np.median(told, axis=1, keepdims=True)) <= FLAT).mean() > 0.98)


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
