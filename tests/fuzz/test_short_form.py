"""The command line on some mutated inputs; and that what holds it to its contract sees each way to break it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import contract, drive
from tests.fuzz.contract import Case, Kind, run_case

ROOT = Path(__file__).parents[2]
INPUTS, SEED = 40, 3


def test_command_line_on_mutated_inputs() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.fuzz", "--inputs", str(INPUTS), "--seed", str(SEED)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def refused(_: list[str]) -> None:
    print("restorekit: in.png: no PNG; give another", file=sys.stderr)
    sys.exit(1)


def half(_: list[str]) -> None:
    Path("out.png").write_bytes(b"half")
    refused([])


def removed(_: list[str]) -> None:
    Path("in.png").unlink()


def asleep(_: list[str]) -> None:
    signal.pause()


def spun(_: list[str]) -> None:
    while True:
        pass


def temporary(_: list[str]) -> None:
    Path(".out.1234.tmp.png").write_bytes(b"")


def in_tmp(_: list[str]) -> None:
    (Path(os.environ["TMPDIR"]) / "x").write_bytes(b"")


BREAKS: dict[str, tuple[Callable[[list[str]], object], Kind | None]] = {
    "nothing": (lambda _: None, None),
    "refused": (refused, None),
    "exception": (lambda _: 1 / 0, Kind.TRACEBACK),
    "unnamed": (lambda _: sys.exit(3), Kind.NO_LINE),
    "note alone": (lambda _: sys.exit(print("restorekit: note: x", file=sys.stderr) or 1), Kind.NO_LINE),
    "last handler": (
        lambda _: sys.exit(print("restorekit: a fault of restorekit", file=sys.stderr) or 1),
        Kind.LAST_HANDLER,
    ),
    "signal": (lambda _: os.kill(os.getpid(), signal.SIGSEGV), Kind.CRASH),
    "loop": (spun, Kind.TIME),
    "asleep": (asleep, Kind.TIME),
    "removed": (removed, Kind.INPUT_CHANGED),
    "half": (half, Kind.HALF_WRITTEN),
    "temporary": (temporary, Kind.TEMPORARY_LEFT),
    "in TMPDIR": (in_tmp, Kind.TEMPORARY_LEFT),
    "escape": (lambda _: print("\x1b[31mred"), Kind.CONTROL),
    "warning": (
        lambda _: print(warnings.formatwarning("x", RuntimeWarning, "/lib/x.py", 1), file=sys.stderr),
        Kind.WARNING,
    ),
    "line of libtiff": (lambda _: print("TIFFReadDirectory: Warning, x", file=sys.stderr), Kind.FOREIGN),
    "two reasons": (lambda _: (print("restorekit: one", file=sys.stderr), refused(_)), Kind.LINES),
    "unencodable": (lambda _: print("\udcff"), Kind.TRACEBACK),
}


@pytest.mark.parametrize("name", BREAKS)
def test_contract_sees(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "CPU_SECONDS", 1)
    monkeypatch.setattr(contract, "IDLE", 1)
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "in.png").write_bytes(b"measured")
    command, kind = BREAKS[name]
    found = run_case(Case(("denoise", "in.png", "out.png")), folder, command)  # type: ignore[arg-type]
    assert set(found.failures) == (set() if kind is None else {kind}), found


def test_contract_sees_a_missing_output(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    folder.mkdir()
    found = run_case(Case(("denoise",), outputs=("out.png",)), folder, lambda _: None)
    assert set(found.failures) == {Kind.NO_OUTPUT}


def test_files_without_permission_are_closed_to_root_too(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "in.png").write_bytes(b"measured")
    (folder / "in.png").chmod(0)
    found = run_case(Case(()), folder, lambda _: print(os.access("in.png", os.R_OK)))
    assert found.out == "False\n"


def test_list_of_failures_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    path.write_text('{"seed": 5}\n{"index": 0, "kind": "TIME"}\n{"done": 0}\n{"index": 1, "kind": "CR')
    assert drive.begun(path, 5) == (1, [{"index": 0, "kind": "TIME"}])
    assert path.read_text().endswith('{"done": 0}\n')
    with pytest.raises(SystemExit):
        drive.begun(path, 6)
