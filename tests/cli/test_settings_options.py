"""Options are made of a dataclass of settings, whose fields document themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.testing import CliRunner

from restorekit.cli.options import given, settings_options
from restorekit.text.choices import Choice


@dataclass(frozen=True, kw_only=True)
class Chosen:
    names: Annotated[Sequence[str], Choice("Of pictures. Default: a.")] = ("a",)
    size: Annotated[tuple[int, int] | None, Choice("Pixels.", form="HxW")] = None
    limit: Annotated[int | None, Choice("At most so many of `names`.", least=1)] = None
    whole: Annotated[bool, Choice("No part.")] = False
    seed: int = 0


def test_a_command_has_an_option_for_each_field() -> None:
    app, got = typer.Typer(), []

    @app.command()
    @settings_options(Chosen, whole=("--whole",))
    def command(**settings: Any) -> None:
        got.append(Chosen(**given(settings)))

    def call(*words: str) -> Any:
        return CliRunner().invoke(app, words, env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})

    assert call().exit_code == 0
    assert (
        call("--names", "b", "--names", "c", "--size", "4x6", "--limit", "2", "--whole", "--seed", "3").exit_code == 0
    )
    assert got == [Chosen(), Chosen(names=("b", "c"), size=(4, 6), limit=2, whole=True, seed=3)]
    assert call("--limit", "0").exit_code == 2
    assert "no-whole" not in call("--help").output
    for text in ("Of pictures; again for more. Default: a.", "HxW", "At most so many of --names.", "Same seed"):
        assert text in call("--help").output
