"""Restoration from coarse to fine: solve for the block means first, go on at full size from an intermediate noise.

Eq 9 of seed 000 for a measured picture. A cascade has a low stage that knows reduced pictures: the same measurement is
solved for one of those, at 1 / factor^2 of the cost of a call; the solver then begins at the level `relay` of the cascade,
whose noise hides what the enlarged picture lacks, and leaves out all higher levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from restorekit.driver import Progress, restore
from restorekit.errors import BadInput
from restorekit.operators.base import LinearOperator
from restorekit.operators.combine import compose
from restorekit.priors.cascade import Cascade, down, up
from restorekit.types import Problem, Restoration, Solver


@dataclass(frozen=True, eq=False)
class Enlarge(LinearOperator):
    """Each pixel becomes a block of factor x factor: (B, C, h, w) -> (B, C, h factor, w factor)."""

    factor: int

    def __call__(self, x: Tensor, /) -> Tensor:
        return up(x, self.factor)

    def adjoint(self, y: Tensor, /) -> Tensor:
        return down(y, self.factor) * self.factor**2


def reduced(problem: Problem, factor: int) -> Problem:
    """The measurement as one of the block means: y = A Up x_low + noise. What A sees of finer detail counts as noise."""
    bands, height, width = problem.operator.image_shape
    if height % factor or width % factor:
        raise BadInput(
            f"sides {height}x{width} are no multiples of {factor}, as a start from the low stage needs; cut the picture, "
            "or leave the low stage out"
        )
    enlarge = Enlarge((bands, height // factor, width // factor), factor)
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
) -> Restoration:
    """Restore with the low stage of a cascade first. `steps` and `low_steps`: noise levels of whole schedules, of which the
    part above `relay` is left out at full size.

    low_solver: for the block means, where the operator has lost its SVD; default: `solver`. Sample i of the high stage
    begins with sample i of the low one; optimisers of one answer give all the same start. `nfe` counts calls of the full
    size; `settings` hold those of the low stage as low_nfe. Raises as `restore` does.
    """
    first = low_solver or solver
    count = samples if first.samples else 1
    low = restore(reduced(problem, cascade.factor), cascade.low, first, steps=low_steps, samples=count, seed=seed)
    begin = up(low.samples, cascade.factor).expand(samples, -1, -1, -1)
    sigmas = below(solver.schedule(problem, steps), cascade.relay)
    high = restore(
        problem, cascade, solver, sigmas=sigmas, samples=samples, seed=seed, batch=batch, progress=progress, begin=begin
    )  # fmt: skip
    about = {"relay": cascade.relay, "low_nfe": low.nfe, "low_solver": low.settings["solver"]}
    return replace(high, seconds=low.seconds + high.seconds, settings=high.settings | about)


def below(sigmas: Sequence[float], relay: float) -> list[float]:
    """The levels of a schedule below `relay`, behind `relay` itself."""
    return [relay, *(s for s in sigmas if s < relay)]
