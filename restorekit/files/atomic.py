"""Files that are written whole or not at all, one or several at once."""

from __future__ import annotations

import os
import secrets
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from restorekit.errors import BadInput


def one_line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:160]


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise BadInput where a file cannot be put at `path`: no folder, a device, no permission, too long a name."""
    target = os.path.realpath(path)
    folder, exists = os.path.dirname(target), os.path.exists(target)
    if os.path.isdir(target):
        raise BadInput(f"{path}: this is a folder; give a file name")
    if not os.path.isdir(folder):
        raise BadInput(f"{path}: there is no folder {folder}; make it first")
    # Replacing a device such as /dev/null would remove it.
    if exists and not os.path.isfile(target):
        raise BadInput(f"{path}: this is a device, not a file; give a file name")
    if not os.access(folder, os.W_OK | os.X_OK) or (exists and not os.access(target, os.W_OK)):
        raise BadInput(f"{path}: no permission to write it; choose another folder or change the mode")
    if len(os.fsencode(os.path.basename(target))) > 255:
        raise BadInput(f"{path}: the name is too long; use at most 255 bytes")


@dataclass(frozen=True)
class Waiting:
    """Files that are written, and have not taken their places: where each will be, and where it is now."""

    moves: dict[Path, Path] = field(default_factory=dict)

    def at(self, path: str | os.PathLike[str]) -> Path:
        """Where the content of `path` is to be read."""
        return self.moves.get(_real(path), Path(path))


_waiting: ContextVar[Waiting | None] = ContextVar("waiting", default=None)


@contextmanager
def together() -> Iterator[Waiting]:
    """What `atomic` writes inside takes its place at the end, in the order of writing; after an error none of it does.

    A file whose hashes or names stand in another is written before that, so that who finds the last one finds them all.
    A machine that fails between two renames leaves the first ones: a file system has no step for several of them. Within
    another `together` files wait for the end of that one. Threads that are begun inside know nothing of it.
    """
    if (outer := _waiting.get()) is not None:
        yield outer
        return
    waiting = Waiting()
    token = _waiting.set(waiting)
    try:
        yield waiting
        _place_all(waiting.moves)
    finally:
        _waiting.reset(token)
        for temporary in waiting.moves.values():
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A new file in the folder of `path` that takes its place once written without an error, and vanishes otherwise.

    Raises BadInput where the disk refuses, or what is written does not fit its format. Inside `together` it waits.
    """
    target, waiting = _real(path), _waiting.get()
    temporary = target.with_name(f".{target.stem[:40]}.{secrets.token_hex(4)}.tmp{target.suffix}")
    try:
        with _said(path):
            with open(temporary, "x+b") as handle:
                yield handle
                handle.flush()
                os.fsync(handle.fileno())
            if waiting is None:
                _place(temporary, target)
        if waiting is not None:
            if (before := waiting.moves.pop(target, None)) is not None:
                before.unlink(missing_ok=True)
            waiting.moves[target] = temporary
    finally:
        if waiting is None or waiting.moves.get(target) != temporary:
            temporary.unlink(missing_ok=True)


def _real(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.realpath(path))


def _place_all(moves: dict[Path, Path]) -> None:
    """Each to its place, or none: what was there is kept beside until all have theirs."""
    kept: dict[Path, Path | None] = {}  # of files that have their place: what was there before
    spare: list[Path] = []
    try:
        for target, temporary in moves.items():
            with _said(target):
                old = _second_name(target) if target.exists() else None
                spare += [] if old is None else [old]
                _place(temporary, target)
                kept[target] = old
    except BaseException:
        for target, old in kept.items():
            target.unlink(missing_ok=True) if old is None else os.replace(old, target)
        raise
    finally:
        for old in spare:
            old.unlink(missing_ok=True)


def _second_name(target: Path) -> Path:
    """Another name of a file, so that there is one at every moment; a copy where the file system has no links."""
    old = target.with_name(f".{target.stem[:40]}.{secrets.token_hex(4)}.old{target.suffix}")
    try:
        os.link(target, old)
    except OSError:
        shutil.copy2(target, old)
    return old


def _place(temporary: Path, target: Path) -> None:
    if target.exists():
        shutil.copymode(target, temporary)
    os.replace(temporary, target)


@contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except BadInput:
        raise
    except (OSError, ValueError, OverflowError, struct.error) as error:
        raise BadInput(f"{path}: not written ({one_line(error)}); mend that or choose another place") from error
