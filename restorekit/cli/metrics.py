"""metrics: how close a picture is to the truth, and what a radar scene or a fusion is judged by."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from restorekit.cli.batch import warn, warn_of_wrong
from restorekit.cli.fuse import PAIR, Optical, Sar
from restorekit.cli.options import Json, shared_options, values
from restorekit.cli.wording import as_options, command_of, options_of, printed
from restorekit.report.progress import pictures as bar_of_pictures
from restorekit.text.terminal import printable


class Words(TyperGroup):
    """The first word is a command if it is the name of one, and otherwise a picture."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take a first word that is no command for a picture."""
        named = not args or args[0] in self.commands or args[0] == "--help"
        return super().parse_args(ctx, args if named else ["pictures", *args])


app = typer.Typer(
    cls=Words,
    no_args_is_help=True,
    help="How close a picture is to the truth: restorekit metrics PICTURE TRUTH, with the options of `metrics pictures`; of folders, a table. And what else results are judged by.",
)  # fmt: skip


@app.command()
@shared_options("range_", "layout", "page")
def pictures(
    ctx: typer.Context,
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="A picture, a folder of them, or a 'glob'.", show_default=False)],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="A picture, or a folder with one for each, called as it or NAME_truth.", show_default=False)],
    names: Annotated[str | None, typer.Option(help="Comma-separated; default: all of psnr, ssim, mae, rmse.")] = None,
    crop: Annotated[int, typer.Option(min=0, help="Pixels to leave out at each side.")] = 0,
    as_json: Json = False,
    **settings: Any,
) -> None:  # fmt: skip
    """Compare PICTURE with TRUTH on [0, 1]. Of folders it prints a table, CSV, with the mean: pictures are matched by name.

    restorekit metrics out.png truth.png

    restorekit metrics results truths > table.csv
    """
    from restorekit.files.picture import json_text
    from restorekit.tasks.batch_inputs import is_several
    from restorekit.tasks.batch_report import SharedNotes
    from restorekit.tasks.picture_metrics import folder_metrics, picture_metrics

    wanted = names.split(",") if names else None
    if is_several(picture) or (picture.exists() and truth.is_dir()):
        heard, told = SharedNotes(), {"names": wanted, "crop": crop, **values(settings)}
        with bar_of_pictures() as show:
            table = folder_metrics(picture, truth, heard=lambda o: warn(ctx, *heard.heard(o)), progress=show, **told)
        warn(ctx, *heard.repeated())
        print(json_text(table.plain()) + "\n" if as_json else table.csv(), end="")
        warn_of_wrong(ctx, table.failed)
        raise typer.Exit(1 if table.failed else 0)
    figures = picture_metrics(picture, truth, names=wanted, crop=crop, notes=printed(ctx), **values(settings))
    print(json_text(figures) if as_json else "\n".join(f"{name:6} {value:.4f}" for name, value in figures.items()))


@app.command()
def sar(
    ctx: typer.Context,
    measured: Annotated[Path, typer.Argument(metavar="MEASURED", help="The scene as measured: GeoTIFF, NPY, PNG.", show_default=False)],
    restored: Annotated[Path, typer.Argument(metavar="RESTORED", help="Despeckled, of the same size and unit; of complex data an intensity.", show_default=False)],
    truth: Annotated[Path | None, typer.Option(metavar="FILE", help="The scene without speckle, in the unit of RESTORED: PSNR, SSIM, bias and more are added.")] = None,
    by: Annotated[Path | None, typer.Option(metavar="FILE", help="A scene of the place with other speckle, as another polarisation or date: levels are sorted by it, and not by RESTORED.")] = None,
    domain: Annotated[str, typer.Option(help="Unit of the files: intensity, amplitude, db, complex, db:LO,HI (stretched); auto takes what MEASURED says, and says so.")] = "auto",
    looks: Annotated[str, typer.Option(help="Looks of MEASURED; auto measures them where it is flat.")] = "auto",
    bands: Annotated[str | None, typer.Option(metavar="N,N,…", help="Bands of MEASURED, from 1; with --domain real,imaginary these two. Default: all.")] = None,
    product: Annotated[str | None, typer.Option(metavar="WORD,WORD,…", help="What is taken of MEASURED, a product of a radar satellite, as for `despeckle`.")] = None,
    window: Annotated[str | None, typer.Option(metavar="TOP,LEFT,HEIGHT,WIDTH", help="Pixels of a flat part, for ENL and C_x.")] = None,
    target: Annotated[str | None, typer.Option(metavar="TOP,LEFT,HEIGHT,WIDTH", help="Pixels of a bright target, for TCR.")] = None,
    as_json: Json = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="A page with pictures, the ratio and its histogram.")] = None,
) -> None:  # fmt: skip
    """Judge a despeckled scene by its own statistics, and by the truth where there is one.

    Pixels without a value in either file do not count. Bands are judged one by one.

    restorekit metrics sar scene.tif despeckled.tif --report quality.html
    """
    from restorekit.files.atomic import check_page
    from restorekit.files.picture import json_text
    from restorekit.tasks.judge import SpeckleAssessment

    if report is not None:
        check_page(report)
    task = SpeckleAssessment(
        **values(
            {"domain": domain, "looks": looks, "bands": bands, "product": product, "window": window, "target": target}
        )
    )
    result = task(measured, restored, truth, by=by, report=report, notes=printed(ctx))
    print(as_options(json_text(result.plain()) if as_json else str(result), options_of(ctx)))
    if report is not None:
        (page,) = result.save(report, command_of(ctx))
        print(printable(f"restorekit: {page} written ({page.stat().st_size / 1e6:.1f} MB)"), file=sys.stderr)


@app.command()
@shared_options(*PAIR, "layout", "page", **PAIR)
def fusion(
    ctx: typer.Context,
    optical: Optical,
    sar: Sar,
    fused: Annotated[Path, typer.Argument(metavar="FUSED", help="Fused picture, in the numbers of OPTICAL.", show_default=False)],
    as_json: Json = False,
    **settings: Any,
) -> None:  # fmt: skip
    """Compare FUSED with its sources, SAR made ready as `fuse` does. restorekit metrics fusion optical.tif sar.tif fused.tif"""
    from restorekit.files.picture import json_text
    from restorekit.fusion.scores import listed
    from restorekit.tasks.fusion_metrics import fusion_metrics

    figures, pair = fusion_metrics(optical, sar, fused, notes=printed(ctx), **values(settings))
    if as_json:
        return print(json_text(figures))
    print(f"SAR: {pair.record['domain']}, speckle filter {settings['despeckle']}, {settings['match']} of the luminance")
    print(listed(figures))
