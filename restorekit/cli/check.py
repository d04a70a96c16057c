"""check: does an operator, a solver, a noise law or a prior satisfy what it must?"""

from __future__ import annotations

from typing import Annotated

import typer

from restorekit.cli.options import Seed


def check(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="As for `restore --op`, --solver, --noise or --prior, or your own file.py:Name:settings, and that file is run as code.", show_default=False)],
    sides: Annotated[str, typer.Option("--size", help="CxHxW of the picture, for an operator or a prior.")] = "3x20x16",
    dtype: Annotated[str, typer.Option(help="float64 or float32, for an operator or a noise law.")] = "float64",
    seed: Seed = 0,
) -> None:  # fmt: skip
    """Print what an operator, a solver, a noise law or a prior must satisfy, with both sides; exit 1 if something fails.

    restorekit check blur:kernel=gaussian:1.6        restorekit check mine.py:MySolver
    """
    from restorekit.bench.named_check import show_checks

    show_checks(what, sides, dtype, seed, print)
