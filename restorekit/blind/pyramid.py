"""A picture at coarser scales, and the part of it that is worth looking at."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from restorekit.blind.spectrum import Array

RATIO = math.sqrt(0.5)  # of one scale to the next


@dataclass(frozen=True, eq=False)
class Pyramid:
    """A picture y (H, W) and `seen` (H, W), 1 where it counts, at any scale."""

    y: Tensor
    seen: Tensor

    @classmethod
    def of(cls, y: Array, seen: Array) -> Pyramid:
        return cls(*(torch.from_numpy(np.ascontiguousarray(v)).float() for v in (y, seen)))

    def at(self, scale: float) -> tuple[Tensor, Tensor]:
        """Return both at `scale` times the size; a pixel counts where all that it is made of does."""
        y, seen = self.y, self.seen
        if scale == 1:
            return y, seen
        size = [max(1, round(n * scale)) for n in y.shape]
        smaller = torch.nn.functional.interpolate(y[None, None], size=size, mode="bicubic", antialias=True)[0, 0]
        counts = torch.nn.functional.interpolate(seen[None, None], size=size, mode="bilinear", antialias=True)[0, 0]
        return smaller, (counts > 0.999).to(y)


def busiest(grey: Array, counts: Array, side: int) -> tuple[slice, slice]:
    """Return the square of a picture, at most `side` pixels wide, where there is most to see of what counts."""
    slopes = sum(np.diff(grey, axis=d, append=np.take(grey, [-1], d)) ** 2 for d in (0, 1)) * counts
    h, w = grey.shape
    a, b = min(side, h), min(side, w)
    sums = np.pad(np.asarray(slopes).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inside = sums[a:, b:] - sums[:-a, b:] - sums[a:, :-b] + sums[:-a, :-b]
    top, left = (int(i) for i in np.unravel_index(int(inside.argmax()), inside.shape))
    return slice(top, top + a), slice(left, left + b)
