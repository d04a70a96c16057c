"""The command line: one file per command; known errors become one line and a non-zero exit code."""

from __future__ import annotations

import functools
import io
import sys
import warnings
from typing import Annotated, Any

import typer

import restorekit

# isort: off
from restorekit.cli import (
    adapt, bench, calibrate, change, check, cite, compare, degrade, derain, despeckle, fuse, metrics, priors, restore, sample, solvers, train, tune,
)  # fmt: skip

# isort: on
from restorekit.cli.option_files import Command, configured
from restorekit.cli.options import UsageError
from restorekit.cli.wording import as_options, spellings
from restorekit.errors import BadInput, Stopped, unforeseen
from restorekit.files.session import session
from restorekit.notes import Notes
from restorekit.scenes.process_memory import keep_freed_memory
from restorekit.text.terminal import one_line

HELP = "Restore measured pictures with diffusion priors."
app = typer.Typer(help=HELP, no_args_is_help=True, pretty_exceptions_enable=False)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"restorekit {restorekit.__version__}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Restore measured pictures with diffusion priors."""
    notes = Notes(heard=lambda text: print(f"restorekit: note: {text}", file=sys.stderr))
    context.with_resource(session(notes))


for command in (
    restore.restore, restore.denoise, restore.inpaint, restore.deblur, restore.upscale, restore.colorize, restore.dejpeg,
    compare.compare, degrade.degrade, fuse.fuse, despeckle.despeckle, derain.derain, check.check, train.train, sample.sample, solvers.solvers,
    tune.tune, calibrate.calibrate, adapt.adapt, change.change, cite.cite,
):  # fmt: skip
    app.command()(command)
for name, commands in {"metrics": metrics.app, "priors": priors.app, "bench": bench.app}.items():
    app.add_typer(commands, name=name)
for group in (app, metrics.app, priors.app, bench.app):
    for registered in group.registered_commands:
        assert registered.callback is not None
        registered.cls, registered.callback = Command, configured(registered.callback)


def _fail(message: str, code: int) -> int:
    print(f"restorekit: {one_line(message)}", file=sys.stderr)
    return code


@functools.cache
def _command() -> Any:
    """Return all commands as they are parsed. Putting them together takes longer than most refusals."""
    return typer.main.get_command(app)


def _options(arguments: list[str]) -> dict[str, str]:
    """All options of the command that the arguments name, as "--noise", each spelling with the one to show."""
    command = _command()
    for name in arguments:
        if name in getattr(command, "commands", {}):
            command = command.commands[name]
    return spellings(command)


def _usage(error: Any) -> str:
    path = error.ctx.command_path if error.ctx else "restorekit"
    known = [o for p in error.ctx.command.params for o in p.opts if o.startswith("--")] if error.ctx else []
    listing = f"; options: {', '.join(known)}" if hasattr(error, "option_name") else ""
    said = error.format_message() or f"{path} takes a command"  # after the help that lists them
    return f"{said} (see `{path} --help`{listing})"


def _stopped(arguments: list[str]) -> int:
    """Say what a Ctrl-C leaves of a command; `train` says so itself."""
    command = next((a for a in arguments if not a.startswith("-")), "")
    measured = "what was measured is kept"
    kept = {"bench": measured, "tune": measured, "calibrate": "what was drawn is kept", "despeckle": "finished blocks are kept"}  # fmt: skip
    going_on = f"{kept[command]}, the same command goes on" if command in kept else "nothing was written"
    return _fail(f"stopped; {going_on}", 130)


def run(arguments: list[str] | None = None) -> None:
    """The entry point of the `restorekit` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may be no UTF-8
            stream.reconfigure(errors="backslashreplace")
    if arguments is None:
        arguments = sys.argv[1:]
        if arguments[:1] != ["bench"]:  # which measures how much memory each run takes
            keep_freed_memory()
        if "--debug" not in arguments and not sys.warnoptions:
            warnings.simplefilter("ignore")  # what other libraries say of their own: no line here is Python's
    debug, arguments = "--debug" in arguments, [a for a in arguments if a != "--debug"]  # added at the end, as advised
    try:
        code = _command()(arguments, standalone_mode=False, prog_name="restorekit")
        if code == 130:  # what newer versions of typer make of a KeyboardInterrupt
            code = _stopped(arguments)
    except UsageError as error:
        code = _fail(_usage(error), 2)
    except (typer.Abort, KeyboardInterrupt):
        code = _stopped(arguments)
    except Stopped as error:
        code = _fail(as_options(str(error), _options(arguments)), error.code)
    except Exception as error:
        if debug:
            raise
        ours = isinstance(error, BadInput)
        known = _options(arguments) if ours else ["--batch", "--tile", "--debug"]
        code = _fail(as_options(str(error) if ours else unforeseen(error), known), 1)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    run()
