"""The page around a report: head, style, script and a policy that lets the browser load nothing from outside."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from importlib.resources import files

from restorekit.report.html import Child, Html, join, tag


def _asset(name: str) -> str:
    return (files("restorekit.report") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def document(title: str, *body: Child, css: str = "") -> str:
    """A whole HTML page with `body` in its middle, `css` added to the style of all reports.

    Style and script are inside, named by their hashes in the page's policy: nothing else runs, nothing is fetched.
    A `style` attribute is therefore of no effect; use a class, or `css`.
    """
    style, script = _asset("page.css") + css, _asset("page.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content="restorekit"),
        tag("title", title),
        # An icon of its own: without one the browser asks for a file.
        Html('<link rel="icon" href="data:,">'),
        Html(f"<style>{style}</style>"),
    )
    page = tag(
        "html", tag("head", head), tag("body", tag("main", *body), Html(f"<script>{script}</script>")), lang="en"
    )
    return f"<!doctype html>\n{page}\n"
