"""This module checks an operator: `check(op)` evaluates both sides of every identity it must satisfy, and whether they
agree."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.operators.base import LinearOperator, Operator, SVDOperator


class Check(NamedTuple):
    """One identity, with its left and right side as numbers (or norms), and the relative error between the two."""

    name: str
    left: float
    right: float
    error: float
    passed: bool


def check(
    op: Operator, dtype: torch.dtype = torch.float64, tolerance: float | None = None, seed: int = 0
) -> list[Check]:
    """Check an operator on random input. Tolerance: 1e-10 in float64, 1e-5 in float32.

    Linear: linearity, adjoint, its agreement with autograd, the four Penrose identities, the normal solve.
    SVD: isometries of U and V both ways, call and adjoint against U S V'. Nonlinear: derivative against differences.
    All: the input is left alone, an item does not depend on the batch. At up to 1000 unknowns, the singular values
    are compared with those of the dense matrix.
    """
    tolerance = tolerance or (1e-10 if dtype == torch.float64 else 1e-5)
    op = op.to(dtype)
    rng = torch.Generator().manual_seed(seed)
    x = torch.rand((2, *op.image_shape), generator=rng, dtype=dtype)
    results = list(_any(op, x, tolerance))
    if isinstance(op, LinearOperator):
        results += _linear(op, x, rng, tolerance)
    elif not op.surrogate_gradient:
        results.append(_derivative(op, x, rng))
    if isinstance(op, SVDOperator):
        results += _svd(op, x, rng, tolerance)
    return results


def report(results: list[Check]) -> str:
    """Return the checks as a table in plain text, a line for each."""
    lines = [f"{'identity':34} {'left':>22} {'right':>22} {'error':>9}"]
    for c in results:
        lines.append(f"{c.name:34} {c.left:22.14g} {c.right:22.14g} {c.error:9.1e}  {'ok' if c.passed else 'FAILED'}")
    return "\n".join(lines)


def _same(name: str, left: Tensor, right: Tensor, tolerance: float) -> Check:
    scale = max(float(left.norm()), float(right.norm()), 1e-30)
    error = float((left - right).norm()) / scale if left.shape == right.shape else math.inf
    return Check(name, float(left.norm()), float(right.norm()), error, error <= tolerance)


def _dots(name: str, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], tolerance: float) -> Check:
    left, right = (float(p.flatten() @ q.flatten()) for p, q in (a, b))
    scale = max(float(p.norm() * q.norm()) for p, q in (a, b)) or 1.0
    error = abs(left - right) / scale
    return Check(name, left, right, error, error <= tolerance)


def _any(op: Operator, x: Tensor, tolerance: float) -> Iterator[Check]:
    before = x.clone()
    y = op(x)
    yield _same("x unchanged by A(x)", x, before, 0.0)
    yield _same("item independent of batch", y[:1], op(x[:1]), tolerance)
    kept = y.clone()
    op.estimate(y)
    yield _same("y unchanged by estimate(y)", y, kept, 0.0)


def _linear(op: LinearOperator, x: Tensor, rng: torch.Generator, tolerance: float) -> Iterator[Check]:
    y = op(x)
    other = torch.randn(x.shape, generator=rng, dtype=x.dtype)
    z = torch.randn(y.shape, generator=rng, dtype=x.dtype)
    yield _same("A(2x + w) = 2 A x + A w", op(2 * x + other), 2 * y + op(other), tolerance)
    yield _dots("<A x, z> = <x, A' z>", (op(other), z), (other, op.adjoint(z)), tolerance)
    yield _same("A' z = autograd", op.adjoint(z), LinearOperator.adjoint(op, z), tolerance)
    try:
        yield from _penrose(op, (x, other), (y, z), tolerance)
    except Unsupported:  # iterations that do not converge say so; a wrong A+ must not pass for one
        yield Check("A+ refused: too ill-conditioned", math.nan, math.nan, math.nan, True)
    solved = op.normal_solve(other, 0.1)
    yield _same("(A'A + rho)(normal solve) = b", op.adjoint(op(solved)) + 0.1 * solved, other, tolerance * 10)


def _penrose(
    op: LinearOperator, pictures: tuple[Tensor, Tensor], measured: tuple[Tensor, Tensor], tolerance: float
) -> Iterator[Check]:
    (x, other), (y, z) = pictures, measured
    # Noise has parts along the smallest singular values, where any pseudo-inverse loses digits: scale by its size.
    loss = min(1e3, max(1.0, float(op.pinv(z).norm() / z.norm())))
    yield _same("A A+ A = A", op(op.pinv(y)), y, tolerance * 10)
    yield _same("A+ A A+ = A+", op.pinv(op(op.pinv(z))), op.pinv(z), tolerance * 10 * loss)
    yield _dots("A A+ symmetric", (op(op.pinv(z)), y), (z, op(op.pinv(y))), tolerance * 10 * loss)
    yield _dots("A+ A symmetric", (op.pinv(op(other)), x), (other, op.pinv(y)), tolerance * 10 * loss)


def _svd(op: SVDOperator, x: Tensor, rng: torch.Generator, tolerance: float) -> Iterator[Check]:
    y = op(x)
    z = torch.randn(y.shape, generator=rng, dtype=x.dtype)
    c, d = op.vt(x), op.ut(z)
    cc, dd = (torch.randn(t.shape, generator=rng, dtype=x.dtype) for t in (c, d))
    yield _same("V V' x = x", op.v(c), x, tolerance)
    yield _same("V' V c = c", op.vt(op.v(cc)), cc, tolerance)
    yield _same("|V c| = |c|", op.v(cc).norm(), cc.norm(), tolerance)
    yield _same("U U' y = y", op.u(d), z, tolerance)
    yield _same("U' U c = c", op.ut(op.u(dd)), dd, tolerance)
    yield _same("|U c| = |c|", op.u(dd).norm(), dd.norm(), tolerance)
    yield _same("A x = U S V' x", y, SVDOperator.__call__(op, x), tolerance)
    yield _same("A' y = V S U' y", op.adjoint(z), SVDOperator.adjoint(op, z), tolerance)
    n = math.prod(op.image_shape)
    if n <= 1000:
        dense = op(torch.eye(n, dtype=x.dtype).view(n, *op.image_shape)).flatten(1).T
        exact = torch.linalg.svdvals(dense)
        ours = op.singulars.to(x).sort(descending=True).values[: len(exact)]
        yield _same("singular values = dense SVD", ours, exact[: len(ours)], tolerance * 10)


def _derivative(op: Operator, x: Tensor, rng: torch.Generator) -> Check:
    direction = torch.randn(x.shape, generator=rng, dtype=x.dtype)
    step = 1e-6 if x.dtype == torch.float64 else 1e-2
    differences = (op(x + step * direction) - op(x - step * direction)) / (2 * step)
    weights = torch.randn(differences.shape, generator=rng, dtype=x.dtype)
    leaf = x.clone().requires_grad_(True)
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad((op(leaf) * weights).sum(), leaf)
    return _dots(
        "<grad, d> = difference",
        (differences, weights),
        (gradient, direction),
        1e-6 if x.dtype == torch.float64 else 3e-2,
    )
