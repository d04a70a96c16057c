"""Training of a denoiser of pixels.

Loss (Karras et al. 2022, eq 8 with the weighting that gives every level the same size at the start):
    E || F(c_in x, c_noise) - (x0 - c_skip x) / c_out ||^2,   x = x0 + sigma n.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from restorekit.errors import BadInput
from restorekit.inference.denoiser import Denoiser
from restorekit.priors.formats.checkpoint import PriorSpec, build, edm, save
from restorekit.priors.networks.two_stage import LatentNet
from restorekit.priors.precond import EDM
from restorekit.training.config import Config, settings_of
from restorekit.training.data.cache import Pictures
from restorekit.training.data.classes import Labels
from restorekit.training.data.patches import Patches
from restorekit.training.named_files import loaded
from restorekit.training.objectives.objective import Objective
from restorekit.training.watch import sample_grid


def is_grey(config: Config, step: int) -> bool:
    """Return whether the batch of this step has one band."""
    if len(config.model.bands) == 1:
        return config.model.bands == (1,)
    return (step + 1) % config.data.grey_every == 0


class DenoiserObjective(Objective):
    """The EDM loss of a U-Net or a PIS-DM on patches."""

    def __init__(self, config: Config, pictures: Pictures, data: str, measured: dict[str, float] | None = None):
        """data: what the card calls the pictures; measured: see `Objective`."""
        super().__init__(measured)
        if config.init and "mean" not in self.measured:
            # Weights answer for the mean and spread that they were trained with: others would change what they compute.
            begun = loaded("init", config.init)[1]
            self.measured |= {"mean": begun.mean, "sigma_data": begun.sigma_data}
        pictures = pictures.at_least(config.data.crop, config.data.shrink)
        labels = Labels.of(pictures.names, config.data.labels)
        self.config = config
        self.patches = Patches(
            pictures, config.data, config.noise, config.run.seed, config.domain, labels.numbers if labels else None
        )
        self.spec = self._spec(labels.classes if labels else (), data)
        torch.manual_seed(config.run.seed)
        self.net = build(self.spec)
        self.preconditioner = EDM(self.net, self.spec.sigma_data, self.spec.mean)
        if config.init:
            begin_from(config.init, self.net)

    def _spec(self, classes: tuple[str, ...], data: str) -> PriorSpec:
        c, about = self.config, self.patches.pictures.about(data)
        mean, sigma_data = self.moments(self.patches, is_grey(c, 0))
        arch = settings_of(c.model) | ({"classes": len(classes)} if classes else {})
        spec = PriorSpec(
            c.name, arch, sigma_data, mean, c.domain, c.noise.sigma_min, c.noise.sigma_max, about, c.licence
        )  # fmt: skip
        return replace(spec, training={"classes": list(classes)} if classes else {})

    @property
    def kept(self) -> nn.Module:
        return self.net

    def batch(self, step: int, first: int, count: int) -> tuple[Tensor, ...]:
        """Return x0, noise (count, C, crop, crop), sigma (count,), and class numbers (count,) where there are classes."""
        return self.patches.batch(step * self.config.optim.batch + first, count, is_grey(self.config, step))

    def forward(self, x0: Tensor, noise: Tensor, sigma: Tensor, *label: Tensor) -> Tensor:
        z, c_in, target = self.problem(x0, noise, sigma)
        return (self.net(c_in * z, sigma.log() / 4, *label).float() - target).square().mean()

    def problem(self, x0: Tensor, noise: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return x about the mean, c_in, and what F should answer."""
        s = sigma.view(-1, 1, 1, 1)
        c_skip, c_out, c_in = self.preconditioner.coefficients(s)
        z0 = x0 - self.preconditioner.mean
        z = z0 + s * noise
        return z, c_in, (z0 - c_skip * z) / c_out

    def save(self, path: Path, ema: dict[str, Tensor], training: dict[str, Any]) -> None:
        save(path, ema, replace(self.spec, training=self.spec.training | training))

    def grid(self, path: Path, ema: dict[str, Tensor]) -> None:
        device = next(self.net.parameters()).device
        sample_grid(path, self.averaged(ema, device), self.spec, self.patches, device)

    def averaged(self, ema: dict[str, Tensor], device: torch.device) -> Denoiser:
        """Return the prior of the averaged weights."""
        net = build(self.spec)
        net.load_state_dict(ema)
        return edm(net.eval().to(device), self.spec)


def begin_from(path: str, net: nn.Module) -> PriorSpec:
    """Start with the weights of a trained prior, whose spec is returned; BadInput where names or shapes differ."""
    trained, spec = loaded("init", path)
    trained = trained.net if isinstance(trained, LatentNet) else trained
    own, given = net.state_dict(), trained.state_dict()
    fits = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    if set(fits) != set(own):
        lacking = sorted(set(own) - set(fits))
        raise BadInput(
            f"init: {path} is of another architecture ({lacking[0]} does not fit); use the model section of its run"
        )
    net.load_state_dict(fits)
    return spec
