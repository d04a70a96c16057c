"""The settings of one command are read from and written as YAML: lines of NAME: VALUE, each value as the command line
has it.
"""

from __future__ import annotations

import difflib
import os
import re
import textwrap
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from restorekit.errors import BadInput

NOTHING = ("", "~", "null")  # the default is taken
WIDTH = 100


class ConfigEntry(NamedTuple):
    """A setting in a file: its text, or texts of a list, and the line that it stands in, from 1."""

    value: str | list[str]
    line: int


def read_settings(path: str | os.PathLike[str], known: Collection[str], command: str) -> dict[str, ConfigEntry]:
    """Return the settings in a file by name, texts and lists of texts; "off" and "1e-5" are what they say, and null is left out.

    known: names that `command` has, with _ for -. Raises `BadInput` for a file that is none, for unknown names, and for one that
    stands there twice.
    """
    place = Path(path)
    try:
        root = yaml.compose(place.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; `print_config` shows what one is like", argument="config") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path} is not YAML ({' '.join(str(error).split())[:160]}); write lines of NAME: VALUE"
        ) from None
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise BadInput(f"{path}: expected lines of NAME: VALUE, as `print_config` shows them")
    found: dict[str, ConfigEntry] = {}
    for key, value in root.value:
        line = key.start_mark.line + 1
        name = str(key.value).replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.5)
            advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise BadInput(f"{path}: {command} has no setting {key.value}; {advice}")
        if name in found:
            raise BadInput(
                f"{path}, line {line}: {key.value} stands in line {found[name].line} too; leave one of them out"
            )
        nodes = value.value if isinstance(value, yaml.SequenceNode) else [value]
        if not all(isinstance(node, yaml.ScalarNode) for node in nodes):
            raise BadInput(f"{path}, line {line}: {key.value} is to be one value, or a list of values")
        texts = [node.value for node in nodes]
        found[name] = ConfigEntry(texts if isinstance(value, yaml.SequenceNode) else texts[0], line)
    return {name: entry for name, entry in found.items() if entry.value not in NOTHING}


def place_of(error: BadInput, known: Iterable[tuple[str, str, Sequence[str]]]) -> str | None:
    """Return the place of the setting that an error speaks of, by its name or its text; None where it cannot be told.

    known: (name, place, texts) of the settings of a file.
    """
    text, found = str(error), []
    for name, place, texts in known:
        named = error.argument == name or re.match(rf"`{name}\b", text) is not None
        said = any(repr(t) in text or text.removeprefix(f"{name} ").startswith(f"{t}:") for t in texts)
        found += [(not named, place)] if named or said else []
    return min(found)[1] if found else None


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
