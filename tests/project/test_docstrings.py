"""Docstrings are sentences: every public name has one, none begins without a subject, and the public face says shapes and errors.

A test cannot tell a good sentence; it holds what can be counted. A method needs no docstring of its own where a base class has
one, or where it is a single statement; on the public face the second does not count.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from torch import nn

import restorekit

ROOT = Path(__file__).parents[2]
FILES = sorted(p for room in ("restorekit", "operators", "solvers") for p in (ROOT / room).rglob("*.py"))
FILES = [p for p in FILES if not any(parent.is_symlink() for parent in p.parents)]
NO_SUBJECT = re.compile(r"(Of|As|What|From|Whether|How|Where|That|Those|Which|With|For|By|In|To|Per|Also|Or|And)\b")
SHAPE = re.compile(r"\([^()]*,[^()]*\)|\blike [a-z`]|of any shape|one number")  # (B, C, H, W), like x
HOMES = {(home.partition(":")[0], home.partition(":")[2] or name) for name, home in restorekit._HOME.items()}
ARRAYS = re.compile(r"\b(Tensor|ndarray|Array|Mask)\b")


@dataclass(frozen=True, eq=False)
class Documented:
    """A module, class or function, with its text."""

    path: Path
    node: ast.Module | ast.ClassDef | ast.FunctionDef
    owner: ast.ClassDef | None = None

    @property
    def name(self) -> str:
        own = "" if isinstance(self.node, ast.Module) else self.node.name
        return f"{self.owner.name}.{own}" if self.owner else own

    @property
    def public(self) -> bool:
        return not any(part.startswith("_") for part in self.name.split("."))

    @cached_property
    def text(self) -> str:
        return ast.get_docstring(self.node) or ""

    def __str__(self) -> str:
        line = 1 if isinstance(self.node, ast.Module) else self.node.lineno
        return f"{self.path.relative_to(ROOT)}:{line} {self.name or '(module)'}"


def within(path: Path) -> Iterator[Documented]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield Documented(path, tree)
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield Documented(path, node)
        if isinstance(node, ast.ClassDef):
            yield from (Documented(path, sub, node) for sub in node.body if isinstance(sub, ast.FunctionDef))


@cache
def everything() -> list[Documented]:
    return [part for path in FILES for part in within(path)]


@cache
def classes() -> dict[str, ast.ClassDef]:
    return {part.node.name: part.node for part in everything() if isinstance(part.node, ast.ClassDef)}


def inherits(kind: ast.ClassDef, method: str) -> bool:
    """Return True where a base class, here or in torch, documents a method or field of this name."""
    for base in kind.bases:
        base = base.value if isinstance(base, ast.Subscript) else base
        name = base.id if isinstance(base, ast.Name) else base.attr if isinstance(base, ast.Attribute) else ""
        if hasattr(getattr(nn, name, None), method):
            return True
        if name not in classes():
            continue
        for sub in classes()[name].body:
            if isinstance(sub, ast.FunctionDef) and sub.name == method and ast.get_docstring(sub):
                return True
            if isinstance(sub, ast.AnnAssign) and isinstance(sub.target, ast.Name) and sub.target.id == method:
                return True
        if inherits(classes()[name], method):
            return True
    return False


def on_the_face(part: Documented) -> bool:
    """Return True for operators, solvers, metrics, and what `restorekit` itself names."""
    place = part.path.relative_to(ROOT).with_suffix("").parts
    if place[0] == "operators" or (place[0] == "solvers" and "parts" not in place) or place[1:2] == ("metrics",):
        return True
    homes = restorekit._HOME.items()
    names = {
        home.partition(":")[2] or name for name, home in homes if tuple(home.partition(":")[0].split(".")) == place[1:]
    }
    return part.name.partition(".")[0] in names


def needs_a_docstring(part: Documented) -> bool:
    if isinstance(part.node, ast.Module):
        return bool(part.node.body)
    if not part.public or (part.owner and inherits(part.owner, part.node.name)):
        return False
    return part.owner is None or len(part.node.body) > 1 or on_the_face(part)


def raises(part: Documented) -> bool:
    """Return True where a function raises an error of its own, in its own body."""
    if not isinstance(part.node, ast.FunctionDef):
        return False
    nested = {
        id(n) for f in ast.walk(part.node) if isinstance(f, ast.FunctionDef) and f is not part.node for n in ast.walk(f)
    }
    return any(isinstance(n, ast.Raise) and n.exc is not None and id(n) not in nested for n in ast.walk(part.node))


def arrays(part: Documented) -> bool:
    """Return True where a function takes and returns arrays by its annotations."""
    if not isinstance(part.node, ast.FunctionDef) or part.node.returns is None:
        return False
    taken = [a.annotation for a in (*part.node.args.posonlyargs, *part.node.args.args) if a.annotation]
    return any(ARRAYS.search(ast.unparse(a)) for a in taken)


def test_every_public_name_has_a_docstring() -> None:
    assert [str(part) for part in everything() if needs_a_docstring(part) and not part.text] == []


def test_no_docstring_begins_without_a_subject() -> None:
    assert [f"{part}: {part.text[:60]}" for part in everything() if NO_SUBJECT.match(part.text)] == []


def test_a_first_paragraph_holds_a_whole_sentence() -> None:
    firsts = [(part, part.text.partition("\n\n")[0]) for part in everything() if part.text]
    assert [f"{part}: {first[-60:]}" for part, first in firsts if not re.search(r"[.:](\s|$)", first)] == []


def test_no_docstring_names_what_only_its_authors_know() -> None:
    told = re.compile(r"\bseed 0\d\d\b|\bDESIGN\b|version before", re.IGNORECASE)
    assert [str(part) for part in everything() if told.search(part.text)] == []


@cache
def face() -> list[Documented]:
    return [part for part in everything() if part.public and part.text and on_the_face(part)]


def test_the_face_is_found() -> None:
    names = {part.name for part in face()}
    assert {"restore", "denoise", "Problem.to", "psnr", "blur", "MMPS", "read_picture", "load_prior", "Gamma"} <= names


def test_the_face_says_what_it_raises() -> None:
    silent = [part for part in face() if raises(part) and not re.search(r"\b[Rr]aises?\b", part.text)]
    assert [f"{part}: {part.text}" for part in silent] == []


def test_the_face_says_shapes() -> None:
    assert [f"{part}: {part.text}" for part in face() if arrays(part) and not SHAPE.search(part.text)] == []
