"""Files that are written together take their places together, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from restorekit.errors import BadInput
from restorekit.files import atomic


def put(path: Path, text: bytes) -> None:
    with atomic.atomic(path) as handle:
        handle.write(text)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_what_cannot_take_its_place_brings_the_others_back(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def write() -> None:
        with atomic.together():
            for name in "abc":
                put(tmp_path / name, b"new")
            (tmp_path / "c" / "full").mkdir(parents=True)

    with pytest.raises(BadInput, match="c: not written"):
        write()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a", "c"]


def test_a_full_disk_is_said_where_numpy_says_how_much_it_wrote(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no space left"), atomic.atomic(tmp_path / "o.npy"):
        raise OSError("8 requested and 2 written")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("links", [True, False])
def test_all_take_their_places_and_leave_nothing_beside(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", lambda *names: (_ for _ in ()).throw(OSError("no links here")))
    (tmp_path / "a").write_bytes(b"old")
    with atomic.together():
        put(tmp_path / "a", b"new")
        put(tmp_path / "b", b"new")
        assert (tmp_path / "a").read_bytes() == b"old"
    assert [(tmp_path / name).read_bytes() for name in "ab"] == [b"new"] * 2
    assert names(tmp_path) == ["a", "b"]


def test_files_of_an_inner_group_wait_for_the_outer_one(tmp_path: Path) -> None:

    def write() -> None:
        with atomic.together():
            with atomic.together():
                put(tmp_path / "a", b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert names(tmp_path) == []
