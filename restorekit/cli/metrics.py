"""metrics: how close a picture is to the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.options import Range


def metrics(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", show_default=False)],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", show_default=False)],
    names: Annotated[str | None, typer.Option(help="Comma-separated; default: all of psnr, ssim, mae, rmse.")] = None,
    crop: Annotated[int, typer.Option(min=0, help="Pixels to leave out at each side.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    range_: Range = None,
) -> None:
    """Compare PICTURE with TRUTH on [0, 1]. restorekit metrics out.png truth.png"""
    import json

    from restorekit import io
    from restorekit.cli.options import span
    from restorekit.errors import BadInput
    from restorekit.metrics import compare

    a, b = (io.read(path, span(range_)).pixels for path in (picture, truth))
    if 2 * crop >= min(a.shape[1:]):
        raise BadInput(f"--crop {crop} leaves nothing of {a.shape[1]}x{a.shape[2]} pixels; choose a smaller one")
    inner = slice(crop, -crop or None)
    values = compare(a[:, inner, inner], b[:, inner, inner], names.split(",") if names else None)
    if as_json:
        print(json.dumps({k: v if v != float("inf") else "inf" for k, v in values.items()}))
    else:
        print("\n".join(f"{name:6} {value:.4f}" for name, value in values.items()))
