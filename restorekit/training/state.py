"""The state file of a run: all that exact resume needs, and what --resume refuses."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.priors.formats.checkpoint import write
from restorekit.training.config import Config
from restorekit.training.objectives.objective import Objective

# What --resume may change: how far the run goes, and what only a person who watches it sees.
CHANGEABLE = {"optim.steps", "run.checkpoint_every", "run.sample_every", "run.log_every", "run.workers"}


def _settings(config: Config) -> dict[str, Any]:
    """Return every setting by its dotted key."""
    flat: dict[str, Any] = {}
    for key, value in config.model_dump(mode="json").items():
        flat |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return flat


@dataclass(frozen=True)
class Header:
    """It holds what a state file says about its run, readable without the tensors."""

    step: int  # steps done
    seconds: float  # time they took
    data: str  # fingerprint of the pictures
    config: Config
    files: dict[str, str] = field(default_factory=dict)  # see `inputs.checksums`; not in older files, as the next two
    inherited: dict[str, Any] = field(default_factory=dict)  # see `Objective`
    measured: dict[str, float] | None = None  # see `Objective`; None: an older file

    @staticmethod
    def read(path: Path) -> Header:
        """Return the header of a state file. Raises BadInput where it is none."""
        try:
            with safe_open(path, framework="pt") as f:
                raw = f.metadata() or {}
            config = Config.model_validate_json(raw["config"])
            more = [json.loads(raw.get(key, "{}")) for key in ("files", "inherited")]
            more.append(json.loads(raw.get("measured", "null")))
            return Header(int(raw["step"]), float(raw["seconds"]), raw["data"], config, *more)
        except (SafetensorError, KeyError, ValueError) as error:
            why = str(error).splitlines()[0]
            raise BadInput(
                f"{path} is not the state of a run of this version of restorekit ({why}); begin one in another `out`"
            ) from None

    def begun(self, config: Config) -> Config:
        """Return `config` without `init`, all of which is in the state; with it where an older state lacks a part of that."""
        lacks = config.loss.decoder_only and not self.inherited
        return config if lacks else config.model_copy(update={"init": ""})

    def refuse_other(self, config: Config, out: Path) -> None:
        """Raise BadInput if `config` is not that of the run in `out`, up to CHANGEABLE, or ends before the steps done."""
        old, new = _settings(self.config), _settings(config)
        for key in old | new:
            if new.get(key) != old.get(key) and key not in CHANGEABLE:
                raise BadInput(
                    f"`resume`: {key} is {new.get(key)!r}, but the run in {out} began with {old.get(key)!r}; "
                    "set it back, or begin a run in another `out`"
                )
        if config.optim.steps < self.step:
            raise BadInput(
                f"`resume`: optim.steps is {config.optim.steps}, but the run in {out} has done {self.step}; raise it"
            )


@dataclass
class State:
    """The state of a run: all that exact resume needs."""

    objective: Objective
    ema: dict[str, Tensor]
    optimizer: torch.optim.AdamW
    step: int = 0
    seconds: float = 0.0
    files: dict[str, str] = field(default_factory=dict)  # see `inputs.checksums`

    def save(self, path: Path, config: Config, data: str) -> None:
        """Write the state, whole or not at all."""
        names: dict[Tensor, str] = {p: n for n, p in self.objective.named_parameters()}
        tensors = dict(self.objective.state_dict()) | {f"ema.{k}": v for k, v in self.ema.items()}
        for p, moments in self.optimizer.state.items():
            tensors |= {f"{k}.{names[p]}": torch.as_tensor(v) for k, v in moments.items()}
        header = {
            "step": str(self.step), "seconds": repr(self.seconds), "data": data, "config": config.model_dump_json(),
            "files": json.dumps(self.files), "inherited": json.dumps(self.objective.inherited),
            "measured": json.dumps(self.objective.measured),
        }  # fmt: skip
        write(path, {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, header)

    def load(self, path: Path) -> None:
        """Go on from a state file. Raises BadInput where it does not fit."""
        header = Header.read(path)
        self.step, self.seconds = header.step, header.seconds
        self.objective.inherited = header.inherited or self.objective.inherited
        with safe_open(path, framework="pt") as f:
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (not a dict)
        try:
            self.objective.load_state_dict({k: tensors[k] for k in self.objective.state_dict()})
            self.ema = {k: tensors[f"ema.{k}"].to(v.device) for k, v in self.ema.items()}
        except (RuntimeError, KeyError):
            raise BadInput(
                f"{path} belongs to the network of another version of restorekit; begin a run in another `out`"
            ) from None
        for name, p in self.objective.named_parameters():
            if f"exp_avg.{name}" in tensors:
                # In the memory layout of p: the fused optimiser walks through the raw memory of both.
                moments = {k: torch.empty_like(p).copy_(tensors[f"{k}.{name}"]) for k in ("exp_avg", "exp_avg_sq")}
                # On the device of p, where the fused optimiser itself puts it; on CUDA it refuses any other.
                self.optimizer.state[p] = {"step": tensors[f"step.{name}"].to(p.device), **moments}
