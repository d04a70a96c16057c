"""fuse: an optical and a radar picture of one place in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from restorekit.cli.batch import perform, several
from restorekit.cli.options import Range, shared_options

Optical = Annotated[Path, typer.Argument(metavar="OPTICAL", help="Optical picture: GeoTIFF, or PNG, JPEG, NPY.", show_default=False)]  # fmt: skip
Sar = Annotated[Path, typer.Argument(metavar="SAR", help="Radar picture of the same place.", show_default=False)]

# How the two pictures are read and made ready, as shared options.
PAIR: dict[str, tuple[Any, Any]] = {
    "align": (Annotated[bool, typer.Option("--align", help="Resample SAR to the grid of OPTICAL, in linear power.")], False),
    "bands": (Annotated[str | None, typer.Option(metavar="R,G,B", help="Bands of OPTICAL that are fused, from 1; the others are copied. Default: the first three, or the first.", show_default=False)], None),
    "sar_band": (Annotated[int, typer.Option(min=1, help="Band of SAR, from 1.")], 1),
    "domain": (Annotated[str, typer.Option(help="What SAR holds: intensity, amplitude, db, complex; auto says what it takes it for.")], "auto"),
    "despeckle": (Annotated[str, typer.Option(help="none, boxcar, lee, refined-lee, frost or gamma-map; hqs or sar-dps with the prior of `restorekit despeckle`.")], "hqs"),
    "looks": (Annotated[str, typer.Option(help="Looks of SAR; auto measures them.")], "auto"),
    "match": (Annotated[str, typer.Option("--match", help="SAR gets the moments, or the histogram, of the luminance.")], "moments"),
    "range_": (Range, None),
    "product": (Annotated[str | None, typer.Option(metavar="WORD,WORD,…", help="What is taken of SAR, a product of a radar satellite, as for `despeckle`.", show_default=False)], None),
    "sar_page": (Annotated[int | None, typer.Option(min=1, help="Page of SAR, a TIFF of several, from 1.", show_default=False)], None),
}  # fmt: skip


@several
@shared_options(
    *PAIR, "prior", "seed", "device", "tile", "precision", "layout", "pages", **PAIR,
    solver=(Annotated[str, typer.Option(help="map: no network. diffusion: with the prior. Settings as map:a=0.5,c=2.")], "map"),
    purpose=(Annotated[str, typer.Option("--for", "--purpose", metavar="PURPOSE", help="eye: the optical picture with fine details of SAR. interpretation: all of SAR that speckle does not explain, linear in dB.")], "eye"),
    cloud=(Annotated[str | None, typer.Option(metavar="auto|band:N|FILE", help="Clouds of OPTICAL, where SAR is shown: found by brightness, a band of OPTICAL, or a file.", show_default=False)], None),
    cloud_classes=(Annotated[str | None, typer.Option(metavar="mask|scl|qa60|N,N,…", help="What the values of --cloud are. Default: a mask, 0 clear.", show_default=False)], None),
    added=(Annotated[bool, typer.Option("--added", help="Write OUT_added, OUT less OPTICAL; --for interpretation always does.")], False),
    trust_grid=(Annotated[bool, typer.Option("--trust-grid", help="Go on where the pictures do not show that they lie on each other.")], False),
)  # fmt: skip
def fuse(
    ctx: typer.Context,
    optical: Optical,
    sar: Sar,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Fused picture, of the size, type and place of OPTICAL; OUT.json is written beside it.", show_default=False)],
    **settings: Any,
) -> None:  # fmt: skip
    """Put what a radar picture shows into an optical one, colours kept. restorekit fuse optical.tif sar.tif fused.tif"""
    from restorekit.fusion.joint import solver_of
    from restorekit.tasks.fuse import fuse as run

    def line(result: Any, out: Path, files: list[Path]) -> str:
        seconds = f"{result.seconds:.1f} s, of them {result.prepared:.1f} s for the radar picture"
        solver = "" if result.settings["solver"] is None else f"{settings['solver'].partition(':')[0]}, "
        beside = "".join(f"{path.name}, " for path in files[1:-1])
        return f"{out}  ({solver}{result.nfe} network calls, {seconds}, {beside}and .json)"

    perform(ctx, run, optical, out, {"sar": sar} | settings, line, unit=solver_of(settings["solver"]).unit)
