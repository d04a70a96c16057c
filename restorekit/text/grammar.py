"""The grammar of settings in text: `name:a,b=2` names something that is built, and its settings.

    blur:kernel=motion:15:30,boundary=circular        diffpir:zeta=0.5        mine.py:MySolver:strength=2

Values without a name are the first settings, in the order of the declaration. A value may hold colons, but no commas.
Whatever is built is a dataclass, or a function whose keyword arguments are its settings: types are converted as they are
declared there, and unknown settings are refused with the known ones. `file.py:Name` runs that file as code.
"""

from __future__ import annotations

import inspect
import math
import sys
import types
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from torch import Tensor

from restorekit.errors import BadInput
from restorekit.files.own_file import run_own_file

T = TypeVar("T")


def split(text: str) -> tuple[str, list[str], dict[str, str]]:
    """Parse a text of the grammar into its name, the values without a name, and those with one.

    >>> split("name:a,b=c:d")
    ('name', ['a'], {'b': 'c:d'})
    """
    name, _, rest = text.partition(":")
    positional, named = [], {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if equals:
            named[key.strip()] = value.strip()
        else:
            positional.append(part.strip())
    return name.strip(), positional, named


def convert(value: str, kind: Any, where: str) -> Any:
    """Return a value of the type `kind`: bool, int, a finite float, str, a `Literal`, a tuple of these ("64x96" or "1/2/3"),
    or None where the type allows it. Raises `BadInput`, which names `where`, for anything else."""
    options = get_args(kind)
    if get_origin(kind) in (Union, types.UnionType):
        if value.lower() == "none" and type(None) in options:
            return None
        kind = next(k for k in options if k not in (type(None), Tensor))
        options = get_args(kind)
    if get_origin(kind) is Literal:
        if value not in options:
            raise BadInput(f"{where}={value!r} is unknown; it is {' or '.join(map(str, options))}")
        return value
    if get_origin(kind) is tuple:
        inner = options[0]
        return tuple(convert(v, inner, where) for v in value.replace("x", "/").split("/"))
    try:
        converted = {"true": True, "false": False}[value.lower()] if kind is bool else kind(value)
        if isinstance(converted, float) and not math.isfinite(converted):
            raise ValueError
        return converted
    except (ValueError, KeyError):
        raise BadInput(f"{where}={value!r} is not a {getattr(kind, '__name__', kind)}") from None


def _declared(target: Callable[..., Any], given: dict[str, Any]) -> dict[str, bool]:
    """Return the settings of a dataclass or of a function, in order, and whether each must be given."""
    if is_dataclass(target):
        known = [(f.name, f.default is MISSING and f.default_factory is MISSING) for f in fields(target)]
    else:
        known = [(p.name, p.default is p.empty) for p in inspect.signature(target).parameters.values()]
    return {name: needed for name, needed in known if name not in given}


def build(
    target: Callable[..., T],
    name: str,
    positional: list[str],
    named: dict[str, str],
    names_of: dict[str, Any] | None = None,
    **given: Any,
) -> T:
    """Call a dataclass or a function with settings from text; `given` arguments are already values.

    names_of: names for the annotations of a class from a file of the user. Raises `BadInput` for settings that are unknown,
    missing or of another type, and where the call raises a ValueError.
    """
    declared = _declared(target, given)
    listing = f"{name} takes {', '.join(declared) or 'no settings'}"
    if len(positional) > len(declared):
        raise BadInput(f"{name}: too many values ({', '.join(positional)}); {listing}")
    settings = dict(zip(declared, positional)) | named
    # `lambda` cannot be a field's name in Python; accept it from people.
    settings = {f"{k}_" if f"{k}_" in declared else k: v for k, v in settings.items()}
    for unknown in settings.keys() - declared.keys():
        raise BadInput(f"{name}: unknown setting {unknown!r}; {listing}")
    missing = [setting for setting, needed in declared.items() if needed and setting not in settings]
    if missing:
        raise BadInput(f"{name}: {missing[0]} is needed, as in {name}:{missing[0]}=...; {listing}")
    hints = get_type_hints(target, globalns=_names_around(target) | (names_of or {}))
    values = {k: convert(v, hints[k], f"{name}: {k}") for k, v in settings.items()}
    try:
        return target(**given, **values)
    except BadInput:
        raise
    except ValueError as error:
        raise BadInput(f"{name}: {error}") from None


def _names_around(target: Any) -> dict[str, Any]:
    """Return names that annotations may use. A class from a file that `runpy` ran has no module to look them up in;
    its bases do."""
    owners = [base.__module__ for base in reversed(target.__mro__)] if isinstance(target, type) else [target.__module__]
    return {k: v for owner in owners if owner in sys.modules for k, v in vars(sys.modules[owner]).items()}


def own_class(text: str, base: type[T]) -> tuple[type[T], str, dict[str, Any]] | None:
    """Run the file of "file.py:Class:settings" and return the class, "Class:settings", and all names of the file.

    None if the text names no Python file. Raises `BadInput` where the file or a subclass of `base` of that name is missing, or the file fails.
    """
    file, _, rest = text.partition(":")
    if not file.endswith(".py"):
        return None
    names = run_own_file(file, "MyClass")
    name, _, settings = rest.partition(":")
    classes = {k: v for k, v in names.items() if isinstance(v, type) and issubclass(v, base)}
    own = {k: v for k, v in classes.items() if v.__module__ == "<run_path>"}
    if name not in own:
        raise BadInput(f"{file} has no {base.__name__} named {name!r}; it has {', '.join(own) or 'none'}")
    return own[name], f"{name}:{settings}", names
