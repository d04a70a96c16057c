"""One training loop for one process or many, whatever is trained: EMA, exact resume, checkpoints."""

from __future__ import annotations

import gc
import importlib
import json
import os
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from restorekit.errors import BadInput, Stopped
from restorekit.files.lock import alone
from restorekit.files.overwrite import inside, separate
from restorekit.priors.networks.scan_orders import keep_apart
from restorekit.text.names import files_of
from restorekit.training import named_files as inputs
from restorekit.training.batches import batches
from restorekit.training.config import Config
from restorekit.training.data.cache import Pictures
from restorekit.training.objectives.by_model import objective_of
from restorekit.training.objectives.objective import Objective
from restorekit.training.signals import ECHO, Signals
from restorekit.training.state import Header, State
from restorekit.training.watch import RunMonitor

STATE = "state.safetensors"
DECODING = timedelta(days=7)  # at most
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)  # whose weights decay


class Process(NamedTuple):
    """One process of a run, by its rank among `world`."""

    rank: int
    world: int
    device: torch.device


def learning_rate(config: Config, step: int) -> float:
    """Return the rate: a linear warm-up, constant, then linear to 0 from `decay_from` of optim.steps on.

    A run resumed with more steps follows the schedule of the longer run from the step it is at. Where the rate had not
    begun to fall, the result is that of the longer run, bit for bit; where it had, the rate goes back up at once, which
    is a warm restart, and the result is neither that of the longer run nor of one run after another.
    """
    o = config.optim
    start = o.decay_from * o.steps
    fall = 1.0 if step < start else max(0.0, (o.steps - step) / max(1.0, o.steps - start))
    return o.lr * min(1.0, (step + 1) / max(1, o.warmup)) * fall


@contextmanager
def processes() -> Iterator[Process]:
    """Yield this process under torchrun or alone; they talk by nccl on GPUs, by gloo on CPUs."""
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if world == 1:
        yield Process(rank, world, device)
        return
    # Its functions take the group of all processes as the default of an argument: imported once that group is there, as
    # DistributedDataParallel does, they hold it for good.
    importlib.import_module("torch.distributed.nn.functional")
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Process(rank, world, device)
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)  # else the wrapped model lives as long as the error
        raise
    finally:
        # The threads of gloo end with the last reference to the group, of which the wrapped model has one. One that
        # outlives Python and lets go of a tensor of the last step aborts the process ("terminate called ...").
        gc.collect()
        dist.destroy_process_group()


def train(
    config: Config, source: Path | Sequence[Path], out: Path, *, resume: bool = False, quiet: bool = False
) -> Path:
    """Train the prior of `config` on the pictures in `source` (folders, zips); returns the path of the finished prior.

    `out` receives `prior.safetensors` (EMA weights, fp16), `state.safetensors` (for resume), `log.csv` and `samples/`.
    `resume` continues the run in `out`; BadInput if there is none, if `source` holds other pictures than it began with,
    if `config` differs in more than optim.steps (see `learning_rate`) and the intervals of `run`, or if the codec or the
    low stage that it names is another file. What `config.init` names is needed at the first start only.

    Raises BadInput, before anything is written, where another run is at work in `out`.

    SIGINT (Ctrl-C) and SIGTERM end a run after a whole step: a checkpoint is written, and Stopped raised. A second one
    ends it at once.
    """
    with processes() as process, ExitStack() as stack:
        header = _header(config, out, resume)
        _refuse_share(config, process.world)
        start = header.begun(config) if header else config
        inputs.check(start)
        files = inputs.checksums(start, header.files if header else {})
        if process.rank == 0:
            stack.enter_context(alone(out))
            _header(config, out, resume)  # again: a run may have ended since
        _decode(source, out, header.data if header else None, process, config.data.arrays)
        pictures = Pictures.cached(out / "cache").at_least(config.data.crop, config.data.shrink)
        if process.rank == 0:
            pictures.tell_small()
        name = ", ".join(path.name for path in ([source] if isinstance(source, Path) else source))
        if header and header.measured is None:  # of an older state
            pictures = replace(pictures, leading=True)
        objective = objective_of(start, pictures, name, header.measured if header else None)
        state = _begin(config, objective, process.device)
        state.files = files
        if resume:
            state.load(out / STATE)
        number = _run(config, state, pictures.fingerprint, out, process, quiet)
        if process.world > 1:
            # None leaves before the last checkpoint is written: a launcher ends all processes when one of them fails.
            dist.barrier()
        if number:
            raise Stopped(f"stopped at step {state.step} of {config.optim.steps}; go on with `resume`", number)
        return out / "prior.safetensors"


def check_files(config: Config, data: Sequence[Path], out: Path, source: Path | None = None) -> None:
    """Raise BadInput where pictures are missing, and where a run in `out` would write over what it reads; source: of `config`."""
    for pictures in data:
        if not pictures.exists():
            raise BadInput(f"{pictures}: no such file or folder; give a folder or zip of pictures")
    opened = [
        *inside(*data),
        *files_of(*(file.name for file in inputs.named(config))),
        *([] if source is None else [source]),
    ]
    separate(opened, outputs(config, out))


def outputs(config: Config, out: Path) -> list[Path]:
    """Return the files that a run of `config` writes into `out`."""
    steps = range(config.run.sample_every, config.optim.steps + 1, config.run.sample_every)
    names = ["prior.safetensors", STATE, "log.csv", *(f"cache/pictures.{kind}" for kind in ("u8", "json"))]
    return [out / name for name in (*names, *(f"samples/{step:07d}.png" for step in steps))]


def _header(config: Config, out: Path, resume: bool) -> Header | None:
    """Return the header of the run to go on with; None where one begins. BadInput where `out` holds none, one too many, or another."""
    path = out / STATE
    if path.exists() and not resume:
        raise BadInput(f"{out} holds a run already; continue it with `resume` or choose another `out`")
    if resume and not path.exists():
        raise BadInput(f"`resume`: {out} holds no {STATE}; check `out`, or leave `resume` out to begin a run")
    if not resume:
        return None
    header = Header.read(path)
    header.refuse_other(config, out)
    return header


def _decode(source: Path | Sequence[Path], out: Path, expected: str | None, process: Process, arrays: bool) -> None:
    """Let the first process fill the cache of `out`, for hours where there is much to decode; the others wait for it.

    They wait in a group of their own: the timeout of the other one, minutes, is for steps, and is to find what hangs there.
    """
    waiting: Any = dist.new_group(backend="gloo", timeout=DECODING) if process.world > 1 else None
    if process.rank == 0:
        Pictures.open(source, out / "cache", expected, arrays)
    if waiting is not None:
        try:
            dist.barrier(waiting)
        except RuntimeError as error:
            raise BadInput(f"the process that decodes the pictures has ended, see above ({error})") from None
        dist.destroy_process_group(waiting)


def _refuse_share(config: Config, world: int) -> None:
    """Raise BadInput for a batch that cannot be shared out among the processes."""
    batch = config.optim.batch
    if batch % world:
        raise BadInput(f"optim.batch={batch} must be a multiple of the {world} processes")
    if config.cascade and config.cascade.kappa and batch // world < 2:
        raise BadInput(
            f"cascade.kappa compares the pictures of a process, of which optim.batch={batch} leaves each of the {world} "
            f"one; use optim.batch={2 * world} or more, fewer processes, or cascade.kappa=0"
        )


def _run(config: Config, state: State, data: str, out: Path, process: Process, quiet: bool) -> int:
    """Train from the step of `state` to the last, or to a signal, and return its number. data: fingerprint of the pictures."""
    objective = state.objective
    model: nn.Module = objective
    if process.world > 1:
        model = DistributedDataParallel(model, find_unused_parameters=True, gradient_as_bucket_view=True)
    if config.run.compile:
        keep_apart()
        # sizes are few and fixed; left to find that out, it takes minutes for symbolic ones once two stages differ
        model = torch.compile(model, dynamic=False)  # type: ignore[assignment]
    first, number = process.rank == 0, 0
    signals = Signals(echo=ECHO if process.world > 1 else 0.0, tell=first)
    with RunMonitor(config, out, state.step, state.seconds, active=first, quiet=quiet) as watch, signals:

        def checkpoint() -> None:
            state.seconds = watch.seconds
            if first:
                _save(config, state, data, out, process.world)

        saved = time.monotonic()
        for batch in batches(config, objective, state.step, process.rank, process.world):
            loss, norm = _descend(config, state, model, _placed(batch, process.device))
            state.step += 1
            watch.step(state.step, loss, norm, learning_rate(config, state.step - 1))
            if first and state.step % config.run.sample_every == 0:
                objective.grid(out / "samples" / f"{state.step:07d}.png", state.ema)
            if time.monotonic() - saved > config.run.checkpoint_every:
                checkpoint()
                saved = time.monotonic()
            number = signals.agreed(process.device)
            if number:
                break
        checkpoint()
    return number if state.step < config.optim.steps else 0


def decaying(module: nn.Module) -> set[str]:
    """Return the names of the parameters that `optim.weight_decay` is for: the weights of linear layers and convolutions.

    Not biases and norms, and nothing that is added to the features and has no scale of its own to be kept small:
    embeddings of classes, tokens, tables of shifts and scales.
    """
    return {f"{name}.weight" for name, m in module.named_modules() if isinstance(m, LAYERS)}


def _begin(config: Config, objective: Objective, device: torch.device) -> State:
    """Return the state before the first step."""
    objective.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    named, o, decays = dict(objective.named_parameters()), config.optim, decaying(objective)
    groups = [
        {"params": [p for name, p in named.items() if (name in decays) == decay], "weight_decay": weight}
        for decay, weight in ((True, o.weight_decay), (False, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, lr=o.lr, betas=o.betas, fused=True)
    return State(objective, {k: v.detach().clone() for k, v in objective.kept.state_dict().items()}, optimizer)


def _placed(batch: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Return a batch where it is needed, pictures with their channels last."""
    placed = (t.to(device, non_blocking=True) for t in batch)
    return [t.to(memory_format=torch.channels_last) if t.ndim == 4 else t for t in placed]


def _descend(config: Config, state: State, model: nn.Module, batch: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Do one step of the optimiser and of the EMA; return the loss and the norm of the gradient before clipping."""
    o, step = config.optim, state.step
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(config, step)
    bf16 = config.run.precision == "bf16"
    state.objective.step = step
    with torch.autocast(batch[0].device.type, torch.bfloat16) if bf16 else nullcontext():
        loss = model(*batch)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(state.objective.parameters(), o.clip)
    if not torch.isfinite(norm):
        # No way on from the last checkpoint: the same batches would lead here again.
        raise BadInput(
            f"training diverged at step {step} (gradient is not finite); begin a run in another `out` with a lower "
            f"optim.lr than {o.lr:g}"
        )
    state.optimizer.step()
    state.objective.settle()
    decay = min(o.ema, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(list(state.ema.values()), list(state.objective.kept.state_dict().values()), 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
    return loss, norm


def _save(config: Config, state: State, data: str, out: Path, world: int) -> None:
    state.save(out / STATE, config, data)
    training = {"steps": state.step, "batch": config.optim.batch, "seconds": round(state.seconds), "world": world}
    training |= {"config": json.loads(config.model_dump_json())}
    state.objective.save(out / "prior.safetensors", state.ema, training)
