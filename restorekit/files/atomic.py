"""Files are written whole or not at all, one or several at once."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from restorekit.errors import BadInput
from restorekit.files.digest import sha256
from restorekit.files.session import clear, content, outputs_in, placed, refuse_opened, replaced, results_of
from restorekit.files.temporary import listed, name_beside


def one_line(error: BaseException) -> str:
    """Return the message of an error in one line of at most 160 characters; its type where it has none."""
    return (" ".join(str(error).split()) or type(error).__name__)[:160]


def check_name(path: str | os.PathLike[str]) -> None:
    """Raise BadInput for a name that is not UTF-8: JSON records and pages could not hold it."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        raise BadInput(f"{os.fspath(path)!a}: the name is not UTF-8, and no record could hold it; rename it") from None


def check_way(path: str | os.PathLike[str]) -> None:
    """Raise BadInput for a name that leads through a folder which is not there and out again, as none/../out.png.

    The system finds no such place; making the folders of the name would leave that one behind.
    """
    parts = Path(path).parts
    for i, part in enumerate(parts):
        if part == ".." and not os.path.isdir(through := Path(*parts[:i])):
            raise BadInput(f"{path}: there is no folder {through}; name the place without `..`, or make it first")


def named_beside(path: Path, name: str) -> Path:
    """Return `path` with another file name. Raises BadInput where it names no file, as "" and "." do."""
    if not path.name:
        raise BadInput(f"{path}: this is a folder; give a file name")
    return path.with_name(name)


def check_page(path: Path) -> None:
    """Raise BadInput where a report, an HTML page, cannot be put at `path`."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise BadInput(f"{path}: a report is a page; give `report={path.stem or 'quality'}.html`", argument="report")
    check_target(path)


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise BadInput where a file cannot be put at `path`.

    The reason is one of no folder, a device, no permission, a name that is too long or not UTF-8, which no record could
    hold.
    """
    check_name(path)
    check_way(path)
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
    """It knows files that are written, and have not taken their places: where each will be, and where it is now."""

    moves: dict[Path, Path] = field(default_factory=dict)

    def at(self, path: str | os.PathLike[str]) -> Path:
        """Return the path at which the content of `path` is to be read now."""
        return self.moves.get(_real(path), Path(path))


_waiting: ContextVar[Waiting | None] = ContextVar("waiting", default=None)


def content_of(path: str | os.PathLike[str]) -> Path:
    """Return the path at which the content of `path` is to be read, within `together` and without."""
    return Path(path) if (waiting := _waiting.get()) is None else waiting.at(path)


@contextmanager
def together() -> Iterator[Waiting]:
    """Let the files that `atomic` writes inside take their places at the end, in the order of writing; after an error
    none of them does.

    The last one written is the record of the set: it holds the hashes of the others, or is what they are found by. No
    file system replaces several files in one step. So the old record goes before the first file takes its place, and
    the new one comes last: where the run is killed in between there is no record, and a list of the set stays, by which
    the next command that reads or writes one of them says so (`restorekit.files.session`).

    Within another `together` files wait for the end of that one. Threads that are begun inside know nothing of it.
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
            _remove(temporary)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the name of an empty file in the folder of `path`, for libraries that write to names.

    It is synced and takes its place once written without an error, and vanishes otherwise. Raises BadInput where the
    disk refuses, where what is written does not fit its format, and where `path` is an input. Inside `together` it
    waits.
    """
    target, waiting = _real(path), _waiting.get()
    refuse_opened(path)
    clear(target.parent)
    temporary = name_beside(target, "tmp")
    try:
        with _said(path):
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            mode = os.stat(temporary).st_mode  # what the umask leaves; some libraries close their files to others
            yield temporary
            os.chmod(temporary, mode)
            _sync(temporary)
            if waiting is None:
                refuse_opened(path)
                _place(temporary, target)
                _sync_folder(target.parent)
        if waiting is not None:
            if (before := waiting.moves.pop(target, None)) is not None:
                _remove(before)
            waiting.moves[target] = temporary
    finally:
        if waiting is None or waiting.moves.get(target) != temporary:
            _remove(temporary)


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """Yield an open file to write to, which takes its place as that of `replacing` does."""
    with replacing(path) as temporary, open(temporary, "w+b") as handle:
        yield handle


def _real(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.realpath(path))


def _place_all(moves: dict[Path, Path]) -> None:
    """Rename each to its place, or none: the old files are kept beside until all have theirs."""
    if not moves:
        return
    *_, record = targets = list(moves)
    folders = list(dict.fromkeys(target.parent for target in targets))
    lists: list[Path] = []
    spare: dict[Path, Path] = {}  # of what was there before, its second name
    placing: list[Path] = []
    whole = False
    try:
        for target in targets:
            refuse_opened(target)
            with _said(target):
                if target.exists():
                    spare[target] = _second_name(target)
        if len(targets) > 1:
            with _said(record):
                results = _results(moves)
                for folder in folders:
                    lists.append(name_beside(folder / record.name, "set"))
                    _write_list(lists[-1], results)
                placing.append(record)
                _remove(record)
                for folder in folders:
                    _sync_folder(folder)
        for target, temporary in moves.items():
            with _said(target):
                placing.append(target)
                if target == record:
                    for folder in folders:
                        _sync_folder(folder)
                _place(temporary, target)
        for folder in folders:
            _sync_folder(folder)
        replaced(targets)
        whole = True
    except BaseException:
        for target in dict.fromkeys(placing):
            if target in spare:
                os.replace(spare[target], target)
            elif not moves[target].exists():  # it has its place, which was empty
                _remove(target)
        whole = True
        raise
    finally:
        if whole:  # else the next command says that they do not belong together
            for each in (*spare.values(), *lists):
                _remove(each)


def _results(moves: dict[Path, Path]) -> dict[Path, set[str]]:
    """Return of each file the checksums with which it is a result while there is no record: the new one, and the old one's."""
    said = outputs_in(content([*moves.values()][-1]))  # hashes are known to the new record
    return {path: results_of(path) | {said.get(path.name) or sha256(new)} for path, new in moves.items()}


def _write_list(path: Path, results: dict[Path, set[str]]) -> None:
    with open(path, "xb") as handle:
        handle.write(listed(results))
        handle.flush()
        os.fsync(handle.fileno())


def _second_name(target: Path) -> Path:
    """Give a file another name, so that there is one at every moment; a copy where the file system has no links."""
    old = name_beside(target, "old")
    try:
        os.link(target, old)
    except OSError:
        shutil.copy2(target, old)
    return old


def _place(temporary: Path, target: Path) -> None:
    if target.exists():
        shutil.copymode(target, temporary)
    os.replace(temporary, target)
    placed(target)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _sync(path: Path) -> None:
    with open(path, "r+b") as handle:
        os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk; systems that cannot are left to do it when they do."""
    try:
        number = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        with suppress(OSError):
            os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except BadInput:
        raise
    except OSError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)).parent != _real(path).parent:
            raise  # of a file that is read meanwhile
        raise BadInput(_refused(path, error)) from error
    except (ValueError, OverflowError, struct.error) as error:
        raise BadInput(_refused(path, error)) from error


def _refused(path: Path, error: Exception) -> str:
    short = (
        isinstance(error, OSError) and error.errno is None and "requested and" in str(error)
    )  # of numpy, which says no more
    why = "no space left on the disk" if short else one_line(error)
    return f"{path}: not written ({why}); mend that or choose another place"
