"""adapt: a prior of radar scenes, taught by scenes of one's own that all have speckle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from restorekit.cli.options import settings_options, values
from restorekit.cli.wording import printed, say
from restorekit.tasks.task_settings import AdaptationSettings


@settings_options(AdaptationSettings)
def adapt(
    ctx: typer.Context,
    prior: Annotated[str, typer.Argument(metavar="PRIOR", help="sar, or a checkpoint that knows logarithms of intensities.", show_default=False)],
    scenes: Annotated[list[Path], typer.Argument(metavar="SCENE...", help="Measured scenes, as IN of `despeckle`.", show_default=False)],
    *,
    out: Annotated[Path, typer.Option(help="Folder of the run: prior.safetensors, adaptation.json, and what each round needs to go on.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out: same prior, scenes and settings; --rounds may be raised.")] = False,
    **settings: Any,
) -> None:  # fmt: skip
    """Teach a prior the look of your own radar scenes; none without speckle is needed. Weights that foretell them no better are left.

    restorekit adapt sar scene1.tif scene2.tif --out runs/mine --looks 4.4
    """
    from restorekit.report.progress import phases
    from restorekit.tasks.adapt import Adapting

    with phases("tiles") as show:
        task = Adapting(prior=prior, scenes=scenes, **values(settings))
        made = task(out, resume=resume, notes=printed(ctx), progress=show)
    how = "adapted" if made.better else "the one that it began with"
    say(f"{made.path}  ({how}; {made.taught} tiles taught, {made.judged} judged, {len(made.rounds)} rounds)")
