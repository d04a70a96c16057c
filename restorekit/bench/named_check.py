"""`check_named` checks an operator, a solver, a noise law or a prior, found by its name or in a file of its own."""

from __future__ import annotations

from collections.abc import Callable

import torch

from restorekit.bench.identities import check_noise, check_prior, check_solver
from restorekit.errors import BadInput
from restorekit.inference.likelihood import Likelihood
from restorekit.inference.solver import Solver
from restorekit.operators import Operator, report
from restorekit.operators import check as check_operator
from restorekit.operators.verify import Check
from restorekit.priors.find import load_prior, shipped
from restorekit.priors.prior import LatentPrior
from restorekit.solvers import SOLVERS
from restorekit.text.grammar import own_class
from restorekit.text.names import NOISES, OPERATIONS, noise_of, operator_of, solver_of
from restorekit.text.values import shape


def check_named(
    what: str, sides: tuple[int, int, int] = (3, 20, 16), dtype: torch.dtype = torch.float64, seed: int = 0
) -> list[Check]:
    """Return the identities that `what` must satisfy, as "blur:kernel=gaussian:2", "mmps", "poisson:20", "natural", or "file.py:Name".

    sides: (C, H, W) of the picture, for an operator or a prior. dtype: for an operator or a noise law. Raises BadInput for what is
    unknown.
    """
    name, kind = what.partition(":")[0], _kind(what)
    if issubclass(kind, Solver) or name in SOLVERS:
        return check_solver(solver_of(what), seed)
    if issubclass(kind, Likelihood) or name in NOISES:
        return check_noise(noise_of(what), dtype, seed)
    if name in shipped() or name.endswith((".safetensors", ".pt", ".pth")) or (name.endswith(".py") and kind is object):
        return _check_prior(what, sides, seed)
    if name not in OPERATIONS and not name.endswith(".py"):
        raise BadInput(
            f"unknown {what!r}; it is an operator ({', '.join(OPERATIONS)}), a noise law ({', '.join(NOISES)}), one of "
            "`restorekit solvers`, one of `restorekit priors list`, or file.py:Class"
        )
    return check_operator(operator_of(what, image=sides), dtype, seed=seed)


def show_checks(what: str, size: str, dtype: str, seed: int, show: Callable[[str], object]) -> None:
    """Show the identities that `what` must satisfy, both sides. size: "CxHxW". Raises BadInput where one fails."""
    if dtype not in ("float64", "float32"):
        raise BadInput(f"`dtype={dtype}` is unknown; it is float64 or float32")
    results = check_named(what, shape(size), getattr(torch, dtype), seed)
    show(report(results))
    if failed := [c.name for c in results if not c.passed]:
        raise BadInput(f"{len(failed)} of {len(results)} identities fail: {', '.join(failed)}; mend {what}")
    show(f"all {len(results)} identities hold")


def _kind(what: str) -> type:
    """Return the class that a file of one's own holds; object for a prior, for what is missing there, and for names."""
    if not what.partition(":")[0].endswith(".py"):
        return object
    try:
        kind = (own_class(what, object) or (object,))[0]
    except BadInput:  # a function or an object: a prior, or missing, which `load_prior` says
        return object
    return kind if issubclass(kind, Operator | Solver | Likelihood) else object


def _check_prior(what: str, shape: tuple[int, int, int], seed: int) -> list[Check]:
    prior = load_prior(what)
    if isinstance(prior, LatentPrior):
        raise BadInput(
            f"{what} is a prior of latents and denoises no pictures; `restorekit priors verify {what}` checks it"
        )
    bands = shape[0] if shape[0] in prior.spec.bands or 1 in prior.spec.bands else max(prior.spec.bands)
    return check_prior(prior, (bands, *shape[1:]), seed)
