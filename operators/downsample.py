"""This module reduces pictures, for super-resolution: block average, and blur followed by decimation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.operators.base import Lattice, LinearOperator, Shape, SVDOperator
from restorekit.operators.blur import blur, blur_lattice, transfer
from restorekit.operators.combine import Compose
from restorekit.operators.separable import Separable
from restorekit.operators.transforms import dct_matrix, pack, spread, unpack

LARGEST = 1 << 20  # factor


def _first_then_rest(c: Tensor) -> Tensor:
    """Return coefficients (B, C, P, h, w) as (B, n), those of P = 0, the measured part, in front."""
    return torch.cat([c[:, :, 0].flatten(1), c[:, :, 1:].flatten(1)], 1)


def _parts(c: Tensor, channels: int, count: int, h: int, w: int) -> Tensor:
    """Return coefficients (B, n) as (B, C, P, h, w): the inverse of `_first_then_rest`."""
    first = c[:, : channels * h * w].view(len(c), channels, 1, h, w)
    return torch.cat([first, c[:, channels * h * w :].view(len(c), channels, count - 1, h, w)], 2)


def _positive(factor: int) -> None:
    if factor < 1 or factor != int(factor):
        raise ValueError(f"factor={factor} must be a whole number, 1 or more")
    if factor > LARGEST:
        raise ValueError(f"factor={factor} is too large, no picture has so many pixels; take {LARGEST} at most")


@dataclass(frozen=True, eq=False)
class BlockAverage(SVDOperator):
    """Average factor x factor blocks; the last block of a row or column may be partial: y is (B, C, ceil(H/f),
    ceil(W/f)).

    V is, per axis and block, a cosine basis whose first vector is constant. Raises ValueError for a factor that is no
    whole number from 1.
    """

    factor: int

    def __post_init__(self) -> None:
        _positive(self.factor)

    @classmethod
    def image_shape_for(cls, measured: Shape, *, factor: int, size: Sequence[int] | None = None, **_: Any) -> Shape:
        """Return the shape of `measured` times the factor; or with `size` (H, W), where the last blocks may be
        partial.

        Raises ValueError where that does not fit.
        """
        _positive(factor)
        channels, height, width = measured
        if size is None:
            return (channels, height * factor, width * factor)
        if len(size) != 2 or tuple(-(-n // factor) for n in size) != (height, width):
            raise ValueError(
                f"size={'x'.join(map(str, size))} with factor={factor} does not give {height}x{width} pixels"
            )
        return (channels, size[0], size[1])

    @cached_property
    def _axes(self) -> list[tuple[int, int]]:  # whole blocks and rest, per axis
        return [divmod(n, self.factor) for n in self.image_shape[1:]]

    @cached_property
    def singulars(self) -> Tensor:  # type: ignore[override]
        lengths = [torch.tensor([self.factor] * n + [rest] * (rest > 0), dtype=torch.float64) for n, rest in self._axes]
        s = 1 / (lengths[0][:, None] * lengths[1]).sqrt()
        return s.expand(self.image_shape[0], -1, -1).flatten()

    @property
    def _low(self) -> tuple[int, int]:
        return tuple(n + (rest > 0) for n, rest in self._axes)  # type: ignore[return-value]

    @property
    def lattice(self) -> Lattice:
        axis = float(self.factor), (self.factor - 1) / 2
        return axis, axis

    def __call__(self, x: Tensor, /) -> Tensor:
        return F.avg_pool2d(x, self.factor, ceil_mode=True)

    def _forward(self, x: Tensor, axis: int) -> Tensor:
        """Transform the last axis: block means (times root of the length) come first, then the other coefficients."""
        n, rest = self._axes[axis]
        parts = []
        for piece, size in ((x[..., : n * self.factor], self.factor), (x[..., n * self.factor :], rest)):
            if piece.shape[-1]:
                parts.append(piece.unflatten(-1, (-1, size)) @ dct_matrix(size, x.dtype, x.device).T)
        return torch.cat([p[..., 0] for p in parts] + [p[..., 1:].flatten(-2) for p in parts], -1)

    def _backward(self, c: Tensor, axis: int) -> Tensor:
        n, rest = self._axes[axis]
        low, at, parts = self._low[axis], 0, []
        for start, count, size in ((0, n, self.factor), (n, int(rest > 0), rest)):
            if count:
                others = c[..., low + at : low + at + count * (size - 1)].unflatten(-1, (count, size - 1))
                at += count * (size - 1)
                block = torch.cat([c[..., start : start + count, None], others], -1)
                parts.append((block @ dct_matrix(size, c.dtype, c.device)).flatten(-2))
        return torch.cat(parts, -1)

    @property
    def _whole(self) -> bool:
        return not any(rest for _, rest in self._axes)

    def vt(self, x: Tensor, /) -> Tensor:
        if self._whole:  # the same basis, in one product
            d = dct_matrix(self.factor, x.dtype, x.device)
            parts = F.pixel_unshuffle(x, self.factor).unflatten(1, (self.image_shape[0], -1))
            return _first_then_rest(torch.einsum("pq,bcqhw->bcphw", torch.kron(d, d), parts))
        c = self._forward(self._forward(x, 1).transpose(-1, -2), 0).transpose(-1, -2)
        h, w = self._low
        return torch.cat([c[..., :h, :w].flatten(1), c[..., :h, w:].flatten(1), c[..., h:, :].flatten(1)], 1)

    def v(self, c: Tensor, /) -> Tensor:
        (channels, height, width), (h, w) = self.image_shape, self._low
        if self._whole:
            d = dct_matrix(self.factor, c.dtype, c.device)
            parts = torch.einsum("pq,bcphw->bcqhw", torch.kron(d, d), _parts(c, channels, self.factor**2, h, w))
            return F.pixel_shuffle(parts.flatten(1, 2), self.factor)
        sizes = [channels * h * w, channels * h * (width - w), channels * (height - h) * width]
        corner, right, bottom = c.split(sizes, 1)
        top = torch.cat([corner.view(len(c), channels, h, w), right.view(len(c), channels, h, width - w)], -1)
        full = torch.cat([top, bottom.view(len(c), channels, height - h, width)], -2)
        return self._backward(self._backward(full.transpose(-1, -2), 0).transpose(-1, -2), 1)

    def ut(self, y: Tensor, /) -> Tensor:
        return y.flatten(1)

    def u(self, c: Tensor, /) -> Tensor:
        return c.view(-1, self.image_shape[0], *self._low)


@dataclass(frozen=True, eq=False)
class CircularDecimation(SVDOperator):
    """Keep every factor-th pixel of k * x on a torus: y is (B, C, H/f, W/f).

    In the Fourier domain of the small picture y is a weighted sum of the factor^2 polyphase parts of x, frequency by
    frequency; a Householder reflection turns that weight vector into the first unit vector and completes the basis.
    Raises ValueError where H and W are no multiples of the factor.
    """

    factor: int
    kernel: Tensor

    def __post_init__(self) -> None:
        _positive(self.factor)
        if any(n % self.factor for n in self.image_shape[1:]):
            raise ValueError(f"sides {self.image_shape[1:]} must be multiples of factor={self.factor}")

    @property
    def _low(self) -> tuple[int, int]:
        return self.image_shape[1] // self.factor, self.image_shape[2] // self.factor

    @cached_property
    def _weights(self) -> Tensor:  # (f^2, h, w // 2 + 1)
        spread_out = torch.fft.irfft2(transfer(self.kernel, *self.image_shape[1:]), s=self.image_shape[1:])
        f = self.factor
        parts = [spread_out.roll((p, q), (0, 1))[::f, ::f] for p in range(f) for q in range(f)]
        return torch.fft.rfft2(torch.stack(parts))

    @cached_property
    def _size(self) -> Tensor:
        return self._weights.abs().square().sum(0).sqrt()

    @cached_property
    def _reflector(self) -> tuple[Tensor, Tensor]:
        """Return the unit vector u of the reflection I - 2uu^H, and the phase of its image of the weight vector."""
        safe = self._size > self._size.max() * torch.finfo(self._size.dtype).eps
        v = torch.where(safe, self._weights.conj() / self._size.clamp(min=1e-30), 0.0)
        v[0] = torch.where(safe, v[0], torch.ones_like(v[0]))
        phase = torch.where(v[0].abs() > 0, v[0] / v[0].abs().clamp(min=1e-30), torch.ones_like(v[0]))
        u = v.clone()
        u[0] = u[0] + phase
        return u / u.abs().square().sum(0).sqrt(), -phase

    def _reflect(self, z: Tensor) -> Tensor:  # (B, C, f^2, h, w')
        u, _ = self._reflector
        return z - 2 * u * (u.conj() * z).sum(2, keepdim=True)

    @property
    def singulars(self) -> Tensor:
        return spread(self._size, self._low[1]).expand(self.image_shape[0], *self._low).flatten()

    @property
    def lattice(self) -> Lattice:
        (_, top), (_, left) = blur_lattice(self.kernel)
        return (float(self.factor), top), (float(self.factor), left)

    def __call__(self, x: Tensor, /) -> Tensor:
        z = torch.fft.rfft2(F.pixel_unshuffle(x, self.factor).unflatten(1, (self.image_shape[0], -1)))
        return torch.fft.irfft2((self._weights * z).sum(2), s=self._low)

    def adjoint(self, y: Tensor, /) -> Tensor:
        z = torch.fft.irfft2(self._weights.conj() * torch.fft.rfft2(y).unsqueeze(2), s=self._low)
        return F.pixel_shuffle(z.flatten(1, 2), self.factor)

    def vt(self, x: Tensor, /) -> Tensor:
        parts = F.pixel_unshuffle(x, self.factor).unflatten(1, (self.image_shape[0], -1))
        c = pack(self._reflect(torch.fft.rfft2(parts, norm="ortho")), self._low[1])
        return _first_then_rest(c)

    def v(self, c: Tensor, /) -> Tensor:
        z = self._reflect(unpack(_parts(c, self.image_shape[0], self.factor**2, *self._low)))
        return F.pixel_shuffle(torch.fft.irfft2(z, s=self._low, norm="ortho").flatten(1, 2), self.factor)

    def ut(self, y: Tensor, /) -> Tensor:
        _, phase = self._reflector
        return pack(torch.fft.rfft2(y, norm="ortho") * phase, self._low[1]).flatten(1)

    def u(self, c: Tensor, /) -> Tensor:
        _, phase = self._reflector
        z = unpack(c.view(-1, self.image_shape[0], *self._low)) * phase.conj()
        return torch.fft.irfft2(z, s=self._low, norm="ortho")


@dataclass(frozen=True, eq=False)
class Decimate(LinearOperator):
    """Keep every factor-th pixel of x, from pixel 0: y is (B, C, ceil(H/f), ceil(W/f))."""

    factor: int

    def __post_init__(self) -> None:
        _positive(self.factor)

    @property
    def lattice(self) -> Lattice:
        return (float(self.factor), 0.0), (float(self.factor), 0.0)

    def __call__(self, x: Tensor, /) -> Tensor:
        return x[..., :: self.factor, :: self.factor]

    def adjoint(self, y: Tensor, /) -> Tensor:
        x = y.new_zeros(len(y), *self.image_shape)
        x[..., :: self.factor, :: self.factor] = y
        return x

    pinv = adjoint


@dataclass(frozen=True, eq=False)
class SeparableDecimation(Separable):
    """Keep every factor-th pixel, from pixel 0, of k * x, for a kernel (h, w) that is a column times a row, such as a
    Gaussian: y is (B, C, ceil(H/f), ceil(W/f)).

    The picture is mirrored at its edges, as that of `ReflectBlur`. Raises ValueError for a factor that is no whole number from 1,
    and for a kernel that is no such product.
    """

    factor: int
    kernel: Tensor

    def __post_init__(self) -> None:
        _positive(self.factor)
        if sides_of(self.kernel) is None:
            raise ValueError("the kernel must be a column times a row")

    @cached_property
    def weights(self) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        sides = sides_of(self.kernel)
        assert sides is not None
        rows, columns = (self._axis(n, taps) for n, taps in zip(self.image_shape[1:], sides))
        return rows, columns

    def _axis(self, n: int, taps: Tensor) -> Tensor:
        starts = torch.arange(0, n, self.factor, device=taps.device)
        offsets = len(taps) // 2 - torch.arange(len(taps), device=taps.device)  # a convolution turns the kernel round
        around = (starts[:, None] + offsets) % (2 * n)
        index = torch.minimum(around, 2 * n - 1 - around)
        return taps.new_zeros(len(starts), n).scatter_add_(1, index, taps.expand(len(starts), -1))

    @property
    def lattice(self) -> Lattice:
        (_, top), (_, left) = blur_lattice(self.kernel)
        return (float(self.factor), top), (float(self.factor), left)


def sides_of(kernel: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return (column (h,), row (w,)), float64, whose product the kernel (h, w) is, to rounding; None where it is none."""
    k = kernel.double()
    sums = k.sum(1), k.sum(0)
    whole = float(k.sum())
    if not math.isclose(whole, 1.0, rel_tol=1e-3):  # sums of 0 tell nothing
        return None
    product = sums[0][:, None] * sums[1] / whole
    return (sums[0], sums[1] / whole) if float((k - product).abs().max()) <= 1e-6 * float(k.abs().max()) else None


def centred(kernel: Tensor, factor: int) -> Tensor:
    """Return a kernel (h', w') that sees, at every factor-th pixel from 0, what `kernel` (h, w) sees in the middle of each block
    of factor x factor pixels.

    The middle of the kernel, ((h - 1) / 2, (w - 1) / 2), is laid on that of the block; where it falls between two pixels, the mean
    of both kernels is taken. A kernel whose sides are even where the factor is falls on none.
    """
    for axis, n in enumerate(kernel.shape):
        kernel = _moved(kernel, axis, factor - 1 - (n + 1) % 2)
    return kernel


def _moved(kernel: Tensor, axis: int, halves: int) -> Tensor:
    """Return the kernel as seen `halves` half pixels further on, with odd sides along the axis."""
    k = kernel.movedim(axis, 0)
    first = -(len(k) // 2) - halves // 2  # offset of the first tap
    if halves % 2:
        none = torch.zeros_like(k[:1])
        k, first = (torch.cat([none, k]) + torch.cat([k, none])) / 2, first - 1
    reach = max(-first, first + len(k) - 1)
    out = k.new_zeros(2 * reach + 1, *k.shape[1:])
    out[first + reach : first + reach + len(k)] = k
    return out.movedim(0, axis)


Align = Literal["centre", "corner"]


def decimation(
    image_shape: tuple[int, int, int],
    factor: int,
    kernel: Tensor,
    boundary: Literal["reflect", "circular"] = "reflect",
    align: Align = "centre",
) -> LinearOperator:
    """Return the operator that blurs with `kernel` (h, w), then keeps a pixel of each block of factor x factor; with an SVD
    where boundary, sizes and kernel allow one.

    align: "centre", the middle of the block, as resizers have it (`centred`); "corner", its first pixel, as `x[::factor]` has it.
    Raises ValueError for a factor that is no whole number from 1, and for a kernel larger than the picture.
    """
    _positive(factor)
    if align not in get_args(Align):
        raise ValueError(f"align={align!r} is unknown; it is {' or '.join(get_args(Align))}")
    blur(image_shape, kernel)  # refuses a kernel that is larger
    kernel = centred(kernel, factor) if align == "centre" else kernel
    if boundary == "circular" and not any(n % factor for n in image_shape[1:]):
        return CircularDecimation(image_shape, factor, kernel)
    if boundary == "reflect" and sides_of(kernel) is not None:
        return SeparableDecimation(image_shape, factor, kernel)
    return Compose(image_shape, Decimate(image_shape, factor), blur(image_shape, kernel, boundary))
