"""What a codec is trained for: the hybrid loss of seed 001, eqs 11 to 15.

    L = l1 |x - x0| + perceptual P(x, x0) + gradient G(x, x0) + quantisation L_vq + kl KL + lambda (-E D(x)),

P a perceptual distance, G a multi-scale difference of gradients. lambda is `adversarial` times the ratio of gradients at
the last layer (`adversary.balance`), after the first `disc_start` of the run; the seed's rule that lambda and the weight of
L_vq sum to 1 has no reason, and it gives neither.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.priors.checkpoint import PriorSpec, build, save
from restorekit.priors.codec import CodecNet, reconstruct
from restorekit.priors.perceptual import LPIPS, PriorDistance, gradient_distance, lpips
from restorekit.training.adversary import Discriminator, balance, fooling, judging
from restorekit.training.config import Config, Loss
from restorekit.training.data import Patches
from restorekit.training.loop import is_grey

MEASURED = 256  # patches that the mean and deviation of the latent are measured on


def likeness(loss: Loss, device: torch.device) -> PriorDistance | LPIPS | None:
    """The perceptual distance of a configuration; None where it weighs nothing. BadInput where it cannot be had."""
    if not loss.perceptual:
        return None
    found = lpips(loss.lpips, "loss.lpips:")
    if found is not None:
        found.metric.to(device)
        return found
    prior = PriorDistance.shipped()
    prior.features.net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return prior


class CodecObjective(nn.Module):
    """The loss of a batch of patches. `kept` is the codec; the discriminator, where there is one, ends with the run."""

    def __init__(self, config: Config, spec: PriorSpec, patches: Patches, device: torch.device):
        super().__init__()
        self.config, self.spec, self.patches = config, spec, patches
        net = build(spec)
        assert isinstance(net, CodecNet)
        self.kept = net
        self.judge = Discriminator(net.config.bands, config.loss.disc_width) if config.loss.adversarial else None
        self.distance = likeness(config.loss, device)  # no module of this one, so that nobody trains or stores it

    def batch(self, step: int, first: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Patches first to first + count: x0 (count, C, crop, crop), noise of that shape, and the step."""
        x0, noise, _ = self.patches.batch(first, count, is_grey(self.config, step))
        return x0, noise, torch.tensor(step)

    def forward(self, x0: Tensor, noise: Tensor, step: Tensor) -> Tensor:
        loss, net, at = self.config.loss, self.kept, int(step)
        z, log_variance = net.moments(x0)
        if net.config.regulariser == "kl":
            own = F.pixel_unshuffle(noise, net.config.factor)[:, : z.shape[1]]  # as many numbers as the latent has
            kl = (z.square() + log_variance.exp() - 1 - log_variance).mean() / 2
            z = z + (log_variance / 2).exp() * own
        else:
            kl = z.new_zeros(())
        if net.book is not None and (at == 0 or at < self.config.optim.decay_from * self.config.optim.steps):
            net.book.revive(z, (self.config.run.seed * 1_000_003 + at) % 2**63)  # none moves while the rate falls
        codes, index, quantisation = net.quantise(z)
        if net.book is not None and index is not None:
            net.book.observe(index)
        x = net.decode(codes, quantise=False, bands=x0.shape[1])
        like = loss.l1 * (x - x0).abs().mean() + loss.gradient * gradient_distance(x, x0)
        if self.distance is not None:
            like = like + loss.perceptual * self.distance.between(x, x0)
        return like + loss.quantisation * quantisation + loss.kl * kl + self._adversarial(x, x0, like, at)

    def _adversarial(self, x: Tensor, x0: Tensor, like: Tensor, step: int) -> Tensor:
        if self.judge is None or step < self.config.loss.disc_start * self.config.optim.steps:
            return like.new_zeros(())
        fooled = fooling(self.judge, x)
        last = self.kept.head[str(x.shape[1])].weight
        weight = self.config.loss.adversarial * balance(like, fooled, last)  # type: ignore[arg-type]
        return weight.detach() * fooled + judging(self.judge, x, x0)

    @torch.no_grad()
    def save(self, path: Path, ema: dict[str, Tensor], training: dict[str, Any]) -> None:
        """The codec of the averaged weights, with the mean and deviation of its latent over the training data."""
        net, z = self._net(ema), []
        for first in range(0, MEASURED, 32):
            x0 = self.patches.batch(first, 32, max(net.config.bands) == 1)[0]
            z.append(net.encode(x0.to(next(net.parameters()).device)).transpose(0, 1).flatten(1).double())
        std, mean = torch.std_mean(torch.cat(z, 1), dim=1)
        arch = self.spec.arch | {"mean": mean.tolist(), "std": std.tolist()}
        save(path, ema, replace(self.spec, arch=arch, training=training))

    @torch.no_grad()
    def grid(self, path: Path, ema: dict[str, Tensor]) -> None:
        """Rows: clean, through the codec, shrunk by f and grown again by cubic splines; eight columns."""
        net = self._net(ema)
        bands, f = max(net.config.bands), net.config.factor
        x0 = self.patches.batch(2**40, 8, bands == 1)[0].to(next(net.parameters()).device)
        small = F.interpolate(x0, scale_factor=1 / f, mode="bicubic", antialias=True)
        rows = [x0, reconstruct(net, x0)[0], F.interpolate(small, size=x0.shape[-2:], mode="bicubic")]
        grid = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
        pixels = (grid.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.ascontiguousarray(pixels[..., 0] if bands == 1 else pixels)).save(path)

    def _net(self, ema: dict[str, Tensor]) -> CodecNet:
        net = build(self.spec)
        assert isinstance(net, CodecNet)
        net.load_state_dict(ema)
        return net.eval().to(next(iter(ema.values())).device)
