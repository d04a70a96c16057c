"""A run is timed beforehand by one network call, or one filtered block, here and now."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from restorekit.despeckling.block import BlockDespeckling
from restorekit.despeckling.methods import PosteriorMethod, SpeckledBlock
from restorekit.despeckling.survey import BandStatistics
from restorekit.files.bands import Window
from restorekit.inference.problem import Problem
from restorekit.operators import Identity
from restorekit.priors.find import device_of
from restorekit.scenes.execute import threads
from restorekit.scenes.operation import BlockJob
from restorekit.text.names import solver_of


@dataclass(frozen=True)
class Cost:
    """It holds the time and the network calls that one block takes."""

    seconds: float
    calls: int  # of the network, for all samples
    pixels: int  # that come of it


def cost(job: BlockJob) -> Cost:
    """Return what one block takes here and now. The operation of `job` is a `BlockDespeckling`."""
    operation = job.operation
    assert isinstance(operation, BlockDespeckling)
    side = job.grid.side + 2 * (job.grid.fade + job.grid.halo)
    h, w = min(side, job.grid.height), min(side, job.grid.width)
    core = job.grid.core(0, 0)
    with threads(job.threads):
        return _measured(operation, h, w, core.height * core.width)


def calls_of(job: BlockJob) -> int:
    """Return how many network calls a draw of one block takes, 0 of a filter. The operation of `job` is a `BlockDespeckling`."""
    operation = job.operation
    assert isinstance(operation, BlockDespeckling)
    if not isinstance(operation.method, PosteriorMethod):
        return 0
    return _calls(operation.method, next(iter(operation.bands.values()))[1])


def _calls(method: PosteriorMethod, facts: BandStatistics) -> int:
    solver = solver_of(method.text)
    problem = Problem(torch.zeros(1, 1, 8, 8), Identity((1, 8, 8)), method.law(facts))
    return solver.calls(solver.schedule(problem, method.steps))


def _measured(operation: BlockDespeckling, h: int, w: int, pixels: int) -> Cost:
    method, facts = operation.method, next(iter(operation.bands.values()))[1]
    if not isinstance(method, PosteriorMethod):
        y = np.full((h, w), facts.median)
        began = time.perf_counter()
        method(SpeckledBlock(Window(0, 0, h, w), 1, y, y, np.ones((h, w), np.bool_), facts))
        return Cost(time.perf_counter() - began, 0, pixels)
    solver, denoise = solver_of(method.text), method.network(max(h, w))
    calls = _calls(method, facts) * method.draws
    x = torch.zeros(1, 1, h, w, device=device_of(method.device), requires_grad=solver.gradient)
    denoise(x, 1.0)  # the first call of a size is slower
    began = time.perf_counter()
    x0 = denoise(x, 1.0)
    for _ in range(solver.products):
        torch.autograd.grad(x0.sum(), x, retain_graph=True)
    return Cost((time.perf_counter() - began) * calls, calls, pixels)
