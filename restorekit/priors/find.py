"""Priors by name or path: the shipped ones, those that `restorekit train` wrote, and networks of other libraries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from restorekit.errors import BadInput
from restorekit.files.overwrite import inside
from restorekit.files.session import opened
from restorekit.inference.denoiser import Denoiser
from restorekit.priors.cascade import Cascade, Stages
from restorekit.priors.formats import diffusers, guided_diffusion
from restorekit.priors.formats.checkpoint import Denoising, PriorSpec, load, read_spec, sha256
from restorekit.priors.formats.foreign import ForeignSpec, check_label
from restorekit.priors.networks.fftd import FFTD, FFTDConfig
from restorekit.priors.networks.ivqvae import Codec, CodecNet
from restorekit.priors.networks.two_stage import LatentNet
from restorekit.priors.own import own_file, own_prior
from restorekit.priors.precond import EDM, Adapted, VPTable
from restorekit.priors.prior import LatentPrior, Prior
from restorekit.priors.wrappers import Padded, Tiled

Precision = Literal["auto", "bf16", "fp32"]
Tile = int | Literal["auto"] | None
PICKLED = (".pt", ".pth")  # read as weights only


def shipped() -> dict[str, Path]:
    """The priors inside the package: name -> file."""
    folder = Path(str(files("restorekit.priors.weights")))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def find(name: str) -> Path:
    """A shipped name, or a path: a checkpoint, a .pt file of guided-diffusion, a diffusers folder, or the file of file.py:Name."""
    known = shipped()
    if name in known:
        return known[name]
    if (own := own_file(name)) is not None:
        return own
    path = Path(name)
    if path.is_dir():
        return path
    if path.suffix not in (".safetensors", *PICKLED):
        raise BadInput(
            f"unknown prior {name!r}; shipped: {', '.join(known) or 'none'}; or give a .safetensors file, "
            "a diffusers folder, a .pt file of guided-diffusion, or file.py:Name"
        )
    if not path.is_file():
        raise BadInput(f"prior {name}: no such file; shipped priors: {', '.join(known) or 'none'}")
    return path


def spec_of(path: Path) -> PriorSpec | ForeignSpec:
    """What is known about the prior at a path that `find` gave."""
    if path.suffix == ".py":
        raise BadInput(
            f"{path} is a prior in Python, which has no card; read the file, or check it: restorekit check {path}:NAME"
        )
    if path.is_dir():
        return diffusers.read_spec(path)
    return guided_diffusion.load(path)[2] if path.suffix in PICKLED else read_spec(path)


@dataclass(frozen=True, eq=False)
class Network:
    """A network run in channels-last layout, in bf16 where that is faster."""

    net: nn.Module
    half: bool
    label: int | None = None  # the class, for networks that take one with each call

    def __call__(self, x: Tensor, c_noise: Tensor) -> Tensor:
        x = x.float().contiguous(memory_format=torch.channels_last)
        label = () if self.label is None else (torch.full((len(x),), self.label, device=x.device),)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.half):
            return self.net(x, c_noise.float(), *label)


def device_of(name: str) -> torch.device:
    """Return the device of a name: auto, cpu, cuda, cuda:1, mps, xpu. Raises BadInput where it cannot be used here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps", "xpu"):  # others hold no numbers, or are not there
            raise RuntimeError
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ImportError, NotImplementedError):
        raise BadInput(f"device {name!r} cannot be used here; leave out `device` or use `device=cpu`") from None
    return device


def bf16_pays(device: torch.device) -> bool:
    """Whether bf16 is computed, not emulated: AMX or AVX512-BF16 on a CPU, any GPU from Ampere (compute capability 8) on."""
    if device.type == "cuda":  # is_bf16_supported() says yes to emulation too, which is slower than fp32
        return torch.cuda.get_device_capability(device) >= (8, 0)
    asked = (
        getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("amx_tile", "avx512_bf16")
    )  # private, all there is
    return device.type == "cpu" and any(ask() for ask in asked if ask)


def load_prior(
    name: str,
    *,
    device: str | torch.device = "cpu",
    precision: Precision = "auto",
    tile: Tile = "auto",
    label: int | None = None,
) -> Prior:
    """A prior by name or path: a shipped name, a .safetensors checkpoint, a folder of a diffusers UNet2DModel, a
    state dict of guided-diffusion (.pt, see `restorekit.priors.formats.guided_diffusion` for its flags), or a callable in a
    Python file, "file.py:Name", which is run as code (`restorekit.priors.own.own_prior`).

    tile: side of what the windows of the network put together, pixels, around which each sees a little more; None for the
    whole picture. "auto" is 512, where windows give the numbers of the whole picture; for a scan over all of it, twice the
    side it was trained on; for networks of other libraries (attention, normalisation over the picture) None. precision:
    "auto" is bf16 where that is faster, for networks of other libraries always fp32: sigma multiplies what they predict,
    and so its rounding. label: the class, where there are classes. A prior of latents is a `LatentPrior`; it too is seen in windows of the side it was trained on, and in fp32.
    """
    if precision not in get_args(Precision):
        raise BadInput(f"precision {precision!r} is unknown; it is {', '.join(get_args(Precision))}")
    path, device = find(name), torch.device(device)
    files = inside(path)
    opened(*files)
    if (kept := _kept.get()) is None:
        return _loaded(name, path, device, precision, tile, label)
    states = tuple((str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files)
    key = (name, str(device), precision, tile, label, states)
    if key not in kept:
        while len(kept) >= KEPT:
            kept.pop(next(iter(kept)))
        kept[key] = _loaded(name, path, device, precision, tile, label)
    return kept[key]


KEPT = 2  # priors in memory, of many pictures
_kept: ContextVar[dict[Any, Prior] | None] = ContextVar("kept", default=None)


@contextmanager
def kept_priors(kept: dict[Any, Prior] | None = None) -> Iterator[None]:
    """Within the block `load_prior` gives the same prior again where its files and settings are the same. kept: those loaded
    before, where they outlive the block."""
    token = _kept.set({} if kept is None else kept)
    try:
        yield
    finally:
        _kept.reset(token)


def _loaded(name: str, path: Path, device: torch.device, precision: Precision, tile: Tile, label: int | None) -> Prior:
    if path.suffix == ".py":
        if label is not None:
            check_label(name, None, label)
        return own_prior(name, device, None if tile == "auto" else tile)
    if path.is_dir() or path.suffix in PICKLED:
        return _foreign(path, device, precision, tile, label)
    net, spec = load(path)
    if isinstance(net, CodecNet):
        raise BadInput(
            f"{name} is a codec and denoises nothing: take a prior of its latents, or `load_codec` for itself"
        )
    if isinstance(net, FFTD):
        raise BadInput(f"{name} is a network of latents without their codec; take a file that holds both")
    if label is not None:  # our own networks with classes do without one too
        check_label(name, getattr(spec.config, "classes", 0) or None, label)
    if isinstance(net, LatentNet):
        return _latent(net.to(device), spec, path, precision, tile, label)
    config = net.config
    half = precision == "bf16" or (precision == "auto" and bf16_pays(device))
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    side = config.tile if tile == "auto" else tile
    if side is not None:
        _check_tile(side, config.multiple, spec.name)
    denoise = _ready(EDM(Network(high_of(net), half, label), spec.sigma_data, spec.mean), config, side)
    cascade = None
    if isinstance(net, Stages):
        c = net.config
        low = EDM(Network(net.low, half, label), c.low_sigma_data, c.low_mean)
        # The low stage sees windows of its own.
        small = _ready(low, c.low, None if side is None else c.low.tile)
        cascade = Cascade(small, denoise, c.relay, c.factor, c.top)
        denoise = Padded(cascade, c.factor)
    return Prior(spec, denoise, path, "bf16" if half else "fp32", side, cascade)


def high_of(net: nn.Module) -> nn.Module:
    """The network that works at the resolution of the picture."""
    return net.high if isinstance(net, Stages) else net


def _latent(
    net: LatentNet, spec: PriorSpec, path: Path, precision: Precision, tile: Tile, label: int | None
) -> LatentPrior:
    """fp32 unless asked otherwise: at high levels sigma multiplies what the network predicts, and so its rounding."""
    config, half = net.config, precision == "bf16"
    side = config.tile if tile == "auto" else tile
    if side is not None:
        _check_tile(side, config.multiple, spec.name)
    network = Adapted(Network(net.net, half, label), "eps", VPTable.linear(), span=(0, 1))  # a span that moves nothing
    denoise = _ready(network, config.net, None if side is None else side // config.codec.factor)
    codec = Codec.of(net.codec, f"{spec.name}@{sha256(path)[:8]}")
    return LatentPrior(spec, denoise, path, "bf16" if half else "fp32", side, codec=codec)


def _ready(denoise: Denoiser, config: Denoising | FFTDConfig, side: int | None) -> Denoiser:
    """For any size, in windows of this side."""
    padded = Padded(denoise, config.multiple)
    return padded if side is None else Tiled(padded, side, config.halo, blend=config.blend)


def load_codec(name: str, *, device: str | torch.device = "cpu") -> Codec:
    """The codec in a file that `restorekit train` wrote from a configuration with `kind: codec`, or `fftd`; fp32."""
    path = find(name)
    if path.is_dir() or path.suffix in PICKLED:
        raise BadInput(f"{name} is no codec; give a .safetensors file of a configuration with `kind: codec`")
    net, spec = load(path)
    net = net.codec if isinstance(net, LatentNet) else net
    if not isinstance(net, CodecNet):
        raise BadInput(f"{name} is a denoiser and no codec; give a file of a configuration with `kind: codec`")
    return Codec.of(net.to(device), f"{spec.name}@{sha256(path)[:8]}")


def of_pictures(prior: Prior) -> Prior:
    """`prior` where it knows pictures, or the latents of some; BadInput where it knows logarithms of intensities."""
    if isinstance(prior.spec, PriorSpec) and prior.spec.domain == "log-intensity":
        raise BadInput(
            f"prior {prior.spec.name} knows logarithms of intensities and no pictures; take natural here. `restorekit "
            "denoise` and `restore` take it for files of ln(intensity), with `noise=gamma:LOOKS,domain=log`"
        )
    return prior


def _check_tile(tile: int, step: int, name: str) -> int:
    if tile < step or tile % step:
        raise BadInput(
            f"tile={tile} must be a multiple of {step} for prior {name}; try {max(1, round(tile / step)) * step}"
        )
    return step


def _foreign(path: Path, device: torch.device, precision: Precision, tile: Tile, label: int | None) -> Prior:
    """A network of another library. Windows, where they are asked for, overlap by a quarter and fade into each other."""
    folder = path.is_dir()
    net, process, spec = diffusers.load(path, label) if folder else guided_diffusion.load(path, label)
    check_label(str(path), spec.classes, label)
    half, side = precision == "bf16", None if tile == "auto" else tile
    network = Network(net.to(device), half)
    denoise: Denoiser = Adapted(network, spec.predicts, process, integer_time=spec.integer_time)
    denoise = Padded(denoise, spec.multiple)
    if side is not None:
        step = _check_tile(side, spec.multiple, spec.name)
        denoise = Tiled(denoise, side, -(-side // (4 * step)) * step, blend=step)
    return Prior(spec, denoise, diffusers.weights_of(path) if folder else path, "bf16" if half else "fp32", side)
