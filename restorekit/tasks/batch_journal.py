"""`Journal` records what a batch has made, in the folder of results, so that the same command makes only what is
missing or changed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import restorekit
from restorekit.files.digest import sha256
from restorekit.files.picture import json_text, write_text
from restorekit.files.session import JOURNAL
from restorekit.tasks.identity import identity_of

if TYPE_CHECKING:
    from restorekit.tasks.batch_inputs import PictureJob

NAME = JOURNAL


def key_of(task: Any, settings: Mapping[str, Any], job: PictureJob) -> dict[str, Any] | None:
    """Return what a picture was made with, as JSON holds it: version, task, settings, the place of the source.

    None where a setting, such as a network, has no plain form: such a picture is always made again.
    """
    try:
        own = {name: _plain(value) for name, value in sorted({**settings, **job.own}.items())}
    except TypeError:
        return None
    made = {"version": restorekit.__version__, "task": task.__qualname__, "source": os.path.realpath(job.source), "settings": own}  # fmt: skip
    return json.loads(json_text(made))


@dataclass(frozen=True)
class Journal:
    """The journal of one folder, a line of JSON for each result. A line is added when all files of a result are in place."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / NAME

    def entries(self) -> dict[str, dict[str, Any]]:
        """Return the last entry of each result, by its name; what is no entry, such as a line cut short, is passed over."""
        found: dict[str, dict[str, Any]] = {}
        if not self.path.is_file():
            return found
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                found[entry["result"]] = entry
            except (ValueError, KeyError, TypeError):
                continue
        return found

    def asides(self) -> list[Path]:
        """Return the files that were written beside results, such as OUT_std."""
        entries = self.entries()
        written = {name for entry in entries.values() for name in entry.get("written", ())}
        return [self.folder / name for name in sorted(written - set(entries))]

    def add(self, entry: dict[str, Any]) -> None:
        """Add the entry of a result, one line."""
        with open(self.path, "ab+") as handle:
            if end := handle.seek(0, os.SEEK_END):
                handle.seek(end - 1)
            cut = end and handle.read(1) != b"\n"  # by a kill
            handle.write((("\n" if cut else "") + json.dumps(entry) + "\n").encode())

    def tidy(self) -> None:
        """Keep one line for each result."""
        if entries := self.entries():
            write_text(self.path, "".join(json.dumps(entry) + "\n" for entry in entries.values()))

    def holds(self, entry: Mapping[str, Any] | None, key: Mapping[str, Any] | None) -> bool:
        """Return True where a result is as it was written, by the same settings from files that have not changed since."""
        if entry is None or key is None or entry.get("key") != key:
            return False
        try:
            return all(_digest(path) == known for path, known in entry["read"].items()) and all(
                sha256(self.folder / name) == known for name, known in entry["written"].items()
            )
        except (OSError, ValueError, KeyError, AttributeError):
            return False


def digests(paths: Iterable[Path]) -> dict[str, str]:
    """Return the checksums of files that were read, by where they are; "" of one that is not there (anymore)."""
    return {path: _digest(path) for path in dict.fromkeys(os.path.realpath(path) for path in paths)}


def _digest(path: str) -> str:
    if os.path.isdir(path):
        return _folder_digest(path)
    if not os.path.isfile(path):
        return ""
    state = os.stat(path)
    return _digest_of(path, state.st_size, state.st_mtime_ns, state.st_ino)


def _folder_digest(path: str) -> str:
    """Return a checksum of all files in a folder that is one product."""
    digest = hashlib.sha256()
    for file in sorted(p for p in Path(path).rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path)}:{_digest(str(file))}\n".encode())
    return digest.hexdigest()


@functools.lru_cache(maxsize=64)  # a prior is read once for all pictures
def _digest_of(path: str, size: int, changed: int, number: int) -> str:
    return sha256(path)


def _plain(value: Any) -> Any:
    """Return the value in a form that JSON holds and that tells it from others. Raises TypeError where there is none."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if type(value).__module__ == "torch" and hasattr(value, "detach"):
        value = value.detach().cpu().float().numpy()
    if isinstance(value, np.ndarray):
        return identity_of(None, value)
    if is_dataclass(value) and not isinstance(value, type):
        return {"class": type(value).__qualname__, **{f.name: _plain(getattr(value, f.name)) for f in fields(value)}}
    raise TypeError(type(value).__name__)
