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
    show: Annotated[bool, typer.Option("--print-config", help="Print the configuration that --config and --set make, as such a file, and do nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress line.")] = False,
) -> None:  # fmt: skip
    """Train a prior; with several processes: torchrun --nproc-per-node 2 -m restorekit train ...

    Ctrl-C (or SIGTERM) finishes the step, saves, and ends; --resume goes on from there. A second one ends at once.

    restorekit train unet --config configs/natural.yaml --data photos.zip --out runs/natural
    """
    import signal

    from restorekit.errors import Stopped
    from restorekit.training.config import config_for, overrides_of, yaml_of
    from restorekit.training.loop import STATE, check_files
    from restorekit.training.loop import train as run

    made = config_for(model, config, overrides_of(override or []))
    if data and out:
        check_files(made, data, out, config)
    if show:
        return print(yaml_of(made), end="")
    try:
        say(str(run(made, data, out, resume=resume, quiet=quiet)))
    except KeyboardInterrupt:  # before the first step, or the second Ctrl-C
        again = "no checkpoint yet, so begin again without --resume"
        how = "--resume goes on from the last checkpoint" if (out / STATE).exists() else again
        raise Stopped(f"stopped; {how}", signal.SIGINT) from None
