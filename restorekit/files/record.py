"""The provenance of results is a JSON file beside them: the versions, what was read and what was written, with
checksums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import restorekit
from restorekit.files.atomic import content_of
from restorekit.files.datasets import is_dataset, source_digest
from restorekit.files.digest import sha256
from restorekit.files.session import is_result, opened, outputs_in, records_of


def head(
    source: Path | Sequence[Path] | Mapping[str, Path] | None = None, *, command: str | None = None
) -> dict[str, Any]:
    """Return how every record begins: "restorekit" and "torch", versions; "command", where it is given; "input".

    source: a file, or the files of one input, which the first one names; or several inputs by what they are.
    """
    import torch

    entries: dict[str, Any] = {"restorekit": restorekit.__version__, "torch": torch.__version__}
    entries |= {} if command is None else {"command": command}
    if isinstance(source, Mapping):
        return entries | {"input": {name: read_file(path) for name, path in source.items()}}
    return entries if source is None else entries | {"input": read_file(source)}


def read_file(source: Path | Sequence[Path]) -> dict[str, Any]:
    """Return {"path", "sha256"} of an input; where it is several files also "files", the checksums of the others by
    name."""
    if isinstance(source, Path) and is_dataset(source):
        return {"path": str(source), "sha256": source_digest(source)}
    paths = [source] if isinstance(source, Path) else list(source)
    more = {path.name: sha256(path) for path in paths[1:]}
    return {"path": str(paths[0]), "sha256": sha256(paths[0])} | ({"files": more} if more else {})


def earlier(paths: Iterable[Path], written: Iterable[Path]) -> tuple[list[str], dict[str, Any]]:
    """Return (the names of those of `paths` that are there and are not `written`, what the new record says of them).

    Such files are of an earlier run. {"earlier": [names]} keeps those that are ours known as results, once the record that
    names them is replaced; {} where there are none.
    """
    known = set(written)
    stale = [path for path in paths if path not in known and path.exists()]
    ours = [path.name for path in stale if is_result(path)]
    return [path.name for path in stale], {"earlier": ours} if ours else {}


def record_beside(path: Path, command: str) -> tuple[str, dict[str, Any]] | None:
    """Return (the name, the content) of the record of `command` beside a file, where one has the checksum of the file as it
    is now; else None."""
    for place, known in records_of(path):
        if known.get("command") == command and outputs_in(known).get(path.name) == sha256(path):
            opened(place)
            return place.name, known
    return None


def outputs(paths: Iterable[Path]) -> dict[str, str]:
    """Return the checksums of results by path, also of those that have not taken their places yet."""
    return {str(path): sha256(content_of(path)) for path in paths}
