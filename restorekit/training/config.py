"""The training configuration: one YAML file; unknown keys and settings that cannot work are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from restorekit.errors import BadInput
from restorekit.priors.networks.fftd import FFTDConfig
from restorekit.priors.networks.ivqvae import FACTORS, CodecConfig
from restorekit.priors.networks.pisdm import PISDMConfig
from restorekit.priors.networks.unet import UNetConfig


class Section(BaseModel):
    """A part of the configuration, which refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FFTDModel(Section):
    """A transformer of the latents of a codec that is trained already; times are drawn uniformly, `noise` is not used."""

    bands: tuple[int, ...] = (3,)
    codec: str = Field(description="the trained codec: a .safetensors file or a shipped prior of latents")
    width: int = Field(default=320, ge=1)
    heads: int = Field(default=5, ge=1)
    fuse: Literal["adaptive", "add", "concat"] = "adaptive"
    embed: int = Field(default=256, ge=8)

    @model_validator(mode="after")
    def _fits(self) -> FFTDModel:
        FFTDConfig(width=self.width, heads=self.heads, embed=self.embed)  # its own refusals
        return self

    @property
    def multiple(self) -> int:
        return min(FACTORS)  # that of its codec is known when the codec is


Model = UNetConfig | PISDMConfig | CodecConfig | FFTDModel
MODELS: dict[str, type[Model]] = {"unet": UNetConfig, "pisdm": PISDMConfig, "codec": CodecConfig, "fftd": FFTDModel}
FILLED_IN = {"classes", "mean", "std"}  # by training: no settings


def kind_of(model: Any) -> str:
    """Return the kind of network of a section, read or not; the first kind there was where it says nothing."""
    if isinstance(model, dict):
        return model.get("kind", "unet")
    return next((kind for kind, cls in MODELS.items() if isinstance(model, cls)), "unet")


def settings_of(model: Model) -> dict[str, Any]:
    """Return the section of a network, with its kind."""
    settings = dict(model) if isinstance(model, FFTDModel) else asdict(model)
    return {"kind": kind_of(model), **{k: v for k, v in settings.items() if k not in FILLED_IN}}


def _read_network(section: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    if not isinstance(section, dict):
        return validate(section)
    for name in FILLED_IN & section.keys():
        raise ValueError(f"{name}={section[name]!r} is no setting, training fills it in; leave it out")
    return validate({k: v for k, v in section.items() if k != "kind"})


_READ, _WRITE = WrapValidator(_read_network), PlainSerializer(settings_of)
AnyModel = Annotated[
    Annotated[UNetConfig, _READ, _WRITE, Tag("unet")]
    | Annotated[PISDMConfig, _READ, _WRITE, Tag("pisdm")]
    | Annotated[CodecConfig, _READ, _WRITE, Tag("codec")]
    | Annotated[FFTDModel, _READ, _WRITE, Tag("fftd")],
    Discriminator(
        kind_of,
        custom_error_type="kind",
        custom_error_message=f"kind is unknown; it is one of {', '.join(MODELS)}",
    ),
]


class Data(Section):
    """The training patches."""

    crop: int = Field(default=64, ge=8, description="side of the training patches, pixels")
    shrink: int = Field(default=1, ge=1, description="pictures are reduced by block means first: the low stage")
    labels: str = Field(default="", description="folder, or a JSON file of {picture: class}; empty: no classes")
    label_drop: float = Field(default=0.1, ge=0, le=1, description="share of patches whose class is left out")
    flips: bool = True  # random flips and quarter turns
    by_area: bool = Field(
        default=False, description="every pixel is as likely as another; else every picture is, however large"
    )
    zoom: float = Field(
        default=1.0,
        ge=1,
        description="pictures are reduced by a random factor of up to this, as far as the crop allows",
    )
    grey_every: int = Field(
        default=4, ge=0, description="every n-th batch is grey (luminance), for networks that take 1 band; 0 = never"
    )
    arrays: bool = Field(
        default=False,
        description="log-intensity: the pictures are NPY files (H, W) of logarithms of intensities, floats",
    )
    gain: float = Field(default=0.5, ge=0, le=50, description="log-intensity: std of a random offset of each patch")
    contrast: float = Field(
        default=0.2, ge=0, le=5, description="log-intensity: std of ln of a random factor about its mean"
    )


class NoiseLevels(Section):
    """ln sigma ~ N(log_mean, log_std^2), or eq 10 of Li et al. 2025 where `resample` is given, see `training.data`; a share
    `wide` is instead log-uniform over (sigma_min, sigma_max)."""

    log_mean: float = -1.9
    log_std: float = Field(default=1.2, gt=0)
    wide: float = Field(default=0.1, ge=0, le=1)
    resample: float | None = Field(
        default=None,
        gt=0,
        description="n of t' = T (1 - (t / T)^n), t uniform over DDPM times; log_mean, log_std unused",
    )
    sigma_min: float = Field(default=0.002, gt=0)
    sigma_max: float = Field(default=100.0, gt=0)

    @model_validator(mode="after")
    def _order(self) -> NoiseLevels:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min={self.sigma_min:g} must be below sigma_max={self.sigma_max:g}")
        return self


class Loss(Section):
    """Weights of the terms of a codec's loss; other networks have one term and take nothing from here."""

    l1: float = Field(default=1.0, ge=0)
    perceptual: float = Field(default=0.1, ge=0, description="with LPIPS 1 is common")
    perceptual_every: int = Field(
        default=1, ge=1, description="steps between its terms, each as heavy as this many: it costs as much as the rest"
    )
    lpips: str = Field(
        default="none",
        description="perceptual: alex, squeeze, vgg or a file of torchvision; none: features of the shipped prior instead",
    )
    gradient: float = Field(default=1.0, ge=0, description="differences of neighbours, at three sizes")
    kl: float = Field(default=1e-6, ge=0, description="regulariser: kl, per number of the latent")
    # Off: it invents texture, which nobody can tell from what was measured, and takes long to pay off.
    adversarial: float = Field(
        default=0.0, ge=0, description="times the ratio of gradients at the last layer; 0.8 is common"
    )
    disc_start: float = Field(default=0.5, ge=0, le=1, description="share of the run before the discriminator begins")
    disc_width: int = Field(default=32, ge=1)
    decoder_only: bool = Field(
        default=False, description="of `init`, leave encoder and code book as they are; latents are not quantised"
    )


class Optim(Section):
    """The optimiser, and for how many steps it runs."""

    batch: int = Field(default=16, ge=1, description="patches per step over all processes")
    steps: int = Field(default=20000, ge=1, description="may be raised at `resume`; see `learning_rate`")
    lr: float = Field(default=1e-3, gt=0)
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.99)
    warmup: int = Field(default=200, ge=0)
    decay_from: float = Field(
        default=0.5, ge=0, le=1, description="share of the run after which the rate falls linearly to 0"
    )
    clip: float = Field(default=1.0, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    ema: float = Field(default=0.999, ge=0, lt=1)


class HighStage(Section):
    """The high-resolution stage of a cascade: the model section, trained beside a low stage that is done."""

    low: str = Field(description="the trained prior of the low stage, a .safetensors file")
    factor: int = Field(default=2, ge=2)
    relay: float | None = Field(
        default=None, gt=0, description="where sampling goes over to this stage; None: measured"
    )
    top: float | None = Field(default=None, gt=0, description="up to here this stage answers alone; None: relay")
    kappa: float = Field(default=0.4, ge=0, description="weight of the scale-invariant loss")
    ramp: int = Field(default=2000, ge=0, description="steps over which that weight rises")


class Run(Section):
    """Settings of the run itself; none of them changes what is trained, but for the seed and the precision."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    precision: Literal["bf16", "fp32"] = "bf16"
    compile: bool = Field(default=False, description="torch.compile: minutes at the start, a third faster after")
    checkpoint_every: float = Field(default=300.0, gt=0, description="seconds")
    sample_every: int = Field(default=2000, ge=1, description="steps")
    log_every: int = Field(default=50, ge=1, description="steps")
    workers: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="processes that make the batches ahead, for a GPU; 0: made between the steps",
    )


class Config(Section):
    """The whole configuration of a training."""

    name: str = "prior"
    licence: str = "not stated"
    description: str = ""
    init: str = Field(default="", description="a trained prior whose weights the run begins with")
    domain: Literal["srgb", "log-intensity"] = "srgb"
    model: AnyModel = UNetConfig()
    data: Data = Data()
    noise: NoiseLevels = NoiseLevels()
    loss: Loss = Loss()
    optim: Optim = Optim()
    run: Run = Run()
    cascade: HighStage | None = None

    @model_validator(mode="after")
    def _fits(self) -> Config:
        if sorted(self.model.bands) not in ([1], [3], [1, 3]):
            raise ValueError(
                f"model.bands: {list(self.model.bands)} cannot be trained; use [1], [3] or [1, 3], more bands go one by one"
            )
        crop, multiple, every = self.data.crop, self.model.multiple, self.data.grey_every
        if crop % multiple:
            near = max(1, round(crop / multiple)) * multiple
            raise ValueError(f"data.crop={crop} must be a multiple of {multiple} for this network, as {near}")
        if self.domain == "log-intensity" and self.model.bands != (1,):
            raise ValueError("domain=log-intensity is for one band; set model.bands=[1]")
        if self.data.arrays and self.domain != "log-intensity":
            raise ValueError("data.arrays are logarithms of intensities; set domain=log-intensity, or leave it out")
        if self.data.labels and not isinstance(self.model, PISDMConfig | FFTDModel):
            raise ValueError("data.labels needs a network that knows classes; use model.kind=pisdm or fftd")
        if self.cascade and (not isinstance(self.model, PISDMConfig) or crop % self.cascade.factor):
            raise ValueError(f"cascade needs model.kind=pisdm and data.crop={crop} a multiple of cascade.factor")
        if self.cascade and self.cascade.kappa and self.optim.batch < 2:
            raise ValueError(
                "cascade.kappa compares the pictures of a batch; use optim.batch=2 or more, or cascade.kappa=0"
            )
        if self.domain != "srgb" and isinstance(self.model, CodecConfig | FFTDModel):
            raise ValueError(f"domain={self.domain} is none of a codec, whose pictures are in [0, 1]; leave it out")
        if self.noise != NoiseLevels() and isinstance(self.model, FFTDModel):
            raise ValueError("noise is not for model.kind=fftd, whose times are drawn uniformly; leave it out")
        codec = isinstance(self.model, CodecConfig)
        if codec and self.noise != NoiseLevels():
            raise ValueError("noise is not for model.kind=codec, which is shown clean pictures; leave it out")
        if self.loss.decoder_only and not self.init:
            raise ValueError("loss.decoder_only goes on from a codec; name it in `init`")
        if codec and self.run.compile:
            raise ValueError("run.compile is not for model.kind=codec, most of which are convolutions; leave it out")
        if not codec and self.loss != Loss():
            raise ValueError("loss is for model.kind=codec; other networks have one term, leave it out")
        if isinstance(self.model, PISDMConfig | CodecConfig) and self.model.side != crop:
            raise ValueError(f"model.side={self.model.side} must be data.crop={crop}, what the network is trained on")
        if len(self.model.bands) == 2 and every < 2:
            idle, alone = ("grey", "[3]") if every == 0 else ("colour", "[1]")
            raise ValueError(
                f"data.grey_every={every} leaves the {idle} layers untrained; use 2 or more, or model.bands={alone}"
            )
        return self


def read_config(path: Path, **overrides: Any) -> Config:
    """Return the validated configuration of a file; `overrides` are dotted keys such as `optim.steps`."""
    return _validated(_read(path), str(path), overrides)


def config_for(kind: str, path: Path | None, overrides: dict[str, Any]) -> Config:
    """Return what `read_config` does, or the defaults of a kind of model. Raises BadInput for an unknown kind, and for the file of
    another."""
    if kind not in MODELS:
        raise BadInput(f"MODEL {kind!r} is unknown; it is one of {', '.join(MODELS)}")
    if path is not None and not path.is_file():
        raise BadInput(f"{path}: no such file; give a YAML configuration, as those in configs/")
    raw = _read(path) if path else {"model": {"kind": kind}}
    own = kind_of(raw.get("model"))
    if own != kind:
        raise BadInput(f"{path} is for MODEL {own}, not {kind}; name that, or give another `config`")
    return _validated(raw, str(path or f"the defaults of {kind}"), overrides)


def yaml_of(config: Config) -> str:
    """Return a configuration as the text of a file that `read_config` reads."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def overrides_of(texts: Sequence[str]) -> dict[str, Any]:
    """Return settings by "section.name" of texts as "optim.steps=1000". Raises BadInput for what is no KEY=VALUE."""
    settings = {}
    for text in texts:
        key, equals, value = text.partition("=")
        try:
            settings[key] = yaml.safe_load(value)
        except (
            yaml.YAMLError,
            ValueError,
            RecursionError,
        ):  # of dates, of numbers with thousands of digits, of brackets
            equals = ""
        if not equals:
            raise BadInput(
                f"`set` {text!r} is not understood; use KEY=VALUE, as `set=optim.steps=1000`", argument="set"
            )
    return settings


def _validated(raw: dict[str, Any], place: str, overrides: dict[str, Any]) -> Config:
    for key, value in overrides.items():
        section, _, name = key.rpartition(".")
        if section and raw.get(section) is None:  # absent, or a heading with nothing below it
            raw[section] = {}
        target = raw[section] if section else raw
        if not isinstance(target, dict):
            raise BadInput(f"{place}: {section} is {target!r}, so {key} cannot be set; sections hold KEY: VALUE")
        target[name] = value
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise BadInput(f"{place}: {_first(error)}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not YAML ({' '.join(str(error).split())}); see configs/") from None
    if not isinstance(raw, dict):
        raise BadInput(f"{path}: expected sections (model:, data:, noise:, optim:, run:), got {type(raw).__name__}")
    return raw


def _first(error: ValidationError) -> str:
    """Return the first of the errors: where, what, and the keys that are known there."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    in_network = len(place) > 1 and place[0] == "model"
    network = MODELS.get(place.pop(1)) if in_network else None  # pydantic names the kind there
    where = ".".join(place)
    if first["type"] == "value_error":  # one of the validators above, or of a network, which name the way out
        message = first["msg"].removeprefix("Value error, ")
        return f"{where}: {message}" if where else message
    section = network or getattr(Config.model_fields.get(place[0]), "annotation", None)
    names = getattr(section, "model_fields", getattr(section, "__dataclass_fields__", Config.model_fields))
    known = [name for name in names if name not in FILLED_IN]
    known[1:1] = ["kind"] if network else []
    unknown = first["type"] == "unexpected_keyword_argument"  # what pydantic says of an unknown key of a dataclass
    return f"{where}: {'Extra inputs are not permitted' if unknown else first['msg']}; known here: {', '.join(known)}"
