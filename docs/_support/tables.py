"""Write the generated parts of docs/solvers.md and docs/priors.md, from the code, the cards and the benchmark.

python docs/_support/tables.py            # a test compares them
"""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields
from pathlib import Path

from restorekit.citations import CITATIONS
from restorekit.inference.solver import Solver
from restorekit.priors.find import shipped
from restorekit.priors.formats.checkpoint import read_spec
from restorekit.solvers import SOLVERS

DOCS = Path(__file__).parents[1]
POSTERIOR = DOCS.parent / "benchmarks" / "results" / "posterior.md"


def row(*cells: object) -> str:
    """A line of a table; what would end a cell is escaped."""
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def paper(solver: Solver) -> str:
    """First author, title, journal or conference, and year, from the BibTeX entry that the solver names."""
    entry = dict(re.findall(r"(\w+)=\{(.*)\}", CITATIONS[solver.reference]))
    first, *others = entry["author"].split(" and ")
    where = entry.get("booktitle") or entry.get("journal") or entry.get("publisher", "")
    name = first.partition(",")[0] + (" et al." if others else "")
    return f'{name}, "{entry["title"]}", {where}{" " * bool(where)}{entry["year"]}'.replace("{", "").replace("}", "")


def calls(solver: Solver) -> str:
    """Network calls per sample by default."""
    count = str(solver.calls([1.0] * (solver.default_steps + 1)))
    particles = getattr(solver, "particles", None)
    return f"{count} of {particles} particles" if particles else count


def measured() -> dict[str, list[str]]:
    """Solver -> the cells of its row in the first table of the benchmark against exact posteriors."""
    text = POSTERIOR.read_text(encoding="utf-8").partition("## Gaussian problems, every solver")[2].partition("\n- ")[0]
    return {
        cells[0]: cells[1:] for cells in (re.split(r" *\| *", line)[1:-1] for line in text.splitlines() if "|" in line)
    }


def settings(kind: type[Solver]) -> list[str]:
    """A table of the fields: name, default, and the comment of the line that declares it."""
    source = inspect.getsource(kind)
    lines = []
    for f in fields(kind):
        said = re.search(rf"^    {f.name}: .*?(?:  # (.*))?$", source, re.MULTILINE)
        default = "" if f.default is MISSING else f"`{f.default}`"
        lines.append(row(f"`{f.name.rstrip('_')}`", default, (said and said[1]) or ""))
    return ["| setting | default | |", "|---|---|---|", *lines] if lines else []


def result(cells: list[str]) -> str:
    """The figures of the benchmark in a sentence."""
    _, refused, passes, spread, coverage, error, *_ = cells
    what = f"`benchmarks/results/posterior.md`, {passes} passes at most: "
    if spread == "-":
        return what + f"its answer is up to {error} posterior deviations off the mean."
    left_out = f" It refuses {refused} of the cells." if refused != "0" else ""
    return (
        f"{what}spread {spread} of the exact one, 90 % intervals that hold {coverage}, means up to {error} posterior deviations off."
        + left_out
    )


def solver_table() -> str:
    lines = ["| `--solver` | gives | calls | gradients | needs |", "|---|---|---|---|---|"]
    for name, kind in SOLVERS.items():
        solver = kind()
        gives = "one answer" if not kind.is_sampler else "samples, of clean measurements" if kind.exact else "samples"
        lines.append(
            row(f"[`{name}`](#{name.replace('+', '-noisy')})", gives, calls(solver), solver.products, kind.needs)
        )
    return "\n".join(lines)


def solver_sections() -> str:
    known, parts = measured(), list[str]()
    for name, kind in SOLVERS.items():
        solver = kind()
        cells = known[name]
        first = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
        parts += [f"### {name} {{ #{name.replace('+', '-noisy')} }}", kind.when, f"Needs {kind.needs}. {first}"]
        if cells[0] != "0":
            parts.append(f"Exact posteriors, {result(cells)}")
        parts += [f"Paper: {paper(solver)}.", "\n".join(settings(kind))]
    return "\n\n".join(part for part in parts if part)


def priors_table() -> str:
    lines = ["| `--prior` | network | knows | bands | MB | trained in | licence |", "|---|---|---|---|---|---|---|"]
    for name, path in shipped().items():
        spec, card = read_spec(path), path.with_suffix(".md").read_text(encoding="utf-8")
        said = dict(re.findall(r"^\| ([\w, ]+) \| (.*) \|$", card, re.MULTILINE))
        nets = re.findall(r"(?:^|; )([\w-]+): ", said["Architecture"])  # of a file that holds several
        network = " and ".join(nets) or said["Architecture"].partition(", ")[0].partition(": ")[0]
        size = re.findall(r"[\d.]+ million parameters(?: each)?", said["Architecture"])
        hours = re.findall(r"[\d.,and ]+ hours", said["Machine, time"])
        lines.append(
            row(
                f"`{name}`", f"{network}; {' and '.join(size)}", knows(card), " or ".join(map(str, spec.bands)),
                f"{path.stat().st_size / 1e6:.1f}", hours[-1].strip() if hours else "", said["Licence"].removeprefix("weights "),
            )
        )  # fmt: skip
    return "\n".join(lines)


def knows(card: str) -> str:
    """The first sentence of a card."""
    text = " ".join(card.split("\n\n")[1].split())
    return re.split(r"(?<=[a-z)])[.:] ", text)[0].rstrip(".").removeprefix("A denoiser for ")


def limits() -> str:
    """The section `Limits` of every card, by prior."""
    parts = []
    for name, path in shipped().items():
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        parts.append(f"**{name}.** " + card.partition("\n## Limits\n")[2].partition("\n## ")[0].strip())
    return "\n\n".join(parts)


PARTS = {
    "solvers.md": {"table": solver_table, "sections": solver_sections},
    "priors.md": {"table": priors_table, "limits": limits},
}


def filled(page: str, text: str) -> str:
    """`text` of a page with its generated parts as they are now."""
    for name, made in PARTS[page].items():
        begin, end = f"<!-- {name}: written by docs/_support/tables.py -->", f"<!-- end of {name} -->"
        head, found, rest = text.partition(begin)
        assert found, f"{page} lacks {begin}"
        assert end in rest, f"{page} lacks {end}"
        text = f"{head}{begin}\n{made()}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    for page in PARTS:
        path = DOCS / page
        path.write_text(filled(page, path.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"{path}: written")
