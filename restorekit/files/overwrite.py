"""An input must not be written over, nor may one output replace another: a measurement cannot be had again.

A command asks before it replaces a file that it did not make, a function of Python does not: `overwriting`.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from restorekit.errors import BadInput
from restorekit.files import session
from restorekit.files.atomic import check_name, check_way
from restorekit.files.session import is_the_input, number_of

_refused: ContextVar[str | None] = ContextVar("refused", default=None)


@contextmanager
def overwriting(allowed: bool, other: str = "") -> Iterator[None]:
    """Within the block files that are no results of restorekit are replaced, or refused where `allowed` is False.

    What a block around it refuses stays refused. other: a further way out, which the message names.
    """
    token = None if allowed else _refused.set(_refused.get() or other)
    try:
        yield
    finally:
        if token is not None:
            _refused.reset(token)


def may_overwrite() -> bool:
    """Return whether files that are no results of restorekit are replaced here."""
    return _refused.get() is None


def refuse_foreign(written: Iterable[Path]) -> None:
    """Raise BadInput where a file of `written` is there and is not known as a result of restorekit, unless it may be replaced.

    A result is known by the record beside it, which names it. An empty file, such as `mktemp` makes, holds nothing to lose.
    """
    if (other := _refused.get()) is None:
        return
    for target in written:
        if os.path.isfile(target) and os.path.getsize(target) and not session.is_result(target):
            raise BadInput(
                f"{target} is there already and is no result of restorekit; give OUT another name, or `overwrite` to replace "
                f"it{other}",
                argument="overwrite",
            )


def separate(opened: Iterable[Path], written: Sequence[Path], replaced: Sequence[Path] = ()) -> None:
    """Raise BadInput where a file that is written is one of `opened`, or two of them are one file; nothing is touched.

    Links, relative paths and names in another case are the same file where the file system says so. `opened` are reported
    to the session of the command, which keeps them from being written over however a name comes about later. Files of
    `written` are no others than `refuse_foreign` lets through; `replaced` are written too, whatever is there.
    """
    targets: dict[object, Path] = {}
    for target in (*written, *replaced):
        check_name(target)
        check_way(target)
        for key in _keys(target):
            if (other := targets.setdefault(key, target)) is not target:
                raise BadInput(f"{target} would replace {other}, which is written too; give one of them another name")
    for source in opened:
        if (target := targets.get(number_of(source))) is not None:
            raise BadInput(is_the_input(target, source))
        session.opened(source)
    refuse_foreign(written)


def inside(*places: Path) -> list[Path]:
    """Return the files that are given, and those in the folders."""
    found = [[p for p in place.rglob("*") if p.is_file()] if place.is_dir() else [place] for place in places]
    return [path for paths in found for path in paths]


def _keys(path: Path) -> set[object]:
    """Return what two names of one file have in common: its place, and its number where it is there already."""
    place = os.path.realpath(path)
    if _folds(os.path.dirname(place)):
        place = unicodedata.normalize("NFC", place).casefold()
    return {place, number_of(path)} - {None}


def _folds(folder: str) -> bool:
    """Return True where names in another case are the same, as on most disks of macOS and Windows, and on some shares.

    The name of the folder itself is asked for, so that nothing has to be written.
    """
    head, name = os.path.split(folder)
    other = os.path.join(head, name.swapcase())
    return other != folder and (number := number_of(folder)) is not None and number_of(other) == number
