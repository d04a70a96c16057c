"""cite: the BibTeX of what was used."""

from __future__ import annotations

from typing import Annotated

import typer


def cite(
    solvers: Annotated[list[str] | None, typer.Argument(help="Solver names; none: all.", show_default=False)] = None,
) -> None:
    """Print BibTeX. restorekit cite diffpir"""
    from restorekit.citations import CITATIONS
    from restorekit.errors import BadInput
    from restorekit.solvers import SOLVERS

    for name in solvers or []:
        if name not in SOLVERS:
            raise BadInput(f"unknown solver {name!r}; known: {', '.join(SOLVERS)}")
    keys = dict.fromkeys(SOLVERS[name].reference for name in (solvers or SOLVERS))
    print("\n\n".join(CITATIONS[key] for key in keys))
