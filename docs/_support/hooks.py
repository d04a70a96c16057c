"""What mkdocs does beside: names that are not public yet are left out, and the gallery shows what the examples drew."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DIRECTIVE = re.compile(r"^::: restorekit\.([A-Za-z_]\w*)$(?:\n(?:    .*)?$)*", re.MULTILINE)
HEADLINE = re.compile(r"^(.*?)[.:](?:\s|$)", re.DOTALL)


def public() -> set[str]:
    """`restorekit.__all__`, read without importing anything."""
    tree = ast.parse((ROOT / "restorekit" / "__init__.py").read_text(encoding="utf-8"))
    lists = [n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"]
    return set(ast.literal_eval(lists[0]))


def present(markdown: str) -> str:
    """The page without the entries of names that `restorekit` does not have."""
    names = public()
    return DIRECTIVE.sub(lambda found: found[0] if found[1] in names else "", markdown)


def examples() -> list[Path]:
    return sorted((ROOT / "examples").glob("*.py"))


def entry(script: Path) -> str:
    """A section of the gallery: what an example shows, what it drew and printed where `gallery.py` ran it, and its source."""
    name, source = script.stem, script.read_text(encoding="utf-8")
    words = (ast.get_docstring(ast.parse(source)) or name).split("\n\n")[0]
    drawn, said = (ROOT / "docs" / "gallery" / f"{name}{end}" for end in (".webp", ".txt"))
    parts = [f"## {name.replace('_', ' ')}", " ".join(words.split()), f"```\npython examples/{name}.py\n```"]
    if drawn.is_file():
        parts.append(f"![{name.replace('_', ' ')}](gallery/{name}.webp)")
    if said.is_file():
        parts.append(f"```text\n{said.read_text(encoding='utf-8').strip()}\n```")
    code = "\n".join(f"    {line}".rstrip() for line in f"```python\n{source}```".splitlines())
    return "\n\n".join([*parts, f'??? note "examples/{name}.py"\n\n{code}'])


def on_config(config: Any) -> Any:
    """Put a page for each decision below `Decisions`."""
    pages = [f"decisions/{path.name}" for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))]
    (design,) = (section["Design"] for section in config.nav if "Design" in section)
    (one,) = (item for item in design if "Decisions" in item)
    one["Decisions"] = ["decisions/index.md", *pages]
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    if page.file.src_uri.startswith("reference/"):
        return present(markdown)
    if page.file.src_uri == "gallery.md":
        return "\n\n".join([markdown, *map(entry, examples())])
    return markdown
