"""Messages of the library name settings; on the command line they read as options."""

import warnings

import pytest

from restorekit.cli.main import run
from restorekit.cli.wording import as_options, say
from restorekit.errors import FAULT, BadInput
from restorekit.notes import Notes, RestorekitNote
from restorekit.text.terminal import one_line


def test_settings_read_as_options() -> None:
    text = "`range_=0,4095` or `max_steps`; `x` of `noise`"
    assert as_options(text, ["--range", "--max-steps"]) == "--range 0,4095 or --max-steps; `x` of `noise`"
    assert as_options("`purpose=eye`", {"--for": "--for", "--purpose": "--for"}) == "--for eye"


def test_only_options_of_the_command_that_ran(monkeypatch, capsys) -> None:
    def refuse(*_, **__) -> None:
        raise BadInput("no `op=blur`, `noise` or `solver=dps`", argument="op")

    monkeypatch.setattr("typer.core.TyperGroup.__call__", refuse)
    for arguments, said in (
        (["restore", "a.png", "b.png"], "no --op blur, --noise or --solver dps"),
        (["denoise", "a.png", "b.png"], "no `op=blur`, --noise or --solver dps"),
        (["cite"], "no `op=blur`, `noise` or `solver=dps`"),
    ):
        with pytest.raises(SystemExit) as stopped:
            run(arguments)
        assert stopped.value.code == 1
        assert capsys.readouterr().err == f"restorekit: {said}\n"


def test_control_characters_do_not_reach_the_terminal(capsys) -> None:
    say("\x1b[31mred\n.png  (3 files)")
    assert capsys.readouterr().out == "\\x1b[31mred\\n.png  (3 files)\n"
    assert one_line("a\x1b[31m\nb\tc\udcff\x9b\u202e") == "a\\x1b[31m b c\\udcff\\x9b\\u202e"
    assert one_line("Bäume 木") == "Bäume 木"


@pytest.mark.parametrize("error", [KeyError("lost"), RecursionError(), RuntimeError("a\nb")])
def test_what_nobody_foresaw_is_one_line(monkeypatch, capsys, error: Exception) -> None:
    def fail(*_, **__) -> None:
        raise error

    monkeypatch.setattr("typer.core.TyperGroup.__call__", fail)
    with pytest.raises(SystemExit) as stopped:
        run(["cite"])
    assert stopped.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"restorekit: {FAULT} ({type(error).__name__}")
    for words in (["--debug", "cite"], ["cite", "--debug"]):  # as the line advises, and where who follows it puts it
        with pytest.raises(type(error)):
            run(words)


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


@pytest.mark.parametrize(("options", "raised"), [([], 0), (["--debug"], 1)])
def test_what_other_libraries_warn_of_is_printed_with_debug_alone(monkeypatch, options: list[str], raised: int) -> None:
    monkeypatch.setattr("typer.core.TyperGroup.__call__", lambda *_, **__: warnings.warn("of a library", stacklevel=1))
    monkeypatch.setattr("sys.argv", ["restorekit", "bench", *options])
    monkeypatch.setattr("sys.warnoptions", [])
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with pytest.raises(SystemExit):
            run()
    assert len(heard) == raised
