"""Pictures for the benches: the centre crops of what a folder holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from restorekit import io
from restorekit.errors import BadInput

MULTIPLE = 8  # sides are cut to it, so that every factor of a usual downsampling fits


def crops(folder: Path, side: int | None, limit: int | None = None) -> list[tuple[str, np.ndarray]]:
    """(name, (C, H, W) in [0, 1]) in the order of the names: the middle of each picture, at most `side` a side.

    All have as many bands as the first one; others, smaller ones and files that cannot be read as pictures are left out.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder; give one with pictures (PNG, JPEG, TIFF, NPY)")
    found: list[tuple[str, np.ndarray]] = []
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        try:
            x = io.read(path).pixels
        except BadInput:
            continue
        if (side is not None and min(x.shape[1:]) < side) or (found and len(x) != len(found[0][1])):
            continue
        sides = [min(n, side or n) // MULTIPLE * MULTIPLE for n in x.shape[1:]]
        if min(sides) < MULTIPLE:
            continue
        top, left = ((n - s) // 2 for n, s in zip(x.shape[1:], sides))
        found.append((path.stem, np.ascontiguousarray(x[:, top : top + sides[0], left : left + sides[1]])))
        if len(found) == limit:
            break
    if not found:
        raise BadInput(
            f"{folder} holds no picture of at least {side or MULTIPLE} pixels a side; give another --data or --crop"
        )
    return found
