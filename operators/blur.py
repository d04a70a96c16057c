"""This module convolves with a point spread function: circular, reflecting (half-sample symmetric) and free
boundaries.

`blur(...)` picks the best form: an SVD in the Fourier basis for circular boundaries, in the cosine basis for reflecting
boundaries and a kernel symmetric in both axes, else conjugate gradients with a Fourier preconditioner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from restorekit.operators.base import Lattice, LinearOperator, Shape, SVDOperator
from restorekit.operators.transforms import dct2, fast_length, idct2, pack, spread, unpack


def transfer(kernel: Tensor, height: int, width: int) -> Tensor:
    """Return the half spectrum (height, width // 2 + 1) of a kernel (h, w) whose centre is at (h // 2, w // 2).

    The kernel wraps around if it is larger than height x width.
    """
    h, w = kernel.shape
    rows = torch.arange(h, device=kernel.device) - h // 2
    columns = torch.arange(w, device=kernel.device) - w // 2
    image = kernel.new_zeros(height, width)
    image.index_put_((rows[:, None] % height, columns[None] % width), kernel, accumulate=True)
    return torch.fft.rfft2(image)


def blur_lattice(kernel: Tensor) -> Lattice:
    """Return where the pixels of k * x lie in x: moved by the centre of mass of the kernel (h, w), relative to its
    origin (h // 2, w // 2). A kernel that sums to 0 moves nothing.
    """
    size = float(kernel.sum())
    if size == 0:
        return (1.0, 0.0), (1.0, 0.0)
    rows, columns = (
        float((kernel.sum(other).double() * (torch.arange(n, device=kernel.device) - n // 2)).sum()) / size
        for n, other in zip(kernel.shape, (1, 0))
    )
    return (1.0, round(-rows, 6) + 0.0), (
        1.0,
        round(-columns, 6) + 0.0,
    )  # what rounding of symmetric kernels leaves is none


@dataclass(frozen=True, eq=False)
class CircularBlur(SVDOperator):
    """Blur on a torus, y = k * x, kernel (h, w) of any size. V is the packed Fourier basis, U carries the phases."""

    kernel: Tensor

    @cached_property
    def otf(self) -> Tensor:
        """Return the optical transfer function, complex (H, W // 2 + 1)."""
        return transfer(self.kernel, *self.image_shape[1:])

    @cached_property
    def singulars(self) -> Tensor:  # type: ignore[override]
        return spread(self.otf.abs(), self.image_shape[2]).expand(self.image_shape).flatten()

    @cached_property
    def phase(self) -> Tensor:
        """Return the phase otf / |otf|, complex (H, W // 2 + 1), and 1 where the kernel passes nothing."""
        size = self.otf.abs()
        return torch.where(size > 0, self.otf / size.clamp(min=torch.finfo(size.dtype).tiny), 1.0)

    @cached_property
    def _power(self) -> Tensor:
        return self.otf.real.square() + self.otf.imag.square()

    def _fft(self, x: Tensor) -> Tensor:
        return torch.fft.rfft2(x, norm="ortho")

    def _ifft(self, z: Tensor) -> Tensor:
        return torch.fft.irfft2(z, s=self.image_shape[1:], norm="ortho")

    @property
    def lattice(self) -> Lattice:
        return blur_lattice(self.kernel)

    def __call__(self, x: Tensor, /) -> Tensor:
        return self._ifft(self.otf * self._fft(x))

    def adjoint(self, y: Tensor, /) -> Tensor:
        return self._ifft(self.otf.conj() * self._fft(y))

    def normal_solve(self, b: Tensor, rho: float, x: Tensor | None = None, tolerance: float | None = None) -> Tensor:
        return self._ifft(self._fft(b) / (self._power + rho))

    def vt(self, x: Tensor, /) -> Tensor:
        return pack(self._fft(x), self.image_shape[2]).flatten(1)

    def v(self, c: Tensor, /) -> Tensor:
        return self._ifft(unpack(c.view(-1, *self.image_shape)))

    def ut(self, y: Tensor, /) -> Tensor:
        return pack(self.phase.conj() * self._fft(y), self.image_shape[2]).flatten(1)

    def u(self, c: Tensor, /) -> Tensor:
        return self._ifft(self.phase * unpack(c.view(-1, *self.image_shape)))


@dataclass(frozen=True, eq=False)
class SymmetricBlur(SVDOperator):
    """Blur a picture mirrored at its edges, y = k * x, with an odd-sized kernel (h, w) symmetric in both axes:
    diagonal in the DCT."""

    kernel: Tensor

    @cached_property
    def eigenvalues(self) -> Tensor:
        """Return the eigenvalues (H, W) of the blur, one for each coefficient of the DCT."""
        sides = []
        for size, taps in zip(self.image_shape[1:], self.kernel.shape):
            offset = torch.arange(taps, dtype=torch.float64) - taps // 2
            sides.append((torch.arange(size, dtype=torch.float64)[:, None] * offset * (math.pi / size)).cos())
        return (sides[0] @ self.kernel.double().cpu() @ sides[1].T).to(self.kernel)

    @property
    def singulars(self) -> Tensor:
        return self.eigenvalues.abs().expand(self.image_shape).flatten()

    def __call__(self, x: Tensor, /) -> Tensor:
        return idct2(self.eigenvalues * dct2(x))

    adjoint = __call__

    def normal_solve(self, b: Tensor, rho: float, x: Tensor | None = None, tolerance: float | None = None) -> Tensor:
        return idct2(dct2(b) / (self.eigenvalues.square() + rho))

    def vt(self, x: Tensor, /) -> Tensor:
        return dct2(x).flatten(1)

    def v(self, c: Tensor, /) -> Tensor:
        return idct2(c.view(-1, *self.image_shape))

    def ut(self, y: Tensor, /) -> Tensor:
        return (dct2(y) * torch.where(self.eigenvalues < 0, -1.0, 1.0)).flatten(1)

    def u(self, c: Tensor, /) -> Tensor:
        return idct2(c.view(-1, *self.image_shape) * torch.where(self.eigenvalues < 0, -1.0, 1.0))


def mirror(size: int, before: int, after: int, device: torch.device) -> Tensor:
    """Return the indices into 0..size-1 that mirror a signal at both ends (edge sample repeated), from -before to size
    + after."""
    i = torch.arange(-before, size + after, device=device) % (2 * size)
    return torch.minimum(i, 2 * size - 1 - i)


@dataclass(frozen=True, eq=False)
class ReflectBlur(LinearOperator):
    """Blur a picture mirrored at its edges (scipy.ndimage's `reflect`), y = k * x, with any kernel (h, w); solves
    iterate."""

    kernel: Tensor

    @cached_property
    def _maps(self) -> tuple[Tensor, Tensor]:
        device = self.kernel.device
        rows, columns = (
            mirror(n, k - 1 - k // 2, k // 2, device) for n, k in zip(self.image_shape[1:], self.kernel.shape)
        )
        return rows, columns

    @cached_property
    def _otf(self) -> Tensor:
        return torch.fft.rfft2(self.kernel, s=self._padded)

    @cached_property
    def _padded(self) -> tuple[int, int]:
        """Return a size (height, width) that holds the mirrored picture and for which an FFT is fast."""
        rows, columns = self._maps
        return tuple(fast_length(len(i)) for i in (rows, columns))  # type: ignore[return-value]

    @property
    def lattice(self) -> Lattice:
        return blur_lattice(self.kernel)

    def __call__(self, x: Tensor, /) -> Tensor:
        rows, columns = self._maps
        z = torch.fft.rfft2(x[..., rows, :][..., columns], s=self._padded)
        h, w = self.kernel.shape
        return torch.fft.irfft2(self._otf * z, s=self._padded)[..., h - 1 : len(rows), w - 1 : len(columns)]

    def adjoint(self, y: Tensor, /) -> Tensor:
        rows, columns = self._maps
        h, w = self.kernel.shape
        z = torch.fft.rfft2(torch.nn.functional.pad(y, (w - 1, 0, h - 1, 0)), s=self._padded)
        padded = torch.fft.irfft2(self._otf.conj() * z, s=self._padded)[..., : len(rows), : len(columns)]
        folded = padded.new_zeros(*padded.shape[:-2], self.image_shape[1], padded.shape[-1]).index_add(-2, rows, padded)
        return folded.new_zeros(*folded.shape[:-1], self.image_shape[2]).index_add(-1, columns, folded)

    @cached_property
    def _power(self) -> Tensor:
        return self._otf.real.square() + self._otf.imag.square()

    def precondition(self, r: Tensor, rho: float) -> Tensor:
        """Return the inverse on a torus with a margin of zeros, like r (B, C, H, W).

        Without the margin the opposite edges meet, at twice the iterations.
        """
        z = torch.fft.rfft2(r, s=self._padded) / (self._power + rho)
        return torch.fft.irfft2(z, s=self._padded)[..., : self.image_shape[1], : self.image_shape[2]]


@dataclass(frozen=True, eq=False)
class FreeBlur(LinearOperator):
    """Blur without a boundary condition: y = k * x where all of the kernel lies on x, which is (h - 1, w - 1) larger
    than y.

    Nothing is assumed of what lies beyond the frame of a photograph, it is restored with the rest (Almeida and
    Figueiredo, IEEE TIP 22, 2013). kernel: (h, w).
    """

    kernel: Tensor

    @property
    def title(self) -> str:
        return "a blur with a free boundary (`boundary=circular` is simpler, and wrong of photographs)"

    @classmethod
    def image_shape_for(cls, measured: Shape, *, kernel: Tensor, **_: Any) -> Shape:
        """Return `measured`, enlarged by what the kernel reaches beyond it."""
        c, height, width = measured
        h, w = kernel.shape
        return (c, height + h - 1, width + w - 1)

    @classmethod
    def of(cls, measured: Shape, kernel: Tensor) -> FreeBlur:
        """Return the blur by a kernel (h, w) whose measurement has the shape `measured` (C, H, W)."""
        return cls(cls.image_shape_for(measured, kernel=kernel), kernel)

    @cached_property
    def _grid(self) -> tuple[int, int]:
        """Return a size (height, width) as large as x or a little larger: an FFT of some sizes takes several times as
        long."""
        h, w = (fast_length(n) for n in self.image_shape[1:])
        return h, w

    @cached_property
    def _otf(self) -> Tensor:
        return torch.fft.rfft2(self.kernel, s=self._grid)

    @cached_property
    def _power(self) -> Tensor:
        return self._otf.real.square() + self._otf.imag.square()

    def _fft(self, x: Tensor) -> Tensor:
        return torch.fft.rfft2(x, s=self._grid)

    def _ifft(self, z: Tensor) -> Tensor:
        return torch.fft.irfft2(z, s=self._grid)[..., : self.image_shape[1], : self.image_shape[2]]

    @property
    def lattice(self) -> Lattice:
        return blur_lattice(self.kernel)

    def __call__(self, x: Tensor, /) -> Tensor:
        h, w = self.kernel.shape
        return self._ifft(self._otf * self._fft(x))[..., h - 1 :, w - 1 :]  # before, the torus wraps

    def adjoint(self, y: Tensor, /) -> Tensor:
        h, w = self.kernel.shape
        return self._ifft(self._otf.conj() * self._fft(torch.nn.functional.pad(y, (w - 1, 0, h - 1, 0))))

    def precondition(self, r: Tensor, rho: float) -> Tensor:
        return self._ifft(self._fft(r) / (self._power + rho))

    def estimate(self, y: Tensor) -> Tensor:
        """Return y, mirrored at its edges to the size of x, (B, C, H, W)."""
        rows, columns = (mirror(n, k - 1 - k // 2, k // 2, y.device) for n, k in zip(y.shape[-2:], self.kernel.shape))
        return y[..., rows, :][..., columns]

    def inside(self, x: Tensor) -> Tensor:
        tops = [k - 1 - k // 2 for k in self.kernel.shape]
        sizes = [n - k + 1 for n, k in zip(self.image_shape[1:], self.kernel.shape)]
        return x[..., tops[0] : tops[0] + sizes[0], tops[1] : tops[1] + sizes[1]]


Boundary = Literal["reflect", "circular", "free"]


def blur(
    image_shape: tuple[int, int, int], kernel: Tensor, boundary: Boundary = "reflect"
) -> CircularBlur | SymmetricBlur | ReflectBlur | FreeBlur:
    """Return the blur of pictures `image_shape` (C, H, W) with this kernel (h, w), centre at (h // 2, w // 2), in its
    best form.

    Raises ValueError for a kernel larger than the picture, and for an unknown boundary.
    """
    if kernel.ndim != 2 or any(k > n for k, n in zip(kernel.shape, image_shape[1:])):
        size = "x".join(map(str, image_shape[1:]))
        raise ValueError(
            f"kernel {'x'.join(map(str, kernel.shape))} is larger than the picture ({size}); crop the kernel"
        )
    if boundary == "circular":
        return CircularBlur(image_shape, kernel)
    if boundary == "free":
        return FreeBlur(image_shape, kernel)
    if boundary != "reflect":
        raise ValueError(f"boundary={boundary!r} is unknown; it is reflect, circular or free")
    odd = all(k % 2 for k in kernel.shape)
    symmetric = (
        odd and torch.allclose(kernel, kernel.flip(0), atol=1e-8) and torch.allclose(kernel, kernel.flip(1), atol=1e-8)
    )
    return SymmetricBlur(image_shape, kernel) if symmetric else ReflectBlur(image_shape, kernel)
