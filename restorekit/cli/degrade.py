"""degrade: make a test measurement from a clean picture, with its truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from restorekit.cli.batch import perform, several
from restorekit.cli.options import shared_options
from restorekit.text.completion import complete_operator


@several
@shared_options(
    "seed", "range_", "transfer", "layout", "page",
    op=(Annotated[str, typer.Option(autocompletion=complete_operator, help="Forward model, as for `restore`; denoise changes nothing but by noise.")], "denoise"),
    noise=(Annotated[str | None, typer.Option(help="gaussian:SIGMA, poisson:COUNTS_AT_WHITE, gamma:LOOKS.", show_default="gaussian:0.01")], None),
    correlated=(Annotated[str | None, typer.Option(metavar="SWATH", help="Speckle with the grain of a Sentinel-1 swath, iw1, iw2 or iw3; with gamma noise.")], None),
    camera=(Annotated[str | None, typer.Option(metavar="NAME[:SETTINGS]", help="Photograph IN instead of --op and --noise: phone, still or off, with settings, as phone:jpeg=off,shutter=motion:15:30; also exposure, lens, vignetting, pattern, gain, read, bits, black, balance, demosaic, tone, chroma.")], None),
    clip_truth=(Annotated[bool, typer.Option("--clip-truth", help="Cut the truth at black and white, as a camera does; integers always are.")], False),
    dtype=(Annotated[str | None, typer.Option(help="uint8, uint16 or float32; default: that of IN, float32 for hadamard and phase. Integers clip the noise.")], None),
)  # fmt: skip
def degrade(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="IN", help="Clean picture.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Measurement to write; OUT_truth is written beside it.", show_default=False)],
    **settings: Any,
) -> None:  # fmt: skip
    """Make a test measurement. restorekit degrade photo.png blurred.tif --op blur:kernel=motion:15:30 --noise gaussian:0.02 --dtype uint16"""
    from restorekit import degrade as run

    perform(ctx, run, source, target, settings, lambda _, out, files: f"{out}  (truth: {files[1]})")
