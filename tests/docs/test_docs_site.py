"""The site: it builds without a warning, and its pages, opened from disk, fetch nothing from elsewhere, fit the screen and can be searched."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.chromium import BINARY, Browser, browser
from tests.support.pages import ROOT

MISSING = [name for name in ("mkdocs", "material", "mkdocstrings", "mkdocstrings_handlers") if not find_spec(name)]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}; pip install '.[docs]'")
in_chromium = pytest.mark.skipif(BINARY is None, reason="no chromium; Debian's package is enough")

WIDE, NARROW = (1366, 768), (390, 844)
LOOKED_AT = ["index.html", "start.html", "solvers.html", "priors.html", "tasks/deblur.html", "tasks/despeckle.html",
             "reference/operators.html", "decisions/033-speckle.html", "contributing.html", "gallery.html"]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Loaded(HTMLParser):
    """The addresses that a page loads by itself; links that a reader may follow are none."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "link" and values.get("rel") not in ("next", "prev", "canonical"):
            self.urls.append(values.get("href") or "")
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed", "input", "image", "use"):
            self.urls += [values.get(key) or "" for key in ("src", "href", "xlink:href", "srcset")]
        self.urls += re.findall(r"url\(['\"]?([^'\")]+)", values.get("style") or "")


def loaded(text: str) -> list[str]:
    parser = Loaded()
    parser.feed(text)
    return [*filter(None, parser.urls), *re.findall(r"@import\s+['\"]([^'\"]+)", text)]


def elsewhere(urls: list[str]) -> list[str]:
    return [u for u in urls if re.match(r"(?:https?:)?//", u)]


def test_no_page_loads_from_another_host(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 70
    for page in pages:
        urls = loaded(page.read_text(encoding="utf-8"))
        assert len(urls) > 3, page
        assert elsewhere(urls) == [], page
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert elsewhere(re.findall(r"url\(['\"]?([^'\")]+)", text)) == [], sheet
        assert "@import" not in text, sheet


def test_what_is_loaded_from_another_host_would_be_noticed() -> None:
    text = '<link rel="stylesheet" href="https://a.invalid/x.css"><img src="//b.invalid/x.png"><a href="https://c.invalid">c</a>'
    assert elsewhere(loaded(text)) == ["https://a.invalid/x.css", "//b.invalid/x.png"]


def test_every_public_name_has_an_entry(site: Path) -> None:
    import restorekit

    found = {
        name
        for page in (site / "reference").glob("*.html")
        for name in re.findall(r'id="restorekit\.([A-Za-z_]\w*)"', page.read_text(encoding="utf-8"))
    }
    assert set(restorekit.__all__) - {"operators", "solvers", "metrics"} <= found


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@in_chromium
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_pages_from_disk_fetch_nothing_and_fit(chromium: Browser, site: Path, size: tuple[int, int]) -> None:
    for name in LOOKED_AT:
        chromium.open(site / name, *size)
        asked = chromium.requests()
        assert asked, name
        assert [u for u in asked if not u.startswith(("file:", "about:", "blob:"))] == [], name
        assert chromium.run("document.documentElement.scrollWidth") <= size[0], name
        shown = chromium.run("""Promise.all([...document.querySelectorAll("article img")].map(
            (i) => { i.loading = "eager"; return i.decode().then(() => i.getBoundingClientRect().width, () => 0); }))""")
        assert all(0 < width <= size[0] for width in shown), (name, shown)


@in_chromium
def test_the_search_works_from_disk(chromium: Browser, site: Path) -> None:
    chromium.open(site / "index.html", *WIDE)
    box = chromium.run("document.querySelector('[data-md-component=search-query]').getBoundingClientRect().toJSON()")
    for kind in ("Pressed", "Released"):
        chromium.mouse(kind, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, buttons=int(kind == "Pressed"))
    chromium.call("Input.insertText", text="posterior")
    chromium.key("r", 82)  # the search listens to keys
    until, found = time.monotonic() + 30, []
    while not found and time.monotonic() < until:
        chromium.run("new Promise((done) => setTimeout(done, 100))")
        found = chromium.run("[...document.querySelectorAll('.md-search-result__link')].map((a) => a.href)")
    assert found
    assert all(link.startswith("file:") for link in found)
    assert [u for u in chromium.requests() if u.startswith("http")] == []
