"""This module knows which loss belongs to which kind of model."""

from __future__ import annotations

from restorekit.priors.networks.ivqvae import CodecConfig
from restorekit.training.config import Config, FFTDModel
from restorekit.training.data.cache import Pictures
from restorekit.training.objectives.codec import CodecObjective
from restorekit.training.objectives.denoising import DenoiserObjective
from restorekit.training.objectives.latent_denoiser import LatentObjective
from restorekit.training.objectives.objective import Objective
from restorekit.training.objectives.relay import RelayObjective


def objective_of(config: Config, pictures: Pictures, data: str, measured: dict[str, float] | None = None) -> Objective:
    """Return what a configuration trains on these pictures; data: what the card calls them; measured: see `Objective`."""
    if config.cascade is not None:
        return RelayObjective(config, pictures, data, measured)
    if isinstance(config.model, CodecConfig):
        return CodecObjective(config, pictures, data, measured)
    if isinstance(config.model, FFTDModel):
        return LatentObjective(config, pictures, data, measured)
    return DenoiserObjective(config, pictures, data, measured)
