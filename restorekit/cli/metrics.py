"""metrics: how close a picture is to the truth, and what a radar scene or a fusion is judged by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from restorekit.cli import metrics_fusion, metrics_sar
from restorekit.cli.options import LayoutOpt, Page, Range


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
    ctx: typer.Context,
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", show_default=False)],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", show_default=False)],
    names: Annotated[str | None, typer.Option(help="Comma-separated; default: all of psnr, ssim, mae, rmse.")] = None,
    crop: Annotated[int, typer.Option(min=0, help="Pixels to leave out at each side.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    range_: Range = None,
    layout: LayoutOpt = None,
    page: Page = None,
) -> None:
    """Compare PICTURE with TRUTH on [0, 1]. restorekit metrics out.png truth.png"""
    import json

    from restorekit.cli.wording import printed
    from restorekit.tasks.picture_metrics import picture_metrics
    from restorekit.text.values import span

    figures = picture_metrics(
        picture, truth, names=names.split(",") if names else None, crop=crop, range=span(range_), layout=layout, page=page,
        notes=printed(ctx),
    )  # fmt: skip
    if as_json:
        print(json.dumps({k: v if v != float("inf") else "inf" for k, v in figures.items()}))
    else:
        print("\n".join(f"{name:6} {value:.4f}" for name, value in figures.items()))


app.command("sar")(metrics_sar.sar)
app.command("fusion")(metrics_fusion.fusion)
