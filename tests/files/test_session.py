"""What a command has opened is not written over, whatever it checked before; and only within that command."""

from __future__ import annotations

import importlib
import os
import pkgutil
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from restorekit.cli.main import app
from restorekit.errors import BadInput
from restorekit.files import overwrite
from restorekit.files.atomic import atomic, replacing, together
from restorekit.files.overwrite import separate
from restorekit.files.session import opened, session
from restorekit.notes import Notes


def put(path: Path, content: bytes = b"new") -> None:
    with atomic(path) as handle:
        handle.write(content)


def put_both(*targets: Path, late: Path | None = None) -> None:
    """late: a file that is opened before they take their places."""
    with together():
        for target in targets:
            put(target)
        opened(*([] if late is None else [late]))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in"
    path.write_bytes(b"measured")
    (tmp_path / "link").symlink_to(path)
    os.link(path, tmp_path / "hard")
    return path


@pytest.mark.parametrize("name", ["in", "link", "hard", "folder/../in"])
def test_an_opened_file_keeps_its_content(name: str, source: Path) -> None:
    (source.parent / "folder").mkdir()
    target = source.parent / name
    with session(Notes()):
        opened(source)
        with pytest.raises(BadInput, match=r"is the input itself.*; give OUT another name"):
            put(target)
        with pytest.raises(BadInput, match="is the input itself"):
            put_both(source.parent / "other", target)
    assert source.read_bytes() == b"measured"
    assert not (source.parent / "other").exists()
    with session(Notes()):  # of another command
        put(source)
    assert source.read_bytes() == b"new"


def test_a_file_that_is_opened_while_it_waits_is_kept(source: Path) -> None:
    with session(Notes()), pytest.raises(BadInput, match="is the input itself"):
        put_both(source.parent / "other", source, late=source)
    assert source.read_bytes() == b"measured"
    assert not (source.parent / "other").exists()


def test_what_a_command_wrote_it_may_read_and_write_again(source: Path) -> None:
    target = source.parent / "out"
    with session(Notes()):
        for content in (b"1", b"2"):
            put(target, content)
            opened(target)
        with replacing(target) as temporary:
            temporary.write_bytes(b"3")
    assert target.read_bytes() == b"3"


def test_a_number_that_is_given_again_is_another_file(source: Path) -> None:
    with session(Notes()) as made:
        number = (os.stat(source).st_dev, os.stat(source).st_ino)
        made.opened[number] = source.parent / "gone"  # had that number once
        put(source)
    assert source.read_bytes() == b"new"


def test_names_in_another_case_are_one_file_where_the_disk_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = [tmp_path / "out.png", tmp_path / "OUT.png"]
    separate([], pair)

    def number(path: object) -> tuple[int, int] | None:
        return (1, 1) if str(path).lower() == str(tmp_path).lower() else None

    monkeypatch.setattr(overwrite, "number_of", number)
    with pytest.raises(BadInput, match=r"OUT.png would replace .*out.png"):
        separate([], pair)


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ("in.png", "degrade in.png in.png"),
        ("m.png", "degrade in.png m.png --op inpaint:mask=m.png"),
        ("k.npy", "degrade in.png k.npy --op blur:kernel=k.npy"),
        ("o_truth.npz", "degrade in.png o.png --op blur:kernel=o_truth.npz"),
        ("x.npy", "despeckle x.npy x.npy --solver lee"),
        (
            "in.png",
            "compare in.png link.html --op denoise --noise gaussian:0.1 --solver hqs --steps 1 --prior natural-fast",
        ),
    ],
)
def test_readers_report_what_they_open(kept: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a command had forgotten to name its files beforehand."""
    monkeypatch.chdir(tmp_path)
    # All that take the check by name, before it is replaced: else they would keep what it is replaced by.
    rooms = [importlib.import_module(f"restorekit.{room}") for room in ("tasks", "despeckling")]
    names = [info.name for room in rooms for info in pkgutil.iter_modules(room.__path__, f"{room.__name__}.")]
    for module in [*map(importlib.import_module, names), overwrite]:
        if hasattr(module, "separate"):
            monkeypatch.setattr(module, "separate", lambda *files: None)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16), np.uint8)).save("in.png")
    Image.fromarray(np.uint8(255) * np.eye(16, dtype=np.uint8)).save("m.png")
    np.save("k.npy", np.ones((3, 3), np.float32))
    np.savez("o_truth.npz", k=np.ones((3, 3), np.float32))
    np.save("x.npy", np.random.default_rng(1).gamma(1, size=(64, 64)).astype(np.float32))
    Path("link.html").symlink_to("in.png")
    if kept == "o_truth.npz":
        Path("o_truth.png").symlink_to(kept)
    before = Path(kept).read_bytes()
    found = CliRunner().invoke(app, shlex.split(words))
    assert isinstance(found.exception, BadInput)
    assert "is the input itself" in str(found.exception)
    assert Path(kept).read_bytes() == before


def test_a_picture_of_many_does_not_replace_what_the_command_has_opened(source: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.touch()
    with session(Notes()) as outer:
        opened(source)
        with session(Notes()) as inner:
            opened(second)
            assert inner.read == [second]
            with pytest.raises(BadInput, match="is the input itself"):
                put(source)
        put(second)  # that picture is done
        assert outer.read == [source]
