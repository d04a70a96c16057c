"""Priors by name or path: the shipped ones, and those that `restorekit train` wrote."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from restorekit.errors import BadInput
from restorekit.priors.checkpoint import PriorSpec, load, sha256
from restorekit.priors.precond import EDM
from restorekit.priors.wrappers import ChannelWise, Padded, Tiled
from restorekit.types import Denoiser

Precision = Literal["auto", "bf16", "fp32"]


def shipped() -> dict[str, Path]:
    """The priors inside the package: name -> file."""
    folder = Path(str(files("restorekit.priors.weights")))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def find(name: str) -> Path:
    """A shipped name or a path to a checkpoint."""
    known = shipped()
    if name in known:
        return known[name]
    path = Path(name)
    if path.suffix != ".safetensors":
        raise BadInput(f"unknown prior {name!r}; shipped: {', '.join(known) or 'none'}; or give a .safetensors file")
    if not path.is_file():
        raise BadInput(f"prior {name}: no such file; shipped priors: {', '.join(known) or 'none'}")
    return path


@dataclass(frozen=True, eq=False)
class Network:
    """A network run in channels-last layout, in bf16 where that is faster."""

    net: nn.Module
    half: bool

    def __call__(self, x: Tensor, c_noise: Tensor) -> Tensor:
        x = x.float().contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.half):
            return self.net(x, c_noise.float())


def bf16_pays(device: torch.device) -> bool:
    """Whether bf16 matrix units are there: AMX on a CPU, any GPU from Ampere (compute capability 8) on."""
    if device.type == "cuda":  # is_bf16_supported() says yes to emulation too, which is slower than fp32
        return torch.cuda.get_device_capability(device) >= (8, 0)
    amx = getattr(torch.cpu, "_is_amx_tile_supported", None)  # private, but the only question torch answers
    return device.type == "cpu" and bool(amx and amx())


@dataclass(frozen=True, eq=False)
class Prior:
    """A trained network ready for pictures of any size: a `Denoiser`, with what is known about it."""

    spec: PriorSpec
    network: Denoiser
    path: Path

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        return self.network(x, sigma)

    @property
    def sha256(self) -> str:
        return sha256(self.path)

    def for_bands(self, bands: int) -> Denoiser:
        """This prior on pictures of `bands` bands: as they are where it was trained so, else band by band."""
        if bands in self.spec.config.bands:
            return self
        if 1 in self.spec.config.bands:
            return ChannelWise(self)
        known = " or ".join(map(str, self.spec.config.bands))
        raise BadInput(
            f"prior {self.spec.name} takes {known} bands, the picture has {bands}; choose a prior that takes 1 band"
        )


def load_prior(
    name: str, *, device: str | torch.device = "cpu", precision: Precision = "auto", tile: int | None = 512
) -> Prior:
    """A prior by name or path. tile: side of the windows it sees at a time, pixels; None for the whole picture."""
    path = find(name)
    try:
        net, spec = load(path)
    except ValueError as error:
        raise BadInput(str(error)) from None
    device = torch.device(device)
    half = precision == "bf16" or (precision == "auto" and bf16_pays(device))
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    config = spec.config
    denoise: Denoiser = Padded(EDM(Network(net, half), spec.sigma_data, spec.mean), config.multiple)
    if tile is not None:
        step = config.multiple
        if tile < step or tile % step:
            raise BadInput(
                f"tile={tile} must be a multiple of {step} for prior {spec.name}; try {max(1, round(tile / step)) * step}"
            )
        denoise = Tiled(denoise, tile, config.receptive_radius, blend=2 * step)
    return Prior(spec, denoise, path)
