"""This module turns a measurement of a picture into one of the latent that stands for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from restorekit.operators.base import Operator


@dataclass(frozen=True, eq=False)
class Decoded(Operator):
    """Measure the picture that a latent stands for: y = A(decode(z)), z (B, c, h, w). Not linear, even where A is.

    `image_shape` is (c, h, w). decode: latents to the pictures that `operator` takes; encode: back, for a first
    estimate. gain: of `decode`, where it is taken as known, as each call of a network is dear; `None` measures it.
    """

    operator: Operator
    decode: Callable[[Tensor], Tensor]
    encode: Callable[[Tensor], Tensor]
    of: str = " of a decoded latent"  # what an error message adds to the operator
    gain: float | None = None

    @property
    def title(self) -> str:
        return self.operator.title + self.of

    @property
    def surrogate_gradient(self) -> bool:  # type: ignore[override]
        return self.operator.surrogate_gradient

    def __call__(self, z: Tensor, /) -> Tensor:
        return self.operator(self.decode(z))

    def estimate(self, y: Tensor) -> Tensor:
        return self.encode(self.operator.estimate(y))

    def _norm(self, like: Tensor, iterations: int) -> float:
        if self.gain is None:
            return super()._norm(like, iterations)
        return self.gain * self.operator.spectral_norm(like, iterations)
