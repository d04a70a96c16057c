"""A shell completes the names of solvers, operators, noise laws and priors by these functions, which do not import torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path


def complete_solver(incomplete: str) -> list[str]:
    """Return the names of solvers that begin so."""
    return _beginning(incomplete, _keys("restorekit.solvers", "SOLVERS"))


def complete_operator(incomplete: str) -> list[str]:
    """Return the names of operators that begin so."""
    return _beginning(incomplete, _keys("restorekit.text.names", "OPERATIONS"))


def complete_noise(incomplete: str) -> list[str]:
    """Return the names of noise laws that begin so, and auto."""
    return _beginning(incomplete, ["auto", *_keys("restorekit.text.names", "NOISES"), "grain"])


def complete_prior(incomplete: str) -> list[str]:
    """Return the names of shipped priors, and the files that could be one, that begin so."""
    folder = _place("restorekit").parent / "priors" / "weights"
    shipped = sorted(path.stem for path in folder.glob("*.safetensors"))
    here = Path(incomplete or ".")
    start = here if incomplete.endswith("/") or not incomplete else here.parent
    files = sorted(
        str(p) + "/" * p.is_dir() for p in start.glob("*") if p.is_dir() or p.suffix in (".safetensors", ".pt", ".py")
    )
    return _beginning(incomplete, [*shipped, *files])


def _beginning(incomplete: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _keys(module: str, table: str) -> list[str]:
    """Return the keys of a table in a module by its source alone, as the module itself imports torch."""
    return list(_read(ast.parse(_place(module).read_text(encoding="utf-8")), table))


def _read(tree: ast.Module, table: str) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == table:
            assert isinstance(node.value, ast.Dict)
            yield from (str(ast.literal_eval(key)) for key in node.value.keys if key is not None)


def _place(module: str) -> Path:
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)
