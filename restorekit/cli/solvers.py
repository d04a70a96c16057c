"""solvers: what there is, what it needs, what it costs, and how it was measured."""

from __future__ import annotations


def solvers() -> None:
    """List the solvers with their needs, cost and calibration."""
    from restorekit.bench.posterior.shipped import HEADER, solver_rows
    from restorekit.cli.wording import print_table

    rows, meaning = solver_rows()
    print_table([f"--{HEADER[0]}", *HEADER[1:]], rows, width=140)
    print(meaning)
