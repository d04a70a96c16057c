"""A restoration with a bar on stderr, and what was seen on the way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from restorekit.inference import driver
from restorekit.inference.denoiser import Denoiser, Latent
from restorekit.inference.problem import Problem
from restorekit.inference.restoration import Restoration
from restorekit.inference.solver import Solver, Step
from restorekit.report.cards import STRIP
from restorekit.report.pictures import shrunk
from restorekit.report.progress import bar
from restorekit.report.results import Moment


class Watch:
    """Keeps the estimate x0 of the first sample at `count` network calls, spread evenly over a run of `calls`."""

    def __init__(self, calls: int, count: int, shown: Callable[[Tensor], Tensor] = lambda x0: x0):
        """shown: estimates as pictures."""
        self.calls, self.moments, self.shown = calls, list[Moment](), shown
        self.wanted = sorted({round(float(c)) for c in np.linspace(1, calls, min(count, calls))}, reverse=True)

    def __call__(self, done: int, total: int, step: Step) -> None:
        if not self.wanted or done < self.wanted[-1] or done > self.calls:
            return
        while self.wanted and self.wanted[-1] <= done:
            self.wanted.pop()
        x0 = shrunk(self.shown(step.x0[:1].detach())[0].float().cpu().numpy(), STRIP)
        self.moments.append(Moment(done, float(step.sigma), x0))


def restore_with_bar(
    problem: Problem,
    denoise: Denoiser | Latent,
    solver: Solver,
    *,
    steps: int | None,
    samples: int,
    seed: int,
    label: str | None = None,
    watch: driver.Progress | None = None,
    begin: Tensor | None = None,
    start: float | None = None,
) -> Restoration:
    """`driver.restore`, its progress shown under `label`, and each step also handed to `watch`."""
    with bar(label or type(solver).__name__) as show:

        def update(done: int, total: int, step: Step) -> None:
            show(done, total)
            if watch is not None:
                watch(done, total, step)

        return driver.restore(
            problem, denoise, solver, steps=steps, samples=samples, seed=seed, progress=update, begin=begin, start=start
        )
