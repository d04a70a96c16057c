"""Messages of the library in the words of the command line."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import typer

from restorekit.notes import Notes
from restorekit.text.terminal import one_line, printable

_OF_THE_INPUT = re.compile(r"(noise|range|transfer|clipped|mask|no data|kernel|denoise): ")
_NAMED = re.compile(r"`(\w+)(?:=([^`]*))?`")


def say(text: str) -> None:
    """Print a line on stdout that holds names of files."""
    print(printable(text))


def as_options(message: str, options: Collection[str]) -> str:
    """The message with every setting in backticks, `noise=auto`, as the option that it is, --noise auto.

    options: those of the command that ran, as "--noise", or of each spelling the one to show. Names of others stay as they are.

    >>> as_options("give `noise=gaussian:0.05`, see `fit`", ["--noise"])
    'give --noise gaussian:0.05, see `fit`'
    """

    def option(match: re.Match[str]) -> str:
        name, value = match.groups()
        found = f"--{name.rstrip('_').replace('_', '-')}"
        if found not in options:
            return match.group(0)
        shown = options[found] if isinstance(options, Mapping) else found
        return shown if value is None else f"{shown} {value}"

    return _NAMED.sub(option, message)


def spellings(command: Any) -> dict[str, str]:
    """The options of a command, as "--noise", each spelling with the first long one of its own, which messages show."""
    shown = {}
    for parameter in command.params:
        long = [option for option in parameter.opts if option.startswith("--")]
        shown |= dict.fromkeys(parameter.opts, (long or parameter.opts)[0])
    return shown


def options_of(context: typer.Context) -> dict[str, str]:
    """The options of the command that runs, as `spellings`."""
    return spellings(context.command)


def command_of(context: typer.Context) -> str:
    """Return the command that does the same again, for a shell: its arguments, and options that differ from their defaults."""
    words = list[object](context.command_path.split())
    for parameter in sorted(context.command.params, key=lambda p: p.param_type_name):  # arguments before options
        value = context.params.get(parameter.name or "")
        if parameter.param_type_name == "argument":
            words += value if isinstance(value, list) else [value]
        elif value not in (None, parameter.default):
            words += [parameter.opts[0]] if value is True else [parameter.opts[0], value]
    return shlex.join(map(str, words))


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


def printed(context: typer.Context) -> Notes:
    """Notes that are printed on stderr as they come; those that say what was found in the input under their own head."""
    options = options_of(context)

    def show(text: str) -> None:
        head = "" if _OF_THE_INPUT.match(text) else "restorekit: note: "
        print(head + one_line(as_options(text, options)), file=sys.stderr)

    return Notes(show)


def print_progress(text: str) -> None:
    """Print how far a long run is, at once."""
    print(text, file=sys.stderr, flush=True)


def print_doubts(context: typer.Context, texts: Collection[str], notes: Notes) -> None:
    """Print what was found wrong with the result as a whole, last and as loud as an error: `texts` that are no `notes`."""
    for text in texts:
        if text not in notes.texts:
            print(f"restorekit: WARNING: {one_line(as_options(text, options_of(context)))}", file=sys.stderr)
