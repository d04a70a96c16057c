"""The torch form of `ssd_scan`: chunks of Q steps, within which the scan is a matrix product, and its gradient.

With a_t the running sum of dt A in a chunk and u = dt x, Dao and Gu 2024, section 6:
    y_t = sum_{s <= t} exp(a_t - a_s) (C_t B_s) u_s + exp(a_t) C_t h,    h' = exp(a_Q) h + sum_s exp(a_Q - a_s) B_s u_s'.

Decays are of float32 at least, whatever x is: a_t - a_s is a difference of sums. (Splitting it into factors of C and of B
would save the exponentials of Q x Q numbers; it was no faster, and the gradient of A lost a digit in bf16.) The gradient
is written out (see `ExplicitGradient`). On a CPU a few chunks are taken at a time, so that their matrices stay in its cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.priors.networks.explicit_gradient import CACHE, ExplicitGradient

CHUNK = 64  # steps per chunk at most


class _Cut(NamedTuple):
    """Inputs that are cut into K = batch * count chunks of Q steps; u, b, c in the dtype of x, the others in float32
    at least."""

    u: Tensor  # (K, H, Q, P): dt x
    b: Tensor  # (K, H, Q, N): B exp(a_Q - a)
    c: Tensor  # (K, H, Q, N): C exp(a)
    dt: Tensor  # (K, H, Q)
    a: Tensor  # (K, H, Q)
    before: Tensor  # (K, H, N, P): the state in front of each chunk
    last: Tensor  # (batch, H, N, P): behind the last


def _cut(t: Tensor, q: int) -> Tensor:
    """Return (batch, L, H, ...) as (K, H, q, ...); L is filled up with zeros, which at dt = 0 change no state."""
    t = F.pad(t, [0, 0] * (t.ndim - 2) + [0, -t.shape[1] % q]) if t.shape[1] % q else t
    return t.reshape(-1, q, *t.shape[2:]).transpose(1, 2)


def _join(t: Tensor, like: Tensor) -> Tensor:
    """Undo `_cut`, for the batch and the length of `like`."""
    t = t.transpose(1, 2)
    return t.reshape(len(like), -1, *t.shape[2:])[:, : like.shape[1]]


def _heads(t: Tensor, heads: int) -> Tensor:
    """Return (K, G, ...) as (K, H, ...): each group for each of its heads."""
    k, groups = t.shape[:2]
    return t[:, :, None].expand(k, groups, heads // groups, *t.shape[2:]).reshape(k, heads, *t.shape[2:])


def _groups(t: Tensor, groups: int) -> Tensor:
    """Sum over the heads of a group: (K, H, ...) -> (K, G, ...)."""
    return t.unflatten(1, (groups, -1)).sum(2)


def _carry(decay: Tensor, inputs: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
    """Return the states in front of each chunk, and the one behind the last: s_{k+1} = decay_k s_k + inputs_k.

    decay (batch, count, H, 1, 1), inputs (batch, count, H, N, P), first (batch, H, N, P).
    """
    states = [first]
    for d, s in zip(decay.unbind(1), inputs.unbind(1)):
        states.append(torch.addcmul(s, d, states[-1]))
    return torch.stack(states[:-1], 1).flatten(0, 1), states[-1]


def _prepare(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, initial: Tensor | None, chunk: int) -> _Cut:
    (batch, length, heads, _), wide = x.shape, torch.promote_types(x.dtype, torch.float32)
    # Chunks of equal length, and without padding if that is possible.
    top = math.ceil(length / math.ceil(length / chunk))
    q = next((q for q in range(top, top // 2, -1) if length % q == 0), top)
    step = _cut(dt.to(wide), q).contiguous()
    a = (step * A.to(wide)[:, None]).cumsum(2)
    end = a[..., -1:]
    u = _cut(x, q) * step.to(x.dtype)[..., None]
    b = _heads(_cut(B, q), heads) * (end - a).exp().to(x.dtype)[..., None]
    c = _heads(_cut(C, q), heads) * a.exp().to(x.dtype)[..., None]
    added = (b.mT @ u).to(wide)
    first = x.new_zeros(batch, heads, B.shape[-1], x.shape[-1], dtype=wide) if initial is None else initial.to(wide).mT
    shape = (batch, -1)
    before, last = _carry(end.exp()[..., None].unflatten(0, shape), added.unflatten(0, shape), first)
    return _Cut(u, b, c, step, a, before, last)


def _within(s: _Cut, B: Tensor, C: Tensor) -> Iterator[tuple[slice, Tensor, Tensor, Tensor, Tensor]]:
    """Yield some chunks at a time: which, their B, C, C B' (k, H, Q, Q) without what is above its diagonal, exp(a_t -
    a_s)."""
    count, heads, q = s.a.shape
    B, C = _cut(B, q), _cut(C, q)
    size = count if s.a.is_cuda else max(1, CACHE // (heads * q * q))
    for at in (slice(i, i + size) for i in range(0, count, size)):
        # Above the diagonal a_t - a_s is positive and could overflow; what it becomes there is times 0.
        decay = (s.a[at, :, :, None] - s.a[at, :, None]).clamp_(max=0).exp_()
        yield at, B[at], C[at], _heads((C[at] @ B[at].mT).tril(), heads), decay


def _forward(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, initial: Tensor | None, *, chunk: int
) -> tuple[Tensor, Tensor]:
    s = _prepare(x, dt, A, B, C, initial, chunk)
    inner = [(cb * decay).to(x.dtype) @ s.u[at] for at, _, _, cb, decay in _within(s, B, C)]
    y = _join(torch.cat(inner) + s.c @ s.before.to(x.dtype), x)
    return y if D is None else torch.addcmul(y, x, D.to(x.dtype)[:, None]), s.last.mT


def _backward(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, initial: Tensor | None,
    dy: Tensor, dlast: Tensor, *, chunk: int,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    """Return the gradients of the inputs; those of A and D are summed over the batch."""
    s, (batch, _, _, _), dtype = _prepare(x, dt, A, B, C, initial, chunk), x.shape, x.dtype
    wide, groups, q = s.a.dtype, B.shape[2], s.a.shape[2]
    direct, dy, end = dy, _cut(dy, q).contiguous(), s.a[..., -1:]
    # Through the states, from the last chunk to the first; `behind` is the gradient of the state behind each chunk.
    decay, heard = (t.unflatten(0, (batch, -1)).flip(1) for t in (end.exp()[..., None], (s.c.mT @ dy).to(wide)))
    behind, dfirst = _carry(decay, heard, dlast.to(wide).mT)
    behind = behind.unflatten(0, (batch, -1)).flip(1).flatten(0, 1)
    du, dc, db = s.b @ behind.to(dtype), dy @ s.before.mT.to(dtype), s.u @ behind.mT.to(dtype)
    # a_t is in c_t, and less so in b_t, whose a_Q makes up for it: what the two say about the end must agree exactly.
    falling = (db * s.b).sum(-1, dtype=wide)
    da = (dc * s.c).sum(-1, dtype=wide) - falling
    da[..., -1] += falling.sum(-1) + end[..., 0].exp() * (s.before * behind).sum((-1, -2))
    dC = _groups(dc * s.a.exp().to(dtype)[..., None], groups)
    dB = _groups(db * (end - s.a).exp().to(dtype)[..., None], groups)
    for at, b, c, cb, decay in _within(s, B, C):  # within the chunks: M = C B' o L, y = M u
        grown = (dy[at] @ s.u[at].mT) * decay  # dM o L
        du[at] += (cb * decay).to(dtype).mT @ dy[at]
        w = grown * cb
        da[at] += w.sum(-1) - w.sum(-2)
        ds = _groups(grown, groups).tril().to(dtype)
        dC[at] += ds @ b
        dB[at] += ds.mT @ c
    rate = da.flip(-1).cumsum(-1).flip(-1)  # gradient of dt A, whose running sum a is
    ddt = rate * A.to(wide)[:, None] + (du * _cut(x, q)).sum(-1, dtype=wide)
    dx, ddt, dB, dC = (_join(t, x) for t in (du * s.dt.to(dtype)[..., None], ddt, dB, dC))
    dD = None
    if D is not None:
        dx, dD = torch.addcmul(dx, direct, D.to(dtype)[:, None]), (direct * x).sum((0, 1, 3), dtype=wide)
    return dx, ddt, (rate * s.dt).sum((0, 2)), dB, dC, dD, dfirst.mT


@cache
def scan(chunk: int = CHUNK) -> ExplicitGradient:
    """Return a function (x, dt, A, B, C, D, initial) -> (y, last state), shapes as in `ssd_scan`; D and initial may be
    None."""
    return ExplicitGradient(partial(_forward, chunk=chunk), partial(_backward, chunk=chunk), frozenset({2, 5}))
