"""Every solver against exact posteriors: the table that docs/solvers.md, docs/decisions and `restorekit solvers` quote.

The rows are those of `restorekit bench posterior` and lie in results/posterior.csv.xz; a run unpacks them to runs/posterior.csv, from
which a killed run goes on; results/posterior.md is made of them, and what `restorekit solvers` shows of the Gaussian problems at four
noises goes into the package. A row is measured again where a setting has changed; where only code has, `--again dps --again speckle-1`
takes the rows of a solver or problem out first.

python -m benchmarks.restoration.posterior [--part "all solvers"]
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.support.common import HERE, RESULTS, machine, progress
from benchmarks.support.packed_rows import WORKING, pack, unpacked, working
from restorekit.bench.posterior.exam_table import CONTROL, EXACT, KEYS, VALUES, current, run
from restorekit.bench.posterior.exams import LEVELS, QUICK
from restorekit.bench.posterior.run_exam import FEW, FEWEST, FULL
from restorekit.bench.posterior.shipped import SHIPPED
from restorekit.files.picture import write_text
from restorekit.report.text_tables import markdown
from restorekit.solvers import SOLVERS

GAUSSIAN = ("denoise", "inpaint", "average", "blur", "dense")
MODES = ("mixture-2", "mixture-8", "ring")
PIXELS = ("speckle-1", "speckle-3", "speckle-4", "speckle-16", "counts-20")
POPULATIONS = ("smc", "exchange", "enkg")  # minutes per cell
PAPERS = ("daps", "ddnm+", "ddrm", "diffpir", "dps", "pigdm", "pnpdm")
STEADY = tuple(n for n in SOLVERS if n not in POPULATIONS)
PACKAGE = HERE.parent / "restorekit" / "bench" / "posterior" / "posterior.csv"
Row = dict[str, str]


@dataclass(frozen=True)
class Part:
    """One call of `restorekit bench posterior`."""

    solvers: tuple[str, ...]
    problems: tuple[str, ...]
    sigmas: tuple[float, ...] | None = None
    steps: tuple[int | None, ...] = (None,)
    full: bool = False

    def __call__(self) -> None:
        priors = ("stationary", "random") if self.problems[0] in GAUSSIAN else None
        run(self.solvers, self.problems, self.steps, not self.full, 0, WORKING, priors, self.sigmas, progress)


PARTS = {
    "all solvers": Part(STEADY, GAUSSIAN, LEVELS),
    "modes": Part(STEADY, MODES, QUICK),
    "pixels": Part(STEADY, PIXELS),
    "populations": Part(POPULATIONS, GAUSSIAN, (0.05,)),
    "populations on modes": Part(("smc", "exchange"), MODES, (0.05,)),
    "published": Part(tuple(f"{n}:paper=true" for n in PAPERS), ("denoise", "blur"), (0.05,)),
    "published, 900 levels": Part(("ddrm:paper=true", "ddrm"), ("blur",), (0.05,), (100, 900)),
    "long chains": Part(("pnpdm",), ("mixture-2", "mixture-8"), (0.05,), (2000,)),
    "recommended": Part(("mmps", "ddrm", "dps"), GAUSSIAN, LEVELS, full=True),
}


# --- the page ---


def numbers(rows: Sequence[Row], *names: str) -> list[float]:
    return [v for r in rows for n in names for v in [float(r[n])] if not math.isnan(v)]


def span(found: Sequence[float]) -> str:
    return f"{min(found):.2f} to {max(found):.2f}" if found else "-"


def farthest(rows: Sequence[Row]) -> float:
    """The largest W2 over that of exact draws; minus infinity where there is none, as of one answer."""
    return max((float(r["w2"]) / float(r["floor"]) for r in rows if r["w2"] != "nan"), default=-math.inf)


def label(row: Row) -> str:
    return row["solver"] if row["steps"] == "own" else f"{row['solver']} ({row['steps']} steps)"


def overview(rows: Sequence[Row]) -> Iterator[list[str]]:
    """A line per solver, the one that is farthest off first; optimisers, by their error, and what refuses all last."""
    names = dict.fromkeys(map(label, rows))
    of = {name: [r for r in rows if label(r) == name and not r["refused"]] for name in names}
    far = {name: farthest(took) for name, took in of.items()}
    errors = {n: max(numbers(t, "error_measured", "error_unmeasured"), default=-math.inf) for n, t in of.items()}
    for name in sorted(names, key=lambda n: (-far[n], -errors[n])):
        took = of[name]
        refused = sum(label(r) == name for r in rows) - len(took)
        drawn = [r for r in took if r["w2"] != "nan"]
        worst = max(drawn, key=lambda r: float(r["w2"]) / float(r["floor"])) if drawn else None
        worst = worst or max(took, key=lambda r: max(numbers([r], "error_measured", "error_unmeasured")), default=None)
        passes = max((float(r["forward"]) + float(r["backward"]) for r in took), default=0)
        yield [
            name, str(len(took)), str(refused), f"{passes:.0f}" if took else "-",
            span(numbers(took, "spread_measured", "spread_unmeasured")),
            span(numbers(took, "coverage_measured", "coverage_unmeasured")),
            f"{errors[name]:.2f}" if took else "-",
            span([float(r["w2"]) / float(r["floor"]) for r in drawn]),
            " ".join(worst[k] for k in ("problem", "prior", "sigma_y")).removesuffix(" -") if worst else "-",
        ]  # fmt: skip


def cell(row: Row | None) -> str:
    """Spread where measured / where not, and W2 over that of exact draws; of an optimiser, the error of its answer."""
    if row is None:
        return ""
    if row["refused"]:
        return "fails" if row["refused"].startswith("fails") else "refused"
    drawn = row["w2"] != "nan"
    pair = ("spread_measured", "spread_unmeasured") if drawn else ("error_measured", "error_unmeasured")
    said = " / ".join(f"{v:.2f}" for v in numbers([row], *pair))
    return f"{said} ({float(row['w2']) / float(row['floor']):.2f})" if drawn else f"error {said}"


def grid(rows: Sequence[Row]) -> str:
    """One problem and prior: a line per solver, a column per noise, worst first."""
    noises = sorted({r["sigma_y"] for r in rows}, key=lambda s: 0.0 if s == "-" else float(s))
    of: dict[str, dict[str, Row]] = {}
    for r in rows:
        of.setdefault(label(r), {})[r["sigma_y"]] = r
    shown = {n: t for n, t in of.items() if any(not r["refused"] for r in t.values())}
    lines = [
        [name, *(cell(shown[name].get(s)) for s in noises)]
        for name in sorted(shown, key=lambda n: -farthest(list(shown[n].values())))
    ]
    return markdown(("solver", *("figures" if s == "-" else s for s in noises)), lines)


GROUPS = {
    "Gaussian problems, every solver": ("quick", GAUSSIAN),
    "Gaussian problems, 519 samples": ("full", GAUSSIAN),
    "Priors with modes, and a ring": ("quick", MODES),
    "Speckle in the logarithm, and counts": ("quick", PIXELS),
}
COLUMNS = (
    "solver",
    "cells",
    "refused",
    "most passes",
    "spread",
    "coverage",
    "largest error",
    "W2 / exact draws",
    "farthest off",
)
HEAD = f"""# Samplers against exact posteriors

`python -m benchmarks.restoration.posterior` (`restorekit bench posterior` for one solver or cell), on: {{where}}; the machine had other work.
Every figure with its standard error, bias, ranks and times: `posterior.csv.xz`. Worst first.

{FEW.draws} measurements of {FEW.samples} samples each (`smc`, `exchange`: {FEWEST.draws} of {FEWEST.samples}; where it says so {FULL.draws} of {FULL.samples}).
*Passes*: pictures through the denoiser per sample, forward and backward. *Spread*: standard deviation over the exact one. *Coverage*: exact
posterior probability inside the sampled 90 % intervals. *Error*: root mean square of the distance of the mean from the exact one, in posterior
deviations, the part of chance taken off. *W2*: Wasserstein distance over that of as many exact draws. Spread, coverage and error are taken apart along
directions that A measures (gain above a tenth of the largest) and that it does not: the range is over both. `{CONTROL}`: the exact
conditional denoiser on 400 levels. `:paper=true`: published settings. In the tables of single problems a cell holds spread measured / not measured (W2 over that of exact
draws), or the error of the one answer of an optimiser."""  # fmt: skip


def page(rows: Sequence[Row]) -> str:
    parts = [HEAD.format(where=machine())]
    for title, (size, problems) in GROUPS.items():
        mine = [r for r in rows if r["size"] == size and r["problem"] in problems]
        if not mine:
            continue
        parts += [f"## {title}", markdown(COLUMNS, list(overview(mine)))]
        why: dict[str, list[Row]] = {}
        for r in mine:
            if r["refused"]:
                why.setdefault(f"`{r['solver']}`: {r['refused']}", []).append(r)
        parts.append("\n".join(f"- {w} ({len(found)} cells)" for w, found in why.items()))
        for name, prior in dict.fromkeys((r["problem"], r["prior"]) for r in mine):
            parts += [
                f"### {name}, {prior} prior",
                grid([r for r in mine if (r["problem"], r["prior"]) == (name, prior)]),
            ]
    return "\n\n".join(p for p in parts if p) + "\n"


def read() -> list[Row]:
    return unpacked("posterior", KEYS, VALUES).rows


def write(path: Path, rows: Sequence[Row], columns: Sequence[str] = (*KEYS, *VALUES)) -> None:
    with path.open("w", encoding="utf-8", newline="") as f:
        table = csv.DictWriter(f, columns, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def shipped(rows: Sequence[Row]) -> list[Row]:
    """Return the rows from which the package says how close each solver is."""
    levels = {f"{s:g}" for s in QUICK}
    some = [r for r in rows if r["size"] == "quick" and r["problem"] in GAUSSIAN and r["sigma_y"] in levels]
    return [r for r in some if ":" not in r["solver"] and not r["refused"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, help="of the table; again for more; default: all")
    parser.add_argument("--again", action="append", default=[], help="solver or problem to measure again")
    parser.add_argument("--page", action="store_true", help="only write the page from the rows that there are")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.again:
        write(working("posterior"), [r for r in read() if not {r["solver"], r["problem"]} & set(options.again)])
        pack("posterior")
    for name in () if options.page else options.part or PARTS:
        PARTS[name]()
    kept = [r for r in read() if r["solver"] in (EXACT, CONTROL) or current(r, {})]
    write(working("posterior"), kept)
    pack("posterior")
    write(PACKAGE, shipped(kept), SHIPPED)
    write_text(RESULTS / "posterior.md", page(kept))


if __name__ == "__main__":
    main()
