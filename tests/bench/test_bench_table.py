"""The calibration table: digits, LaTeX, resuming, refusals, exams of a user's own, and what the package holds."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import torch

from restorekit.bench.posterior.exam_table import CONTROL, EXACT, VALUES, bars, run
from restorekit.bench.posterior.figures import BINS
from restorekit.bench.posterior.run_exam import Size, exact_score
from restorekit.cli.main import run as command
from restorekit.errors import Unsupported
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.operators import Identity
from restorekit.report.text_tables import latex, uncertain
from restorekit.solvers import SOLVERS


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [(0.95123, 0.0042, "0.951(4)"), (-0.2, 0.031, "-0.20(3)"), (1.0, 0.0096, "1.00(1)"), (0.5, float("nan"), "0.5"),
     (float("nan"), 0.1, "-"), (123.4, 7.0, "123(7)"), (123.4, 70.0, "123(70)"), (0.12345, 0.0, "0.123"), (3.21, 0.4, "3.2(4)"), (1e-14, 1e-16, "0.0000")],
)  # fmt: skip
def test_figures_have_the_digits_of_their_error(value: float, error: float, said: str) -> None:
    assert uncertain(value, error) == said


def checked_latex(text: str) -> None:
    """What LaTeX would stop at: environments that do not match, rows of another number of cells, bare special characters."""
    assert text.isascii()
    for block in re.findall(r"\\begin\{tabular\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        columns = len(re.match(r"\{(\w+)\}", block)[1])  # type: ignore[index]
        rows = re.findall(r"^(.*) \\\\$", block, re.MULTILINE)
        assert len(rows) > 1
        assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {columns}
    for environment in ("table", "tabular"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}") > 0
    code = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert not re.search(r"(?<!\\)[_#%$~^]", code)


def test_latex_escapes_what_it_must() -> None:
    text = latex(("a_b", "50 %"), [("x & y", "{1}"), ("#1\\", "~^")], "a $ b")
    checked_latex(text)
    assert r"a\_b & 50 \%" in text
    assert r"x \& y & \{1\}" in text
    assert r"\#1\textbackslash{} & \textasciitilde{}\textasciicircum{}" in text


def test_a_histogram_in_a_line() -> None:
    assert bars(" ".join(["0.05"] * 20)) == "▅" * 20
    assert bars(" ".join(["0.3", *["0"] * 18, "0.05"])) == "█" + "▁" * 18 + "▅"


ASKED = (["ddrm", "hqs"], ["ring", "speckle-16"], [5], True, 0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes and levels with which only the making of the table is tested."""
    monkeypatch.setattr("restorekit.bench.posterior.run_exam.FEW", Size(2, 19))
    monkeypatch.setattr(
        "restorekit.bench.posterior.exam_table.exact_score", lambda e, y, n, seed: exact_score(e, y, n, seed, 12)
    )


@pytest.mark.usefixtures("quick")
def test_the_table_resumes_and_lists_what_refuses(tmp_path: Path) -> None:
    lines: list[str] = []
    text = run(*ASKED, tmp_path, ["ring", "narrow"], None)
    assert len(re.findall(r"^\| 0\.05 \| ddrm \(5 steps\)", text, re.MULTILINE)) == 1
    assert "- ddrm: ddrm needs Gaussian noise" in text
    assert text.count(f"| - | {CONTROL} |") == text.count(f"| - | {EXACT} |") == 1
    before = (tmp_path / "posterior.csv").read_text()
    assert run(*ASKED, tmp_path, ["ring", "narrow"], None, lines.append) == text
    assert (tmp_path / "posterior.csv").read_text() == before
    assert lines == []  # nothing was measured again
    kept = before.splitlines(keepends=True)
    (tmp_path / "posterior.csv").write_text("".join(kept[:-3]) + kept[-3][:9])  # as a killed run leaves it
    run(*ASKED, tmp_path, ["ring", "narrow"], None, lines.append)
    assert len(lines) == 3
    checked_latex((tmp_path / "posterior.tex").read_text())
    rows = list(csv.DictReader((tmp_path / "posterior.csv").open()))
    assert set(VALUES) < set(rows[0])
    assert all(len(r["ranks"].split()) == BINS for r in rows if not r["refused"] and r["solver"] != "hqs")


@pytest.mark.usefixtures("quick")
def test_rows_of_other_settings_go(tmp_path: Path) -> None:
    """A row is of what its name stands for now: where a default has changed it is measured again and shown no more."""
    only = (["ddrm"], ["ring"], [5], True, 0, tmp_path, None, [0.05])
    run(*only)
    path = tmp_path / "posterior.csv"
    path.write_text(path.read_text().replace("eta=", "eta=9"))
    text = run(*only)
    assert text.count("| 0.05 | ddrm (5 steps) |") == 1
    assert path.read_text().count(",ddrm,") == 2
    path.write_text(re.sub(r",own,\d[^,]*,", ",own,0.0.1,", path.read_text()))
    assert run(*only).count(f"| 0.05 | {EXACT} |") == 1


OWN = """
from dataclasses import dataclass
import torch
from restorekit.bench.posterior.exams import Exam
from restorekit.inference.likelihood import Gaussian
from restorekit.operators import Identity
from restorekit.priors.analytic import GaussianPrior
from restorekit.inference.problem import Problem

class Base(Exam):
    prior = GaussianPrior.smooth((1, 2, 3))
    def problem(self, y):
        return Problem(y, Identity((1, 2, 3)), Gaussian(self.sigma_y))
    def draw(self, count, seed):
        g = torch.Generator().manual_seed(seed)
        x0 = self.prior.sample(count, g)
        return x0, Gaussian(self.sigma_y).sample(x0, g)

@dataclass(frozen=True, eq=False)
class Mine(Base):
    sigma_y: float = 0.1
    def exact(self, y, count, seed):
        m, c = self.prior.posterior(Identity((1, 2, 3)), y, self.sigma_y)
        z = torch.randn(len(y), count, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return m[:, None] + (z @ torch.linalg.cholesky(c).T).view(len(y), count, 1, 2, 3)

@dataclass(frozen=True, eq=False)
class Short(Base):
    sigma_y: float = 0.1

@dataclass(frozen=True, eq=False)
class Flat(Mine):
    def exact(self, y, count, seed):
        return super().exact(y, count, seed).flatten(1)

@dataclass(frozen=True, eq=False)
class Broken(Mine):
    def draw(self, count, seed):
        return 1 / 0
"""


@pytest.mark.usefixtures("quick")
def test_an_exam_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(OWN)

    def go(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            command(["bench", "posterior", "--solver", "ddrm", "--steps", "20", *words])
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    code, out, _ = go("--problem", "mine.py:Mine:sigma_y=0.3")
    assert code == 0
    assert "## mine.py:Mine:sigma_y=0.3, own prior" in out
    assert f"- {CONTROL}: the exam does not say E[x0 | x, y]" in out
    for sigma in ("0.1", "0.2"):
        assert (
            f"| {sigma} | ddrm (20 steps) |" in go("--problem", "mine.py:Mine", "--sigma", "0.1", "--sigma", "0.2")[1]
        )
    for words, line in (
        (
            ("--problem", "mine.py:Short"),
            "mine.py:Short: Short has no exact; an exam needs prior, draw, problem and exact",
        ),
        (("--problem", "mine.py:Flat"), "mine.py:Flat: exact(y, 2) gives (2, 12)"),
        (("--problem", "mine.py:Broken"), "mine.py:Broken: the exam fails (ZeroDivisionError: division by zero)"),
        (("--problem", "mine.py:Other"), "has no Exam named 'Other'; it has Base, Mine, Short, Flat, Broken"),
        (("--problem", "none.py:Mine"), "none.py: no such file"),
        (("--problem", "denoised"), "unknown problem 'denoised'; known: denoise, inpaint, average"),
        (("--prior", "wild"), "unknown prior 'wild'; known: stationary, random"),
        (("--problem", "speckle-1", "--sigma", "0.1"), "no exam is left"),
        (("--problem", "ring", "--sigma", "-1"), "sigma_y=-1 must be above 0"),
        (("--problem", "ring", "--solver", "diffpirr"), "diffpir"),
    ):
        code, out, err = go("--out", "other", *words)
        assert (code, out, err.count("\n")) == (1, "", 1), err
        assert line in err


@pytest.mark.usefixtures("quick")
def test_the_exam_on_the_page_runs(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs/bench.md").read_text(encoding="utf-8")
    path = tmp_path / "mine.py"
    path.write_text(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0])
    found = run(["mmps"], [f"{path}:Mine"], [4], True, 0, tmp_path, None, [0.05])
    assert "| 0.05 | mmps (4 steps) |" in found


@pytest.mark.usefixtures("quick")
def test_a_solver_that_fails_does_not_stop_the_table(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(
        "from dataclasses import dataclass\nfrom restorekit.inference.solver import Solver\n@dataclass(frozen=True, eq=False)\n"
        "class Bad(Solver):\n    def __call__(self, problem, denoise, sigmas, x, rng, /):\n        raise KeyError('w')\n"
    )
    text = run([f"{path}:Bad", "hqs"], ["ring"], [5], True, 0, tmp_path, None, [0.1])
    assert f"- {path}:Bad: fails: KeyError: 'w'" in text
    assert "| 0.1 | hqs (5 steps) |" in text


def test_every_solver_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    from restorekit.bench.posterior.shipped import calibration

    measured = calibration()
    refused = {"ep", "quadrature"} | {
        n for n, s in SOLVERS.items() if s.exact
    }  # not for Gaussian noise; no samples of noise
    samplers = {n for n, s in SOLVERS.items() if s.is_sampler}
    assert set(measured) - {EXACT, CONTROL} == set(SOLVERS) - refused
    assert all(re.fullmatch(r"\d+\.\d\d", v) for n in samplers - refused for v in measured[n])
    assert float(measured["mmps"][0]) < float(measured["ddrm"][0])
    assert float(measured[EXACT][0]) == pytest.approx(1, abs=0.1)
    with pytest.raises(SystemExit) as stop:
        command(["solvers"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert all(name in said for name in SOLVERS)
    assert measured["mmps"][1] in said
    empty = {line.split()[0] for line in said.splitlines() if line.split()[-2:] == ["-", "-"]}
    assert empty == refused | (set(SOLVERS) - samplers)
    note = said.partition("\n-: ")[2].replace("\n", " ")
    exact = [n for n in SOLVERS if n in refused and SOLVERS[n].exact]
    other = [n for n in SOLVERS if n in refused and n not in exact]
    assert f"{' and '.join(exact)} meet a measurement exactly" in note
    assert f"{' and '.join(other)} are for noise laws other than Gaussian" in note
    problem = Problem(torch.zeros(1, 1, 8, 8), Identity((1, 8, 8)), Gaussian(0.05))
    for name in other:
        with pytest.raises(Unsupported, match="other than Gaussian"):
            SOLVERS[name]().check(problem)
    for name in exact:
        with pytest.raises(Unsupported, match="exactly, noise included"):
            SOLVERS[name]().check_draws(problem)
