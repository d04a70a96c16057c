"""Progress in calls of the network: a large picture takes one for each window, of which every denoising has many."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

from torch import nn

from restorekit.inference.driver import Progress as Steps
from restorekit.inference.solver import Step
from restorekit.priors.prior import Prior
from restorekit.priors.wrappers import EnsembleFlip, Tiled
from restorekit.tasks.measured import Measured
from restorekit.tasks.measurement import Progress


@contextmanager
def counted(measured: Measured, progress: Progress | None, label: str, calls: int) -> Iterator[Steps | None]:
    """Yield the progress that `restore` is given; `progress` then hears of every window, of `calls` times as many.

    The first report is that nothing is done yet.
    """
    if progress is None:
        yield None
        return
    tell, each, done = progress, _windows(measured), [0, 0]  # of the solver; of windows since
    tell(label, 0, calls * each)

    def step(calls_done: int, total: int, _: Step) -> None:
        done[:] = calls_done, 0
        tell(label, calls_done * each, total * each)

    def window(*_: Any) -> None:
        done[1] += 1
        if done[1] < each:  # the last is told by the solver; a gradient runs windows twice
            tell(label, done[0] * each + done[1], calls * each)

    module = next(filter(None, (p if isinstance(p, nn.Module) else None for p in _parts(measured.denoiser))), None)
    hook = None if module is None or each == 1 else module.register_forward_hook(window)
    try:
        yield step
    finally:
        if hook is not None:
            hook.remove()


def _windows(measured: Measured) -> int:
    """Return the calls of the network for one denoising."""
    height, width = measured.forward.operator.image_shape[1:]
    count = 1
    for part in _parts(measured.denoiser):
        if isinstance(part, Tiled):
            count *= math.ceil(height / part.tile) * math.ceil(width / part.tile)
        elif isinstance(part, EnsembleFlip):
            count *= part.count
    return count


def _parts(denoise: Any) -> Iterator[Any]:
    """Yield a denoiser and all inside it that is a dataclass or a module."""
    if isinstance(denoise, nn.Module):
        yield denoise
    elif isinstance(denoise, Prior):
        yield from _parts(denoise.network)
    elif is_dataclass(denoise):
        yield denoise
        for f in fields(denoise):
            yield from _parts(getattr(denoise, f.name))
