"""What every solver keeps to: its measurement, its count of calls, its seeds, its refusals."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from restorekit import operators as ops
from restorekit.errors import BadInput, Unsupported
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gamma, Gaussian, Likelihood, Poisson
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.solver import Solver
from restorekit.priors.analytic import GaussianPrior, dense
from restorekit.solvers import (
    DAPS,
    DDNM,
    DDRM,
    DPS,
    DSG,
    GDP,
    HQS,
    ILVR,
    MCG,
    MMPS,
    MPGD,
    SITCOM,
    SMC,
    SNIPS,
    SOLVERS,
    TMPD,
    VDS,
    DDNMPlus,
    DiffPIR,
    EnKG,
    Exchange,
    FlowDPS,
    PiGDM,
    PnPDM,
    PnPFlow,
)
from restorekit.solvers.parts.data_step import data_step
from tests.support.cases import gaussian, kernel, peaked
from tests.support.oracle import ORACLES, SHAPE

EVERY = {"ddnm": DDNM(), "ddnm+": DDNMPlus(), "travel": DDNMPlus(travel=(3, 2)), "ddrm": DDRM(), "diffpir": DiffPIR(),
         "dps": DPS(), "dps-paper": DPS(paper=True), "hqs": HQS(), "mmps": MMPS(), "mmps-ddim": MMPS(sampler="ddim"),
         "pigdm": PiGDM(), "pigdm-paper": PiGDM(paper=True), "mcg": MCG(), "vds": VDS(), "daps": DAPS(inner=3),
         "pnpdm": PnPDM(inner=2, hold=1), "exchange": Exchange(3, inner=2), "smc": SMC(4), "daps-paper": DAPS(inner=3, paper=True),
         "ddrm-paper": DDRM(paper=True), "tmpd": TMPD(), "tmpd-paper": TMPD(paper=True), "mpgd": MPGD(),
         "mpgd-paper": MPGD(paper=True), "dsg": DSG(), "dsg-paper": DSG(paper=True), "ilvr": ILVR(),
         "snips": SNIPS(), "snips-paper": SNIPS(paper=True), "sitcom": SITCOM(inner=2, stop=0.0),
         "enkg": EnKG(8, inner=2), "enkg-paper": EnKG(8, paper=True), "flowdps": FlowDPS(),
         "flowdps-paper": FlowDPS(paper=True), "gdp": GDP(), "gdp-gain": GDP("gain"), "gdp-paper": GDP("gain", paper=True),
         "pnpflow": PnPFlow(draws=2), "pnpflow-paper": PnPFlow(paper=True)}  # fmt: skip
every = pytest.mark.parametrize("solver", EVERY.values(), ids=EVERY)
samplers = pytest.mark.parametrize(
    "solver", [s for s in EVERY.values() if s.is_sampler], ids=[n for n, s in EVERY.items() if s.is_sampler]
)


@every
@pytest.mark.parametrize("problem", ["denoise", "inpaint"])
def test_the_measurement_is_never_written_to(solver: Solver, problem: str) -> None:
    oracle = ORACLES[problem]()
    y = oracle.draw(1, 0)[1]
    before = y.clone()
    result = restore(oracle.problem(y), oracle.prior, solver, steps=7)
    assert torch.equal(y, before)
    assert result.samples.data_ptr() != y.data_ptr()


@every
@pytest.mark.parametrize("steps", [1, 7])
def test_network_calls_are_those_announced_one_per_step(solver: Solver, steps: int) -> None:
    oracle, calls, seen = ORACLES["inpaint"](), [], []
    problem = oracle.problem(oracle.draw(1, 0)[1])

    def counted(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        calls.append(sigma)
        return oracle.prior(x, sigma)

    levels = solver.schedule(problem, steps)
    result = restore(
        problem, counted, solver, steps=steps, progress=lambda done, total, step: seen.append((done, total, step.sigma))
    )
    assert len(calls) == solver.calls(levels) == result.nfe
    assert len(levels) == steps + 1
    assert seen == [(i + 1, len(calls), sigma) for i, sigma in enumerate(calls)]
    assert result.settings["sigmas"] == levels
    assert result.samples.shape == (1, *SHAPE)


@samplers
def test_seeds_differ_and_repeat(solver: Solver) -> None:
    oracle = ORACLES["inpaint"]()
    problem = oracle.problem(oracle.draw(1, 0)[1])
    zero, again, one = (restore(problem, oracle.prior, solver, steps=8, seed=s).samples for s in (0, 0, 1))
    assert torch.equal(zero, again)
    assert not torch.equal(zero, one)


@samplers
@pytest.mark.parametrize("boundary", ["circular", "reflect"])  # by SVD, and by an iteration over the whole batch
def test_a_sample_does_not_depend_on_its_batch(solver: Solver, boundary: str) -> None:
    if boundary == "reflect" and isinstance(solver, DDRM | DDNMPlus | Exchange | ILVR | SNIPS):
        pytest.skip("needs an SVD")
    prior = GaussianPrior.smooth((1, 8, 8))
    operator = ops.blur((1, 8, 8), peaked(3, 3), boundary)  # type: ignore[arg-type]
    y = operator(prior.sample(1, torch.Generator().manual_seed(0)))
    law = Gaussian(1e-3 if solver.exact else 0.05)
    runs = [restore(Problem(y, operator, law), prior, solver, steps=6, samples=3, batch=b) for b in (1, 2, 3)]
    assert {run.nfe for run in runs} == {runs[0].nfe}
    # Rounding only, where nothing iterates; conjugate gradients stop at 1e-4 and may take a step more or less.
    tolerance = 1e-4 if boundary == "reflect" else 1e-9
    for run in runs[:2]:
        torch.testing.assert_close(run.samples, runs[2].samples, rtol=0, atol=tolerance)
    assert not torch.equal(runs[0].samples[0], runs[0].samples[1])


@pytest.mark.parametrize("sigma", ["number", "band", "pixel"])
@pytest.mark.parametrize(
    "operator", [ops.Identity((2, 4, 5)), ops.ReflectBlur((2, 4, 5), kernel(3, 3))], ids=["id", "blur"]
)
def test_data_step_and_gradient_are_those_of_weighted_least_squares(operator: ops.LinearOperator, sigma: str) -> None:
    g = torch.Generator().manual_seed(0)
    x, y = (torch.rand(1, 2, 4, 5, dtype=torch.float64, generator=g) for _ in range(2))
    levels = {"number": torch.tensor([0.1]), "band": torch.tensor([0.05, 0.2]).view(2, 1, 1),
              "pixel": torch.rand(2, 4, 5, generator=g) * 0.2 + 0.05}[sigma].double()  # fmt: skip
    problem = Problem(y, operator, Gaussian(levels if sigma != "number" else 0.1))
    a = dense(operator, x[0])
    weight = (1 / levels.expand(2, 4, 5).flatten() ** 2).diag()
    for t in (0.02, 1.0):
        normal, right = a.T @ weight @ a + torch.eye(40) / t**2, a.T @ weight @ y.flatten() + x.flatten() / t**2
        found = data_step(problem, "test")(x, t).flatten()
        # Conjugate gradients stop at a relative residual of 1e-4: so much, divided by the least eigenvalue.
        bound = 1.01e-4 * float(right.norm() / torch.linalg.eigvalsh(normal)[0])
        assert float((found - torch.linalg.solve(normal, right)).norm()) < bound
    leaf = x.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(problem.nll(leaf).sum(), leaf)
    torch.testing.assert_close(gradient.flatten(), a.T @ weight @ (a @ x.flatten() - y.flatten()))


@pytest.mark.parametrize("law", [Poisson(30.0), Gamma(4.0), Gamma(2.0, "amplitude"), Gamma(4.0, "log")], ids=str)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("which", ["inpaint", "average", "blur"])
def test_the_data_step_is_a_newton_step_of_any_law(law: Likelihood, masked: bool, which: str) -> None:
    g = torch.Generator().manual_seed(0)
    operator = {"inpaint": ops.Inpaint((1, 6, 6), torch.full((1, 6, 6), 0.8).double()), "average": ops.BlockAverage((1, 6, 6), 2),
                "blur": ops.ReflectBlur((1, 6, 6), kernel(3, 3))}[which]  # fmt: skip
    x = torch.rand(2, 1, 6, 6, dtype=torch.float64, generator=g) * 0.5 + 0.3
    y = law.sample(operator(x), g)
    valid = (torch.rand(y.shape[1:], generator=g) > 0.3).double() if masked else None
    problem = Problem(y, operator, law, valid)
    t, leaf, a = 0.1, x.clone().requires_grad_(True), dense(operator, x[0])
    (gradient,) = torch.autograd.grad(problem.nll(leaf).sum(), leaf)
    found = data_step(problem, "test")(x, t)
    valid = torch.ones_like(y[0]) if valid is None else valid
    for i in range(2):
        curvature = a.T @ (law.information(operator(x[i : i + 1])) * valid).flatten().diag() @ a + torch.eye(36) / t**2
        expected = x[i].flatten() - torch.linalg.solve(curvature, gradient[i].flatten())
        torch.testing.assert_close(found[i].flatten(), expected, rtol=0, atol=1e-3)  # conjugate gradients stop at 1e-4


def test_a_mask_or_unequal_noise_leaves_a_mask_its_svd() -> None:
    oracle = ORACLES["denoise"]()
    y, sigma = oracle.draw(1, 0)[1], torch.linspace(0.03, 0.2, 12, dtype=torch.float64)
    problem = Problem(y, oracle.operator, Gaussian(sigma))
    assert isinstance(problem.spectral("ddrm")[0], ops.Inpaint)
    x = torch.zeros_like(y)
    expected = (y / sigma**2) / (1 / sigma**2 + 1 / 0.3**2)
    torch.testing.assert_close(data_step(problem, "test")(x, 0.3), expected)


@pytest.mark.parametrize("solver", [DiffPIR(), HQS(), DPS(), DPS(paper=True), DDNM()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("garbage", [7.0, 1e4, math.nan])
def test_masked_values_are_ignored_whatever_they_are(solver: Solver, garbage: float) -> None:
    oracle = ORACLES["denoise"]()
    y, valid = oracle.draw(1, 0)[1], ORACLES["inpaint"]().seen.view(SHAPE).double()
    results = []
    for value in (0.0, garbage):
        problem = Problem(torch.where(valid > 0, y, value), oracle.operator, Gaussian(0.05), valid)
        results.append(restore(problem, oracle.prior, solver, steps=8).samples)
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "make",
    [lambda: DDNM(3.0), lambda: DDNMPlus(-0.1), lambda: DDNMPlus(travel=(0, 1)), lambda: DDRM(2.0), lambda: DDRM(eta_b=2.0),
     lambda: DPS(scale=-1.0), lambda: DPS(0.0),  # type: ignore[arg-type]
     lambda: TMPD("euler"), lambda: MPGD(eta=2.0), lambda: MPGD(prior_std=0.0), lambda: DSG(0.0), lambda: ILVR(2.0), lambda: SNIPS(inner=0),
     lambda: SNIPS(c=2.0), lambda: SITCOM(inner=0), lambda: SITCOM(lambda_=-1.0), lambda: DiffPIR(zeta=2.0), lambda: DiffPIR(first=0.0), lambda: HQS(0.0)],
)  # fmt: skip
def test_settings_without_a_meaning_are_refused(make: Callable[[], Solver]) -> None:
    with pytest.raises(ValueError, match=r"must|unknown"):
        make()


def test_measurements_of_another_shape_are_refused() -> None:
    identity, hadamard = ops.Identity((3, 8, 8)), ops.Hadamard((1, 4, 4), 0.5)
    with pytest.raises(BadInput, match="reshape y"):
        restore(Problem(torch.zeros(1, 1, 8, 8), identity, Gaussian(0.1)), lambda x, s: x, DiffPIR())
    with pytest.raises(ValueError, match="does not fit"):
        Problem(torch.zeros(1, 1, 8), hadamard, Gaussian(torch.full((3, 1, 1), 0.1)))
    with pytest.raises(ValueError, match="does not fit"):
        Problem(torch.zeros(1, 3, 8, 8), identity, Gaussian(0.1), torch.ones(2, 8, 8))
    with pytest.raises(ValueError, match="0 and 1"):
        Problem(torch.zeros(1, 3, 8, 8), identity, Gaussian(0.1), torch.full((1, 8, 8), 0.5))


REFUSED = [
    (DDRM(), ops.Identity(SHAPE), Poisson(30.0), "ddrm needs Gaussian.*`solver=dps"),
    (DDRM(), ops.ReflectBlur(SHAPE, kernel(3, 3)), Gaussian(0.1), "ddrm needs an operator with an SVD.*diffpir"),
    (DDNMPlus(), ops.ReflectBlur(SHAPE, kernel(3, 3)), Gaussian(0.1), "needs an operator with an SVD.*diffpir"),
    (DiffPIR(), ops.PhaseRetrieval(SHAPE), Gaussian(0.1), "diffpir needs a linear operator.*`solver=dps"),
    (HQS(), ops.PhaseRetrieval(SHAPE), Poisson(30.0), "hqs needs a linear operator.*`solver=dps"),
    (DPS(paper=True), ops.Identity(SHAPE), Gamma(4.0), "needs Gaussian.*without it"),
    (DDNM(), ops.CircularBlur(SHAPE, gaussian(7, 1.2)), Gaussian(0.05), "amplify the noise.*ddnm"),
    (DDNM(), ops.Identity(SHAPE), Poisson(30.0), "ddnm needs Gaussian.*`solver=dps"),
]


@pytest.mark.parametrize(("solver", "operator", "law", "words"), REFUSED)
def test_problems_a_solver_cannot_treat_are_refused_with_a_way_out(
    solver: Solver, operator: ops.Operator, law: Likelihood, words: str
) -> None:
    y = operator(torch.full((1, *SHAPE), 0.5))
    with pytest.raises(Unsupported, match=words) as caught:
        restore(Problem(y, operator, law), lambda x, s: x, solver)
    assert "\n" not in str(caught.value)


@every
@pytest.mark.parametrize("wrong", [math.inf, -math.inf, math.nan])
def test_a_diverging_run_stops_with_one_line(solver: Solver, wrong: float) -> None:
    oracle, calls = ORACLES["inpaint"](), []

    def broken(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        calls.append(1)
        return x + 0 * x if len(calls) < 3 else torch.full_like(x, wrong) + 0 * x

    with pytest.raises(BadInput, match=rf"{type(solver).__name__} diverged at sigma") as caught:
        restore(oracle.problem(oracle.draw(1, 0)[1]), broken, solver, steps=7)
    assert "\n" not in str(caught.value)
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [({"sigmas": s}, "fall strictly and end in 0") for s in ([], [0.0], [1.0], [1.0, 0.5], [0.5, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, math.nan, 0.0], [math.inf, 1.0, 0.0])]
    + [({"samples": 0}, "samples"), ({"samples": 2}, "optimiser"), ({"steps": 0}, "steps"), ({"batch": -1}, "batch")],
)  # fmt: skip
def test_impossible_runs_are_refused(options: dict, words: str) -> None:
    oracle = ORACLES["denoise"]()
    with pytest.raises(BadInput, match=words):
        restore(oracle.problem(oracle.draw(1, 0)[1]), oracle.prior, HQS(), **options)
    with pytest.raises(BadInput, match="use `restore_each`"):
        restore(oracle.problem(oracle.draw(2, 0)[1]), oracle.prior, HQS())


def test_the_mask_of_a_problem_is_that_of_an_operator_for_dps() -> None:
    oracle = ORACLES["denoise"]()
    y, valid = oracle.draw(1, 0)[1], ORACLES["inpaint"]().seen.view(SHAPE).double()
    x = torch.full((1, *SHAPE), 0.4, dtype=torch.float64)
    for solver in (DPS(paper=True), DPS()):
        runs = [
            list(solver(problem, oracle.prior, [1.0, 0.5, 0.2, 0.0], x, Rng([0])))[-1].x
            for problem in (
                Problem(y, oracle.operator, Gaussian(0.05), valid),
                Problem(y * valid, ops.Inpaint(SHAPE, valid), Gaussian(0.05)),
            )
        ]
        torch.testing.assert_close(*runs)


def test_dps_takes_the_step_of_the_paper_on_its_own_process() -> None:
    oracle = ORACLES["average"]()
    y = oracle.draw(1, 0)[1]
    sigma, sigma_next, x = (
        0.7,
        0.4,
        torch.rand(1, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
    )
    steps = [next(iter(DPS(scale, paper=True)(oracle.problem(y), oracle.prior, [sigma, sigma_next], x, Rng([0])))).x
             for scale in (1e-12, 1.0)]  # fmt: skip
    # On [-1, 1] and in variance-preserving coordinates: x_net = (2 x - 1) sqrt(alpha_bar), alpha_bar = 1 / (1 + (2 sigma)^2).
    root, root_next = (math.sqrt(1 / (1 + (2 * s) ** 2)) for s in (sigma, sigma_next))
    leaf = ((2 * x - 1) * root).requires_grad_(True)
    x0 = oracle.prior((leaf / root + 1) / 2, sigma)
    residual = (2 * y - 1) - (2 * oracle.operator(x0) - 1)
    (g,) = torch.autograd.grad(residual.norm(), leaf)
    shift = [(2 * step - 1) * root_next for step in steps]
    torch.testing.assert_close(shift[1] - shift[0], -g, rtol=1e-8, atol=1e-10)


def test_a_perfect_measurement_is_treated_as_one_with_a_little_noise() -> None:
    oracle = ORACLES["inpaint"]()
    y = oracle.draw(1, 0)[1]
    runs = [
        restore(Problem(y, oracle.operator, Gaussian(s)), oracle.prior, DiffPIR(), steps=5).samples
        for s in (1e-9, 1e-3)
    ]
    torch.testing.assert_close(*runs)


def test_batches_hold_as_many_samples_as_fit_a_million_pixels() -> None:
    sizes = []

    def denoise(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        sizes.append(len(x))
        return x

    for shape in ((1, 1024, 1024), (1, 512, 700)):
        problem = Problem(torch.zeros(1, *shape), ops.Identity(shape), Gaussian(0.1))
        restore(problem, denoise, DiffPIR(), sigmas=[0.1, 0.0], samples=3)
    assert sizes == [1, 1, 1, 2, 1]


# --- refusals ---


def _problems() -> dict[str, Problem]:
    shape = (1, 12, 12)
    x = GaussianPrior.smooth(shape).sample(1, torch.Generator().manual_seed(0))
    lopsided = ops.blur(shape, peaked(5, 5), "reflect")
    vanishing = ops.blur(shape, gaussian(9, 2.0), "circular")
    mask = (torch.arange(12) % 3 > 0).double().expand(shape)
    made: dict[str, tuple[ops.Operator, Likelihood, Tensor | None]] = {
        "plain": (ops.Identity(shape), Gaussian(0.05), None),
        "holes": (ops.Inpaint(shape, mask), Gaussian(0.05), None),
        "no svd": (lopsided, Gaussian(0.05), None),
        "amplifying": (vanishing, Gaussian(0.05), None),
        "masked": (ops.Identity(shape), Gaussian(0.05), mask[None]),
        "unequal": (ops.BlockAverage(shape, 3), Gaussian(torch.linspace(0.02, 0.2, 4).double()), None),
        "counts": (ops.Identity(shape), Poisson(30.0), None),
        "blurred counts": (lopsided, Poisson(30.0), None),
        "speckle": (ops.Identity(shape), Gamma(4.0), None),
        "magnitudes": (ops.PhaseRetrieval(shape), Gaussian(0.05), None),
        "saturated counts": (ops.Saturate(shape, 1.5), Poisson(30.0), None),
    }
    return {name: Problem(op(x), op, law, mask) for name, (op, law, mask) in made.items()}


@pytest.mark.parametrize("kind", _problems())
def test_a_refusal_names_solvers_that_do_not_refuse(kind: str) -> None:
    problem, refused = _problems()[kind], {}
    for name, solver in SOLVERS.items():
        try:
            solver().check(problem)
        except Unsupported as error:
            refused[name] = str(error)
    assert len(refused) < len(SOLVERS) - 1
    for name, message in refused.items():
        named = [n for n in re.findall(r"[a-z+]+", message.partition("use ")[2]) if n in SOLVERS]
        assert message.startswith(name)
        assert named, message
        assert not set(named) & set(refused), message
