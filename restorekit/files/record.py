"""The provenance of results is a JSON file beside them: the versions, what was read and what was written, with
checksums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import restorekit
from restorekit.errors import BadInput
from restorekit.files.atomic import content_of
from restorekit.files.datasets import is_dataset, source_digest
from restorekit.files.digest import sha256
from restorekit.files.overwrite import may_overwrite
from restorekit.files.session import content, files_in, is_result, opened, outputs_in, records_of


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


def earlier(
    record: Path, written: Iterable[Path], asides: Iterable[Path] = (), folder: Path | None = None
) -> tuple[list[str], dict[str, Any]]:
    """Return (the names of `asides` that are there and are not `written`, what the new record says of earlier runs).

    {"earlier": checksums by name} keeps files known as results that `record` and records of other names know, once `record` is
    replaced: all that lie beside it, or in `folder`, unchanged; {} where there are none.
    """
    known, made, ours = files_in(content(record)), set(written), dict[str, str]()
    stale = [path for path in asides if path not in made and path.exists()]
    places = [record.parent, *([] if folder is None else [folder])]
    for path in dict.fromkeys([*stale, *(place / name for name in known for place in places)]):
        if (
            path not in made
            and path.is_file()
            and ((digest := sha256(path)) == known.get(path.name) or is_result(path))
        ):
            ours[path.name] = digest
    return [path.name for path in stale], {"earlier": ours} if ours else {}


def superseded(record: Path, command: str, written: Iterable[Path]) -> list[Path]:
    """Return the files beside `record`, one of `command`, that it lists as its own and are as it says, less those `written`.

    A new run of that command has no such file; who finds one beside the new result takes it for a part of that.
    """
    known, made = content(record), set(written)
    if known.get("command") != command:
        return []
    listed = [(record.with_name(name), digest) for name, digest in outputs_in(known).items()]
    return [p for p, digest in listed if p not in made and p.is_file() and not p.is_symlink() and sha256(p) == digest]


def refuse_of_another(record: Path, written: Iterable[Path]) -> None:
    """Raise BadInput where a file of `written`, which belongs to the result of `record`, is one that another result beside it
    has, as the record of that says, unless it may be replaced: OUT.jpg and OUT.png both have an OUT_truth.png."""
    if may_overwrite():
        return
    for path in written:
        for place, known in records_of(path):
            other = place.with_suffix("")
            if place != record and other.exists() and outputs_in(known).get(path.name) == _digest(path):
                raise BadInput(
                    f"{path} belongs to {other.name}, and would be replaced; give OUT another name than {record.with_suffix('').name}, or "
                    "`overwrite` to replace it",
                    argument="overwrite",
                )


def _digest(path: Path) -> str:
    return sha256(path) if path.is_file() else ""


def recorded_range(path: Path) -> tuple[float, float] | None:
    """Return the values of black and white in what `degrade` or a restoration wrote, by the record beside it; else None.

    A restored file may be of another type than its input, so that its range is a key of its own, "range_out". OUT_std and
    OUT_kernel hold no picture, and have none.
    """
    if path.stem.endswith(("_std", "_kernel")):
        return None
    for place, known in records_of(path):
        span = known.get("range" if known.get("command") == "degrade" else "range_out")
        if span is not None and outputs_in(known).get(path.name) == sha256(path):
            opened(place)
            low, high = span
            return float(low), float(high)
    return None


def record_beside(path: Path, command: str | None) -> tuple[str, dict[str, Any]] | None:
    """Return (the name, the content) of the record of `command` beside a file, where one has the checksum of the file as it
    is now; else None. None: of a restoration, whose record names its operator and no command."""
    for place, known in records_of(path):
        if known.get("command") == command and outputs_in(known).get(path.name) == sha256(path):
            opened(place)
            return place.name, known
    return None


def outputs(paths: Iterable[Path]) -> dict[str, str]:
    """Return the checksums of results by path, also of those that have not taken their places yet."""
    return {str(path): sha256(content_of(path)) for path in paths}
