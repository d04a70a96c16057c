"""deepinv and restorekit, both ways. Numbers are compared with our own operators, deepinv's own, and dense matrices.

A test skips where deepinv is not installed; `make test` installs it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from restorekit import Gamma, Gaussian, Poisson, Problem, operators, restore
from restorekit.errors import BadInput, Unsupported
from restorekit.inference.derived_laws import Joint
from restorekit.interop import deepinv as bridge
from restorekit.operators.verify import check, report
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import DDRM, DPS, MMPS, DiffPIR
from tests.support.cases import OPERATORS

pytestmark = pytest.mark.floors

F64 = torch.float64
RGB = (3, 8, 10)


@pytest.fixture(scope="module")
def dinv() -> Any:
    try:
        return bridge.import_deepinv()
    except BadInput as error:
        pytest.skip(str(error))


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def peaked() -> Tensor:
    """A lopsided kernel whose blur is well conditioned, as deepinv takes it."""
    k = rand(1, 1, 3, 5)
    k[..., 1, 2] += 10
    return k / k.sum()


def hole(*shape: int) -> Tensor:
    return (rand(*shape, seed=1) > 0.4).float()


PHYSICS: dict[str, tuple[Callable[[Any], Any], tuple[int, int, int]]] = {
    "inpainting": (lambda p: p.Inpainting(RGB, mask=hole(*RGB)), RGB),
    "inpainting-soft": (lambda p: p.Inpainting(RGB, mask=0.7 * hole(*RGB)), RGB),
    "denoising": (lambda p: p.Denoising(), RGB),
    "blur-fft": (lambda p: p.BlurFFT(RGB, filter=peaked()), RGB),
    "blur-reflect": (lambda p: p.Blur(filter=peaked(), padding="reflect"), RGB),
    "blur-valid": (lambda p: p.Blur(filter=peaked(), padding="valid"), RGB),
    "blur-circular": (lambda p: p.Blur(filter=peaked(), padding="circular"), RGB),
    "downsampling": (lambda p: p.Downsampling(RGB, filter="bilinear", factor=2, padding="circular"), RGB),
    "decolorize": (lambda p: p.Decolorize(img_size=RGB), RGB),
    "demosaicing": (lambda p: p.Demosaicing(img_size=RGB), RGB),
    "compressed-sensing": (lambda p: p.CompressedSensing(m=20, img_size=(1, 6, 7)), (1, 6, 7)),
    "single-pixel": (lambda p: p.SinglePixelCamera(m=20, img_size=(1, 8, 8)), (1, 8, 8)),
    "mri": (lambda p: p.MRI(mask=hole(1, 2, 6, 8), img_size=(2, 6, 8)), (2, 6, 8)),
    "complex": (lambda p: p.LinearPhysics(A=_fourier, A_adjoint=_fourier_back), (1, 5, 6)),
    "stack": (lambda p: p.Decolorize(img_size=RGB).stack(p.Inpainting(RGB, mask=hole(*RGB))), RGB),
    "phase-nonlinear": (lambda p: p.Physics(A=lambda x, **_: x.square() + 0.1 * x), RGB),
}


def _fourier(x: Tensor, **_: Any) -> Tensor:
    return torch.fft.fft2(x, norm="ortho")


def _fourier_back(y: Tensor, **_: Any) -> Tensor:
    return torch.fft.ifft2(y, norm="ortho").real


def made(dinv: Any, name: str) -> tuple[Any, operators.Operator]:
    make, shape = PHYSICS[name]
    torch.manual_seed(0)
    physics = make(dinv.physics)
    return physics, bridge.operator_from(physics, shape)


@pytest.mark.parametrize("name", PHYSICS)
def test_a_physics_satisfies_our_identities(name: str, dinv: Any) -> None:
    _, operator = made(dinv, name)
    assert isinstance(operator, operators.LinearOperator) == ("nonlinear" not in name)
    results = check(operator, torch.float32)
    assert all(r.passed for r in results), report(results)
    names = {r.name for r in results}
    if "nonlinear" not in name:
        assert {"<A x, z> = <x, A' z>", "A+ A A+ = A+", "(A'A + rho)(normal solve) = b"} <= names, names


@pytest.mark.parametrize("name", PHYSICS)
def test_a_physics_gives_its_own_measurement(name: str, dinv: Any) -> None:
    physics, operator = made(dinv, name)
    x = rand(2, *operator.image_shape)
    torch.testing.assert_close(operator(x), bridge.measurement_from(physics.A(x)), rtol=0, atol=0)


def test_a_physics_moves_to_double_precision_and_the_callers_stays(dinv: Any) -> None:
    physics, operator = made(dinv, "blur-fft")
    double = operator.to(F64)
    x = rand(1, *RGB)
    assert double(x.double()).dtype == F64
    torch.testing.assert_close(double(x.double()).float(), operator(x), rtol=0, atol=1e-6)
    assert (physics.mask.dtype, physics.angle.dtype) == (torch.float32, torch.complex64)


# --- ours there ---


@pytest.mark.parametrize("name", OPERATORS)
def test_our_operators_are_deepinv_physics(name: str, dinv: Any) -> None:
    """deepinv's own checks of what it calls, at the precision of float64."""
    operator = OPERATORS[name]().to(F64)
    physics = bridge.physics_from(operator).to(F64)
    assert type(physics.restorekit_operator) is type(operator)
    operator = physics.restorekit_operator
    assert bridge.operator_from(physics) is operator
    x = torch.rand(2, *operator.image_shape, dtype=F64, generator=torch.Generator().manual_seed(0))
    y = physics(x)
    torch.testing.assert_close(y, operator(x), rtol=0, atol=0)
    assert isinstance(physics, dinv.physics.LinearPhysics) == isinstance(operator, operators.LinearOperator)
    assert isinstance(physics, dinv.physics.DecomposablePhysics) == isinstance(operator, operators.SVDOperator)
    if not isinstance(operator, operators.LinearOperator):
        return
    assert physics.adjointness_test(x) < 1e-12
    z, gamma = torch.randn(x.shape, dtype=F64, generator=torch.Generator().manual_seed(1)), 3.0
    solved = physics.prox_l2(z, y, gamma)
    zero = gamma * physics.A_adjoint(physics.A(solved) - y) + solved - z  # the gradient of what it minimises
    assert float(zero.norm() / z.norm()) < 1e-8
    each = physics.prox_l2(z, y, torch.tensor([gamma, 0.5], dtype=F64))
    torch.testing.assert_close(each[:1], solved[:1], rtol=0, atol=1e-8)
    if isinstance(operator, operators.SVDOperator):
        through = physics.U(physics.mask * physics.V_adjoint(x))
        torch.testing.assert_close(through, y, rtol=0, atol=1e-10)
        torch.testing.assert_close(physics.V(physics.V_adjoint(x)), x, rtol=0, atol=1e-10)
        torch.testing.assert_close(physics.V(physics.mask * physics.U_adjoint(y)), operator.adjoint(y), rtol=0, atol=1e-10)  # fmt: skip


def test_our_physics_moves_with_its_operator(dinv: Any) -> None:
    physics = bridge.physics_from(operators.Inpaint((1, 4, 4), hole(1, 4, 4)), Gaussian(0.1)).to(F64)
    assert physics.restorekit_operator.mask.dtype == F64
    assert physics.mask.dtype == F64
    assert physics.A(rand(1, 1, 4, 4).double()).dtype == F64


def test_deepinvs_ddrm_runs_on_our_operator_and_prior_as_on_its_own(dinv: Any) -> None:
    """The same numbers, whether the mask and the denoiser are ours or deepinv's; and the caller's y stays as it was."""
    mask, prior = hole(*RGB), GaussianPrior.smooth(RGB)
    model = bridge.model_from(lambda x, sigma: prior(x.double(), sigma).to(x))
    noise = dinv.physics.GaussianNoise(0.05)
    theirs = dinv.physics.Inpainting(RGB, mask=mask, noise_model=noise)
    ours = bridge.physics_from(operators.Inpaint(RGB, mask), Gaussian(0.05))
    y = theirs.A(rand(1, *RGB, seed=3)) + 0.05 * torch.randn(1, *RGB, generator=torch.Generator().manual_seed(4))
    kept, drawn = y.clone(), []
    sampler = dinv.sampling.DDRM(model, sigmas=torch.linspace(1, 0, 11)[:-1].tolist())
    for physics in (theirs, ours):
        with torch.random.fork_rng():
            drawn.append(sampler(kept.clone() if physics is theirs else y, physics, seed=7))
    assert torch.equal(y, kept)
    torch.testing.assert_close(drawn[1], drawn[0], rtol=0, atol=1e-5)
    assert float((drawn[0] - prior.mean).abs().max()) < 3  # a picture, not something that diverged


def test_deepinvs_optimiser_solves_our_blur(dinv: Any) -> None:
    """Its proximal point iteration on our physics reaches our own least-squares solution."""
    operator = operators.CircularBlur(RGB, peaked()[0, 0].double())
    physics = bridge.physics_from(operator, Gaussian(0.01))
    y = operator(rand(1, *RGB).double())
    fidelity, x = dinv.optim.L2(), torch.zeros(1, *RGB, dtype=F64)
    for _ in range(60):
        x = fidelity.prox(x, y, physics, gamma=100.0)
    torch.testing.assert_close(x, operator.pinv(y), rtol=0, atol=1e-5)


# --- theirs here ---


def pairs(dinv: Any) -> dict[str, tuple[Any, operators.Operator]]:
    kernel = peaked()
    return {
        "inpainting": (dinv.physics.Inpainting(RGB, mask=hole(*RGB)), operators.Inpaint(RGB, hole(*RGB))),
        "circular blur": (
            dinv.physics.BlurFFT(RGB, filter=kernel),
            operators.CircularBlur(RGB, kernel[0, 0]),
        ),
    }


@pytest.mark.parametrize("which", ["inpainting", "circular blur"])
def test_the_operator_of_a_physics_is_our_native_one(which: str, dinv: Any) -> None:
    physics, native = pairs(dinv)[which]
    x = rand(2, *RGB)
    torch.testing.assert_close(bridge.operator_from(physics)(x), native(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("which", ["inpainting", "circular blur"])
@pytest.mark.parametrize("solver", [DPS(), MMPS(), DiffPIR()], ids=lambda s: type(s).__name__)
def test_our_solvers_give_the_same_on_their_physics(which: str, solver: Any, dinv: Any) -> None:
    physics, native = pairs(dinv)[which]
    physics.noise_model = dinv.physics.GaussianNoise(0.05)
    law, prior = bridge.likelihood_from(physics), GaussianPrior.smooth(RGB)
    y = law.sample(native(rand(1, *RGB, seed=5)), torch.Generator().manual_seed(6)).double()
    kept, results = y.clone(), []
    for operator in (native, bridge.operator_from(physics)):
        results.append(restore(Problem(y, operator.to(F64), law), prior, solver, steps=20, samples=2).samples)
    assert torch.equal(y, kept)
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=1e-5)
    assert float(results[0].std()) > 0.01


def test_noise_laws_go_there_and_back(dinv: Any) -> None:
    for law in (Gaussian(0.07), Poisson(50.0), Gamma(4.0), Gamma(4.0, "log")):
        back = bridge.likelihood_from(bridge.noise_from(law))
        assert type(back) is type(law)
        assert {**vars(back), "domain": 0} == pytest.approx({**vars(law), "domain": 0}, rel=1e-6)
        assert getattr(back, "domain", None) == getattr(law, "domain", None)


@pytest.mark.parametrize("law", [Gaussian(0.07), Poisson(50.0), Gamma(4.0), Gamma(4.0, "log")], ids=str)
def test_noise_laws_have_the_same_spread_there(law: Any, dinv: Any) -> None:
    """Units: mean and standard deviation of deepinv's own draws are those of ours."""
    mean = torch.full((1, 1, 300, 300), 0.4)
    ours = law.sample(mean, torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = bridge.noise_from(law)(mean)
    assert float(theirs.mean()) == pytest.approx(float(ours.mean()), abs=6e-3)
    assert float(theirs.std()) == pytest.approx(float(ours.std()), rel=0.02)


REFUSED: dict[str, tuple[Callable[[Any], object], str]] = {
    "no shape": (lambda p: bridge.operator_from(p.Blur(filter=peaked())), r"operator_from\(physics, \(C, H, W\)\)"),
    "no physics": (lambda p: bridge.operator_from(torch.nn.Identity()), "not a deepinv physics"),
    "sensor": (lambda p: bridge.operator_from(p.Denoising(sensor_model=torch.relu), RGB), "sensor model"),
    "no noise": (lambda p: bridge.likelihood_from(p.Denoising(noise_model=p.ZeroNoise())), r"Gaussian\(0.001\)"),
    "counts": (lambda p: bridge.likelihood_from(p.PoissonNoise(0.1, normalize=False)), "normalize=True"),
    "per picture": (lambda p: bridge.likelihood_from(p.GaussianNoise(torch.tensor([0.1, 0.2]))), "loop over them"),
    "unknown law": (lambda p: bridge.likelihood_from(p.SaltPepperNoise()), "no counterpart; known: GaussianNoise"),
    "amplitude": (lambda p: bridge.noise_from(Gamma(2.0, "amplitude")), "intensity or log"),
    "sigma per pixel": (lambda p: bridge.noise_from(Gaussian(torch.tensor([0.1, 0.2]))), "one sigma"),
    "joint": (lambda p: bridge.noise_from(Joint((Gaussian(0.1),), (3,))), "no noise model for this Joint"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_cross_is_refused_with_a_way_out(what: str, dinv: Any) -> None:
    call, words = REFUSED[what]
    with pytest.raises(BadInput, match=words) as caught:
        call(dinv.physics)
    assert "\n" not in str(caught.value)


def test_a_solver_refuses_a_nonlinear_physics(dinv: Any) -> None:
    _, operator = made(dinv, "phase-nonlinear")
    with pytest.raises(Unsupported, match="dps"):
        DDRM().check(Problem(rand(1, *RGB), operator, Gaussian(0.1)))


# --- denoisers ---


def test_denoisers_cross_without_a_change_of_unit(dinv: Any) -> None:
    """D(x, sigma) is the same number on both sides: [0, 1] and sigma in that unit."""
    x, prior = rand(2, *RGB).double(), GaussianPrior.smooth(RGB)
    model = bridge.model_from(prior)
    assert isinstance(model, dinv.models.Denoiser)
    back = bridge.denoiser_from(model)
    for sigma in (0.01, 0.3, 20.0, torch.tensor([0.05, 2.0])):
        expected = prior(x, sigma)
        torch.testing.assert_close(model(x, sigma), expected, rtol=0, atol=0)
        torch.testing.assert_close(back(x, sigma), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(model(x, torch.full((2, 1, 1, 1), 0.3)), prior(x, torch.tensor([0.3, 0.3])))


def test_a_deepinv_network_is_a_denoiser_of_ours(dinv: Any) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = dinv.models.DRUNet(pretrained=None, nc=(8, 8, 8, 8), nb=1)
    x = rand(1, 3, 16, 24)
    denoise = bridge.denoiser_from(model, sigma_max=0.2)
    assert not model.training
    with torch.no_grad():
        torch.testing.assert_close(denoise(x, 0.1), model(x, 0.1), rtol=0, atol=1e-6)
        assert denoise(x.double(), 0.1).dtype == F64
        held = 0.5 + 0.2 / 4 * (x - 0.5)  # above what it knows, it is asked at what it knows
        torch.testing.assert_close(denoise(x, 4.0), model(held, 0.2), rtol=0, atol=1e-6)
        odd = bridge.denoiser_from(model, multiple=8)(rand(1, 3, 13, 9), 0.1)
    assert odd.shape == (1, 3, 13, 9)


# --- installing ---


def test_nothing_of_deepinv_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, restorekit.interop.deepinv, restorekit.priors.find, restorekit.solvers\n"
        "late = {'deepinv', 'torchvision', 'diffusers'} & set(sys.modules)\nassert not late, late"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_deepinv_is_one_line_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepinv", None)
    with pytest.raises(BadInput, match=r'pip install "torch==[\d.]+" "restorekit\[deepinv\]"') as caught:
        bridge.import_deepinv()
    assert "\n" not in str(caught.value)


def test_a_grid_of_kernels_is_deepinv_s_space_varying_blur(dinv: Any) -> None:
    """Its `mask_first=False`, with the same kernels and weights."""
    kernels = rand(2, 3, 3, 5)
    ours = operators.GridBlur.of(RGB, kernels / kernels.sum((-2, -1), keepdim=True))
    theirs = dinv.physics.blur.SpaceVaryingBlur(
        filters=ours.kernels[None, None], multipliers=ours.weights[None, None], padding="valid", mask_first=False
    )
    x = rand(1, *ours.image_shape, seed=2)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=0)
    y = rand(1, *RGB, seed=3)
    torch.testing.assert_close(ours.adjoint(y), theirs.A_adjoint(y), atol=1e-5, rtol=0)
