"""Options that several commands share, each defined once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from restorekit.cli.wording import as_options
from restorekit.text.completion import complete_noise, complete_prior, complete_solver
from restorekit.text.values import box, changes, grain, level, levels, looks, numbers, size, span, structure, targets

In = Annotated[Path, typer.Argument(metavar="IN", help="Measured picture: PNG, JPEG, TIFF, NPY.", show_default=False)]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="Restored picture; its suffix is its format.", show_default=False)]  # fmt: skip
ASSUMED = (Annotated[str | None, typer.Option("--noise", autocompletion=complete_noise, help="gaussian:SIGMA (white = 1), poisson:COUNTS_AT_WHITE, poisson-gaussian:GAIN,READ, gamma:LOOKS (speckle); auto measures it.", show_default="gaussian:0.01, which is assumed")], None)  # fmt: skip
ROUNDING = (Annotated[str | None, typer.Option("--noise", autocompletion=complete_noise, help="gaussian:SIGMA (white = 1), poisson:COUNTS_AT_WHITE, poisson-gaussian:GAIN,READ, gamma:LOOKS (speckle); auto measures it.", show_default="gaussian:0.002, which is assumed, more for JPEG")], None)  # fmt: skip
SolverOpt = Annotated[str, typer.Option("--solver", autocompletion=complete_solver, help="A name of `restorekit solvers`, with settings, as diffpir:zeta=0.5; or file.py:Class, and that file is run as code.")]  # fmt: skip
PriorOpt = Annotated[str, typer.Option("--prior", autocompletion=complete_prior, help="A shipped prior (`restorekit priors list`), a .safetensors file, a diffusers folder, a .pt of guided-diffusion, or file.py:Name.")]  # fmt: skip
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Same seed, same picture: on one machine, with one version and number of threads.")]  # fmt: skip
Range = Annotated[str | None, typer.Option("--range", metavar="LO,HI", help="File values that mean black and white, where not [0, 1] or full scale.")]  # fmt: skip
LayoutOpt = Annotated[str | None, typer.Option("--layout", metavar="HWC|CHW", help="Axes of an NPY of three: rows, columns, bands, or bands first.", show_default="HWC")]  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Default: all cores.", show_default=False)]
NetworkOpt = Annotated[bool, typer.Option("--network", help="IN may be an address, https://..., read by the parts that are needed.")]  # fmt: skip

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files of the names of the results, also those that restorekit did not make.")]  # fmt: skip

UsageError: Any = typer.BadParameter.__bases__[0]  # of click, or of the copy of it that newer versions of typer carry
CHECKED = "restorekit.checked"  # in the context of a command that is to check its settings and do nothing else
PANEL = "Many pictures"
Scheduler = Annotated[str | None, typer.Option(metavar="ADDRESS", show_default=False, rich_help_panel=PANEL, help="Of a dask cluster that sees the same folders, as tcp://host:8786. It is trusted: it and all who can reach it may run code here.")]  # fmt: skip

# Options that commands share: name of the parameter, its type, its default. First those of all that restore a picture.
_PICTURE: dict[str, tuple[Any, Any]] = {
    "noise": (Annotated[str, typer.Option(autocompletion=complete_noise, help="gaussian:SIGMA (white = 1), poisson:COUNTS_AT_WHITE, poisson-gaussian:GAIN,READ (variance GAIN * value + READ^2), grain:SIGMA,WIDTH (pixels), gamma:LOOKS (speckle; of logarithms gamma:LOOKS,domain=log); auto measures it.")], "auto"),
    "solver": (SolverOpt, "auto"),
    "prior": (PriorOpt, "natural"),
    "samples": (Annotated[int, typer.Option(min=1, max=100_000, help="Posterior samples; more than one also gives mean, standard deviation and intervals.")], 1),
    "steps": (Annotated[int | None, typer.Option(min=1, max=100_000, help="Noise levels; default: what the task was tuned at, or the solver's own.")], None),
    "seed": (Seed, 0),
    "device": (Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")], "auto"),
    "tile": (Annotated[int | None, typer.Option(min=8, help="Side of the windows the network sees, pixels; smaller needs less memory. Default: 512; for mamba-cascade and priors of latents, whose result depends on it, what suits their training; for networks of other libraries, whose result depends on it too, the whole picture.")], None),
    "precision": (Annotated[str, typer.Option(help="auto, bf16 or fp32 for the network.")], "auto"),
    "flips": (Annotated[int, typer.Option(help="Average the network over 2, 4 or 8 flips (as many times slower); 1: off.")], 1),
    "range_": (Range, None),
    "clipped": (Annotated[str, typer.Option("--clipped", help="Values at the limits of a file of integers: censored, that or beyond; measured, as they are; missing; auto: censored, and measured where the noise is assumed.")], "auto"),
    "preview": (Annotated[str | None, typer.Option(metavar="TOP,LEFT,H,W", help="Restore this part of IN alone, pixels, to see what the settings do.", show_default=False)], None),
    "layout": (LayoutOpt, None),
    "pages": (Annotated[str | None, typer.Option("--pages", metavar="N|N-M|all", help="Pages of a TIFF of several, from 1. Of more than one, each is restored by itself, into OUT_pN.", show_default="refused")], None),
    "level": (Annotated[float | None, typer.Option("--level", min=0.5, max=0.99, help="Of OUT_low and OUT_high: the share of true values between them.", show_default="0.9")], None),
    "calibration": (Annotated[str | None, typer.Option("--calibration", metavar="FILE", show_default="auto", help="What makes OUT_low and OUT_high hold, from `restorekit calibrate`; auto: that beside the prior, and a note where there is none; none: intervals of a Gaussian posterior.")], None),
}  # fmt: skip
PICTURE = tuple(_PICTURE)
REQUIRED = inspect.Parameter.empty  # for a default
_SHARED = _PICTURE | {
    "transfer": (Annotated[str, typer.Option("--transfer", metavar="auto|srgb|linear|gamma:G|FILE.icc", help="Curve from light to the values of the file: auto (for blur and decimate of photographs that which the file carries, else sRGB for 8 bits; linear for all others), srgb, linear (values as they are: a blur that was simulated in them), gamma:2.2, or that of an ICC profile. --noise is in the unit of the light.")], "auto"),
    "page": (Annotated[int | None, typer.Option("--pages", min=1, metavar="N", help="Page of a TIFF of several, from 1.", show_default="refused")], None),
    "threads": (Threads, None),
    "scheduler": (Scheduler, None),
}  # fmt: skip
_READ = {"bands": numbers, "changes": changes, "grain": grain, "looks": looks, "preview": box, "range": span, "sigma": level, "sigmas": levels,
         "size": size, "target": box, "targets": targets, "structure": structure, "window": box}  # fmt: skip


Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def shared_options(*names: str, **other: tuple[Any, Any]) -> Decorator:
    """Give a command these shared options, as keywords of its `**settings`; `other`: types and defaults that are its own, of a
    shared option or, before these, of one that no other command has."""
    known = _SHARED | other
    return _adding([parameter(name, *known[name]) for name in (*(n for n in other if n not in names), *names)])


def settings_options(settings: type, **names: tuple[str, ...]) -> Decorator:
    """Give a command the fields of a dataclass of settings as options, as keywords of its `**settings`.

    A field with a `Choice` says all of its option, others are shared options. names: of options that are not called as the field."""
    kinds = get_type_hints(settings, include_extras=True)
    known = [f"--{f.name}" for f in fields(settings)]
    return _adding([_option(f, kinds[f.name], names.get(f.name, ()), known) for f in fields(settings)])


def _adding(options: list[inspect.Parameter]) -> Decorator:
    def added(command: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "settings"]
        return as_command(command, command, [*own, *options])

    return added


def _option(field: Field[Any], kind: Any, names: tuple[str, ...], known: list[str]) -> inspect.Parameter:
    """Return the option of a field: of a sequence one that is given again for more, of a tuple its text."""
    if get_origin(kind) is not Annotated:
        return parameter(field.name, *_SHARED[field.name])
    kind, choice = get_args(kind)
    default = inspect.Parameter.empty if field.default is MISSING else field.default
    help_ = as_options(choice.text, known)
    plain = next((k for k in get_args(kind) if get_origin(k)), kind)  # of X | None
    if get_origin(plain) is Sequence:
        kind, default = list[get_args(plain)[0]] | None, default if field.default is MISSING else None
        help_ = re.sub(r"(?=; default|\. Default|\.$)", "; again for more", help_, count=1)
    elif get_origin(plain) is tuple:
        kind = str | None
    info = typer.Option(*names, min=choice.least, max=choice.most, metavar=choice.form, help=help_)
    return parameter(field.name, Annotated[kind, info], default)


def parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    """Return a parameter of a command."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def as_command(run: Any, command: Any, parameters: Iterable[inspect.Parameter]) -> Callable[..., Any]:
    """Return `run` with the name and the help of a command, and with these parameters, which typer reads, all as keywords."""
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__dict__ |= command.__dict__
    run.__signature__ = inspect.Signature([parameter(p.name, p.annotation, p.default) for p in parameters])
    run.__annotations__ = {p.name: p.annotation for p in run.__signature__.parameters.values()}
    return run


def values(settings: dict[str, Any]) -> dict[str, Any]:
    """Options as settings of a task: texts of numbers become numbers."""
    named = {name.rstrip("_"): value for name, value in settings.items()}
    return {n: _READ[n](v, n) if n in _READ and isinstance(v, str) else v for n, v in named.items()}


def given(settings: dict[str, Any]) -> dict[str, Any]:
    """Options that were given, as settings of a dataclass, whose own defaults stand for the others."""
    return {n: tuple(v) if isinstance(v, list) else v for n, v in values(settings).items() if v is not None}


def on_threads(count: int | None) -> None:
    """Let torch compute on so many threads; None leaves it as it is."""
    if count:
        import torch

        torch.set_num_threads(count)
