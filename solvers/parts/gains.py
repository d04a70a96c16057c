"""This module measures how far apart the gains of a linear operator lie, which limits solvers that take plain gradient
steps."""

from __future__ import annotations

import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.inference.problem import Problem
from restorekit.operators.base import LinearOperator


def evenness(operator: LinearOperator, like: Tensor, probes: int = 8) -> float:
    """Return (tr A A')^2 / (m tr (A A')^2) in (0, 1], m values that see anything: 1 where all singular values are
    alike.

    Estimated with random signs (Hutchinson), a few per cent off for small pictures, hardly for large ones; `like` is a
    measurement (B, ...) and gives shape, dtype and device.
    """
    g = torch.Generator().manual_seed(0)
    trace, squares, seen = 0.0, 0.0, torch.zeros_like(like[:1])
    for _ in range(probes):
        z = torch.randint(2, like[:1].shape, generator=g).to(like) * 2 - 1
        w = operator(operator.adjoint(z))
        trace, squares, seen = trace + float((z * w).sum()), squares + float((w * w).sum()), seen + w.abs()
    return trace**2 / max(probes * squares * float((seen > 0).sum()), torch.finfo(like.dtype).tiny)


def coherence(operator: LinearOperator, like: Tensor, probes: int = 8) -> float:
    """Return about how many pixels each independent measured value sums with one sign: 1 for masks, 16 for means of
    4x4 pixels.

    |A 1|^2 / tr A A', less where gains lie far apart and neighbouring values so say the same (`evenness`).
    """
    g = torch.Generator().manual_seed(0)
    one = torch.ones(1, *operator.image_shape, dtype=like.dtype, device=like.device)
    z = torch.randint(2, (probes, *like.shape[1:]), generator=g).to(like) * 2 - 1
    trace = float(operator.adjoint(z).square().sum()) / probes
    summed = float(operator(one).square().sum()) / max(trace, torch.finfo(like.dtype).tiny)
    return summed * evenness(operator, like, probes)


def refuse_uneven(problem: Problem, solver: str, share: float, otherwise: str = "use") -> None:
    """Raise `Unsupported` where steps made for the largest gain miss what the smaller ones let through.

    That is so where gains lie far apart and noise is low: below `share` (1 / evenness - 1), in the unit of the picture.
    """
    operator = problem.operator
    if not isinstance(operator, LinearOperator):
        return
    least = share * (1 / max(evenness(operator, problem.y), 1e-6) - 1)
    if problem.picture_noise() < least:
        raise Unsupported(
            f"{solver} takes steps too short for the smaller gains of {operator.title} at noise below {least:.2g}; "
            f"{otherwise} `solver=diffpir` or mmps"
        )
