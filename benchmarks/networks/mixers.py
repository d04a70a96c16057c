"""What the Mamba-2 mixer is compared with: attention of equal width, and other ways to run a scan."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEAD = 64  # channels of a head


class Attention(nn.Module):
    """Self-attention with heads of 64 channels: (B, L, width) -> (B, L, width)."""

    def __init__(self, width: int):
        super().__init__()
        self.qkv, self.out_proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)

    def forward(self, u: Tensor) -> Tensor:
        q, k, v = self.qkv(u).unflatten(-1, (3, -1, HEAD)).permute(2, 0, 3, 1, 4)
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def loop(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """The recurrence of Mamba-2 one step after the other, under autograd; arguments of `ssd_scan`, one group."""
    decays, inputs = (dt * A).exp()[..., None, None].unbind(1), (dt[..., None] * x)[..., None].unbind(1)
    h = x.new_zeros(len(x), *x.shape[2:], B.shape[-1])
    out = []
    for decay, u, b, c in zip(decays, inputs, B[:, :, :, None].unbind(1), C[..., None].unbind(1)):
        h = decay * h + u * b
        out.append((h @ c).squeeze(-1))
    return torch.stack(out, 1)


def parallel(pscan: Callable[..., Tensor], x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """The recurrence of Mamba-1 with mambapy's parallel scan: x, dt (B, L, d), A (d, N), B, C (B, L, N)."""
    decay = (dt[..., None] * A).exp()
    states = pscan(decay, (dt * x)[..., None] * B[:, :, None])
    return (states @ C[..., None]).squeeze(-1)
