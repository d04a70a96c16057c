"""Training of a denoiser of latents beside a codec that is done (Liu et al. 2025, algorithm 2 and eqs 26 to 28).

    E || eps - F(z_t, t) ||^2,   z_t = sqrt(alpha_bar_t) z0 + sqrt(1 - alpha_bar_t) eps,   t ~ U(0, T - 1)

alpha_bar is the product over the linear table of Ho et al., which eq 28 calls alpha. z0 is what the codec makes of a patch,
standardised and not quantised. It is coded anew in every step, which is a tenth to a fifth of the time of one, and so may be
a new crop each time. Times are continuous: a solver asks for levels between two steps of the table.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from restorekit.errors import BadInput
from restorekit.inference.rng import Rng
from restorekit.metrics.fidelity import psnr
from restorekit.priors.formats.checkpoint import PriorSpec, build, save
from restorekit.priors.networks.ivqvae import Codec, CodecNet
from restorekit.priors.networks.two_stage import LatentNet
from restorekit.priors.precond import Adapted, VPTable
from restorekit.solvers.samplers import DDIM
from restorekit.training.config import Config, FFTDModel, settings_of
from restorekit.training.data.cache import Pictures
from restorekit.training.data.classes import Labels
from restorekit.training.data.patches import Patches
from restorekit.training.named_files import loaded, other_kind
from restorekit.training.objectives.denoising import begin_from, is_grey
from restorekit.training.objectives.objective import Objective
from restorekit.training.picture_grid import write_grid

STEPS = 50  # of the samples in the grid
CEILING = 64  # patches that the codec alone is judged on


class LatentObjective(Objective):
    """The eps loss of an FFTD on the latents of a frozen codec."""

    def __init__(self, config: Config, pictures: Pictures, data: str, measured: dict[str, float] | None = None):
        """data: what the card calls the pictures; measured: see `Objective`."""
        super().__init__(measured)
        assert isinstance(config.model, FFTDModel)
        pictures = pictures.at_least(config.data.crop, config.data.shrink)
        labels = Labels.of(pictures.names, config.data.labels)
        numbers = labels.numbers if labels else None
        self.patches = Patches(pictures, config.data, config.noise, config.run.seed, labels=numbers)
        self.config, self.table = config, VPTable.linear()
        coding, self.codec_spec = _codec(config.model.codec)
        _check(config, coding)
        self.coding = [coding.to(memory_format=torch.channels_last)]  # type: ignore[call-overload]  # frozen, no part of the state
        self.spec = self._spec(labels.classes if labels else (), data)
        torch.manual_seed(config.run.seed)
        self.net = build(self.spec)
        if config.init:
            begin_from(config.init, self.net)

    def _spec(self, classes: tuple[str, ...], data: str) -> PriorSpec:
        c, about, codec = self.config, self.patches.pictures.about(data), self.coding[0].config
        arch = {k: v for k, v in settings_of(c.model).items() if k not in ("codec", "bands")}
        arch |= {"classes": len(classes), "channels": codec.channels}
        arch["side"] = c.data.crop // codec.factor
        return PriorSpec(
            c.name, arch, 1.0, 0.0, "latent", self.table.sigma_min, self.table.sigma_max, about, c.licence,
            {"classes": list(classes)} if classes else {},
        )  # fmt: skip

    @property
    def kept(self) -> nn.Module:
        return self.net

    def batch(self, step: int, first: int, count: int) -> tuple[Tensor, ...]:
        """Return x0 (count, C, crop, crop), noise of a latent, t (count,), and class numbers (count,) where there are classes."""
        start = step * self.config.optim.batch + first
        x0, _, _, *label = self.patches.batch(start, count, is_grey(self.config, step))
        noise, t = zip(*(self._draw(i) for i in range(start, start + count)))
        return x0, torch.from_numpy(np.stack(noise)), torch.tensor(t, dtype=torch.float32), *label

    def _draw(self, index: int) -> tuple[np.ndarray, float]:
        """Return noise and time of item `index` of a run."""
        rng = self.patches.further(index)
        channels, side = self.spec.arch["channels"], self.spec.arch["side"]
        return rng.standard_normal((channels, side, side), np.float32), rng.uniform(0, len(self.table.alpha_bar) - 1)

    def forward(self, x0: Tensor, noise: Tensor, t: Tensor, *label: Tensor) -> Tensor:
        sigma = self.table.sigma(t).view(-1, 1, 1, 1)
        z_t = self.table.scale(sigma) * (self._encode(x0) + sigma * noise)
        return (self.net(z_t, t, *label).float() - noise).square().mean()

    def _codec(self, device: torch.device) -> Codec:
        return Codec.of(self.coding[0].to(device))

    @torch.no_grad()
    def _encode(self, x0: Tensor) -> Tensor:
        return self._codec(x0.device).encode(x0).float()

    def save(self, path: Path, ema: dict[str, Tensor], training: dict[str, Any]) -> None:
        """Save codec and network in one file."""
        own, net = self.spec, self.coding[0]
        arch = {"kind": "latent", "codec": {"kind": "codec", **asdict(net.config)}, "net": own.arch}
        state = {f"codec.{k}": v for k, v in net.state_dict().items()} | {f"net.{k}": v for k, v in ema.items()}
        coded = self.codec_spec
        about = {"codec": coded.training | {"data": coded.data, "licence": coded.licence, "psnr": self._ceiling}}
        save(path, state, replace(own, arch=arch, training=own.training | training | about))

    @cached_property
    @torch.no_grad()
    def _ceiling(self) -> float:
        """Return the mean PSNR of patches through the codec alone, not quantised, dB: `restore` says it beside a result."""
        bands, codec = max(self.config.model.bands), self._codec(next(self.net.parameters()).device)
        found = []
        for x in self._shown(CEILING, bands == 1)[0].split(1):
            back = codec.decode(codec.encode(x.to(codec.mean)), quantise=False, bands=bands)[0].clamp(0, 1)
            found.append(psnr(back.cpu().numpy(), x[0].numpy()))
        return round(fmean(found), 2)

    @torch.no_grad()
    def grid(self, path: Path, ema: dict[str, Tensor]) -> None:
        """Draw rows: clean, through the codec, noisy and denoised at sigma 0.5 and 1, and samples (eqs 29 and 30, eta = 0)."""
        net = build(self.spec)
        net.load_state_dict(ema)
        device = next(iter(ema.values())).device
        denoise, codec = Adapted(net.eval().to(device), "eps", self.table, (0, 1)), self._codec(device)
        bands = max(self.config.model.bands)
        x0, noise, *_ = (t.to(device) for t in self._shown(8, bands == 1))
        z0 = codec.encode(x0)
        rows = [x0, codec.decode(z0, bands=bands)]
        for sigma in (0.5, 1.0):
            z = z0 + sigma * noise
            rows += [codec.decode(y, bands=bands) for y in (z, denoise(z, sigma))]
        times = torch.linspace(len(self.table.alpha_bar) - 1, 0, STEPS, dtype=torch.float64)
        sigmas = [*self.table.sigma(times).tolist(), 0.0]
        *_, last = DDIM()(denoise, sigmas, sigmas[0] * noise, Rng([0]))
        rows.append(codec.decode(last.x, bands=bands))
        write_grid(path, rows)

    def _shown(self, count: int, grey: bool) -> tuple[Tensor, Tensor]:
        """Return patches and noise of the grid, none of which the run comes to."""
        noise = np.stack([self._draw(2**40 + i)[0] for i in range(count)])
        return self.patches.batch(2**40, count, grey)[0], torch.from_numpy(noise)


def _codec(path: str) -> tuple[CodecNet, PriorSpec]:
    net, spec = loaded("model.codec", path)
    net = net.codec if isinstance(net, LatentNet) else net
    if not isinstance(net, CodecNet):
        raise other_kind("model.codec", path)
    return net, spec


def _check(config: Config, codec: CodecNet) -> None:
    """Refuse crops and bands that the codec does not take."""
    crop, f, known = config.data.crop, codec.config.factor, codec.config.bands
    if crop % f:
        raise BadInput(
            f"data.crop={crop} must be a multiple of {f}, the factor of the codec; try {max(1, crop // f) * f}"
        )
    if not set(config.model.bands) <= set(known):
        raise BadInput(f"model.bands={list(config.model.bands)}, but the codec takes {list(known)}; use these")
