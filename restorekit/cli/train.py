"""train: a prior from a folder or zip of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.wording import say


def train(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="unet, pisdm, codec or fftd; the model.kind of the configuration.", show_default=False)],
    *,
    config: Annotated[Path | None, typer.Option(help="YAML: model, data, noise, optim, run; without it the defaults of MODEL.")] = None,
    data: Annotated[list[Path], typer.Option(help="Folder or zip of pictures; may be given several times.")],
    out: Annotated[Path, typer.Option(help="Folder of the run: checkpoints, log.csv, samples.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out: same data and settings; optim.steps may be raised.")] = False,
    override: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override, as optim.steps=1000.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress line.")] = False,
) -> None:  # fmt: skip
    """Train a prior; with several processes: torchrun --nproc-per-node 2 -m restorekit train ...

    Ctrl-C (or SIGTERM) finishes the step, saves, and ends; --resume goes on from there. A second one ends at once.

    restorekit train unet --config configs/natural.yaml --data photos.zip --out runs/natural
    """
    import signal

    from restorekit.errors import BadInput, Stopped
    from restorekit.files.overwrite import inside, separate
    from restorekit.text.names import files_of
    from restorekit.training.config import config_for, overrides_of
    from restorekit.training.loop import STATE, outputs
    from restorekit.training.loop import train as run
    from restorekit.training.named_files import named

    made = config_for(model, config, overrides_of(override or []))
    for source in data:
        if not source.exists():
            raise BadInput(f"{source}: no such file or folder; give a folder or zip of pictures")
    opened = [*inside(*data), *files_of(*(file.name for file in named(made))), *([] if config is None else [config])]
    separate(opened, outputs(made, out))
    try:
        say(str(run(made, data, out, resume=resume, quiet=quiet)))
    except KeyboardInterrupt:  # before the first step, or the second Ctrl-C
        begun = (out / STATE).exists()
        how = (
            "--resume goes on from the last checkpoint"
            if begun
            else "no checkpoint yet, so begin again without --resume"
        )
        raise Stopped(f"stopped; {how}", signal.SIGINT) from None
