"""The files that a task writes for OUT are known before it runs, so that none of them is refused after hours of work."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from restorekit.despeckling import plan
from restorekit.despeckling.settings import Settings
from restorekit.despeckling.stac import item_path
from restorekit.errors import BadInput
from restorekit.tasks.degrade import Degrading, kernel_beside
from restorekit.tasks.restore import Restoring
from restorekit.tasks.saving import beside, outputs, record_file


def written_by(task: Callable[..., Any], settings: Mapping[str, Any], target: Path) -> list[Path]:
    """Return what a task writes with these settings for OUT, `target`: OUT, what lies beside it, the record last.

    Of a task that is not ours, and for settings that it will refuse, that is OUT alone. A mask `.msk`, and a report, which has
    a name of its own, are left out.
    """
    if not task.__module__.startswith("restorekit."):
        return [target]
    given = {name: value for name, value in settings.items() if value is not None}
    kind = getattr(task, "settings_class", task)
    with suppress(BadInput, TypeError, ValueError):
        if inspect.isclass(kind) and issubclass(kind, Restoring):
            known = inspect.signature(kind).parameters
            own: dict[str, Any] = {"op": "denoise"} | {k: v for k, v in given.items() if k in known}
            return outputs(kind(**{k: v for k, v in own.items() if k in known}), target)
        return [target, *_asides(task.__name__, given, target), record_file(target)]
    return [target]


def _asides(name: str, given: Mapping[str, Any], target: Path) -> list[Path]:
    if name in ("degrade", "Degrading"):
        task = Degrading(camera=given.get("camera"))
        return [task.truth_file(target), *[kernel_beside(target)] * task.blurs]
    if name in ("derain", "Deraining"):
        base = [] if "derained" in given else [beside(target, "base")]
        several = given.get("samples", 1 if "solver" in given else 2) > 1
        bars = [beside(target, "std", suffix) for suffix in (".tif", ".png")] if several else []
        return [beside(target, "mask", ".png"), *base, *bars]
    if name in ("fuse", "Fusing"):
        from restorekit.tasks.fuse import Fusing  # only here, as it needs what other commands do not

        known = inspect.signature(Fusing).parameters
        return Fusing(**{k: v for k, v in given.items() if k in known}).asides(target)
    if name in ("despeckle", "Despeckling"):
        known = inspect.signature(Settings).parameters
        chosen = Settings(**{k: v for k, v in given.items() if k in known})
        bars = [plan.beside(target, "std")] if chosen.draws > 1 else []
        return [*bars, *([] if chosen.stac is None else [item_path(target)])]
    return []
