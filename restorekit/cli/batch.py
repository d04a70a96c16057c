"""Commands of one picture run here: on IN and OUT, or on many pictures with --out FOLDER."""

from __future__ import annotations

import inspect
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.models import ArgumentInfo

from restorekit.cli.options import CHECKED, PANEL, Overwrite, Scheduler, UsageError, as_command, parameter, values
from restorekit.cli.wording import as_options, options_of, print_doubts, printed, say
from restorekit.errors import FAULT, BadInput, Stopped
from restorekit.report.progress import phases, pictures
from restorekit.text.terminal import one_line

if TYPE_CHECKING:
    from restorekit.tasks.batch import PictureOutcome

Folder = Annotated[Path | None, typer.Option("--out", metavar="FOLDER", show_default=False, rich_help_panel=PANEL, help="Write the results there, by the names of their pictures: all else that is named is IN, files, folders and 'globs'. What is done already is not done again.")]  # fmt: skip
Suffix = Annotated[str | None, typer.Option(metavar=".png|.tif", show_default="that of IN", rich_help_panel=PANEL, help="Format of the results.")]  # fmt: skip


@dataclass(frozen=True)
class Many:
    """The inputs that stand for IN where there are many: files, folders and globs, with the options `--suffix` and
    `--scheduler`.
    """

    places: Sequence[Path]
    suffix: str | None
    scheduler: str | None


def several(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command of IN OUT take IN... --out FOLDER: it is then given `Many` and the folder. Of one of two inputs, OPTICAL
    SAR OUT, each may then be a folder."""
    known = inspect.signature(command, eval_str=True).parameters
    infos = {name: getattr(p.annotation, "__metadata__", (None,))[0] for name, p in known.items()}
    own = {name: info for name, info in infos.items() if isinstance(info, ArgumentInfo)}
    first, *between, last = own

    def run(ctx: Any, places: list[Path] | None, folder: Path | None, suffix: str | None, **rest: Any) -> None:
        places = places or []
        away = None if "scheduler" in known else rest.pop("scheduler")
        if CHECKED in ctx.meta:  # which opens none of these
            ctx.params["places"] = places
            return command(ctx, **{name: Path(str(info.metavar)) for name, info in own.items()}, **rest)
        names = [first, *between, last][: None if folder is None else -1]
        if len(places) < len(names):
            raise UsageError(f"Missing argument '{own[names[len(places)]].metavar}'.", ctx)
        if len(places) > len(names) and (folder is None or between):
            extra = f"Got unexpected extra argument ({places[len(names)]})"
            raise UsageError(f"{extra}; many pictures need --out FOLDER", ctx)
        if folder is None and (suffix or away):
            raise BadInput("`suffix` and `scheduler` are for many pictures, with --out FOLDER")
        given: dict[str, Any] = dict(zip(names, places))
        if folder is not None:
            given |= {first: Many(places[:1] if between else places, suffix, away), last: folder}
        return command(ctx, **given, **rest)

    metavar = " ".join(str(info.metavar) for info in own.values())
    help_ = " ".join(f"{info.metavar}: {info.help}" for info in own.values())
    place = Annotated[list[Path] | None, typer.Argument(metavar=metavar, help=help_, show_default=False)]
    options = {"folder": Folder, "suffix": Suffix, "scheduler": Scheduler}
    parameters = [p for name, p in known.items() if name not in (*own, "ctx")]
    parameters += [parameter("overwrite", Overwrite, False)]
    parameters += [parameter(name, kind, None) for name, kind in options.items() if name not in known]
    many = as_command(run, command, [known["ctx"], parameter("places", place, None), *parameters])
    many.checks = True  # type: ignore[attr-defined]
    many.usage = f"{metavar} | {metavar.rpartition(' ')[0]}{'' if between else '...'} --out FOLDER"  # type: ignore[attr-defined]
    return many


def perform(
    ctx: typer.Context, task: Callable[..., Any], source: Path | Many, target: Path, settings: dict[str, Any],
    line: Callable[[Any, Path, list[Path]], str], *, unit: str = "network calls",
    suffix: str | None = None,
) -> None:  # fmt: skip
    """Run a task with options on IN, or on many, write what it gives, and print `line` of each result, its place and its files.

    suffix: of the results of many, where it is not that of IN."""
    from restorekit.files.overwrite import overwriting, refuse_foreign
    from restorekit.tasks.batch import call_task, texts_of
    from restorekit.tasks.pages import readings
    from restorekit.tasks.sound import check_settings
    from restorekit.tasks.written import written_by

    settings = values(settings)
    pages, overwrite = settings.pop("pages", None), settings.pop("overwrite")
    if CHECKED in ctx.meta:
        return check_settings(task, settings)
    if isinstance(source, Many):
        many = replace(source, suffix=source.suffix or suffix)
        return _perform_many(ctx, task, many, target, settings, pages, overwrite)
    two = "sar" not in settings and target.suffix != ".html"  # which may be meant as two pictures
    with overwriting(overwrite, f"; if {target} is a picture to treat too, `out=FOLDER` takes both" if two else ""):
        parts = readings(source, target, settings.get("layout"), pages)
        if len(parts) > 1:  # the later ones before the first is made
            refuse_foreign(path for _, out in parts for path in written_by(task, settings, out))
        for reading, out in parts:
            notes, own = printed(ctx), {} if pages is None else {"page": reading.page}
            with phases(unit) as show:
                result = call_task(task, source, {**settings, **own}, {"out": out, "notes": notes, "progress": show})
            say(line(result, out, result.save(out)))
            print_doubts(ctx, texts_of(result), notes)
    return None


def check_report(source: Path | Many, page: Path | None) -> None:
    """Refuse, before any work, a report of many pictures, and one that cannot be written."""
    from restorekit.files.atomic import check_page

    if page is None:
        return
    if isinstance(source, Many):
        raise BadInput("`report` is a page of one picture; give IN and OUT, or leave it out", argument="report")
    check_page(page)


def warn(ctx: typer.Context, *texts: str) -> None:
    """Print lines about pictures of many on stderr, settings as options."""
    for text in texts:
        print(f"restorekit: {one_line(as_options(text, options_of(ctx)))}", file=sys.stderr)


def warn_of_wrong(ctx: typer.Context, outcomes: Sequence[PictureOutcome]) -> None:
    """Print what is wrong with pictures of many, each on a line; with --debug also the tracebacks of what nobody foresaw."""
    from restorekit.tasks.batch_report import wrong

    for text, trace in wrong(outcomes):
        warn(ctx, text + (f" ({FAULT}; --debug shows more)" if trace else ""))
        if trace and ctx.find_root().params.get("debug"):
            print(trace, file=sys.stderr)


def _perform_many(
    ctx: typer.Context, task: Callable[..., Any], many: Many, folder: Path, settings: dict[str, Any], pages: str | None, overwrite: bool
) -> None:  # fmt: skip
    from rich.console import Console

    from restorekit.tasks.batch import Batch
    from restorekit.tasks.batch_report import SharedNotes, table_of

    notes = SharedNotes()
    try:
        with pictures() as show:
            batch = Batch(task, settings, many.suffix, pages, many.scheduler, overwrite)
            result = batch(many.places, folder, notes=printed(ctx), heard=lambda o: warn(ctx, *notes.heard(o)), progress=show)  # fmt: skip
    except KeyboardInterrupt:
        raise Stopped("stopped; finished pictures are kept, the same command goes on", signal.SIGINT) from None
    warn(ctx, *notes.repeated())
    Console(highlight=False).print(table_of(result.outcomes, one_line))
    warn_of_wrong(ctx, result.outcomes)
    say(f"{folder}  ({result.counts}{'' if result.unwritten else f', and {result.summary.name}'})")
    if result.unwritten:
        warn(ctx, result.unwritten)
    if result.failed or result.unwritten:
        raise typer.Exit(1)
