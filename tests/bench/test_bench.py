"""The calibration bench: its own rulers, what it sees, and the solvers that only it can judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from restorekit.bench.posterior.exam import Exam
from restorekit.bench.posterior.exam_gaussian import OPERATORS, PRIORS, GaussianExam
from restorekit.bench.posterior.exam_mixture import Mixture, Ring
from restorekit.bench.posterior.exam_pixels import speckle
from restorekit.bench.posterior.exams import LEVELS, cells
from restorekit.bench.posterior.figures import BINS, ExactPosterior, Figures, ValueWithError, distances, judge
from restorekit.bench.posterior.run_exam import CONTROL_LEVELS, FULL, Size, drawn, exact_score, measure
from restorekit.errors import BadInput
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.solver import Solver, Step
from restorekit.solvers import DDRM, DPS, HQS, MMPS, SMC, SOLVERS, Exchange, PnPDM, Quadrature

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

        def draw(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
            return known.draw(count, seed)

        def problem(self, y: Tensor) -> Problem:
            return known.problem(y)

        def exact(self, y: Tensor, count: int, seed: int) -> Tensor:
            return known.exact(y, count, seed)

    bare, sd = Bare(), known.covariance(y).diagonal(dim1=1, dim2=2).sqrt()
    assert float(((bare.mean(y) - known.mean(y)) / sd).abs().max()) < 0.07
    torch.testing.assert_close(bare.covariance(y), known.covariance(y), rtol=0.1, atol=1e-4)
    v = known.directions[0]
    torch.testing.assert_close(bare.directions[0].abs(), v.abs())
    t = (known.mean(y) @ v)[:, None]
    torch.testing.assert_close(bare.cdf(y, v, t), known.cdf(y, v, t), rtol=0, atol=0.04)


# --- what it sees ---


def within(figure: ValueWithError, expected: float, errors: float = 4.0) -> bool:
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


@pytest.mark.parametrize(
    "exam",
    [GaussianExam(OPERATORS["denoise"](), 0.05, PRIORS["random"]()), Mixture.of(2, 1, 0.05)],
    ids=["normal", "modes"],
)
def test_the_error_of_a_distance_is_what_measurements_differ_by(exam: Exam) -> None:
    """A sampler that is off by another length for each measurement: exact draws, that are never, know nothing of it."""
    found = []
    for seed in range(24):
        y = exam.draw(6, seed)[1]
        truth = ExactPosterior.of(exam, y)
        length = torch.rand(6, 1, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        x = truth.exact(59, 100 + seed) + length * truth.covariance.diagonal(dim1=1, dim2=2).sqrt()[:, None]
        w2, floor = distances(truth, x, seed)
        assert w2.error >= 2 * floor.error - 1e-12  # of four sets: twice its error is that of one
        found.append(w2)
    differ = float(torch.tensor([w.value for w in found]).std())
    said = float(torch.tensor([w.error for w in found]).square().mean().sqrt())
    assert 0.6 < said / differ < 1.6


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
    assert forward == 4
    assert 4 < backward <= 8


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
    y = exam.draw(1, 0)[1]
    steps = 60 if isinstance(solver, SMC) else None
    far = []
    for each in (solver, PnPDM()):
        x = drawn(exam, each, y, 59, 0, steps).x
        far.append(distances(ExactPosterior.of(exam, y), x.flatten(2), 0))
    (found, floor), (falling, _) = far
    assert found.value < 2 * floor.value + 0.05
    assert falling.value > found.value


STEADY = [n for n in SOLVERS if n not in ("ep", "quadrature", "smc", "exchange", "enkg")]


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
