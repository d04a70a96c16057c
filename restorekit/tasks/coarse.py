"""Restoration from coarse to fine: solve for the block means first, go on at full size from an intermediate noise.

Eq 9 of Li et al. 2025 for a measured picture. A cascade has a low stage that knows reduced pictures: the same measurement is
solved for one of those, at 1 / factor^2 of the cost of a call; the solver then begins at the level `relay` of the cascade,
whose noise hides what the enlarged picture lacks, and leaves out all higher levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional as F

from restorekit.errors import BadInput, Unsupported
from restorekit.inference.driver import Progress, restore
from restorekit.inference.problem import Problem
from restorekit.inference.restoration import Restoration
from restorekit.inference.rng import low_stage_seed
from restorekit.inference.schedule import below
from restorekit.inference.solver import Solver, Step
from restorekit.operators.base import LinearOperator
from restorekit.operators.combine import compose
from restorekit.priors.cascade import Cascade, down, up
from restorekit.priors.wrappers import Padded


@dataclass(frozen=True, eq=False)
class Enlarge(LinearOperator):
    """Each pixel becomes a block of factor x factor, cut at the lower right: (B, C, h, w) -> (B, C, height, width)."""

    factor: int
    height: int
    width: int

    def __call__(self, x: Tensor, /) -> Tensor:
        return up(x, self.factor)[..., : self.height, : self.width]

    def adjoint(self, y: Tensor, /) -> Tensor:
        whole = F.pad(y, (0, -self.width % self.factor, 0, -self.height % self.factor))
        return down(whole, self.factor) * self.factor**2


def enlarge_to(shape: tuple[int, int, int], factor: int) -> Enlarge:
    """Return the operator from pictures of 1 / factor of the sides, rounded up, to `shape` (C, height, width)."""
    bands, height, width = shape
    return Enlarge((bands, -(-height // factor), -(-width // factor)), factor, height, width)


def reduced(problem: Problem, factor: int) -> Problem:
    """Return the measurement as one of the block means: y = A Up x_low + noise.

    What A sees of finer detail is left over: the likelihood does not know of it, so that with little noise the low picture
    is held to the measurement more closely than it should be.
    """
    enlarge = enlarge_to(problem.operator.image_shape, factor)
    return replace(problem, operator=compose(problem.operator, enlarge))


def restore_from_coarse(
    problem: Problem,
    cascade: Cascade,
    solver: Solver,
    *,
    low_solver: Solver | None = None,
    steps: int | None = None,
    low_steps: int | None = None,
    samples: int = 1,
    seed: int = 0,
    batch: int | None = None,
    progress: Progress | None = None,
    record: bool = False,
) -> Restoration:
    """Restore with the low stage of a cascade first. `steps` and `low_steps`: noise levels of whole schedules, of which the
    part above `relay` is left out at full size.

    low_solver: for the block means, where the operator has lost its SVD; default: `solver`. Sample i of the high stage
    begins with sample i of the low one; optimisers of one answer give all the same start. `progress` hears of the calls
    of both stages; `record` keeps the steps of the full size; `nfe` counts those of the full size, `settings` hold the others as low_nfe. Raises as `restore` does,
    `Unsupported` too where the solver needs an SVD, which the operator of the block means has lost, and `BadInput` where
    the schedule begins below the relay.
    """
    first = low_solver or solver
    count = samples if first.is_sampler else 1
    low_problem, whole = reduced(problem, cascade.factor), solver.schedule(problem, steps)
    if whole[0] <= cascade.relay:
        raise BadInput(
            f"the levels begin at {whole[0]:.3g}, below {cascade.relay:.3g}, where the high stage of the cascade goes on: "
            "the low one has nothing to add; leave `coarse` out"
        )
    try:
        first.check(low_problem)
    except Unsupported as error:
        raise Unsupported(f"for the low stage {error}, or with `coarse` dps, mmps or diffpir") from None
    sigmas = below(whole, cascade.relay)
    size = batch or max(1, 2**20 // math.prod(problem.operator.image_shape[1:]))
    enlarge, rest = enlarge_to(problem.operator.image_shape, cascade.factor), solver.calls(sigmas) * -(-samples // size)
    low = restore(
        low_problem, cascade.low, first, steps=low_steps, samples=count, seed=low_stage_seed(seed),
        batch=size, progress=progress and _part(progress, 0, rest, enlarge),
    )  # fmt: skip
    high = restore(
        problem, Padded(cascade, cascade.factor), solver, sigmas=sigmas, samples=samples, seed=seed, batch=size,
        begin=enlarge(low.samples).expand(samples, -1, -1, -1),
        progress=progress and _part(progress, low.nfe * -(-count // size), 0), record=record,
    )  # fmt: skip
    about = {"relay": cascade.relay, "low_nfe": low.nfe}
    about |= {f"low_{k}": low.settings[k] for k in ("solver", "sigmas", "seed")}
    return replace(high, seconds=low.seconds + high.seconds, settings=high.settings | about)


def _part(progress: Progress, before: int, after: int, shown: Callable[[Tensor], Tensor] = lambda x: x) -> Progress:
    """`progress` for one of several runs, with this many calls before it and after it."""
    return lambda done, total, step: progress(
        before + done, before + total + after, Step(shown(step.x), shown(step.x0), step.sigma)
    )
