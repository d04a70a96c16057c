"""HTML in which text from outside cannot become markup: what is not `Html` is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import TypeAlias


class Html(str):
    """Text that is markup already; made by `tag` only, so that whatever a user gave has been escaped."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[Child] | None"
Attribute: TypeAlias = "str | float | bool | None"

_VOID = {"img", "input", "meta", "br", "col"}
_BLOCKS = {"section", "article", "figure", "header", "footer", "main", "table", "thead", "tbody", "tr", "div", "dl"}


def join(*children: Child) -> Html:
    """Children one after the other; strings are escaped, None is left out, sequences are walked through."""
    parts = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, str):
            parts.append(str(child) if isinstance(child, Html) else escape(child))
        else:
            parts.append(str(join(*child)))
    return Html("".join(parts))


def soft(text: str) -> Html:
    """Text such as `name:a=1,b=2`, which may be broken after a colon or comma but nowhere else."""
    parts = [escape(part) for part in re.split("(?<=[:,])", text)]
    return Html("<wbr>".join(parts))


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Html:
    """`<name attributes>children</name>`. `class_` is class, `data_x` is data-x; True is bare, None and False absent."""
    shown = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        label = key.rstrip("_").replace("_", "-")
        shown.append(f" {label}" if value is True else f' {label}="{escape(str(value))}"')
    opening = f"<{name}{''.join(shown)}>"
    end = "\n" if name in _BLOCKS else ""
    return Html(opening if name in _VOID else f"{opening}{join(*children)}</{name}>{end}")
