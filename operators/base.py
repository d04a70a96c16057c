"""This module defines what an operator is, and derives adjoint, pseudo-inverse and solves for the linear ones."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from restorekit.errors import Unsupported

Shape: TypeAlias = tuple[int, int, int]  # (C, H, W)
Lattice: TypeAlias = tuple[tuple[float, float], tuple[float, float]]  # (step, start) of rows, and of columns


@dataclass(frozen=True, eq=False)
class Operator(ABC):
    """A forward model maps pictures x (B, C, H, W) to noise-free measurements y = A(x) of shape (B, ...).

    `image_shape` is (C, H, W). Derive from `LinearOperator` where A is linear, from `SVDOperator` where its singular
    vectors are known.
    """

    image_shape: tuple[int, int, int]
    surrogate_gradient: ClassVar[bool] = False  # autograd gives a descent direction, not the derivative

    @property
    def title(self) -> str:
        """Return the name that messages use for this operator."""
        return type(self).__name__

    @abstractmethod
    def __call__(self, x: Tensor, /) -> Tensor: ...

    @classmethod
    def image_shape_for(cls, measured: Shape, **settings: Any) -> Shape:
        """Return the shape (C, H, W) of the picture behind a measurement of the shape `measured`.

        Operators whose two shapes differ override it, and name in `settings` what decides. Raises ValueError where no
        picture has such a measurement.
        """
        return measured

    @property
    def lattice(self) -> Lattice:
        """Return where the measured pixels lie in the picture, as (step, start) of the rows and of the columns.

        Measured pixel i lies at `start + step * i`, the centre of mass of what it sees. Coordinates count picture
        pixels that are `inside`, from the centre of the first of them.
        """
        return (1.0, 0.0), (1.0, 0.0)

    def estimate(self, y: Tensor) -> Tensor:
        """Return a crude picture (B, C, H, W) to start from, given a measurement y (B, ...): here grey (0.5)
        everywhere."""
        return y.new_full((len(y), *self.image_shape), 0.5)

    def spectral_norm(self, like: Tensor, iterations: int = 10) -> float:
        """Return the largest gain |J d| / |d| of the derivative J at a grey picture with a little texture.

        like: a tensor of any shape, whose dtype and device are taken. Power iteration finds it, J by differences and J'
        by autograd; where there is no gradient, it is the gain in a random direction.
        """
        key = (like.dtype, like.device)
        if key not in self._norms:
            self._norms[key] = self._norm(like, iterations)
        return self._norms[key]

    @cached_property
    def _norms(self) -> dict[tuple[torch.dtype, torch.device], float]:
        return {}

    @torch.no_grad()
    def _norm(self, like: Tensor, iterations: int) -> float:
        generator = torch.Generator().manual_seed(0)
        x, d = (torch.randn((1, *self.image_shape), generator=generator, dtype=torch.float64).to(like) for _ in "xd")
        x, d, h, gain = 0.5 + 0.1 * x, 1 + 0.1 * d, 1e-2, 0.0
        for _ in range(iterations):
            d = d / d.square().mean().sqrt().clamp(min=torch.finfo(d.dtype).tiny)
            change = (self(x + h * d) - self(x)) / h
            gain = max(gain, float(change.norm() / d.norm()))
            try:
                with torch.enable_grad():
                    leaf = x.clone().requires_grad_(True)
                    y = self(leaf)
            except RuntimeError:  # goes through NumPy
                break
            if not y.requires_grad:
                break
            (d,) = torch.autograd.grad(y, leaf, change)
        return gain

    def inside(self, x: Tensor) -> Tensor:
        """Return the part of pictures x (B, C, H, W) that lies in the frame of the measurement: all of it, unless an
        operator overrides this."""
        return x

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Return a copy with its tensors moved and its floating tensors cast; arguments as of `Tensor.to`."""

        def move(v: Any) -> Any:
            there = v.to(*args, **kwargs)
            return there if isinstance(v, Operator) or v.is_floating_point() else there.to(v.dtype)  # indices stay so

        kinds = Tensor | Operator
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: move(v) for k, v in moved.items() if isinstance(v, kinds)})


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the scalar product of a and b (B, ...) for each item of the batch, (B, 1, ...)."""
    return (a * b).flatten(1).sum(1).view(-1, *[1] * (a.ndim - 1))


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor],
    b: Tensor,
    x: Tensor | None = None,
    precondition: Callable[[Tensor], Tensor] = lambda r: r,
    iterations: int = 500,
    tolerance: float | None = None,
    must_converge: bool = False,
) -> Tensor:
    """Solve `apply(x) = b`, apply symmetric and positive definite, item by item of the batch, from `x`; b and x are
    (B, ...).

    Stops where |M^-1 r| < tolerance |M^-1 b| for every item, M^-1 = `precondition` (default: 1e-6 in float32, 1e-12 in
    float64). With M close to the system that is the relative error of x itself; the plain residual says little about it
    where the system is badly conditioned, and a denoiser would amplify what is left. Where it does not get there it
    returns what it has, or with `must_converge` raises `Unsupported`. An item with negative curvature stays where it
    is.
    """
    tolerance = tolerance or (1e-12 if b.dtype == torch.float64 else 1e-6)
    x = torch.zeros_like(b) if x is None else x
    r = b - apply(x) if bool(x.any()) else b
    z = precondition(r)
    p, rz = z, dot(r, z)
    scale = z if r is b else precondition(b)
    goal = (tolerance**2 * dot(scale, scale)).clamp(min=torch.finfo(b.dtype).tiny)
    del scale  # a picture's worth of memory
    for _ in range(iterations):
        open_ = dot(z, z) > goal
        if not bool(open_.any()):
            break
        q = apply(p)
        curvature = dot(p, q)
        alpha = torch.where(open_ & (curvature > 0), rz / curvature, 0.0)  # items that are done stay as they are
        x, r = x + alpha * p, r - alpha * q
        z = precondition(r)
        rz_next = dot(r, z)
        p = z + torch.where(open_, rz_next / rz, 0.0) * p
        rz = rz_next
    if must_converge and bool((dot(z, z) > goal).any()):
        raise Unsupported(
            f"the pseudo-inverse of this operator does not converge in {iterations} iterations (too ill-conditioned); "
            "use a solver that does without it: `solver=hqs`, diffpir or dps"
        )
    return x


def near(like: Tensor) -> float:
    """Return the tolerance of an iteration whose result x, of any shape, goes into a denoiser: 1e-4, as no picture
    needs to be finer.

    In float64, which is used for comparisons, it is so small that it does not show in a result.
    """
    return 1e-9 if like.dtype == torch.float64 else 1e-4


@dataclass(frozen=True, eq=False)
class LinearOperator(Operator):
    """A linear operator defines its call; adjoint (autograd), pseudo-inverse and normal solve (conjugate gradients)
    follow.

    Override those that have a closed form.
    """

    def adjoint(self, y: Tensor, /) -> Tensor:
        """Return A'y: (B, ...) -> (B, C, H, W)."""
        x = y.new_zeros((len(y), *self.image_shape), requires_grad=True)
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(self(x), x, y)
        return gradient

    def normal_solve(self, b: Tensor, rho: float, x: Tensor | None = None, tolerance: float | None = None) -> Tensor:
        """Return (A'A + rho I)^-1 b for b (B, C, H, W) and rho > 0; where this iterates, it starts at `x` and stops at
        `tolerance`."""
        return conjugate_gradients(
            lambda v: self.adjoint(self(v)) + rho * v, b, x, lambda r: self.precondition(r, rho), tolerance=tolerance
        )

    def gram_solve(self, r: Tensor, rho: float, tolerance: float | None = None) -> Tensor:
        """Return (A A' + rho I)^-1 r for r (B, ...) and rho > 0, from the solve with A'A (Woodbury).

        It is solved to `tolerance` over rho in units of |A|^2.
        """
        inside = self.normal_solve(self.adjoint(r), rho, tolerance=tolerance)
        return (r - self(inside)) / rho

    def precondition(self, r: Tensor, rho: float) -> Tensor:
        """Return a cheap approximation of (A'A + rho I)^-1 r, like r (B, C, H, W)."""
        return r

    def precondition_weighted(self, r: Tensor, squares: Tensor, rho: float) -> Tensor:
        """Return a cheap approximation of (A'W A + rho I)^-1 r, like r (B, C, H, W), `squares` (B, ...) of weights on the
        diagonal of W: as if all were alike."""
        size = max(float(squares.mean()), 1e-30)
        return self.precondition(r / size, rho / size)

    @torch.no_grad()
    def _norm(self, like: Tensor, iterations: int) -> float:
        """Return the largest gain |A x| / |x|, found by power iteration, a few per cent low at worst."""
        generator = torch.Generator().manual_seed(0)
        # Numbers of one kind for every dtype, so that levels do not depend on it.
        x = (1 + 0.1 * torch.randn((1, *self.image_shape), generator=generator, dtype=torch.float64)).to(like)
        gain = 0.0
        for _ in range(iterations):
            x = x / x.norm().clamp(min=torch.finfo(x.dtype).tiny)
            y = self(x)
            gain = float(y.norm())
            x = self.adjoint(y)
        return gain

    def pinv(self, y: Tensor, /) -> Tensor:
        """Return the Moore-Penrose pseudo-inverse A+ y (B, C, H, W), by conjugate gradients on A'A within the range of
        A'.

        Raises `Unsupported` where they do not converge: with singular values near 0 nobody can say what A+ is.
        """
        return conjugate_gradients(lambda v: self.adjoint(self(v)), self.adjoint(y), must_converge=True)

    def estimate(self, y: Tensor) -> Tensor:
        """Return the best constant picture plus a damped least-squares correction of it, (B, C, H, W); noise is hardly
        amplified."""
        flat, gain = self(y.new_ones((1, *self.image_shape))).expand_as(y), self.spectral_norm(y) ** 2
        size = dot(flat, flat).clamp(min=max(1e-12 * gain, torch.finfo(y.dtype).tiny))  # A 1 = 0: of no use, not NaN
        level = (dot(flat, y) / size).view(-1, 1, 1, 1)
        correction = self.adjoint(y - flat * level.view(-1, *[1] * (y.ndim - 1)))
        return level + self.normal_solve(correction, max(1e-2 * gain, torch.finfo(y.dtype).tiny), tolerance=near(y))


@dataclass(frozen=True, eq=False)
class SVDOperator(LinearOperator):
    """An operator whose singular value decomposition A = U S V' is known, U and V orthonormal; everything else follows
    from it.

    `vt` and `v` map pictures (B, C, H, W) to coefficients (B, n) and back, `ut` and `u` measurements to (B, m) and
    back; V'V = VV' = I and U'U = UU' = I. `singulars` (k,), k = min(n, m), belong to the first k of each; zeros
    allowed.
    """

    @property
    @abstractmethod
    def singulars(self) -> Tensor:
        """Return the singular values (k,), k = min(n, m), all at least 0, in the order of the coefficients."""

    @abstractmethod
    def vt(self, x: Tensor, /) -> Tensor:
        """Return the coefficients V'x (B, n) of pictures x (B, C, H, W)."""

    @abstractmethod
    def v(self, c: Tensor, /) -> Tensor:
        """Return the pictures V c (B, C, H, W) of coefficients c (B, n)."""

    @abstractmethod
    def ut(self, y: Tensor, /) -> Tensor:
        """Return the coefficients U'y (B, m) of measurements y (B, ...)."""

    @abstractmethod
    def u(self, c: Tensor, /) -> Tensor:
        """Return the measurements U c (B, ...) of coefficients c (B, m)."""

    @property
    def m(self) -> int:
        """Return the number of measured values per picture."""
        return len(self.singulars)

    @cached_property
    def inverse_singulars(self) -> Tensor:
        """Return 1 / s (k,) where s is more than rounding, else 0."""
        s = self.singulars
        floor = float(s.max()) * torch.finfo(s.dtype).eps * 100
        return torch.where(s > floor, 1 / s.clamp(min=floor), 0.0)

    def _fit(self, c: Tensor, n: int) -> Tensor:
        return c[:, :n] if c.shape[1] >= n else torch.nn.functional.pad(c, (0, n - c.shape[1]))

    def __call__(self, x: Tensor, /) -> Tensor:
        k = len(self.singulars)
        return self.u(self._fit(self.singulars.to(x) * self.vt(x)[:, :k], self.m))

    def adjoint(self, y: Tensor, /) -> Tensor:
        k = len(self.singulars)
        return self.v(self._fit(self.singulars.to(y) * self.ut(y)[:, :k], math.prod(self.image_shape)))

    def _norm(self, like: Tensor, iterations: int) -> float:
        return float(self.singulars.abs().max())

    def pinv(self, y: Tensor, /) -> Tensor:
        k = len(self.singulars)
        return self.v(self._fit(self.inverse_singulars.to(y) * self.ut(y)[:, :k], math.prod(self.image_shape)))

    def normal_solve(self, b: Tensor, rho: float, x: Tensor | None = None, tolerance: float | None = None) -> Tensor:
        squares = self._fit(self.singulars.to(b)[None] ** 2, math.prod(self.image_shape))
        return self.v(self.vt(b) / (squares + rho))

    def gram_solve(self, r: Tensor, rho: float, tolerance: float | None = None) -> Tensor:
        return self.u(self.ut(r) / (self._fit(self.singulars.to(r)[None] ** 2, self.m) + rho))

    def precondition(self, r: Tensor, rho: float) -> Tensor:
        return self.normal_solve(r, rho)
