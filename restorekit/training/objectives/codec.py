"""Training of a codec by the hybrid loss of Liu et al. 2025, eqs 11 to 15:

    L = l1 |x - x0| + perceptual P(x, x0) + gradient G(x, x0) + L_vq + kl KL + lambda (-E D(x)),

P a perceptual distance, G a multi-scale difference of gradients, L_vq that of the code book. lambda is `adversarial` times
the ratio of gradients at the last layer (`adversary.balance`), after the first `disc_start` of the run; the paper's rule that
lambda and the weight of L_vq sum to 1 has no reason, and it gives neither.

With `decoder_only` a finished codec learns to decode what priors of its latents see, which is not quantised; its latents,
and so those priors, stay what they were.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.priors.formats.checkpoint import PriorSpec, build, save
from restorekit.priors.networks.ivqvae import CodecNet, reconstruct
from restorekit.priors.perception.likeness import LPIPS, PriorDistance, gradient_distance, lpips
from restorekit.training.config import Config, settings_of
from restorekit.training.data.cache import Pictures
from restorekit.training.data.patches import Patches
from restorekit.training.objectives.adversary import Discriminator, balance, fooling, judging
from restorekit.training.objectives.denoising import begin_from, is_grey
from restorekit.training.objectives.objective import Objective
from restorekit.training.picture_grid import write_grid

MEASURED, AT_ONCE = (
    2**20,
    2**17,
)  # pixels that the mean and deviation of the latent are measured on, at most, and at a time


class CodecObjective(Objective):
    """The loss of a batch of patches; the discriminator, where there is one, ends with the run."""

    def __init__(self, config: Config, pictures: Pictures, data: str, measured: dict[str, float] | None = None):
        """data: what the card calls the pictures; measured: see `Objective`."""
        super().__init__(measured)
        pictures = pictures.at_least(config.data.crop, config.data.shrink)
        self.config, self.loss = config, config.loss
        self.patches = Patches(pictures, config.data, config.noise, config.run.seed)
        mean, sigma_data = self.moments(self.patches, is_grey(config, 0))
        arch = settings_of(config.model)
        self.spec = PriorSpec(config.name, arch, sigma_data, mean, data=pictures.about(data), licence=config.licence)
        torch.manual_seed(config.run.seed)
        net = build(self.spec)
        assert isinstance(net, CodecNet)
        self.net = net
        self.judge = Discriminator(net.config.bands, self.loss.disc_width) if self.loss.adversarial else None
        self.distance = distance_of(config)
        self.seen: tuple[Tensor, Tensor] | None = None  # latent of the batch and the numbers of its codes
        if config.init:
            trained = begin_from(config.init, net).arch
            self.inherited = {k: trained.get(k, []) for k in ("mean", "std")} if self.loss.decoder_only else {}
        if self.loss.decoder_only:
            for part in (net.stem, net.down, net.into, *([net.book] if net.book else [])):
                part.requires_grad_(False)

    @property
    def kept(self) -> nn.Module:
        return self.net

    def batch(self, step: int, first: int, count: int) -> tuple[Tensor, ...]:
        """Return x0 (count, C, crop, crop) and noise of a latent (count, c, crop / f, crop / f)."""
        start, side = step * self.config.optim.batch + first, self.config.data.crop // self.net.config.factor
        x0 = self.patches.batch(start, count, is_grey(self.config, step))[0]
        shape = (self.net.config.channels, side, side)
        drawn = (self.patches.further(i).standard_normal(shape, np.float32) for i in range(start, start + count))
        return x0, torch.from_numpy(np.stack(list(drawn)))

    def forward(self, x0: Tensor, noise: Tensor) -> Tensor:
        net, book = self.net, self.net.book
        if self.loss.decoder_only:
            with torch.no_grad():
                z = net.encode(x0)
            x = net.decode(z, quantise=False, bands=x0.shape[1])
            like = self._likeness(x, x0)
            return like + self._adversarial(x, x0, like)
        z, log_variance = net.moments(x0)
        more = z.new_zeros(())
        if log_variance is not None:
            more = self.loss.kl * (z.square() + log_variance.exp() - 1 - log_variance).mean() / 2
            z = z + (log_variance / 2).exp() * noise
        if book is not None:
            book.begin(z, self._seed())
        codes, index, commitment = net.quantise(z)
        self.seen = None if index is None else (z.detach(), index)
        x = net.decode(codes, quantise=False, bands=x0.shape[1])
        like = self._likeness(x, x0)
        return like + commitment + more + self._adversarial(x, x0, like)

    def _likeness(self, x: Tensor, x0: Tensor) -> Tensor:
        like = self.loss.l1 * (x - x0).abs().mean() + self.loss.gradient * gradient_distance(x, x0)
        every = self.loss.perceptual_every
        if self.distance is None or self.step % every:
            return like
        self.distance.to(x.device)
        return like + self.loss.perceptual * every * self.distance.between(x, x0)

    def _adversarial(self, x: Tensor, x0: Tensor, like: Tensor) -> Tensor:
        if self.judge is None or self.step < self.loss.disc_start * self.config.optim.steps:
            return like.new_zeros(())
        fooled = fooling(self.judge, x)
        weight = self.loss.adversarial * balance(like, fooled, self.net.head[str(x.shape[1])].weight)  # type: ignore[arg-type]
        return weight * fooled + judging(self.judge, x, x0)

    def settle(self) -> None:
        """Teach the code book what was taken; codes that nothing takes are moved until the rate begins to fall."""
        if self.seen is None or self.net.book is None:
            return
        o, (z, index) = self.config.optim, self.seen
        self.net.book.learn(z, index)
        if self.step < o.decay_from * o.steps:
            self.net.book.revive(z, self._seed())

    def _seed(self) -> int:
        return (self.config.run.seed * 1_000_003 + self.step) % 2**63

    @torch.no_grad()
    def save(self, path: Path, ema: dict[str, Tensor], training: dict[str, Any]) -> None:
        """Save the codec of the averaged weights, with the mean and deviation of its latent over the training data."""
        moments = self.inherited if self.loss.decoder_only else self._moments(self._averaged(ema))
        save(path, ema, replace(self.spec, arch=self.spec.arch | moments, training=training))

    def _moments(self, net: CodecNet) -> dict[str, list[float]]:
        found, pixels = [], self.config.data.crop**2
        share = min(32, max(1, AT_ONCE // pixels))
        for first in range(0, min(256, max(8, MEASURED // pixels)), share):
            x0 = self.patches.batch(first, share, max(net.config.bands) == 1)[0]
            found.append(net.encode(x0.to(self._device)).transpose(0, 1).flatten(1).double())
        std, mean = torch.std_mean(torch.cat(found, dim=1), dim=1)
        return {"mean": mean.tolist(), "std": std.tolist()}

    @torch.no_grad()
    def grid(self, path: Path, ema: dict[str, Tensor]) -> None:
        """Draw rows: clean, through the codec, shrunk by f and grown again by cubic splines; eight columns."""
        net = self._averaged(ema)
        bands, f = max(net.config.bands), net.config.factor
        x0 = self.patches.batch(2**40, 8, bands == 1)[0].to(self._device)
        small = F.interpolate(x0, scale_factor=1 / f, mode="bicubic", antialias=True)
        rows = [
            x0,
            reconstruct(net, x0, quantise=not self.loss.decoder_only)[0],
            F.interpolate(small, size=x0.shape[-2:], mode="bicubic"),
        ]
        write_grid(path, rows)

    @property
    def _device(self) -> torch.device:
        return next(self.net.parameters()).device

    def _averaged(self, ema: dict[str, Tensor]) -> CodecNet:
        net = build(self.spec)
        assert isinstance(net, CodecNet)
        net.load_state_dict(ema)
        return net.eval().to(self._device)


def distance_of(config: Config) -> PriorDistance | LPIPS | None:
    """Return the perceptual distance of a configuration; None where it weighs nothing. BadInput where it cannot be had."""
    if not config.loss.perceptual:
        return None
    return lpips(config.loss.lpips, "loss.lpips") or PriorDistance.shipped()
