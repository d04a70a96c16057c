"""`--config FILE` and `--print-config` of every command."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from restorekit.cli.options import CHECKED, UsageError, as_command, given, parameter, values
from restorekit.errors import BadInput

SHOW = "restorekit.print_config"  # in the context
READ = "restorekit.config"  # there too: (name, place in the file, texts) of each setting that it has


def configured(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the two options; one with a `--config` of its own, such as `train`, stays as it is."""
    known = inspect.signature(command, eval_str=True).parameters.values()
    if any(p.name == "config" for p in known):
        return command

    def run(config: None = None, print_config: None = None, **settings: Any) -> Any:  # which were heard already
        return command(**settings)

    options = [parameter("config", Config, None), parameter("print_config", Print, False)]
    return as_command(run, command, [*known, *options])


class Command(TyperCommand):
    """A command whose options may stand in a file, and can be printed as one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; with --print-config no option is required."""
        needed = [p for p in self.params if p.required and "--print-config" in args]
        try:
            for parameter in needed:
                parameter.required = False
            return super().parse_args(ctx, args)
        finally:
            for parameter in needed:
                parameter.required = True

    def invoke(self, ctx: Any) -> Any:
        """Run the command, or print its options where --print-config asks for them, refused as by a run if they are wrong.

        What is wrong with a setting of a file names its line there.
        """
        try:
            return self._invoke(ctx)
        except BadInput as error:
            if place := _place_of(ctx, error):
                error.args = (f"{place}: {error}",)
            raise

    def _invoke(self, ctx: Any) -> Any:
        if not ctx.meta.get(SHOW):
            return super().invoke(ctx)
        from restorekit.text.config_file import settings_text

        if getattr(self.callback, "checks", False):
            ctx.meta[CHECKED] = True
            super().invoke(ctx)
        else:
            from restorekit.bench.command_settings import check_command

            check_command(ctx.command_path.partition(" ")[2], given(ctx.params))
        rows = [(name, ctx.params[p.name], p.help or "") for name, p in _options(ctx).items()]
        print(settings_text(ctx.command_path, rows))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line: the callback's own `usage` after [OPTIONS], where it has one."""
        usage = getattr(self.callback, "usage", None)
        return super().collect_usage_pieces(ctx) if usage is None else ["[OPTIONS]", usage]


def _options(ctx: Any) -> dict[str, Any]:
    """The options that a file may have, by their names there."""
    found = [p for p in ctx.command.params if p.param_type_name == "option" and p.expose_value]
    return {p.opts[0].lstrip("-").replace("-", "_"): p for p in found}


def _read(ctx: typer.Context, path: str | None) -> None:
    if path is not None and not ctx.resilient_parsing:
        from restorekit.text.config_file import read_settings

        options = _options(ctx)
        ctx.default_map = {}
        for name, (value, line) in read_settings(path, options, ctx.command_path).items():
            option = options[name]
            if isinstance(value, list) and not option.multiple:
                value = ",".join(value)
            texts, place = [value] if isinstance(value, str) else value, f"{path}, line {line}: {name}"
            _check(ctx, option, texts if option.multiple else value, place)
            ctx.default_map[option.name] = value
            ctx.meta.setdefault(READ, []).append((option.name, place, texts))


def _place_of(ctx: Any, error: BadInput) -> str | None:
    """Return where in a file the setting stands that an error speaks of; None where it cannot be told."""
    source = ctx.get_parameter_source  # what the command line has too is that of the command line
    known = [row for row in ctx.meta.get(READ, ()) if getattr(source(row[0]), "name", "") == "DEFAULT_MAP"]
    from restorekit.text.config_file import place_of

    return place_of(error, known)


def _check(ctx: typer.Context, option: Any, value: Any, place: str) -> None:
    """Raise BadInput, which begins with the place in the file, where the option does not take the value."""
    try:
        values({option.name: option.process_value(ctx, value)})
    except (UsageError, BadInput) as error:
        raise BadInput(f"{place}: {getattr(error, 'message', error)}") from None


def _show(ctx: typer.Context, asked: bool) -> None:
    ctx.meta[SHOW] = asked


Config = Annotated[str | None, typer.Option("--config", metavar="FILE", is_eager=True, expose_value=False, callback=_read, show_default=False, help="YAML of these options; the command line goes first.")]  # fmt: skip
Print = Annotated[bool, typer.Option("--print-config", is_eager=True, expose_value=False, callback=_show, help="Print these options as such a file, and do nothing else.")]  # fmt: skip
