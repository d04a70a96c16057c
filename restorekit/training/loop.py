"""One training loop for one process or many: EDM loss, EMA, exact resume.

Loss (Karras et al. 2022, eq 8 with the weighting that gives every level the same size at the start):
    E || F(c_in x, c_noise) - (x0 - c_skip x) / c_out ||^2,   x = x0 + sigma n.
"""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from restorekit.priors.checkpoint import PriorSpec, build, save
from restorekit.priors.precond import EDM
from restorekit.training.config import Config
from restorekit.training.data import Patches, Pictures
from restorekit.training.watch import Watch, sample_grid


@dataclass
class State:
    net: nn.Module
    ema: dict[str, Tensor]
    optimizer: torch.optim.Adam
    step: int = 0

    def save(self, path: Path, config: Config) -> None:
        names: dict[Tensor, str] = {p: n for n, p in self.net.named_parameters()}
        tensors = {f"net.{k}": v for k, v in self.net.state_dict().items()} | {
            f"ema.{k}": v for k, v in self.ema.items()
        }
        for p, moments in self.optimizer.state.items():
            tensors |= {f"{k}.{names[p]}": torch.as_tensor(v) for k, v in moments.items()}
        header = {"step": str(self.step), "config": config.model_dump_json()}
        save_file(
            {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, path.with_suffix(".tmp"), metadata=header
        )
        os.replace(path.with_suffix(".tmp"), path)

    def load(self, path: Path) -> None:
        with safe_open(path, framework="pt") as f:
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (not a dict)
            self.step = int(f.metadata()["step"])
        try:
            self.net.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("net.")})
        except RuntimeError:
            raise ValueError(
                f"{path} belongs to another architecture; resume with the model section it began with"
            ) from None
        self.ema = {k: tensors[f"ema.{k}"].to(v.device) for k, v in self.ema.items()}
        for name, p in self.net.named_parameters():
            if f"exp_avg.{name}" in tensors:
                # In the memory layout of p: the fused optimiser walks through the raw memory of both.
                moments = {k: torch.empty_like(p).copy_(tensors[f"{k}.{name}"]) for k in ("exp_avg", "exp_avg_sq")}
                self.optimizer.state[p] = {"step": tensors[f"step.{name}"], **moments}


def learning_rate(config: Config, step: int) -> float:
    o = config.optim
    start = o.decay_from * o.steps
    fall = 1.0 if step < start else max(0.0, (o.steps - step) / max(1.0, o.steps - start))
    return o.lr * min(1.0, (step + 1) / max(1, o.warmup)) * fall


def edm_loss(net: nn.Module, model: EDM, x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    s = sigma.view(-1, 1, 1, 1)
    c_skip, c_out, c_in = model.coefficients(s)
    z0 = x0 - model.mean
    z = z0 + s * noise
    target = (z0 - c_skip * z) / c_out
    return (net(c_in * z, sigma.log() / 4).float() - target).square().mean()


@contextmanager
def processes() -> Iterator[tuple[int, int, torch.device]]:
    """(rank, world, device) under torchrun or alone; nccl on GPUs, gloo on CPUs."""
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if world > 1:
        dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield rank, world, device
    finally:
        if world > 1:
            dist.destroy_process_group()


def train(config: Config, source: Path, out: Path, *, resume: bool = False, quiet: bool = False) -> Path:
    """Train the prior of `config` on the pictures in `source`; returns the path of the finished prior.

    `out` receives `prior.safetensors` (EMA weights, fp16), `state.safetensors` (for resume), `log.csv` and `samples/`.
    """
    with processes() as (rank, world, device):
        state_path = out / "state.safetensors"
        if state_path.exists() and not resume:
            raise ValueError(f"{out} holds a run already; continue it with --resume or choose another --out")
        if config.optim.batch % world:
            raise ValueError(f"optim.batch={config.optim.batch} must be a multiple of the {world} processes")
        if rank == 0:
            Pictures.open(source, out / "cache")
        if world > 1:
            dist.barrier()
        pictures = Pictures.open(source, out / "cache").at_least(config.data.crop)
        return _run(config, pictures, source.name, out, rank, world, device, quiet)


def _run(
    config: Config, pictures: Pictures, data: str, out: Path, rank: int, world: int, device: torch.device, quiet: bool
) -> Path:
    o, run = config.optim, config.run
    mean, sigma_data = pictures.sigma_data()
    arch = config.model.model_dump()
    spec = PriorSpec(
        config.name, arch, sigma_data, mean, config.domain, config.noise.sigma_min, config.noise.sigma_max,
        f"{data}: {len(pictures)} pictures, sha256 {pictures.fingerprint}", config.licence,
    )  # fmt: skip
    torch.manual_seed(run.seed)
    net = build(spec).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(net.parameters(), lr=o.lr, betas=(0.9, 0.99), fused=True)
    state = State(net, {k: v.detach().clone() for k, v in net.state_dict().items()}, optimizer)
    if (out / "state.safetensors").exists():
        state.load(out / "state.safetensors")
    model = (
        DistributedDataParallel(net, find_unused_parameters=True, gradient_as_bucket_view=True) if world > 1 else net
    )
    n = config.noise
    patches = Patches(
        pictures, config.data.crop, config.data.flips, n.log_mean, n.log_std, n.wide, n.sigma_min, n.sigma_max, run.seed
    )
    preconditioner = EDM(net, sigma_data, mean)
    share = o.batch // world
    watch = Watch(config, out, state.step, active=rank == 0, quiet=quiet)

    def checkpoint() -> None:
        if rank == 0:
            state.save(out / "state.safetensors", config)
            training = {"steps": state.step, "batch": o.batch, "seconds": round(watch.seconds), "world": world}
            training |= {"config": json.loads(config.model_dump_json())}
            save(out / "prior.safetensors", state.ema, PriorSpec(**{**vars(spec), "training": training}))

    with watch:
        saved = time.monotonic()
        while state.step < o.steps:
            step = state.step
            grey = 1 in config.model.bands and config.data.grey_every > 0 and (step + 1) % config.data.grey_every == 0
            grey = grey or config.model.bands == (1,)
            first = step * o.batch + rank * share
            x0, noise, sigma = (t.to(device) for t in patches.batch(first, share, grey))
            x0, noise = (t.to(memory_format=torch.channels_last) for t in (x0, noise))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
            autocast = torch.autocast(device.type, torch.bfloat16) if run.precision == "bf16" else nullcontext()
            with autocast:
                loss = edm_loss(model, preconditioner, x0, noise, sigma)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(net.parameters(), o.clip)
            if not torch.isfinite(norm):
                raise RuntimeError(
                    f"training diverged at step {step} (gradient is not finite); lower optim.lr, then --resume"
                )
            optimizer.step()
            decay = min(o.ema, (1 + step) / (10 + step))
            with torch.no_grad():
                torch._foreach_lerp_(list(state.ema.values()), list(net.state_dict().values()), 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
            state.step += 1
            watch.step(state.step, loss, norm, learning_rate(config, step))
            if state.step % run.sample_every == 0 and rank == 0:
                sample_grid(out / "samples" / f"{state.step:07d}.png", spec, state.ema, patches, device)
            if time.monotonic() - saved > run.checkpoint_every:
                checkpoint()
                saved = time.monotonic()
        checkpoint()
    return out / "prior.safetensors"


def read_log(path: Path) -> list[dict[str, float]]:
    with open(path, newline="", encoding="utf-8") as f:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(f)]
