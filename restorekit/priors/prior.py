"""A trained network, ready for use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from restorekit.errors import BadInput
from restorekit.priors.checkpoint import PriorSpec, sha256
from restorekit.priors.foreign.spec import ForeignSpec
from restorekit.priors.wrappers import ChannelWise
from restorekit.types import Denoiser


@dataclass(frozen=True, eq=False)
class Prior:
    """A trained network ready for pictures of any size: a `Denoiser`, with what is known about it."""

    spec: PriorSpec | ForeignSpec
    network: Denoiser
    path: Path  # of its weights
    precision: str = "fp32"  # of the network: fp32 or bf16
    tile: int | None = None  # side of the windows it sees, pixels; None: the whole picture

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        return self.network(x, sigma)

    @property
    def sha256(self) -> str:
        return sha256(self.path)

    def for_bands(self, bands: int) -> Denoiser:
        """This prior on pictures of `bands` bands: as they are where it was trained so, else band by band."""
        if bands in self.spec.bands:
            return self
        if 1 in self.spec.bands:
            return ChannelWise(self)
        known = " or ".join(map(str, self.spec.bands))
        raise BadInput(
            f"prior {self.spec.name} takes {known} bands, the picture has {bands}; choose a prior that takes 1 band"
        )
