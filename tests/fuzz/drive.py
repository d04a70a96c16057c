"""Runs mutated inputs through the command line, and lists what breaks its contract.

    python -m tests.fuzz --inputs 5000 --seed 0 --out failures.jsonl

The same command goes on where it stopped. --only INDEX shows one case, --keep DIR leaves its files there.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import shlex
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import torch

from tests.fuzz import materials
from tests.fuzz.commands import build
from tests.fuzz.contract import Case, Kind, Outcome, run_case
from tests.fuzz.loopback import Loopback, loopback


def cli() -> Callable[[list[str]], None]:
    from restorekit.cli.main import run

    return run


def quietly(arguments: list[str]) -> None:
    """The command in a child, which must succeed: it makes what the cases need."""
    with tempfile.TemporaryDirectory() as folder:
        found = run_case(Case(tuple(arguments)), Path(folder), cli())
    if found.code:
        raise RuntimeError(f"{shlex.join(arguments)}: {found.err[-2000:]}")


def import_all() -> None:
    """Every module of the package, once and not in every child."""
    import restorekit

    for module in pkgutil.walk_packages(restorekit.__path__, "restorekit."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)


def import_used(folder: Path) -> None:
    """Modules of other libraries that commands load when they need them: what some commands have loaded in a child."""
    names = folder / "modules"
    prior, pictures = folder / "tiny.safetensors", folder / "rgb.png"
    warm = (
        ["denoise", str(pictures), str(folder / "w.png"), "--noise", "auto", "--prior", str(prior), "--steps", "1"],
        ["check", "blur:kernel=gaussian:1", "--size", "1x6x6"],
        ["despeckle", str(folder / "scene.tif"), str(folder / "w.tif"), "--solver", "lee", "--executor", "serial"],
        [
            "bench",
            "images",
            "--data",
            str(folder / "pictures"),
            "--op",
            "denoise",
            "--solver",
            "hqs",
            "--prior",
            str(prior),
            "--steps",
            "1",
            "--crop",
            "16",
            "--limit",
            "1",
            "--workers",
            "1",
            "--lpips",
            "none",
        ],
        ["fuse", str(folder / "optical.tif"), str(folder / "scene.tif"), str(folder / "f.tif"), "--despeckle", "lee"],
    )
    for arguments in warm:

        def named(line: list[str]) -> None:
            with contextlib.suppress(SystemExit):
                cli()(line)
            names.write_text("\n".join(sys.modules))

        with tempfile.TemporaryDirectory() as empty:
            run_case(Case(tuple(arguments)), Path(empty), named)
        for name in names.read_text().split("\n") if names.exists() else ():
            if name not in sys.modules and not name.startswith(("__", "tests")):
                with contextlib.suppress(Exception):
                    importlib.import_module(name)


def cases(
    made: Path, work: Path, seed: int, indices: Iterable[int], words: tuple[str, ...], there: Loopback
) -> Iterator[tuple[int, Case, Outcome]]:
    for index in indices:
        folder = work / "case"
        _remove(folder)
        folder.mkdir(parents=True)
        case = build(made, folder, seed, index, words)
        yield index, case, run_case(placed(case, there), folder, cli())


def placed(case: Case, there: Loopback) -> Case:
    """The case with the server and the cluster of this run."""
    return replace(case, argv=tuple(there.placed(argument) for argument in case.argv))


def _remove(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)


def record(index: int, case: Case, found: Outcome) -> list[dict[str, Any]]:
    """A line for each kind of failure."""
    return [
        {"index": index, "kind": kind.name, "where": where, "command": case.argv[0] if case.argv else "", "mutations": case.mutations,
         "argv": [a[:200].encode("utf-8", "backslashreplace").decode() for a in case.argv], "code": found.code,
         "stderr": found.err[-1500:].encode("utf-8", "backslashreplace").decode()}
        for kind, where in found.failures.items()
    ]  # fmt: skip


def begun(path: Path, seed: int) -> tuple[int, list[dict[str, Any]]]:
    """(next index, failures) of a list that an earlier run with this seed began."""
    if not path.exists():
        return 0, []
    *whole, last = path.read_bytes().rpartition(b"\n")  # a run that was killed may have left half a line
    lines = [json.loads(line) for line in b"".join(whole).splitlines()]
    if last:
        path.write_bytes(b"".join(whole))
    if lines and lines[0].get("seed") != seed:
        raise SystemExit(f"{path} is the list of seed {lines[0].get('seed')}; give another --out")
    done = max((line["done"] for line in lines if "done" in line), default=-1)
    return done + 1, [line for line in lines if "kind" in line and line["index"] <= done]


def table(failures: Sequence[dict[str, Any]], inputs: int) -> str:
    counts = Counter(f["kind"] for f in failures)
    rows = [f"{inputs} inputs", f"{'kind':16} {'count':>6}  what"]
    rows += [f"{kind.name:16} {counts[kind.name]:6d}  {kind.value}" for kind in Kind]
    places = Counter((f["kind"], f["where"]) for f in failures)
    rows += ["", *(f"{n:5d}  {kind}  {where}" for (kind, where), n in places.most_common())] if places else []
    return "\n".join(rows)


def heading(seed: int) -> str:
    """What ran, and where, for a result that is kept."""
    from restorekit.bench.machine import machine, versions

    made = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"{date.today()}, seed {seed}: {made}, on {machine(torch.device('cpu'))}"


def drive(
    inputs: int, seed: int, out: Path | None, words: tuple[str, ...] = (), *, say: bool = True
) -> list[dict[str, Any]]:
    """Failures of the cases 0 to `inputs` - 1 of a seed; appended to `out` one by one. words: of commands, see `build`."""
    first, failures = (0, []) if out is None else begun(out, seed)
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fuzz-")))
        sink = None if out is None else stack.enter_context(open(out, "a", encoding="utf-8"))
        if sink is not None and first == 0:
            sink.write(json.dumps({"seed": seed}) + "\n")
        import_all()
        materials.make(work / "materials", quietly)
        import_used(work / "materials")
        gc.freeze()  # children copy fewer pages
        there = stack.enter_context(loopback(work / "case"))
        for index, case, found in cases(work / "materials", work, seed, range(first, inputs), words, there):
            new = record(index, case, found)
            failures += new
            if sink is not None:
                sink.writelines(json.dumps(line) + "\n" for line in (*new, {"done": index}))
                sink.flush()
            for line in new if say else ():
                print(f"{index} {line['kind']} {line['where']}", file=sys.stderr)
        _remove(work / "case")
    return failures


def show(seed: int, index: int, keep: Path | None, words: tuple[str, ...] = ()) -> None:
    """One case, its command line and its streams."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        work = Path(name)
        materials.make(work / "materials", quietly)
        folder = work / "case" if keep is None else keep.absolute()
        folder.mkdir(parents=True)
        with loopback(folder) as there:
            case = placed(build(work / "materials", folder, seed, index, words), there)
            found = run_case(case, folder, cli())
        print(f"{shlex.join(case.argv)!a}\n{case.mutations}\ncode {found.code}\n--- stdout\n{found.out!a}\n--- stderr")
        print("\n".join(ascii(line)[1:-1] for line in found.err.splitlines()))
        print(found.failures)
        _remove(work / "case")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="list of failures, JSON lines; a run goes on where it stopped")
    parser.add_argument("--result", type=Path, help="also append the table to this file")
    parser.add_argument("--only", type=int, metavar="INDEX", help="show this case alone")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="with --only: leave its files there")
    parser.add_argument(
        "--of", default="", metavar="WORD,...", help="commands with one of these alone, as bench,--network,--scheduler"
    )
    given = parser.parse_args(arguments)
    words = tuple(word for word in given.of.split(",") if word)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if given.only is not None:
        return show(given.seed, given.only, given.keep, words)
    failures = drive(given.inputs, given.seed, given.out, words)
    said = table(failures, given.inputs)
    print(said)
    if given.result is not None:
        with open(given.result, "a", encoding="utf-8") as file:
            file.write(f"{heading(given.seed)}\n\n{said}\n\n")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
