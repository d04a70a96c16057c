"""metrics sar: what a despeckled scene is judged by, band by band, each figure with what it should be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sar(
    measured: Annotated[Path, typer.Argument(metavar="MEASURED", help="The scene as measured: GeoTIFF, NPY, PNG.", show_default=False)],
    restored: Annotated[Path, typer.Argument(metavar="RESTORED", help="Despeckled, of the same size and unit; of complex data an intensity.", show_default=False)],
    truth: Annotated[Path | None, typer.Option(metavar="FILE", help="The scene without speckle, in the unit of RESTORED: PSNR, SSIM, bias and more are added.")] = None,
    domain: Annotated[str, typer.Option(help="Unit of the files: intensity, amplitude, db, complex; auto guesses from MEASURED and says so.")] = "auto",
    looks: Annotated[str, typer.Option(help="Looks of MEASURED; auto measures them where it is flat.")] = "auto",
    window: Annotated[str | None, typer.Option(metavar="TOP,LEFT,HEIGHT,WIDTH", help="Pixels of a flat part, for ENL and C_x.")] = None,
    target: Annotated[str | None, typer.Option(metavar="TOP,LEFT,HEIGHT,WIDTH", help="Pixels of a bright target, for TCR.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="A page with pictures, the ratio and its histogram.")] = None,
) -> None:  # fmt: skip
    """Judge a despeckled scene by its own statistics, and by the truth where there is one.

    Pixels without a value in either file do not count. Bands are judged one by one.

    restorekit metrics sar scene.tif despeckled.tif --report quality.html
    """
    from restorekit.tasks.judge import Judged

    Judged(measured, restored, truth, domain, looks, window, target, as_json, report).run()
