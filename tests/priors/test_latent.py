"""Priors of latents: measurements seen through a decoder, solvers on them, files that hold codec and network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit import operators as ops
from restorekit.errors import BadInput, Unsupported
from restorekit.inference import driver, rng
from restorekit.inference.denoiser import Denoiser, Latent
from restorekit.inference.driver import in_latents, restore
from restorekit.inference.likelihood import Gaussian, Poisson
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.solver import Solver
from restorekit.metrics.fidelity import psnr
from restorekit.priors.analytic import GaussianPrior, dense
from restorekit.priors.formats.checkpoint import PriorSpec
from restorekit.priors.prior import LatentPrior
from restorekit.priors.wrappers import EnsembleFlip
from restorekit.solvers import DAPS, DDRM, DPS, HQS, SOLVERS, VDS, PnPDM
from tests.support.cases import mask, peaked

SHAPE = (1, 8, 12)


@dataclass(frozen=True, eq=False)
class Blocks:
    """An exact linear codec: each 2 x 2 block about grey, its four values turned by an orthonormal matrix."""

    turn: Tensor  # (4, 4)
    factor: int = 2
    channels: int = 4

    @staticmethod
    def of(plain: bool = False) -> Blocks:
        if plain:
            return Blocks(torch.eye(4, dtype=torch.float64))
        g = torch.Generator().manual_seed(0)
        return Blocks(torch.linalg.qr(torch.randn(4, 4, generator=g, dtype=torch.float64))[0])

    def encode(self, x: Tensor) -> Tensor:
        return torch.einsum("ij,bjhw->bihw", self.turn.to(x), F.pixel_unshuffle(x - 0.5, 2))

    def decode(self, z: Tensor, quantise: bool = True, bands: int | None = None) -> Tensor:
        return F.pixel_shuffle(torch.einsum("ij,bihw->bjhw", self.turn.to(z), z), 2) + 0.5

    def turned(self, z: Tensor) -> Tensor:
        """The linear part of decode: noise of a latent as noise of a picture."""
        return self.decode(z) - 0.5


def blocks_of(prior: LatentPrior) -> Blocks:
    assert isinstance(prior.codec, Blocks)
    return prior.codec


def exact(plain: bool = False, shape: tuple[int, int, int] = SHAPE) -> tuple[LatentPrior, Denoiser]:
    """A Gaussian prior of latents, and the same as a prior of pictures."""
    codec, (_, h, w) = Blocks.of(plain), shape
    inner = GaussianPrior.smooth((4, -(-h // 2), -(-w // 2)), mean=0.0)
    spec = PriorSpec("exact", {"kind": "unet", "bands": [1]}, 0.25, domain="latent")

    def pictures(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        return codec.decode(inner(codec.encode(x), sigma))

    return LatentPrior(spec, inner, Path("none"), codec=codec), pictures


@dataclass(frozen=True, eq=False)
class Turned(Rng):
    """The noise of `Rng` on latents, and its picture on pictures."""

    rng: Rng
    codec: Blocks

    @property
    def generators(self) -> list[torch.Generator]:  # type: ignore[override]
        return self.rng.generators

    def normal(self, like: Tensor) -> Tensor:
        if like.shape[1:] == SHAPE:
            return self.codec.turned(self.rng.normal(like.new_empty(len(like), 4, SHAPE[1] // 2, SHAPE[2] // 2)))
        return self.rng.normal(like)


OPERATORS: dict[str, Callable[[], ops.LinearOperator]] = {
    "inpaint": lambda: ops.Inpaint(SHAPE, mask(*SHAPE)),
    "average": lambda: ops.BlockAverage(SHAPE, 4),
    "blur": lambda: ops.CircularBlur(SHAPE, peaked(3, 5)),
}


def measured(operator: ops.LinearOperator, seed: int = 0) -> Problem:
    g, prior = torch.Generator().manual_seed(seed), exact()[0]
    assert isinstance(prior.network, GaussianPrior)
    x = prior.decode(prior.network.sample(1, g))
    return Problem(Gaussian(0.05).sample(operator(x), g), operator, Gaussian(0.05))


@pytest.mark.parametrize(("solver", "plain"), [(DPS(), False), (DPS(paper=True), False), (VDS(), True)])
@pytest.mark.parametrize("name", OPERATORS)
def test_on_latents_a_solver_does_what_it_does_on_pictures(
    name: str, solver: Solver, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Adam of VDS goes value by value, hence a codec that only sorts the pixels. On pictures it knows the curvature of a linear
    # operator and needs no Adam; behind a decoder it does not.
    monkeypatch.setattr(VDS, "newton", lambda self, problem: False)
    prior, pictures = exact(plain)
    problem, streams = measured(OPERATORS[name]()), rng.streams
    found = restore(problem, prior, solver, steps=30, samples=2 if solver.is_sampler else 1)
    monkeypatch.setattr(driver, "streams", lambda *a: Turned(streams(*a), blocks_of(prior)))
    expected = restore(problem, pictures, solver, steps=30, samples=2 if solver.is_sampler else 1)
    assert found.samples.shape[1:] == SHAPE
    torch.testing.assert_close(found.samples, expected.samples, rtol=0, atol=1e-8)
    assert (found.nfe, found.settings) == (expected.nfe, expected.settings)


def test_a_picture_to_begin_with_is_one_on_latents_too(monkeypatch: pytest.MonkeyPatch) -> None:
    prior, pictures = exact()
    problem, streams = measured(OPERATORS["average"]()), rng.streams
    begin = torch.rand(2, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    sigmas = [0.2, 0.1, 0.0]
    found = restore(problem, prior, DPS(), sigmas=sigmas, samples=2, begin=begin)
    other = restore(problem, prior, DPS(), sigmas=sigmas, samples=2)
    monkeypatch.setattr(driver, "streams", lambda *a: Turned(streams(*a), blocks_of(prior)))
    expected = restore(problem, pictures, DPS(), sigmas=sigmas, samples=2, begin=begin)
    torch.testing.assert_close(found.samples, expected.samples, rtol=0, atol=1e-8)
    assert float((found.samples - other.samples).abs().max()) > 1e-2


@pytest.mark.parametrize("name", OPERATORS)
def test_through_a_linear_decoder_dps_is_dps_on_the_product_of_the_matrices(name: str) -> None:
    prior, _ = exact()
    problem = measured(OPERATORS[name]())
    through = in_latents(problem, prior)
    zero = through.operator(torch.zeros(1, *through.operator.image_shape, dtype=torch.float64))
    columns = dense(through.operator, prior.network.mean) - zero.flatten()[:, None]  # type: ignore[arg-type, attr-defined]
    matrix = ops.Matrix(through.operator.image_shape, columns)
    linear = Problem((problem.y - zero).flatten(1), matrix, problem.likelihood)
    x, results = torch.full((1, 4, 4, 6), 3.0, dtype=torch.float64), []
    for one in (through, linear):
        *_, last = DPS()(one, prior.denoise, DPS().schedule(one, 40), x, Rng([5]))
        results.append(last.x)
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-8)


@pytest.mark.parametrize("solver", [DPS(), DAPS(), PnPDM()], ids=["dps", "daps", "pnpdm"])
def test_samples_through_a_decoder_have_the_mean_and_spread_of_the_posterior(solver: Solver) -> None:
    prior, _ = exact()
    problem = measured(OPERATORS["average"]())
    inner = prior.network
    assert isinstance(inner, GaussianPrior)
    assert isinstance(problem.operator, ops.LinearOperator)
    turn = dense_decoder(prior)
    covariance = turn @ inner.covariance() @ turn.T
    a = dense(problem.operator, torch.zeros(SHAPE, dtype=torch.float64))
    gain = covariance @ a.T @ torch.linalg.inv(a @ covariance @ a.T + 0.05**2 * torch.eye(len(a)))
    mean = 0.5 + gain @ (problem.y.flatten() - a @ torch.full((a.shape[1],), 0.5, dtype=torch.float64))
    spread = (covariance - gain @ a @ covariance).diagonal().mean().sqrt()
    found = restore(problem, prior, solver, samples=40, steps=min(50, solver.default_steps))
    # 40 samples: their mean is off by a sixth of the spread by itself. What the solvers add is in the tables of the bench.
    assert float((found.mean.flatten() - mean).square().mean().sqrt()) < 0.4 * float(spread)
    assert float(found.std.square().mean().sqrt()) == pytest.approx(float(spread), rel=0.25)


def dense_decoder(prior: LatentPrior) -> Tensor:
    eye = torch.eye(96, dtype=torch.float64).view(96, 4, 4, 6)
    return (prior.decode(eye) - 0.5).flatten(1).T


@pytest.mark.parametrize("size", [(8, 12), (7, 11), (9, 6)])
def test_any_size_of_picture(size: tuple[int, int]) -> None:
    prior, _ = exact(shape=(1, *size))
    x = torch.rand(2, 1, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z = prior.encode(x)
    assert z.shape == (2, 4, -(-size[0] // 2), -(-size[1] // 2))
    torch.testing.assert_close(prior.decode(z)[..., : size[0], : size[1]], x)
    problem = Problem(x[:1], ops.Identity((1, *size)), Gaussian(0.001))
    found = restore(problem, prior, DPS(scale=1.0), steps=60)
    assert found.samples.shape == (1, 1, *size)
    assert float((found.samples - x[:1]).abs().mean()) < 0.02  # hardly any noise: what was measured


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_that_needs_a_linear_operator_refuses_and_names_those_that_do_not(name: str) -> None:
    prior, _ = exact()
    law = Poisson(100.0) if name in ("ep", "quadrature") else Gaussian(0.05)
    problem = replace(measured(OPERATORS["average"]()), likelihood=law)
    problem = replace(problem, y=problem.y.clamp(min=0.01))
    if name in ("dps", "daps", "enkg", "pnpdm", "pnpflow", "vds", "dsg", "mpgd", "sitcom"):
        assert restore(problem, prior, SOLVERS[name](), steps=3).samples.shape == (1, *SHAPE)
        return
    with pytest.raises(Unsupported, match=r"BlockAverage of a decoded latent; use `solver=dps`") as refusal:
        restore(problem, prior, SOLVERS[name](), steps=3)
    assert "\n" not in str(refusal.value)
    if name != "quadrature":
        assert "dps`, daps, pnpdm or vds" in str(refusal.value)


def test_samples_do_not_depend_on_the_batch_and_progress_sees_latents() -> None:
    prior, _ = exact()
    problem, seen = measured(OPERATORS["blur"]()), []
    runs = [
        restore(problem, prior, DPS(), steps=5, samples=3, batch=b, progress=lambda *a: seen.append(a[2].x.shape[1:]))
        for b in (None, 1, 2)
    ]
    for run in runs[1:]:
        torch.testing.assert_close(run.samples, runs[0].samples, rtol=0, atol=1e-10)
    assert set(seen) == {(4, 4, 6)}


def test_a_prior_of_latents_is_told_from_one_of_pictures() -> None:
    prior, pictures = exact()
    assert isinstance(prior, Latent)
    assert not isinstance(pictures, Latent)
    assert not isinstance(GaussianPrior.smooth(SHAPE), Latent)
    x = torch.rand(1, *SHAPE, dtype=torch.float64)
    for call in (
        lambda: prior(x, 0.1),
        lambda: restore(Problem(x, ops.Identity(SHAPE), Gaussian(0.1)), EnsembleFlip(prior), HQS()),
    ):
        with pytest.raises(BadInput, match="denoises no pictures"):
            call()
    assert prior.for_bands(1).bands == 1
    with pytest.raises(BadInput, match="takes 1 bands, the picture has 3"):
        prior.for_bands(3)
    with pytest.raises(Unsupported, match="decoded latent"):
        restore(Problem(x, ops.Identity(SHAPE), Gaussian(0.1)), prior, DDRM())


def test_the_ceiling_is_the_quality_of_the_codec() -> None:
    prior, _ = exact(shape=(1, 7, 11))
    x = torch.rand(1, 1, 7, 11, dtype=torch.float64)
    assert prior.ceiling(x[0]) > 200  # exact

    @dataclass(frozen=True, eq=False)
    class Coarse(Blocks):
        """Keeps but the mean of a block."""

        def decode(self, z: Tensor, quantise: bool = True, bands: int | None = None) -> Tensor:
            assert not quantise
            return (
                super()
                .decode(z)
                .unfold(2, 2, 2)
                .unfold(3, 2, 2)
                .mean((4, 5))
                .repeat_interleave(2, 2)
                .repeat_interleave(2, 3)
            )

    coarse = replace(prior, codec=Coarse(Blocks.of().turn))
    whole = F.pad(x, (0, 1, 0, 1), mode="replicate")
    blocks = F.interpolate(F.avg_pool2d(whole, 2), scale_factor=2)[..., :7, :11]
    assert coarse.ceiling(x[0]) == pytest.approx(psnr(blocks[0].numpy(), x[0].numpy()))
