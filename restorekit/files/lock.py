"""One run at a time keeps a folder or a file, by locks of the operating system: a killed run leaves none behind.

They are advisory: they bind runs of this package, not other programs. On network file systems they are what the server
makes of them: NFS without a lock service refuses them, some clusters grant one to each machine. Runs on different
machines are better given different folders.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from restorekit.errors import BadInput
from restorekit.files.atomic import check_way


@contextmanager
def alone(folder: Path, way_out: str = "wait for it, or give another `out`", *, beside: bool = False) -> Iterator[None]:
    """Keep `folder`, which is made if need be, to this run until the end of the block.

    beside: the lock is no file of the folder. Folders that were made for it, and in which nothing was written, are gone at
    the end. Raises BadInput at once where
    another run has it, and says which one; also where the file system gives no locks.
    """
    check_way(folder)
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    lock, ours = _beside(folder) if beside else folder / ".lock", False
    try:
        with _held(lock, folder, way_out):
            ours = True
            yield
    finally:
        with suppress(OSError):
            if not [p for p in folder.rglob("*") if p.is_file() and p != lock]:  # what was asked for was refused
                if ours:
                    lock.unlink()
                for place in made:
                    place.rmdir()


@contextmanager
def alone_with(file: Path, way_out: str = "wait for it, or give another `out`") -> Iterator[None]:
    """Keep one file, which may not be there yet, to this run, as `alone` keeps a folder; its folder has to be there."""
    with _held(_beside(file), file, way_out):
        yield


@contextmanager
def in_turn(file: Path) -> Iterator[None]:
    """Wait until no other process is in such a block for `file`: for reads and writes of a moment."""
    with FileLock(str(_beside(file))):
        yield


@contextmanager
def _held(lock: Path, place: Path, way_out: str) -> Iterator[None]:
    held, holder = FileLock(str(lock), timeout=0), lock.with_name(f"{lock.name}.json")
    try:
        held.acquire()
    except Timeout:
        raise BadInput(f"{place}: another run writes there{_who(holder)}; {way_out}") from None
    except OSError as error:
        raise BadInput(f"{place}: it cannot be locked ({error.strerror or error}); give another folder") from None
    try:
        _say_holder(holder)
        yield
    finally:
        holder.unlink(missing_ok=True)
        held.release()


def _beside(file: Path) -> Path:
    real = Path(os.path.realpath(file))  # by whatever name
    return real.with_name(f".{real.name}.lock")


def _say_holder(holder: Path) -> None:
    """Write who holds the lock beside it and not in it, which whoever asks for the lock may empty."""
    program = Path(sys.argv[0]).stem.replace("__main__", "restorekit")  # of `python -m restorekit`
    found = {"pid": os.getpid(), "host": platform.node(), "command": " ".join([program, *sys.argv[1:2]])}
    holder.write_text(json.dumps(found), encoding="utf-8")


def _who(holder: Path) -> str:
    try:
        found: Any = json.loads(holder.read_text(encoding="utf-8"))
        return f" (`{found['command']}`, process {found['pid']} on {found['host']})"
    except (OSError, ValueError, KeyError, TypeError):  # it has the lock and has not said so yet
        return ""
