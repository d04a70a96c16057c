"""Which loss belongs to which kind of model."""

from __future__ import annotations

from restorekit.training.codec import CodecObjective
from restorekit.training.config import CodecModel, Config, FFTDModel
from restorekit.training.denoiser import DenoiserObjective
from restorekit.training.latent import LatentObjective
from restorekit.training.objective import Objective
from restorekit.training.pictures import Pictures
from restorekit.training.relay import RelayObjective


def objective_of(config: Config, pictures: Pictures, data: str, measured: dict[str, float] | None = None) -> Objective:
    """What a configuration trains on these pictures; data: what the card calls them; measured: see `Objective`."""
    if config.cascade is not None:
        return RelayObjective(config, pictures, data, measured)
    if isinstance(config.model, CodecModel):
        return CodecObjective(config, pictures, data, measured)
    if isinstance(config.model, FFTDModel):
        return LatentObjective(config, pictures, data, measured)
    return DenoiserObjective(config, pictures, data, measured)
