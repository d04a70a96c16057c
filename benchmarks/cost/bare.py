"""The reference loops of overhead.py: each solver's maths written out in torch, as one would in a script.

They take data (mask, kernel) from the operators but call none of their methods.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Net = Callable[[Tensor, float], Tensor]
ROOT2 = math.sqrt(2.0)
ETA = 0.85


def draw(g: torch.Generator, x: Tensor) -> Tensor:
    return torch.randn(x.shape, generator=g)


def spectral_step(x: Tensor, x0: Tensor, y: Tensor, nsr: Tensor, z: Tensor, s: float, t: float) -> Tensor:
    """DDRM, eqs 7 and 8, with eta_b = 1, on coefficients."""
    keep = math.sqrt(1 - ETA**2) * t
    blind = x0 + keep / s * (x - x0) + ETA * t * z
    noisy = x0 + (keep / nsr) * (y - x0) + ETA * t * z
    clear = y + (t**2 - nsr**2).clamp(min=0).sqrt() * z
    return torch.where(torch.isinf(nsr), blind, torch.where(nsr > t, noisy, clear))


@torch.no_grad()
def ddrm_inpaint(y: Tensor, op: Any, net: Net, levels: list[float], sigma_y: float) -> Tensor:
    g = torch.Generator().manual_seed(0)
    nsr = torch.where(op.mask > 0, sigma_y, math.inf)[None]
    z = draw(g, y)
    x = torch.where(nsr < levels[0], y + (levels[0] ** 2 - nsr**2).clamp(min=0).sqrt() * z, levels[0] * z)
    for s, t in zip(levels, levels[1:]):
        x0 = net(x, s)
        x = spectral_step(x, x0, y, nsr, draw(g, x), s, t) if t else x0
    return x


def pack(z: Tensor) -> Tensor:
    """Half spectrum of even width -> real, isometric."""
    inner = torch.view_as_real(z[..., 1:-1].contiguous()).flatten(-2) * ROOT2
    first, last = z[..., :1], z[..., -1:]
    return torch.cat([first.real - first.imag, inner, last.real - last.imag], -1)


def unpack(c: Tensor) -> Tensor:
    inner = torch.view_as_complex((c[..., 1:-1] / ROOT2).unflatten(-1, (-1, 2)).contiguous())
    ends = []
    for e in (c[..., :1], c[..., -1:]):
        back = e.flip(-2).roll(1, -2)
        ends.append(torch.complex((e + back) / 2, (back - e) / 2))
    return torch.cat([ends[0], inner, ends[1]], -1)


def otf(kernel: Tensor, size: torch.Size) -> Tensor:
    image = torch.zeros(size)
    h, w = kernel.shape
    image[:h, :w] = kernel
    return torch.fft.rfft2(image.roll((-(h // 2), -(w // 2)), (0, 1)))


@torch.no_grad()
def ddrm_circular(y: Tensor, op: Any, net: Net, levels: list[float], sigma_y: float) -> Tensor:
    g = torch.Generator().manual_seed(0)
    k = otf(op.kernel, y.shape[-2:])
    size = k.abs()
    gain = torch.cat([size[..., :1], size[..., 1:-1].repeat_interleave(2, -1), size[..., -1:]], -1)
    nsr = sigma_y / gain
    c = pack(k.conj() / size * torch.fft.rfft2(y, norm="ortho")) / gain
    z = pack(torch.fft.rfft2(draw(g, y), norm="ortho"))
    start = torch.where(nsr < levels[0], c + (levels[0] ** 2 - nsr**2).clamp(min=0).sqrt() * z, levels[0] * z)
    x = torch.fft.irfft2(unpack(start), norm="ortho")
    for s, t in zip(levels, levels[1:]):
        x0 = net(x, s)
        if not t:
            return x0
        parts = [pack(torch.fft.rfft2(v, norm="ortho")) for v in (x, x0, draw(g, x))]
        x = torch.fft.irfft2(unpack(spectral_step(parts[0], parts[1], c, nsr, parts[2], s, t)), norm="ortho")
    return x


@torch.no_grad()
def ddrm_blocks(y: Tensor, op: Any, net: Net, levels: list[float], sigma_y: float) -> Tensor:
    """In a basis of each block whose first vector is constant: a convolution with stride, and its transpose."""
    g, f = torch.Generator().manual_seed(0), op.factor
    k = torch.arange(f)
    d = torch.cos(math.pi / f * (k + 0.5) * k[:, None]) * math.sqrt(2 / f)
    d[0] /= ROOT2

    def forward(x: Tensor) -> Tensor:
        blocks = x.unflatten(-1, (-1, f)).unflatten(-3, (-1, f))  # (B, C, h, f, w, f)
        return torch.einsum("ij,bchjwk,lk->bcilhw", d, blocks, d)

    def back(c: Tensor) -> Tensor:
        return torch.einsum("ij,bcilhw,lk->bchjwk", d, c, d).flatten(-2).flatten(-3, -2)

    nsr = torch.full((f, f, 1, 1), math.inf)
    nsr[0, 0] = sigma_y * f
    shape = (1, y.shape[1], f, f, *y.shape[-2:])
    c = torch.zeros(shape)
    c[:, :, 0, 0] = y * f
    z = forward(torch.randn(1, y.shape[1], y.shape[2] * f, y.shape[3] * f, generator=g))
    x = back(torch.where(nsr < levels[0], c + (levels[0] ** 2 - nsr**2).clamp(min=0).sqrt() * z, levels[0] * z))
    for s, t in zip(levels, levels[1:]):
        x0 = net(x, s)
        x = back(spectral_step(forward(x), forward(x0), c, nsr, forward(draw(g, x)), s, t)) if t else x0
    return x


@torch.no_grad()
def ddnm_inpaint(y: Tensor, op: Any, net: Net, levels: list[float], sigma_y: float) -> Tensor:
    g = torch.Generator().manual_seed(0)
    mask = op.mask[None]
    x = y + levels[0] * draw(g, y)
    for s, t in zip(levels, levels[1:]):
        x0 = net(x, s)
        xh = x0 - mask * (mask * x0 - y)
        x = xh + t * (math.sqrt(1 - ETA**2) * ((x - x0) / s) + ETA * draw(g, x))
    return x


def dps(y: Tensor, apply: Callable[[Tensor], Tensor], net: Net, levels: list[float], sigma_y: float) -> Tensor:
    g = torch.Generator().manual_seed(0)
    x = y + levels[0] * draw(g, y)
    for s, t in zip(levels, levels[1:]):
        leaf = x.detach().requires_grad_(True)
        x0 = net(leaf, s)
        loss = (0.5 * ((y - apply(x0)) / sigma_y) ** 2).flatten(1).sum(1)
        (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        with torch.no_grad():
            norm = gradient.square().sum((1, 2, 3), keepdim=True)
            polyak = loss.detach().view(-1, 1, 1, 1) / ((s**2 - t**2) * norm).clamp(min=1e-30)
            x0 = x0.detach() - s**2 * polyak.clamp(max=1.0) * gradient
            x = x0 + (t / s) ** 2 * (x - x0) + t * math.sqrt(1 - (t / s) ** 2) * draw(g, x)
    return x


def dps_inpaint(y: Tensor, op: Any, net: Net, levels: list[float], sigma_y: float) -> Tensor:
    return dps(y, lambda x: op.mask * x, net, levels, sigma_y)


def dps_circular(y: Tensor, op: Any, net: Net, levels: list[float], sigma_y: float) -> Tensor:
    k = otf(op.kernel, y.shape[-2:])
    return dps(y, lambda x: torch.fft.irfft2(k * torch.fft.rfft2(x), s=y.shape[-2:]), net, levels, sigma_y)


Data = Callable[[Tensor, float], Tensor]


@torch.no_grad()
def diffpir(y: Tensor, solve: Data, net: Net, levels: list[float], sigma_y: float) -> Tensor:
    """lambda 1, zeta 0.3; `solve(x0, rho)` is the data step."""
    g = torch.Generator().manual_seed(0)
    x = y + levels[0] * draw(g, y)
    for s, t in zip(levels, levels[1:]):
        xh = solve(net(x, s), (sigma_y / s) ** 2)
        x = xh + t * (math.sqrt(0.7) * ((x - xh) / s) + math.sqrt(0.3) * draw(g, x))
    return x


def diffpir_inpaint(y: Tensor, op: Any, net: Net, levels: list[float], sigma_y: float) -> Tensor:
    mask, back = op.mask**2, op.mask * y
    return diffpir(y, lambda x0, rho: (back + rho * x0) / (mask + rho), net, levels, sigma_y)


def diffpir_circular(y: Tensor, op: Any, net: Net, levels: list[float], sigma_y: float) -> Tensor:
    k = otf(op.kernel, y.shape[-2:])
    power, back = k.abs().square(), k.conj() * torch.fft.rfft2(y)

    def solve(x0: Tensor, rho: float) -> Tensor:
        return torch.fft.irfft2((back + rho * torch.fft.rfft2(x0)) / (power + rho), s=y.shape[-2:])

    return diffpir(y, solve, net, levels, sigma_y)


def diffpir_reflect(y: Tensor, op: Any, net: Net, levels: list[float], sigma_y: float) -> Tensor:
    """Conjugate gradients from x0 to a preconditioned residual of 1e-4, as the package does it."""
    (h, w), (height, width) = op.kernel.shape, y.shape[-2:]
    pads = (w - 1 - w // 2, w // 2, h - 1 - h // 2, h // 2)
    rows = torch.arange(-pads[2], height + pads[3]) % (2 * height)
    columns = torch.arange(-pads[0], width + pads[1]) % (2 * width)
    rows, columns = torch.minimum(rows, 2 * height - 1 - rows), torch.minimum(columns, 2 * width - 1 - columns)
    big = (len(rows), len(columns))
    k = torch.fft.rfft2(op.kernel, s=big)
    power = otf(op.kernel, y.shape[-2:]).abs().square()

    def apply(x: Tensor) -> Tensor:
        return torch.fft.irfft2(k * torch.fft.rfft2(x[..., rows, :][..., columns]), s=big)[..., h - 1 :, w - 1 :]

    def adjoint(v: Tensor) -> Tensor:
        z = torch.fft.irfft2(k.conj() * torch.fft.rfft2(F.pad(v, (w - 1, 0, h - 1, 0))), s=big)
        folded = z.new_zeros(1, 3, height, big[1]).index_add(-2, rows, z)
        return folded.new_zeros(1, 3, height, width).index_add(-1, columns, folded)

    back = adjoint(y)

    def solve(x0: Tensor, rho: float) -> Tensor:
        def precondition(r: Tensor) -> Tensor:
            return torch.fft.irfft2(torch.fft.rfft2(r) / (power + rho), s=(height, width))

        b, x = back + rho * x0, x0
        r = b - adjoint(apply(x)) - rho * x
        z = precondition(r)
        p, rz, goal = z, (r * z).sum(), 1e-8 * precondition(b).square().sum()
        while z.square().sum() > goal:
            q = adjoint(apply(p)) + rho * p
            alpha = rz / (p * q).sum()
            x, r = x + alpha * p, r - alpha * q
            z = precondition(r)
            new = (r * z).sum()
            p, rz = z + (new / rz) * p, new
        return x

    return diffpir(y, solve, net, levels, sigma_y)


BARE: dict[str, Callable[..., Tensor]] = {
    "DDRM inpainting": ddrm_inpaint,
    "DDRM circular blur": ddrm_circular,
    "DDRM block average": ddrm_blocks,
    "DDNM inpainting": ddnm_inpaint,
    "DPS inpainting": dps_inpaint,
    "DPS circular blur": dps_circular,
    "DiffPIR inpainting": diffpir_inpaint,
    "DiffPIR circular blur": diffpir_circular,
    "DiffPIR reflect blur (CG)": diffpir_reflect,
}
