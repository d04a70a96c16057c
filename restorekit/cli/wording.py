"""Messages of the library in the words of the command line."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Collection, Mapping
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

    options: those of the command that ran, as "--noise". Names of others stay as they are.

    >>> as_options("give `noise=gaussian:0.05`, see `fit`", ["--noise"])
    'give --noise gaussian:0.05, see `fit`'
    """

    def option(match: re.Match[str]) -> str:
        name, value = match.groups()
        found = f"--{name.rstrip('_').replace('_', '-')}"
        if found not in options:
            return match.group(0)
        return found if value is None else f"{found} {value}"

    return _NAMED.sub(option, message)


def options_of(context: typer.Context) -> list[str]:
    """The options of the command that runs, as "--noise"."""
    return [option for parameter in context.command.params for option in parameter.opts]


def printed(context: typer.Context) -> Notes:
    """Notes that are printed on stderr as they come; those that say what was found in the input under their own head."""
    options = options_of(context)

    def show(text: str) -> None:
        head = "" if _OF_THE_INPUT.match(text) else "restorekit: note: "
        print(head + one_line(as_options(text, options)), file=sys.stderr)

    return Notes(show)


def print_json(figures: Mapping[str, Any]) -> None:
    """Print figures by name, or parts of such, as JSON, which has no infinity: "inf"."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: plain(v) for name, v in value.items()}
        return str(value) if isinstance(value, float) and math.isinf(value) else value

    print(json.dumps(plain(figures)))


def print_progress(text: str) -> None:
    """Print how far a long run is, at once."""
    print(text, file=sys.stderr, flush=True)


def print_doubts(context: typer.Context, texts: Collection[str], notes: Notes) -> None:
    """Print what was found wrong with the result as a whole, last and as loud as an error: `texts` that are no `notes`."""
    for text in texts:
        if text not in notes.texts:
            print(f"restorekit: WARNING: {one_line(as_options(text, options_of(context)))}", file=sys.stderr)
