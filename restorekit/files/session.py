"""A session knows what one command has opened and written: an input is not written over, and what a killed run left is
said.

`cli/` opens a session for each command. Every reader of files reports to it by `opened`; `atomic` asks it before a file
takes its place, whatever the command checked before. Without a session nothing is recorded, as in a program that reads
and writes as it likes.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from restorekit.errors import BadInput
from restorekit.files.digest import sha256
from restorekit.files.formats import FORMATS
from restorekit.files.temporary import leftovers
from restorekit.notes import Notes

SUFFIXES = ("", *FORMATS, *map(str.upper, FORMATS))  # of OUT, where OUT_what has another
JOURNAL = ".batch.jsonl"  # of a batch, in its folder
Number = tuple[int, int]  # of a file: its device, and its own there


@dataclass(eq=False)
class Session:
    """It knows the files of one command by their numbers, so that links and other spellings of a name are the same
    file."""

    notes: Notes
    opened: dict[Number, Path] = field(default_factory=dict)
    judged: set[Number] = field(default_factory=set)  # of `opened_result`
    written: set[Number] = field(default_factory=set)
    broken: dict[Path, list[list[Path]]] = field(default_factory=dict)  # by folder: sets that a kill left half in place
    told: list[list[Path]] = field(default_factory=list)  # of those the ones that were said
    tidy: set[Path] = field(default_factory=set)  # folders that were cleared of leftovers
    read: list[Path] = field(default_factory=list)  # every report of `opened`, repeated ones too


_session: ContextVar[Session | None] = ContextVar("session", default=None)
_tidy: set[Path] = set()  # as `Session.tidy`, where there is no session


@contextmanager
def session(notes: Notes) -> Iterator[Session]:
    """Record what one command opens until the end of the block; `notes` are told of files that may not belong
    together.

    Inside another one: one picture of many. What the command has opened before is not written over in it either.
    """
    outer = _session.get()
    made = Session(notes)
    if outer is not None:  # whose looks into folders are enough
        made = Session(notes, dict(outer.opened), broken=outer.broken, tidy=outer.tidy)
    token = _session.set(made)
    try:
        yield made
    finally:
        _session.reset(token)


def opened(*paths: str | os.PathLike[str]) -> None:
    """Report files that are read, or would be if they were there. Those that are there are not written over in this command."""
    if (now := _session.get()) is not None:
        for path in paths:
            now.read.append(Path(path))
            if (number := number_of(path)) is not None and number not in now.written:
                now.opened.setdefault(number, Path(path))


def opened_result(path: str | os.PathLike[str]) -> None:
    """Report as `opened` does a file that a command may have written; note where it and its record are of different
    runs."""
    if (now := _session.get()) is None:
        return
    number = number_of(path)
    if number is None or number in now.judged or number in now.written:
        return
    now.judged.add(number)
    opened(path)
    real = Path(os.path.realpath(path))
    if real.parent not in now.broken:
        found = [leftover.members() for leftover in leftovers(real.parent)]
        now.broken[real.parent] = [members for members in found if members]
    for members in now.broken[real.parent]:
        if real in members:
            now.told.append(members)
            now.notes(_half(path, members))
    if (text := doubt(Path(path))) is not None:
        now.notes(text)


def refuse_opened(target: Path) -> None:
    """Raise BadInput where `target` is a file that this command has read."""
    now, number = _session.get(), number_of(target)
    if now is None or number is None or (source := now.opened.get(number)) is None:
        return
    if number_of(source) == number:  # numbers of files that are gone are given again
        raise BadInput(is_the_input(target, source))


def is_the_input(target: Path, source: Path) -> str:
    """Return the message for an output that is an input."""
    more = "" if target == source else f" (opened as {source})"
    return f"{target} is the input itself{more}; give OUT another name"


def placed(target: Path) -> None:
    """Report a file that has taken its place."""
    if (now := _session.get()) is not None and (number := number_of(target)) is not None:
        now.written.add(number)
        now.opened.pop(number, None)


def clear(folder: Path) -> None:
    """Remove what killed runs left in `folder`, once a session, whose notes are told of sets that are half in place.

    The lists of these stay until their files are written again.
    """
    done = _tidy if (now := _session.get()) is None else now.tidy
    if folder in done:
        return
    done.add(folder)
    for leftover in leftovers(folder):
        members = leftover.members()
        if not any(member.exists() for member in members):
            _remove(leftover.path)
        elif now is not None and members not in now.told:
            now.notes(_half(folder, members))


def replaced(members: list[Path]) -> None:
    """Forget lists of sets that a kill left half in place where `members`, now in place, are all of theirs."""
    for folder in {member.parent for member in members}:
        for leftover in leftovers(folder):
            if (old := leftover.members()) and set(old) <= set(members):
                _remove(leftover.path)


def number_of(path: str | os.PathLike[str]) -> Number | None:
    """Return the number of an existing file on its device, None where there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # it is not there, or the name is none that could be
        return None
    return found.st_dev, found.st_ino


def _remove(path: Path) -> None:
    with suppress(OSError):  # another process was faster, or it is not ours
        os.unlink(path)


def _half(place: str | os.PathLike[str], members: list[Path]) -> str:
    names = ", ".join(member.name for member in members)
    return (
        f"{place}: a run was killed while {names} took their places, so that some of them may be of that run and some of an "
        "earlier one; run that command again"
    )


def doubt(path: Path) -> str | None:
    """Return what to say of a picture that is not the one which the record beside it speaks of; None where nothing
    speaks against it.

    Its record is NAME.json, and of OUT_mean and the like that of OUT. It does not fit after a change by hand, and where
    the machine failed, or the run was killed, while its files took their places.
    """
    for record, known in records_of(path):
        wanted = outputs_in(known).get(path.name)
        if wanted is not None and wanted != sha256(path):
            return (
                f"{path} is not the file that {record.name} speaks of: it was changed since, or the run that wrote it was "
                "killed; run that command again if it was not changed on purpose"
            )
    return None


def is_result(path: Path) -> bool:
    """Return True where a file is as a record of restorekit beside it, or the journal of a batch, says that it was written.

    So is such a record, and what a run that was cut short by a kill had put in place, or had not replaced yet. A file that
    was changed since, or replaced, is no result: what is in it may be had nowhere else.
    """
    if path.suffix == ".json" and "restorekit" in content(path):
        return True
    said = results_of(path)
    return bool(said) and sha256(path) in said


def results_of(path: Path) -> set[str]:
    """Return the checksums with which a file is a result, as records beside it, a journal and lists of killed runs say."""
    said = {files_in(known).get(path.name) for _, known in records_of(path) if "restorekit" in known}
    said |= _journalled(path.with_name(JOURNAL)).get(path.name, set())
    real = Path(os.path.realpath(path))
    return {digest for digest in said if digest}.union(*(left.results(real) for left in leftovers(real.parent)))


def is_aside(path: Path) -> bool:
    """Return True where the record of another file says that this one was written beside it, as OUT_std and OUT_truth are."""
    others = [known for place, known in records_of(path) if place.name != f"{path.name}.json" and "restorekit" in known]
    said = {files_in(known).get(path.name) for known in others} - {None}
    return bool(said) and sha256(path) in said


def records_of(path: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return the records beside a file that may speak of it, with what they hold."""
    if not path.name:  # "." and "/" are no pictures
        return []
    of = path.with_suffix("") if path.suffix == ".msk" else path  # a mask is a file of the picture that it is of
    stem, mark, _ = of.stem.rpartition("_")
    names = [path.name, of.name] + ([f"{stem}{suffix}" for suffix in (of.suffix, *SUFFIXES)] if mark and stem else [])
    places = [path.with_name(f"{name}.json") for name in dict.fromkeys(names)]
    return [(place, known) for place in places if (known := content(place))]


def outputs_in(known: dict[str, Any]) -> dict[str, str]:
    """Return the checksums of results by name, as a record holds them."""
    outputs = known.get("outputs")
    return {Path(name).name: digest for name, digest in outputs.items()} if isinstance(outputs, dict) else {}


def files_in(known: dict[str, Any]) -> dict[str, str]:
    """Return the checksums by name of results in a record, and of those of earlier runs that were there when it was written."""
    earlier = known.get("earlier")
    return {**(earlier if isinstance(earlier, dict) else {}), **outputs_in(known)}


def _journalled(path: Path) -> dict[str, set[str | None]]:
    """Return the checksums that the journal of a batch has of each file in its folder."""
    try:
        state = os.stat(path)
    except OSError:
        return {}
    return _written_in(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=2)  # a batch asks for each of its results
def _written_in(path: Path, size: int, changed: int) -> dict[str, set[str | None]]:
    found: dict[str, set[str | None]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            for name, digest in json.loads(line)["written"].items():
                found.setdefault(name, set()).add(digest)
        except (ValueError, KeyError, TypeError, AttributeError):  # cut short, or no entry
            continue
    return found


def content(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds by name; {} where there is none, or it is one of something else."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
