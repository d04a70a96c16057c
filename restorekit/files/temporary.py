"""Files that are not finished yet have names that say whose they are, so that what killed runs left is found.

A name is .STEM.MACHINE-PID-TOKEN.KIND.SUFFIX. Kinds: `tmp`, content that has not taken its place; `old`, a second name
of what is being replaced; `set`, the list of the files of a set, there only while they take their places one by one.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"\..*\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.(tmp|old|set)(\.[^.]*)?", re.DOTALL)
WEEK = 7 * 24 * 3600.0  # seconds after which a file whose process cannot be asked after counts as left


def machine() -> str:
    """Return eight hexadecimal digits that stand for this machine and, in a container, for its own numbers of
    processes."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:8]


def name_beside(target: Path, kind: str) -> Path:
    """Return a new name in the folder of `target`, with its suffix, by which `leftovers` knows the process that it is
    of."""
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= 20 else ""
    return target.with_name(f".{target.stem[:40]}.{machine()}-{os.getpid()}-{secrets.token_hex(4)}.{kind}{suffix}")


@dataclass(frozen=True)
class Leftover:
    """A file that a process which has ended left unfinished."""

    path: Path
    kind: str  # "tmp", "old" or "set"

    def members(self) -> list[Path]:
        """Return the files of the set that this lists, its record last.

        There are none for other kinds, and for a list cut short, which was written before any file took its place.
        """
        if self.kind != "set":
            return []
        return list(self._listed())

    def results(self, member: Path) -> set[str]:
        """Return the checksums with which `member` is a result of restorekit: of what it was to become, and of results before."""
        return self._listed().get(member, set())

    def _listed(self) -> dict[Path, set[str]]:
        try:
            return {Path(name): set(known) for name, known in json.loads(self.path.read_text(encoding="utf-8")).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


def leftovers(folder: Path) -> list[Leftover]:
    """Return the files that processes which have ended left in `folder`; nothing where it cannot be read.

    Whether a process on another machine, or in another container, has ended is not known; nor is it on Windows. Its
    files count once they have not changed for a week.
    """
    return list(_leftovers(folder))


def _leftovers(folder: Path) -> Iterator[Leftover]:
    here = machine()
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        if not name.startswith(".") or (found := _NAME.fullmatch(name)) is None:
            continue
        path = folder / name
        asked = found[1] == here and os.name != "nt"
        if not _runs(int(found[2])) if asked else _unchanged(path):
            yield Leftover(path, found[3])


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # of another user
        return True
    return True


def _unchanged(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > WEEK
    except OSError:
        return False


def listed(members: Mapping[Path, Iterable[str]]) -> bytes:
    """Return the content of a `set` file: of each member the checksums with which it is a result."""
    return json.dumps({str(path): sorted(known) for path, known in members.items()}).encode()
