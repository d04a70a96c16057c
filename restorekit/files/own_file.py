"""A Python file of the user's, which is run as code: an operator, a solver, a noise law, a prior, an exam."""

from __future__ import annotations

import runpy
import traceback
from pathlib import Path
from typing import Any

from restorekit.errors import BadInput
from restorekit.files.session import opened


def run_own_file(file: str, example: str) -> dict[str, Any]:
    """Run a Python file and return its names. Raises BadInput where it is missing, and with its line where it fails.

    example: what a class in such a file may be called, "MySolver".
    """
    if not Path(file).is_file():
        raise BadInput(f"{file}: no such file; give an existing Python file, as in mine.py:{example}")
    opened(file)
    try:
        return runpy.run_path(file)
    except BadInput:
        raise
    except (Exception, SystemExit) as error:  # whatever the code of another raises
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise BadInput(f"{file}{_line(file, error)}: {why}; mend the file") from error


def _line(file: str, error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename == file:
        return f", line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f", line {lines[-1]}" if lines else ""
