"""A solver from text: `diffpir:zeta=0.5`, or the user's own `file.py:Class:setting=1`."""

from __future__ import annotations

from restorekit.errors import BadInput
from restorekit.inference.problem import Solver
from restorekit.solvers import SOLVERS
from restorekit.text import spec


def solver(text: str) -> Solver:
    """Raises BadInput for an unknown name or setting, and lists the known ones."""
    mine = spec.own(text, Solver)
    if mine is not None:
        return spec.build(mine[0], *spec.split(mine[1]), mine[2])
    name, positional, named = spec.split(text)
    if name not in SOLVERS:
        raise BadInput(f"unknown solver {name!r}; known: {', '.join(SOLVERS)}, or file.py:Class")
    return spec.build(SOLVERS[name], name, positional, named)
