"""priors: list the shipped ones, show a model card, verify a checkpoint, judge one on pictures."""

from __future__ import annotations

from typing import Annotated

import typer

from restorekit.cli.evaluate import evaluate
from restorekit.cli.wording import say

app = typer.Typer(help="The trained priors.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="A shipped name, or a file or folder as for --prior.", show_default=False)]


@app.command("list")
def list_() -> None:
    """The shipped priors, a line each."""
    from restorekit.tasks.prior_card import listed_priors

    print("\n".join(listed_priors()))


@app.command()
def show(name: Name) -> None:
    """Print what is known about a prior: for shipped ones the model card, else what its files say; and its
    calibration."""
    from restorekit.tasks.prior_card import card_of

    print(card_of(name))


@app.command()
def verify(name: Name) -> None:
    """Load a checkpoint, run it, and check that it denoises; exit 1 if not."""
    from restorekit.tasks.prior_card import verified

    for line in verified(name):
        say(line)


app.command("eval")(evaluate)
