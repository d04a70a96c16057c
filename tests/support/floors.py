"""Print the oldest versions that pyproject.toml declares, one requirement a line: `make test-floors` installs these.

python tests/support/floors.py [EXTRA ...]     with the extras that are named, and those that they name
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def project() -> dict[str, Any]:
    """Return the table [project] of pyproject.toml; on Python 3.10 by tomli, which pytest needs there and pip carries."""
    names = ["tomllib"] if sys.version_info >= (3, 11) else ["tomli", "pip._vendor.tomli"]
    for name in names:
        with suppress(ModuleNotFoundError):
            return importlib.import_module(name).loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    raise ModuleNotFoundError(f"no reader of TOML; install {names[0]}")


def requirements(table: dict[str, Any], extras: Iterable[str]) -> Iterator[str]:
    """Yield the requirements of the project and of `extras`; `project[a,b]` in an extra stands for those of a and b."""
    yield from table["dependencies"]
    waiting, seen = list(extras), set()
    while waiting:
        if (extra := waiting.pop(0)) in seen:
            continue
        seen.add(extra)
        for requirement in table["optional-dependencies"][extra]:
            if own := re.fullmatch(rf"{table['name']}\[([\w,-]+)\]", requirement):
                waiting += own[1].split(",")
            else:
                yield requirement


def floor(requirement: str) -> str:
    """Return `name>=X` as `name==X`, markers kept. Raises ValueError where no lower bound alone is declared."""
    found = re.fullmatch(r"([\w.-]+(?:\[[\w,-]+\])?)>=([\w.]+)(\s*;.*)?", requirement)
    if not found:
        raise ValueError(f"{requirement!r} in pyproject.toml declares no floor; write NAME>=VERSION")
    return f"{found[1]}=={found[2]}{found[3] or ''}"


if __name__ == "__main__":
    print("\n".join(sorted({floor(line) for line in requirements(project(), sys.argv[1:])})))
