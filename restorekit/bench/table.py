"""The calibration table: every solver on every problem it can treat, one row each, saved as it grows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from restorekit.bench.exams import EXAMS
from restorekit.bench.posterior import Figures, measure, size_of
from restorekit.bench.rows import Rows, markdown
from restorekit.errors import BadInput, Unsupported
from restorekit.solvers import SMC, SOLVERS
from restorekit.solvers.from_text import solver as solver_of

VALUES = tuple(f.name for f in fields(Figures))
HEADER = ("solver", "levels", "calls", "VJPs", "ms/sample", "W2", "exact draws", "exact score", "mean error", "trace",
          "coverage 90 %", "SBC p")  # fmt: skip
NOTES = """Distances and errors are in standard deviations of the posterior. `exact draws`: the W2 that as many exact draws give;
`exact score`: that of the exact conditional denoiser on the same levels, which nobody can beat. `trace`: variance of the
samples over the exact one. `coverage`: of 90 % intervals, 0.9 if calibrated. `SBC p`: ranks of the truth among the samples,
small if not uniform. A solver without a row refuses the problem."""


def run(
    solvers: Sequence[str] | None,
    problems: Sequence[str] | None,
    steps: Sequence[int | None],
    quick: bool,
    seed: int,
    out: Path,
) -> str:
    """Fill the table and return it as Markdown; `out` receives posterior.csv (rows as they come) and posterior.md."""
    chosen = list(solvers or SOLVERS)
    names = list(problems or EXAMS)
    if unknown := [n for n in names if n not in EXAMS]:
        raise BadInput(f"unknown problem {unknown[0]!r}; known: {', '.join(EXAMS)}")
    made = {text: solver_of(text) for text in chosen}
    size = "quick" if quick else "full"
    rows = Rows(out / "posterior.csv", ("size", "seed", "problem", "solver", "levels"), VALUES)
    for name in names:
        for text, solver in made.items():
            for count in steps:
                if rows.has(size, seed, name, text, count or "own"):
                    continue
                try:
                    found = measure(name, solver, count, size_of(name, quick, isinstance(solver, SMC)), seed)
                except Unsupported:
                    continue
                rows.add(size, seed, name, text, count or "own", *(getattr(found, v) for v in VALUES))
                print(f"{name}  {text}  W2 {found.w2:.2f}  coverage {found.coverage:.2f}", file=sys.stderr, flush=True)
    text = report([r for r in rows.rows if r["size"] == size and r["seed"] == str(seed)])
    (out / "posterior.md").write_text(f"# Samplers against exact posteriors\n\n{NOTES}\n\n{text}\n")
    return text


def report(rows: Sequence[dict[str, str]]) -> str:
    parts = []
    for name in EXAMS:
        mine = sorted((r for r in rows if r["problem"] == name), key=lambda r: float(r["w2"]))
        body = [
            (r["solver"], r["levels"], int(r["nfe"]), int(r["vjps"]), 1e3 * float(r["seconds"]),
             *(float(r[k]) for k in ("w2", "floor", "control", "error", "trace", "coverage", "sbc")))
            for r in mine
        ]  # fmt: skip
        if body:
            parts.append(f"## {name}\n\n{markdown(HEADER, body)}")
    return "\n\n".join(parts)
