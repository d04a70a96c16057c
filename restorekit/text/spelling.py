"""Settings become text again, for records and pages: `Gaussian(0.02)` -> "gaussian:0.02", `HQS(first=0.5)` ->
"hqs:first=0.5"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from torch import Tensor

from restorekit.inference.likelihood import Likelihood
from restorekit.inference.solver import Solver
from restorekit.operators import (
    BlockAverage,
    CircularBlur,
    CircularDecimation,
    Decimate,
    FreeBlur,
    Grey,
    Hadamard,
    Identity,
    Inpaint,
    Mosaic,
    Operator,
    PhaseRetrieval,
    ReflectBlur,
    Resize,
    Saturate,
    SeparableDecimation,
    SymmetricBlur,
)
from restorekit.solvers import SOLVERS
from restorekit.text.names import NOISES

_OPERATIONS: dict[type[Operator], str] = {
    Identity: "denoise",
    Inpaint: "inpaint",
    CircularBlur: "blur",
    ReflectBlur: "blur",
    SymmetricBlur: "blur",
    FreeBlur: "blur",
    BlockAverage: "average",
    Decimate: "decimate",
    CircularDecimation: "decimate",
    SeparableDecimation: "decimate",
    Resize: "resize",
    Grey: "grey",
    Mosaic: "mosaic",
    Hadamard: "hadamard",
    PhaseRetrieval: "phase",
    Saturate: "saturate",
}


def operation(operator: str | Operator) -> str:
    """Return the name by which defaults are chosen: "blur" of "blur:kernel=k.png" or of a `FreeBlur`; else that of the
    class."""
    if isinstance(operator, str):
        return operator.partition(":")[0]
    return _OPERATIONS.get(type(operator), type(operator).__name__)


def noise_text(law: str | Likelihood) -> str:
    """Return the text of a noise law; of one with a value for each pixel its title."""
    return law if isinstance(law, str) else _spelled(law, NOISES) or law.title


def solver_text(solver: str | Solver) -> str:
    """Return the text of a solver, with the settings that are not its defaults; of one's own class its name."""
    return solver if isinstance(solver, str) else _spelled(solver, SOLVERS) or type(solver).__name__


def _spelled(made: Any, known: Mapping[str, type]) -> str | None:
    """Return the text, None where the class is not a known one, or a setting is no plain value."""
    name = next((name for name, cls in known.items() if cls is type(made)), None)
    if name is None:
        return None
    settings = {f.name: (getattr(made, f.name), f.default) for f in fields(made)}
    if any(isinstance(value, Tensor) for value, _ in settings.values()):
        return None
    needed = [f"{value:g}" for value, default in settings.values() if default is MISSING]
    others = [
        f"{key.rstrip('_')}={value}" for key, (value, default) in settings.items() if default not in (MISSING, value)
    ]
    return f"{name}:{','.join(needed + others)}" if needed or others else name
