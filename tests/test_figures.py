"""Figures in README and on model cards are those of the last results of the benchmarks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
CARDS = ROOT / "restorekit" / "priors" / "weights"
PAGES = [ROOT / "README.md", *sorted(CARDS.glob("*.md"))]
SCRIPT = re.compile(r"benchmarks/(\w+)\.py")
NUMBER = re.compile(r"(?<![\w.])-?\d+\.\d+(?![\w.])")


@cache
def measured(script: str) -> list[str]:
    """All numbers with a decimal point in the results of a script, of all its sets of pictures."""
    pages = sorted(RESULTS.glob(f"{script}.md")) + sorted(RESULTS.glob(f"{script}-*.md"))
    return [number for page in pages for number in NUMBER.findall(page.read_text(encoding="utf-8"))]


def known(number: str, script: str) -> bool:
    """Whether it is in the results, or one of those rounded to its decimals."""
    decimals = len(number.partition(".")[2])
    half = 0.5 * 10.0**-decimals + 1e-9
    return any(abs(float(other) - float(number)) <= half for other in measured(script))


def tables(page: Path) -> Iterator[tuple[str, list[str]]]:
    """(script named in the paragraph above, rows) of the tables whose paragraph names one."""
    script = ""
    for block in re.split(r"\n\s*\n", page.read_text(encoding="utf-8")):
        if not block.startswith("|"):
            named = SCRIPT.findall(block)
            script = named[-1] if named else "" if block.startswith("#") else script
        elif script:
            yield script, [row for row in block.splitlines() if not re.fullmatch(r"[|\s:-]+", row)]


def figures(row: str) -> list[str]:
    """The numbers of all cells but the first, which says what was measured."""
    return NUMBER.findall(row.split("|", 2)[2])


CASES = [(page, script, row) for page in PAGES for script, rows in tables(page) for row in rows if figures(row)]


def test_pages_are_read_as_meant() -> None:
    """README has tables of four scripts, the cards of at least two; a number that was not measured is not known."""
    assert {script for page, script, _ in CASES if page == PAGES[0]} == {"denoise", "restore", "images", "peers"}
    assert {"speckle", "generation"} <= {script for page, script, _ in CASES if page != PAGES[0]}
    assert known("34.15", "denoise")
    assert not known("44.15", "denoise")
    assert not known("34.99", "denoise")


@pytest.mark.parametrize(("page", "script", "row"), CASES, ids=lambda v: v if isinstance(v, str) else v.stem)
def test_a_row_holds_measured_figures(page: Path, script: str, row: str) -> None:
    assert [number for number in figures(row) if not known(number, script)] == []
