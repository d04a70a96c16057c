"""A function whose gradient is written out keeps the inputs alone, and makes again what else it needs.

Chains of small operations are bound by memory on a CPU, not by arithmetic. So the batch is taken in portions whose
intermediate results stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

CACHE = 2**19  # numbers of the first input that a CPU has at hand at a time


@dataclass(frozen=True)
class ExplicitGradient:
    """A function with its gradient: `value(*inputs)` gives a tuple of tensors, `gradient(*inputs, *gradients of
    these)` one per input.

    For an input that is None the gradient is None. All inputs but the `shared` ones, by their numbers, and all outputs
    have the batch as their first axis; items of a batch do not meet. Gradients come in the dtype of their input, and
    can be differentiated themselves where `gradient` can.
    """

    value: Callable[..., tuple[Tensor, ...]]
    gradient: Callable[..., tuple[Tensor | None, ...]]
    shared: frozenset[int] = frozenset()

    def __call__(self, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        first = inputs[0]
        assert first is not None
        with torch.autocast(first.device.type, enabled=False):
            return _Function.apply(self, *inputs)  # type: ignore[no-any-return]

    def portions(self, inputs: tuple[Any, ...], batched: int = 0) -> list[list[Any]]:
        """Yield the inputs for each portion; the last `batched` of them have a batch whatever their number."""
        first, own = inputs[0], len(inputs) - batched
        count = 1 if first.is_cuda else max(1, round(first.numel() / CACHE))
        if count == 1:
            return [list(inputs)]
        size = -(-len(first) // count)
        return [
            [t if t is None or (n in self.shared and n < own) else t[i : i + size] for n, t in enumerate(inputs)]
            for i in range(0, len(first), size)
        ]


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(rule: ExplicitGradient, *inputs: Any) -> tuple[Tensor, ...]:
        parts = [rule.value(*portion) for portion in rule.portions(inputs)]
        return parts[0] if len(parts) == 1 else tuple(torch.cat(p) for p in zip(*parts))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.rule = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rule, inputs = ctx.rule, ctx.saved_tensors
        with torch.autocast(grads[0].device.type, enabled=False):
            parts = [rule.gradient(*portion) for portion in rule.portions((*inputs, *grads), len(grads))]
        out: list[Tensor | None] = [None]
        for n, (t, found) in enumerate(zip(inputs, zip(*parts))):
            if t is None or len(found) == 1:
                out.append(None if t is None else found[0].to(t.dtype))
            else:
                out.append((torch.stack(found).sum(0) if n in rule.shared else torch.cat(found)).to(t.dtype))
        return tuple(out)
