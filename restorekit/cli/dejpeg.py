"""dejpeg: the picture that was written as a JPEG, by the bins of its coefficients."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from restorekit.cli.batch import perform, several
from restorekit.cli.options import PICTURE, Out, shared_options
from restorekit.text.completion import complete_noise


@several
@shared_options(
    *PICTURE,
    noise=(
        Annotated[
            str | None,
            typer.Option(
                "--noise",
                autocompletion=complete_noise,
                help="gaussian:SIGMA (white = 1), noise of the picture before it was a JPEG, which is then taken out as well; auto measures it.",
                show_default="none to speak of",
            ),
        ],
        None,
    ),
)
def dejpeg(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="IN", help="JPEG, as it was written by a camera or an encoder.", show_default=False)],
    target: Out,
    **settings: Any,
) -> None:  # fmt: skip
    """Take blocks, halos and smeared colours out of a JPEG, by the tables in the file. restorekit dejpeg photo.jpg photo.png"""
    from restorekit import dejpeg as run

    perform(ctx, run, source, target, settings, _line)


def _line(result: Any, out: Path, files: list[Path]) -> str:
    return f"{out}  ({result.nfe} network calls, {result.seconds:.1f} s, {len(files) - 1} picture(s) and .json)"
