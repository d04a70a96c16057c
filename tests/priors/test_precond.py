"""Networks that are exact for a Gaussian prior, in every parametrisation, must come out as the exact denoiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.priors.analytic import GaussianPrior
from restorekit.priors.precond import EDM, VE, VP, Adapted, Flow, NoiseProcess, VPTable

STD = 0.25
PRIOR = GaussianPrior.smooth((2, 5, 4), STD, mean=0.4)  # not the middle of the range
PROCESSES: dict[str, NoiseProcess] = {
    "vp": VP(),
    "table": VPTable.linear(),
    "ve": VE(),
    "ve-log": VE(sigma_max=80.0, log=True),
    "flow": Flow(),
    "flow-to-data": Flow(end="data", unit=1000.0),
}
SIGMAS = [0.002, 0.01, 0.1, 1.0, 10.0, 60.0, 100.0]


@dataclass(frozen=True, eq=False)
class ExactNet:
    """The network that predicts `predicts` without error, written from the textbook definition of each target."""

    predicts: str
    process: NoiseProcess
    span: tuple[float, float]
    sigma_of: Callable[[Tensor], Tensor]
    outputs: int = 1  # 2: followed by a learned variance

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        low, width = self.span[0], self.span[1] - self.span[0]
        s = self.sigma_of(t).view(-1, 1, 1, 1)
        scale = self.process.scale(s)
        z = x_t / scale  # = z0 + s n
        z0 = low + width * PRIOR((z - low) / width, s.flatten() / width)
        n = (z - z0) / s
        alpha, beta = scale, scale * s  # x_t = alpha z0 + beta n
        to_data = isinstance(self.process, Flow) and self.process.end == "data"
        velocity = z0 - n if to_data else n - z0  # of x_t in the time that the network is given
        out = {"x0": z0, "eps": n, "v": alpha * n - beta * z0, "score": -n / beta, "velocity": velocity}[self.predicts]
        return torch.cat([out, torch.full_like(out, 7.0)], 1) if self.outputs == 2 else out


def sigma_of(process: NoiseProcess) -> Callable[[Tensor], Tensor]:
    """The noise level of a network time, from the definition of each process."""
    if isinstance(process, VP):
        return lambda t: torch.expm1(0.5 * t**2 * (process.beta_max - process.beta_min) + t * process.beta_min).sqrt()
    if isinstance(process, Flow):
        if process.end == "noise":
            return lambda t: t / (1 - t)
        return lambda t: (1 - t / process.unit) / (t / process.unit)
    if isinstance(process, VE):
        return (lambda t: (4 * t).exp()) if process.log else (lambda t: t)
    assert isinstance(process, VPTable)
    return process.sigma


def adapted(
    process: NoiseProcess, predicts: str, span: tuple[float, float] = (-1.0, 1.0), outputs: int = 1, whole: bool = False
) -> Adapted:
    net = ExactNet(predicts, process, span, sigma_of(process), outputs)
    return Adapted(net, predicts, process, span, whole)  # type: ignore[arg-type]


def noisy(sigma: float, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    x0 = PRIOR.sample(3, g)
    return x0 + sigma * torch.randn(x0.shape, generator=g, dtype=torch.float64)


def _allowed(process: str, predicts: str) -> bool:
    return {"v": process in ("vp", "table"), "velocity": process.startswith("flow")}.get(predicts, True)


COMBINATIONS = [(p, q) for p in PROCESSES for q in ("eps", "v", "x0", "score", "velocity") if _allowed(p, q)]


@pytest.mark.parametrize("span", [(-1.0, 1.0), (0.0, 1.0)], ids=["pm1", "01"])
@pytest.mark.parametrize(("process", "predicts"), COMBINATIONS)
def test_every_prediction_becomes_the_exact_denoiser(process: str, predicts: str, span: tuple[float, float]) -> None:
    known, width = PROCESSES[process], span[1] - span[0]
    denoise = adapted(known, predicts, span)
    reached = 0
    for sigma in [*SIGMAS, known.sigma_max / width]:
        x = noisy(sigma)
        expected = PRIOR(x, sigma)
        if sigma * width > known.sigma_max * (1 + 1e-12):
            # Scaled to sigma_max, the unit noise of x weighs C / top instead of C / sigma; 4 deviations in each mode.
            top = known.sigma_max / width
            modes = 4 * (PRIOR.variances * (1 / top - 1 / sigma)).square().mean().sqrt()
            assert float((denoise(x, sigma) - expected).square().mean().sqrt()) < modes < 0.1 * STD
        elif sigma * width >= known.sigma_min:
            reached += 1
            # Exact but for rounding: t carries sigma to 1e-16 / (1 - t) (flow: 1e-13), x - D cancels sigma / 0.25
            # digits (x4000 at sigma 1000). Both stay far below 1e-6 of the picture.
            torch.testing.assert_close(denoise(x, sigma), expected, rtol=0, atol=1e-6 * 0.5)
        else:
            # A constant score below sigma_min errs by sigma^2 (sigma_min^2 - sigma^2) |(C + ..)^-2 (x - mean)|.
            low, variance = known.sigma_min / width, float(PRIOR.variances.min())
            worst = sigma**2 * (low**2 - sigma**2) / variance**1.5 * 8  # 4 deviations, twice
            assert float((denoise(x, sigma) - expected).abs().max()) < worst
            assert worst < 0.1 * sigma  # so the test says something
    assert reached >= 4


@pytest.mark.parametrize("predicts", ["eps", "v", "x0", "score"])
def test_whole_steps_are_interpolated(predicts: str) -> None:
    table = VPTable.linear()
    denoise, net_calls = adapted(table, predicts, whole=True), []
    plain = denoise.net

    def counted(x: Tensor, t: Tensor) -> Tensor:
        net_calls.append(t)
        return plain(x, t)

    denoise = Adapted(counted, predicts, table, integer_time=True)  # type: ignore[arg-type]
    sigmas = [0.005, 0.0055, 0.006, 0.007, 0.01, 0.03, 0.1, 1.0, 10.0, 60.0, float(table.sigma_max) / 2]
    for sigma in sigmas:
        x = noisy(sigma)
        expected = PRIOR(x, sigma)
        # In u = sigma^2, D - x = -u / (C + u) (x - m) is bent by 2 C / (C + u)^3: over the step from low to high it leaves
        # at most (high - low)^2 / 8 of that at low.
        grid = (2 * table.log_sigmas).exp() / 4
        k = int(torch.searchsorted(grid, sigma**2 * (1 - 1e-12)).clamp(1, 999))
        low, high = float(grid[k - 1]), float(grid[k])
        bend = (high - low) ** 2 / 4 * (PRIOR.variances / (PRIOR.variances + low) ** 3)
        worst = 5 * float((bend * (PRIOR.variances + sigma**2).sqrt()).norm())  # 5 deviations in every mode at once
        torch.testing.assert_close(denoise(x, sigma), expected, rtol=0, atol=1e-9 + worst)
        error, step = denoise(x, sigma) - expected, expected - x
        assert float(error.norm() / step.norm()) < 0.005
        assert float(error.abs().max()) < 1e-4 * STD
    assert all(torch.equal(t, t.round()) for t in net_calls)
    assert min(map(float, map(torch.min, net_calls))) == 0
    assert max(map(float, map(torch.max, net_calls))) == 999
    assert len(net_calls) == 4 * len(sigmas)  # two per call


@pytest.mark.parametrize("predicts", ["eps", "v", "x0", "score"])
@pytest.mark.parametrize("sigma", [0.002, 0.003, 0.0045])
def test_whole_steps_below_the_first_keep_its_score(predicts: str, sigma: float) -> None:
    x = noisy(sigma)
    plain, whole = (adapted(VPTable.linear(), predicts, whole=w)(x, sigma) for w in (False, True))
    torch.testing.assert_close(whole, plain, rtol=0, atol=1e-12)
    # sigma_min = 0.005: of D - x, (C + sigma^2) / (C + sigma_min^2) is right in a mode of variance C
    part = float(1 - (PRIOR.variances.min() + sigma**2) / (PRIOR.variances.min() + 0.005**2)) * 1.01
    assert float((whole - PRIOR(x, sigma)).norm() / (PRIOR(x, sigma) - x).norm()) < part < 0.03


@pytest.mark.parametrize("process", PROCESSES)
def test_time_and_sigma_are_inverse(process: str) -> None:
    known = PROCESSES[process]
    sigma = torch.logspace(-8, 2, 60, base=10, dtype=torch.float64).clamp(known.sigma_min, known.sigma_max)
    time = known.time(sigma)
    torch.testing.assert_close(sigma_of(known)(time), sigma, rtol=1e-9, atol=0)  # 1e-16 * 1000 / (1 - t), and to spare
    steps = time.diff()
    assert bool((steps <= 0).all() if process == "flow-to-data" else (steps >= 0).all())


def test_the_table_of_ddpm_ends_where_ho_et_al_say() -> None:
    table = VPTable.linear()
    assert table.sigma(torch.tensor([0.0, 999.0], dtype=torch.float64)).tolist() == pytest.approx([0.01000, 157.4], rel=1e-3)  # fmt: skip
    middle = table.sigma(torch.tensor([499.5], dtype=torch.float64)).log()
    assert float(middle) == pytest.approx(float(table.log_sigmas[499:501].mean()), rel=1e-12)


@pytest.mark.parametrize(("process", "predicts"), COMBINATIONS)
@pytest.mark.parametrize("whole", [False, True])
def test_a_level_per_picture_is_a_loop_over_pictures(process: str, predicts: str, whole: bool) -> None:
    if whole and process != "table":
        pytest.skip("whole steps are for tables")
    denoise = adapted(PROCESSES[process], predicts, whole=whole)
    x, sigma = noisy(0.3), torch.tensor([0.0008, 0.3, 2000.0], dtype=torch.float64)
    loop = torch.cat([denoise(x[i : i + 1], float(s)) for i, s in enumerate(sigma)])
    torch.testing.assert_close(denoise(x, sigma), loop, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("process", "predicts"), [("vp", "eps"), ("table", "v"), ("flow", "x0"), ("ve", "score")])
def test_differentiable_in_the_picture(process: str, predicts: str) -> None:
    denoise = adapted(PROCESSES[process], predicts)
    for sigma in (0.0, 0.0003, 0.2, 2000.0):  # no noise, below, within and above the trained levels
        leaf = noisy(sigma)[:1].requires_grad_(True)
        assert torch.autograd.gradcheck(lambda x, sigma=sigma: denoise(x, sigma), (leaf,))


def test_a_learned_variance_is_left_out() -> None:
    x = noisy(0.2)
    assert torch.equal(adapted(VP(), "eps", outputs=2)(x, 0.2), adapted(VP(), "eps")(x, 0.2))


@pytest.mark.parametrize("process", PROCESSES)
def test_beyond_its_levels_a_network_sees_the_last_one_and_as_much_noise(process: str) -> None:
    known, seen = PROCESSES[process], []

    def net(x_t: Tensor, t: Tensor) -> Tensor:
        seen.append((x_t, sigma_of(known)(t)))
        return x_t

    noise = torch.randn(1, 1, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for sigma, level in ((1e-5, known.sigma_min), (3 * known.sigma_max, known.sigma_max)):
        Adapted(net, "eps", known, (0.0, 1.0))(0.4 + sigma * noise, sigma)
        x_t, reached = seen[-1]
        assert float(reached) == pytest.approx(level, rel=1e-9)
        if sigma > level:
            expected = float(known.scale(reached)) * level
            assert float(x_t.std()) == pytest.approx(expected, rel=0.06)  # five standard errors: 5 / sqrt(2 * 4096)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Adapted(lambda x, t: x, "noise", VP()), "eps, v, x0, score"),  # type: ignore[arg-type]
        (lambda: Adapted(lambda x, t: x, "v", VE()), "variance-preserving"),
        (lambda: Adapted(lambda x, t: x, "v", Flow()), "variance-preserving"),
        (lambda: Adapted(lambda x, t: x, "eps", VP(), integer_time=True), "VPTable"),
        (lambda: Adapted(lambda x, t: x, "eps", VP(), span=(1, -1)), "black and white"),
        (lambda: VPTable(torch.tensor([0.1, 0.5, 0.9])), "fall from step to step"),
        (lambda: VPTable(torch.tensor([0.9, 0.5, 0.0])), "leave out steps"),  # "zero terminal SNR": infinite sigma
        (lambda: VPTable(torch.tensor([1.0, 0.5, 0.1])), "leave out steps"),
    ],
)
def test_impossible_networks_are_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mean", [0.5, 0.1])
def test_edm_is_exact_for_its_own_gaussian_and_silent_without_noise(mean: float) -> None:
    # White data of deviation sigma_data about the mean: the target of the network is 0 on average, D = c_skip x.
    x = torch.rand(3, 2, 5, 4, dtype=torch.float64)
    sigma = torch.tensor([0.01, 0.3, 5.0], dtype=torch.float64)
    silent = EDM(lambda z, c: torch.zeros_like(z), 0.25, mean)
    shrink = (0.25**2 / (0.25**2 + sigma**2)).view(-1, 1, 1, 1)
    torch.testing.assert_close(silent(x, sigma), mean + shrink * (x - mean))
    loud = EDM(lambda z, c: 3 * torch.tanh(z), 0.25, mean)
    for small in (1e-4, 1e-8, 0.0):  # |D - x| <= c_out |F| + (1 - c_skip) |x| <= 3 sigma + (sigma / 0.25)^2
        assert float((loud(x, small) - x).abs().max()) <= 3 * small + 16 * small**2 + 1e-15


def test_edm_feeds_unit_variance_and_a_quarter_of_ln_sigma() -> None:
    seen = []

    def net(z: Tensor, c: Tensor) -> Tensor:
        seen.append((float(z.std()), c.tolist()))
        return z

    g = torch.Generator().manual_seed(0)
    for sigma in (0.002, 0.01, 0.25, 30.0):
        x = 0.5 + 0.25 * torch.randn(2, 1, 64, 64, generator=g) + sigma * torch.randn(2, 1, 64, 64, generator=g)
        EDM(net, 0.25)(x, sigma)
        deviation, c = seen[-1]
        assert deviation == pytest.approx(1, abs=0.04)  # five standard errors of 8192 values: 5 / sqrt(2 * 8192)
        assert c == pytest.approx([torch.tensor(sigma).log().item() / 4] * 2, rel=1e-5)
