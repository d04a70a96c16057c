"""Pictures side by side in one array."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def mosaic(
    pictures: Sequence[np.ndarray] | np.ndarray, columns: int | None = None, gap: int = 2, ground: float = 1.0
) -> np.ndarray:
    """Return pictures (C, H, W) of one shape in rows of `columns` (default: about as many as rows), on one (C, H', W').

    gap: pixels of value `ground` between neighbours. The last row may be short.
    """
    count, (bands, h, w) = len(pictures), pictures[0].shape
    columns = min(count, columns or math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    shape = (bands, rows * (h + gap) - gap, columns * (w + gap) - gap)
    out = np.full(shape, ground, np.float32)
    for i, picture in enumerate(pictures):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        out[:, top : top + h, left : left + w] = picture
    return out
