from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import scipy
import torch

from restorekit import operators as ops
from restorekit.errors import Unsupported
from restorekit.operators.blur import transfer
from restorekit.operators.transforms import fast_length
from restorekit.priors.analytic import dense
from tests.support.cases import OPERATORS, gaussian, kernel, motion


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
@pytest.mark.parametrize("name", OPERATORS)
def test_every_identity(name: str, dtype: torch.dtype) -> None:
    results = ops.check(OPERATORS[name](), dtype)
    assert all(c.passed for c in results), "\n" + ops.report([c for c in results if not c.passed])


def test_every_public_operator_has_a_case() -> None:
    built = {type(make()).__name__ for make in OPERATORS.values()}
    public = {n for n in ops.__all__ if isinstance(getattr(ops, n), type) and issubclass(getattr(ops, n), ops.Operator)}
    assert public - built == {"Operator", "LinearOperator", "SVDOperator", "Coded"}  # `Coded` has a file of its own


@pytest.mark.parametrize("boundary", ["wrap", "reflect"])
@pytest.mark.parametrize("shape", [(5, 3), (3, 3)])
def test_blur_is_the_convolution_of_scipy(boundary: str, shape: tuple[int, int]) -> None:
    k = gaussian(3, 0.8) if shape == (3, 3) else kernel(*shape)
    x = torch.rand(1, 2, 11, 8, dtype=torch.float64)
    op = ops.blur((2, 11, 8), k, "circular" if boundary == "wrap" else "reflect")
    expected = np.stack([scipy.ndimage.convolve(band, k.numpy(), mode=boundary) for band in x[0].numpy()])
    np.testing.assert_allclose(op(x)[0].numpy(), expected, atol=1e-12)


def test_fast_lengths_are_those_of_scipy() -> None:
    lengths = range(1, 3000)
    assert [fast_length(n) for n in lengths] == [scipy.fft.next_fast_len(n, real=True) for n in lengths]


def test_blur_picks_its_form() -> None:
    assert isinstance(ops.blur((1, 9, 9), gaussian(5, 1.0)), ops.SymmetricBlur)
    assert isinstance(ops.blur((1, 9, 9), kernel(5, 5)), ops.ReflectBlur)
    assert isinstance(ops.blur((1, 9, 9), kernel(5, 5), "circular"), ops.CircularBlur)
    with pytest.raises(ValueError, match="larger than the picture"):
        ops.blur((1, 4, 9), kernel(5, 5))


def test_decimation_is_blur_then_every_second_pixel() -> None:
    x = torch.rand(2, 3, 8, 12, dtype=torch.float64)
    k = kernel(5, 4)
    expected = ops.CircularBlur((3, 8, 12), k)(x)[..., ::2, ::2]
    torch.testing.assert_close(ops.decimation((3, 8, 12), 2, k, "circular", "corner")(x), expected)
    assert isinstance(ops.decimation((3, 9, 12), 2, k, "circular", "corner"), ops.Compose)


def test_partial_blocks_average_what_is_there() -> None:
    x = torch.arange(7.0).view(1, 1, 1, 7)
    assert ops.BlockAverage((1, 1, 7), 3)(x).flatten().tolist() == [1.0, 4.0, 6.0]


def test_hadamard_is_the_transform_of_scipy() -> None:
    from scipy.linalg import hadamard

    op = ops.Hadamard((1, 4, 4), 1.0)
    signs, order = op._random
    x = torch.rand(1, 1, 4, 4, dtype=torch.float64)
    expected = (torch.tensor(hadamard(16), dtype=torch.float64) / 4 @ (x.flatten() * signs.double()))[order]
    torch.testing.assert_close(op(x).flatten(), expected)


def test_white_noise_stays_white_in_the_spectral_basis() -> None:
    op = ops.CircularBlur((1, 8, 6), kernel(3, 3))
    basis = op.vt(torch.eye(48, dtype=torch.float64).view(48, 1, 8, 6))
    torch.testing.assert_close(basis.T @ basis, torch.eye(48, dtype=torch.float64))


def count_adjoints(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the adjoint of a mirrored blur is applied from now on: once per iteration."""
    calls: Counter[str] = Counter()
    plain = ops.ReflectBlur.adjoint

    def counted(self: ops.ReflectBlur, y: torch.Tensor) -> torch.Tensor:
        calls["adjoint"] += 1
        return plain(self, y)

    monkeypatch.setattr(ops.ReflectBlur, "adjoint", counted)
    return calls


def test_a_warm_start_saves_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    op = ops.ReflectBlur((1, 24, 24), kernel(7, 7))
    b = torch.rand(1, 1, 24, 24, dtype=torch.float64)
    calls = count_adjoints(monkeypatch)
    cold = op.normal_solve(b, 0.01)
    first = calls.pop("adjoint")
    warm = op.normal_solve(b * 1.001, 0.01, cold)
    assert calls["adjoint"] < 0.9 * first  # a guess right to 3 of 12 digits saves about a quarter
    torch.testing.assert_close(warm, cold * 1.001, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ["svd", "iterated"])
def test_the_gram_solve_is_that_of_the_measurement(name: str) -> None:
    blur = ops.CircularBlur if name == "svd" else ops.ReflectBlur
    op = blur((1, 8, 6), kernel(3, 3))
    a = dense(op, torch.zeros(1, 8, 6, dtype=torch.float64))
    r = torch.rand(2, 1, 8, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = torch.linalg.solve(a @ a.T + 0.01 * torch.eye(48, dtype=torch.float64), r.flatten(1).T).T
    torch.testing.assert_close(op.gram_solve(r, 0.01).flatten(1), exact, rtol=0, atol=1e-7)


def test_the_margin_of_the_preconditioner_saves_half_the_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    op = ops.ReflectBlur((1, 40, 40), motion())
    b = torch.rand(1, 1, 40, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    calls = count_adjoints(monkeypatch)
    ours = op.normal_solve(b, 1e-3, tolerance=1e-6)
    with_margin = calls.pop("adjoint")
    power = transfer(op.kernel, 40, 40).abs().square()
    monkeypatch.setattr(
        ops.ReflectBlur, "precondition", lambda self, r, rho: torch.fft.irfft2(torch.fft.rfft2(r) / (power + rho))
    )
    torus = op.normal_solve(b, 1e-3, tolerance=1e-6)
    assert with_margin < 0.7 * calls["adjoint"]
    torch.testing.assert_close(ours, torus, rtol=0, atol=1e-3 * float(ours.abs().max()))


def test_a_pseudo_inverse_that_does_not_converge_is_refused() -> None:
    op = ops.blur((1, 24, 32), motion())
    with pytest.raises(Unsupported, match="hqs"):
        op.pinv(torch.rand(1, 1, 24, 32, dtype=torch.float64))
    assert "A+ refused" in ops.report(ops.check(op))


def test_a_first_estimate_is_closer_than_the_measurement_s_level() -> None:
    op, g = ops.ReflectBlur((1, 24, 24), motion()), torch.Generator().manual_seed(0)
    x = ops.ReflectBlur((1, 24, 24), gaussian(7, 1.5))(torch.rand(1, 1, 24, 24, dtype=torch.float64, generator=g))
    y = op(x)
    assert float((op.estimate(y) - x).norm()) < 0.5 * float((y.mean() - x).norm())


def test_an_operator_that_sees_no_constants_still_has_an_estimate() -> None:
    class Difference(ops.LinearOperator):
        def __call__(self, x: torch.Tensor, /) -> torch.Tensor:
            return x[..., 1:] - x[..., :-1]

    op = Difference((1, 4, 6))
    assert bool(torch.isfinite(op.estimate(torch.rand(2, 1, 4, 5))).all())


def test_moving_casts_floats_and_leaves_indices() -> None:
    @dataclass(frozen=True, eq=False)
    class Pick(ops.LinearOperator):
        index: torch.Tensor
        gain: torch.Tensor

        def __call__(self, x: torch.Tensor, /) -> torch.Tensor:
            return x.flatten(1)[:, self.index] * self.gain

    moved = Pick((1, 3, 4), torch.tensor([1, 5]), torch.ones(2)).to(torch.float64)
    assert moved.index.dtype == torch.int64
    assert moved.gain.dtype == torch.float64


def test_stacks_know_the_device_of_their_measurement() -> None:
    op = ops.Stack((1, 4, 4), (ops.Identity((1, 4, 4)), ops.BlockAverage((1, 4, 4), 2)))
    assert op.adjoint(torch.zeros(1, 20, device="meta")).shape == (1, 1, 4, 4)


@pytest.mark.parametrize(
    "make", [lambda: ops.BlockAverage((1, 4, 4), 0), lambda: ops.Decimate((1, 4, 4), -2), lambda: ops.Hadamard((1, 4, 4), -1.0),
             lambda: ops.PhaseRetrieval((1, 4, 4), 0.5), lambda: ops.Saturate((1, 4, 4), -1.0),
             lambda: ops.CircularDecimation((1, 4, 4), 0, gaussian(3, 1.0))],
)  # fmt: skip
def test_senseless_settings_are_refused(make: Callable[[], ops.Operator]) -> None:
    with pytest.raises(ValueError, match="must"):
        make()


def test_a_saturated_estimate_is_pulled_down() -> None:
    op = ops.Saturate((1, 1, 1), 2.0)
    x = torch.full((1, 1, 1, 1), 0.9, requires_grad=True)
    (op(x) - 0.4).square().sum().backward()
    assert float(x.grad) > 0  # type: ignore[arg-type]


def test_check_finds_a_wrong_adjoint() -> None:
    class Wrong(ops.ReflectBlur):
        def adjoint(self, y: torch.Tensor, /) -> torch.Tensor:
            return self(y)

    assert not all(c.passed for c in ops.check(Wrong((1, 6, 6), kernel(3, 3))))


def test_check_finds_a_basis_that_is_not_orthonormal() -> None:
    class Scaled(ops.Inpaint):
        def vt(self, x: torch.Tensor, /) -> torch.Tensor:
            return super().vt(x) * 0.7

    failed = {c.name for c in ops.check(Scaled((1, 4, 4), torch.ones(1, 4, 4))) if not c.passed}
    assert {"V V' x = x", "V' V c = c"} <= failed


@pytest.mark.parametrize("size", [(0, 0), (24, 0), (24, 2**64)])
def test_a_size_of_no_picture_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="is that of no picture"):
        ops.Hadamard.image_shape_for((1, 10, 1), size=size)
