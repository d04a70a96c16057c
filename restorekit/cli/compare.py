"""compare: solvers side by side on one measurement, in one page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.options import (
    Device,
    In,
    Noise,
    Precision,
    Preview,
    PriorOpt,
    Range,
    Seed,
    Steps,
    Tile,
    TransferOpt,
    box,
    span,
)
from restorekit.cli.wording import printed, say
from restorekit.report.progress import phases


def compare(
    ctx: typer.Context,
    source: In,
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Page to write, .html; OUT.json is written beside it.", show_default=False)],
    op: Annotated[str, typer.Option(help="Forward model, as for `restore`.")],
    noise: Noise = "auto",
    solvers: Annotated[list[str] | None, typer.Option("--solver", help="A name of `restorekit solvers`, with settings, as ddrm:eta=none; again for more. Default: a few that suit the task.", show_default=False)] = None,
    steps: Steps = None,
    samples: Annotated[int, typer.Option(min=1, help="Draws of each sampler; an optimiser gives one answer.")] = 4,
    truth: Annotated[Path | None, typer.Option(metavar="FILE", help="The clean picture, as large as a result: errors, PSNR, SSIM and coverage are added.")] = None,
    prior: PriorOpt = "natural",
    seed: Seed = 0,
    device: Device = "auto",
    tile: Tile = None,
    precision: Precision = "auto",
    range_: Range = None,
    preview: Preview = None,
    transfer: TransferOpt = "auto",
    trajectory: Annotated[int, typer.Option(min=0, max=64, help="Estimates on the way that are shown of each solver.")] = 8,
) -> None:  # fmt: skip
    """Compare solvers on one measurement IN, in one HTML page OUT that needs no network.

    A solver that cannot treat the problem is in the page with its reason.

    restorekit compare in.tif out.html --op blur:kernel=motion:15:30 --noise gaussian:0.02 --solver hqs --solver mmps
    """
    from restorekit import compare as run

    with phases("network calls") as show:
        result = run(
            source, op, noise=noise, solvers=solvers or (), steps=steps, samples=samples, truth=truth, prior=prior,
            seed=seed, device=device, tile=tile, precision=precision, range=span(range_), preview=box(preview, "preview"),
            transfer=transfer, trajectory=trajectory, out=target, notes=printed(ctx), progress=show,
        )  # fmt: skip
    page, _ = result.save(target)
    say(f"{target}  ({len(result.results)} solver(s), {os.path.getsize(page) / 1e6:.1f} MB, and .json)")
