"""This module senses compressively, with a subsampled, randomised Walsh-Hadamard transform."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from restorekit.operators.base import Shape, SVDOperator
from restorekit.operators.transforms import mix

MOST = 2**40  # pixels of a picture


@dataclass(frozen=True, eq=False)
class Hadamard(SVDOperator):
    """Measure a random share `ratio` of the Walsh-Hadamard coefficients of sign-flipped pixels: y is (B, C, m); any
    picture size.

    Signs and choice follow from `seed`. Raises ValueError for a ratio outside 0 to 1.
    """

    ratio: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise ValueError(f"ratio={self.ratio:g} must lie between 0 and 1")

    @classmethod
    def image_shape_for(cls, measured: Shape, *, size: Sequence[int] = (), **_: Any) -> Shape:
        """Return the bands of `measured` and the `size` (H, W), which coefficients do not tell. Raises ValueError
        where it is not given."""
        if len(size) != 2:
            raise ValueError("the size of the picture is needed, as in hadamard:size=256x256,ratio=0.25")
        if min(size) < 1 or size[0] * size[1] > MOST:
            raise ValueError(
                f"size={size[0]}x{size[1]} is that of no picture; give its height and width in pixels, as 256x256"
            )
        return (measured[0], size[0], size[1])

    @cached_property
    def _random(self) -> tuple[Tensor, Tensor]:
        n = self.image_shape[1] * self.image_shape[2]
        rng = torch.Generator().manual_seed(self.seed)
        return torch.randint(0, 2, (n,), generator=rng) * 2.0 - 1.0, torch.randperm(n, generator=rng)

    @property
    def count(self) -> int:
        """Return the number of measured values per band."""
        return max(1, math.ceil(self.ratio * self.image_shape[1] * self.image_shape[2]))

    @cached_property
    def singulars(self) -> Tensor:  # type: ignore[override]
        return torch.ones(self.image_shape[0] * self.count)

    def vt(self, x: Tensor, /) -> Tensor:
        signs, order = self._random
        c = mix(x.flatten(2) * signs.to(x))[..., order.to(x.device)]
        return torch.cat([c[..., : self.count].flatten(1), c[..., self.count :].flatten(1)], 1)

    def v(self, c: Tensor, /) -> Tensor:
        signs, order = self._random
        channels, m = self.image_shape[0], self.count
        parts = [c[:, : channels * m].unflatten(1, (channels, m)), c[:, channels * m :].unflatten(1, (channels, -1))]
        shuffled = torch.cat(parts, -1)
        mixed = torch.empty_like(shuffled)
        mixed[..., order.to(c.device)] = shuffled
        return (mix(mixed, inverse=True) * signs.to(c)).view(-1, *self.image_shape)

    def ut(self, y: Tensor, /) -> Tensor:
        return y.flatten(1)

    def u(self, c: Tensor, /) -> Tensor:
        return c.view(-1, self.image_shape[0], self.count)
