"""calibrate: factors that make the error bars of a prior hold, on pictures of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.options import Device, Precision, PriorOpt, Seed, SolverOpt, Steps, Threads, on_threads
from restorekit.cli.wording import printed, say


def calibrate(
    ctx: typer.Context,
    data: Annotated[Path, typer.Option(help="Folder or zip of clean pictures that trained nothing. By name, those at even positions calibrate, those at odd ones judge.")],
    task: Annotated[str, typer.Option(help="Forward model, as --op of `restore`.")],
    out: Annotated[Path, typer.Option(help="File to write, or to add to: NAME.calibration.json beside NAME.safetensors is found by itself, any other by --calibration. Its table is beside it, and a run goes on where it stopped.")],
    noise: Annotated[list[str], typer.Option(help="Noise law, as for `restore`; again for more levels, between which factors are interpolated.")],
    prior: PriorOpt = "natural",
    solver: SolverOpt = "mmps",
    steps: Steps = None,
    samples: Annotated[int, typer.Option(min=2, help="Draws per picture; factors are for so many, and for 2, 4, 8 ... of them.")] = 8,
    dtype: Annotated[str, typer.Option(help="Of the measured files: uint8 and uint16 cut off and round, float32 does not.")] = "uint8",
    transfer: Annotated[str, typer.Option(help="linear, or srgb: measured in light, as 8-bit pictures of `deblur`.")] = "linear",
    pictures: Annotated[int | None, typer.Option(min=1, help="At most so many for each half.", show_default=False)] = None,
    crop: Annotated[int, typer.Option(min=16, help="Centre crops of this side.")] = 64,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
) -> None:  # fmt: skip
    """Make error bars hold: how far the truth lies from the samples, on pictures with a known truth.

    restorekit calibrate --data photos.zip --task denoise --noise gaussian:0.02 --noise gaussian:0.05 --prior mine.safetensors --out mine.calibration.json
    """
    from restorekit import calibrate as run
    from restorekit.report.progress import bar

    on_threads(threads)
    with bar("pictures", "restorations") as show:
        made = run(
            data, task, noise, out, prior=prior, solver=solver, steps=steps, samples=samples, dtype=dtype, transfer=transfer,
            pictures=pictures, crop=crop, seed=seed, device=device, precision=precision, notes=printed(ctx), progress=show,
        )  # fmt: skip
    if made.table:
        print(made.table)
    how = f"judged on {made.judging} pictures" if made.judging else "none judged"
    say(f"{out}  ({len(made.entries)} entries, {how}; {made.journal and made.journal.name} has every picture)")
