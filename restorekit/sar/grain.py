"""A likelihood of speckle that has the grain of a sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.inference.derived_laws import Tempered
from restorekit.inference.likelihood import Gamma
from restorekit.sar.speckle import SpeckleSpectrum, draw


@dataclass(frozen=True, eq=False)
class Correlated(Tempered):
    """Gamma speckle with the correlation of `spectrum`, drawn as it is, and tempered by its kappa as a likelihood.

    The law of all pixels together has no closed form.
    """

    spectrum: SpeckleSpectrum

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.law, Gamma):
            raise ValueError(f"{self.law.title} noise has no grain; only speckle, Gamma, has")

    @classmethod
    def of(cls, law: Gamma, spectrum: SpeckleSpectrum) -> Correlated:
        """Return the law of a spectrum, with the weight 1 / kappa."""
        return cls(law, min(1.0, 1 / spectrum.kappa), spectrum)

    def sample(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        """Draw speckle on mean (B, C, H, W); every band gets a field of its own. Raises BadInput for what is no
        picture."""
        if mean.ndim != 4:
            raise BadInput(
                f"speckle with a grain needs a picture, this measurement is {tuple(mean.shape)}; leave the correlation out"
            )
        assert isinstance(self.law, Gamma)
        rng = np.random.Generator(np.random.Philox(int(torch.randint(2**62, (1,), generator=generator))))
        b, c, h, w = mean.shape
        fields = np.stack([draw((h, w), self.law.looks, self.spectrum, rng) for _ in range(b * c)])
        return self.law.speckled(mean, torch.as_tensor(fields.reshape(b, c, h, w)).to(mean))
