"""The calibration bench: its own rulers, what it sees, and the solvers that only it can judge."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from restorekit.bench.exam import Exam
from restorekit.bench.exam_gaussian import OPERATORS, PRIORS, GaussianExam
from restorekit.bench.exam_mixture import Mixture, Ring
from restorekit.bench.exam_pixels import speckle
from restorekit.bench.exams import LEVELS, cells
from restorekit.bench.figures import BINS, Figure, Figures, Truth, distances, judge
from restorekit.bench.posterior import CONTROL_LEVELS, FULL, Size, drawn, exact_score, measure
from restorekit.bench.rows import latex, uncertain
from restorekit.bench.table import CONTROL, EXACT, VALUES, bars, run
from restorekit.cli.main import run as command
from restorekit.errors import BadInput
from restorekit.solvers import DDRM, DPS, HQS, MMPS, SMC, SOLVERS, Exchange, PnPDM, Quadrature
from restorekit.types import Denoiser, Problem, Rng, Solver, Step

KINDS = {
    "inpaint": lambda: GaussianExam(OPERATORS["inpaint"](), 0.02, PRIORS["random"]()),
    "mixture": lambda: Mixture.of(8, 2, 0.02),
    "ring": lambda: Ring.of(0.02),
    "speckle": lambda: speckle(3),
}
every = pytest.mark.parametrize("kind", KINDS)


def test_every_noise_prior_and_operator_is_there() -> None:
    made = {c.key for c in cells()}
    gaussian = {
        (o, p, f"{s:g}") for o in ("denoise", "inpaint", "average", "blur", "dense") for p in PRIORS for s in LEVELS
    }
    assert gaussian <= made
    assert LEVELS == (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3)
    assert {(f"speckle-{n}", p, "-") for n in (1, 3, 4, 16) for p in ("wide", "narrow")} <= made
    assert {("mixture-2", "modes"), ("mixture-8", "modes"), ("ring", "ring")} <= {key[:2] for key in made}
    assert (FULL.draws, FULL.samples >= 500, CONTROL_LEVELS >= 400) == (6, True, True)
    assert OPERATORS["dense"]().matrix.shape == (24, 64)  # type: ignore[attr-defined]


# --- the exams themselves ---


@every
def test_moments_and_probabilities_are_those_of_exact_draws(kind: str) -> None:
    exam, count = KINDS[kind](), 4000
    y = exam.draw(2, 0)[1]
    x = exam.exact(y, count, 1).flatten(2)
    sd = exam.covariance(y).diagonal(dim1=1, dim2=2).sqrt()
    assert float(((x.mean(1) - exam.mean(y)) / sd).abs().max()) < 4.5 / count**0.5
    v = torch.cat(exam.directions, 1)
    below = exam.cdf(y, v, x @ v)
    assert float((below.mean(1) - 0.5).abs().max()) < 4.5 * (1 / 12 / count) ** 0.5  # uniform numbers
    assert float((below.var(1) * 12 - 1).abs().max()) < 4.5 * (0.8 / count) ** 0.5
    found = (x - exam.mean(y)[:, None]).mT @ (x - exam.mean(y)[:, None]) / count
    assert float(((found - exam.covariance(y)) / (sd[:, :, None] * sd[:, None])).abs().max()) < 0.12


@every
def test_denoisers_are_means(kind: str) -> None:
    """E[(x0 - D(x)) f(x)] = 0 for any f, of the prior and given y."""
    exam, count = KINDS[kind](), 4000
    y = exam.draw(1, 0)[1]
    known = exam.conditioned(y)
    assert known is not None
    for x0, denoise in ((exam.draw(count, 2)[0], exam.prior), (exam.exact(y, count, 3)[0], known)):
        for share in (0.2, 1.0):
            s = share * float(x0.std(0).mean())
            x = x0 + s * torch.randn(x0.shape, generator=torch.Generator().manual_seed(4), dtype=x0.dtype)
            left = x0 - denoise(x, s)
            for f in (torch.ones_like(x), x - x.mean(0), (x - x.mean(0)).sign()):
                terms = left * f
                assert float((terms.mean(0) / terms.std(0)).abs().max()) < 5 / count**0.5


def test_an_exam_that_does_not_say_its_moments_takes_them_from_draws() -> None:
    known = Mixture.of(2, 1, 0.05)
    y = known.draw(2, 0)[1]

    class Bare(Exam):
        prior = known.prior
        draw, problem, exact = known.draw, known.problem, known.exact

    bare, sd = Bare(), known.covariance(y).diagonal(dim1=1, dim2=2).sqrt()
    assert float(((bare.mean(y) - known.mean(y)) / sd).abs().max()) < 0.07
    torch.testing.assert_close(bare.covariance(y), known.covariance(y), rtol=0.1, atol=1e-4)
    v = known.directions[0]
    torch.testing.assert_close(bare.directions[0].abs(), v.abs())
    t = (known.mean(y) @ v)[:, None]
    torch.testing.assert_close(bare.cdf(y, v, t), known.cdf(y, v, t), rtol=0, atol=0.04)


# --- what it sees ---


def within(figure: Figure, expected: float, errors: float = 4.0) -> bool:
    return abs(figure.value - expected) < errors * figure.error


@every
def test_exact_draws_are_right_in_every_figure(kind: str) -> None:
    exam = KINDS[kind]()
    y = exam.draw(6, 0)[1]
    found = judge(exam, y, exam.exact(y, 199, 5))
    assert within(found.bias, 0)
    for spread, inside, off in (
        (found.spread_measured, found.coverage_measured, found.error_measured),
        (found.spread_unmeasured, found.coverage_unmeasured, found.error_unmeasured),
    ):
        if kind != "speckle" or spread is found.spread_measured:
            assert within(spread, 1)
            assert within(inside, 0.9)
            assert off.value < 3 * off.error
    assert within(found.energy, 1)
    assert found.p.value > 0.001
    assert within(found.w2, found.floor.value)
    assert max(abs(r * BINS - 1) for r in found.ranks) < 0.5  # flat


@every
def test_the_exact_score_on_levels_that_no_solver_chooses_is_right(kind: str) -> None:
    exam = KINDS[kind]()
    y = exam.draw(2, 0)[1]
    found = judge(exam, y, exact_score(exam, y, 59, 3).x)
    assert within(found.spread_measured, 1)
    assert within(found.coverage_measured, 0.9)
    assert found.p.value > 0.001


@dataclass(frozen=True, eq=False)
class Wrong(Solver):
    """Exact samples of a Gaussian exam, moved by `shift` and drawn in by `scale`, in units of their own deviation."""

    exam: GaussianExam
    shift: float = 0.0
    scale: float = 1.0

    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        values, vectors = torch.linalg.eigh(self.exam.posterior)
        z = (rng.normal(x).flatten(1) * values.clamp(min=0).sqrt()) @ vectors.T
        sd = self.exam.posterior.diagonal().sqrt()
        x0 = (self.exam.mean(problem.y) + self.shift * sd + self.scale * z).view_as(x)
        yield Step(x0, denoise(x0, sigmas[0]), sigmas[0])


def looked_at(**wrong: float) -> Figures:
    exam = GaussianExam(OPERATORS["inpaint"](), 0.01, PRIORS["stationary"]())
    return measure(exam, Wrong(exam, **wrong), steps=1, size=Size(6, 99))[0]


def test_an_exact_sampler_passes() -> None:
    found = looked_at()
    assert within(found.bias, 0)
    assert within(found.spread_measured, 1)
    assert within(found.spread_unmeasured, 1)
    assert found.p.value > 0.001
    assert within(found.energy, 1)


@pytest.mark.parametrize("shift", [-0.2, 0.2])
def test_a_biased_sampler_is_reported_with_its_sign(shift: float) -> None:
    found = looked_at(shift=shift)
    assert within(found.bias, shift)
    assert not within(found.bias, 0, 8)
    assert found.error_measured.value == pytest.approx(0.2, abs=0.05)
    assert found.p.value < 1e-4
    assert (found.ranks[0] > 1.2 / BINS, found.ranks[-1] > 1.2 / BINS) == (shift > 0, shift < 0)  # a slope
    assert found.w2.value > found.floor.value + 4 * found.w2.error
    assert found.energy.value > 1 + 4 * found.energy.error


@pytest.mark.parametrize("scale", [0.8, 1.25])
def test_a_sampler_of_wrong_spread_is_reported_with_it(scale: float) -> None:
    found = looked_at(scale=scale)
    for spread, inside in (
        (found.spread_measured, found.coverage_measured),
        (found.spread_unmeasured, found.coverage_unmeasured),
    ):
        assert spread.value == pytest.approx(scale, abs=0.05)
        assert (inside.value < 0.86) if scale < 1 else (inside.value > 0.93)
    assert (found.ranks[0] * BINS > 1.3) == (scale < 1)
    assert within(found.bias, 0)


def test_what_is_measured_and_what_is_not_are_told_apart() -> None:
    """Samples that are right where something was measured and have no spread elsewhere."""
    exam = GaussianExam(OPERATORS["dense"](), 0.01, PRIORS["stationary"]())
    y = exam.draw(6, 0)[1]
    v = exam.directions[0]
    x = exam.exact(y, 99, 1).flatten(2)
    m = exam.mean(y)[:, None]
    found = judge(exam, y, (m + (x - m) @ v @ v.T).view(6, 99, 1, 8, 8))
    assert within(found.spread_measured, 1)
    assert found.spread_unmeasured.value < 1e-6
    assert found.coverage_unmeasured.value < 1e-6


def test_standard_errors_are_what_figures_differ_by() -> None:
    exam = GaussianExam(OPERATORS["denoise"](), 0.05, PRIORS["stationary"]())
    y = exam.draw(6, 0)[1]
    sets = [judge(exam, y, exam.exact(y, 19, 100 + i)) for i in range(40)]
    for name, expected in (("bias", 0.0), ("spread_measured", 1.0), ("coverage_measured", 0.9)):
        z = torch.tensor([(getattr(f, name).value - expected) / getattr(f, name).error for f in sets])
        assert 0.5 < float(z.square().mean().sqrt()) < 1.25, name


def test_a_solver_gets_what_a_user_has_and_no_more() -> None:
    """Its own setting of the prior's deviation is kept, so that two settings give two rows."""
    exam = GaussianExam(OPERATORS["inpaint"](), 0.05, PRIORS["random"]())
    few, many = (measure(exam, SOLVERS["pigdm"](s), 6, Size(2, 19))[0] for s in (0.05, 0.5))  # type: ignore[call-arg]
    assert few.w2.value != pytest.approx(many.w2.value, rel=0.01)


def test_passes_are_pictures_forward_and_backward() -> None:
    exam = GaussianExam(OPERATORS["denoise"](), 0.05, PRIORS["random"]())
    y = exam.draw(2, 0)[1]

    def count(solver: Solver, steps: int) -> tuple[float, float, int]:
        made = drawn(exam, solver, y, 19, 0, steps)
        return made.forward, made.backward, made.levels

    assert count(DDRM(), 7) == (7, 0, 7)
    assert count(DPS(), 7) == (7, 7, 7)
    assert count(SMC(particles=4), 5) == (20, 20, 5)  # a population for each sample
    assert count(HQS(), 5)[:2] == (5, 0)
    forward, backward, _ = count(MMPS(iterations=2), 4)
    assert forward == 7
    assert 7 < backward <= 21


def test_an_optimiser_has_a_bias_and_no_spread() -> None:
    exam = GaussianExam(OPERATORS["denoise"](), 0.05, PRIORS["stationary"]())
    found = measure(exam, HQS(), size=Size(3, 19))[0]
    assert found.error_measured.value < 1
    assert found.spread_measured.value != found.spread_measured.value  # NaN


# --- solvers that only it can judge ---


@pytest.mark.parametrize("looks", [1, 16])
def test_the_integrated_likelihood_is_calibrated(looks: float) -> None:
    found = measure(speckle(looks), Quadrature(), 40, Size(6, 59))[0]
    assert abs(found.bias.value) < 0.1
    assert found.spread_measured.value == pytest.approx(1, abs=0.05)
    assert found.coverage_measured.value == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("operator", ["inpaint", "dense"])
def test_mmps_is_near_the_exact_posterior_at_the_noise_of_photographs(operator: str) -> None:
    exam = GaussianExam(OPERATORS[operator](), 0.02, PRIORS["stationary"]())
    found = measure(exam, MMPS(), size=Size(4, 39))[0]
    for spread, inside in (
        (found.spread_measured, found.coverage_measured),
        (found.spread_unmeasured, found.coverage_unmeasured),
    ):
        assert spread.value == pytest.approx(1, abs=0.1)
        assert inside.value == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("solver", [SMC(64), Exchange(sweeps=120)])
def test_populations_find_the_weights_of_modes_that_one_falling_level_does_not(solver: Solver) -> None:
    exam = Mixture.of(8, 2, 0.02)
    y = exam.draw(2, 0)[1]
    steps = 60 if isinstance(solver, SMC) else None
    far = []
    for each in (solver, PnPDM()):
        x = drawn(exam, each, y, 99, 0, steps).x
        far.append(distances(Truth.of(exam, y), x.flatten(2), 0))
    (found, floor), (falling, _) = far
    assert found.value < 2 * floor.value + 0.05
    assert falling.value > found.value


STEADY = [n for n in SOLVERS if n not in ("quadrature", "smc", "exchange")]


@pytest.mark.slow
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("name", STEADY)
def test_ten_times_the_steps_do_no_harm(name: str, operator: str) -> None:
    exam, size = GaussianExam(OPERATORS[operator](), 0.05, PRIORS["stationary"]()), Size(4, 39)
    try:
        few, many = (measure(exam, SOLVERS[name](), n, size)[0] for n in (100, 1000))
    except BadInput:
        pytest.skip("refused")
    for a, b in ((few.error_measured, many.error_measured), (few.w2, many.w2)):
        assert not b.value > 1.1 * a.value + 0.06 + 2 * b.error


# --- the table ---


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [(0.95123, 0.0042, "0.951(4)"), (-0.2, 0.031, "-0.20(3)"), (1.0, 0.0096, "1.00(1)"), (0.5, float("nan"), "0.5"),
     (float("nan"), 0.1, "-"), (123.4, 7.0, "123(7)"), (123.4, 70.0, "123(70)"), (0.12345, 0.0, "0.123"), (3.21, 0.4, "3.2(4)")],
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
    monkeypatch.setattr("restorekit.bench.posterior.FEW", Size(2, 19))
    monkeypatch.setattr("restorekit.bench.table.exact_score", lambda e, y, n, seed: exact_score(e, y, n, seed, 12))


@pytest.mark.usefixtures("quick")
def test_the_table_resumes_and_lists_what_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(*ASKED, tmp_path, ["ring", "narrow"], None)
    assert len(re.findall(r"^\| 0\.05 \| ddrm \(5 steps\)", text, re.MULTILINE)) == 1
    assert "- ddrm: ddrm needs Gaussian noise" in text
    assert text.count(f"| - | {CONTROL} |") == text.count(f"| - | {EXACT} |") == 1
    before = (tmp_path / "posterior.csv").read_text()
    capsys.readouterr()
    assert run(*ASKED, tmp_path, ["ring", "narrow"], None) == text
    assert (tmp_path / "posterior.csv").read_text() == before
    assert capsys.readouterr().err == ""  # nothing was measured again
    kept = before.splitlines(keepends=True)
    (tmp_path / "posterior.csv").write_text("".join(kept[:-3]) + kept[-3][:9])  # as a killed run leaves it
    run(*ASKED, tmp_path, ["ring", "narrow"], None)
    assert len(capsys.readouterr().err.splitlines()) == 3
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
from restorekit.bench.exams import Exam
from restorekit.likelihood import Gaussian
from restorekit.operators import Identity
from restorekit.priors.analytic import GaussianPrior
from restorekit.types import Problem

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
def test_a_solver_that_fails_does_not_stop_the_table(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(
        "from dataclasses import dataclass\nfrom restorekit.types import Solver\n@dataclass(frozen=True, eq=False)\n"
        "class Bad(Solver):\n    def __call__(self, problem, denoise, sigmas, x, rng, /):\n        raise KeyError('w')\n"
    )
    text = run([f"{path}:Bad", "hqs"], ["ring"], [5], True, 0, tmp_path, None, [0.1])
    assert f"- {path}:Bad: fails: KeyError: 'w'" in text
    assert "| 0.1 | hqs (5 steps) |" in text


def test_every_solver_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    from restorekit.bench.shipped import calibration

    measured = calibration()
    samplers = {n for n, s in SOLVERS.items() if s.samples}
    assert set(measured) - {EXACT, CONTROL} == set(SOLVERS) - {"quadrature"}  # which is not for Gaussian noise
    assert all(re.fullmatch(r"\d+\.\d\d", v) for n in samplers - {"quadrature"} for v in measured[n])
    assert float(measured["mmps"][0]) < float(measured["ddrm"][0])
    with pytest.raises(SystemExit) as stop:
        command(["solvers"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert all(name in said for name in SOLVERS)
    assert measured["mmps"][1] in said
