"""This module holds real orthonormal transforms: the packed half spectrum, the cosine transform, Walsh-Hadamard."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

ROOT2 = math.sqrt(2.0)


def fast_length(n: int) -> int:
    """The smallest 2^a 3^b 5^c that is at least n >= 1: a length of which the FFT of real numbers is fast."""
    # As `scipy.fft.next_fast_len(n, real=True)`, whose import takes longer than most commands until their first network call.
    best, fives = 1 << (n - 1).bit_length(), 1
    while fives < best:
        odd = fives
        while odd < best:
            best = min(best, odd << (-(-n // odd) - 1).bit_length())
            odd *= 3
        fives *= 5
    return best


def _reverse(t: Tensor) -> Tensor:
    """Return t(-h) along the last axis, indices modulo its length."""
    return t.flip(-1).roll(1, -1)


def pack(z: Tensor, width: int) -> Tensor:
    """Pack the half spectrum (..., H, width // 2 + 1) of a real picture (`rfft2`, ortho) into real (..., H, width),
    isometrically.

    The inner columns stand for two conjugate bins each: real and imaginary part times sqrt 2. The columns at 0 and at
    the Nyquist frequency are spectra of real signals along H and are packed by the Hartley transform Re - Im.
    """
    inner = torch.view_as_real(z[..., 1 : (width + 1) // 2].contiguous()).flatten(-2) * ROOT2
    edges = [z[..., 0]] + ([z[..., -1]] if width % 2 == 0 else [])
    hartley = [(e.real - e.imag).unsqueeze(-1) for e in edges]
    return torch.cat([hartley[0], inner, *hartley[1:]], -1)


def unpack(c: Tensor) -> Tensor:
    """Return the complex half spectrum (..., H, W // 2 + 1) of a packed one (..., H, W): the inverse of `pack`."""
    width = c.shape[-1]
    stop = width - 1 if width % 2 == 0 else width
    inner = torch.view_as_complex((c[..., 1:stop] / ROOT2).unflatten(-1, (-1, 2)).contiguous())
    edges = [c[..., 0]] + ([c[..., -1]] if width % 2 == 0 else [])
    spectra = [torch.complex((e + _reverse(e)) / 2, (_reverse(e) - e) / 2).unsqueeze(-1) for e in edges]
    return torch.cat([spectra[0], inner, *spectra[1:]], -1)


def spread(gain: Tensor, width: int) -> Tensor:
    """Return real even gains on the half spectrum (..., H, width // 2 + 1) in packed layout (..., H, width)."""
    inner = gain[..., 1 : (width + 1) // 2].repeat_interleave(2, -1)
    return torch.cat([gain[..., :1], inner] + ([gain[..., -1:]] if width % 2 == 0 else []), -1)


def dct(x: Tensor) -> Tensor:
    """Return the orthonormal DCT-II along the last axis (Makhoul 1980: one FFT of the same length), like x."""
    n = x.shape[-1]
    z = torch.fft.fft(torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1))
    k = torch.arange(n, device=x.device, dtype=x.dtype) * (-math.pi / (2 * n))
    c = z.real * k.cos() - z.imag * k.sin()
    return c * _dct_scale(c)


def idct(c: Tensor) -> Tensor:
    """Return the inverse, which is the transpose, of `dct` along the last axis, like y."""
    n = c.shape[-1]
    c = c / _dct_scale(c)
    k = torch.arange(n, device=c.device, dtype=c.dtype) * (math.pi / (2 * n))
    mirrored = torch.cat([torch.zeros_like(c[..., :1]), c[..., 1:].flip(-1)], -1)
    z = torch.complex(c, -mirrored) * torch.complex(k.cos(), k.sin())
    x = torch.fft.ifft(z).real
    out = torch.empty_like(x)
    out[..., ::2], out[..., 1::2] = x[..., : (n + 1) // 2], x[..., (n + 1) // 2 :].flip(-1)
    return out


def _dct_scale(c: Tensor) -> Tensor:
    n = c.shape[-1]
    scale = c.new_full((n,), math.sqrt(2.0 / n))
    scale[0] = math.sqrt(1.0 / n)
    return scale


def dct2(x: Tensor) -> Tensor:
    """Return the orthonormal DCT-II over the last two axes, like x."""
    return dct(dct(x).transpose(-1, -2)).transpose(-1, -2)


def idct2(c: Tensor) -> Tensor:
    """Return the inverse, which is the transpose, of `dct2` over the last two axes, like y."""
    return idct(idct(c).transpose(-1, -2)).transpose(-1, -2)


@lru_cache(maxsize=64)
def dct_matrix(n: int, dtype: torch.dtype = torch.float64, device: torch.device | None = None) -> Tensor:
    """Return the matrix (n, n) of the DCT-II: its rows are orthonormal, the first one is constant."""
    return dct(torch.eye(n, dtype=torch.float64)).T.to(device, dtype)


def _hadamard(order: int, like: Tensor) -> Tensor:
    h = like.new_ones(1, 1)
    for _ in range(order):
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)], 0) / ROOT2
    return h


def mix(x: Tensor, inverse: bool = False) -> Tensor:
    """Return the orthonormal Walsh-Hadamard transform of the last axis, like x.

    The axis has any length n = 2^a q: with a DCT over the odd part q.
    """
    n = x.shape[-1]
    power = (n & -n).bit_length() - 1
    high = power // 2
    q = n >> power
    t = x.unflatten(-1, (1 << high, 1 << (power - high), q))
    t = (idct(t) if inverse else dct(t)) if q > 1 else t
    t = torch.einsum("ij,...jkl->...ikl", _hadamard(high, x), t)
    t = torch.einsum("ij,...kjl->...kil", _hadamard(power - high, x), t)
    return t.flatten(-3)
