"""Tables in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def print_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, width: int, words: int | None = None, title: str | None = None
) -> None:  # fmt: skip
    """Print rows below a header, folded to `width`. words: so many columns from the left are text, the others numbers; None: all."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for i, column in enumerate(header):
        shown.add_column(column, justify="left" if words is None or i < words else "right", overflow="fold")
    for row in rows:
        shown.add_row(*row)
    Console(width=width).print(shown)
