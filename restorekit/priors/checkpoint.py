"""Checkpoints: safetensors whose header says what the network is, what it was trained on and under which licence."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from restorekit.priors.cascade import CascadeConfig, Stages
from restorekit.priors.codec import CodecConfig, CodecNet
from restorekit.priors.fftd import FFTD, FFTDConfig
from restorekit.priors.latent import LatentConfig, LatentNet
from restorekit.priors.pisdm import PISDM, PISDMConfig
from restorekit.priors.precond import EDM
from restorekit.priors.unet import UNet, UNetConfig

FORMAT = "restorekit-prior-1"
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
    """What a prior is: everything but its weights. Stored as JSON in the header of the checkpoint."""

    name: str
    arch: dict[str, Any]  # {"kind": a key of CONFIGS, ...fields of that class}
    sigma_data: float
    mean: float = 0.5
    domain: str = "srgb"  # what x is: srgb, linear, log-intensity, latent
    sigma_min: float = 0.002
    sigma_max: float = 100.0
    data: str = ""
    licence: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)  # of the format, not filled: quality is in the card NAME.md

    @property
    def config(self) -> Config:
        return _config(self.arch, self.name)

    @property
    def bands(self) -> tuple[int, ...]:
        """The numbers of bands that it takes."""
        return self.config.bands


def _config(arch: dict[str, Any], name: str) -> Config:
    kind = arch.get("kind")
    if kind not in CONFIGS:
        raise ValueError(f"{name}: unknown architecture {kind!r}; this version knows: {', '.join(sorted(CONFIGS))}")
    known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in arch.items() if k != "kind"}
    inner: dict[str, Any] = {k: _config(v, name) for k, v in known.items() if isinstance(v, dict)}
    return CONFIGS[kind](**(known | inner))


def build(spec: PriorSpec) -> Network:
    """The untrained network of a spec."""
    try:
        config = spec.config
        return NETWORKS[type(config)](config)
    except TypeError as error:
        raise ValueError(f"{spec.name}: its architecture is not of this version of restorekit ({error})") from None


def save(path: Path, state: dict[str, Tensor], spec: PriorSpec, dtype: torch.dtype = torch.float16) -> None:
    """Write weights, rounded to `dtype`, and spec to a temporary file, then rename: a crash leaves the old file whole."""
    tensors = {k: v.detach().cpu().to(dtype).contiguous() for k, v in state.items()}
    header = {"format": FORMAT, "spec": json.dumps(asdict(spec), sort_keys=True)}
    temporary = path.with_name(path.name + ".tmp")
    save_file(tensors, temporary, metadata=header)
    os.replace(temporary, path)


def read_spec(path: Path) -> PriorSpec:
    """The header alone, without loading the weights."""
    try:
        with safe_open(path, framework="pt") as f:
            header = f.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable safetensors checkpoint ({error})") from None
    if header.get("format") != FORMAT:
        raise ValueError(f"{path} is a safetensors file without a {FORMAT} header; make one with `restorekit train`")
    try:
        return PriorSpec(**json.loads(header["spec"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: its header is not of this version of restorekit ({error})") from None


def load(path: Path) -> tuple[Network, PriorSpec]:
    """The network in float32 and eval mode, with its spec."""
    spec = read_spec(path)
    net = build(spec)
    with safe_open(path, framework="pt") as f:
        state = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (not a dict)
    try:
        net.load_state_dict(state, strict=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise ValueError(f"{path}: weights do not fit the architecture in its header: {first}") from None
    return net.eval().requires_grad_(False), spec


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def edm(net: nn.Module, spec: PriorSpec) -> EDM:
    """A network of one stage as a denoiser."""
    return EDM(net, spec.sigma_data, spec.mean)
