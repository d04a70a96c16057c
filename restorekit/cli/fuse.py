"""fuse: an optical and a radar picture of one place in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from restorekit.cli.options import Device, Precision, PriorOpt, Range, Seed, Tile

Optical = Annotated[Path, typer.Argument(metavar="OPTICAL", help="Optical picture: GeoTIFF, or PNG, JPEG, NPY.", show_default=False)]  # fmt: skip
Sar = Annotated[Path, typer.Argument(metavar="SAR", help="Radar picture of the same place.", show_default=False)]
Bands = Annotated[str | None, typer.Option(metavar="R,G,B", help="Bands of OPTICAL that are fused, from 1; the others are copied. Default: the first three, or the first.", show_default=False)]  # fmt: skip
SarBand = Annotated[int, typer.Option(min=1, help="Band of SAR, from 1.")]
Domain = Annotated[str, typer.Option(help="What SAR holds: intensity, amplitude, db, complex; auto says what it takes it for.")]  # fmt: skip
Despeckle = Annotated[
    str,
    typer.Option(
        help="none, boxcar, lee, refined-lee, frost or gamma-map; hqs or sar-dps with the prior of `restorekit despeckle`."
    ),
]
Looks = Annotated[str, typer.Option(help="Looks of SAR; auto measures them.")]
MatchTo = Annotated[str, typer.Option("--match", help="SAR gets the moments, or the histogram, of the luminance.")]
Align = Annotated[bool, typer.Option("--align", help="Resample SAR to the grid of OPTICAL, in linear power.")]
TrustGrid = Annotated[bool, typer.Option("--trust-grid", help="Go on where the pictures do not show that they lie on each other.")]  # fmt: skip


def fuse(
    ctx: typer.Context,
    optical: Optical,
    sar: Sar,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Fused picture, of the size, type and place of OPTICAL; OUT.json is written beside it.", show_default=False)],
    solver: Annotated[str, typer.Option(help="map: no network. diffusion: with the prior. Settings as map:a=0.5,c=2.")] = "map",
    align: Align = False,
    trust_grid: TrustGrid = False,
    bands: Bands = None,
    sar_band: SarBand = 1,
    domain: Domain = "auto",
    despeckle: Despeckle = "hqs",
    looks: Looks = "auto",
    match: MatchTo = "moments",
    range_: Range = None,
    prior: PriorOpt = "natural",
    seed: Seed = 0,
    device: Device = "auto",
    tile: Tile = None,
    precision: Precision = "auto",
) -> None:  # fmt: skip
    """Put what a radar picture shows into an optical one, colours kept. restorekit fuse optical.tif sar.tif fused.tif"""
    from restorekit.cli.wording import printed, say
    from restorekit.fusion.joint import solver_of
    from restorekit.report.progress import phases
    from restorekit.tasks.fuse import fuse as run

    settings = pair_settings(align, bands, sar_band, domain, despeckle, looks, match, range_)
    settings |= {"prior": prior, "seed": seed, "device": device, "tile": tile, "precision": precision}
    with phases(solver_of(solver).unit) as show:
        result = run(
            optical, sar, out, notes=printed(ctx), progress=show, solver=solver, trust_grid=trust_grid, **settings
        )
    result.save(out)
    seconds = f"{result.seconds:.1f} s, of them {result.prepared:.1f} s for the radar picture"
    say(f"{out}  ({solver.partition(':')[0]}, {result.nfe} network calls, {seconds}, and .json)")


def pair_settings(
    align: bool, bands: str | None, sar_band: int, domain: str, despeckle: str, looks: str, match: str, range_: str | None
) -> dict[str, Any]:  # fmt: skip
    """Return what the options of `fuse` and `metrics fusion` say of a pair, as settings of `Fusing`."""
    from restorekit.text import values

    return {
        "align": align, "bands": values.numbers(bands), "sar_band": sar_band, "domain": domain, "despeckle": despeckle,
        "looks": values.looks(looks), "match": match, "range": values.span(range_),
    }  # fmt: skip
