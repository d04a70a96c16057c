"""compare: solvers side by side on one measurement, in one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from restorekit.cli.batch import perform, several
from restorekit.cli.options import REQUIRED, In, shared_options
from restorekit.text.completion import complete_operator, complete_solver


@several
@shared_options(
    "noise", "steps", "prior", "seed", "device", "tile", "precision", "range_", "preview", "transfer", "clipped", "layout", "pages",
    op=(Annotated[str, typer.Option(autocompletion=complete_operator, help="Forward model, as for `restore`.")], REQUIRED),
    solvers=(Annotated[list[str] | None, typer.Option("--solver", autocompletion=complete_solver, help="A name of `restorekit solvers`, with settings, as ddrm:eta=none; again for more. Default: a few that suit the task.", show_default=False)], None),
    samples=(Annotated[int, typer.Option(min=1, help="Draws of each sampler; an optimiser gives one answer.")], 4),
    truth=(Annotated[Path | None, typer.Option(metavar="FILE", help="The clean picture, as large as a result: errors, PSNR, SSIM and coverage are added.")], None),
    trajectory=(Annotated[int, typer.Option(min=0, max=64, help="Estimates on the way that are shown of each solver.")], 8),
)  # fmt: skip
def compare(
    ctx: typer.Context,
    source: In,
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Page to write, .html; OUT.json is written beside it.", show_default=False)],
    **settings: Any,
) -> None:  # fmt: skip
    """Compare solvers on one measurement IN, in one HTML page OUT that needs no network.

    A solver that cannot treat the problem is in the page with its reason.

    restorekit compare in.tif out.html --op blur:kernel=motion:15:30 --noise gaussian:0.02 --solver hqs --solver mmps
    """
    from restorekit import compare as run

    settings |= {"solvers": tuple(settings["solvers"] or ())}

    def line(result: Any, out: Path, files: list[Path]) -> str:
        return f"{out}  ({len(result.results)} solver(s), {files[0].stat().st_size / 1e6:.1f} MB, and .json)"

    perform(ctx, run, source, target, settings, line, suffix=".html")
