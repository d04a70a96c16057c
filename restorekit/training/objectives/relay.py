"""Training of the high stage of a cascade beside a low stage that is done (Li et al. 2025, sections 4.3 and 4.4).

The high stage is an ordinary denoiser of the full resolution, on levels up to 1.5 `top`. The scale-invariant loss makes its
last features and those of the low stage on the clean, reduced picture tell of each other; its critic is not kept.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.inference.denoiser import Denoiser
from restorekit.priors.cascade import Cascade, CascadeConfig, down, relay_level
from restorekit.priors.formats.checkpoint import PriorSpec, edm, save
from restorekit.priors.networks.pisdm import PISDM
from restorekit.priors.precond import EDM
from restorekit.training.config import Config, HighStage
from restorekit.training.data.cache import Pictures
from restorekit.training.named_files import loaded, other_kind, refuse_other_shrink
from restorekit.training.objectives.denoising import DenoiserObjective
from restorekit.training.objectives.infomax import Critic, kappa_at, scale_loss

CLEAN = 0.02  # level at which the low stage is shown clean pictures: about the least it was trained on


class RelayObjective(DenoiserObjective):
    """The EDM loss of the high stage + kappa L_sir (eq 17)."""

    def __init__(self, config: Config, pictures: Pictures, data: str, measured: dict[str, float] | None = None):
        stage = config.cascade or HighStage(low="")
        low, low_spec = _low(stage.low)
        refuse_other_shrink(config, low_spec)
        pictures = pictures.at_least(config.data.crop, config.data.shrink)
        measured = dict(measured or {})
        if stage.relay is None and "relay" not in measured:
            measured["relay"] = _measured(pictures, config, stage.factor)
        relay = stage.relay or measured["relay"]
        top = stage.top or relay
        if top < relay:
            raise BadInput(f"cascade.top={top:g} must be cascade.relay={relay:g} or more: sampling begins there")
        law = config.noise.model_copy(update={"sigma_max": min(config.noise.sigma_max, 1.5 * top)})
        super().__init__(config.model_copy(update={"noise": law}), pictures, data, measured)
        high = self.net
        if not isinstance(high, PISDM) or not set(high.config.bands) <= set(low.config.bands):
            raise BadInput(f"cascade.low={stage.low} does not take the bands of model.bands; train one that does")
        _refuse_other_classes(stage.low, low_spec, self.spec)
        self.stage, self.relay, self.top, self.low_spec, self.high = stage, relay, top, low_spec, [high]
        self.beside = [low]  # in lists: frozen, so no part of the state, and registered already
        self.features = EDM(low, low_spec.sigma_data, low_spec.mean)
        if stage.kappa:
            self.critic = Critic(low.config.width, high.config.width)

    def batch(self, step: int, first: int, count: int) -> tuple[Tensor, ...]:
        """Return the batch of a denoiser, and kappa (count,) where it is not 0: a number would be compiled anew in every step."""
        own, stage = super().batch(step, first, count), self.stage
        return (*own, torch.full((count,), kappa_at(step, stage.ramp, stage.kappa))) if stage.kappa else own

    def forward(self, x0: Tensor, noise: Tensor, sigma: Tensor, *rest: Tensor) -> Tensor:
        label, kappa = (rest[:-1], rest[-1].mean()) if self.stage.kappa else (rest, None)
        z, c_in, target = self.problem(x0, noise, sigma)
        answer, high = self.high[0].with_features(c_in * z, sigma.log() / 4, *label)
        loss = (answer.float() - target).square().mean()
        return loss if kappa is None else loss + kappa * scale_loss(self.critic, self._low_features(x0), high)

    @torch.no_grad()
    def _low_features(self, x0: Tensor) -> Tensor:
        low, model = self.beside[0].to(x0.device), self.features
        s = torch.full((len(x0),), CLEAN, device=x0.device)
        _, _, c_in = model.coefficients(s.view(-1, 1, 1, 1))
        return low.with_features(c_in * (down(x0, self.stage.factor) - model.mean), s.log() / 4)[1]

    def averaged(self, ema: dict[str, Tensor], device: torch.device) -> Denoiser:
        """Return both stages: this one has not learned the levels above 1.5 `top`."""
        low, spec = self.beside[0].to(device), self.low_spec
        return Cascade(edm(low, spec), super().averaged(ema, device), self.relay, self.stage.factor, self.top)

    def save(self, path: Path, ema: dict[str, Tensor], training: dict[str, Any]) -> None:
        """Save both stages in one file."""
        low, own = self.low_spec, self.spec
        config = CascadeConfig(
            self.beside[0].config, self.high[0].config, self.stage.factor, self.relay, self.top, low.sigma_data, low.mean
        )  # fmt: skip
        arch: dict[str, Any] = {"kind": "cascade", **asdict(config)}
        arch |= {k: {"kind": "pisdm", **arch[k]} for k in ("low", "high")}
        state = {f"low.{k}": v for k, v in self.beside[0].state_dict().items()} | {
            f"high.{k}": v for k, v in ema.items()
        }
        about = {"low": low.training | {"data": low.data}}
        spec = replace(own, arch=arch, sigma_max=low.sigma_max * self.stage.factor)
        save(path, state, replace(spec, training=own.training | training | about))


def _low(path: str) -> tuple[PISDM, PriorSpec]:
    net, spec = loaded("cascade.low", path)
    if not isinstance(net, PISDM):
        raise other_kind("cascade.low", path)
    return net, spec


def _refuse_other_classes(path: str, low: PriorSpec, high: PriorSpec) -> None:
    """Raise BadInput where a class number means something else to the two stages, or nothing to one."""
    of_low, of_high = (spec.training.get("classes") or [] for spec in (low, high))
    if of_low != of_high:
        named = [
            f"{len(c)} ({', '.join(c[:3])}{', ...' if len(c) > 3 else ''})" if c else "none" for c in (of_low, of_high)
        ]
        raise BadInput(
            f"cascade.low={path} knows other classes than this stage, {named[0]} and not {named[1]}; give both the same "
            "data.labels"
        )


def _measured(pictures: Pictures, config: Config, factor: int, n: int = 300) -> float:
    """Return the relay level of the middles of `some` n pictures, 3 digits."""
    crop, shrink = config.data.crop, config.data.shrink
    found = []
    for i in pictures.some(n):
        p, side = pictures[i], crop * shrink
        top, left = (p.shape[0] - side) // 2, (p.shape[1] - side) // 2
        x = torch.from_numpy(p[top : top + side, left : left + side].copy()).permute(2, 0, 1).float() / 255
        found.append(down(x[None], shrink)[0] if shrink > 1 else x)
    return float(f"{relay_level(torch.stack(found), factor):.3g}")
