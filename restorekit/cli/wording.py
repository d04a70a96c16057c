"""Messages of the library in the words of the command line."""

from __future__ import annotations

import re
from collections.abc import Collection

_NAMED = re.compile(r"`(\w+)(?:=([^`]*))?`")


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
