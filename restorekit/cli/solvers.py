"""solvers: what there is, what it needs, what it costs, and how it was measured."""

from __future__ import annotations


def solvers() -> None:
    """List the solvers with their needs, cost and calibration."""
    from rich.console import Console
    from rich.table import Table

    from restorekit.bench.posterior.shipped import calibration
    from restorekit.solvers import SOLVERS

    table = Table(box=None, pad_edge=False)
    for column in ("--solver", "draws", "needs", "calls", "gradients", "W2", "coverage"):
        table.add_column(column, overflow="fold")
    measured = calibration()
    for name, kind in SOLVERS.items():
        w2, coverage = measured.get(name, ("-", "-"))
        solver = kind()
        draws = "samples" if kind.is_sampler else "one optimum"
        table.add_row(
            name,
            draws,
            kind.needs,
            str(solver.calls([1.0] * (kind.default_steps + 1))),
            str(solver.products),
            w2,
            coverage,
        )
    Console(width=140).print(table)
    print(
        "calls: network calls per sample by default; gradients: vector-Jacobian products per call; W2: distance from the exact\n"
        "posterior over that of as many exact draws, and coverage of 90 % intervals, on those Gaussian problems of\n"
        "`restorekit bench posterior` that a solver takes (exact: 1 and 0.9; smc, exchange, enkg at noise 0.05 alone); for other noise\n"
        "laws run it yourself"
    )
    refusing = [name for name, kind in SOLVERS.items() if kind.is_sampler and name not in measured]
    exact = [name for name in refusing if SOLVERS[name].exact]
    other = [name for name in refusing if name not in exact]
    if measured:
        print(
            f"-: one optimum is no draw and has no spread; {' and '.join(exact)} meet a measurement exactly, noise included, and these\n"
            f"have noise; {' and '.join(other)} are for noise laws other than Gaussian"
        )
