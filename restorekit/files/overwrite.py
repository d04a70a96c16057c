"""What is read must not be written over, nor may one output replace another: a measurement cannot be had again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from restorekit.errors import BadInput


def separate(opened: Iterable[Path], written: Sequence[Path]) -> None:
    """BadInput where a file of `written` is one of `opened`, or two of `written` are one file; nothing is touched.

    Links, relative paths and names in another case are the same file where the file system says so.
    """
    targets: dict[object, Path] = {}
    for target in written:
        for key in _keys(target):
            if (other := targets.setdefault(key, target)) is not target:
                raise BadInput(f"{target} would replace {other}, which is written too; give one of them another name")
    for source in opened:
        if (target := targets.get(_file(source))) is not None:
            more = "" if target == source else f" (opened as {source})"
            raise BadInput(f"{target} is the input itself{more}; give OUT another name")


def inside(*places: Path) -> list[Path]:
    """The files that are given, and those in the folders."""
    found = [[p for p in place.rglob("*") if p.is_file()] if place.is_dir() else [place] for place in places]
    return [path for paths in found for path in paths]


def _keys(path: Path) -> set[object]:
    """What two names of one file have in common: its place, and its number where it is there already."""
    return {os.path.normcase(os.path.realpath(path)), _file(path)} - {None}


def _file(path: Path) -> object:
    """The number of an existing file on its device, None where there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # it is not there, or the name is none that could be
        return None
    return found.st_dev, found.st_ino
