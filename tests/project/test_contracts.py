"""What no linter holds: whose job it is to speak of options, to write to the terminal, to open files; and names that are one."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import restorekit

ROOT = Path(__file__).parents[2]
ROOMS = [ROOT / "restorekit", ROOT / "operators", ROOT / "solvers"]
FILES = sorted(p for room in ROOMS for p in room.rglob("*.py") if not p.is_symlink())
OUTSIDE_CLI = [p for p in FILES if p.relative_to(ROOT).parts[:2] != ("restorekit", "cli")]


def place(path: Path) -> str:
    return str(path.relative_to(ROOT))


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """String literals that are no docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


def options_in(text: str) -> bool:
    """Whether a text names an option; variables of style sheets are none, nor are flags of other programs."""
    words = text.replace("(", " ").replace("`", " ").split()
    return any(w.startswith("--") and w[2:3].isalpha() and not w.endswith(":") and "var(" not in text for w in words)


@pytest.mark.parametrize("path", OUTSIDE_CLI, ids=place)
def test_only_commands_speak_of_options(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [f"{line}: {text}" for line, text in texts(tree) if options_in(text)] == []


def test_only_commands_write_to_the_terminal() -> None:
    found = [place(p) for p in OUTSIDE_CLI if "sys.stderr" in p.read_text(encoding="utf-8")]
    assert found == []


def test_no_class_is_in_two_rooms() -> None:
    homes: dict[str, set[str]] = defaultdict(set)
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].add(place(path.parent))
    assert {name: sorted(rooms) for name, rooms in homes.items() if len(rooms) > 1} == {}


def test_no_file_is_in_two_rooms_but_a_task_and_its_command() -> None:
    homes: dict[str, set[str]] = defaultdict(set)
    for path in FILES:
        if path.name != "__init__.py" and path.parent != ROOT / "restorekit":
            homes[path.name].add(place(path.parent))
    twice = {name: rooms for name, rooms in homes.items() if len(rooms) > 1}
    assert {
        name: sorted(rooms) for name, rooms in twice.items() if rooms != {"restorekit/cli", "restorekit/tasks"}
    } == {}


def test_rooms_import_nothing_by_themselves() -> None:
    rooms = [p for p in FILES if p.name == "__init__.py" and p.parent.parent == ROOT / "restorekit"]
    assert len(rooms) > 15
    for path in rooms:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert all(isinstance(node, ast.Expr) for node in body), place(path)


def test_every_public_name_is_callable_after_every_module_is_imported() -> None:
    """A room that had the name of a function would take its place."""
    code = (
        "import importlib, pkgutil, types, restorekit\n"
        "for m in pkgutil.walk_packages(restorekit.__path__, 'restorekit.'):\n"
        "    if '__main__' not in m.name: importlib.import_module(m.name)\n"
        "rooms = {'operators', 'solvers', 'metrics'}\n"
        "bad = [n for n in restorekit.__all__ if n not in rooms and not callable(getattr(restorekit, n))]\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert len(restorekit.__all__) >= 40
