"""check: does an operator satisfy every identity it must?"""

from __future__ import annotations

from typing import Annotated

import typer


def check(
    op: Annotated[
        str,
        typer.Argument(
            metavar="OP",
            help="As for `restore --op`, or your own file.py:Class:settings, and that file is run as code.",
            show_default=False,
        ),
    ],
    size: Annotated[str, typer.Option(help="CxHxW of the picture.")] = "3x20x16",
    dtype: Annotated[str, typer.Option(help="float64 or float32.")] = "float64",
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Print every identity of an operator with both sides; exit 1 if one fails. restorekit check blur:kernel=gaussian:1.6"""
    import torch

    from restorekit.errors import BadInput
    from restorekit.operators import check as run
    from restorekit.operators import report
    from restorekit.text.names import operator_of

    try:
        channels, height, width = (int(n) for n in size.split("x"))
    except ValueError:
        raise BadInput(f"--size {size!r} is not understood; give bands, height and width, as 3x20x16") from None
    if dtype not in ("float64", "float32"):
        raise BadInput(f"--dtype {dtype!r} is unknown; it is float64 or float32")
    results = run(operator_of(op, image=(channels, height, width)), getattr(torch, dtype), seed=seed)
    print(report(results))
    failed = [c.name for c in results if not c.passed]
    if failed:
        raise BadInput(f"{len(failed)} of {len(results)} identities fail: {', '.join(failed)}; mend the operator")
    print(f"all {len(results)} identities hold")
