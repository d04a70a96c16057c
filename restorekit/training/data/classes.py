"""The class of each training picture, from its folder or from a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput


@dataclass(frozen=True, eq=False)
class Labels:
    """Class number of each picture and the names of the classes, in alphabetical order."""

    numbers: NDArray[np.int64]  # (N,)
    classes: tuple[str, ...]

    @staticmethod
    def of(names: Sequence[str], source: str) -> Labels | None:
        """Return the labels of `source`: "" for none; "folder", the first folder of a name; else a JSON file of {name of the picture: class}."""
        if not source:
            return None
        found = [PurePosixPath(n).parts[0] if "/" in n else "" for n in names] if source == "folder" else None
        found = _looked_up(names, Path(source)) if found is None else found
        if missing := [n for n, c in zip(names, found) if not c]:
            raise BadInput(
                f"data.labels={source}: {len(missing)} of {len(names)} pictures have no class, such as {missing[0]}; "
                "put each class into a folder of its own, or give a JSON file of {name: class}"
            )
        classes = tuple(sorted(set(found)))
        return Labels(np.array([classes.index(c) for c in found], np.int64), classes)


def _looked_up(names: Sequence[str], path: Path) -> list[str]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = " ".join(str(error).split())
        raise BadInput(
            f"data.labels={path} cannot be read ({why}); it is folder or a JSON file of {{name: class}}"
        ) from None
    if not isinstance(table, dict):
        raise BadInput(f"data.labels={path} holds no {{name: class}}")
    return [str(table.get(name, "")) for name in names]
