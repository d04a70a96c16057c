"""Texts are made safe for a terminal."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Return the text in one line that a terminal cannot mistake for commands: other white space becomes spaces, and control
    characters and bytes of a file name that are no UTF-8 are written as escapes.

    >>> one_line("a\\x1b[31m\\nb")
    'a\\\\x1b[31m b'
    """
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """Return the text with every control character, and every byte of a file name that is no UTF-8, as an escape.

    >>> printable("a\\x1b[31m  (3 files)")
    'a\\\\x1b[31m  (3 files)'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
