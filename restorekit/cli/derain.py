"""derain: what a derainer left in a rainy picture, repaired with a prior."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from restorekit.cli.batch import check_report, perform, several
from restorekit.cli.options import Out, shared_options
from restorekit.cli.wording import command_of


@several
@shared_options(
    "prior", "steps", "seed", "device", "tile", "precision", "range_", "layout", "page",
    derained=(Annotated[Path | None, typer.Option(metavar="FILE", help="IN without rain, by a derainer. Default: a plain one of morphology, which is weak.", show_default=False)], None),
    weak=(Annotated[bool, typer.Option("--weak", help="The derained picture still shows streaks: repair more, as without --derained.")], False),
    rain=(Annotated[Path | None, typer.Option(metavar="FILE", help="The derainer's own layer of rain, in the unit of IN. Default: by how much IN is brighter than the derained picture.", show_default=False)], None),
    mask=(Annotated[Path | None, typer.Option(metavar="FILE", help="White = repair, black = leave as it is; instead of the mask that --share, --floor, --cap and --dilate make of the rain.", show_default=False)], None),
    solver=(Annotated[str, typer.Option(help="A name of `restorekit solvers` with settings, as ddnm+:eta=1; or paper: the masked pixels are thrown away and painted by dps.")], "ddnm+"),
    samples=(Annotated[int | None, typer.Option(min=1, max=100_000, help="Posterior samples, whose mean is used; more than one also gives OUT_std. Default: 2, or the one answer of an optimiser.", show_default=False)], None),
    share=(Annotated[float | None, typer.Option(help="Share of the picture to repair: the pixels with the most rain.", show_default="0.5, paper: 0.05")], None),
    floor=(Annotated[float | None, typer.Option(help="Pixels with less rain than this (white = 1) are not repaired.", show_default="0.1, weak: 0.02")], None),
    cap=(Annotated[float | None, typer.Option(help="Never repair more of the picture than this share, after --dilate.", show_default="0.5, paper: 0.15")], None),
    dilate=(Annotated[int | None, typer.Option(min=0, max=64, help="Pixels by which the mask is grown.", show_default="1")], None),
    feather=(Annotated[int | None, typer.Option(min=0, max=64, help="Pixels from the edge of the mask inwards over which the repair is blended in.", show_default="1, paper: 2")], None),
    sigma=(Annotated[str | None, typer.Option(help="Noise that the derained picture is taken to have inside the mask (white = 1): larger trusts it less; none: what it shows there is ignored.", show_default="0.07, weak: 0.3, paper: none")], None),
    weight=(Annotated[float | None, typer.Option(help="Weight of the sampled picture in the blend with the derained one, inside the mask; 1: the sampled one alone.", show_default="0.1, weak: 0.5, paper: 1")], None),
    report=(Annotated[Path | None, typer.Option(metavar="PAGE.html", help="A page with the pictures and the mask.", show_default=False)], None),
)  # fmt: skip
def derain(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="IN", help="Rainy picture: PNG, JPEG, TIFF, NPY.", show_default=False)],
    target: Out,
    **settings: Any,
) -> None:  # fmt: skip
    """Repair what a derainer left in a rainy picture IN; outside the mask (OUT_mask.png) nothing changes, not by a bit.

    restorekit derain rainy.png out.png --derained network.png
    """
    from restorekit.tasks.derain import derain as run
    from restorekit.tasks.derain_run import Page as ReportPage

    report = settings.pop("report")
    check_report(source, report)
    if report is not None:
        settings["report"] = ReportPage(report, command_of(ctx))

    def line(result: Any, out: Path, _: list[Path]) -> str:
        calls = f", {result.nfe} network call{'s' * (result.nfe != 1)} per sample, {result.seconds:.1f} s"
        masked = f"{result.settings['masked']:.1%} of the picture repaired"
        return f"{out}  ({masked}{calls if result.nfe else ''}, and .json)"

    perform(ctx, run, source, target, settings, line)
