"""This module identifies an input in a record."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.files.record import read_file


def identity_of(path: Path | None, values: NDArray[Any] | None = None) -> dict[str, Any]:
    """Return path and SHA-256 of a file, or shape, type and SHA-256 of the values of what is none."""
    if path is not None:
        return read_file(path)
    assert values is not None
    raw = np.ascontiguousarray(values)
    digest = hashlib.sha256(raw.tobytes()).hexdigest()
    return {"path": None, "shape": list(raw.shape), "dtype": str(raw.dtype), "sha256": digest}
