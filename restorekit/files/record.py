"""The provenance of results is a JSON file beside them: the versions, what was read and what was written, with
checksums."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import restorekit
from restorekit.files.atomic import content_of
from restorekit.files.datasets import is_dataset, source_digest
from restorekit.files.digest import sha256


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


def record_beside(path: Path) -> dict[str, Any] | None:
    """Return the record NAME.json of a file, where there is one that holds the checksum of the file as it is now."""
    beside = path.with_name(path.name + ".json")
    if not beside.is_file():
        return None
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
        digests = {Path(name).name: digest for name, digest in found["outputs"].items()}
        return found if digests.get(path.name) == sha256(path) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # a JSON file of something else
        return None


def outputs(paths: Iterable[Path]) -> dict[str, str]:
    """Return the checksums of results by path, also of those that have not taken their places yet."""
    return {str(path): sha256(content_of(path)) for path in paths}
