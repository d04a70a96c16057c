"""A set of restored pictures is compared with the set of true ones: Fréchet and kernel distances of features."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from restorekit.errors import BadInput
from restorekit.priors.perception.features import Pooled, encoder
from restorekit.priors.perception.likeness import need_torchmetrics, rgb

ENOUGH = 50  # pictures; with fewer both distances say more about the choice of pictures than about the solver


class FeatureNetwork(nn.Module):
    """A TorchScript network of the user: float32 (B, 3, H, W) in [0, 1] -> (B, D). BadInput where it is not that.

    It is to bring pictures to the size and range that it wants by itself. One that takes `return_features` is the
    Inception of FID as NVIDIA published it: it is asked for its features and given bytes, which it expects.
    """

    def __init__(self, path: Path, size: int | tuple[int, int]):
        super().__init__()
        height, width = (size, size) if isinstance(size, int) else size
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", DeprecationWarning
                )  # of torch.jit, which has no successor before torch 2.5
                self.net = torch.jit.load(str(path), map_location="cpu").eval()
        except (RuntimeError, ValueError, OSError) as error:
            raise BadInput(
                f"`features={path}`: not a TorchScript file ({str(error).splitlines()[0][:80]}); write it with "
                "torch.jit.trace(net, x).save(FILE)"
            ) from None
        self.bytes = "return_features" in [a.name for a in self.net.forward.schema.arguments]
        try:
            with torch.no_grad():
                found = self(torch.zeros(2, 3, height, width))
        except RuntimeError as error:
            raise BadInput(
                f"`features={path}`: fails on float32 pictures (2, 3, {height}, {width}) in [0, 1]: "
                f"{str(error).strip().splitlines()[-1][:120]}"
            ) from None
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != 2:
            raise BadInput(f"`features={path}`: must give features (B, D) for pictures (B, 3, {height}, {width})")
        self.num_features = found.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        return self.net((255 * x).round().byte(), return_features=True) if self.bytes else self.net(x)


@dataclass(frozen=True, eq=False)
class SetDistance:
    """`name` and `kernel_name` say whose features they are of: with those of the prior, the figures are not FID and KID."""

    features: Path | None
    side: int  # pixels, of the pictures that it is tried on

    @property
    def name(self) -> str:
        return "FID (given features)" if self.features else "Fréchet distance of prior features (not FID)"

    @property
    def kernel_name(self) -> str:
        return "KID (given features)" if self.features else "kernel distance of prior features (not KID)"

    @cached_property
    def module(self) -> nn.Module:
        """Return the network. Raises BadInput where it, or torchmetrics, cannot be used."""
        need_torchmetrics("FID and KID")
        return FeatureNetwork(self.features, self.side) if self.features else Pooled(encoder())

    def unavailable(self, count: int) -> str | None:
        """Return why there are no distances for so many pictures."""
        if count < ENOUGH:
            return f"of sets needs {ENOUGH} pictures, here are {count}"
        if self.features is None and find_spec("torchmetrics") is None:
            return "of sets needs torchmetrics, which is not installed"
        return None

    @torch.no_grad()
    def __call__(self, found: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> tuple[float, float]:
        """Return (Fréchet, kernel) between two sets of as many pictures (C, H, W) in [0, 1]; NaN for fewer than `ENOUGH`.

        The kernel distance is the unbiased estimate over all pictures at once, not a mean over random subsets.
        """
        if len(found) < ENOUGH or len(found) != len(truth):
            return math.nan, math.nan
        need_torchmetrics("FID and KID")
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.kid import KernelInceptionDistance

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that all features are kept, which is what is wanted here
            frechet = FrechetInceptionDistance(feature=self.module, normalize=True)
            kernel = KernelInceptionDistance(feature=self.module, subsets=1, subset_size=len(found), normalize=True)
        for pictures, real in ((truth, True), (found, False)):
            for x in pictures:
                frechet.update(rgb(x), real=real)
                kernel.update(rgb(x), real=real)
        return float(frechet.compute()), float(kernel.compute()[0])  # type: ignore[index]
