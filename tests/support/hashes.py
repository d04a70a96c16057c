"""Whether a change leaves every result as it was: run many small commands and calls at two commits, and compare.

    python tests/support/hashes.py run OUT.json          in this checkout, or in another one given with --root
    python tests/support/hashes.py compare A.json B.json what differs, is missing or is new; exit 1 if something does
    python tests/support/hashes.py at COMMIT COMMIT      both, each commit in a checkout of its own

Pixels, arrays, tensors and pictures are compared by SHA-256; texts as they are, without what changes from run to run:
seconds, memory, versions, dates, and the paths of this checkout and of the folder that the cases run in.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

VOLATILE = {"seconds", "restorekit", "torch", "python", "memory", "machine", "date", "created", "cpu", "time", "stamp"}
SECONDS = re.compile(r"\d+(\.\d+)?(e-?\d+)? ?(ms|s|min|h|GiB|MiB|GB|MB)(?=[\s,;:.)/<\"]|$)", re.MULTILINE)
TIMED = re.compile(r"(s|ms|min|MiB|GiB|seconds|memory)\b[^|&]*|.*\bseconds\b.*")  # the heads of such columns
SHORT = 240


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:24]


def plain(value: Any) -> Any:
    """Return the value without volatile keys."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in VOLATILE}
    return [plain(v) for v in value] if isinstance(value, list) else value


def untimed(text: str) -> str:
    """Return the text without columns of seconds and memory in tables of Markdown, LaTeX and plain text."""
    kept, columns, last = [], set[int](), False
    for line in text.split("\n"):
        mark = next((m for m in ("|", " & ") if m in line), "")
        cells = line.split(mark) if mark else []
        columns = columns if mark or line.startswith("\\") else set()  # LaTeX: rules between rows
        heads = {i for i, cell in enumerate(cells) if TIMED.fullmatch(cell.strip(" \\"))}
        columns = heads or columns
        last = line.endswith(("ms each", "  seconds")) or (last and "  " in line)
        if last and not mark:
            line = f"{line.rpartition('  ')[0].rstrip()}  <t>"
        kept.append(
            mark.join("<t>" if i in columns and not heads else c for i, c in enumerate(cells)) if mark else line
        )
    return "\n".join(kept)


def untimed_table(match: re.Match[str]) -> str:
    """Return a table of HTML without its columns of seconds and memory."""
    heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', match[0], re.DOTALL)
    rows = re.split(r"(?=<tr)", match[0])
    for number, row in enumerate(rows):
        cells = re.findall(r"<t[hd][ >].*?</t[hd]>", row, re.DOTALL)
        if len(cells) == len(heads):
            rows[number] = "".join("<t>" if TIMED.fullmatch(h) else c for h, c in zip(heads, cells))
    return "".join(rows)


class Texts:
    """Takes out of a text what changes from run to run or from checkout to checkout.

    sums: SHA-256 -> name of each file that a case has written; a sum in a text becomes the name.
    """

    def __init__(self, root: Path, work: Path):
        self.work, self.paths, self.sums = work, [(str(work), "<work>"), (str(root), "<root>")], dict[str, str]()

    def note(self, path: Path) -> None:
        self.sums[hashlib.sha256(path.read_bytes()).hexdigest()] = str(path.relative_to(self.work))

    def __call__(self, text: str) -> str:
        for path, name in self.paths:
            text = text.replace(path, name)
        if "Traceback (most recent call last)" in text:  # its lines name modules: the error is what counts
            head, _, tail = text.partition("Traceback (most recent call last)")
            text = f"{head}Traceback: {tail.strip().splitlines()[-1]}\n"
        for whole, name in self.sums.items():
            text = re.sub(rf"\b{whole[:12]}({whole[12:]})?\b", f"<sum of {name}>", text)
        text = re.sub(r"<root>/\S+\.py:\d+", "<source>", text)
        text = re.sub(r"data:[\w/+-]+;base64,([\w+/=]+)", lambda m: f"<data {sha(m[1].encode())}>", text)
        text = re.sub(r"<table.*?</table>", untimed_table, text, flags=re.DOTALL)
        text = re.sub(r"<svg[^>]*\bseconds\b.*?</svg>", "<svg of seconds>", text, flags=re.DOTALL)
        text = re.sub(r"[^;\n]*; \w+, \w+; restorekit [\d.]+, torch \S+, python [\d.]+", "<machine>", text)
        lines = [line.rpartition("\r")[2] for line in text.split("\n")]  # the last state of a progress line
        return untimed(SECONDS.sub("<t>", "\n".join(line.rstrip() for line in lines)))


def array(values: np.ndarray) -> str:
    """Return one line of an array: sum, type, shape, and its mean and deviation, which say how large a change is."""
    head = f"{sha(np.ascontiguousarray(values).tobytes())} {values.dtype} {values.shape}"
    if values.dtype.kind not in "fiucb" or not values.size:
        return head
    wide = np.abs(values) if values.dtype.kind == "c" else values
    return f"{head} mean {np.nanmean(wide, dtype=float):.9g} std {np.nanstd(wide, dtype=float):.9g}"


def tiff(path: Path, texts: Texts) -> Any:
    import rasterio
    import tifffile

    found: dict[str, Any] = {}
    with tifffile.TiffFile(path) as file:
        for number, page in enumerate(file.pages):
            tags = {t.name: t.value for t in page.tags if "Offsets" not in t.name and "ByteCounts" not in t.name}
            found[f"tags {number}"] = {k: metadata(v, texts) for k, v in tags.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path) as d:
            found["pixels"] = array(d.read())
            found["place"] = f"{d.crs} {d.transform.to_gdal()} nodata {d.nodata} {d.colorinterp} {d.descriptions}"
            found["masks"] = array(d.read_masks())
    return found


def metadata(value: Any, texts: Texts) -> Any:
    if isinstance(value, str):
        return texts(
            re.sub(
                r'"(seconds|torch|restorekit|python)": ?("[^"]*"|[\d.]+)', r'"\1": <t>', value.replace("&quot;", '"')
            )
        )
    return sha(repr(value).encode()) if len(repr(value)) > SHORT else repr(value)


def safetensors(data: bytes, texts: Texts) -> Any:
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    told = plain(header.pop("__metadata__", {}))
    extra = {k: plain(json.loads(texts(v))) if v[:1] in "{[" else v for k, v in told.items()}
    return {"tensors": sha(json.dumps(header).encode()), "values": sha(data[8 + size :]), "metadata": extra}


def table(text: str) -> list[Any]:
    return [{k: v for k, v in row.items() if k not in VOLATILE} for row in csv.DictReader(io.StringIO(text))]


def tensors(value: Any) -> Any:
    """Return what torch.load gave with a sum for each tensor."""
    if hasattr(value, "detach"):
        return array(value.detach().float().cpu().numpy())
    if isinstance(value, dict):
        return {str(k): tensors(v) for k, v in value.items() if k not in VOLATILE}
    return [tensors(v) for v in value] if isinstance(value, list | tuple) else repr(value)[:SHORT]


def content(path: Path, texts: Texts) -> Any:
    """Return what is compared of a file."""
    data, suffix = path.read_bytes(), path.suffix.lower()
    if suffix in (".png", ".jpg"):
        from PIL import Image

        return {"pixels": array(np.asarray(Image.open(path))), "bytes": sha(data)}
    if suffix == ".tif":
        return tiff(path, texts)
    if suffix == ".npy":
        return array(np.load(path))
    if suffix == ".safetensors":
        return safetensors(data, texts)
    if suffix in (".pt", ".ckpt"):
        import torch

        return sha(json.dumps(tensors(torch.load(path, weights_only=False, map_location="cpu"))).encode())
    if suffix in (".npz", ".zip"):
        with zipfile.ZipFile(path) as z:
            return {name: sha(z.read(name)) for name in z.namelist()}
    try:
        text = texts(data.decode())
    except UnicodeDecodeError:
        return sha(data)
    if suffix == ".json":
        return plain(json.loads(text))
    return table(text) if suffix == ".csv" else text.splitlines()


def child(folder: Path, call: Callable[[], None]) -> int:
    """Run `call` in a fork, in `folder`, its output in files beside it; return the exit code, 99 after an exception."""
    folder.mkdir()
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 99
    try:
        os.chdir(folder)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(f"{folder}.{name}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
        call()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def prepare(root: Path) -> None:
    """Make this process one of the checkout `root`: one thread, no terminal, and what every case needs imported."""
    os.environ |= {"PYTHONPATH": str(root), "COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1", "OMP_NUM_THREADS": "1",
                   "MKL_NUM_THREADS": "1"}  # fmt: skip
    os.environ.pop("RESTOREKIT_DATA", None)
    sys.path.insert(0, str(root))
    import kornia  # noqa: F401
    import pydantic.dataclasses  # noqa: F401
    import rasterio  # noqa: F401
    import scipy.ndimage
    import scipy.optimize  # noqa: F401
    import skimage.metrics  # noqa: F401
    import tifffile  # noqa: F401
    import torch
    import torch._dynamo
    import torch.func

    torch.set_num_threads(1)
    import restorekit
    import restorekit.cli.main

    assert Path(restorekit.__file__).parents[1] == root, f"restorekit is that of {restorekit.__file__}, not of {root}"


def called(command: Callable[[list[str]], None], arguments: list[str]) -> None:
    sys.argv = ["restorekit", *arguments]
    command(arguments)


def run(out: Path, root: Path, only: str = "") -> None:
    """Run every case whose name holds `only` in the checkout `root`, and write what is compared to `out`."""
    began = time.monotonic()
    prepare(root)
    import hash_cases
    import hash_inputs

    import restorekit.solvers
    from restorekit.cli.main import run as command

    cases = [(name, lambda a=a: called(command, a)) for name, a in hash_cases.commands()]
    cases += hash_cases.calls(list(restorekit.solvers.SOLVERS))
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary).resolve()
        texts = Texts(root, work)
        hash_inputs.write_all(work / "in")
        for name, call in cases:
            if not re.search(only, name):
                continue
            folder, start = work / name.replace(" ", "_"), time.monotonic()
            code = child(folder, call)
            written = sorted(p for p in folder.rglob("*") if p.is_file())
            for path in [*written, *work.rglob("*.safetensors")]:  # which a resumed training writes anew
                texts.note(path)
            streams = {s: texts(Path(f"{folder}.{s}").read_text()).splitlines() for s in ("stdout", "stderr")}
            files = {str(p.relative_to(folder)): content(p, texts) for p in written}
            results[name] = {"exit": code, **streams, "files": files}
            spent = time.monotonic() - start
            print(
                f"{name:28} {sha(json.dumps(results[name], sort_keys=True).encode())} exit {code}, {len(files)} files, {spent:.1f} s",
                flush=True,
            )
    out.write_text(json.dumps(results, indent=1))
    print(f"{len(results)} cases, {time.monotonic() - began:.0f} s")


def flat(value: Any, name: str = "") -> dict[str, str]:
    """Return every leaf of nested dictionaries, lists of texts as one text, by its path."""
    if isinstance(value, dict):
        return {
            k: v for key, inner in value.items() for k, v in flat(inner, f"{name} > {key}" if name else key).items()
        }
    lines = isinstance(value, list) and all(isinstance(v, str) for v in value)
    return {name: "\n".join(value) if lines else json.dumps(value)}


def compare(first: Path, second: Path) -> int:
    """Print what differs, is missing or is new in `second`; return 1 if something is, else 0."""
    a, b = (json.loads(p.read_text()) for p in (first, second))
    differing = 0
    for case in [*a, *(c for c in b if c not in a)]:
        if a.get(case) == b.get(case):
            continue
        differing += 1
        if case not in a or case not in b:
            print(f"{case}: {'new' if case not in a else 'missing'}")
            continue
        old, new = flat(a[case]), flat(b[case])
        for key in dict.fromkeys([*old, *new]):
            if old.get(key) == new.get(key):
                continue
            print(f"{case}: {key}{' is missing' if key not in new else ' is new' if key not in old else ''}")
            lines = difflib.unified_diff(old.get(key, "").splitlines(), new.get(key, "").splitlines(), n=0, lineterm="")
            for line in [x for x in lines if not x.startswith(("---", "+++", "@@"))][:8]:
                print(f"    {line[:SHORT]}")
    print(f"{differing} of {len(a.keys() | b.keys())} cases differ")
    return int(differing > 0)


def at(commits: list[str], only: str = "") -> int:
    """Run both commits, each in a checkout of its own, and compare them."""
    here = Path(__file__).resolve()
    outs: list[Path] = []
    with tempfile.TemporaryDirectory() as temporary:
        for number, commit in enumerate(commits):
            tree, out = Path(temporary).resolve() / f"tree{number}", Path(temporary) / f"{number}.json"
            subprocess.run(
                ["git", "-C", here.parent, "worktree", "add", "--detach", "-f", tree, commit],
                check=True,
                capture_output=True,
            )
            try:
                subprocess.run([sys.executable, here, "run", out, "--root", tree, "--only", only], check=True)
            finally:
                subprocess.run(["git", "-C", here.parent, "worktree", "remove", "--force", tree], check=True)
            outs.append(out)
        return compare(*outs)


def main(arguments: list[str]) -> int:
    if os.environ.get("PYTHONHASHSEED") != "0":  # read when Python starts; the order of a set of texts hangs on it
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, __file__, *arguments])
    match arguments:
        case ["run", out, *rest] if len(rest) % 2 == 0 and set(rest[::2]) <= {"--root", "--only"}:
            told = dict(zip(rest[::2], rest[1::2]))
            run(
                Path(out).resolve(),
                Path(told.get("--root", Path(__file__).parents[2])).resolve(),
                told.get("--only", ""),
            )
        case ["compare", first, second]:
            return compare(Path(first), Path(second))
        case ["at", first, second, *rest] if not rest or rest[0] == "--only":
            return at([first, second], "".join(rest[1:2]))
        case _:
            print(f"{__doc__}\nrun and at also take --only REGEX of names.", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
