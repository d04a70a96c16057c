"""The encoder of a shipped prior turns pictures into features for distances between them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.errors import BadInput
from restorekit.priors.find import find
from restorekit.priors.formats.checkpoint import load, sha256
from restorekit.priors.networks.unet import UNet


@dataclass(frozen=True, eq=False)
class EncoderFeatures:
    """It returns the residual stream of a denoising U-Net after each stage of its encoder, with the picture taken to
    be at `sigma`."""

    net: UNet
    sigma_data: float
    mean: float
    sigma: float
    label: str  # name of the prior and the first digits of its checksum

    def __call__(self, x: Tensor, /) -> list[Tensor]:
        """Return (B, width, h, w) per resolution, finest first, of x (B, 1 or 3, H, W) in [0, 1]; with the gradient of
        x."""
        multiple = self.net.config.multiple
        h, w = x.shape[2:]
        x = F.pad(x, (0, -w % multiple, 0, -h % multiple), mode="replicate")
        total = (self.sigma**2 + self.sigma_data**2) ** 0.5
        level = torch.full((len(x),), self.sigma, device=x.device).log() / 4
        return self.net.encode((x.float() - self.mean) / total, level)[0]


def encoder(name: str = "natural", sigma: float = 0.02, device: str | torch.device = "cpu") -> EncoderFeatures:
    """Return the features of a shipped prior or a checkpoint of `restorekit train`; fp32, so that they are the same on
    every machine."""
    path = find(name)
    net, spec = load(path)
    if not isinstance(net, UNet):
        raise BadInput(f"{name} is no U-Net, whose encoder is needed here; take natural")
    return EncoderFeatures(net.to(device).eval(), spec.sigma_data, spec.mean, sigma, f"{spec.name}@{sha256(path)[:8]}")


class Pooled(nn.Module):
    """It maps (B, 1 or 3, H, W) in [0, 1] to (B, D), the mean over pixels of the coarsest features.

    It is a module as torchmetrics' Fréchet and kernel distances take it.
    """

    def __init__(self, features: EncoderFeatures):
        super().__init__()
        self.features, self.num_features = features, features.net.config.widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)[-1].mean((2, 3))
