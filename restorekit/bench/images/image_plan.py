"""The image bench measures every combination that can work, and says why the others cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from restorekit.bench.images.image_cases import Clean
from restorekit.bench.images.image_rows import BenchCase
from restorekit.errors import BadInput
from restorekit.inference.driver import as_seen
from restorekit.inference.problem import Problem
from restorekit.inference.solver import Solver
from restorekit.priors.prior import Prior
from restorekit.text.degradation import Degradation
from restorekit.text.names import solver_of


@dataclass(frozen=True)
class LoadedName:
    """A prior: the text to load it by, its name and weights, and where it runs."""

    text: str
    label: str
    where: str
    prior: Prior | None = None  # itself, where it decides which solvers can work: one of latents

    def seen(self, problem: Problem) -> Problem:
        """Return the problem as a solver sees it with this prior."""
        if self.prior is None:
            return problem
        return as_seen(problem, self.prior.for_bands(problem.operator.image_shape[0]))


@dataclass(frozen=True)
class Refused:
    """A combination without rows, and why, in one line."""

    op: str
    what: str
    reason: str


@dataclass(frozen=True)
class BenchPlan:
    """The rows to measure, and those that are refused."""

    jobs: list[BenchCase]
    refused: list[Refused]


def steps_within(solver: Solver, problem: Problem, nfe: int) -> int | None:
    """Return the most noise levels whose network calls do not exceed `nfe`; None where already one does.

    Calls grow with the levels; of several numbers of levels with as many calls it is the first.
    """
    best, spent = None, 0
    for steps in range(1, nfe + 1):
        try:
            calls = solver.calls(solver.schedule(problem, steps))
        except ValueError:  # a schedule that is taken from a table ends with it
            break
        if calls > nfe:
            break
        if calls > spent:
            best, spent = steps, calls
    return best


def _counts(
    solver: Solver, problem: Problem, steps: Sequence[int], nfe: Sequence[int]
) -> Iterator[tuple[int | None, str]]:
    """Return (levels, "") of each that was asked for, or (None, why not)."""
    for count in steps or ([None] if not nfe else []):
        try:
            yield len(solver.schedule(problem, count)) - 1, ""
        except ValueError as error:
            yield None, f"{count} steps: {_line(error)}"
    for calls in nfe:
        found = steps_within(solver, problem, calls)
        if found is None:
            least = solver.calls(solver.schedule(problem, 1))
            yield None, f"{calls} calls are too few: one step takes {least}"
        else:
            yield found, ""


def plan(
    pictures: Sequence[Clean], tasks: Sequence[Degradation], solvers: Sequence[str], steps: Sequence[int], nfe: Sequence[int],
    priors: Sequence[LoadedName], samples: int, seed: int,
) -> BenchPlan:  # fmt: skip
    """Return what is to run. Pictures go outermost, so that a run that was stopped has compared all solvers on the same ones.

    Raises BadInput for what is unknown, and for an operator that takes none of the pictures.
    """
    made = {text: solver_of(text) for text in dict.fromkeys(solvers)}
    jobs: dict[tuple[object, ...], BenchCase] = {}
    refused: dict[Refused, None] = {}
    fitting: dict[tuple[object, ...], list[int]] = {}
    errors: dict[Degradation, BadInput] = {}
    taken: set[Degradation] = set()
    measured: dict[tuple[Degradation, tuple[int, ...]], Problem] = {}
    for clean, task in product(pictures, tasks):
        if (task, clean.pixels.shape) not in measured:  # which solvers can work depends on no more of a picture
            try:
                measured[task, clean.pixels.shape] = task.measure(clean.pixels, clean.name, seed)
            except BadInput as error:
                errors[task] = error
                refused[Refused(task.text, clean.name, _line(error))] = None
                continue
        problem = measured[task, clean.pixels.shape]
        taken.add(task)
        for (text, solver), prior in product(made.items(), priors):
            known = (task, clean.pixels.shape, text, prior.prior)
            if known not in fitting:
                fitting[known], reasons = _fitting(solver, problem, prior, steps, nfe, samples)
                what = text if prior.prior is None else f"{text} with {prior.label.partition('@')[0]}"
                for reason in reasons:
                    refused[Refused(task.text, what, reason)] = None
            for count in fitting[known]:
                draws = samples if solver.is_sampler else 1
                job = BenchCase(task, Clean(clean.name, clean.path, clean.crop), text, count, prior.text, prior.label,
                          seed, draws, prior.where)  # fmt: skip
                jobs[job.key] = job
    for task in tasks:
        if task not in taken:
            raise errors[task]
    if not jobs:
        raise BadInput(f"nothing to measure ({'; '.join(f'{r.what}: {r.reason}' for r in refused)})")
    return BenchPlan(list(jobs.values()), list(refused))


def _fitting(
    solver: Solver, problem: Problem, prior: LoadedName, steps: Sequence[int], nfe: Sequence[int], samples: int
) -> tuple[list[int], list[str]]:
    """Return the numbers of levels to run, and why others are not."""
    try:
        problem = prior.seen(problem)
        solver.check(problem)
        if samples > 1 and solver.is_sampler:
            solver.check_draws(problem)
    except BadInput as error:
        return [], [_line(error)]
    found = list(_counts(solver, problem, steps, nfe))
    return list(dict.fromkeys(n for n, _ in found if n is not None)), [why for n, why in found if n is None]


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
