"""Tables as text: Markdown and LaTeX, numbers to the digits that they have."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any


def markdown(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table in Markdown; numbers to about three digits, NaN as a dash."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(_cell(v) for v in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(v: Any) -> str:
    if isinstance(v, float):
        return "-" if math.isnan(v) else f"{v:.2f}" if abs(v) >= 10 else f"{v:.3g}"
    return str(v)


def uncertain(value: float, error: float) -> str:
    """Return a number to the digits that its standard error allows, that of the last one in brackets: 0.951(4) is 0.951 +- 0.004.

    Three digits where there is no error, and no more than four places; a dash for NaN.
    """
    if math.isnan(value):
        return "-"
    if not 0 < error < math.inf:
        return f"{value:.3g}"
    places = -math.floor(math.log10(error))
    if round(error * 10**places) == 10:  # 0.0096 is 0.01
        places -= 1
    if places <= 0:
        return f"{value:.0f}({error:.0f})"
    if places > 4:
        return f"{value:.4f}"
    return f"{value:.{places}f}({round(error * 10**places)})"


MARKS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{c: "\\" + c for c in "&%$#_{}"},
}


def escaped(text: str) -> str:
    """Return the text as LaTeX sets it."""
    return "".join(MARKS.get(c, c) for c in text)


def latex(header: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> str:
    """Return a table in LaTeX, which needs no package; the first column to the left, numbers to the right."""
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
    ]
    lines += [r"\hline", " & ".join(map(escaped, header)) + r" \\", r"\hline"]
    lines += [" & ".join(escaped(_cell(v)) for v in row) + r" \\" for row in rows]
    return "\n".join([*lines, r"\hline", r"\end{tabular}", r"\end{table}"])
