"""One run at a time in a folder; the second one is told who is at work there."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from restorekit.errors import BadInput
from restorekit.files.lock import alone, alone_with, in_turn
from restorekit.scenes.block_store import opened
from restorekit.training.config import read_config
from restorekit.training.loop import train
from tests.support.training_runs import TINY, mixed_pictures


@pytest.mark.parametrize("beside", [False, True])
def test_the_second_run_is_told_who_is_at_work(beside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/restorekit", "train", "unet"])
    folder = tmp_path / "made" / "run"
    with alone(folder, beside=beside):
        with pytest.raises(BadInput) as refusal, alone(folder, beside=beside):
            pass
        who = f"`restorekit train`, process {os.getpid()} on {platform.node()}"
        assert str(refusal.value) == (f"{folder}: another run writes there ({who}); wait for it, or give another `out`")
        with alone(tmp_path / "other"):
            pass
    with alone(folder, beside=beside):
        pass
    assert not folder.parent.exists()  # nothing was written there


def test_a_file_is_locked_by_whatever_name(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "rows.csv")
    with alone_with(tmp_path / "rows.csv"):
        with pytest.raises(BadInput, match=r"link.csv: another run writes there"), alone_with(tmp_path / "link.csv"):
            pass
        with in_turn(tmp_path / "others.csv"):
            pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_killed_run_leaves_no_lock(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        with alone(tmp_path):
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert (tmp_path / ".lock.json").exists()
    with alone(tmp_path):
        pass


def test_training_waits_for_no_other_run(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    config, out = read_config(tmp_path / "tiny.yaml", **{"optim.steps": 1}), tmp_path / "out"
    pictures = mixed_pictures(tmp_path / "pictures")
    with alone(out), pytest.raises(BadInput, match="another run writes there"):
        train(config, pictures, out, quiet=True)
    assert not out.exists()
    train(config, pictures, out, quiet=True)
    with alone(out), pytest.raises(BadInput, match="another run writes there"):
        train(config, pictures, out, quiet=True, resume=True)


def test_blocks_are_of_one_run(tmp_path: Path) -> None:
    work = tmp_path / "work"
    with opened(work, {}), pytest.raises(BadInput, match="another run writes there"), opened(work, {}):
        pass
