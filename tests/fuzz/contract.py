"""One command in a child process with limits, and what of the contract of the command line it breaks."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import fnmatch
import hashlib
import io
import os
import re
import resource
import select
import shutil
import signal
import sys
import traceback
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

CPU_SECONDS = 20  # of the process itself: a loaded machine changes nothing
COSTLY_SECONDS = 4  # of what may take any time: enough to be refused
IDLE = 60  # looks, two seconds apart, at which it sleeps and has computed nothing: it waits for what never comes
PATIENCE = 90  # such looks at one that waits for another process: three minutes, in which an address may time out twice
MEMORY = 4 << 30  # beyond what the parent has mapped
FILE_SIZE = 1 << 29
DAC = 1 << 1 | 1 << 2  # the capabilities by which root reads and writes what its mode forbids
ROOT = Path(__file__).resolve().parents[2]
LAST_HANDLER = re.compile(r"fault (of|in) restorekit|bug in restorekit", re.IGNORECASE)
TEMPORARY = (".*.tmp*", ".*.old*", "*.tmp", ".tmp*", "tmp*")
FRAME = re.compile(r'File "([^"]+)", line \d+(?:,)? in (\S+)')
RAISED = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit)\b")  # before what torch says of its own stack
DUMPED = re.compile(r"^(Current thread|Thread|Stack) .*most recent call first", re.MULTILINE)  # by faulthandler
OWN = re.compile(
    r"restorekit: |(noise|mask|no data|kernel|range|transfer|clipped|denoise|note|fuse|optical|radar|looks): |\d+ of \d+ pictures |$"
)
PROGRESS = ("train", "tune", "calibrate", "bench")  # commands that print rows as they go
ELSEWHERE = re.compile(
    r"(ERROR|Warning|CPLE?_)\S* ?\w*:|TIFF\w*:|lib(png|jpeg|tiff|webp)|Corrupt JPEG|Exception ignored|<\w+\.|\[W|(WARNING|ERROR|INFO):"
)
SAID = re.compile(r"restorekit: (note|WARNING): ")
WARNING = re.compile(r"^\S+\.py:\d+: (\w*Warning): ", re.MULTILINE)


class Kind(Enum):
    """How a command breaks the contract."""

    TRACEBACK = "traceback, or an exception that nobody names"
    LAST_HANDLER = "ended in the last handler, which calls it a fault of restorekit"
    NO_LINE = "failed without a last line `restorekit: ...` on stderr"
    CRASH = "ended by a signal"
    TIME = "over the limit of time"
    INPUT_CHANGED = "an input file changed or vanished"
    HALF_WRITTEN = "failed, and left new or changed files"
    TEMPORARY_LEFT = "left temporary files"
    NO_OUTPUT = "exit code 0, but no output file"
    CONTROL = "control characters on the terminal"
    FOREIGN = "a line on stderr that restorekit did not write"
    LINES = "failed with more than one line that says why"
    WARNING = "a warning of Python on stderr, which is no line of restorekit"


@dataclass(frozen=True)
class Case:
    """A command line, run in a folder that holds its inputs."""

    argv: tuple[str, ...]
    mutations: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()  # must be there after exit code 0
    kept: tuple[str, ...] = ()  # patterns of what a failed command may leave, because it goes on from there
    costly: bool = False  # asks for so much that it may take any time
    many: bool = False  # of pictures, each of which may have its reason
    waits: bool = False  # for another process, in turn with which it may compute a little for ever


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str
    failures: dict[Kind, str] = field(default_factory=dict)  # of each kind: where, or what


def run_case(case: Case, folder: Path, command: Callable[[list[str]], None]) -> Outcome:
    """Runs `command` on the arguments in a forked child; `folder` must hold nothing but its inputs."""
    scratch = Path(f"{folder}.run")
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "tmp").mkdir(parents=True)
    before = _contents(folder)
    status, late = _forked(lambda: _child(case, folder, scratch, command), PATIENCE if case.waits else None)
    out, err = ((scratch / n).read_bytes().decode("utf-8", "surrogateescape") for n in ("out", "err"))
    left = [p.name for p in (scratch / "tmp").iterdir()]
    killed = os.WIFSIGNALED(status)
    code = -os.WTERMSIG(status) if killed else os.WEXITSTATUS(status)
    failures = _streams(case, code, out, err) | _files(case, code, before, _contents(folder), left)
    if late or code == -signal.SIGXCPU:
        files = {k: v for k, v in failures.items() if k is Kind.INPUT_CHANGED}
        failures = files if case.costly else files | {Kind.TIME: _where(err) or "unknown"}
    shutil.rmtree(scratch, ignore_errors=True)
    return Outcome(code, out, err, failures)


def _forked(child: Callable[[], None], most: int | None = None) -> tuple[int, bool]:
    """(status, whether it had to be killed, after `most` looks at the latest)."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        try:
            child()
        finally:
            os._exit(97)
    handle, late = os.pidfd_open(pid), False
    try:
        idle, used, looks = 0, "", 0
        while not late and not select.select([handle], [], [], 2)[0]:
            state, *_, user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:13]
            idle = idle + 1 if state == "S" and used == user + system else 0
            used, looks = user + system, looks + 1
            late = idle >= IDLE or (most is not None and looks >= most)
        if late:
            os.kill(pid, signal.SIGUSR1)  # says where it waits
            select.select([handle], [], [], 2)
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        with contextlib.suppress(ProcessLookupError, PermissionError):  # what it started
            os.killpg(pid, signal.SIGKILL)
    finally:
        os.close(handle)
    return status, late


def _child(case: Case, folder: Path, scratch: Path, command: Callable[[list[str]], None]) -> None:
    os.setsid()
    os.environ.update(HOME=str(scratch), TMPDIR=str(scratch / "tmp"), PWD=str(folder), COLUMNS="100")
    os.chdir(folder)
    for number, name, mode in ((0, os.devnull, os.O_RDONLY), (1, scratch / "out", None), (2, scratch / "err", None)):
        opened = os.open(name, os.O_WRONLY | os.O_CREAT if mode is None else mode, 0o644)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), "utf-8", "strict")
    sys.stderr = io.TextIOWrapper(
        os.fdopen(2, "wb", 0, closefd=False), "utf-8", "backslashreplace", line_buffering=True, write_through=True
    )
    faulthandler.enable(2)
    faulthandler.register(signal.SIGXCPU, file=2, chain=True)
    faulthandler.register(signal.SIGUSR1, file=2)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seconds = COSTLY_SECONDS if case.costly else CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    _obey_modes()
    sys.argv = ["restorekit", *case.argv]
    code: object = 0
    try:
        command(list(case.argv))
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - whatever it is, it is what is looked for
        traceback.print_exc()
        code = 1
    try:
        sys.stdout.flush()
    except Exception:  # noqa: BLE001
        traceback.print_exc()
        code = 1
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _obey_modes() -> None:
    """Root, too, is kept out by the mode of a file from here on."""
    if os.geteuid():
        return
    libc, header, sets = (
        ctypes.CDLL(None, use_errno=True),
        (ctypes.c_uint32 * 2)(0x20080522, 0),
        (ctypes.c_uint32 * 6)(),
    )
    if libc.capget(header, sets) == 0:
        for i in range(3):
            sets[i] &= ~DAC
        libc.capset(header, sets)


def _streams(case: Case, code: int, out: str, err: str) -> dict[Kind, str]:
    found: dict[Kind, str] = {}
    lines = [line for line in err.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if code < 0:
        found[Kind.CRASH] = f"signal {-code}; {_where(err) or last[:100]}"
    elif "Traceback (most recent call last)" in err:
        found[Kind.TRACEBACK] = f"{_where(err)}: {_exception(lines)}"
    elif code and (not last.startswith("restorekit: ") or last.startswith("restorekit: note:")):
        found[Kind.NO_LINE] = last[:120]
    elif code and LAST_HANDLER.search(last):
        found[Kind.LAST_HANDLER] = last[:160]
    reasons = [line for line in lines if line.startswith("restorekit: ") and not SAID.match(line)]
    if code > 0 and len(reasons) > 1 and not case.many:
        found[Kind.LINES] = ascii(reasons[:2])[:160]
    if warned := WARNING.search(err):
        line = next(x for x in lines if WARNING.match(x))
        found[Kind.WARNING] = f"{Path(line.split(':')[0]).name}: {warned[1]}: {line.split(': ', 2)[-1][:80]}"
    progress = any(word in PROGRESS for word in case.argv[:1])
    if (foreign := [x for x in lines if (ELSEWHERE.search(x) if progress else not OWN.match(x))]) and not found:
        found[Kind.FOREIGN] = ascii(foreign[0])[:160]
    if control := sorted({c for c in out + err if unicodedata.category(c) == "Cc" and c != "\n"}):
        at = next(x for x in (out + err).split("\n") if any(c in x for c in control))
        found[Kind.CONTROL] = f"{control!r} in {ascii(at)[:100]}"
    return found


def _where(err: str) -> str:
    """file:function of the innermost frame that is ours, in a traceback or in what faulthandler writes."""
    frames = [(Path(file), name) for file, name in FRAME.findall(err)]
    ours = [f"{p.relative_to(ROOT)}:{n}" for p, n in frames if p.is_relative_to(ROOT) and "tests" not in p.parts]
    if not ours:
        return ""
    return ours[0] if DUMPED.search(err) else ours[-1]


def _exception(lines: Sequence[str]) -> str:
    """Type and text, without the numbers and names that differ from input to input."""
    line = next((line for line in reversed(lines) if RAISED.match(line)), lines[-1])
    return re.sub(r"'[^']*'|\"[^\"]*\"|/\S+", "'..'", re.sub(r"-?\d[\d.e+-]*", "N", line))[:140]


def _contents(folder: Path) -> dict[str, str]:
    """Hash of each file, what other entries are."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = f"link to {os.readlink(path)}"
        elif path.is_file():
            mode = path.stat().st_mode
            found[str(path.relative_to(folder))] = f"{hashlib.sha256(path.read_bytes()).hexdigest()} {mode:o}"
        else:
            found[str(path.relative_to(folder))] = "folder" if path.is_dir() else "device"
    return found


def _files(
    case: Case, code: int, before: dict[str, str], after: dict[str, str], left: Sequence[str]
) -> dict[Kind, str]:
    """`before` holds inputs, and where an output stood already, that."""
    found: dict[Kind, str] = {}
    rewritten = set(case.outputs) if code == 0 else set()
    changed = [n for n, what in before.items() if after.get(n) != what and n not in rewritten]
    inputs = [n for n in changed if not n.startswith("old/")]
    if inputs:
        found[Kind.INPUT_CHANGED] = ", ".join(inputs)
    new = [n for n in after if n not in before]
    if temporary := [n for n in new if any(fnmatch.fnmatch(Path(n).name, t) for t in TEMPORARY)] + list(left):
        found[Kind.TEMPORARY_LEFT] = ", ".join(temporary)
    kept = [n for n in new + changed if not any(fnmatch.fnmatch(n, k) for k in case.kept)]
    if code > 0 and (half := [n for n in kept if n not in temporary and n not in inputs]):
        found[Kind.HALF_WRITTEN] = ", ".join(half)[:160]
    if code == 0 and (lacking := [n for n in case.outputs if n not in after]):
        found[Kind.NO_OUTPUT] = ", ".join(lacking)[:160]
    return found
