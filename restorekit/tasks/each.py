"""`each_measurement` lets a task take a tensor of several measurements in one call."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

import numpy as np
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.files.picture import Picture

P = ParamSpec("P")
Result_co = TypeVar("Result_co", covariant=True)


class Each(Protocol[P, Result_co]):
    """A task that gives one result, or of a tensor (B, C, H, W) with B other than 1 a list of B."""

    @overload
    def __call__(
        self, source: str | os.PathLike[str] | np.ndarray | Picture, *args: P.args, **settings: P.kwargs
    ) -> Result_co: ...
    @overload
    def __call__(self, source: Tensor, *args: P.args, **settings: P.kwargs) -> Any: ...


def each_measurement(task: Callable[Concatenate[Any, P], Result_co]) -> Each[P, Result_co]:
    """Let a task take a tensor (B, C, H, W) of B measurements: a list of B results, in their order.

    Measurement b is treated by itself with the seed `seed` + b: what a call of it alone with that seed gives, to the bit, whatever
    else is in the batch. Tensors (B, C, H, W) beside it, such as a mask or a truth, are taken one by one too, all else holds for
    each. Raises `BadInput` for an empty batch, for tensors of another B, and where `out` names one file for all.
    """
    parameters, run = signature(task), cast(Any, task)

    @wraps(task)
    def call(source: Any, *args: Any, **settings: Any) -> Any:
        if not isinstance(source, Tensor) or source.ndim != 4 or len(source) == 1:
            return run(source, *args, **settings)
        if not len(source):
            raise BadInput("the batch holds no measurement; give a tensor (B, C, H, W) with at least one")
        if parameters.bind(source, *args, **settings).arguments.get("out") is not None:
            raise BadInput(
                f"`out` is one file, and {len(source)} measurements were given; leave it out, and save each result",
                argument="out",
            )
        seed = settings.pop("seed", 0)
        results = []
        for b in range(len(source)):  # no comprehension, whose frame would be named as the place of a warning
            beside = [_one(value, b, len(source)) for value in args]
            named = {name: _one(value, b, len(source)) for name, value in settings.items()}
            results.append(run(source[b], *beside, **named, seed=seed + b))
        return results

    return cast("Each[P, Result_co]", call)


def _one(value: Any, b: int, count: int) -> Any:
    """Return the part of a setting or a second input that belongs to measurement b of `count`. Raises `BadInput` for
    another batch size.
    """
    if not isinstance(value, Tensor) or value.ndim != 4 or len(value) == 1:
        return value
    if len(value) != count:
        raise BadInput(f"{count} measurements were given, and {len(value)} pictures beside them; give as many, or one")
    return value[b]
