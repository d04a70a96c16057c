"""Figures on the pages of docs/ and on model cards are those of the last results of the benchmarks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
CARDS = ROOT / "restorekit" / "priors" / "weights"
FIRST = ["benchmarks", "tasks/despeckle", "tasks/derain", "tasks/deblur", "uncertainty"]
_OTHER = [p for p in sorted((ROOT / "docs").rglob("*.md")) if str(p.relative_to(ROOT / "docs"))[:-3] not in FIRST]
PAGES = [*(ROOT / "docs" / f"{name}.md" for name in FIRST), *_OTHER, *sorted(CARDS.glob("*.md"))]
SCRIPT = re.compile(r"benchmarks/(?:\w+/)?(\w+)\.py|-m benchmarks\.\w+\.(\w+)")
DECIMAL = re.compile(r"(?<![\w.])[-+]?\d+\.\d+(?![\w.])")
SPREAD = {"coarse", "restore", "speckle"}  # a row of a page takes each of its cells from another table of these
FIGURE = re.compile(r"(?<![\w.])[-+]?(?:\d+\.\d+|\d{2,})(?![\w.])")  # whole numbers too, but not of one digit


@cache
def measured(script: str) -> list[list[str]]:
    """The figures of each row of the tables of a script, of all its sets of pictures."""
    pages = sorted(RESULTS.glob(f"{script}.md")) + sorted(RESULTS.glob(f"{script}-*.md"))
    rows = (line for page in pages for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|"))
    return [FIGURE.findall(row.replace("|", " | ")) for row in rows]


def same(figure: str, other: str) -> bool:
    """Whether `figure` is `other`, or that rounded to its decimals."""
    half = 0.5 * 10.0 ** -len(figure.partition(".")[2])
    return abs(float(other) - float(figure)) <= half + 1e-9


def known(figures: Sequence[str], script: str) -> bool:
    """Whether one row of the results has all of these, in this order."""

    def holds(row: list[str]) -> bool:
        rest = iter(row)
        return all(any(same(figure, other) for other in rest) for figure in figures)

    return any(holds(row) for row in measured(script))


def tables(page: Path) -> Iterator[tuple[str, list[str]]]:
    """(script named in the paragraph above, rows below the header) of the tables whose paragraph names one."""
    script = ""
    for block in re.split(r"\n\s*\n", page.read_text(encoding="utf-8")):
        if not block.startswith("|"):
            named = SCRIPT.findall(block)
            script = "".join(named[-1]) if named else "" if block.startswith("#") else script
        elif script:
            yield script, block.splitlines()[2:]


def groups(row: str, script: str) -> list[list[str]]:
    """Figures that belong to one row of the results: those of a cell where cells hold several, else those of all cells,
    but for SPREAD.

    The first cell says what was measured.
    """
    cells = row.split("|")[2:-1]
    several = [DECIMAL.findall(cell) for cell in cells]
    return (
        [c for c in several if c]
        if script in SPREAD or any(len(c) > 1 for c in several)
        else [FIGURE.findall(" ".join(cells))]
    )


CASES = [(page, script, row) for page in PAGES for script, rows in tables(page) for row in rows if FIGURE.search(row)]


def test_pages_are_read_as_meant() -> None:
    """The page of benchmarks has tables of these scripts, and what was not measured, or not together, is not known."""
    scripts = {script for page, script, _ in CASES if page == PAGES[0]}
    assert {"denoise", "restore", "peers", "speckle"} <= scripts
    assert {"speckle", "generation"} <= {script for page, script, _ in CASES if page not in PAGES[:4]}
    assert {script for page, script, _ in CASES if page == PAGES[1]} == {
        "lines",
        "polarisations",
        "sentinel",
        "speckle_draws",
        "targets",
    }
    assert {script for page, script, _ in CASES if page == PAGES[2]} == {"derain"}
    assert {script for page, script, _ in CASES if page == PAGES[3]} == {
        "blind",
        "blind_seen",
        "kernel_error",
        "linear_light",
    }
    assert known(["34.15", "0.943"], "denoise")
    assert not known(["0.943", "34.15"], "denoise")
    assert not known(["34.15", "0.944"], "denoise")
    assert known(["0.18", "0.21", "0.16", "0.13"], "peers")
    assert not known(["0.18", "0.16", "0.21", "0.13"], "peers")


@pytest.mark.parametrize(("page", "script", "row"), CASES, ids=lambda v: v if isinstance(v, str) else v.stem)
def test_a_row_holds_measured_figures(page: Path, script: str, row: str) -> None:
    assert [group for group in groups(row, script) if group and not known(group, script)] == []
