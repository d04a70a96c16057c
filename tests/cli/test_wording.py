"""Messages of the library name settings; on the command line they read as options."""

import warnings

import pytest

from restorekit.cli.main import run
from restorekit.cli.wording import as_options
from restorekit.errors import BadInput
from restorekit.notes import Notes, RestorekitNote


def test_settings_read_as_options() -> None:
    text = "`range_=0,4095` or `max_steps`; `x` of `noise`"
    assert as_options(text, ["--range", "--max-steps"]) == "--range 0,4095 or --max-steps; `x` of `noise`"


def test_only_options_of_the_command_that_ran(monkeypatch, capsys) -> None:
    def refuse(*_, **__) -> None:
        raise BadInput("no `op=blur`, `noise` or `solver=dps`", argument="op")

    monkeypatch.setattr("typer.Typer.__call__", refuse)
    for arguments, said in (
        (["restore", "a.png", "b.png"], "no --op blur, --noise or --solver dps"),
        (["denoise", "a.png", "b.png"], "no `op=blur`, --noise or --solver dps"),
        (["cite"], "no `op=blur`, `noise` or `solver=dps`"),
    ):
        with pytest.raises(SystemExit) as stopped:
            run(arguments)
        assert stopped.value.code == 1
        assert capsys.readouterr().err == f"restorekit: {said}\n"


def test_notes_come_once_and_at_once() -> None:
    heard: list[str] = []
    notes = Notes(heard.append)
    for text in ("a", "b", "a"):
        notes(text)
    assert heard == notes.texts == ["a", "b"]
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        notes.warn()
    assert [(str(w.message), w.category) for w in raised] == [("a", RestorekitNote), ("b", RestorekitNote)]
