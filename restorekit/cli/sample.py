"""sample: pictures that a prior makes up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from restorekit.cli.options import Overwrite, settings_options, values
from restorekit.cli.wording import printed, say
from restorekit.report.progress import phases
from restorekit.tasks.task_settings import SamplingSettings


@settings_options(SamplingSettings)
def sample(
    ctx: typer.Context,
    prior: Annotated[str, typer.Argument(metavar="PRIOR", help="A shipped name, or a file or folder as for --prior of `restore`.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Grid to write, .png or .tif; OUT.json is written beside it.", show_default=False)],
    solver: Annotated[str, typer.Option(help="dpm++, ddim, ddpm, heun or sde, with settings, as heun:churn=20.")] = "dpm++",
    overwrite: Overwrite = False,
    folder: Annotated[Path | None, typer.Option(metavar="DIR", help="Write each sample there too, as 00000.png and so on.", show_default=False)] = None,
    **settings: Any,
) -> None:  # fmt: skip
    """Draw samples of a prior, without any measurement, into one grid.

    restorekit sample natural --n 16 --steps 50 --out grid.png
    """
    from restorekit import sample as run
    from restorekit.files.overwrite import overwriting

    with overwriting(overwrite), phases("network calls") as show:
        drawn = run(prior, solver=solver, folder=folder, out=out, notes=printed(ctx), progress=show, **values(settings))
        drawn.save(out)
    height, width = drawn.samples.shape[-2:]
    low = f" and {drawn.settings['low_nfe']} of the low stage" if "low_nfe" in drawn.settings else ""
    say(
        f"{out}  ({settings['n']} samples of {drawn.source.sampling.loaded.spec.name}, {height}x{width}, {drawn.nfe} network calls "
        f"each{low}, {drawn.seconds:.1f} s)"
    )
