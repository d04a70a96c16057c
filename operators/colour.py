"""This module reduces colour to grey."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from restorekit.operators.base import Shape, SVDOperator

REC601 = (0.299, 0.587, 0.114)


@dataclass(frozen=True, eq=False)
class Grey(SVDOperator):
    """Sum the bands of a picture, y = sum_c w_c x_c, (B, 1, H, W). V rotates the colour space of each pixel so that w
    comes first.

    Raises ValueError where there are not as many weights as bands.
    """

    weights: tuple[float, ...] = REC601

    def __post_init__(self) -> None:
        if len(self.weights) != self.image_shape[0]:
            raise ValueError(f"{len(self.weights)} weights for pictures of {self.image_shape[0]} bands")

    @classmethod
    def image_shape_for(cls, measured: Shape, *, weights: tuple[float, ...] = REC601, **_: Any) -> Shape:
        """Return a shape with as many bands as weights. Raises ValueError for a measurement of more than one band."""
        if measured[0] != 1:
            raise ValueError(
                f"the measurement of a grey operator has one band, this one has {measured[0]}; convert it to grey first"
            )
        return (len(weights), *measured[1:])

    @cached_property
    def _rotation(self) -> Tensor:
        w = torch.tensor(self.weights, dtype=torch.float64)
        q, r = torch.linalg.qr(torch.cat([w[:, None], torch.eye(len(w), dtype=torch.float64)[:, 1:]], 1))
        return (q * torch.where(torch.diag(r) < 0, -1.0, 1.0)).T  # rows orthonormal, the first along w

    @cached_property
    def singulars(self) -> Tensor:  # type: ignore[override]
        return torch.tensor(self.weights, dtype=torch.float64).norm().expand(self.image_shape[1] * self.image_shape[2])

    def estimate(self, y: Tensor) -> Tensor:
        """Return the grey picture y (B, 1, H, W), repeated in every band."""
        return (y / sum(self.weights)).expand(-1, len(self.weights), -1, -1)

    def vt(self, x: Tensor, /) -> Tensor:
        return torch.einsum("ij,bjhw->bihw", self._rotation.to(x), x).flatten(1)

    def v(self, c: Tensor, /) -> Tensor:
        return torch.einsum("ji,bjhw->bihw", self._rotation.to(c), c.view(-1, *self.image_shape))

    def ut(self, y: Tensor, /) -> Tensor:
        return y.flatten(1)

    def u(self, c: Tensor, /) -> Tensor:
        return c.view(-1, 1, *self.image_shape[1:])
