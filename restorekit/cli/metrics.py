"""metrics: how close a picture is to the truth, and what a radar scene or a fusion is judged by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from restorekit.cli import metrics_fusion, metrics_sar
from restorekit.cli.options import Range


class Words(TyperGroup):
    """The first word is a command if it is the name of one, and otherwise a picture."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = not args or args[0] in self.commands or args[0] == "--help"
        return super().parse_args(ctx, args if named else ["pictures", *args])


app = typer.Typer(
    cls=Words,
    no_args_is_help=True,
    help="How close a picture is to the truth: restorekit metrics PICTURE TRUTH, with the options of `metrics pictures`. "
    "And what else results are judged by.",
)


@app.command()
def pictures(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", show_default=False)],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", show_default=False)],
    names: Annotated[str | None, typer.Option(help="Comma-separated; default: all of psnr, ssim, mae, rmse.")] = None,
    crop: Annotated[int, typer.Option(min=0, help="Pixels to leave out at each side.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    range_: Range = None,
) -> None:
    """Compare PICTURE with TRUTH on [0, 1]. restorekit metrics out.png truth.png"""
    import json
    import sys

    import numpy as np

    from restorekit.cli.options import span
    from restorekit.errors import BadInput
    from restorekit.files.picture import read_picture
    from restorekit.metrics.fidelity import compare
    from restorekit.tasks.unmeasured import refuse_turned, turned_size

    read = [read_picture(path, span(range_)) for path in (picture, truth)]
    a, b = (p.pixels for p in read)
    refuse_turned(read[0], picture, read[1], truth)
    if a.shape != b.shape and (why := turned_size(*read)):
        raise BadInput(
            f"{picture} is {a.shape[1]}x{a.shape[2]} pixels, {truth} {b.shape[1]}x{b.shape[2]}{why}; turn one of them"
        )
    if 2 * crop >= min(a.shape[1:]):
        raise BadInput(f"--crop {crop} leaves nothing of {a.shape[1]}x{a.shape[2]} pixels; choose a smaller one")
    inner = slice(crop, -crop or None)
    valid = None
    if a.shape == b.shape and (empty := [p.empty.where for p in read if p.empty is not None]):
        valid = ~np.logical_or.reduce(empty)[inner, inner]
        if not valid.all():
            print(f"restorekit: note: {(~valid).sum()} pixels are no data and left out", file=sys.stderr)
    values = compare(a[:, inner, inner], b[:, inner, inner], names.split(",") if names else None, valid)
    if as_json:
        print(json.dumps({k: v if v != float("inf") else "inf" for k, v in values.items()}))
    else:
        print("\n".join(f"{name:6} {value:.4f}" for name, value in values.items()))


app.command("sar")(metrics_sar.sar)
app.command("fusion")(metrics_fusion.fusion)
