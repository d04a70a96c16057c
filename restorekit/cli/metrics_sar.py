"""metrics sar: what a despeckled scene is judged by, band by band, each figure with what it should be."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer


def sar(
    ctx: typer.Context,
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
    from restorekit.cli.options import check_page
    from restorekit.cli.wording import as_options, options_of, printable, printed
    from restorekit.files.picture import json_text
    from restorekit.tasks.judge import SpeckleAssessment
    from restorekit.text import values

    if report is not None:
        check_page(report)
    task = SpeckleAssessment(
        domain=domain,
        looks=values.looks(looks),
        window=values.box(window, "window"),
        target=values.box(target, "target"),
    )
    result = task(measured, restored, truth, report=report, notes=printed(ctx))
    print(as_options(json_text(result.plain()) if as_json else str(result), options_of(ctx)))
    if report is not None:
        words: list[object] = ["restorekit", "metrics", "sar", measured, restored]
        words += ["--domain", result.domain, "--looks", looks]
        for option, value in {"--truth": truth, "--window": window, "--target": target}.items():
            words += [] if value is None else [option, value]
        (page,) = result.save(report, shlex.join(str(w) for w in [*words, "--report", report]))
        print(printable(f"restorekit: {page} written ({page.stat().st_size / 1e6:.1f} MB)"), file=sys.stderr)
