"""Signals during a run: it ends after a whole step, with a checkpoint, and goes on from there bit for bit."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from restorekit.errors import Stopped
from restorekit.training.config import Config, read_config
from restorekit.training.data.patches import Patches
from restorekit.training.loop import train
from restorekit.training.signals import SIGNALS, Signals
from restorekit.training.state import Header
from tests.support.training_runs import TINY, mixed_pictures, same_weights

HERE = torch.device("cpu")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return mixed_pictures(tmp_path / "pictures")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Those a program begins with, also where the tests run in the background, with SIGINT ignored."""
    before = [(n, signal.getsignal(n)) for n in SIGNALS]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before:
        signal.signal(number, handler)


def config_of(tmp_path: Path, steps: int) -> Config:
    (tmp_path / "tiny.yaml").write_text(TINY)
    return read_config(
        tmp_path / "tiny.yaml", **{"optim.steps": steps, "optim.decay_from": 1.0, "run.sample_every": 10**6}
    )


def signalled(monkeypatch: pytest.MonkeyPatch, step: int, number: int) -> list[bool]:
    """Send this process a signal at this step of batches of 4; whether the handlers are ours, at each step."""
    plain, ours = Patches.batch, []

    def batch(self: Patches, first: int, count: int, grey: bool) -> tuple[Tensor, ...]:
        ours.append(isinstance(getattr(signal.getsignal(number), "__self__", None), Signals))
        if first == step * 4:
            signal.raise_signal(number)
        return plain(self, first, count, grey)

    monkeypatch.setattr(Patches, "batch", batch)
    return ours


def test_a_signal_ends_a_run_after_the_step_and_it_goes_on(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    config, out = config_of(tmp_path, 6), tmp_path / "run"
    whole = train(config, pictures, tmp_path / "whole", quiet=True)
    before = [signal.getsignal(n) for n in SIGNALS]
    with monkeypatch.context() as patch:
        ours = signalled(patch, 3, signal.SIGTERM)
        with pytest.raises(Stopped, match=r"^stopped at step 4 of 6; go on with `resume`$") as stop:
            train(config, pictures, out, quiet=True)
    assert stop.value.code == 143
    assert len(ours) > 3
    assert all(ours)
    assert [signal.getsignal(n) for n in SIGNALS] == before
    assert "once more ends the run at once" in capfd.readouterr().err
    assert Header.read(out / "state.safetensors").step == 4
    with monkeypatch.context() as patch:
        signalled(patch, 5, signal.SIGTERM)  # the last step: nothing is left to stop
        resumed = train(config, pictures, out, resume=True, quiet=True)
    assert same_weights(whole, resumed)
    assert same_weights(whole.with_name("state.safetensors"), resumed.with_name("state.safetensors"))


COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from restorekit.cli.main import run
run()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_command_ends_in_one_line_and_with_the_code_of_the_signal(
    number: signal.Signals, code: int, pictures: Path, tmp_path: Path
) -> None:
    config_of(tmp_path, 6)
    out, log = tmp_path / "run", tmp_path / "run" / "log.csv"
    arguments = ["--config", tmp_path / "tiny.yaml", "--data", pictures, "--out", out, "--quiet"]
    settings = ["--set", "optim.steps=1000000", "--set", "optim.decay_from=1", "--set", "run.sample_every=999999"]
    command = [sys.executable, "-c", COMMAND, "train", "unet", *map(str, arguments), *settings]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 60
        while not (log.exists() and log.read_text().count("\n") > 3) and time.monotonic() < until:
            assert child.poll() is None
            time.sleep(0.02)
        child.send_signal(number)
        printed, told = child.communicate(timeout=60)
    finally:
        child.kill()
    assert (child.returncode, printed) == (code, "")
    *_, last = told.splitlines()
    found = re.fullmatch(r"restorekit: stopped at step (\d+) of 1000000; go on with --resume", last)
    assert found, told
    done = int(found[1])
    assert Header.read(out / "state.safetensors").step == done >= 3
    more = config_of(tmp_path, done + 2)
    whole = train(more, pictures, tmp_path / "whole", quiet=True)
    assert same_weights(whole, train(more, pictures, out, resume=True, quiet=True))


def test_a_second_signal_ends_at_once() -> None:
    def twice() -> None:
        with Signals() as signals:
            signal.raise_signal(signal.SIGINT)
            assert signals.agreed(HERE) == signal.SIGINT
            signal.raise_signal(signal.SIGINT)
            pytest.fail("it went on")

    with pytest.raises(KeyboardInterrupt):
        twice()
    with Signals(echo=60.0) as signals:  # a launcher passes on what the terminal has sent already
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(number)
        assert signals.agreed(HERE) == signal.SIGTERM
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_was_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a shell's background
    with Signals() as signals:
        signal.raise_signal(signal.SIGINT)
        assert signals.agreed(HERE) == 0
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_a_run_in_another_thread_leaves_signals_alone(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, config, paths = signalled(monkeypatch, -1, signal.SIGINT), config_of(tmp_path, 2), []
    thread = threading.Thread(target=lambda: paths.append(train(config, pictures, tmp_path / "run", quiet=True)))
    thread.start()
    thread.join()
    assert paths == [tmp_path / "run" / "prior.safetensors"]
    assert not any(ours)


WORKER = """
import os, signal, sys
from pathlib import Path
from restorekit.errors import Stopped
from restorekit.training.config import read_config
from restorekit.training.data.patches import Patches
from restorekit.training.loop import train

config, pictures, out = map(Path, sys.argv[1:])
plain = Patches.batch

def batch(self, first, count, grey):
    if first == 3 * 4 + 2:  # the second process, at step 3
        signal.raise_signal(signal.SIGTERM)
    return plain(self, first, count, grey)

Patches.batch = batch
try:
    train(read_config(config), pictures, out, quiet=True)
except Stopped as stop:
    Path(f"{out}-{os.environ['RANK']}").write_text(f"{stop} {stop.code}")
"""


def test_all_processes_leave_after_the_same_step(pictures: Path, tmp_path: Path) -> None:
    config_of(tmp_path, 6)
    (tmp_path / "worker.py").write_text(WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [tmp_path / "worker.py", tmp_path / "tiny.yaml", pictures, tmp_path / "two"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for rank in (0, 1):
        assert (tmp_path / f"two-{rank}").read_text() == "stopped at step 4 of 6; go on with `resume` 143"
    assert Header.read(tmp_path / "two" / "state.safetensors").step == 4
