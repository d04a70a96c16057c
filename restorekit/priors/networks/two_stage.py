"""A codec and a network of its latents share one checkpoint: the two stages of Liu et al. 2025."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from restorekit.priors.networks.fftd import FFTD, FFTDConfig
from restorekit.priors.networks.ivqvae import CodecConfig, CodecNet


@dataclass(frozen=True)
class LatentConfig:
    """A codec and the network of its latents are configured together. Sides of windows are in pixels of the picture
    here."""

    codec: CodecConfig
    net: FFTDConfig

    def __post_init__(self) -> None:
        if not (isinstance(self.codec, CodecConfig) and isinstance(self.net, FFTDConfig)):
            raise ValueError("a prior of latents holds a codec and an fftd")
        if self.codec.channels != self.net.channels:
            raise ValueError(
                f"the latents of the codec have {self.codec.channels} channels, the network takes {self.net.channels}"
            )

    @property
    def bands(self) -> tuple[int, ...]:
        """Return the numbers of bands that the codec takes."""
        return self.codec.bands

    @property
    def classes(self) -> int:
        """Return the number of classes, 0 for none."""
        return self.net.classes

    @property
    def multiple(self) -> int:
        """Return the number of which height and width must be multiples."""
        return self.codec.factor * self.net.multiple

    @property
    def tile(self) -> int:
        """Return the side of a window, pixels of the picture."""
        return self.codec.factor * self.net.tile


class LatentNet(nn.Module):
    """The networks of a `LatentConfig` share one state dict."""

    def __init__(self, config: LatentConfig):
        super().__init__()
        self.config, self.codec, self.net = config, CodecNet(config.codec), FFTD(config.net)
