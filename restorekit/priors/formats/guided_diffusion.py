"""OpenAI's guided-diffusion, and those who trained with its code, store a state dict in a .pt file.

What the weights do not say is read from NAME.json beside NAME.pt, in the spelling of that code's flags; without it, it
is what most published networks have: the linear schedule of 1000 steps and heads of 64 channels. Published by OpenAI
with other flags: 64x64 (`"noise_schedule": "cosine", "use_new_attention_order": true`) and 128x128 (`"num_heads": 4,
"num_head_channels": -1`).

Flow matching with this architecture (torchcfm, and PnP-Flow with it): `"prediction": "flow"`, and with it `"flow_end"`,
what time leads to ("noise" if not told; torchcfm: "data"), and `"flow_time"`, the time at that end (1 if not told).
"""

from __future__ import annotations

import json
import pickle
import warnings
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.priors.formats import sniff as filetypes
from restorekit.priors.formats.adm import ADM, Heads
from restorekit.priors.formats.foreign import ForeignSpec, levels
from restorekit.priors.precond import Flow, Prediction, VPTable

# Flags that the weights answer, and those that change neither weights nor answers.
SEEN = {
    *("attention_resolutions", "channel_mult", "class_cond", "learn_sigma", "num_channels", "num_res_blocks"),
    *("resblock_updown", "use_scale_shift_norm", "conv_resample", "dropout", "use_checkpoint", "use_fp16"),
    *("num_heads_upsample", "rescale_learned_sigmas", "timestep_respacing", "use_kl"),
}


@dataclass(frozen=True)
class Flags:
    """Flags say what the weights do not; names and defaults are those of guided-diffusion, but for the heads."""

    image_size: int | None = None  # of the pictures it was trained on
    num_heads: int = 4  # counts where num_head_channels is -1
    num_head_channels: int = 64
    use_new_attention_order: bool = False
    noise_schedule: Literal["linear", "cosine"] = "linear"
    diffusion_steps: int = 1000
    predict_xstart: bool = False
    rescale_timesteps: bool = False  # times run over 0..1000 whatever the number of steps
    prediction: Literal["diffusion", "flow"] = "diffusion"  # ours: flow for a velocity, see `precond.Flow`
    flow_end: Literal["noise", "data"] = "noise"
    flow_time: float = 1.0

    def __post_init__(self) -> None:
        if self.prediction not in ("diffusion", "flow"):
            raise BadInput(f"prediction={self.prediction!r} is unknown; it is diffusion or flow")
        if self.prediction == "flow":
            _ = self.process
        for name in ("num_heads", "num_head_channels", "diffusion_steps"):
            value = getattr(self, name)
            if type(value) is not int or (value < 1 and (name, value) != ("num_head_channels", -1)):
                raise BadInput(f"{name}={value!r} must be a whole number above 0")
        if self.noise_schedule not in ("linear", "cosine"):
            raise BadInput(f"noise_schedule={self.noise_schedule!r} is unknown; it is linear or cosine")

    @staticmethod
    def beside(path: Path) -> Flags:
        """Return the flags in NAME.json beside NAME.pt, the defaults where it is not there. Raises `BadInput` for an
        unknown flag."""
        file = path.with_suffix(".json")
        if not file.is_file():
            return Flags()
        try:
            flags = json.loads(file.read_text(encoding="utf-8"))
            unknown = set(flags) - SEEN - {f.name for f in fields(Flags)}
            if unknown:
                known = ", ".join(f.name for f in fields(Flags))
                raise BadInput(f"unknown flag {', '.join(sorted(unknown))}; it may hold {known}")
            return Flags(**{k: v for k, v in flags.items() if k not in SEEN})
        except (ValueError, TypeError, OSError) as error:
            raise BadInput(f"{file}: {error}") from None

    @property
    def heads(self) -> Heads:
        """Return how attention is split."""
        channels = None if self.num_head_channels == -1 else self.num_head_channels
        return Heads(channels, self.num_heads, self.use_new_attention_order)

    @property
    def time_scale(self) -> float:
        """Return by what steps are multiplied for the network."""
        return 1000 / self.diffusion_steps if self.rescale_timesteps else 1.0

    @property
    def process(self) -> VPTable | Flow:
        """Return the noise of the training."""
        return Flow(end=self.flow_end, unit=self.flow_time) if self.prediction == "flow" else self.table

    @property
    def predicts(self) -> Prediction:
        """Return what the network predicts."""
        if self.prediction == "flow":
            return "velocity"
        return "x0" if self.predict_xstart else "eps"

    @property
    def said(self) -> str:
        """Return the noise in words."""
        if self.prediction == "flow":
            return f"flow to {self.flow_end}, {self.flow_time:g}"
        return f"{self.noise_schedule}, {self.diffusion_steps}"

    @property
    def table(self) -> VPTable:
        """Return the table of steps, linear or cosine."""
        steps = self.diffusion_steps
        if self.noise_schedule == "cosine":
            return VPTable.cosine(steps)
        return VPTable.linear(steps, 0.1 / steps, min(20 / steps, 0.999))


def _state(path: Path) -> dict[str, Tensor]:
    """Return the weights, without running anything that the file may hold."""
    what = filetypes.kind(path)
    if what not in (None, "a pickle", "a PyTorch file or another zip"):
        raise BadInput(f"{path} is no PyTorch file: it is {what}; check its name")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of old pickles, ahead of the refusal
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise BadInput(
            f"{path} holds more than weights, which could run code when read; in Python, where you trust it: "
            "torch.save(model.state_dict(), 'weights.pt')"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise BadInput(f"{path} is not a readable PyTorch file ({str(error).splitlines()[0][:100]})") from None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise BadInput(f"{path} is not a plain state dict; take the one inside out and save it with torch.save")
    filetypes.refuse_nonfinite(path, state)
    return state


def load(path: Path, label: int | None = None) -> tuple[ADM, VPTable | Flow, ForeignSpec]:
    """Return the network in float32 and eval mode, its noise, and what is known about it.

    label: the class, for networks that were trained with classes. Raises `BadInput` for what is no such network.
    """
    flags, state = Flags.beside(path), _state(path)
    beside = f"flags that the weights do not say go into {path.with_suffix('.json').name} beside it"
    try:
        net = ADM({k: v.shape for k, v in state.items()}, flags.heads, label, flags.time_scale)
        net.load_state_dict(state, strict=True)
    except (ValueError, KeyError, IndexError, RuntimeError) as error:
        lines = str(error).splitlines()
        raise BadInput(f"{path}: {lines[min(1, len(lines) - 1)].strip()[:120]}; {beside}") from None
    if net.outs not in (net.bands, 2 * net.bands) or (net.bands, net.outs) == (6, 6):
        raise BadInput(
            f"{path} takes {net.bands} bands and gives {net.outs}: no prior of pictures (a super-resolution network "
            "needs the small picture besides); take the network that was trained without"
        )
    arch: dict[str, Any] = {"width": net.width, "levels": net.levels, "blocks": net.blocks, "outputs": net.outs}
    low, high = levels(flags.process)
    spec = ForeignSpec(
        path.stem, "guided-diffusion", (net.bands,), net.multiple, flags.predicts, low, high,
        flags.said, flags.image_size, classes=net.classes, arch=arch,
    )  # fmt: skip
    return net.eval().requires_grad_(False), flags.process, spec
