"""derain: what a derainer left in a rainy picture, repaired with a prior."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from restorekit.cli.options import Device, Out, Precision, PriorOpt, Range, Seed, Steps, Tile
from restorekit.errors import BadInput


def derain(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="IN", help="Rainy picture: PNG, JPEG, TIFF, NPY.", show_default=False)],
    target: Out,
    derained: Annotated[Path | None, typer.Option(metavar="FILE", help="IN without rain, by a derainer. Default: a plain one of morphology, which is weak.", show_default=False)] = None,
    weak: Annotated[bool, typer.Option("--weak", help="The derained picture still shows streaks: repair more, as without --derained.")] = False,
    rain: Annotated[Path | None, typer.Option(metavar="FILE", help="The derainer's own layer of rain, in the unit of IN. Default: by how much IN is brighter than the derained picture.", show_default=False)] = None,
    mask: Annotated[Path | None, typer.Option(metavar="FILE", help="White = repair, black = leave as it is; instead of the mask that --share, --floor, --cap and --dilate make of the rain.", show_default=False)] = None,
    solver: Annotated[str, typer.Option(help="A name of `restorekit solvers` with settings, as ddnm+:eta=1; or paper: the masked pixels are thrown away and painted by dps.")] = "ddnm+",
    prior: PriorOpt = "natural",
    samples: Annotated[int | None, typer.Option(min=1, max=100_000, help="Posterior samples, whose mean is used; more than one also gives OUT_std. Default: 2, or the one answer of an optimiser.", show_default=False)] = None,
    steps: Steps = None,
    share: Annotated[float | None, typer.Option(help="Share of the picture to repair: the pixels with the most rain.", show_default="0.5, paper: 0.05")] = None,
    floor: Annotated[float | None, typer.Option(help="Pixels with less rain than this (white = 1) are not repaired.", show_default="0.1, weak: 0.02")] = None,
    cap: Annotated[float | None, typer.Option(help="Never repair more of the picture than this share, after --dilate.", show_default="0.5, paper: 0.15")] = None,
    dilate: Annotated[int | None, typer.Option(min=0, max=64, help="Pixels by which the mask is grown.", show_default="1")] = None,
    feather: Annotated[int | None, typer.Option(min=0, max=64, help="Pixels from the edge of the mask inwards over which the repair is blended in.", show_default="1, paper: 2")] = None,
    sigma: Annotated[str | None, typer.Option(help="Noise that the derained picture is taken to have inside the mask (white = 1): larger trusts it less; none: what it shows there is ignored.", show_default="0.07, weak: 0.3, paper: none")] = None,
    weight: Annotated[float | None, typer.Option(help="Weight of the sampled picture in the blend with the derained one, inside the mask; 1: the sampled one alone.", show_default="0.1, weak: 0.5, paper: 1")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    tile: Tile = None,
    precision: Precision = "auto",
    range_: Range = None,
    report: Annotated[Path | None, typer.Option(metavar="PAGE.html", help="A page with the pictures and the mask.", show_default=False)] = None,
) -> None:  # fmt: skip
    """Repair what a derainer left in a rainy picture IN; outside the mask (OUT_mask.png) nothing changes, not by a bit.

    restorekit derain rainy.png out.png --derained network.png
    """
    from restorekit.cli.options import check_page
    from restorekit.cli.wording import printed, say
    from restorekit.report.progress import phases
    from restorekit.tasks.derain import derain as run
    from restorekit.tasks.derain_run import Page
    from restorekit.text import values

    if report is not None:
        check_page(report)
    settings: dict[str, Any] = {
        "weak": weak, "solver": solver, "prior": prior, "samples": samples, "steps": steps, "share": share, "floor": floor,
        "cap": cap, "dilate": dilate, "feather": feather, "sigma": sigma_of(sigma), "weight": weight, "seed": seed,
        "device": device, "tile": tile, "precision": precision, "range": values.span(range_),
    }  # fmt: skip
    page = None if report is None else Page(report, command_of(ctx))
    with phases("network calls") as show:
        result = run(
            source, derained, rain=rain, mask=mask, out=target, page=page, notes=printed(ctx), progress=show, **settings
        )
    result.save(target)
    calls = f", {result.nfe} network call{'s' * (result.nfe != 1)} per sample, {result.seconds:.1f} s"
    masked = f"{result.settings['masked']:.1%} of the picture repaired"
    say(f"{target}  ({masked}{calls if result.nfe else ''}, and .json)")


def sigma_of(text: str | None) -> float | Literal["none"] | None:
    """Return the noise level that --sigma names. Raises BadInput for what is neither a number above 0 nor none."""
    if text is None:
        return None
    if text.lower() == "none":
        return "none"
    try:
        sigma = float(text)
    except ValueError:
        sigma = math.nan
    if not 0 < sigma < math.inf:
        raise BadInput(f"`sigma` {text!r} is not understood; give a number above 0, as 0.05, or none", argument="sigma")
    return sigma


ORDER = ("derained", "rain", "mask", "range_", "report")  # of options in `command_of`, before all others


def command_of(context: typer.Context) -> str:
    """Return the command that does the same again, for a shell: options that differ from their defaults."""
    given = context.params
    words = ["restorekit", "derain", given["source"], given["target"]]
    options = {p.name: p for p in context.command.params if p.param_type_name == "option"}
    for name in (*ORDER, *(n for n in options if n not in ORDER)):
        if (value := given[name]) != options[name].default:
            words += [options[name].opts[0]] if value is True else [options[name].opts[0], value]
    return shlex.join(map(str, words))
