"""check: does an operator, a solver, a noise law or a prior satisfy what it must?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from restorekit.cli.options import Seed

if TYPE_CHECKING:
    import torch

    from restorekit.operators.verify import Check


def check(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="As for `restore --op`, --solver, --noise or --prior, or your own file.py:Name:settings, and that file is run as code.",
            show_default=False,
        ),
    ],
    size: Annotated[str, typer.Option(help="CxHxW of the picture, for an operator or a prior.")] = "3x20x16",
    dtype: Annotated[str, typer.Option(help="float64 or float32, for an operator or a noise law.")] = "float64",
    seed: Seed = 0,
) -> None:
    """Print what an operator, a solver, a noise law or a prior must satisfy, with both sides; exit 1 if something fails.

    restorekit check blur:kernel=gaussian:1.6        restorekit check mine.py:MySolver
    """
    import torch

    from restorekit.errors import BadInput
    from restorekit.operators import report
    from restorekit.text import values

    shape = values.shape(size)
    if dtype not in ("float64", "float32"):
        raise BadInput(f"--dtype {dtype!r} is unknown; it is float64 or float32")
    results = _results(what, shape, getattr(torch, dtype), seed)
    print(report(results))
    failed = [c.name for c in results if not c.passed]
    if failed:
        raise BadInput(f"{len(failed)} of {len(results)} identities fail: {', '.join(failed)}; mend {what}")
    print(f"all {len(results)} identities hold")


def _results(what: str, shape: tuple[int, int, int], dtype: torch.dtype, seed: int) -> list[Check]:
    from restorekit.bench.identities import check_noise, check_prior, check_solver
    from restorekit.errors import BadInput
    from restorekit.inference.likelihood import Likelihood
    from restorekit.inference.solver import Solver
    from restorekit.operators import Operator
    from restorekit.operators import check as check_operator
    from restorekit.priors.find import load_prior, shipped
    from restorekit.priors.prior import LatentPrior
    from restorekit.solvers import SOLVERS
    from restorekit.text.grammar import own_class
    from restorekit.text.names import NOISES, OPERATIONS, noise_of, operator_of, solver_of

    name = what.partition(":")[0]
    kind: type = object
    if name.endswith(".py"):
        try:
            kind = (own_class(what, object) or (object,))[0]
        except BadInput:  # a function or an object: a prior, or missing, which `load_prior` says
            kind = object
        if kind is not object and not issubclass(kind, Operator | Solver | Likelihood):
            kind = object
    if issubclass(kind, Solver) or name in SOLVERS:
        return check_solver(solver_of(what), seed)
    if issubclass(kind, Likelihood) or name in NOISES:
        return check_noise(noise_of(what), dtype, seed)
    if name in shipped() or name.endswith((".safetensors", ".pt", ".pth")) or (name.endswith(".py") and kind is object):
        prior = load_prior(what)
        if isinstance(prior, LatentPrior):
            raise BadInput(
                f"{what} is a prior of latents and denoises no pictures; `restorekit priors verify {what}` checks it"
            )
        bands = shape[0] if shape[0] in prior.spec.bands or 1 in prior.spec.bands else max(prior.spec.bands)
        return check_prior(prior, (bands, *shape[1:]), seed)
    if name not in OPERATIONS and not name.endswith(".py"):
        raise BadInput(
            f"unknown {what!r}; it is an operator ({', '.join(OPERATIONS)}), a noise law ({', '.join(NOISES)}), one of "
            "`restorekit solvers`, one of `restorekit priors list`, or file.py:Class"
        )
    return check_operator(operator_of(what, image=shape), dtype, seed=seed)
