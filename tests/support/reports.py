"""A comparison made up of noise, with everything that a page of one can hold; and a reader of pages."""

from __future__ import annotations

import shlex
from html.parser import HTMLParser

import numpy as np

from restorekit.report import template
from restorekit.report.results import Comparison, Moment, Refusal, SolverResult
from restorekit.report.table import PageTable

NASTY = "<b>\"a\"&'b'</b><script>alert(1)</script>"
VOID = {"img", "input", "meta", "link", "br", "wbr", "col"}


def comparison(bands: int = 3, h: int = 60, w: int = 90, truth: bool = True) -> Comparison:
    """An optimiser, a sampler of three draws, another with an infinite setting, and one that refuses."""
    rng = np.random.default_rng(0)
    clean = np.broadcast_to(np.linspace(0, 1, w, dtype=np.float32), (bands, h, w)).copy()

    def result(label: str, draws: bool, count: int, noise: float) -> SolverResult:
        samples = (clean + noise * rng.standard_normal((count, bands, h, w))).astype(np.float32)
        moments = [Moment(i, 1 / i, samples[0]) for i in range(1, 9)]
        return SolverResult(
            label, draws, samples, moments, 1 + noise, 8, 100 * noise, {"sigmas": [1.0, 0.5, 0.0], "a": "<i>"}
        )

    outcomes = [result("hqs", False, 1, 0.03), Refusal("ddrm", f"no SVD {NASTY}"), result("mmps:a=1,b=2", True, 3, 0.05),
                result("mmps", True, 3, 0.02)]  # fmt: skip
    return Comparison(
        f"{NASTY}.tif", shlex.join(["restorekit", "compare", f"{NASTY}.tif", "out.html", "--op", "denoise"]), [("operator", NASTY), ("noise", "n")],
        clean[:, ::-1].copy(), "turned over", clean if truth else None, outcomes, (0.0, 255.0),
    )  # fmt: skip


def table_html(table: PageTable) -> str:
    """Return a table as it stands in a page."""
    return (
        template.environment()
        .from_string("{% from 'parts.html' import data_table %}{{ data_table(t) }}")
        .render(t=table)
    )


class Reader(HTMLParser):
    """Elements of a page as (tag, attributes), its text, and whether every tag is closed in order."""

    def __init__(self, page: str):
        super().__init__()
        self.elements, self.open, self.texts = list[tuple[str, dict[str, str]]](), list[str](), list[str]()
        self.feed(page)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]
