"""Every solver against exact posteriors: where its samples lie, how far they spread, whether its intervals hold.

Run with `pytest -s` for the table. Errors are in units of the posterior's rms deviation, spreads are ratios.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from restorekit import operators as ops
from restorekit.inference.likelihood import Gamma, Gaussian, Likelihood, Poisson
from restorekit.inference.problem import Problem
from restorekit.inference.schedule import karras, log_uniform, vp_uniform
from restorekit.inference.solver import Solver
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import (
    DAPS,
    DDNM,
    DDRM,
    DPS,
    DSG,
    EP,
    GDP,
    HQS,
    ILVR,
    MCG,
    MMPS,
    MPGD,
    SARDPS,
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
    Quadrature,
)  # fmt: skip
from restorekit.solvers.parts.spectral import Spectrum
from tests.support.oracle import ORACLES, SHAPE, Oracle, Stream, measure

NONE = float("nan")


@dataclass(frozen=True)
class Row:
    """A solver on a grid, and what it is to give per problem: error, spread seen, spread blind, coverage."""

    solver: Solver | None  # None: the control, which knows the posterior
    sigmas: Sequence[float]
    bands: dict[str, tuple[float, float, float, float]]
    sizes: dict[str, int] = field(default_factory=dict)


# Half widths of the bands. Over three seeds (12 measurements, 24 samples each) the figures differed by up to 0.04 of
# the error (0.05 of it where it is above 0.8), 0.02 of a spread and 0.035 of the coverage. A noise wrong by sqrt(2)
# moves the spreads by 0.1 to 0.4.
WIDTHS = (0.07, 0.04, 0.045, 0.07)

ROWS = {
    # The grid alone: 50 levels cost 6 to 13 % of the spread, and no bias. Nobody can do better on it.
    "exact log": Row(None, log_uniform(50), {
        "denoise": (0.01, 0.90, NONE, 0.85), "inpaint": (0.0, 0.905, 0.925, 0.84),
        "average": (0.03, 0.94, 0.92, 0.85), "blur": (0.03, 0.935, 0.91, 0.85)}),
    "exact karras": Row(None, karras(50), {
        "denoise": (0.0, 0.87, NONE, 0.84), "inpaint": (0.0, 0.88, 0.90, 0.84),
        "average": (0.0, 0.925, 0.905, 0.84), "blur": (0.02, 0.91, 0.89, 0.84)}),
    # Ignores noise: what is measured is copied, so its spread is 0 and its error is about the noise (1.67 sd of the
    # posterior when denoising, shrunk by what the posterior shares with y). On the blur it amplifies noise 1e5 times.
    "ddnm": Row(DDNM(), log_uniform(50), {
        "denoise": (1.34, 0.0, NONE, 0.0), "inpaint": (0.765, 0.0, 0.67, 0.295), "average": (0.475, 0.0, 0.755, 0.56)}),
    # Both take the same steps; biased where a hole is large, as what is known of its edge is only replaced, level by level.
    "ddnm+": Row(DDNMPlus(), log_uniform(50), {
        "denoise": (0.007, 0.857, NONE, 0.827), "inpaint": (0.177, 0.874, 0.89, 0.83),
        "average": (0.007, 0.876, 0.842, 0.822), "blur": (0.09, 0.912, 0.915, 0.842)}),
    "ddnm+ travel": Row(DDNMPlus(None, (5, 2)), log_uniform(50), {
        "denoise": (0.017, 0.859, NONE, 0.832), "inpaint": (0.212, 0.898, 0.981, 0.854),
        "average": (0.0, 0.894, 0.912, 0.841), "blur": (0.023, 0.914, 0.892, 0.84)}),
    "ddrm": Row(DDRM(), log_uniform(50), {
        "denoise": (0.007, 0.857, NONE, 0.827), "inpaint": (0.177, 0.874, 0.89, 0.83),
        "average": (0.007, 0.876, 0.842, 0.822), "blur": (0.091, 0.912, 0.915, 0.842)}),
    "ddrm ancestral": Row(DDRM(eta=None), log_uniform(50), {  # all of the variance of a hole, and more of its bias
        "denoise": (0.007, 0.857, NONE, 0.827), "inpaint": (0.528, 0.98, 1.19, 0.861),
        "average": (0.061, 0.897, 0.925, 0.842), "blur": (0.091, 0.912, 0.915, 0.842)}),
    # The paper pulls noisy coefficients to y at every step: under-dispersed, more so with more steps.
    "ddrm paper": Row(DDRM(paper=True), log_uniform(50), {
        "denoise": (0.205, 0.497, NONE, 0.565), "inpaint": (0.185, 0.593, 0.882, 0.715),
        "average": (0.135, 0.447, 0.806, 0.685), "blur": (0.775, 0.451, 0.538, 0.48)}),
    "ddrm paper vp": Row(DDRM(paper=True), vp_uniform(50, 10.0, 0.005), {  # its grid: fewer low levels, less is lost
        "denoise": (0.062, 0.565, NONE, 0.635), "inpaint": (0.35, 0.722, 0.942, 0.76),
        "average": (0.04, 0.63, 0.75, 0.715), "blur": (0.395, 0.569, 0.502, 0.585)}),
    # Keeps 0.7 of the old noise, which carries the spread; biased where the hole is large (inpainting).
    "diffpir": Row(DiffPIR(zeta=0.3), log_uniform(50), {
        "denoise": (0.255, 0.849, NONE, 0.81), "inpaint": (0.46, 0.953, 1.297, 0.87),
        "average": (0.07, 0.914, 0.93, 0.84), "blur": (0.27, 0.909, 0.94, 0.835)}),
    # All noise fresh: nearly no bias, but each state forgets the spread of x0 given x.
    "diffpir fresh": Row(DiffPIR(zeta=1.0), log_uniform(50), {
        "denoise": (0.085, 0.655, NONE, 0.705), "inpaint": (0.11, 0.669, 0.725, 0.72),
        "average": (0.0, 0.68, 0.68, 0.71), "blur": (0.04, 0.678, 0.674, 0.71)}),
    # An optimiser: one answer near the posterior mean (which is also the most probable picture here).
    "hqs": Row(HQS(), log_uniform(8, 0.192, 0.05), {
        "denoise": (0.095, 0.0, NONE, 0.0), "inpaint": (0.255, 0.0, 0.0, 0.0),
        "average": (0.175, 0.0, 0.0, 0.0), "blur": (0.34, 0.0, 0.0, 0.0)}),
    # A point estimate of the likelihood score: half of its weight makes up for the spread of x0, on the mean.
    "dps": Row(DPS(), log_uniform(100), {
        "denoise": (0.185, 0.989, NONE, 0.878), "inpaint": (0.19, 0.999, 0.927, 0.874),
        "average": (0.138, 1.02, 0.967, 0.868), "blur": (0.192, 1.018, 0.941, 0.872)}),
    "dps bayes": Row(DPS(1.0), log_uniform(100), {  # all of it: biased towards y, 10 to 25 % under-dispersed
        "denoise": (0.265, 0.776, NONE, 0.775), "inpaint": (0.265, 0.771, 0.815, 0.785),
        "average": (0.23, 0.758, 0.922, 0.795), "blur": (0.15, 0.858, 0.90, 0.83)}),
    # For pictures so small, five times the step of the paper makes up for a fifth of its 1000 steps. Its strength knows nothing of sigma_y.
    "dps paper": Row(DPS(5 * math.sqrt(144 / 196608), paper=True), vp_uniform(200, 10.0, 0.005), {"denoise": (0.26, 0.87, NONE, 0.79)},
        {"draws": 6, "samples": 12}),
    # Exact for Gaussian priors but for the grid and five iterations: as good as the control at twice the levels.
    "mmps": Row(MMPS(), log_uniform(25), {
        "denoise": (0.034, 0.936, NONE, 0.857), "inpaint": (0.042, 0.946, 0.961, 0.872),
        "average": (0.014, 0.983, 0.96, 0.865), "blur": (0.1, 0.968, 0.945, 0.867)}),
    # One iteration of those five.
    "sar-dps": Row(SARDPS(), log_uniform(25), {
        "denoise": (0.111, 0.851, NONE, 0.818), "inpaint": (0.147, 0.869, 0.903, 0.841),
        "average": (0.083, 0.946, 0.955, 0.837), "blur": (0.128, 0.964, 0.944, 0.862)}),
    # One variance for all directions: right in spread, biased where the prior is far from white.
    "pigdm": Row(PiGDM(), log_uniform(25), {
        "denoise": (0.172, 0.956, NONE, 0.864), "inpaint": (0.322, 1.056, 1.095, 0.889),
        "average": (0.096, 0.947, 0.96, 0.84), "blur": (0.114, 0.973, 0.95, 0.87)}),
    "pigdm paper": Row(PiGDM(paper=True), vp_uniform(50, 10.0, 0.005), {
        "denoise": (0.131, 0.585, NONE, 0.657), "inpaint": (0.185, 0.653, 0.736, 0.723),
        "average": (0.27, 0.532, 0.738, 0.657), "blur": (0.312, 0.647, 0.668, 0.692)}),
    # Meets y exactly, noise included, as ddnm does.
    "mcg": Row(MCG(), log_uniform(50), {
        "denoise": (1.344, 0.0, NONE, 0.0), "inpaint": (0.82, 0.0, 0.756, 0.302), "average": (0.504, 0.0, 0.825, 0.614)}),
    # An optimiser by stochastic gradients: what spread there is, is jitter about the posterior mean.
    "vds": Row(VDS(), VDS().schedule(ORACLES["denoise"]().problem(torch.zeros(1, *SHAPE)), 100), {
        "denoise": (0.04, 0.091, NONE, 0.105), "inpaint": (0.02, 0.11, 0.1, 0.137),
        "average": (0.0, 0.04, 0.093, 0.09), "blur": (0.0, 0.055, 0.128, 0.106)}),
    # One variance for all directions; as narrow as an ancestral grid of so many levels is.
    "daps": Row(DAPS(), karras(25), {
        "denoise": (0.192, 0.854, NONE, 0.812), "inpaint": (0.29, 0.862, 0.967, 0.829),
        "average": (0.036, 0.818, 0.811, 0.798), "blur": (0.151, 0.824, 0.835, 0.8)}),
    # As published: a fixed tau, here a tenth of the noise, and the spread of x0 counted twice where nothing is measured.
    "daps paper": Row(DAPS(paper=True), karras(25), {"inpaint": (0.719, 0.147, 1.541, 0.519)}),
    "pnpdm": Row(PnPDM(), log_uniform(25, 10.0, 0.02), {  # exact as the coupling falls: here it is 0.4 sigma_y
        "denoise": (0.16, 0.992, NONE, 0.878), "inpaint": (0.30, 1.033, 1.036, 0.878),
        "average": (0.122, 0.944, 0.906, 0.83), "blur": (0.127, 0.938, 0.931, 0.855)}),
    # A diagonal in the singular basis of A: as one iteration of mmps, without the off-diagonal part of A V A'.
    "tmpd": Row(TMPD(), log_uniform(25), {
        "denoise": (0.109, 0.853, NONE, 0.83), "inpaint": (0.137, 0.872, 0.902, 0.833),
        "average": (0.083, 0.944, 0.968, 0.855), "blur": (0.103, 0.959, 0.94, 0.868)}),
    # Behind the blur row sums in pixels are those of the mean: fine detail is hardly measured.
    "tmpd paper": Row(TMPD(paper=True), log_uniform(50), {
        "denoise": (0.246, 0.947, NONE, 0.86), "inpaint": (0.297, 0.954, 0.999, 0.856),
        "average": (0.257, 1.045, 0.948, 0.852), "blur": (0.83, 1.341, 1.124, 0.868)}),
    # No gradient of the network, so that fine detail follows y as far as coarse does; it refuses the blur.
    "mpgd": Row(MPGD(), log_uniform(50), {
        "denoise": (0.126, 0.775, NONE, 0.788), "inpaint": (0.214, 0.808, 0.925, 0.817),
        "average": (0.042, 0.841, 0.819, 0.795)}),
    # dps, its noise of one length.
    "dsg": Row(DSG(), log_uniform(100), {
        "denoise": (0.205, 1.0, NONE, 0.885), "inpaint": (0.205, 1.009, 0.921, 0.871),
        "average": (0.147, 1.022, 0.964, 0.858), "blur": (0.189, 1.008, 0.921, 0.876)}),
    # ddrm, but what is measured is put in while it is clearer than the level and drawn by the prior below.
    "ilvr": Row(ILVR(), log_uniform(50), {
        "denoise": (0.034, 0.961, NONE, 0.877), "inpaint": (0.153, 0.947, 0.851, 0.845),
        "average": (0.066, 1.033, 0.814, 0.84), "blur": (0.126, 0.967, 0.926, 0.865)}),
    # The score is exact where prior and A share a basis, so that only the length of the steps is left.
    "snips": Row(SNIPS(), log_uniform(50), {
        "denoise": (0.049, 0.959, NONE, 0.876), "inpaint": (0.018, 0.962, 1.008, 0.88),
        "average": (0.045, 0.99, 1.025, 0.874), "blur": (0.024, 1.005, 0.999, 0.889)}),
    # An optimiser that begins in noise: its answers differ, by what it has not forgotten of that.
    "sitcom": Row(SITCOM(inner=10), log_uniform(20), {
        "denoise": (0.197, 0.679, NONE, 0.679), "inpaint": (0.137, 0.688, 0.596, 0.653),
        "average": (0.167, 0.723, 0.65, 0.709)}, {"draws": 6, "samples": 8}),
    # Less than the weight of Bayes for what is measured; of the noise of the network only the share t is kept.
    "flowdps": Row(FlowDPS(), log_uniform(50), {
        "denoise": (0.055, 0.742, NONE, 0.774), "inpaint": (0.105, 0.761, 0.813, 0.787),
        "average": (0.043, 0.764, 0.756, 0.756), "blur": (0.072, 0.767, 0.745, 0.78)}),
    # As published the data fade with the level: wide, and off towards the prior.
    "flowdps paper": Row(FlowDPS(paper=True), FlowDPS(paper=True).schedule(ORACLES["denoise"]().problem(torch.zeros(1, *SHAPE)), None), {
        "denoise": (0.883, 1.578, NONE, 0.93), "inpaint": (1.03, 1.852, 1.69, 0.934),
        "average": (0.237, 1.244, 0.716, 0.857), "blur": (0.424, 1.257, 0.721, 0.888)}),
    # The same data step, and none of the noise of the network.
    "gdp": Row(GDP(), log_uniform(50), {
        "denoise": (0.072, 0.731, NONE, 0.768), "inpaint": (0.185, 0.752, 0.769, 0.768),
        "average": (0.082, 0.772, 0.694, 0.74), "blur": (0.085, 0.737, 0.692, 0.762)}),
    # An optimiser: its mean is near that of the posterior, and one draw of the noise per level leaves jitter.
    "pnpflow": Row(PnPFlow(), log_uniform(100, 10.0, 0.04), {
        "denoise": (0.053, 0.745, NONE, 0.766), "inpaint": (0.119, 0.743, 0.699, 0.75),
        "average": (0.391, 0.325, 0.592, 0.517), "blur": (0.228, 0.76, 0.639, 0.735)}),
}  # fmt: skip
# In tests/bench/test_bench.py: two are slow, one is not for Gaussian noise; test_enkg.py, test_ep.py.
BENCHED = {SMC, Exchange, Quadrature, EnKG, EP}


@pytest.mark.parametrize("name", ROWS)
def test_distance_from_the_exact_posterior(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    row, off = ROWS[name], []
    for problem, centre in row.bands.items():
        found = measure(ORACLES[problem](), row.solver, row.sigmas, **row.sizes)
        figures = (found.error, found.seen, found.blind, found.coverage)
        for kind, value, middle, width in zip(("error", "seen", "blind", "coverage"), figures, centre, WIDTHS):
            if not math.isnan(middle) and not abs(value - middle) <= width:
                off.append(f"{problem}: {kind} {value:.3f}, expected {middle:.3f} +- {width:.3f}")
            # What has no spread must have none at all, not a little; the middle is NaN where there is no such space.
            if middle == 0 and kind in ("seen", "blind") and value > 1e-6:
                off.append(f"{problem}: {kind} {value:.3g}, expected none")
        print(f"\n{name:14s} {problem:8s} error, spread seen, blind, coverage {found}", end="")
    assert not off, "\n" + "\n".join(off)


def test_every_solver_has_a_row() -> None:
    assert {type(row.solver) for row in ROWS.values()} - {type(None)} | BENCHED == set(SOLVERS.values())
    assert all(
        {"denoise", "inpaint", "average"} <= set(row.bands)
        for name, row in ROWS.items()
        if name not in ("dps paper", "daps paper")
    )


def test_the_control_becomes_exact_with_more_levels() -> None:
    coarse, fine = (measure(ORACLES["average"](), None, log_uniform(n)) for n in (15, 200))
    assert coarse.seen < 0.87  # a grid of 15 levels loses spread even with the exact score
    assert fine.seen == pytest.approx(1, abs=0.05)  # 0.98 and the noise of 288 samples
    assert fine.coverage == pytest.approx(0.88, abs=0.06)


# --- DDRM and DDNM ---


@pytest.mark.parametrize("eta", [0.0, 0.85, 1.0])
@pytest.mark.parametrize("problem", ORACLES)
def test_ddrm_and_ddnm_plus_are_the_step_in_the_letters_of_wang_et_al(problem: str, eta: float) -> None:
    oracle = ORACLES[problem]()
    part, rng = oracle.problem(oracle.draw(2, 0)[1]), Stream(0)
    x, z = 0.5 + rng.normal(torch.zeros(2, *SHAPE).double()), rng.normal(torch.zeros(2, 144).double())
    op, s = oracle.operator, oracle.operator._fit(oracle.operator.singulars.double()[None], 144)[0]
    x0_, x_, z_, y_ = (op.vt(oracle.prior(x, 0.3)), op.vt(x), z, op._fit(op.ut(part.y), 144))
    for sigma, sigma_next in ((0.3, 0.2), (0.3, 0.04), (0.3, 0.01)):
        # Appendix I, Lambda and Phi, in variance-exploding coordinates (a_t = 1).
        clear = sigma_next * s >= oracle.sigma_y
        weight = torch.where(clear, 1.0, sigma_next * (1 - eta**2) ** 0.5 * s / oracle.sigma_y)
        fresh = torch.where(clear, (sigma_next**2 - (oracle.sigma_y / s) ** 2).clamp(min=0).sqrt(), sigma_next * eta)
        range_ = x0_ - weight * (x0_ - y_ / s) + fresh * z_
        null = x0_ + sigma_next * ((1 - eta**2) ** 0.5 * (x_ - x0_) / sigma + eta * z_)
        expected = torch.where(s > 1e-10, range_, null)
        for solver in (DDRM(eta, 1.0, paper=True), DDNMPlus(eta, paper=True)):
            step = next(iter(solver(part, oracle.prior, [0.3, sigma_next], x, _Fixed(z))))
            assert step.sigma == sigma
            torch.testing.assert_close(op.vt(step.x), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("eta", [0.0, 0.85, 1.0, None])
@pytest.mark.parametrize("paper", [True, False])
@pytest.mark.parametrize("problem", ORACLES)
def test_ddnm_plus_is_ddrm_with_all_of_the_measurement(problem: str, paper: bool, eta: float | None) -> None:
    oracle = ORACLES[problem]()
    part = oracle.problem(oracle.draw(2, 0)[1])
    x = 0.5 + 10 * Stream(0).normal(torch.zeros(2, *SHAPE).double())
    runs = [
        [step.x for step in solver(part, oracle.prior, log_uniform(50), x, Stream(1))]
        for solver in (DDRM(eta, 1.0, paper), DDNMPlus(eta, paper=paper))
    ]
    for one, other in zip(*runs):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-8)


def test_what_is_noisier_than_the_level_comes_from_one_point_of_the_diffusion() -> None:
    """y = x0 + nsr n: a step across nsr, one below it and one back up keep the variance about x0, and the way to y."""
    spectrum = Spectrum(ORACLES["denoise"]().operator, torch.full((1,), 0.5).double(), torch.full((1,), 0.3).double())
    n, x0 = 400_000, torch.zeros(1, dtype=torch.float64)
    z = lambda seed: Stream(seed).normal(torch.zeros(n, 1, dtype=torch.float64))
    across = spectrum.step(10 * z(0), x0, z(1), 10.0, 0.2, 0.85, 1.0, False)
    # Brownian motion from 0, seen at 0.3^2 as 0.5: at s^2 its mean is 0.5 (s / 0.3)^2, its variance s^2 (1 - (s / 0.3)^2).
    below = spectrum.step(across, x0, z(2), 0.2, 0.1, 0.85, 1.0, False)
    back = spectrum.back(below, z(3), 0.1, 0.2)
    for c, s in ((across, 0.2), (below, 0.1), (back, 0.2)):
        share = (s / 0.3) ** 2
        assert float(c.mean()) == pytest.approx(0.5 * share, abs=5 * s / n**0.5)
        assert float(c.var()) == pytest.approx(s**2 * (1 - share), rel=5 * (2 / n) ** 0.5)
    up = spectrum.back(below, z(4), 0.1, 1.0)  # past y: about y, with what noise is missing
    assert float(up.mean()) == pytest.approx(0.5, abs=5 / n**0.5)
    assert float(up.var()) == pytest.approx(1 - 0.3**2, rel=5 * (2 / n) ** 0.5)


class _Fixed(Stream):
    def __init__(self, z: Tensor):
        super().__init__(0)
        self.z = z

    def normal(self, like: Tensor) -> Tensor:
        return self.z


def test_a_measured_coefficient_starts_at_its_measurement() -> None:
    oracle = ORACLES["inpaint"]()
    spectrum = Spectrum.of(oracle.problem(oracle.draw(1, 0)[1]), "ddrm")
    z = torch.zeros(4000, 144, dtype=torch.float64)
    start = oracle.operator.v(spectrum.start(0.2, Stream(1).normal(z)))
    seen = oracle.seen.view(SHAPE)
    # Kawar et al., eq 7: mean y, total variance sigma^2 - sigma_y^2; five standard errors of 4000 numbers.
    gap = (start.mean(0) - spectrum.y.view(SHAPE))[seen].abs()
    assert float(gap.max()) < 5 * 0.2 / 4000**0.5
    spread = start.std(0)[seen] / (0.2**2 - 0.05**2) ** 0.5
    assert float((spread - 1).abs().max()) < 5 / 8000**0.5
    assert float((start.std(0)[~seen] / 0.2 - 1).abs().max()) < 5 / 8000**0.5


def test_unequal_noise_leaves_the_measurement_where_it_is() -> None:
    y = torch.rand(1, *SHAPE, dtype=torch.float64)
    sigma = torch.linspace(0.01, 0.4, 144, dtype=torch.float64).view(SHAPE)
    spectrum = Spectrum.of(Problem(y, ops.Identity(SHAPE), Gaussian(sigma)), "ddnm+")
    torch.testing.assert_close(spectrum.y.view_as(y), y)
    torch.testing.assert_close(spectrum.nsr.view(SHAPE), sigma)


@pytest.mark.parametrize("problem", ["inpaint", "average", "blur"])
@pytest.mark.parametrize("eta", [0.85, None])
def test_ddnm_meets_a_clean_measurement(problem: str, eta: float | None) -> None:
    oracle = ORACLES[problem]()
    y = oracle.operator(oracle.draw(3, 0)[0])
    grey = torch.full((3, *SHAPE), 0.5, dtype=torch.float64)
    steps = list(DDNM(eta)(oracle.problem(y), oracle.prior, log_uniform(20), grey, Stream(0)))
    for found in [*(step.x0 for step in steps), steps[-1].x]:
        torch.testing.assert_close(oracle.operator(found), y, rtol=0, atol=1e-6)  # rounding / the least singular value


def test_ddnm_plus_without_noise_is_ddnm() -> None:
    oracle = Oracle(ORACLES["inpaint"]().operator, 1e-7)
    y, sigmas = oracle.draw(2, 0)[1], log_uniform(30, 10.0, 1e-4)
    x = 10 * Stream(5).normal(torch.zeros(2, *SHAPE, dtype=torch.float64))
    # All noise fresh: otherwise DDNM takes the noise of the measured pixels from the network, DDNM+ from the generator.
    results = [
        [s.x for s in f(oracle.problem(y), oracle.prior, sigmas, x, Stream(0))] for f in (DDNM(1.0), DDNMPlus(1.0))
    ]
    for a, b in zip(results[0][:-1], results[1][:-1]):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)  # sqrt(sigma_next^2 - sigma_y^2) against sigma_next
    torch.testing.assert_close(results[0][-1], results[1][-1], rtol=0, atol=5e-4)  # ends: y, or x0 at level 1e-4


# --- DPS ---


@pytest.mark.parametrize("law", [Poisson(20.0), Gamma(4.0)], ids=["poisson", "gamma"])
@pytest.mark.parametrize("operator", [ops.Identity(SHAPE), ORACLES["inpaint"]().operator], ids=["identity", "inpaint"])
def test_dps_uses_what_counts_and_speckle_tell(law: Likelihood, operator: ops.LinearOperator) -> None:
    prior, g = GaussianPrior.smooth(SHAPE, std=0.12), torch.Generator().manual_seed(0)  # positive: 0.5 is 4 deviations
    x0 = prior.sample(4, g)
    mean = operator(x0)
    problem = Problem(law.sample(mean.clamp(min=1e-3), g).repeat_interleave(6, 0), operator, law)
    if isinstance(operator, ops.Inpaint):  # a pixel that is not measured has no speckle
        problem = Problem(problem.y, operator, law, operator.mask)
    x, rng = prior.mean + 10 * Stream(2).normal(torch.zeros(24, *SHAPE, dtype=torch.float64)), Stream(1)
    steps = list(DPS()(problem, prior, log_uniform(60), x, rng))
    assert all(bool(torch.isfinite(step.x).all()) for step in steps)
    found = (steps[-1].x.unflatten(0, (4, 6)).mean(1) - x0).square().mean().sqrt()
    assert float(found) < 0.8 * float((prior.mean - x0).square().mean().sqrt())


# --- scale ---
