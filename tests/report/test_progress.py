"""Bars: on a terminal and in a notebook, nowhere else; `restore` as Python calls it shows one where somebody sees it."""

from __future__ import annotations

import io
import sys
import types
from typing import Any

import pytest
import torch
from rich.console import Console

from restorekit import operators as ops
from restorekit.inference import driver
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.priors.analytic import GaussianPrior
from restorekit.report import progress
from restorekit.solvers import DiffPIR
from restorekit.tasks.solve import restore, restore_each

SHAPE = (1, 8, 8)
PRIOR = GaussianPrior.smooth(SHAPE)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    screen = Terminal()
    monkeypatch.setattr(
        progress, "Console", lambda stderr: Console(file=screen)
    )  # pytest sets sys.stderr again before a test
    monkeypatch.setenv("TERM", "xterm")
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    return screen


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """IPython as far as a bar needs it: what the cell shows, one after the other."""
    cell: list[str] = []

    class Handle:
        def update(self, shown: str) -> None:
            cell.append(shown)

    module: Any = types.ModuleType("IPython.display")
    module.HTML, module.display = str, lambda shown, display_id: Handle()
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    return cell


def cleared(text: str) -> bool:
    """Whether a line was shown, and the last thing done is to erase it."""
    return "DiffPIR" in text and text.endswith("\x1b[2K")


def problem(count: int = 1) -> Problem:
    return Problem(torch.full((count, *SHAPE), 0.4, dtype=torch.float64), ops.Identity(SHAPE), Gaussian(0.1))


def test_nothing_is_shown_where_nobody_looks(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # colours in a pipe are no bars in it
    restore(problem(), PRIOR, DiffPIR(), steps=3)
    restore_each(problem(2), PRIOR, DiffPIR(), steps=3)
    assert capfd.readouterr() == ("", "")


def test_a_terminal_shows_a_bar_and_clears_it(terminal: Terminal) -> None:
    restore(problem(), PRIOR, DiffPIR(), steps=3)
    text = terminal.getvalue()
    assert "DiffPIR" in text
    assert "3/3 network calls" in text
    assert cleared(text)


def test_no_bar_where_it_is_not_wanted(terminal: Terminal) -> None:
    restore(problem(), PRIOR, DiffPIR(), steps=3, progress=False)
    calls: list[int] = []
    restore(problem(), PRIOR, DiffPIR(), steps=3, progress=lambda done, total, step: calls.append(done))
    assert terminal.getvalue() == ""
    assert calls == [1, 2, 3]


def test_a_dumb_terminal_shows_none(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    restore(problem(), PRIOR, DiffPIR(), steps=3)
    assert terminal.getvalue() == ""


def test_a_bar_is_gone_when_a_run_fails(terminal: Terminal) -> None:
    def broken(x: torch.Tensor, sigma: Any, /) -> torch.Tensor:
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        restore(problem(), broken, DiffPIR(), steps=3)
    assert cleared(terminal.getvalue())


def test_a_notebook_shows_a_bar_and_clears_it(notebook: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "OFTEN", 0.0)
    restore_each(problem(2), PRIOR, DiffPIR(), steps=3, batch=1)
    assert "DiffPIR 6/6 network calls" in notebook[-2]
    assert '<progress value="6" max="6">' in notebook[-2]
    assert notebook[-1] == ""
    with progress.bar("<b>") as show:
        show(1, 2)
    assert "&lt;b&gt; 1/2" in notebook[-2]


def test_a_notebook_is_not_drawn_at_every_call(notebook: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "OFTEN", 1e9)
    restore(problem(), PRIOR, DiffPIR(), steps=20)
    assert len(notebook) == 2  # the last call, and the end


def test_phases_have_a_line_each(terminal: Terminal) -> None:
    with progress.phases("pictures") as show:
        show("reading", 1, 2)
        show("writing", 2, 5)
        show("reading", 2, 2)
    text = terminal.getvalue()
    assert all(part in text for part in ("reading", "writing", "2/5 pictures", "2/2 pictures"))


def test_many_pictures_have_one_line(terminal: Terminal) -> None:
    with progress.pictures() as show:
        show("a.png", 0, 3)
        show("[b].png  hqs 3/4", 1.75, 3)
    text = terminal.getvalue()
    assert "1/3 pictures" in text
    assert "[b].png  hqs 3/4" in text
    assert text.endswith("\x1b[2K")


def test_the_time_left_is_by_all_that_was_done(terminal: Terminal) -> None:
    assert progress.seconds_left(1, 4, 10.0, 10.0) == 30  # from the first call on
    assert progress.seconds_left(1, 4, 10.0, 25.0) == 15  # counted down until the next report
    assert progress.seconds_left(2, 4, 10.0, 25.0) == 0
    for done, total in ((0, 1), (0, 4), (1, 1), (3, None)):  # nothing says so, or nothing is left
        assert progress.seconds_left(done, total, 10.0, 10.0) is None
    with progress.phases("calls") as show:
        show("hqs", 0, 1)
        show("kernel", 0, None)
    assert "0/1 calls" in terminal.getvalue()
    assert not any(word in terminal.getvalue() for word in ("None", "left", "ETA", "-:--"))


def test_a_log_has_no_empty_lines_of_bars(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.phases("calls") as show, progress.pictures() as tell:
        show("hqs", 1, 2)
        tell("a.png", 1, 2)
    assert capfd.readouterr() == ("", "")


def test_the_public_functions_are_the_loop_of_the_driver() -> None:
    given: dict[str, Any] = {"steps": 4, "samples": 2, "seed": 3, "record": True}
    solver = DiffPIR()
    here, there = restore(problem(), PRIOR, solver, **given), driver.restore(problem(), PRIOR, solver, **given)
    assert torch.equal(here.samples, there.samples)
    assert len(here.trajectory) == 4
    for a, b in zip(
        restore_each(problem(2), PRIOR, solver, **given),
        driver.restore_each(problem(2), PRIOR, solver, **given),
        strict=True,
    ):
        assert torch.equal(a.samples, b.samples)


def test_both_take_the_same_settings() -> None:
    import inspect

    for mine, other in ((restore, driver.restore), (restore_each, driver.restore_each)):
        assert list(inspect.signature(mine).parameters) == list(inspect.signature(other).parameters)
        defaults = [{n: p.default for n, p in inspect.signature(f).parameters.items()} for f in (mine, other)]
        assert defaults[0] == defaults[1]
