"""Settings of a task that no picture could be treated with are told before the first picture is opened."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from restorekit.despeckling.settings import Settings
from restorekit.errors import BadInput
from restorekit.files.picture import check_span
from restorekit.files.reading import Reading
from restorekit.files.transfer import CURVES
from restorekit.fusion.clouds import CloudClasses
from restorekit.fusion.joint import solver_of as fusion_solver
from restorekit.fusion.prepare import check_match
from restorekit.fusion.purposes import purpose_of
from restorekit.inference.likelihood import Likelihood
from restorekit.operators import Operator
from restorekit.priors.find import PICKLED, device_of, find, spec_of
from restorekit.sar.domain import check_domain
from restorekit.tasks.restore import Restoring
from restorekit.text.grammar import own_class, split
from restorekit.text.kernels import is_searched, kernel
from restorekit.text.names import OPERATIONS, noise_of, operator_of, solver_of

SHAPE = (1, 64, 64)  # of a picture that there is none of, for messages about an operator
OWN_SOLVERS = ("sample", "fuse", "despeckle", "derain")  # tasks whose `solver` is of a list of their own


def check_settings(task: Callable[..., Any], settings: Mapping[str, Any]) -> None:
    """Raise BadInput for settings of one of our tasks that no picture could be treated with, whatever is in it.

    Those are unknown names, values out of bounds, and files that are not there. A setting that is None, or a folder with a file for
    each picture, is passed over, and so is a task that is not ours.
    """
    if not task.__module__.startswith("restorekit."):
        return
    name = task.__name__
    check_each(settings, checks_of(name))
    if name == "despeckle":
        chosen: dict[str, Any] = {
            k: v for k, v in settings.items() if k in inspect.signature(Settings).parameters and v is not None
        }
        _ = Settings(**chosen).method
    kind = getattr(task, "settings_class", task)
    if inspect.isclass(kind) and issubclass(kind, Restoring):
        known = inspect.signature(kind).parameters
        own: dict[str, Any] = {"op": "denoise"} | {k: v for k, v in settings.items() if k in known and v is not None}
        if all(p.default is not p.empty or k in own for k, p in known.items()):
            kind(**{k: v for k, v in own.items() if k in known}).check_settings()


def check_each(settings: Mapping[str, Any], checks: Mapping[str, Callable[[Any], object]]) -> None:
    """Check the settings that are there, each by itself. Raises BadInput that names the setting."""
    for setting, check in checks.items():
        value = settings.get(setting)
        if isinstance(value, str | os.PathLike) and Path(value).is_dir() and setting != "prior":
            continue
        if value is not None:
            _named(setting, check, value)


def checks_of(name: str) -> dict[str, Callable[[Any], object]]:
    """Return what checks a setting of a task, by its name."""
    checks: dict[str, Callable[[Any], object]] = {
        "noise": _noise, "op": _operator, "prior": _prior, "device": device_of, "range": check_span, "kernel": _kernel,
        "transfer": _transfer, "layout": Reading, "precision": _precision, "flips": _flips, "calibration": _calibration,
        "samples": _positive, "steps": _positive, "domain": check_domain, "match": check_match,
    }  # fmt: skip
    if name == "fuse":
        return checks | {"solver": fusion_solver, "purpose": purpose_of, "cloud_classes": CloudClasses}
    if name in OWN_SOLVERS:
        return checks | {"solver": lambda text: name != "derain" or text == "paper" or solver_of(text)}
    return checks | {"solver": _solver, "solvers": each(_solver)}


def _named(setting: str, check: Callable[[Any], object], value: Any) -> None:
    try:
        check(value)
    except BadInput as error:
        raise BadInput(str(error), argument=error.argument or setting) from None


def _noise(value: Any) -> None:
    if value != "auto" and not isinstance(value, Likelihood):
        noise_of(value)


def _operator(value: Any) -> None:
    if isinstance(value, Operator) or own_class(value, Operator) is not None:
        return
    name, _, named = split(value)
    if name not in OPERATIONS or not named.keys() <= inspect.signature(OPERATIONS[name]).parameters.keys():
        operator_of(value, image=SHAPE)  # says which there are


def _prior(value: Any) -> None:
    if isinstance(value, str | os.PathLike) and value != "auto":
        path = find(os.fspath(value))
        if path.suffix not in (*PICKLED, ".py"):
            spec_of(path)


def _kernel(value: Any) -> None:
    if isinstance(value, str | os.PathLike) and not is_searched(value) and not os.path.isdir(value):
        kernel(os.fspath(value))


def _solver(value: Any) -> None:
    if isinstance(value, str) and value != "auto":
        solver_of(value)


def each(check: Callable[[Any], object]) -> Callable[[Sequence[Any]], None]:
    """Return what checks every value of a sequence."""

    def checked(values: Sequence[Any]) -> None:
        for value in values:
            check(value)

    return checked


def _transfer(value: str) -> None:
    if value != "auto" and value not in CURVES:
        raise BadInput(f"`transfer={value}` is unknown; it is auto, {' or '.join(CURVES)}")


def _precision(value: str) -> None:
    if value not in ("auto", "bf16", "fp32"):
        raise BadInput(f"`precision={value}` is unknown; it is auto, bf16, fp32")


def _flips(value: int) -> None:
    if value not in (1, 2, 4, 8):
        raise BadInput(f"`flips={value}` is unknown; it is 1, 2, 4 or 8")


def _calibration(value: Any) -> None:
    if value not in ("auto", "none") and not Path(value).is_file():
        raise BadInput(f"`calibration={value}`: no such file; give one of `restorekit calibrate`, auto or none")


def _positive(value: int) -> None:
    if value < 1:
        raise BadInput(f"{value}: at least 1")
