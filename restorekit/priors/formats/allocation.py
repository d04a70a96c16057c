"""This module bounds what a network may allocate while it is built: a damaged header may ask for any size.

The meta device would tell sizes without memory, but its random numbers import the compiler of torch, a second at each
start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.eye}
_RANGES = {torch.arange, torch.linspace}


class TooLarge(Exception):
    """More values were asked for than `AtMost` allows."""


class AtMost(TorchFunctionMode):
    """Inside it, tensors of at most `values` numbers together can be made from nothing; then `TooLarge` is raised.

    That is before the memory is taken.
    """

    def __init__(self, values: int):
        super().__init__()
        self.left = values

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _FACTORIES or func in _RANGES:
            self.left -= _count(func, args, kwargs)
            if self.left < 0:
                raise TooLarge
        return func(*args, **kwargs)


def _count(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    if func in _RANGES:
        numbers = [*args, *(kwargs[k] for k in ("start", "end", "steps") if k in kwargs)]
        return math.ceil(max((abs(float(n)) for n in numbers), default=0))
    if func is torch.eye:
        return math.prod(int(n) for n in (args * 2)[:2])
    sizes = kwargs.get("size", args[0] if args and isinstance(args[0], list | tuple) else args)
    return math.prod(int(n) for n in sizes if isinstance(n, int))
