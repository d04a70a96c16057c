"""The pages of the documentation, and the blocks of code on them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    language: str
    text: str


def pages() -> dict[str, Path]:
    """Every page by its path from the root: README, CONTRIBUTING and the site."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
    return {str(p.relative_to(ROOT)): p for p in found if "gallery" not in p.parent.name}


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in _FENCE.findall(page.read_text(encoding="utf-8"))]


def lines(page: Path) -> list[str]:
    """The lines of the blocks of shell commands, in order; those that go on behind a backslash as one."""
    shell = (b.text.replace("\\\n", " ") for b in blocks(page) if b.language == "sh")
    return [line for text in shell for line in text.splitlines() if line.strip() and not line.startswith("#")]


def section(page: str, heading: str) -> str:
    """The text below a heading of a page, up to the next heading of any level."""
    text = pages()[page].read_text(encoding="utf-8")
    return re.split(r"^#+ ", text.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
