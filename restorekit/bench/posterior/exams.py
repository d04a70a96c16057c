"""The exams that there are, by name, and those of a user's file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from itertools import product

from torch import Tensor

from restorekit.bench.posterior.exam import Exam, LinearExam
from restorekit.bench.posterior.exam_gaussian import OPERATORS, PRIORS, GaussianExam
from restorekit.bench.posterior.exam_mixture import Mixture, Ring
from restorekit.bench.posterior.exam_pixels import PixelExam, counts, speckle
from restorekit.errors import BadInput
from restorekit.text.grammar import build, own_class, split

LEVELS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3)  # sigma_y, on pictures of deviation 0.25
QUICK = (0.002, 0.01, 0.05, 0.3)
Make = Callable[[float], Exam]  # of sigma_y, which exams of another noise law ignore


def _gaussian(operator: str, prior: str) -> Make:
    return lambda sigma_y: GaussianExam(OPERATORS[operator](), sigma_y, PRIORS[prior]())


def _speckle(looks: float, prior: str) -> Make:
    return lambda _: speckle(looks, prior)


# (problem, prior) -> an exam. The linear ones have sigma_y as an axis.
LINEAR: dict[tuple[str, str], Make] = {
    **{(o, p): _gaussian(o, p) for o, p in product(OPERATORS, PRIORS)},
    ("mixture-2", "modes"): lambda sigma_y: Mixture.of(2, 1, sigma_y),
    ("mixture-8", "modes"): lambda sigma_y: Mixture.of(8, 2, sigma_y),
    ("ring", "ring"): Ring.of,
}
OTHER: dict[tuple[str, str], Make] = {
    **{(f"speckle-{looks}", p): _speckle(looks, p) for looks, p in product((1, 3, 4, 16), ("wide", "narrow"))},
    ("counts-20", "greys"): lambda _: counts(20),
}
PROBLEMS = tuple(dict.fromkeys(problem for problem, _ in (*LINEAR, *OTHER)))
PRIOR_NAMES = tuple(dict.fromkeys(prior for _, prior in (*LINEAR, *OTHER)))


@dataclass(frozen=True)
class Cell:
    """One exam of the table: `sigma_y` is None where the noise has no such number."""

    problem: str
    prior: str
    sigma_y: float | None
    make: Callable[[], Exam]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.problem, self.prior, "-" if self.sigma_y is None else f"{self.sigma_y:g}"


def cells(
    problems: Sequence[str] | None = None, priors: Sequence[str] | None = None, sigmas: Sequence[float] | None = None,
    levels: Sequence[float] = LEVELS,
) -> list[Cell]:  # fmt: skip
    """Return the exams of these names, priors and noises; None: all, at `levels`. A problem may be `file.py:Class:setting=1`.

    Raises BadInput for names that are not there and where nothing is left.
    """
    for name, known, what in ((problems, PROBLEMS, "problem"), (priors, PRIOR_NAMES, "prior")):
        unknown = [n for n in name or () if n not in known and not (what == "problem" and ".py" in n)]
        if unknown:
            more = ", or file.py:Exam" if what == "problem" else ""
            raise BadInput(f"unknown {what} {unknown[0]!r}; known: {', '.join(known)}{more}")
    if odd := [s for s in sigmas or () if not 0 < s < float("inf")]:
        raise BadInput(f"sigma_y={odd[0]:g} must be above 0")
    found = [cell for name in problems or PROBLEMS for cell in _named(name, priors, sigmas, levels)]
    if not found:
        raise BadInput(
            "no exam is left; speckle-* and counts-* have no `sigma`, and each problem has its own `prior`: "
            + "; ".join(f"{name}: {', '.join(p for n, p in (*LINEAR, *OTHER) if n == name)}" for name in problems or PROBLEMS)
        )  # fmt: skip
    return found


def _named(
    name: str, priors: Sequence[str] | None, sigmas: Sequence[float] | None, levels: Sequence[float]
) -> Iterator[Cell]:
    if ".py" in name:
        yield from _own(name, sigmas)
        return
    for (problem, prior), make in LINEAR.items():
        if problem == name and prior in (priors or PRIOR_NAMES):
            for s in sigmas or levels:
                yield Cell(problem, prior, s, lambda make=make, s=s: make(s))
    for (problem, prior), make in OTHER.items():
        if problem == name and prior in (priors or PRIOR_NAMES) and not sigmas:
            yield Cell(problem, prior, None, lambda make=make: make(0.0))


def _own(text: str, sigmas: Sequence[float] | None) -> Iterator[Cell]:
    """Return the class of a user's file, at each sigma_y where that is a field of it."""
    made = own_class(text, Exam)
    if made is None:
        raise BadInput(f"problem {text!r} is not understood; give file.py:Class, as in mine.py:MyExam")
    cls, settings, names = made
    name, positional, named = split(settings)
    if not is_dataclass(cls):
        raise BadInput(f"{text}: {name} is no dataclass; put @dataclass(frozen=True, eq=False) above it")
    if missing := sorted(cls.__abstractmethods__):
        raise BadInput(f"{text}: {name} has no {', '.join(missing)}; an exam needs prior, draw, problem and exact")
    has_sigma = any(f.name == "sigma_y" for f in fields(cls))
    for s in (sigmas if sigmas and has_sigma and "sigma_y" not in named else None) or (None,):
        given = {} if s is None else {"sigma_y": s}
        exam = build(cls, name, positional, named, names, **given)
        yield Cell(text, "own", s, lambda exam=exam: exam)


def checked(exam: Exam, count: int, seed: int, name: str) -> tuple[Tensor, Tensor]:
    """Return `exam.draw`, with one line for what an exam of a user's own gets wrong."""
    try:
        x0, y = exam.draw(count, seed)
        exact, shape = exam.exact(y, 2, 0), tuple(exam.problem(y[:1]).operator.image_shape)
    except Exception as error:  # noqa: BLE001 (whatever a file of a user raises)
        raise BadInput(f"{name}: the exam fails ({type(error).__name__}: {error}); mend the file") from None
    if tuple(x0.shape) != (count, *shape) or len(y) != count:
        raise BadInput(
            f"{name}: draw({count}) gives x0 {tuple(x0.shape)} and y {tuple(y.shape)}, its operator takes pictures "
            f"{shape}; give x0 ({count}, C, H, W) and y ({count}, ...)"
        )
    if tuple(exact.shape) != (count, 2, *shape) or not bool(exact.isfinite().all()):
        raise BadInput(f"{name}: exact(y, 2) gives {tuple(exact.shape)}, expected finite ({count}, 2, C, H, W)")
    return x0, y


__all__ = ["LEVELS", "PRIOR_NAMES", "PROBLEMS", "QUICK", "Cell", "Exam", "GaussianExam", "LinearExam", "Mixture", "PixelExam", "Ring", "cells", "checked"]  # fmt: skip
