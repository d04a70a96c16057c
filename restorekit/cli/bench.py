"""bench: compare solvers on problems whose answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Compare solvers where the answer is known.", no_args_is_help=True)


@app.command()
def posterior(
    solvers: Annotated[list[str] | None, typer.Option("--solver", help="With settings, as dps:paper=true; again for more; default: all.")] = None,
    problems: Annotated[list[str] | None, typer.Option("--problem", help="Of the table; again for more; default: all.")] = None,
    steps: Annotated[list[int] | None, typer.Option(min=2, help="Noise levels; again for more; default: the solver's own.")] = None,
    full: Annotated[bool, typer.Option("--full", help="More problems, measurements and samples (an hour; quick: minutes).")] = False,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path, typer.Option(help="Folder for posterior.csv and posterior.md; a run goes on where it stopped.")] = Path("bench"),
) -> None:  # fmt: skip
    """Samples against exact posteriors: distance, bias, spread, coverage. restorekit bench posterior --solver mmps --solver dps"""
    import torch

    from restorekit.bench.table import run

    torch.set_num_threads(1)
    print(run(solvers or None, problems or None, list(steps or [None]), not full, seed, out))
