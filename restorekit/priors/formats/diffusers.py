"""Folders of diffusers hold a pipeline with `unet/` and `scheduler/`, or a bare UNet2DModel with config.json.

Of the scheduler only the table of alpha_bar and what the network predicts are used: how to step is a solver's business.
A scheduler of a flow has no table: its network predicts the velocity n - x0 of x_t = (1 - t) x0 + t n, at
num_train_timesteps times t.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from safetensors import SafetensorError
from torch import Tensor, nn

from restorekit.errors import BadInput
from restorekit.priors.formats import sniff as filetypes
from restorekit.priors.formats.foreign import ForeignSpec, levels
from restorekit.priors.perception.vision import mend_torchvision
from restorekit.priors.precond import Flow, Prediction, VPTable

PREDICTS: dict[str, Prediction] = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
FLOWS = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
TABLE = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "rescale_betas_zero_snr")
UNREADABLE = (OSError, ValueError, RuntimeError, LookupError, TypeError, SafetensorError, UnpicklingError)
WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")


def import_diffusers() -> Any:
    """Return diffusers. Raises BadInput, one line that says how to get it."""
    mend_torchvision()
    try:
        import diffusers
    except (ImportError, RuntimeError) as error:
        why = str(error).splitlines()[0]
        raise BadInput(f'a diffusers folder needs diffusers ({why}): pip install "restorekit[hub]"') from None
    return diffusers


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read ({error}); it is written by diffusers' save_pretrained") from None
    if not isinstance(found, dict):
        raise BadInput(f"{path} holds no settings; it is written by diffusers' save_pretrained")
    return found


def unet_of(folder: Path) -> Path:
    """Return the folder of the network: `unet/` of a pipeline, or the folder itself. Raises `BadInput` where neither
    is."""
    for place in (folder / "unet", folder):
        if (place / "config.json").is_file():
            return place
    raise BadInput(f"{folder} holds neither unet/config.json nor config.json; give a folder of a diffusers UNet2DModel")


def weights_of(folder: Path) -> Path:
    """Return the file of the weights: safetensors before pickle, which is read without running what it may hold."""
    place = unet_of(folder)
    for name in WEIGHTS:
        if (place / name).is_file():
            return place / name
    raise BadInput(f"{place} holds no {' or '.join(WEIGHTS)}; save the network with save_pretrained, in one file")


def _flow(config: dict[str, Any], file: Path) -> tuple[Flow, Prediction, str]:
    steps = config.get("num_train_timesteps", 1000)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise BadInput(f"{file}: num_train_timesteps {steps!r} must be a whole number above 0, such as 1000")
    if config.get("invert_sigmas"):
        raise BadInput(f"{file}: a flow with invert_sigmas runs the other way; take one without")
    return Flow(end="noise", unit=float(steps)), "velocity", f"flow, {steps}"


def schedule(folder: Path) -> tuple[VPTable | Flow, Prediction, str]:
    """Return the noise (a table of steps, or a flow), what the network predicts, and both in words, from
    scheduler_config.json.

    Without that file it is the table of Ho et al. 2020 and eps, the defaults of diffusers.
    """
    places = (folder / "scheduler", unet_of(folder))
    file = next((p / "scheduler_config.json" for p in places if (p / "scheduler_config.json").is_file()), None)
    config = _json(file) if file else {"beta_schedule": "linear"}
    name = config.get("_class_name", "its scheduler")
    if file and name in FLOWS:
        return _flow(config, file)
    if "beta_schedule" not in config:
        raise BadInput(
            f"{file}: {name} is neither variance preserving with a table of betas, as DDPM, DDIM and their kin are, nor a flow, as "
            f"{FLOWS[0]} is"
        )
    predicts = config.get("prediction_type", "epsilon")
    if predicts not in PREDICTS:
        raise BadInput(f"{file}: prediction_type {predicts!r} is unknown; known: {', '.join(PREDICTS)}")
    try:
        scheduler = import_diffusers().DDPMScheduler(**{k: config[k] for k in TABLE if k in config})
    except (NotImplementedError, TypeError, ValueError) as error:
        raise BadInput(f"{file}: {error}") from None
    alpha_bar = scheduler.alphas_cumprod.double()
    alpha_bar = alpha_bar[alpha_bar > 0]  # a last step of pure noise (zero terminal SNR) knows nothing of the picture
    said = f"{config['beta_schedule']}, {len(scheduler.alphas_cumprod)}"
    return VPTable(alpha_bar), PREDICTS[predicts], said if file else f"{said} (assumed: no scheduler_config.json)"


class Answer(nn.Module):
    """It makes of a UNet2DModel a network of (x_t, t): (B, C, H, W) and (B,) to (B, C or 2C, H, W)."""

    def __init__(self, net: nn.Module, label: int | None):
        super().__init__()
        self.net, self.label = net, label

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        labels = None if self.label is None else t.new_full((len(x),), self.label).long()
        return self.net(x, t, class_labels=labels).sample


def read_spec(folder: Path) -> ForeignSpec:
    """Return what its two files of settings say, without the weights. Raises `BadInput` for what is no prior of
    pictures."""
    file = unet_of(folder) / "config.json"
    config = _json(file)
    if config.get("_class_name") != "UNet2DModel":
        raise BadInput(
            f"{file} is of {config.get('_class_name')}, not of a UNet2DModel: only networks on pixels, without text, "
            "are priors here"
        )
    bands, outs = config.get("in_channels", 3), config.get("out_channels", 3)
    if outs not in (bands, 2 * bands):
        raise BadInput(
            f"{file}: {bands} bands in and {outs} out is no prior of pictures; they must be equal (or twice)"
        )
    time = config.get("time_embedding_type", "positional")
    if time not in ("positional", "learned") or config.get("center_input_sample"):
        raise BadInput(f"{file}: a network for variance-exploding noise ({time} times); DDPM networks can be used")
    classes = config.get("num_class_embeds")
    if classes is None and config.get("class_embed_type") is not None:
        raise BadInput(f"{file}: class_embed_type {config['class_embed_type']!r} is not supported; take one without")
    table, predicts, said = schedule(folder)
    if isinstance(table, Flow) and time == "learned":
        raise BadInput(f"{file}: a flow has times between steps, and a network of learned times knows whole ones alone")
    side = config.get("sample_size")
    low, high = levels(table)
    return ForeignSpec(
        folder.resolve().name, "diffusers", (bands,), 2 ** (len(config.get("block_out_channels", "1234")) - 1),
        predicts, low, high, said, max(side) if isinstance(side, list) else side, time == "learned", classes,
        {k: v for k, v in config.items() if not k.startswith("_")},
    )  # fmt: skip


def load(folder: Path, label: int | None = None) -> tuple[nn.Module, VPTable | Flow, ForeignSpec]:
    """Return the network in float32 and eval mode, its noise, and what is known about it. Nothing is downloaded.

    label: the class, for networks that were trained with classes.
    """
    spec, weights = read_spec(folder), weights_of(folder)
    diffusers = import_diffusers()
    try:
        net, loading = diffusers.UNet2DModel.from_pretrained(
            os.fspath(weights.parent), local_files_only=True, output_loading_info=True, low_cpu_mem_usage=False,
            use_safetensors=weights.suffix == ".safetensors",
        )  # fmt: skip
    except UNREADABLE as error:
        raise BadInput(f"{weights}: diffusers cannot load it ({str(error).splitlines()[0][:150]})") from None
    wrong = [*loading["missing_keys"], *loading["unexpected_keys"], *loading["mismatched_keys"]]
    if wrong:
        raise BadInput(f"{weights} does not fit config.json: {len(wrong)} weights differ, such as {wrong[0]}")
    filetypes.refuse_nonfinite(weights, net.state_dict())
    return Answer(net, label).float().eval().requires_grad_(False), schedule(folder)[0], spec
