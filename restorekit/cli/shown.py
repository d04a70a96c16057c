"""Notes of a task on stderr."""

from __future__ import annotations

import sys

import typer

from restorekit.cli.wording import as_options, options_of
from restorekit.notes import Notes


def shown(context: typer.Context, head: str = "restorekit: note: ") -> Notes:
    """Return notes that are printed as they come, after `head`, settings in the words of the command that runs."""
    options = options_of(context)
    return Notes(lambda text: print(f"{head}{as_options(text, options)}", file=sys.stderr))
