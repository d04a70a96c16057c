"""Every block of code of the documentation: commands run on small files of the names that they use, Python as it is."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import typer

import restorekit
from restorekit.cli.main import app
from restorekit.cli.main import run as command
from restorekit.priors import find as priors
from restorekit.sar.filters import FILTERS
from tests.support import page_files
from tests.support.pages import ROOT, blocks, lines, pages
from tests.support.scenes import tiny_prior

PAGES = pages()
LANGUAGES = {"sh", "python", "text", ""}
# Files beside those that most pages use.
MAKERS: dict[str, tuple[Callable[[Path], None], ...]] = {
    "docs/tasks/despeckle.md": (page_files.make_scenes, page_files.make_halves, page_files.make_products),
    "docs/tasks/dates.md": (page_files.make_dates,),
    "docs/tasks/derain.md": (page_files.make_rain,),
    "docs/tasks/deblur.md": (page_files.make_moved,),
    "docs/tasks/raw.md": (page_files.make_raw,),
    "docs/tasks/many.md": (page_files.make_files, page_files.make_many),
}
RAW = {"docs/tasks/raw.md"}
GEO = {"docs/tasks/dates.md", "docs/tasks/despeckle.md", "docs/tasks/fuse.md", "README.md"}
# Too long even on small files; their options are read here, and that they run is tested elsewhere.
ELSEWHERE = {
    "docs/training.md": "tests/priors/test_published.py",
    "docs/bench.md": "tests/bench/test_bench_table.py and tests/bench/test_peers.py",
    "docs/uncertainty.md": "tests/cli/test_cli_calibrate.py",
}
PROGRAMS = {"restorekit", "torchrun", "pip", "mkdir"}
NAMES = {"IN": "in.png", "OUT": "out.png"}

SHORTER = {
    **{name: ["--steps", "2", "--prior", "natural-fast"] for name in ("inpaint", "deblur", "derain", "upscale", "dejpeg", "colorize", "restore")},
    "compare": ["--steps", "2", "--samples", "2"],
    "fuse": ["--despeckle", "lee"],
    "despeckle": ["--steps", "2"],
    "tune": ["--crop", "32", "--budget", "4", "--pictures", "1", "--prior", "natural-fast", "--samples", "2"],
    "bench images": ["--crop", "32", "--workers", "1", "--limit", "1"],
    "bench posterior": ["--problem", "mixture-2", "--sigma", "0.05", "--steps", "2"],
    "sample": ["--n", "1", "--steps", "2"],
    "train": ["--set", "optim.steps=1", "--set", "optim.batch=2", "--set", "run.compile=false"],
    "priors eval": ["--limit", "1", "--crop", "32"],
}  # fmt: skip


def shorter(arguments: list[str]) -> list[str]:
    """What makes a command quick; filters take no steps."""
    if any(a.partition(":")[0] in FILTERS for a in arguments):
        return []
    if arguments[0] == "denoise" and ("--samples" in arguments or "--solver" in arguments):
        return ["--steps", "2"]
    return SHORTER.get(" ".join(arguments[:2]), SHORTER.get(arguments[0], []))


def words(line: str) -> list[str]:
    """The arguments behind the name of the program."""
    return [NAMES.get(word, word) for word in shlex.split(line, comments=True)[1:]]


def read(arguments: list[str]) -> None:
    """Have the options of a command read, without running it; SystemExit or a UsageError for what it does not know."""
    found: Any = typer.main.get_command(app)
    name, context = "restorekit", None
    while True:
        context = found.make_context(name, list(arguments), parent=context)
        if not hasattr(found, "resolve_command"):
            return
        name, found, arguments = found.resolve_command(context, [*context._protected_args, *context.args])


@pytest.mark.parametrize("page", PAGES)
def test_blocks_are_of_kinds_that_are_tested(page: str) -> None:
    for block in blocks(PAGES[page]):
        assert block.language in LANGUAGES, page
        if not block.language:  # read by people, not run
            assert not re.search(r"^(restorekit|torchrun) |^(import|from) \w", block.text, re.MULTILINE), (
                page,
                block.text,
            )
    for line in lines(PAGES[page]):
        assert line.split()[0] in PROGRAMS or line.startswith("  "), (page, line)


@pytest.mark.parametrize("page", [p for p in PAGES if lines(PAGES[p])])
def test_every_option_of_a_command_is_known(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").touch()  # of --config, which is read with the options
    for line in lines(PAGES[page]):
        program, *rest = shlex.split(line, comments=True)
        if program == "torchrun":
            rest = rest[rest.index("restorekit") + 1 :]
        if program in ("restorekit", "torchrun"):
            read([NAMES.get(word, word) for word in rest])


def test_an_option_that_is_not_known_is_noticed() -> None:
    with pytest.raises(Exception, match="--nois"):
        read(["denoise", "a.png", "b.png", "--nois", "gaussian:0.1"])


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Go to a folder with the files of a page, where what takes longest is cut short."""
    from restorekit.blind.correction import KernelCorrection
    from restorekit.blind.families import Families

    monkeypatch.setattr("restorekit.tasks.deblur.KernelCorrection", partial(KernelCorrection, steps=2))
    monkeypatch.setattr("restorekit.tasks.deblur.Families", partial(Families, longest=14, turns=6))
    monkeypatch.chdir(tmp_path)

    def make(page: str) -> None:
        if page in GEO:
            pytest.importorskip("rasterio")
        if page == "docs/tasks/despeckle.md":
            for module in ("sarkit", "h5py", "zarr"):
                pytest.importorskip(module)
        if page in RAW:
            pytest.importorskip("rawpy")
        if page == "docs/tasks/despeckle.md":  # of fifteen commands, whose results are looked at elsewhere
            known = {**priors.shipped(), "sar": Path(tiny_prior())}
            monkeypatch.setattr(priors, "shipped", lambda: known)
        for maker in MAKERS.get(page, (page_files.make_files,)):
            maker(tmp_path)

    return make


@pytest.mark.parametrize("page", [p for p in PAGES if lines(PAGES[p]) and p not in ELSEWHERE])
def test_the_commands_of_a_page_run(page: str, small: Callable[[str], None], tmp_path: Path) -> None:
    """In order, on small files of the names that they use."""
    small(page)
    cluster = Cluster()
    try:
        for line in lines(PAGES[page]):
            arguments = [cluster.address() if a == "tcp://host:8786" else a for a in words(line)]
            arguments = ["0,0,40,64" if a == "0,0,512,512" else a for a in arguments]  # the scene is smaller
            with pytest.raises(SystemExit) as stop:
                command([*arguments, *shorter(arguments)])
            barely_trained = arguments[:2] == ["priors", "verify"] and arguments[2].startswith("runs/")  # for one step
            assert stop.value.code == 0 or barely_trained, line
            if arguments[0] in ("despeckle", "deblur", "derain") and "--out" not in arguments:
                assert (tmp_path / arguments[2]).stat().st_size > 1000, line
    finally:
        cluster.close()
    assert not list(tmp_path.glob(".*.work"))


class Cluster:
    """A dask cluster in this process, from the first call of `address` on."""

    opened: Any = None

    def address(self) -> str:
        distributed = pytest.importorskip("distributed")
        if self.opened is None:
            self.opened = distributed.LocalCluster(
                n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
            )
        return self.opened.scheduler_address

    def close(self) -> None:
        if self.opened is not None:
            self.opened.close()


PYTHON = [(page, i) for page, path in PAGES.items() for i, b in enumerate(blocks(path)) if b.language == "python"]


@pytest.mark.parametrize(("page", "number"), PYTHON)
def test_the_python_of_a_page_runs(
    page: str, number: int, small: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = blocks(PAGES[page])[number].text
    quoted = re.match(r"# (examples/\w+\.py)\n(.*)", code, re.DOTALL)
    if quoted:
        assert quoted[2] in (ROOT / quoted[1]).read_text(encoding="utf-8"), f"{page} and {quoted[1]} differ"
        return
    for name in re.findall(r"\brestorekit\.([a-z]\w*)\(", code):
        assert name in restorekit.__all__, name
    if "deepinv" in code:
        needs_deepinv()
    small(page)
    names: dict[str, Any] = {
        "__name__": "page", "net": lambda x, t: torch.zeros_like(x), "result": SimpleNamespace(samples=torch.rand(4, 3, 8, 8)),
    }  # fmt: skip
    monkeypatch.setitem(sys.modules, "page", SimpleNamespace())  # where dataclasses look names up
    exec(code, names)  # noqa: S102 (our own page)
    if "denoise" in names and "Adapted" in code:
        x = torch.rand(1, 3, 4, 4)
        torch.testing.assert_close(names["denoise"](x, 0.1), x)  # predicts no noise


def needs_deepinv() -> None:
    from restorekit.errors import BadInput
    from restorekit.interop.deepinv import import_deepinv

    try:
        import_deepinv()
    except BadInput as error:
        pytest.skip(str(error))


def test_the_programs_beside_ours_are_there() -> None:
    """Targets of make, extras of pip and examples that pages name."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for page, path in PAGES.items():
        text = path.read_text(encoding="utf-8")
        code = "".join(b.text for b in blocks(path))
        for target in re.findall(r"^make ([a-z-]+)", code, re.MULTILINE):
            assert re.search(rf"^{target}.*:", makefile, re.MULTILINE), (page, target)
        for extras in re.findall(r"""pip install[^\n`]*["']?(?:restorekit|\.)\[([a-z,]+)\]""", text):
            for extra in extras.split(","):
                assert re.search(rf"^{extra} = \[", project, re.MULTILINE), (page, extra)
        for script in re.findall(r"\b(examples/\w+\.py)", text):
            assert (ROOT / script).is_file(), (page, script)
