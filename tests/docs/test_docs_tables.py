"""What the pages say of the package is what the package has: names, generated tables, layers, paths, links."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

import restorekit
from restorekit.solvers import SOLVERS
from tests.support.pages import DOCS, ROOT, pages, section

PAGES = pages()


def _support(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, DOCS / "_support" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["solvers.md", "priors.md"])
def test_generated_parts_are_of_now(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert _support("tables").filled(page, text) == text, "run python docs/_support/tables.py"


def test_a_part_that_is_older_is_noticed() -> None:
    text = (DOCS / "solvers.md").read_text(encoding="utf-8")
    assert _support("tables").filled("solvers.md", text.replace("| one answer |", "| samples |")) == text


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_says_when_to_take_it(name: str) -> None:
    when = SOLVERS[name].when
    assert when.startswith("Take it ")
    assert when.endswith(".")
    assert 40 < len(when) < 250
    for other in re.findall(r"\b(?:ddnm|ddrm|dps|ep|hqs|mmps|vds)\b", when):
        assert other in SOLVERS


def test_the_tables_of_operators_and_noise_name_what_there_is() -> None:
    from restorekit.text.names import NOISES, OPERATIONS

    def first_column(heading: str) -> set[str]:
        return set(re.findall(r"^\| `([^`-][^`]*)` ", section("docs/operators.md", heading), re.MULTILINE))

    assert first_column("## Operators") == set(OPERATIONS)
    assert first_column("## Noise") == set(NOISES)


def test_the_page_on_despeckling_names_every_choice() -> None:
    """Filters, executors and remedies that there are, and no solver that there is not."""
    from restorekit.despeckling.settings import DECORRELATE, SIDE, Settings
    from restorekit.sar.filters import FILTERS
    from restorekit.scenes.execute import EXECUTORS

    text = PAGES["docs/tasks/despeckle.md"].read_text(encoding="utf-8")
    for name in (*FILTERS, *EXECUTORS, *DECORRELATE):
        assert f"`{name}`" in text, name
    table = section("docs/tasks/despeckle.md", "## Which solver")
    first = "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    for solver in re.findall(r"`(\w[^`]*)`", first):
        assert isinstance(Settings(solver=solver).method, tuple(SIDE)), solver


def test_the_layers_of_the_page_are_those_that_are_held() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    held = re.findall(r'^  "([\w |]+)",$', project.partition("layers = [")[2], re.MULTILINE)
    (drawn,) = re.findall(
        r"^```\n(cli .*?)^```", PAGES["docs/design.md"].read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert [re.split(r"  +", line)[0] for line in drawn.splitlines()] == held[1:]  # but for `__main__`


LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES)
def test_links_and_paths_lead_somewhere(page: str) -> None:
    """Links to files, and paths in backticks that begin with a folder of the repository."""
    text = PAGES[page].read_text(encoding="utf-8")
    for target in LINK.findall(text):
        assert not target.startswith("/"), target
        file, _, anchor = target.partition("#")
        if "://" in target or page == "CONTRIBUTING.md":
            continue
        to = (PAGES[page].parent / file).resolve() if file else PAGES[page]
        assert to.is_file(), (page, target)
        if anchor and to.suffix == ".md":
            assert anchor in anchors(to), (page, target)
    known = "operators|solvers|restorekit|tests|benchmarks|examples|docs|configs"
    for path in re.findall(rf"`((?:{known})/[\w./-]*)`", text):
        assert (ROOT / path).exists(), (page, path)
    for room, script in re.findall(r"-m benchmarks\.(\w+)\.(\w+)", text):
        assert (ROOT / "benchmarks" / room / f"{script}.py").is_file(), (page, script)


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        own = re.search(r"\{ #([\w-]+) \}", heading)
        found.add(own[1] if own else re.sub(r"[^\w]+", "-", re.sub(r"[`(),.:]", "", heading.lower())).strip("-"))
    return found


def test_every_result_of_a_benchmark_is_in_its_table() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(.*?)` \| (.*?) \| (.+) \|$", text, re.MULTILINE)
    named = [name for _, results, _ in rows for name in re.findall(r"`([\w-]+\.(?:md|json))`", results)]
    kept = {p.name for p in (ROOT / "benchmarks" / "results").glob("*.md")}
    assert {n for n in named if n.endswith(".md")} == kept
    assert len(named) == len(set(named))
    scripts = {tuple(match) for row in rows for match in re.findall(r"-m benchmarks\.(\w+)\.(\w+)", row[0])}
    for room, script in scripts:
        assert (ROOT / "benchmarks" / room / f"{script}.py").is_file(), script
    found = {(p.parent.name, p.stem): p.read_text(encoding="utf-8") for p in (ROOT / "benchmarks").glob("*/*.py")}
    assert {key for key, text in found.items() if f"python -m benchmarks.{'.'.join(key)}" in text} <= scripts
    assert {
        key for key, text in found.items() if '__name__ == "__main__"' in text or "ArgumentParser(" in text
    } <= scripts


def test_every_public_name_is_in_the_reference() -> None:
    text = "".join(p.read_text(encoding="utf-8") for p in (DOCS / "reference").glob("*.md"))
    assert set(restorekit.__all__) - set(re.findall(r"^::: restorekit\.(\w+)$", text, re.MULTILINE)) <= {
        "operators",
        "solvers",
        "metrics",
    }


def test_names_that_are_not_public_yet_are_left_out_of_the_reference() -> None:
    hooks = _support("hooks")
    text = "# A\n\n::: restorekit.Problem\n\n::: restorekit.not_there\n    options:\n      heading_level: 3\n\n::: restorekit.priors.own\n"
    assert hooks.present(text).split() == ["#", "A", ":::", "restorekit.Problem", ":::", "restorekit.priors.own"]


def test_nothing_speaks_of_machines_or_other_hosts() -> None:
    for page, path in PAGES.items():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/work/|/tmp/|/home/|/root/|https?://\w", text), page
