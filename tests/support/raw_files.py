"""Raw files of cameras as tifffile writes them: the least that a DNG needs, and what a test wants besides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

_NUMBERS = {"r": 0, "g": 1, "b": 2}


def fractions(values: Any, bottom: int = 10000) -> list[int]:
    return [number for v in np.ravel(values) for number in (round(float(v) * bottom), bottom)]


def write_dng(
    path: Path,
    raw: np.ndarray,
    pattern: str = "rggb",
    black: Sequence[float] = (64, 64, 64, 64),
    white: int = 1023,
    neutral: Sequence[float] = (0.5, 1.0, 0.625),
    matrix: np.ndarray | None = None,
    profile: Sequence[float] | None = None,
    orientation: int = 1,
    extra: Sequence[tuple[Any, ...]] = (),
) -> Path:
    """Write values (H, W) of a mosaic. neutral: what the sensor gives of grey light; matrix: from XYZ to the camera (ColorMatrix1)."""
    side = round(len(pattern) ** 0.5)
    tags: list[tuple[Any, ...]] = [
        (50706, 1, 4, bytes([1, 4, 0, 0]), True),
        (50708, 2, 0, "restorekit test", True),
        (33421, 3, 2, (side, side), True),
        (33422, 1, len(pattern), bytes(_NUMBERS[letter] for letter in pattern), True),
        (50713, 3, 2, (2, 2), True),
        (50714, 5, 4, fractions(black), True),
        (50717, 4, 1, white, True),
        (50728, 5, 3, fractions(neutral), True),
        (274, 3, 1, orientation, True),
    ]
    tags += [] if matrix is None else [(50721, 10, 9, fractions(matrix), True), (50778, 3, 1, 21, True)]
    tags += [] if profile is None else [(51041, 12, len(profile), tuple(profile), True)]
    tifffile.imwrite(path, raw, photometric=32803, extratags=[*tags, *extra], metadata=None)
    return path
