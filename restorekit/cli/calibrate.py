"""calibrate: factors that make the error bars of a prior hold, on pictures of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from restorekit.cli.options import PriorOpt, SolverOpt, Threads, on_threads, settings_options
from restorekit.cli.wording import printed, say
from restorekit.tasks.task_settings import CalibrationSettings


@settings_options(CalibrationSettings)
def calibrate(
    ctx: typer.Context,
    data: Annotated[Path, typer.Option(help="Folder or zip of clean pictures that trained nothing. By name, those at even positions calibrate, those at odd ones judge.")],
    task: Annotated[str, typer.Option(help="Forward model, as --op of `restore`.")],
    out: Annotated[Path, typer.Option(help="File to write, or to add to: NAME.calibration.json beside NAME.safetensors is found by itself, any other by --calibration. Its table is beside it, and a run goes on where it stopped.")],
    noise: Annotated[list[str], typer.Option(help="Noise law, as for `restore`; again for more levels, between which factors are interpolated.")],
    prior: PriorOpt = "natural",
    solver: SolverOpt = "mmps",
    threads: Threads = None,
    **settings: Any,
) -> None:  # fmt: skip
    """Make error bars hold: how far the truth lies from the samples, on pictures with a known truth.

    restorekit calibrate --data photos.zip --task denoise --noise gaussian:0.02 --noise gaussian:0.05 --prior mine.safetensors --out mine.calibration.json
    """
    from restorekit import calibrate as run
    from restorekit.report.progress import bar

    on_threads(threads)
    with bar("pictures", "restorations") as show:
        own = {"prior": prior, "solver": solver, "notes": printed(ctx), "progress": show}
        made = run(data, task, noise, out, **own, **settings)
    if made.table:
        print(made.table)
    how = f"judged on {made.judging} pictures" if made.judging else "none judged"
    say(f"{out}  ({len(made.entries)} entries, {how}; {made.journal and made.journal.name} has every picture)")
