"""The calibration table: every solver in every exam, one row each, saved as it grows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import restorekit
from restorekit.bench.bench_settings import ExamSettings
from restorekit.bench.posterior.exams import LEVELS, QUICK, Cell, cells, checked
from restorekit.bench.posterior.figures import BINS, Figures, ValueWithError, judge
from restorekit.bench.posterior.run_exam import CONTROL_LEVELS, ExamSamples, drawn, exact_score, size_of
from restorekit.bench.workers import one_thread
from restorekit.errors import BadInput, Unsupported
from restorekit.files.journal import Rows
from restorekit.files.lock import alone
from restorekit.files.overwrite import separate
from restorekit.files.picture import write_text
from restorekit.inference.solver import Solver
from restorekit.report.text_tables import latex, markdown, uncertain
from restorekit.solvers import SOLVERS
from restorekit.text.names import files_of, solver_of

KEYS = ("size", "seed", "problem", "prior", "sigma_y", "solver", "settings", "steps", "version")
NUMBERS = tuple(f.name for f in fields(Figures) if f.name != "ranks")
VALUES = (
    "levels",
    "forward",
    "backward",
    "seconds",
    *(n + e for n in NUMBERS for e in ("", "_se")),
    "ranks",
    "refused",
)
EXACT, CONTROL = "exact draws", "exact score"  # rows that no solver wrote: what the figures are at best
HEADER = ("sigma_y", "solver", "levels", "passes", "ms/sample", "bias", "error", "error unmeasured", "spread", "spread unmeasured",
          "coverage", "coverage unmeasured", "W2", "W2 of exact draws", "energy", "PIT distance", "PIT p", "ranks")  # fmt: skip
OVERVIEW = ("solver", "exams", "refused", "most passes", "spread", "coverage", "largest bias", "W2 / exact draws")
NOTES = f"""A figure is followed by its standard error, in units of its last digit: 0.951(4). Deviations are those of the exact posterior.
`passes`: pictures through the denoiser per sample, forward and backward counted alike. `bias`: signed, of the mean, in deviations, mean over
pixels. `error`: root mean square of the mean's distance, in deviations, the Monte-Carlo part taken off. `spread`: standard deviation over the exact
one. `coverage`: exact posterior probability inside the sampled 90 % intervals, mean over coordinates. Where A is linear these are taken along its
right singular vectors, apart for gains above a tenth of the largest and for what is *unmeasured*. `W2`: Wasserstein distance in deviations, beside
that of as many exact draws. `energy`: expected energy score over that of the exact posterior, 1 at best. `PIT`: distance from uniform of the exact
distribution function at the samples, along a random direction of each measurement, and the probability of so much. `ranks`: exact probability between
{BINS} sampled quantiles: flat if calibrated, high at both ends if too narrow, in the middle if too wide, on one side if biased.
`{EXACT}` and `{CONTROL}` (the exact conditional denoiser on {CONTROL_LEVELS} levels that no solver chooses) are what a sampler can reach at best."""  # fmt: skip


def settings(solver: Solver | None) -> str:
    """Every setting, so that a row is measured again where a default has changed."""
    return "-" if solver is None else " ".join(f"{k}={v}" for k, v in solver.settings().items()) or "-"


def run(
    solvers: Sequence[str] | None,
    problems: Sequence[str] | None,
    steps: Sequence[int | None],
    quick: bool,
    seed: int,
    out: Path,
    priors: Sequence[str] | None = None,
    sigmas: Sequence[float] | None = None,
    progress: Callable[[str], object] = lambda text: None,
) -> str:
    """Fill the table and return it as Markdown. `out` receives posterior.csv (rows as they come), posterior.md and .tex.

    progress: called with a line of text for each row.
    """
    chosen = cells(problems, priors, sigmas, QUICK if quick else LEVELS)
    by_text: dict[str, Solver | None] = {EXACT: None, CONTROL: None}
    by_text |= {text: solver_of(text) for text in solvers or SOLVERS}
    size = "quick" if quick else "full"
    rows = Rows(out / "posterior.csv", KEYS, VALUES)
    for cell in chosen:
        for text, solver in by_text.items():
            for count in steps if solver is not None else (None,):
                key = (size, seed, *cell.key, text, settings(solver), count or "own", restorekit.__version__)
                if rows.has(*key):
                    continue
                rows.add(*key, *measured(cell, text, solver, count, quick, seed))
                progress(f"{' '.join(cell.key)}  {text}  {told(rows.rows[-1])}")
    rows_of_run = [r for r in rows.rows if r["size"] == size and r["seed"] == str(seed) and current(r, by_text)]
    text = report(rows_of_run, markdown_part)
    write_text(out / "posterior.md", f"# Samplers against exact posteriors\n\n{NOTES}\n\n{text}\n")
    write_text(out / "posterior.tex", report(rows_of_run, latex_part) + "\n")
    return text


@dataclass(frozen=True, kw_only=True)
class Exams(ExamSettings):
    """A run on one thread; the call does it."""

    def __call__(self, progress: Callable[[str], object] = lambda text: None) -> str:
        """Do what `run` does, with no other run in `out`. Raises BadInput, before anything runs, for what is not understood."""
        self.check()
        steps = list(self.steps or [None])
        with alone(self.out), one_thread():
            return run(
                self.solvers or None, self.problems or None, steps, not self.full, self.seed, self.out, self.priors or None,
                self.sigmas or None, progress,
            )  # fmt: skip

    def check(self) -> None:
        """Raise BadInput for what the call refuses before anything runs."""
        files = [self.out / f"posterior.{kind}" for kind in ("csv", "md", "tex")]
        separate(files_of(*(self.solvers or ()), *(self.problems or ())), files)
        cells(self.problems or None, self.priors or None, self.sigmas or None)
        for text in self.solvers or ():
            solver_of(text)


def measured(
    cell: Cell, text: str, solver: Solver | None, steps: int | None, quick: bool, seed: int
) -> tuple[object, ...]:
    """Return VALUES of a row. What a solver does not take, or where it fails, is the last of them."""
    exam, size = cell.make(), size_of(quick, solver)
    y = checked(exam, size.draws, seed, cell.problem)[1]
    try:
        if solver is not None:
            draws = drawn(exam, solver, y, size.samples, seed, steps)
        elif text == EXACT:
            draws = ExamSamples(exam.exact(y, size.samples, seed + 1000))
        else:
            draws = exact_score(exam, y, size.samples, seed)
        figures = judge(exam, y, draws.x, seed)
    except Unsupported as error:
        return refused(str(error))
    except Exception as error:  # noqa: BLE001 (one solver that fails must not take the others with it)
        what = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
        return refused(f"fails: {what}")
    pairs = [v for n in NUMBERS for v in getattr(figures, n)]
    ranks = " ".join(f"{r:.4f}" for r in figures.ranks)
    return draws.levels, draws.forward, draws.backward, draws.seconds, *pairs, ranks, ""


def refused(why: str) -> tuple[object, ...]:
    """Return the values of a row that was refused."""
    return 0, *[math.nan] * (len(VALUES) - 3), "", why


def told(row: dict[str, str]) -> str:
    """Return the figures of a row in one line, or why it was refused."""
    if row["refused"]:
        return row["refused"]
    shown = [(n, number(row, n)) for n in ("bias", "spread_measured", "spread_unmeasured", "coverage_measured", "w2")]
    return "  ".join(f"{n.replace('_', ' ')} {v}" for n, v in shown if v != "-")


def number(row: dict[str, str], name: str) -> str:
    """Return a figure of a row with its standard error, as text."""
    return uncertain(float(row[name]), float(row[name + "_se"]))


def current(row: dict[str, str], made: dict[str, Solver | None]) -> bool:
    """Return whether a row is of this version and of the settings that its text stands for now; those of files are believed."""
    if row["version"] != restorekit.__version__:
        return False
    text = row["solver"]
    if text in made or ".py" in text:
        return text not in made or row["settings"] == settings(made[text])
    try:
        return row["settings"] == settings(solver_of(text))
    except BadInput:
        return False


# --- the report ---

Part = Callable[[str, Sequence[str], Sequence[Sequence[str]], Sequence[str]], str]


def report(rows: Sequence[dict[str, str]], part: Part) -> str:
    """Return one table of all solvers, then one per problem and prior: by noise, then by W2."""
    parts = [part("Overview", OVERVIEW, list(overview(rows)), ())]
    for problem, prior in dict.fromkeys((r["problem"], r["prior"]) for r in rows):
        mine = [r for r in rows if (r["problem"], r["prior"]) == (problem, prior)]
        shown = sorted((r for r in mine if not r["refused"]), key=_order)
        why = dict.fromkeys(f"{r['solver']}: {r['refused']}" for r in mine if r["refused"])
        parts.append(part(f"{problem}, {prior} prior", HEADER, [line(r) for r in shown], list(why)))
    return "\n\n".join(parts)


def _order(row: dict[str, str]) -> tuple[float, int, float]:
    sigma_y = 0.0 if row["sigma_y"] == "-" else float(row["sigma_y"])
    w2 = float(row["w2"])
    return sigma_y, (EXACT, CONTROL, row["solver"]).index(row["solver"]), math.inf if math.isnan(w2) else w2


def line(row: dict[str, str]) -> list[str]:
    """Return the cells of a row."""
    passes = float(row["forward"]) + float(row["backward"])
    own = row["solver"] == EXACT
    return [
        row["sigma_y"], row["solver"] if row["steps"] == "own" else f"{row['solver']} ({row['steps']} steps)",
        "-" if own else row["levels"], "-" if own else f"{passes:.0f}", "-" if own else f"{1e3 * float(row['seconds']):.2g}",
        *(number(row, n) for n in NUMBERS[:-1]), f"{float(row['p']):.2g}".replace("nan", "-"), bars(row["ranks"]),
    ]  # fmt: skip


def bars(ranks: str) -> str:
    """Return a histogram in a line of text: half height is calibrated, full height twice as many."""
    shares = [float(r) * BINS for r in ranks.split()]
    return "".join("▁▂▃▄▅▆▇█"[min(7, round(3.5 * s))] for s in shares) or "-"


def overview(rows: Sequence[dict[str, str]]) -> Iterator[list[str]]:
    """Yield a line per solver: the range of its figures over all exams that it takes."""
    for name, steps in dict.fromkeys((r["solver"], r["steps"]) for r in rows):
        mine = [r for r in rows if (r["solver"], r["steps"]) == (name, steps)]
        took = [r for r in mine if not r["refused"]]

        def span(*names: str, of: Sequence[dict[str, str]] = took) -> str:
            found = [float(r[n]) for r in of for n in names if r[n] != "nan"]
            return f"{min(found):.2f} to {max(found):.2f}" if found else "-"

        biases = [ValueWithError(float(r["bias"]), float(r["bias_se"])) for r in took]
        worst = max(biases, key=lambda f: abs(f.value), default=ValueWithError(math.nan))
        ratios = [float(r["w2"]) / float(r["floor"]) for r in took if r["w2"] != "nan"]
        most = max((float(r["forward"]) + float(r["backward"]) for r in took), default=0.0)
        yield [
            name if steps == "own" else f"{name} ({steps} steps)", str(len(took)), str(len(mine) - len(took)),
            f"{most:.0f}" if took else "-",
            span("spread_measured", "spread_unmeasured"), span("coverage_measured", "coverage_unmeasured"), uncertain(*worst),
            f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else "-",
        ]  # fmt: skip


def markdown_part(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], why: Sequence[str]) -> str:
    """Return a section of the report: its table, and why rows were refused."""
    said = [f"## {title}", markdown(header, rows) if rows else "", "\n".join(f"- {w}" for w in why)]
    return "\n\n".join(s for s in said if s)


def latex_part(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], why: Sequence[str]) -> str:
    """Return a part without the histograms, whose bars are no letters of a font."""
    keep = len(header) - (header[-1] == "ranks")
    said = "".join(f"\n% {w}" for w in why)
    return latex(header[:keep], [row[:keep] for row in rows], title) + said
