"""IVQ-VAE: pictures to a small latent and back (Liu et al., "Image generation based on diffusion model in
latent space", Computer Systems and Applications, 2026, section 3.1; doi of the journal's page 10098).

    picture (B, C, H, W) -> stem -> [residual blocks, attention, half the size] ... -> latent (B, c, H/f, W/f)
    latent -> codes -> [residual blocks, attention, twice the size] ... -> picture

Where the paper is ambiguous or cannot be followed: two convolutions per residual block, the second zero at the start
(eq 2 has one); up-sampling by nearest neighbours and a convolution of stride 1 (its eq 6 says 2); heads of at most 64
channels and the root of their width in the attention (eq 9: of all channels); a LayerNorm over the channels of a pixel
instead of GroupNorm, so that without attention a part of a picture is coded as in the whole. f = 4 and not its 64: its
table 1, in which the error falls with f, cannot hold (`benchmarks/priors/codec.py`).

A diffusion model sees the latent before it is quantised, and the quantiser belongs to the decoder: Rombach et al.,
"High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022, section 3.1. The output is linear, not the
paper's tanh: that has no gradient where a picture is black or white, and solvers differentiate the decoder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.operators.blur import mirror
from restorekit.priors.networks.bounds import at_least
from restorekit.priors.networks.codebook import Codebook, exact
from restorekit.priors.networks.unet import PixelNorm

FACTORS = (4, 8, 16, 32, 64)
HEAD = 64  # channels of a head of attention, at most


@dataclass(frozen=True)
class CodecConfig:
    """Settings of a codec. Raises ValueError for what cannot be."""

    bands: tuple[int, ...] = (3,)  # numbers of bands the network takes; each has its own first and last layer
    factor: Literal[4, 8, 16, 32, 64] = 4  # f: sides of a picture over sides of its latent
    channels: int = 4  # of the latent
    width: int = 32  # channels at full resolution, over the first multiplier
    multipliers: tuple[int, ...] = (1, 2, 3)  # times `width` at each resolution, finest first; the last is kept on
    blocks: int = 2  # residual blocks per resolution
    attention: int = 16  # side of the features, at the size of the training, from which on they attend; 0: nowhere
    side: int = 64  # of the pictures it is trained on, pixels
    regulariser: Literal["vq", "kl", "none"] = "vq"  # of the latent: codes, Kingma and Welling's Gaussian, nothing
    codes: int = 1024  # vq: how many
    beta: float = 0.25  # vq: how far the encoder is pulled to its codes
    mean: tuple[float, ...] = ()  # of each channel of the latent over the training data; (): 0
    std: tuple[float, ...] = ()  # of each channel; (): 1

    def __post_init__(self) -> None:
        at_least(self, blocks=1, attention=0, side=1, codes=1, beta=0)
        if self.factor not in FACTORS:
            raise ValueError(f"factor={self.factor} is unknown; it is one of {', '.join(map(str, FACTORS))}")
        if not self.multipliers or min(self.width, self.channels, *self.multipliers) < 1:
            raise ValueError("width, channels and multipliers must be positive, as 32, 4 and (1, 2, 3)")
        if self.regulariser not in ("vq", "kl", "none"):
            raise ValueError(f"regulariser={self.regulariser!r} is unknown; it is vq, kl or none")
        if self.regulariser == "vq" and self.codes < 2:
            raise ValueError(f"codes={self.codes} is no code book; use 2 or more, or regulariser=none")
        for wide in (w for w, attends in zip(self.widths, self.attends) if attends):
            if wide % math.ceil(wide / HEAD):
                raise ValueError(f"{wide} channels do not part into heads of at most {HEAD}; use a multiple of {HEAD}")
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (0, self.channels):
                raise ValueError(f"{name} must have a number for each of the {self.channels} channels")

    @property
    def multiple(self) -> int:
        """Return the number of which height and width must be multiples."""
        return self.factor

    @property
    def widths(self) -> tuple[int, ...]:
        """Return the channels at each resolution, finest first."""
        levels = self.factor.bit_length()
        return tuple(self.width * m for m in (self.multipliers + self.multipliers[-1:] * levels)[:levels])

    @property
    def attends(self) -> tuple[bool, ...]:
        """Return, for each resolution, whether its features attend."""
        return tuple(self.side >> level <= self.attention for level in range(self.factor.bit_length()))

    def bits(self, height: int, width: int) -> float:
        """Return the bits of the codes of a picture; inf where there are none."""
        return height * width / self.factor**2 * math.log2(self.codes) if self.regulariser == "vq" else math.inf


class Residual(nn.Module):
    """It returns x + conv(silu(norm(conv(silu(norm(x)))))), x (B, D, h, w)."""

    def __init__(self, width: int):
        super().__init__()
        self.norm1, self.norm2 = PixelNorm(width), PixelNorm(width)
        self.conv1, self.conv2 = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))


class Attention(nn.Module):
    """It returns x + out(attention of every position of norm(x) to all), x (B, D, h, w). Vaswani et al., NeurIPS 2017,
    eq 1."""

    def __init__(self, width: int):
        super().__init__()
        self.heads = math.ceil(width / HEAD)
        self.norm, self.qkv, self.out = PixelNorm(width), nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).unflatten(2, (3, self.heads, -1)).unbind(2)
        mixed = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)))
        return x + self.out(mixed.transpose(1, 2).flatten(2).transpose(1, 2).unflatten(2, x.shape[2:]))


def _stage(width: int, blocks: int, attends: bool) -> list[nn.Module]:
    return [*(Residual(width) for _ in range(blocks)), *([Attention(width)] if attends else [])]


class CodecNet(nn.Module):
    """It holds encoder, code book and decoder. Pictures are (B, C, H, W) in [0, 1], C in `config.bands`, H and W
    multiples of f."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        self.config = config
        w, c = config.widths, config.channels
        self.stem = nn.ModuleDict({str(n): nn.Conv2d(n, w[0], 3, padding=1) for n in config.bands})
        self.head = nn.ModuleDict({str(n): nn.Conv2d(w[0], n, 3, padding=1) for n in config.bands})
        down, up = _stage(w[0], config.blocks, config.attends[0]), []
        for level, (fine, coarse) in enumerate(zip(w, w[1:])):
            stage = _stage(coarse, config.blocks, config.attends[level + 1])
            down += [nn.Conv2d(fine, coarse, 3, stride=2, padding=1), *stage]
        for level in reversed(range(len(w))):
            up += _stage(w[level], config.blocks, config.attends[level])
            if level:
                up += [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(w[level], w[level - 1], 3, padding=1)]
        self.down, self.up = nn.Sequential(*down), nn.Sequential(*up)
        self.into = nn.Conv2d(w[-1], 2 * c if config.regulariser == "kl" else c, 1)
        self.outof = nn.Conv2d(c, w[-1], 1)
        self.book = Codebook(config.codes, c, config.beta) if config.regulariser == "vq" else None

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return mean and ln of the variance of the latent for kl, each (B, c, H/f, W/f); otherwise the latent and
        None."""
        f = self.config.factor
        if x.shape[-2] % f or x.shape[-1] % f:
            h, w = (math.ceil(n / f) * f for n in x.shape[-2:])
            raise ValueError(
                f"a picture of {x.shape[-2]}x{x.shape[-1]} cannot be coded by f={f}: mirror it to {h}x{w} and cut the "
                "result, as `restorekit.priors.networks.ivqvae.reconstruct` does"
            )
        z = self.into(self.down(self.stem[str(x.shape[1])](2 * x - 1)))
        z = z.to(exact(z))
        if self.config.regulariser != "kl":
            return z, None
        mean, log_variance = z.chunk(2, dim=1)
        return mean, log_variance.clamp(-30, 20)

    def encode(self, x: Tensor) -> Tensor:
        """Return the latent (B, c, H/f, W/f), not quantised; its mean for kl. Raises ValueError where a side is no
        multiple of f."""
        return self.moments(x)[0]

    def quantise(self, z: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return (codes in the shape of z, their numbers (B, h, w), loss), see `Codebook`; (z, None, 0) where there
        are none."""
        return (z, None, z.new_zeros(())) if self.book is None else self.book(z)

    def decode(self, z: Tensor, quantise: bool = True, bands: int | None = None) -> Tensor:
        """Return the picture of a latent (B, c, h, w), on [0, 1] but not clipped to it. bands: the most there are.

        quantise=False takes z as it is, for plain gradients; with True they go straight through the quantiser.
        """
        z = self.quantise(z)[0] if quantise else z
        x = self.head[str(bands or max(self.config.bands))](self.up(self.outof(z)))
        return 0.5 + 0.5 * x.to(exact(x))


@dataclass(frozen=True, eq=False)
class Codec:
    """A trained codec, whose latents have mean 0 and deviation 1 in every channel, over its training data.

    `mean` and `std` (c,) are those of the latents of `net`.
    """

    net: CodecNet
    mean: Tensor
    std: Tensor
    label: str = "codec"  # name and the first digits of the checksum

    @classmethod
    def of(cls, net: CodecNet, label: str = "codec") -> Codec:
        """Return the codec with the mean and deviation in the configuration of the network."""
        c, like = net.config, next(net.parameters())
        mean, std = (torch.tensor(v or (d,) * c.channels).to(like) for v, d in ((c.mean, 0.0), (c.std, 1.0)))
        return cls(net, mean, std, label)

    @property
    def factor(self) -> int:
        """Return f, sides of a picture over sides of its latent."""
        return self.net.config.factor

    @property
    def channels(self) -> int:
        """Return the number of channels of a latent."""
        return self.net.config.channels

    def encode(self, x: Tensor) -> Tensor:
        """Return the latents (B, c, H/f, W/f) of pictures (B, C, H, W) in [0, 1], not quantised. Raises ValueError for
        sides not multiples of f."""
        return self._in(self.net.encode(x))

    def decode(self, z: Tensor, quantise: bool = True, bands: int | None = None) -> Tensor:
        """Return the pictures (B, C, fh, fw) of latents (B, c, h, w), on [0, 1] but not clipped to it; see
        `CodecNet.decode`."""
        return self.net.decode(self._out(z), quantise, bands)

    def quantise(self, z: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return (z of the nearest codes, their numbers (B, h, w), loss in the unit of the network)."""
        codes, index, loss = self.net.quantise(self._out(z))
        return self._in(codes), index, loss

    def _in(self, z: Tensor) -> Tensor:
        return (z - self.mean[:, None, None]) / self.std[:, None, None]

    def _out(self, z: Tensor) -> Tensor:
        return z * self.std[:, None, None] + self.mean[:, None, None]


def reconstruct(codec: Codec | CodecNet, x: Tensor, quantise: bool = True) -> tuple[Tensor, Tensor | None]:
    """Return what comes back of pictures (B, C, H, W) of any size in [0, 1] through the codec, and the numbers of the
    codes.

    Mirrored at the bottom and the right where a side is no multiple of f, and cut. quantise=False decodes the latents
    as they are, which is what priors of them see; there are no codes then.
    """
    f = (codec.net if isinstance(codec, Codec) else codec).config.factor
    height, width = x.shape[-2:]
    rows, columns = mirror(height, 0, -height % f, x.device), mirror(width, 0, -width % f, x.device)
    z = codec.encode(x[..., rows, :][..., columns])
    back = codec.decode(z, quantise, bands=x.shape[1])[..., :height, :width]
    return back, codec.quantise(z)[1] if quantise else None
