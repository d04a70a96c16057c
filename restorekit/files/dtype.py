"""Numbers on [0, 1] are brought to the type and range of a file."""

from __future__ import annotations

import numpy as np

from restorekit.errors import BadInput


def from_unit(pixels: np.ndarray, span: tuple[float, float], target: np.dtype, name: object) -> np.ndarray:
    """Return pixels on [0, 1] as `target`, where `span` (lo, hi) are the values of 0 and 1; integers are rounded and
    clipped.

    Raises BadInput, which names the file `name`, where floats overflow.
    """
    if target == bool:
        return pixels >= 0.5
    values = pixels.astype(np.float64) * (span[1] - span[0]) + span[0]
    if target.kind in "iu":
        return rounded(values, target)
    with np.errstate(over="ignore"):
        out = values.astype(target)
    if not np.isfinite(out).all():
        raise BadInput(f"{name}: values up to {abs(values).max():g} do not fit {target}; choose float32")
    return out


def rounded(values: np.ndarray, target: np.dtype) -> np.ndarray:
    """Return the nearest integers that the type `target` holds."""
    limits = np.iinfo(target)
    # 2**63 - 1 is no float64; the next float up would overflow.
    top = float(limits.max) if int(float(limits.max)) <= limits.max else float(np.nextafter(float(limits.max), 0))
    return np.clip(np.rint(values), float(limits.min), top).astype(target)


def alpha_as(alpha: np.ndarray, target: np.dtype) -> np.ndarray:
    """Return transparency (H, W) in the type `target`: 1, or the highest integer, is opaque."""
    if alpha.dtype == target:
        return alpha
    unit = alpha / (1.0 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max)
    return unit.astype(target) if target.kind == "f" else rounded(unit * np.iinfo(target).max, target)
