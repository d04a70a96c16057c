"""One training loop for one process or many: EDM loss, EMA, exact resume.

Loss (Karras et al. 2022, eq 8 with the weighting that gives every level the same size at the start):
    E || F(c_in x, c_noise) - (x0 - c_skip x) / c_out ||^2,   x = x0 + sigma n.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from restorekit.errors import BadInput
from restorekit.priors.checkpoint import PriorSpec, build, save
from restorekit.priors.precond import EDM
from restorekit.training.config import Config
from restorekit.training.data import Patches
from restorekit.training.pictures import Pictures
from restorekit.training.state import Header, State
from restorekit.training.watch import Watch, sample_grid


class Process(NamedTuple):
    rank: int
    world: int
    device: torch.device


def learning_rate(config: Config, step: int) -> float:
    """Linear warm-up, constant, then linear to 0 from `decay_from` of optim.steps on.

    A run resumed with more steps follows the schedule of the longer run from the step it is at. Where the rate had not
    begun to fall, the result is that of the longer run, bit for bit; where it had, the rate goes back up at once, which
    is a warm restart, and the result is neither that of the longer run nor of one run after another.
    """
    o = config.optim
    start = o.decay_from * o.steps
    fall = 1.0 if step < start else max(0.0, (o.steps - step) / max(1.0, o.steps - start))
    return o.lr * min(1.0, (step + 1) / max(1, o.warmup)) * fall


def is_grey(config: Config, step: int) -> bool:
    """Whether the batch of this step has one band."""
    if len(config.model.bands) == 1:
        return config.model.bands == (1,)
    return (step + 1) % config.data.grey_every == 0


def edm_loss(net: nn.Module, model: EDM, x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    s = sigma.view(-1, 1, 1, 1)
    c_skip, c_out, c_in = model.coefficients(s)
    z0 = x0 - model.mean
    z = z0 + s * noise
    target = (z0 - c_skip * z) / c_out
    return (net(c_in * z, sigma.log() / 4).float() - target).square().mean()


@contextmanager
def processes() -> Iterator[Process]:
    """This process under torchrun or alone; nccl on GPUs, gloo on CPUs."""
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if world > 1:
        dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Process(rank, world, device)
    finally:
        if world > 1:
            dist.destroy_process_group()


def train(
    config: Config, source: Path | Sequence[Path], out: Path, *, resume: bool = False, quiet: bool = False
) -> Path:
    """Train the prior of `config` on the pictures in `source` (folders, zips); returns the path of the finished prior.

    `out` receives `prior.safetensors` (EMA weights, fp16), `state.safetensors` (for resume), `log.csv` and `samples/`.
    `resume` continues the run in `out`; BadInput if there is none, if `source` holds other pictures than it began with,
    or if `config` differs in more than optim.steps (see `learning_rate`) and the intervals of `run`.
    """
    with processes() as process:
        path = out / "state.safetensors"
        if path.exists() and not resume:
            raise BadInput(f"{out} holds a run already; continue it with --resume or choose another --out")
        if resume and not path.exists():
            raise BadInput(f"--resume: {out} holds no {path.name}; check --out, or leave --resume out to begin a run")
        if config.optim.batch % process.world:
            raise BadInput(f"optim.batch={config.optim.batch} must be a multiple of the {process.world} processes")
        header = Header.read(path) if resume else None
        if header:
            header.refuse_other(config, out)
        if process.rank == 0:
            Pictures.open(source, out / "cache", header.data if header else None)
        if process.world > 1:
            dist.barrier()
        pictures = Pictures.cached(out / "cache").at_least(config.data.crop)
        data = ", ".join(path.name for path in ([source] if isinstance(source, Path) else source))
        prior = _run(config, pictures, data, out, process, resume, quiet)
        if process.world > 1:
            # None leaves before the last checkpoint is written: a launcher ends all processes when one of them fails,
            # and gloo may abort a process that ends while its threads still hold the tensors of the last step.
            dist.barrier()
        return prior


def _run(config: Config, pictures: Pictures, data: str, out: Path, process: Process, resume: bool, quiet: bool) -> Path:
    patches = Patches(pictures, config.data, config.noise, config.run.seed, config.domain)
    spec = _spec(config, patches, data)
    state = _begin(config, spec, process.device)
    if resume:
        state.load(out / "state.safetensors")
    model = state.net
    if process.world > 1:
        model = DistributedDataParallel(model, find_unused_parameters=True, gradient_as_bucket_view=True)
    preconditioner = EDM(state.net, spec.sigma_data, spec.mean)
    first = process.rank == 0
    with Watch(config, out, state.step, state.seconds, active=first, quiet=quiet) as watch:

        def checkpoint() -> None:
            state.seconds = watch.seconds
            if first:
                _save(config, spec, state, pictures.fingerprint, out, process.world)

        saved = time.monotonic()
        while state.step < config.optim.steps:
            batch = _batch(config, patches, state.step, process)
            loss, norm = _descend(config, state, model, preconditioner, *batch)
            state.step += 1
            watch.step(state.step, loss, norm, learning_rate(config, state.step - 1))
            if first and state.step % config.run.sample_every == 0:
                sample_grid(out / "samples" / f"{state.step:07d}.png", spec, state.ema, patches, process.device)
            if time.monotonic() - saved > config.run.checkpoint_every:
                checkpoint()
                saved = time.monotonic()
        checkpoint()
    return out / "prior.safetensors"


def _spec(config: Config, patches: Patches, data: str) -> PriorSpec:
    pictures = patches.pictures
    mean, sigma_data = patches.moments(is_grey(config, 0))
    return PriorSpec(
        config.name, config.model.model_dump(), sigma_data, mean, config.domain, config.noise.sigma_min,
        config.noise.sigma_max, f"{data}: {len(pictures)} pictures, sha256 {pictures.fingerprint}", config.licence,
    )  # fmt: skip


def _begin(config: Config, spec: PriorSpec, device: torch.device) -> State:
    """The state before the first step."""
    torch.manual_seed(config.run.seed)
    net = build(spec).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(net.parameters(), lr=config.optim.lr, betas=(0.9, 0.99), fused=True)
    return State(net, {k: v.detach().clone() for k, v in net.state_dict().items()}, optimizer)


def _batch(config: Config, patches: Patches, step: int, process: Process) -> tuple[Tensor, Tensor, Tensor]:
    """The share of this process in the batch of a step: x0, noise (share, C, crop, crop), sigma (share,)."""
    share = config.optim.batch // process.world
    start = step * config.optim.batch + process.rank * share
    x0, noise, sigma = (t.to(process.device) for t in patches.batch(start, share, is_grey(config, step)))
    return x0.to(memory_format=torch.channels_last), noise.to(memory_format=torch.channels_last), sigma


def _descend(
    config: Config, state: State, model: nn.Module, preconditioner: EDM, x0: Tensor, noise: Tensor, sigma: Tensor
) -> tuple[Tensor, Tensor]:
    """One step of the optimiser and of the EMA; returns the loss and the norm of the gradient before clipping."""
    o, step = config.optim, state.step
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(config, step)
    bf16 = config.run.precision == "bf16"
    with torch.autocast(x0.device.type, torch.bfloat16) if bf16 else nullcontext():
        loss = edm_loss(model, preconditioner, x0, noise, sigma)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(state.net.parameters(), o.clip)
    if not torch.isfinite(norm):
        # No way on from the last checkpoint: the same batches would lead here again.
        raise BadInput(
            f"training diverged at step {step} (gradient is not finite); begin a run in another --out with a lower "
            f"optim.lr than {o.lr:g}"
        )
    state.optimizer.step()
    decay = min(o.ema, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(list(state.ema.values()), list(state.net.state_dict().values()), 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
    return loss, norm


def _save(config: Config, spec: PriorSpec, state: State, data: str, out: Path, world: int) -> None:
    state.save(out / "state.safetensors", config, data)
    training = {"steps": state.step, "batch": config.optim.batch, "seconds": round(state.seconds), "world": world}
    training |= {"config": json.loads(config.model_dump_json())}
    save(out / "prior.safetensors", state.ema, replace(spec, training=training))
