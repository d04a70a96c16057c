"""The training configuration: one YAML file, every unknown key refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(Section):
    kind: Literal["unet"] = "unet"
    bands: tuple[int, ...] = (1, 3)
    widths: tuple[int, ...] = (32, 64, 128, 192)
    blocks: int = Field(default=1, ge=1)
    middle: int = Field(default=1, ge=0)
    patch: Literal[1, 2, 4] = 1
    embed: int = Field(default=128, ge=8)


class Data(Section):
    crop: int = Field(default=64, ge=8, description="side of the training patches, pixels")
    flips: bool = True  # random flips and quarter turns
    grey_every: int = Field(
        default=4, ge=0, description="every n-th batch is grey (luminance), for networks that take 1 band; 0 = never"
    )


class Noise(Section):
    """ln sigma ~ N(log_mean, log_std^2); a share `wide` is instead log-uniform over (sigma_min, sigma_max)."""

    log_mean: float = -1.9
    log_std: float = Field(default=1.2, gt=0)
    wide: float = Field(default=0.1, ge=0, le=1)
    sigma_min: float = Field(default=0.002, gt=0)
    sigma_max: float = Field(default=100.0, gt=0)


class Optim(Section):
    batch: int = Field(default=16, ge=1, description="patches per step over all processes")
    steps: int = Field(default=20000, ge=1)
    lr: float = Field(default=1e-3, gt=0)
    warmup: int = Field(default=200, ge=0)
    decay_from: float = Field(
        default=0.5, ge=0, le=1, description="share of the run after which the rate falls linearly to 0"
    )
    clip: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.999, ge=0, lt=1)


class Run(Section):
    seed: int = 0
    precision: Literal["bf16", "fp32"] = "bf16"
    checkpoint_every: float = Field(default=300.0, gt=0, description="seconds")
    sample_every: int = Field(default=2000, ge=1, description="steps")
    log_every: int = Field(default=50, ge=1, description="steps")


class Config(Section):
    name: str = "prior"
    licence: str = "not stated"
    description: str = ""
    domain: str = "srgb"
    model: Model = Model()
    data: Data = Data()
    noise: Noise = Noise()
    optim: Optim = Optim()
    run: Run = Run()


def read_config(path: Path, **overrides: Any) -> Config:
    """The validated configuration; `overrides` are dotted keys such as `optim.steps`."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: expected sections (model:, data:, noise:, optim:, run:), got {type(raw).__name__}")
    for key, value in overrides.items():
        section, _, name = key.rpartition(".")
        (raw.setdefault(section, {}) if section else raw)[name] = value
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        section = Config.model_fields.get(str(first["loc"][0]))
        known = getattr(section.annotation, "model_fields", Config.model_fields) if section else Config.model_fields
        raise ValueError(f"{path}: {where}: {first['msg']}; known here: {', '.join(known)}") from None
