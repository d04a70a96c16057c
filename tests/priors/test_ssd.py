"""The scan of Mamba-2 and its mixer: against the recurrence in float64, and against upstream where it is installed."""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.priors.networks import scan as ssd
from restorekit.priors.networks.explicit_gradient import CACHE, ExplicitGradient
from restorekit.priors.networks.mamba2 import CONV_SILU, EPS, GATED_NORM, Mamba2
from restorekit.priors.networks.scan import ssd_scan
from restorekit.priors.networks.scan_torch import scan

NAMES = ("x", "dt", "A", "B", "C", "D", "initial")
FORMS = {  # batch, length, heads, channels, groups, states, longest chunk
    "one-step": (2, 1, 2, 3, 1, 4, 64),
    "short": (2, 7, 4, 3, 2, 5, 64),
    "chunk-1": (2, 63, 2, 4, 1, 3, 64),
    "chunk": (1, 64, 2, 4, 1, 3, 64),
    "chunk+1": (2, 65, 4, 8, 4, 5, 64),
    "prime": (1, 131, 3, 5, 1, 16, 16),
    "single-steps": (1, 9, 2, 3, 2, 2, 1),
    "wide": (1, 40, 1, 32, 1, 1, 32),
}


def inputs(form: tuple[int, ...], seed: int = 0, fall: float = 4.0) -> list[Tensor]:
    batch, length, heads, channels, groups, states, _ = form
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    dt = torch.rand(batch, length, heads, generator=rng, dtype=torch.float64) / 2
    decay = -0.1 - fall * torch.rand(heads, generator=rng, dtype=torch.float64)
    bc = normal(2, batch, length, groups, states)
    return [
        normal(batch, length, heads, channels), dt, decay, bc[0], bc[1], normal(heads),
        normal(batch, heads, channels, states),
    ]  # fmt: skip


def recurrence(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """One step at a time, as the equations stand."""
    B, C = (t.repeat_interleave(x.shape[2] // t.shape[2], 2) for t in (B, C))
    out = []
    for t in range(x.shape[1]):
        h = h * (dt[:, t] * A).exp()[..., None, None] + torch.einsum("bh,bhp,bhn->bhpn", dt[:, t], x[:, t], B[:, t])
        out.append(torch.einsum("bhpn,bhn->bhp", h, C[:, t]) + D[:, None] * x[:, t])
    return torch.stack(out, 1), h


def with_gradients(function: Any, args: list[Tensor]) -> list[Tensor]:
    """Outputs and gradients of a fixed random functional of both outputs, all in float64."""
    leaves = [t.detach().clone().requires_grad_() for t in args]
    y, last = function(*leaves)
    rng = torch.Generator().manual_seed(9)
    total = sum((t.double() * torch.randn(t.shape, generator=rng, dtype=torch.float64)).sum() for t in (y, last))
    return [t.detach().double() for t in (y, last, *torch.autograd.grad(total, leaves))]  # type: ignore[arg-type]


def distance(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).norm() / expected.norm().clamp(min=1e-30)).detach())


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_scan_and_its_gradients_are_those_of_the_recurrence(
    form: tuple[int, ...], dtype: torch.dtype, bound: float
) -> None:
    args = inputs(form)
    expected = with_gradients(recurrence, args)

    def own(*t: Tensor) -> tuple[Tensor, Tensor]:
        return ssd_scan(*t[:6], initial=t[6], chunk=form[-1])

    found = with_gradients(own, [t.to(dtype) for t in args])
    for name, a, b in zip(("y", "last", *NAMES), found, expected):
        assert distance(a, b) < bound, name


def test_scan_in_bf16() -> None:
    form = FORMS["prime"]
    args = [t if n in (1, 2, 5, 6) else t.bfloat16().double() for n, t in enumerate(inputs(form))]
    expected = with_gradients(recurrence, args)
    low = [t.float() if n in (1, 2, 5, 6) else t.bfloat16() for n, t in enumerate(args)]
    found = with_gradients(lambda *t: ssd_scan(*t[:6], initial=t[6]), low)
    # A bf16 number is rounded by up to 2^-9; the gradients of dt and A are sums of terms that cancel.
    for name, a, b in zip(("y", "last", *NAMES), found, expected):
        assert distance(a, b) < (0.05 if name in ("dt", "A", "D") else 0.015), name
    assert ssd_scan(*low[:6])[0].dtype == torch.bfloat16
    assert ssd_scan(*low[:6])[1].dtype == torch.float32


@pytest.mark.parametrize("fall", [100.0, 1e4])
def test_strong_decay_neither_overflows_nor_hides_what_is_near(fall: float) -> None:
    args = inputs(FORMS["chunk+1"], fall=fall)
    args[1][:, ::3] = 0  # steps that change nothing
    expected = with_gradients(recurrence, args)
    found = with_gradients(lambda *t: ssd_scan(*t[:6], initial=t[6]), [t.float() for t in args])
    for name, a, b in zip(("y", "last", *NAMES), found, expected):
        if name != "A" and float(b.norm()) > 1e-6:  # that of A is nearly zero where all is forgotten at once
            assert distance(a, b) < 2e-4, name
        assert bool(torch.isfinite(a).all()), name


def test_gradients_by_differences_and_gradients_of_gradients() -> None:
    args = [t.requires_grad_() for t in inputs((1, 5, 2, 2, 2, 2, 2))]  # groups, states, and a chunk that is cut
    assert torch.autograd.gradcheck(scan(2), args)
    assert torch.autograd.gradgradcheck(scan(2), args)
    assert torch.autograd.gradcheck(lambda *t: scan(2)(*t[:5], None, None), args[:5])


def test_a_scan_can_be_cut_and_gone_on_with() -> None:
    x, dt, A, B, C, D, first = inputs((2, 50, 2, 3, 1, 4, 64))
    whole, last = ssd_scan(x, dt, A, B, C, D, initial=first, chunk=16)
    head, state = ssd_scan(x[:, :21], dt[:, :21], A, B[:, :21], C[:, :21], D, initial=first, chunk=16)
    tail, end = ssd_scan(x[:, 21:], dt[:, 21:], A, B[:, 21:], C[:, 21:], D, initial=state, chunk=16)
    torch.testing.assert_close(torch.cat([head, tail], 1), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(end, last, rtol=1e-12, atol=1e-12)


def test_steps_of_no_length_change_nothing() -> None:
    x, dt, A, B, C, D, first = inputs(FORMS["short"])
    y, last = ssd_scan(x, torch.zeros_like(dt), A, B, C, D, initial=first)
    torch.testing.assert_close(last, first)
    each = C.repeat_interleave(x.shape[2] // C.shape[2], 2)
    torch.testing.assert_close(y, torch.einsum("bhpn,blhn->blhp", first, each) + D[:, None] * x)


def test_without_gradients_nothing_is_kept_and_func_gives_the_same_as_autograd() -> None:
    args = inputs(FORMS["short"])
    with torch.no_grad():
        y, last = ssd_scan(*[t.clone().requires_grad_() for t in args[:6]], initial=args[6])  # type: ignore[misc]
    assert y.grad_fn is None
    assert last.grad_fn is None
    expected = with_gradients(lambda *t: ssd_scan(*t[:6], initial=t[6]), args)
    rng = torch.Generator().manual_seed(9)
    out, vjp, *_ = torch.func.vjp(lambda *t: ssd_scan(*t[:6], initial=t[6]), *args)
    weights = tuple(torch.randn(t.shape, generator=rng, dtype=torch.float64) for t in out)
    for name, a, b in zip(NAMES, vjp(weights), expected[2:]):
        torch.testing.assert_close(a, b, msg=name)


def test_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    args = inputs(FORMS["short"])[:6]
    calls: list[int] = []

    def fake(*given: Any, **options: Any) -> tuple[Tensor, Tensor]:
        calls.append(given[5])
        assert options["return_final_states"]
        return given[0], given[0]

    monkeypatch.setattr(ssd, "kernel", lambda: fake)
    ssd_scan(*args)  # on a CPU the kernel is not asked for
    assert calls == []
    ssd_scan(*args, backend="mamba_ssm", chunk=32)
    monkeypatch.setenv("RESTOREKIT_SCAN", "mamba_ssm")
    ssd_scan(*args)
    ssd_scan(*args, backend="torch")
    assert calls == [32, 64]
    monkeypatch.setattr(ssd, "kernel", lambda: None)
    with pytest.raises(ValueError, match="cannot be imported"):
        ssd_scan(*args, backend="mamba_ssm")
    monkeypatch.setenv("RESTOREKIT_SCAN", "cuda")
    with pytest.raises(ValueError, match="'cuda' is unknown; it is auto"):
        ssd_scan(*args)


# --- functions whose gradient is written out ---


@pytest.mark.parametrize("length", [1, 2, 9])
def test_convolution_is_causal_and_its_gradient_right(length: int) -> None:
    rng = torch.Generator().manual_seed(0)
    x, w, b = (
        torch.randn(s, generator=rng, dtype=torch.float64, requires_grad=True)
        for s in ((2, length, 6), (6, 1, 4), (6,))
    )
    expected = F.silu(F.conv1d(x.mT, w, b, padding=3, groups=6)[..., :length]).mT
    torch.testing.assert_close(CONV_SILU(x, w, b)[0], expected, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(CONV_SILU, (x, w, b))
    assert torch.autograd.gradgradcheck(CONV_SILU, (x, w, b))


def test_gated_norm_and_its_gradient() -> None:
    rng = torch.Generator().manual_seed(0)
    y, z = torch.randn(2, 2, 3, 5, generator=rng, dtype=torch.float64)
    w = torch.randn(5, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(GATED_NORM(y, z, w)[0], F.rms_norm(y * F.silu(z), (5,), w, EPS))
    leaves = tuple(t.requires_grad_() for t in (y, z, w))
    assert torch.autograd.gradcheck(GATED_NORM, leaves)
    assert torch.autograd.gradgradcheck(GATED_NORM, leaves)


def test_portions_of_a_batch_give_what_the_whole_gives() -> None:
    rule = ExplicitGradient(lambda a, w: (a * w,), lambda a, w, d: (d * w, (d * a).sum(0)), frozenset({1}))
    size = CACHE // 2 + 1
    a, w = torch.ones(5, size, requires_grad=True), torch.full((size,), 2.0, requires_grad=True)
    assert [len(p[0]) for p in rule.portions((a, w))] == [2, 2, 1]
    assert all(p[1] is w for p in rule.portions((a, w)))
    (y,) = rule(a, w)
    y.sum().backward()
    assert a.grad is not None
    assert w.grad is not None
    assert (float(y.detach().sum()), a.grad.unique().tolist(), w.grad.unique().tolist()) == (10.0 * size, [2.0], [5.0])


# --- the mixer ---


def test_the_state_dict_is_upstreams() -> None:
    found = {k: tuple(v.shape) for k, v in Mamba2(128, state=16, head=64, expand=2).state_dict().items()}
    assert found == {
        "dt_bias": (4,), "A_log": (4,), "D": (4,), "in_proj.weight": (548, 128), "conv1d.weight": (288, 1, 4),
        "conv1d.bias": (288,), "norm.weight": (256,), "out_proj.weight": (128, 256),
    }  # fmt: skip


def plain_mixer(m: Mamba2, u: Tensor) -> Tensor:
    """The mixer from its parameters, step by step, in the dtype of u."""
    p = {k: v.to(u.dtype) for k, v in m.state_dict().items()}
    inner, heads = m.inner, len(p["D"])
    z, xbc, dt = (u @ p["in_proj.weight"].T).split([inner, inner + 2 * m.state, heads], -1)
    late = F.pad(xbc, (0, 0, 3, 0))
    taps = sum(late[:, k : k + u.shape[1]] * p["conv1d.weight"][:, 0, k] for k in range(4))
    x, b, c = F.silu(taps + p["conv1d.bias"]).split([inner, m.state, m.state], -1)  # type: ignore[operator]
    h = u.new_zeros(len(u), heads, m.head, m.state)
    y, _ = recurrence(
        x.unflatten(-1, (heads, -1)), F.softplus(dt + p["dt_bias"]), -p["A_log"].exp(), b[:, :, None], c[:, :, None],
        p["D"], h,
    )  # fmt: skip
    return F.rms_norm(y.flatten(2) * F.silu(z), (inner,), p["norm.weight"], EPS) @ p["out_proj.weight"].T


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_mixer_is_what_its_parameters_say(dtype: torch.dtype, bound: float) -> None:
    torch.manual_seed(0)
    m = Mamba2(32, state=8, head=16, expand=2)
    u = torch.randn(2, 21, 32)
    expected = plain_mixer(m, u.double())
    if dtype == torch.bfloat16:
        with torch.autocast("cpu", torch.bfloat16):
            found = m(u)
    else:
        found = m.to(dtype)(u.to(dtype))
    assert distance(found.double(), expected) < bound


def test_the_mixer_looks_back_only() -> None:
    torch.manual_seed(0)
    m = Mamba2(16, state=4, head=8).double()
    u = torch.randn(1, 12, 16, dtype=torch.float64)
    later = u.clone()
    later[:, 7:] += 1
    differs = (m(later) - m(u)).abs().amax((0, 2)) > 1e-12
    assert differs.tolist() == [False] * 7 + [True] * 5


# --- upstream ---


def test_the_kernel_is_found_past_a_package_that_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "mamba_ssm" in sys.modules or importlib.util.find_spec("mamba_ssm") is not None:
        pytest.skip("mamba-ssm itself is installed")
    (tmp_path / "mamba_ssm" / "ops" / "triton").mkdir(parents=True)
    (tmp_path / "mamba_ssm" / "__init__.py").write_text("import selective_scan_cuda_that_nobody_built\n")
    module = tmp_path / "mamba_ssm" / "ops" / "triton" / "ssd_combined.py"
    module.write_text("def mamba_chunk_scan_combined(): return 'the kernel'\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert ssd.upstream().mamba_chunk_scan_combined() == "the kernel"
        with pytest.raises(ImportError, match="nobody_built"):
            importlib.import_module("mamba_ssm")
    finally:
        for name in [n for n in sys.modules if n.startswith("mamba_ssm")]:
            del sys.modules[name]


@pytest.mark.skipif(importlib.util.find_spec("mamba_ssm") is None, reason="mamba-ssm is not installed")
# The reference needs whole chunks, and its gradient overflows where decays are strong.
@pytest.mark.parametrize(("length", "chunk"), [(1, 1), (63, 21), (64, 16), (100, 20)])
def test_scan_against_the_reference_of_mamba_ssm(length: int, chunk: int) -> None:
    try:
        reference = ssd.upstream().ssd_chunk_scan_combined_ref  # in torch; it needs Triton only to be imported
    except Exception as error:  # noqa: BLE001 (a build for another torch)
        pytest.skip(f"mamba-ssm cannot be imported: {error}")
    args = [t.float() for t in inputs((2, length, 4, 8, 2, 5, 16), fall=0.5)[:6]]
    last = ssd_scan(*args)[1]  # which the reference does not return

    def theirs(*t: Tensor) -> tuple[Tensor, Tensor]:
        return reference(*t[:5], chunk, D=t[5]), 0 * last

    def own(*t: Tensor) -> tuple[Tensor, Tensor]:
        return ssd_scan(*t, chunk=16)[0], 0 * last

    for name, a, b in zip(("y", "last", *NAMES), with_gradients(own, args), with_gradients(theirs, args)):
        assert distance(a, b) < 1e-5 or name == "last", name


@pytest.mark.gpu
@pytest.mark.parametrize("length", [1, 63, 64, 1000])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-3), (torch.bfloat16, 3e-2)])
def test_scan_against_the_kernel_of_mamba_ssm(length: int, dtype: torch.dtype, bound: float) -> None:
    if ssd.kernel() is None:
        pytest.skip("mamba-ssm is not installed")
    args = [t.cuda() for t in inputs((2, length, 4, 64, 1, 16, 64))]
    args = [t.float() if n in (1, 2, 5, 6) else t.to(dtype) for n, t in enumerate(args)]

    def on(backend: ssd.Backend, *t: Tensor) -> list[Tensor]:
        return [o.cpu() for o in ssd_scan(*t[:6], initial=t[6], backend=backend)]

    found, expected = (with_gradients(partial(on, b), args) for b in ("mamba_ssm", "torch"))
    for name, a, b in zip(("y", "last", *NAMES), found, expected):
        assert distance(a, b) < bound, name
