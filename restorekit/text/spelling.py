"""Settings become text again, for records and pages: `Gaussian(0.02)` -> "gaussian:0.02", `HQS(first=0.5)` ->
"hqs:first=0.5"."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from torch import Tensor

from restorekit.files.kernel_files import kernel_file
from restorekit.inference.likelihood import Likelihood
from restorekit.inference.solver import Solver
from restorekit.operators import (
    BlockAverage,
    CircularBlur,
    CircularDecimation,
    Decimate,
    FreeBlur,
    Grey,
    GridBlur,
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
from restorekit.text.grammar import split
from restorekit.text.jpeg_last import before
from restorekit.text.kernels import is_searched
from restorekit.text.names import NOISES

_OPERATIONS: dict[type[Operator], str] = {
    Identity: "denoise",
    Inpaint: "inpaint",
    CircularBlur: "blur",
    ReflectBlur: "blur",
    SymmetricBlur: "blur",
    FreeBlur: "blur",
    GridBlur: "blur",
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


def located(text: str) -> str:
    """Return the text of an operator with the files and folders that it names, as a kernel or a mask, by their absolute paths.

    So a record finds them from wherever it is read. A path that the grammar cannot hold, with a comma or an equals sign, is
    left as it was given.
    """
    body, bar, last = text.rpartition("|") if before(text) is not None else (text, "", "")
    name, positional, named = split(body)
    if name.endswith(".py"):
        return f"{os.path.abspath(name)}{text[len(name) :]}" if os.path.isfile(name) else text
    told = [
        *(positional[:1] if name in ("blur", "inpaint") else []),
        *(named.get(key, "") for key in ("kernel", "mask")),
    ]
    whole = {value: os.path.abspath(value) for value in told if value and _is_there(value)}
    settings = [whole.get(value, value) for value in positional]
    settings += [f"{key}={whole.get(value, value)}" for key, value in named.items()]
    found = f"{name}:{','.join(settings)}"
    again = name, settings[: len(positional)], {key: whole.get(value, value) for key, value in named.items()}
    return f"{found}{bar}{last}" if whole and split(found) == again else text


def _is_there(value: str) -> bool:
    return not is_searched(value) and (os.path.exists(value) or kernel_file(value) is not None)


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
