"""cite: the BibTeX of what was used."""

from __future__ import annotations

from typing import Annotated

import typer


def cite(
    solvers: Annotated[list[str] | None, typer.Argument(help="Solver names; none: all.", show_default=False)] = None,
) -> None:
    """Print BibTeX. restorekit cite diffpir"""
    from restorekit.text.names import references

    print("\n\n".join(references(solvers)))
