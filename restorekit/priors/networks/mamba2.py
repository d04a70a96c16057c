"""The Mamba-2 mixer: Dao and Gu, ICML 2024, section 7, with the parameters of mamba-ssm's `Mamba2`.

    z, (x, B, C), dt = in_proj(u);   x, B, C = silu(causal depthwise convolution);   dt = softplus(dt + dt_bias)
    y = scan(x, dt, -exp(A_log), B, C) + D x;   out = out_proj(RMSNorm(y silu(z)))

One state dict serves both, for one group, `rmsnorm=True`, `norm_before_gate=False`, `D_has_hdim=False`.
The gradients of the convolution and of the gated norm are written out: autograd's take longer than the scan on a CPU.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.priors.networks.explicit_gradient import ExplicitGradient
from restorekit.priors.networks.scan import Backend, ssd_scan

EPS = 1e-5  # of the gated norm, as upstream


def _conv(x: Tensor, weight: Tensor, *, ahead: bool = False) -> Tensor:
    """Convolve (B, L, C) with (C, 1, taps), causally; `ahead` looks at later steps, with the taps turned round: the
    transpose."""
    taps, length = weight.shape[-1], x.shape[1]
    kernel = (weight.flip(-1) if ahead else weight)[:, :, None].to(x.dtype)
    # As a picture of one row in channels-last order nothing is copied.
    y = F.conv2d(x.mT.unsqueeze(2), kernel, padding=(0, taps - 1), groups=len(weight)).squeeze(2).mT
    return y[:, taps - 1 :] if ahead else y[:, :length]


def _silu_gradient(d: Tensor, x: Tensor) -> Tensor:
    if torch.is_grad_enabled():  # the gradient is to be differentiated itself, which torch's own cannot
        s = x.sigmoid()
        return d * s * (1 + x * (1 - s))
    return torch.ops.aten.silu_backward(d, x)


def _conv_silu(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    return (F.silu(_conv(x.contiguous(), weight) + bias.to(x.dtype)),)


def _conv_silu_gradient(x: Tensor, weight: Tensor, bias: Tensor, dy: Tensor) -> tuple[Tensor, ...]:
    x, length, taps = x.contiguous(), x.shape[1], weight.shape[-1]
    d = _silu_gradient(dy, _conv(x, weight) + bias.to(x.dtype)).contiguous()
    wide = torch.promote_types(x.dtype, torch.float32)
    # Tap k of the output at l sees x at l - (taps - 1 - k).
    back = [min(taps - 1 - k, length) for k in range(taps)]
    dw = [(d[:, n:] * x[:, : length - n]).sum((0, 1), dtype=wide) for n in back]
    return _conv(d, weight, ahead=True), torch.stack(dw, -1).unsqueeze(1), d.sum((0, 1), dtype=wide)


def _gated(y: Tensor, z: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return v = y silu(z) and 1 / rms of it, (B, L, 1)."""
    v = y * F.silu(z)
    wide = torch.promote_types(v.dtype, torch.float32)
    mean = torch.linalg.vector_norm(v, dim=-1, keepdim=True, dtype=wide).square() / v.shape[-1]
    return v, (mean + EPS).rsqrt().to(v.dtype)


def _gated_norm(y: Tensor, z: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    v, r = _gated(y, z, weight)
    return (v * r * weight.to(v.dtype),)


def _gated_norm_gradient(y: Tensor, z: Tensor, weight: Tensor, d: Tensor) -> tuple[Tensor, ...]:
    v, r = _gated(y, z, weight)
    wide = torch.promote_types(v.dtype, torch.float32)
    unit = v * r
    dweight = (d * unit).sum((0, 1), dtype=wide)
    d = d * weight.to(d.dtype)
    along = (d * unit).sum(-1, keepdim=True, dtype=wide) / v.shape[-1]
    dv = (d - unit * along.to(d.dtype)) * r
    return dv * F.silu(z), _silu_gradient(dv * y, z.contiguous()), dweight


CONV_SILU = ExplicitGradient(_conv_silu, _conv_silu_gradient, frozenset({1, 2}))
GATED_NORM = ExplicitGradient(_gated_norm, _gated_norm_gradient, frozenset({2}))


class GatedNorm(nn.Module):
    """It returns the RMSNorm of y silu(z) over the last axis (upstream's `RMSNormGated`)."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        return GATED_NORM(y, z, self.weight)[0]


class Mamba2(nn.Module):
    """The mixer maps (B, L, width) to (B, L, width), causally in L."""

    def __init__(
        self, width: int, state: int = 16, head: int = 64, expand: int = 1, taps: int = 4, backend: Backend = "auto"
    ):
        super().__init__()
        self.inner, self.state, self.head = expand * width, state, head
        self.backend: Backend = backend
        if self.inner % head:
            raise ValueError(f"head={head} must divide expand * width = {self.inner}")
        heads, conv = self.inner // head, self.inner + 2 * state
        self.in_proj = nn.Linear(width, self.inner + conv + heads, bias=False)
        self.conv1d = nn.Conv1d(conv, conv, taps, groups=conv, padding=taps - 1)
        dt = torch.exp(math.log(1e-3) + torch.rand(heads) * math.log(100.0))  # steps from 0.001 to 0.1 at the start
        self.dt_bias = nn.Parameter(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
        self.A_log = nn.Parameter(torch.empty(heads).uniform_(1, 16).log())
        self.D = nn.Parameter(torch.ones(heads))
        self.norm = GatedNorm(self.inner)
        self.out_proj = nn.Linear(self.inner, width, bias=False)

    def forward(self, u: Tensor) -> Tensor:
        z, xbc, dt = self.in_proj(u).split([self.inner, self.inner + 2 * self.state, len(self.D)], dim=-1)
        (xbc,) = CONV_SILU(xbc, self.conv1d.weight, self.conv1d.bias)
        x, b, c = xbc.split([self.inner, self.state, self.state], dim=-1)
        wide = torch.promote_types(dt.dtype, torch.float32)
        dt = F.softplus(dt.to(wide) + self.dt_bias)
        y, _ = ssd_scan(
            x.unflatten(-1, (-1, self.head)), dt, -self.A_log.to(wide).exp(), b.unsqueeze(2), c.unsqueeze(2), self.D,
            backend=self.backend,
        )  # fmt: skip
        return self.out_proj(self.norm(y.flatten(2), z))
