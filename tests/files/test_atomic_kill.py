"""A set of files whose writer is killed, or refused, at any operation: never a record beside files that it does not speak of."""

from __future__ import annotations

import errno
import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from restorekit.errors import BadInput
from restorekit.files import atomic, temporary
from restorekit.files.digest import sha256
from restorekit.files.picture import write_json
from restorekit.files.record import outputs
from restorekit.files.session import is_result, opened, opened_result, session
from restorekit.notes import Notes

NAMES = ("o.npy", "o_mean.npy", "o_std.npy")
RECORD = "o.npy.json"
CALLS = ("replace", "unlink", "link", "open", "close", "chmod", "fsync")  # of `os`, through which all of `atomic` goes

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync is counted as an operation all the same."""
    monkeypatch.setattr(os, "fsync", lambda number: None)


def write(folder: Path, content: str, **more: str) -> None:
    """A set as commands write it: pictures, and a record with their hashes, and `more`."""
    with atomic.together():
        for name in NAMES:
            with atomic.atomic(folder / name) as handle:
                handle.write(f"{content} {name}".encode())
        write_json(folder / RECORD, {"outputs": outputs(folder / name for name in NAMES), **more})


def hooked(patch: Callable[[Any, str, Any], None], hook: Callable[[], None]) -> None:
    """`hook` is called before every operation on files."""

    def calling(do: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **settings: Any) -> Any:
            hook()
            return do(*args, **settings)

        return call

    for name in CALLS:
        patch(os, name, calling(getattr(os, name)))


def killed_at(point: int, folder: Path, **more: str) -> bool:
    """Whether a process that writes over what is there came as far as its operation `point`, where it ends at once."""
    child = os.fork()
    if child == 0:
        count = itertools.count()
        hooked(setattr, lambda: os._exit(9) if next(count) == point else None)
        write(folder, "new", **more)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def contents(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in sorted(folder.iterdir())}


def fits(folder: Path) -> bool:
    known = json.loads((folder / RECORD).read_text())["outputs"]
    return all(sha256(path) == digest for path, digest in known.items())


def points(folder: Path, old: bool) -> Iterator[int]:
    """Every operation, in a folder with a set of an earlier run, or without."""
    for point in itertools.count():
        if old:
            write(folder, "old")
        if not killed_at(point, folder):
            assert point > 15
            return
        yield point
        for path in folder.iterdir():
            path.unlink()


@pytest.mark.parametrize("old", [True, False])
def test_a_kill_is_seen_or_has_changed_nothing(old: bool, tmp_path: Path) -> None:
    seen = set()
    for point in points(tmp_path, old):
        there = {name: text.split()[0] for name, text in contents(tmp_path).items() if name in NAMES}
        ages = set(there.values())
        if (tmp_path / RECORD).exists():
            assert fits(tmp_path), point
            assert len(ages) == 1, point
        whole = len(there) == len(NAMES) and len(ages) == 1 and (tmp_path / RECORD).exists()
        notes = Notes()
        with session(notes):
            for name in there:
                opened_result(tmp_path / name)
        assert whole or not there or len(notes.texts) == len(there), point
        seen.add("whole" if whole else "none" if not there else "said")

        notes = Notes()
        with session(notes):  # the next command that writes there says so too, and leaves a set and nothing else
            write(tmp_path, "next")
        assert whole or not there or len(notes.texts) == 1, point
        assert set(contents(tmp_path)) == {*NAMES, RECORD}, point
        assert fits(tmp_path)
    assert seen == ({"whole", "said"} if old else {"whole", "said", "none"})


def test_after_a_kill_results_are_known_and_files_of_others_are_not(tmp_path: Path) -> None:
    mine, cut = tmp_path / NAMES[1], 0
    for point in itertools.count():
        write(tmp_path, "old", restorekit="1")
        mine.write_bytes(b"what somebody put there")  # and a command with --overwrite is to replace
        if not killed_at(point, tmp_path, restorekit="1"):
            break
        for name in NAMES:
            text = (tmp_path / name).read_text()
            assert is_result(tmp_path / name) == text.startswith(("old", "new")), (point, name)
        cut += not (tmp_path / RECORD).exists()
        mine.write_bytes(b"or puts there now")
        assert not is_result(mine)
        for path in tmp_path.iterdir():
            path.unlink()
    assert cut > 3


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("refusal", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_refusal_leaves_what_was_there(
    refusal: BaseException, old: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = 0
    for point in itertools.count():
        if old:
            write(tmp_path, "old")
        before, count = contents(tmp_path), itertools.count()

        def hook(count: Iterator[int] = count, point: int = point) -> None:
            if next(count) == point:
                raise refusal

        with monkeypatch.context() as patch:
            hooked(patch.setattr, hook)
            try:
                write(tmp_path, "new")
                break
            except (BadInput, KeyboardInterrupt, OSError):
                pass
        left = {name: text for name, text in contents(tmp_path).items() if not name.startswith(".")}
        assert left == before or fits(tmp_path), point  # or it came after all had their places
        for path in tmp_path.iterdir():
            path.unlink()
    assert point > 15


def test_a_full_disk_is_one_line_and_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadInput, match=r"o.npy: not written \(\[Errno 28\] No space left on device\)"):
        write(tmp_path, "new")
    assert contents(tmp_path) == {}


def test_only_what_ended_processes_left_is_removed(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        temporary.name_beside(tmp_path / "o.npy", "tmp").write_bytes(b"")
        os._exit(0)
    os.waitpid(child, 0)
    mine = temporary.name_beside(tmp_path / "o.npy", "tmp")
    far = mine.with_name(mine.name.replace(temporary.machine(), "0" * 8))
    old = far.with_name(far.name.replace(".o.", ".p."))
    others = [mine, far, tmp_path / ".o.tmp.npy", tmp_path / "o.tmp"]
    for path in (*others, old):
        path.write_bytes(b"")
    os.utime(old, (0, 0))  # of a machine that cannot be asked, long ago
    with session(Notes()), atomic.atomic(tmp_path / "q.npy") as handle:
        handle.write(b"q")
    assert set(tmp_path.iterdir()) == {*others, tmp_path / "q.npy"}


def test_a_picture_that_is_not_that_of_its_record_is_said(tmp_path: Path) -> None:
    write(tmp_path, "old")
    changed = tmp_path / "o_mean.npy"
    changed.write_bytes(b"by hand")
    (tmp_path / "p.npy").write_bytes(b"")
    (tmp_path / "p.npy.json").write_text("[]")  # no record
    notes = Notes()
    with session(notes):
        opened(changed)  # as the check of outputs before anything is read
        for name in (*NAMES, "p.npy", "gone.npy", "o_mean.npy"):
            opened_result(tmp_path / name)
    assert len(notes.texts) == 1
    assert notes.texts[0].startswith(f"{tmp_path / 'o_mean.npy'} is not the file that o.npy.json speaks of")


@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16")
def test_names_that_no_record_can_hold_are_refused(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    with pytest.raises(BadInput, match=r"udcff.png': the name is not UTF-8"):
        atomic.check_target(path)
