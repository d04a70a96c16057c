"""A cascade has two resolutions: a low stage for what is coarse, a high stage that begins at an intermediate noise.

Li et al. 2025, section 4.3. Eq 9, with its misprints corrected, X' = sqrt(alpha_bar) Up_s(X_L) + sqrt(1 - alpha_bar)
eps: alpha_bar for the alpha of one step, under which hardly any noise would be added, and an upsampling for the product
s X_L. Here, in x0 + sigma n, it is x = Up_s(x_L) + sigma n. The paper does not say at which level. It has to hide what
Up_s(x_L) has in place of detail: `relay_level` measures that on pictures. The high stage is then an ordinary denoiser,
trained on levels up to 1.5 `top`: the relay, for sampling; more for restoration, where a level above the relay still
shows fine detail. (Teng et al., "Relay Diffusion", ICLR 2024, would instead train it to take out the blocks.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from restorekit.inference.denoiser import Denoiser
from restorekit.priors.networks.pisdm import PISDM, PISDMConfig
from restorekit.priors.precond import per_item


def down(x: Tensor, factor: int) -> Tensor:
    """Return means over blocks: (B, C, H, W) -> (B, C, H / factor, W / factor). White noise sigma becomes sigma /
    factor."""
    height, width = x.shape[-2:]
    if height % factor or width % factor:
        raise ValueError(f"sides {height} x {width} must be multiples of {factor}; use `Padded`")
    return x.unflatten(-1, (-1, factor)).unflatten(-3, (-1, factor)).mean((-1, -3))


def up(x: Tensor, factor: int) -> Tensor:
    """Enlarge by nearest neighbour, as in eq 9: each pixel becomes a block of factor x factor."""
    return x.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


def relay_level(pictures: Tensor, factor: int) -> float:
    """Return the least sigma whose noise lies above Up(Down(x)) - x at every spatial frequency, for clean (N, C, H,
    W).

    Power is averaged over pictures, bands and rings of equal |frequency|; mirrored copies keep the edges out of it.
    """
    rest = up(down(pictures, factor), factor) - pictures
    rest = torch.cat([rest, rest.flip(-1)], -1)
    rest = torch.cat([rest, rest.flip(-2)], -2)
    power = torch.fft.fft2(rest.double(), norm="ortho").abs().square().mean((0, 1))
    rows, columns = (torch.fft.fftfreq(n, dtype=torch.float64, device=power.device) for n in power.shape)
    bins = 4 * max(pictures.shape[-2:])
    ring = ((rows[:, None].square() + columns.square()).sqrt() * bins).long().flatten()
    total = power.new_zeros(bins).index_add(0, ring, power.flatten())
    count = power.new_zeros(bins).index_add(0, ring, torch.ones_like(power).flatten())
    return math.sqrt(float((total / count.clamp(min=1)).max()))


@dataclass(frozen=True)
class CascadeConfig:
    """A cascade has two networks in one checkpoint, and says what the low one was trained on."""

    low: PISDMConfig
    high: PISDMConfig
    factor: int
    relay: float
    top: float  # the high stage was trained on levels up to 1.5 of this
    low_sigma_data: float
    low_mean: float

    @property
    def bands(self) -> tuple[int, ...]:
        """Return the numbers of bands that both networks take."""
        return tuple(c for c in self.high.bands if c in self.low.bands)

    @property
    def classes(self) -> int:
        """Return the number of classes, 0 for none."""
        return self.high.classes

    @property
    def multiple(self) -> int:
        """Return the number of which height and width must be multiples."""
        return math.lcm(self.high.multiple, self.factor)

    @property
    def tile(self) -> int:
        """Return the side of a window, pixels."""
        return self.high.tile

    @property
    def halo(self) -> int:
        """Return the pixels thrown away around a window."""
        return self.high.halo

    @property
    def blend(self) -> int:
        """Return the pixels over which neighbouring windows fade into each other."""
        return self.high.blend


class Stages(nn.Module):
    """The networks of a `CascadeConfig` share one state dict."""

    def __init__(self, config: CascadeConfig):
        super().__init__()
        self.config, self.low, self.high = config, PISDM(config.low), PISDM(config.high)


@dataclass(frozen=True, eq=False)
class Cascade:
    """Two stages act as one denoiser at the high resolution, for a solver or a sampler.

    Up to `top` the answer is the high stage's. Above 1.5 `top` it is that of the low stage for the block means, where
    the noise is sigma / factor: what a block holds beyond its mean cannot be seen there. Between the two it goes over
    from one to the other, linearly in ln(sigma). `relay` is where a finished low-resolution picture is taken up and may
    be lower: eq 9, as `restorekit.tasks.sample` and `restorekit.tasks.coarse` do.
    """

    low: Denoiser
    high: Denoiser
    relay: float  # sigma at which a finished low-resolution picture is taken up, in the unit of the picture
    factor: int = 4
    top: float = 0.0  # up to here the high stage answers alone; 0: up to `relay`

    def __post_init__(self) -> None:
        if not self.relay > 0 or self.factor < 2:
            raise ValueError(f"relay={self.relay} must be positive and factor={self.factor} 2 or more")
        if self.top and self.top < self.relay:
            raise ValueError(f"top={self.top} must be relay={self.relay} or more: sampling begins there")

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        s, top = per_item(sigma, x), self.top or self.relay
        share = ((s / top).clamp(min=1e-12).log() / math.log(1.5)).clamp(0, 1)  # of the low stage
        level = s.flatten()
        if bool((share == 0).all()):
            return self.high(x, sigma)
        coarse = up(self.low(down(x, self.factor), level / self.factor), self.factor)
        if bool((share == 1).all()):
            return coarse
        return torch.lerp(self.high(x, level.clamp(max=1.5 * top)), coarse, share)
