"""The settings of one command are read from and written as YAML: lines of NAME: VALUE, each value as the command line
has it.
"""

from __future__ import annotations

import difflib
import os
import textwrap
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import yaml

from restorekit.errors import BadInput

NOTHING = ("", "~", "null")  # the default is taken
WIDTH = 100


def read_settings(path: str | os.PathLike[str], known: Collection[str], command: str) -> dict[str, str | list[str]]:
    """Return the settings in a file by name, texts and lists of texts; "off" and "1e-5" are what they say, and null is left out.

    known: names that `command` has, with _ for -. Raises `BadInput` for a file that is none, and for unknown names.
    """
    place = Path(path)
    try:
        raw = yaml.load(place.read_text(encoding="utf-8"), Loader=yaml.BaseLoader) or {}
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; `print_config` shows what one is like", argument="config") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path} is not YAML ({' '.join(str(error).split())[:160]}); write lines of NAME: VALUE"
        ) from None
    if not isinstance(raw, dict):
        raise BadInput(f"{path}: expected lines of NAME: VALUE, as `print_config` shows them")
    found: dict[str, str | list[str]] = {}
    for key, value in raw.items():
        name = str(key).replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.5)
            advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise BadInput(f"{path}: {command} has no setting {key}; {advice}")
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(v, str) for v in values):
            raise BadInput(f"{path}: {key} is to be one value, or a list of values")
        if value not in NOTHING:
            found[name] = value
    return found


def settings_text(command: str, settings: Iterable[tuple[str, Any, str]]) -> str:
    """Return the text of such a file for triples (name, value, help), with the help above each line as its comment."""
    parts = [f"# Settings of `{command}`; null is the default."]
    for name, value, help_ in settings:
        comment = textwrap.wrap(help_, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
        plain = [str(v) for v in value] if isinstance(value, list | tuple) else value
        plain = os.fspath(plain) if isinstance(plain, os.PathLike) else plain
        line = yaml.safe_dump({name: plain}, default_flow_style=False, allow_unicode=True, width=10**9)
        parts.append("\n".join([*comment, line.rstrip()]))
    return "\n\n".join(parts)
