"""change: what changed between two dates of one place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from restorekit.cli.options import Overwrite, shared_options, values
from restorekit.cli.wording import command_of, printed, say


@shared_options(
    domain=(Annotated[str, typer.Option(help="What the values are: intensity, amplitude, db, complex; db:LO,HI, stretched to bytes; auto takes what the file says, and says so.")], "auto"),
    looks=(Annotated[str, typer.Option(help="Looks of the speckle; auto measures them where the scene is flat.")], "auto"),
    grain=(Annotated[str | None, typer.Option(metavar="RHO_ROW,RHO_COL|NAME", help="Correlation of the intensity of speckle with the next row and column, or the name of a product, as of despeckle. Default: of the product, or measured.")], None),
    bands=(Annotated[str | None, typer.Option(metavar="N,N,…", help="Bands to compare, from 1. Default: all.")], None),
    changes=(Annotated[str, typer.Option(metavar="auto|RATE", help="Share of the pixels without a change that are called changed; auto is 1e-3.")], "auto"),
)  # fmt: skip
def change(
    ctx: typer.Context,
    first: Annotated[Path, typer.Argument(metavar="A", help="The first date: as measured, or despeckled with samples.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="B", help="The second date, on the same grid.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A GeoTIFF of four bands for each of the dates: change, low and high (a 90 % interval) in dB, and 1 where that is none of chance.", show_default=False)],
    absolute: Annotated[bool, typer.Option("--absolute", help="Compare the levels of the dates as a whole too; without it change is relative to their ratio, which is said.")] = False,
    report: Annotated[Path | None, typer.Option(metavar="PAGE.html", help="A page with the map, the width of its intervals, the mask, and what was checked.")] = None,
    overwrite: Overwrite = False,
    **settings: Any,
) -> None:  # fmt: skip
    """Say what changed from A to B, in dB, with its error bar, and where that is none of speckle.

    restorekit change may.tif june.tif change.tif --looks 4.4
    """
    from restorekit.cli.batch import check_report
    from restorekit.files.overwrite import overwriting, separate
    from restorekit.tasks.change import change as run

    given = values(settings)
    if settings["changes"] == "auto":
        given.pop("changes")
    with overwriting(overwrite):
        check_report(first, report)
        separate([first, second], [target], [report] if report else [])
        result = run(first, second, target, notes=printed(ctx), absolute=absolute, **given)
        if report is not None:
            result.save_page(report, command_of(ctx))
    say(", ".join(map(str, [*result.files, *([report] if report else [])])))
