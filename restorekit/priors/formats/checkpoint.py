"""Checkpoints are safetensors whose header says what the network is, what it was trained on and under which licence."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from restorekit.errors import BadInput
from restorekit.files.atomic import replacing
from restorekit.files.digest import sha256  # noqa: F401 (found here by others)
from restorekit.files.session import opened
from restorekit.priors.cascade import CascadeConfig, Stages
from restorekit.priors.formats import sniff as filetypes
from restorekit.priors.formats.allocation import AtMost, TooLarge
from restorekit.priors.networks.fftd import FFTD, FFTDConfig
from restorekit.priors.networks.ivqvae import CodecConfig, CodecNet
from restorekit.priors.networks.pisdm import PISDM, PISDMConfig
from restorekit.priors.networks.two_stage import LatentConfig, LatentNet
from restorekit.priors.networks.unet import UNet, UNetConfig
from restorekit.priors.precond import EDM

FORMAT = "restorekit-prior-1"
SPARE = 1 << 20  # values that a network makes beside its weights, at most
DOMAINS = ("srgb", "linear", "log-intensity", "latent")
Denoising = UNetConfig | PISDMConfig | CascadeConfig  # of networks that are denoisers of pictures
Config = Denoising | CodecConfig | FFTDConfig | LatentConfig
Network = UNet | PISDM | Stages | CodecNet | FFTD | LatentNet
CONFIGS: dict[str, type[Config]] = {
    "unet": UNetConfig, "pisdm": PISDMConfig, "cascade": CascadeConfig, "codec": CodecConfig, "fftd": FFTDConfig,
    "latent": LatentConfig,
}  # fmt: skip
NETWORKS: dict[type[Any], type[Any]] = {
    UNetConfig: UNet, PISDMConfig: PISDM, CascadeConfig: Stages, CodecConfig: CodecNet, FFTDConfig: FFTD,
    LatentConfig: LatentNet,
}  # fmt: skip


@dataclass(frozen=True)
class PriorSpec:
    """A spec says of a prior everything but its weights. It is stored as JSON in the header of the checkpoint.

    Raises BadInput for what cannot be: no numbers, a sigma_data of 0, levels in the wrong order, an unknown domain.
    """

    name: str
    arch: dict[str, Any]  # {"kind": a key of CONFIGS, ...fields of that class}
    sigma_data: float
    mean: float = 0.5
    domain: str = "srgb"  # what x is: one of DOMAINS
    sigma_min: float = 0.002
    sigma_max: float = 100.0
    data: str = ""
    licence: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)  # of the format, not filled: quality is in the card NAME.md

    def __post_init__(self) -> None:
        for name in ("sigma_data", "mean", "sigma_min", "sigma_max"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise BadInput(f"{self.name}: {name}={value!r} is no number")
        if not 0 < self.sigma_data < 1e15:  # its square is a float32
            raise BadInput(
                f"{self.name}: sigma_data={self.sigma_data:g}, the spread of the data, must be above 0, below 1e15"
            )
        if not 0 < self.sigma_min < self.sigma_max:
            raise BadInput(
                f"{self.name}: levels must satisfy 0 < sigma_min={self.sigma_min:g} < sigma_max={self.sigma_max:g}"
            )
        if self.domain not in DOMAINS:
            raise BadInput(f"{self.name}: unknown domain {self.domain!r}; this version knows: {', '.join(DOMAINS)}")
        if not isinstance(self.name, str) or not isinstance(self.arch, dict):
            raise BadInput(f"{self.name}: name and arch must be a text and settings")

    @property
    def config(self) -> Config:
        """Return the configuration of the network. Raises BadInput for an unknown architecture and settings that
        cannot be."""
        return _config(self.arch, self.name)

    @property
    def bands(self) -> tuple[int, ...]:
        """Return the numbers of bands that the prior takes."""
        return self.config.bands


def _config(arch: dict[str, Any], name: str) -> Config:
    kind = arch.get("kind")
    if not isinstance(kind, str) or kind not in CONFIGS:
        raise BadInput(f"{name}: unknown architecture {kind!r}; this version knows: {', '.join(sorted(CONFIGS))}")
    known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in arch.items() if k != "kind"}
    inner: dict[str, Any] = {k: _config(v, name) for k, v in known.items() if isinstance(v, dict)}
    return CONFIGS[kind](**(known | inner))


def build(spec: PriorSpec) -> Network:
    """Return the untrained network of a spec. Raises BadInput where there can be none."""
    try:
        config = spec.config
        return NETWORKS[type(config)](config)
    except BadInput:
        raise
    except (TypeError, ValueError, LookupError, ArithmeticError, RuntimeError, AttributeError) as error:
        # The settings of a damaged header may be of any type and size.
        why = " ".join(str(error).split())[:120]
        raise BadInput(f"{spec.name}: its architecture is not of this version of restorekit ({why})") from None


def save(path: Path, state: dict[str, Tensor], spec: PriorSpec, dtype: torch.dtype = torch.float16) -> None:
    """Write weights, rounded to `dtype`, and spec; a crash leaves the old file whole."""
    tensors = {k: v.detach().cpu().to(dtype).contiguous() for k, v in state.items()}
    header = {"format": FORMAT, "spec": json.dumps(asdict(spec), sort_keys=True)}
    write(path, tensors, header)


def write(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write a safetensors file, synced before it takes its place; open to the same people as any new file.

    Raises BadInput where the disk refuses, with the old file whole.
    """
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=header)
        except SafetensorError as error:  # as it calls a disk that is full
            raise OSError(str(error)) from None


def read_spec(path: Path) -> PriorSpec:
    """Return the spec by the header alone, without loading the weights.

    Raises BadInput for what is no checkpoint, or one of another version.
    """
    opened(path)
    try:
        with safe_open(path, framework="pt") as f:
            header = f.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path} is not a readable safetensors checkpoint ({_why(path, error)})") from None
    found = header.get("format", "")
    if found != FORMAT:
        raise BadInput(f"{path} {_other(found, header)}")
    try:
        return PriorSpec(**json.loads(header["spec"]))
    except BadInput as error:
        raise BadInput(f"{path}: its header cannot be right ({error})") from None
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path}: its header is not of this version of restorekit ({error})") from None


def _why(path: Path, error: Exception) -> str:
    if not path.exists():
        return "no such file; check the name, or train it first"
    what = filetypes.kind(path) if path.is_file() and os.access(path, os.R_OK) else None
    if what in (None, "a safetensors file"):
        return f"{error}; cut short or damaged: copy it again"
    return f"it is {what}; give a file that `restorekit train` wrote, or call a .pt of guided-diffusion .pt"


def _other(found: str, header: dict[str, str]) -> str:
    """Return what a safetensors file without our header is, in words."""
    if found.startswith("restorekit-prior-"):
        return f"is a prior of another version of restorekit ({found}, this one reads {FORMAT}); update restorekit"
    if {"config", "step"} <= header.keys():
        return "is the state of a training run; give the prior.safetensors beside it"
    return f"is a safetensors file without a {FORMAT} header; make one with `restorekit train`"


def load(path: Path) -> tuple[Network, PriorSpec]:
    """Return the network in float32 and eval mode, with its spec. Raises BadInput for weights that do not fit it, or
    are NaN."""
    spec = read_spec(path)
    with safe_open(path, framework="pt") as f:
        state = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (not a dict)
    try:
        with AtMost(4 * sum(v.numel() for v in state.values()) + SPARE):
            net = build(spec)
    except TooLarge:
        raise BadInput(
            f"{path}: weights do not fit the architecture in its header, which has many more than the file"
        ) from None
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    expected = {k: v.shape for k, v in net.state_dict().items()}
    if wrong := _misfit(expected, {k: v.shape for k, v in state.items()}):
        raise BadInput(f"{path}: weights do not fit the architecture in its header: {wrong}")
    filetypes.refuse_nonfinite(path, state)
    net.load_state_dict(state, strict=True)
    return net.eval().requires_grad_(False), spec


def _misfit(expected: dict[str, torch.Size], found: dict[str, torch.Size]) -> str:
    """Return the first difference in words; empty where there is none."""
    for what, names in (("missing", expected.keys() - found), ("not known there", found.keys() - expected)):
        if names:
            return f"{len(names)} {what}, such as {min(names)}"
    odd = next((k for k in expected if expected[k] != found[k]), None)
    return f"{odd} is {tuple(found[odd])}, expected {tuple(expected[odd])}" if odd else ""


def edm(net: nn.Module, spec: PriorSpec) -> EDM:
    """Return a network of one stage as a denoiser."""
    return EDM(net, spec.sigma_data, spec.mean)
