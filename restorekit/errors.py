"""Errors that a user can mend, and a stop that a user asked for. The command line prints their one line and leaves.

A message names settings by their Python names in backticks, with a value where one is advised: "give `noise=gaussian:0.05`".
The command line writes such a name as its option, `--noise gaussian:0.05`, where the command that ran has one.
"""

import traceback
from pathlib import Path


class BadInput(ValueError):
    """Something about the input is wrong; the message says what, and the way out.

    argument: the name of the setting that is wrong, where it is one.
    """

    def __init__(self, message: str = "", *, argument: str | None = None):
        super().__init__(message)
        self.argument = argument


class Unsupported(BadInput):
    """A combination that cannot work; the message names what can."""


class Stopped(BaseException):
    """A signal ended a run in good order; the message says how to go on. No Exception, as KeyboardInterrupt is none.

    code: what a process ends with, 128 + the number of the signal.
    """

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.code = 128 + number


OUT_OF_MEMORY = "out of memory; take a smaller picture, `batch` or `tile`"


def is_want_of_memory(error: BaseException) -> bool:
    """Return True where an error says that memory ran out; torch has no class of its own for that on a CPU."""
    texts = ("allocate memory", "out of memory", "Storage size calculation overflow")
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(t in str(error) for t in texts))


FAULT = "this is a fault of restorekit, not of what was asked"


def unforeseen(error: BaseException) -> str:
    """Return a line about an error that no code of ours raised: of the disk, for want of memory, or a fault, and what to do."""
    if is_want_of_memory(error):
        return OUT_OF_MEMORY
    if isinstance(error, OSError):
        what = f"{error.filename or ''}: {error.strerror or error}".lstrip(": ")
        return f"{what}; check the path and the disk"
    places = traceback.extract_tb(error.__traceback__)
    ours = [p for p in places if "restorekit" in Path(p.filename).parts] or places
    where = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    why = f"{type(error).__name__}: {str(error)[:160]}".rstrip(": ")
    return f"{FAULT} ({why}{where}); run it again with `debug`, which shows the traceback, and report that"
