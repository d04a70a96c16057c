"""Trained networks are ready for use as denoisers of pictures, and of the latents of a codec."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.units import Units
from restorekit.metrics.fidelity import psnr
from restorekit.operators.blur import mirror
from restorekit.priors.cascade import Cascade
from restorekit.priors.formats.checkpoint import PriorSpec, sha256
from restorekit.priors.formats.foreign import ForeignSpec
from restorekit.priors.wrappers import ChannelWise


@dataclass(frozen=True, eq=False)
class Prior:
    """A trained network is ready for pictures of any size: a `Denoiser` of x (B, C, H, W), with what is known about
    it."""

    spec: PriorSpec | ForeignSpec
    network: Denoiser
    path: Path  # of its weights
    precision: str = "fp32"  # of the network: fp32 or bf16
    tile: int | None = None  # side of the windows it sees, pixels; None: the whole picture
    cascade: Cascade | None = None  # its two stages, where it has two

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        return self.network(x, sigma)

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the file that it was loaded from."""
        return sha256(self.path)

    @property
    def units(self) -> Units | None:
        """Return the units in which solvers see what this prior knows: None for pictures on [0, 1]."""
        if isinstance(self.spec, PriorSpec) and self.spec.domain == "log-intensity":
            return Units(self.spec.mean, self.spec.sigma_data)
        return None

    def for_bands(self, bands: int) -> Denoiser:
        """Return this prior on pictures of `bands` bands: as they are where it was trained so, else band by band.

        Raises `BadInput` where it takes neither.
        """
        if bands in self.spec.bands:
            return self
        if 1 in self.spec.bands:
            return ChannelWise(self)
        known = " or ".join(map(str, self.spec.bands))
        raise BadInput(
            f"prior {self.spec.name} takes {known} bands, the picture has {bands}; choose a prior that takes 1 band"
        )


class LatentCodec(Protocol):
    """A codec takes pictures (B, C, H, W) on [0, 1] to latents (B, channels, H / factor, W / factor) and back."""

    @property
    def factor(self) -> int:
        """Return the sides of a picture over those of its latent."""
        ...

    @property
    def channels(self) -> int:
        """Return the number of channels of a latent."""
        ...

    def encode(self, x: Tensor) -> Tensor:
        """Return the latents of pictures x (B, C, H, W)."""
        ...

    def decode(self, z: Tensor, quantise: bool = True, bands: int | None = None) -> Tensor:
        """Return the pictures of latents z (B, channels, h, w), through the codes or not."""
        ...


@dataclass(frozen=True, eq=False)
class LatentPrior(Prior):
    """A prior of the latents of a codec is the second of the two stages of Liu et al. 2025 (section 3, eqs 26 to 30).

        z = encode(x), of mean 0 and deviation 1 in every channel; D(z, sigma) = E[z0 | z = z0 + sigma n]; x = decode(z)

    Diffusion sees the latent before it is quantised (Rombach et al., CVPR 2022, section 3.1), where the paper diffuses
    codes and quantises them again at the end (eq 30): a quantiser has no gradient, and what a solver finds between two
    codes is what the measurement asks for. A result is hardly better than the clean picture through the codec, see
    `ceiling`, unless so much was measured that the solver finds a better latent than the encoder.

    `restore` takes it like any prior; a solver by itself takes `denoise`, and `in_latents` of the problem.
    """

    codec: LatentCodec = field(kw_only=True)
    bands: int | None = field(default=None, kw_only=True)  # of the pictures; None: the most that the codec knows

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        """Raise BadInput: it is no denoiser of pictures."""
        raise BadInput(
            f"{self.spec.name} is a prior of latents and denoises no pictures: `restore` takes it with a solver that takes "
            "operators that are not linear, such as dps; for anything else take a prior of pictures, such as natural"
        )

    def denoise(self, z: Tensor, sigma: float | Tensor, /) -> Tensor:
        """Return E[z0 | z] for latents (B, c, h, w), sigma in their unit."""
        return self.network(z, sigma)

    def encode(self, x: Tensor, /) -> Tensor:
        """Return the latents of pictures (B, C, H, W); sides that are no multiples of the factor are filled up by
        mirroring."""
        f = self.codec.factor
        height, width = x.shape[-2:]
        down, right = -height % f, -width % f
        if down or right:
            x = x[..., mirror(height, 0, down, x.device), :][..., mirror(width, 0, right, x.device)]
        return self.codec.encode(x)

    def decode(self, z: Tensor, /) -> Tensor:
        """Return the pictures (B, C, fh, fw) of latents z, not quantised, on [0, 1] but not clipped to it."""
        return self.codec.decode(z, quantise=False, bands=self.bands)

    def for_bands(self, bands: int) -> LatentPrior:
        """Return this prior for pictures of `bands` bands. Raises BadInput where the codec does not take them."""
        if bands not in self.spec.bands:
            known = " or ".join(map(str, self.spec.bands))
            raise BadInput(f"prior {self.spec.name} takes {known} bands, the picture has {bands}; choose another prior")
        return replace(self, bands=bands)

    @property
    def codec_psnr(self) -> float | None:
        """Return the mean PSNR of training pictures through the codec alone, dB, where the file says it."""
        return self.spec.training.get("codec", {}).get("psnr") if isinstance(self.spec, PriorSpec) else None

    @torch.no_grad()
    def ceiling(self, x: Tensor) -> float:
        """Return the PSNR of a clean picture (C, H, W) on [0, 1] through the codec alone, clipped, in dB."""
        prior = replace(self, bands=len(x))
        back = prior.decode(prior.encode(x[None]))[0, :, : x.shape[-2], : x.shape[-1]]
        return psnr(back.clamp(0, 1).cpu().numpy(), x.cpu().numpy())
